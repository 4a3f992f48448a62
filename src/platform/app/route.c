// Routes: their syntax, taken apart, and that no two mean the same requests.
#include "app_int.h"

#include <ctype.h>

#define MAX_PARTS 64

static bool wrong_route(struct app__load *l, const struct app_text *t, const char *why)
{
	app__fail(l, t->at, "the route '%.80s': %s", t->raw, why);
	return l->e ? err_hint(l->e, "parts are literals, :name, and ... at the end: /api/:id, /static/...") : false;
}

// Percent-decoded; what decodes to a slash, to nothing printable or to "." and ".." would never match.
static bool literal(struct app__load *l, const struct app_text *route, struct slice s, const char **ret)
{
	char *out = app__copy(l, s);
	size_t n = 0;
	if (!out)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];
		if (c == '%') {
			if (s.len - i < 3 || !isxdigit(s.ptr[i + 1]) || !isxdigit(s.ptr[i + 2]))
				return wrong_route(l, route, "% is followed by two hexadecimal digits");
			char hex[3] = {(char)s.ptr[i + 1], (char)s.ptr[i + 2], 0};
			c = (uint8_t)strtoul(hex, NULL, 16);
			i += 2;
			if (c == '/' || c == 0)
				return wrong_route(l, route, "no path that is asked for has this in a part");
		} else if (c == '?' || c == '#' || c == '*' || c <= ' ' || c == 0x7f) {
			return wrong_route(l, route, "a path has no ? # * or space");
		}
		out[n++] = (char)c;
	}
	out[n] = 0;
	*ret = out;
	return true;
}

// Parameters as other routers write them: {id}, <id>. None of these signs stands in a path as it is; escaped they are literals.
static bool is_foreign_param(struct app__load *l, const struct app_text *route, struct slice s)
{
	size_t n = 0;
	while (n < s.len && s.ptr[n] != '{' && s.ptr[n] != '}' && s.ptr[n] != '<' && s.ptr[n] != '>')
		n++;
	if (n == s.len)
		return false;
	app__fail(l, route->at, "the route '%.80s': a path has no { } < or >", route->raw);
	if (l->e)
		err_hint(l->e, "a parameter is a whole part and written :name, as /api/:id; the sign itself is %%%02X", s.ptr[n]);
	return true;
}

static bool parse_part(struct app__load *l, const struct app_text *route, struct slice s, bool is_last, struct app_route_part *ret)
{
	if (slice_eq_str(s, "...")) {
		*ret = (struct app_route_part){APP_PART_REST, "..."};
		return is_last || wrong_route(l, route, "... stands at the end");
	}
	if (s.len == 0)
		return wrong_route(l, route, is_last ? "a slash at its end" : "two slashes in a row");
	if (slice_eq_str(s, ".") || slice_eq_str(s, ".."))
		return wrong_route(l, route, "dot segments are resolved before routes are matched");
	if (is_foreign_param(l, route, s))
		return false;
	if (s.ptr[0] != ':') {
		ret->kind = APP_PART_LITERAL;
		return literal(l, route, s, &ret->text);
	}
	struct slice name = slice_sub(s, 1, s.len);
	for (size_t i = 0; i < name.len; i++)
		if (!isalnum(name.ptr[i]) && name.ptr[i] != '-' && name.ptr[i] != '_')
			return wrong_route(l, route, "the name of a parameter is letters, digits, - and _");
	*ret = (struct app_route_part){APP_PART_PARAM, app__copy(l, name)};
	return ret->text && (name.len > 0 || wrong_route(l, route, "a parameter without a name"));
}

static bool parse_route(struct app__load *l, struct app_route *r)
{
	struct slice rest = slice_str(r->route.text);
	struct app_route_part parts[MAX_PARTS];
	uint32_t n = 0;
	if (rest.len == 0 || rest.ptr[0] != '/')
		return wrong_route(l, &r->route, "it begins with a slash");
	rest = slice_sub(rest, 1, rest.len);
	for (bool more = rest.len > 0; more;) {
		size_t end = slice_find(rest, '/');
		if (n == MAX_PARTS)
			return wrong_route(l, &r->route, "more than 64 parts");
		if (!parse_part(l, &r->route, slice_sub(rest, 0, end), end == rest.len, &parts[n]))
			return false;
		n++;
		more = end < rest.len;
		rest = slice_sub(rest, end + 1, rest.len);
	}
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < i; k++)
			if (parts[i].kind == APP_PART_PARAM && parts[k].kind == APP_PART_PARAM && strcmp(parts[i].text, parts[k].text) == 0)
				return wrong_route(l, &r->route, "two parameters of one name");
	r->parts.n = n;
	r->parts.list = arena_copy(l->arena, parts, n * sizeof *parts, _Alignof(struct app_route_part));
	return n == 0 || r->parts.list || err_nomem(l->e);
}

