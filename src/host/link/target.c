// One syntax for what is linked to: of the command line, and of a manifest's type, url and path.
#include "link_int.h"

static const struct link_provider *by_type(struct slice type)
{
	for (unsigned i = 0; i < link_n_providers; i++)
		if (slice_eq_str(type, link_providers[i].type))
			return &link_providers[i];
	return NULL;
}

static bool has_word(const char *words, struct slice word)
{
	for (struct slice rest = slice_str(words); rest.len;) {
		struct slice one = slice_sub(rest, 0, slice_find(rest, ' '));
		if (slice_eq(one, word))
			return true;
		rest = slice_sub(rest, one.len + 1, SIZE_MAX);
	}
	return false;
}

static const struct link_provider *by_scheme(struct slice scheme)
{
	for (unsigned i = 0; i < link_n_providers; i++)
		if (has_word(link_providers[i].schemes, scheme))
			return &link_providers[i];
	return NULL;
}

static bool unknown(struct slice what, struct err *e)
{
	struct buf b = {.max = 512};
	err_set(e, ERR_USAGE, "'%.*s' is no type of store", SLICE_ARGS(what));
	for (unsigned i = 0; i < link_n_providers; i++)
		buf_printf(&b, "%s%s", i ? ", " : "", link_providers[i].type);
	err_hint(e, "there are: %.*s", SLICE_ARGS(buf_view(&b)));
	buf_release(&b);
	return false;
}

// [a-z][a-z0-9-]{0,62}, or nothing. `digits`: it may begin with one.
static bool is_name(struct slice s, bool digits)
{
	bool ok = s.len <= 63;
	for (size_t i = 0; ok && i < s.len; i++) {
		uint8_t c = s.ptr[i];
		ok = (c >= 'a' && c <= 'z') || (i && c == '-') || ((i || digits) && c >= '0' && c <= '9');
	}
	return ok;
}

static bool set_name(struct slice name, struct link_target *ret, struct err *e)
{
	if (!is_name(name, false) || !name.len)
		return err_set(e, ERR_USAGE, "'%.*s' is no name: [a-z][a-z0-9-]{0,62}", SLICE_ARGS(name));
	ret->name = name;
	return true;
}

// Text of the arena, from a format.
static bool keep(struct arena *a, struct buf *b, struct slice *ret, struct err *e)
{
	bool ok = !b->failed && slice_dup(a, buf_view(b), ret);
	buf_release(b);
	return ok || err_nomem(e);
}

// ---- files ----------------------------------------------------------------------------------------------------------------------------------

static bool set_file(struct arena *a, struct slice path, struct slice dir, struct link_target *ret, struct err *e)
{
	struct buf b = {0}, text = {0};
	if (!path.len || slice_find(path, 0) < path.len || path.len > 4000)
		return err_set(e, ERR_USAGE, "a store in a file needs its path: file:PATH");
	if (path.ptr[0] != '/' && !dir.len)
		return err_set(e, ERR_USAGE, "'%.*s' is relative, and to nothing", SLICE_ARGS(path));
	if (path.ptr[0] != '/')
		buf_printf(&b, "%.*s/", SLICE_ARGS(dir));
	buf_put_slice(&b, path);
	buf_printf(&text, "file:%.*s", SLICE_ARGS(buf_view(&b)));
	return keep(a, &b, &ret->path, e) && keep(a, &text, &ret->text, e);
}

// ---- URLs -----------------------------------------------------------------------------------------------------------------------------------

static int hex(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
																			   : -1;
}

static bool decode(struct arena *a, struct slice from, struct slice *ret, struct err *e)
{
	uint8_t *to = arena_alloc(a, from.len + 1, 1);
	size_t n = 0;
	if (!to)
		return err_nomem(e);
	for (size_t i = 0; i < from.len; i++) {
		int high = from.ptr[i] == '%' && i + 2 < from.len ? hex(from.ptr[i + 1]) : -1, low = high >= 0 ? hex(from.ptr[i + 2]) : -1;
		if (from.ptr[i] == '%' && low < 0)
			return err_set(e, ERR_USAGE, "a '%%' in a URL is followed by two hexadecimal digits");
		to[n++] = low >= 0 ? (uint8_t)(high << 4 | low) : from.ptr[i];
		i += low >= 0 ? 2 : 0;
	}
	to[n] = 0;
	*ret = slice_of(to, n);
	return true;
}

static size_t last_of(struct slice s, uint8_t byte)
{
	for (size_t i = s.len; i > 0; i--)
		if (s.ptr[i - 1] == byte)
			return i - 1;
	return s.len;
}

static bool set_host(struct arena *a, struct slice authority, struct link_target *ret, struct err *e)
{
	bool v6 = authority.len && authority.ptr[0] == '[';
	size_t end = v6 ? slice_find(authority, ']') : slice_find(authority, ':');
	struct slice host = slice_sub(authority, v6, end - v6), rest = slice_sub(authority, end + v6, SIZE_MAX);
	uint8_t *lower = arena_alloc(a, host.len + 1, 1);
	uint64_t port = 0;
	if (!lower)
		return err_nomem(e);
	if (!host.len || host.len > 255 || (v6 && end == authority.len) || (rest.len && rest.ptr[0] != ':'))
		return err_set(e, ERR_USAGE, "'%.*s' is no HOST[:PORT]", SLICE_ARGS(authority));
	if (rest.len && (!slice_parse_u64(slice_sub(rest, 1, SIZE_MAX), 65535, &port) || port == 0))
		return err_set(e, ERR_USAGE, "'%.*s' is no port: 1 to 65535", SLICE_ARGS(slice_sub(rest, 1, SIZE_MAX)));
	for (size_t i = 0; i < host.len; i++) {
		uint8_t c = host.ptr[i];
		if (c <= ' ' || c >= 127 || strchr("/\\?#@\"'<>", c))
			return err_set(e, ERR_USAGE, "'%.*s' is no host", SLICE_ARGS(host));
		lower[i] = c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
	}
	lower[host.len] = 0;
	ret->host = slice_of(lower, host.len);
	ret->port = (uint16_t)port;
	return true;
}

// What NATS has without a ':' is a token, which is a password.
static bool split_user(struct slice user, const struct link_target *t, struct slice *ret_user, struct slice *ret_password)
{
	size_t colon = slice_find(user, ':');
	bool is_token = user.len && colon == user.len && strcmp(t->provider->type, "nats") == 0;
	*ret_user = is_token ? slice_of("", 0) : slice_sub(user, 0, colon);
	*ret_password = is_token ? user : slice_sub(user, colon + 1, SIZE_MAX);
	return is_token || colon < user.len;
}

static bool set_user(struct arena *a, struct slice text, struct link_target *ret, struct err *e)
{
	struct slice user, password;
	ret->has_password = split_user(text, ret, &user, &password);
	ret->password_is_reference = slice_starts_with(password, SLICE_LIT("${")) && slice_find(password, '}') + 1 == password.len;
	return decode(a, user, &ret->user, e) && decode(a, password, &ret->password, e);
}

static void show_user(struct buf *b, struct slice text, const struct link_target *t)
{
	struct slice user, password;
	bool has = split_user(text, t, &user, &password);
	buf_printf(b, "%.*s%s%s@", SLICE_ARGS(user), has && password.ptr != text.ptr ? ":" : "", has ? "***" : "");
}

// Behind "SCHEME://".
static bool set_url(struct arena *a, struct slice scheme, struct slice rest, struct link_target *ret, struct err *e)
{
	struct slice authority = slice_sub(rest, 0, slice_find(rest, '/')), path = slice_sub(rest, authority.len + 1, SIZE_MAX);
	size_t at = last_of(authority, '@');
	struct slice user = at < authority.len ? slice_sub(authority, 0, at) : slice_of("", 0);
	struct slice place = at < authority.len ? slice_sub(authority, at + 1, SIZE_MAX) : authority;
	struct buf text = {0};
	if (slice_find(path, '?') < path.len || slice_find(path, '#') < path.len)
		return err_set(e, ERR_USAGE, "a target has no '?' and no '#'");
	if (slice_find(path, '@') < path.len) {
		err_set(e, ERR_USAGE, "a target has no '@' behind its first '/'");
		return err_hint(e, "a '/' in a password is written %%2F");
	}
	ret->tls = slice_eq_str(scheme, "rediss") || slice_eq_str(scheme, "tls");
	buf_printf(&text, "%.*s://", SLICE_ARGS(scheme));
	if (at < authority.len)
		show_user(&text, user, ret);
	buf_printf(&text, "%.*s%s%.*s", SLICE_ARGS(place), path.len ? "/" : "", SLICE_ARGS(path));
	if (set_host(a, place, ret, e) && set_user(a, user, ret, e) && decode(a, path, &ret->path, e))
		return keep(a, &text, &ret->text, e);
	buf_release(&text);
	return false;
}

// ---- the whole ------------------------------------------------------------------------------------------------------------------------------