// ---- duplicates --------------------------------------------------------------------------------------------------------------------------------

// Equal for routes that match the same paths of the same host: parameters' names don't count. With a method's name behind it, or * for all.
static bool pattern_key(struct app__load *l, const struct app_route *r, const char *method, struct slice *ret)
{
	struct buf b = {0};
	buf_printf(&b, "%s\n", r->host.text ? r->host.text : "");
	for (uint32_t i = 0; i < r->parts.n; i++)
		buf_printf(&b, "/%s%s", r->parts.list[i].kind == APP_PART_LITERAL ? "=" : r->parts.list[i].kind == APP_PART_PARAM ? ":"
																														  : ".",
			r->parts.list[i].kind == APP_PART_LITERAL ? r->parts.list[i].text : "");
	buf_printf(&b, "\n%s", method);
	bool ok = !b.failed && slice_dup(l->arena, buf_view(&b), ret);
	buf_release(&b);
	return ok || err_nomem(l->e);
}

static bool is_twice(struct app__load *l, const struct app_route *r, uint32_t other)
{
	return app__fail(l, r->route.at, "the route %s%s is there twice, first in line %u", r->host.text ? r->host.text : "", r->route.raw,
		l->app->triggers.http.list[other].route.at.line);
}

// Puts the route in for one method. "": for any at all, so that one for all methods finds it.
static bool claim(struct app__load *l, struct map *seen, uint32_t i, const char *method, bool *ret_is_new, uintptr_t *ret_other)
{
	struct slice key;
	bool nomem = false;
	if (!pattern_key(l, &l->app->triggers.http.list[i], method, &key))
		return false;
	*ret_is_new = map_insert(seen, key, i, &nomem);
	if (!*ret_is_new && !nomem)
		(void)map_get(seen, key, ret_other);
	return !nomem || err_nomem(l->e);
}

static bool check_duplicate(struct app__load *l, struct map *seen, uint32_t i)
{
	const struct app_route *r = &l->app->triggers.http.list[i];
	bool is_first, is_new;
	uintptr_t other;
	struct slice all;
	if (!claim(l, seen, i, "", &is_first, &other))
		return false;
	if (r->methods.n == 0) {
		if (!is_first)
			return is_twice(l, r, (uint32_t)other);
		return claim(l, seen, i, "*", &is_new, &other);
	}
	if (!is_first && (!pattern_key(l, r, "*", &all) || map_get(seen, all, &other)))
		return l->e && l->e->code == ERR_NONE ? is_twice(l, r, (uint32_t)other) : false;
	for (uint32_t k = 0; k < r->methods.n; k++) {
		if (!claim(l, seen, i, r->methods.list[k].text, &is_new, &other))
			return false;
		if (!is_new && other == i)
			return app__fail(l, r->methods.list[k].at, "the method %s is there twice", r->methods.list[k].text);
		if (!is_new)
			return is_twice(l, r, (uint32_t)other);
	}
	return true;
}

// Hosts are compared without regard to case.
static bool lower_host(struct app__load *l, struct app_route *r)
{
	if (!r->host.text)
		return true;
	char *host = app__copy(l, slice_str(r->host.text));
	if (!host)
		return false;
	for (char *c = host; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	r->host.text = host;
	return true;
}

// What else a path of a request can't be, the rooms above know.
static bool ask_for(struct app__load *l, const struct app_route *r)
{
	return !l->in->check_route || l->in->check_route(l->in->ctx, slice_str(r->route.text), l->e) || app__at(l, r->route.at);
}

bool app__check_routes(struct app__load *l)
{
	struct map seen;
	map_init(&seen, l->arena);
	for (uint32_t i = 0; i < l->app->triggers.http.n; i++) {
		struct app_route *r = UNCONST(&l->app->triggers.http.list[i]);
		if (r->is_private.value)
			continue;
		if (!lower_host(l, r) || !parse_route(l, r) || !ask_for(l, r) || !check_duplicate(l, &seen, i))
			return false;
	}
	return true;
}