static bool parse_store(struct arena *a, struct slice text, struct slice dir, struct link_target *ret, struct err *e)
{
	struct slice scheme = slice_sub(text, 0, slice_find(text, ':')), rest = slice_sub(text, scheme.len + 1, SIZE_MAX);
	if (scheme.len == text.len) {
		err_set(e, ERR_USAGE, "'%.*s' is no target", SLICE_ARGS(text));
		return err_hint(e, "a target is @LINK, component:NAME, memory:[NAME], file:PATH or SCHEME://HOST[:PORT][/PATH]");
	}
	if (!(ret->provider = by_scheme(scheme)))
		return unknown(scheme, e);
	if (slice_eq_str(scheme, "memory") && is_name(rest, true)) {
		ret->name = rest;
		return true;
	}
	if (slice_eq_str(scheme, "memory"))
		return err_set(e, ERR_USAGE, "'%.*s' is no name of a store in memory: [a-z0-9][a-z0-9-]{0,62}", SLICE_ARGS(rest));
	if (slice_eq_str(scheme, "file"))
		return set_file(a, rest, dir, ret, e);
	if (!slice_starts_with(rest, SLICE_LIT("//")))
		return err_set(e, ERR_USAGE, "'%.*s:' is followed by //HOST", SLICE_ARGS(scheme));
	return set_url(a, scheme, slice_sub(rest, 2, SIZE_MAX), ret, e);
}

bool link_target_parse(struct arena *a, struct slice text, struct slice dir, struct link_target *ret, struct err *e)
{
	*ret = (struct link_target){0};
	if (!slice_dup(a, text, &text))
		return err_nomem(e);
	ret->text = text;
	if (text.len && text.ptr[0] == '@') {
		ret->kind = LINK_TARGET_LINK;
		return set_name(slice_sub(text, 1, SIZE_MAX), ret, e);
	}
	if (slice_starts_with(text, SLICE_LIT("component:"))) {
		ret->kind = LINK_TARGET_COMPONENT;
		return set_name(slice_sub(text, 10, SIZE_MAX), ret, e);
	}
	ret->kind = LINK_TARGET_STORE;
	return parse_store(a, text, dir, ret, e);
}

bool link_target_make(struct arena *a, struct slice type, struct slice url, struct slice path, struct slice dir, struct link_target *ret, struct err *e)
{
	struct buf text = {0};
	struct slice whole;
	bool is_component = slice_eq_str(type, "component");
	const struct link_provider *p = by_type(type);
	if (!p && !is_component)
		return unknown(type, e);
	bool has_url = !is_component && !slice_eq_str(type, "memory") && !slice_eq_str(type, "file");
	if (url.len && !has_url)
		return err_set(e, ERR_USAGE, "type = \"%.*s\" has no url", SLICE_ARGS(type));
	if (path.len && has_url)
		return err_set(e, ERR_USAGE, "type = \"%.*s\" has no path, but a url", SLICE_ARGS(type));
	if (has_url)
		buf_put_slice(&text, url);
	else
		buf_printf(&text, "%.*s:%.*s", SLICE_ARGS(type), SLICE_ARGS(path));
	if (!keep(a, &text, &whole, e) || !link_target_parse(a, whole, dir, ret, e))
		return false;
	if (has_url && ret->provider != p)
		return err_set(e, ERR_USAGE, "type = \"%.*s\": its url does not begin with %s", SLICE_ARGS(type), p->schemes);
	return true;
}

bool link_target_check(const struct link_target *t, struct err *e)
{
	return !t->provider || !t->provider->ops->check || t->provider->ops->check(t, e);
}

void link_target_put_key(const struct link_target *t, struct buf *b)
{
	const struct link_provider *p = t->provider;
	buf_printf(b, "%s\n%.*s\n%.*s\n%u\n", p ? p->type : "", SLICE_ARGS(t->name), SLICE_ARGS(t->host), p && !t->port ? p->port : t->port);
	if (p && p->by_user)
		buf_put_slice(b, t->user);
	buf_put_byte(b, '\n');
	buf_put_slice(b, p && !t->path.len ? slice_str(p->path) : t->path);
}

bool link_target_same(const struct link_target *a, const struct link_target *b)
{
	struct buf x = {0}, y = {0};
	link_target_put_key(a, &x);
	link_target_put_key(b, &y);
	bool same = a->kind == b->kind && !x.failed && !y.failed && slice_eq(buf_view(&x), buf_view(&y));
	buf_release(&x);
	buf_release(&y);
	return same;
}
