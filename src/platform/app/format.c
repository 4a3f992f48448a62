// What texts are like, one by one: names, paths, hashes, what goes into a field of HTTP.
#include "app_int.h"

#include <ctype.h>

const char *app__format_what(enum app__format f)
{
	static const char *const what[] = {
#define X(name, text) text,
		APP__FORMATS(X)
#undef X
	};
	return what[f];
}

// All of `s` are of `any`, letters and digits.
static bool is_of(struct slice s, const char *any)
{
	for (size_t i = 0; i < s.len; i++)
		if (!isalnum(s.ptr[i]) && !(s.ptr[i] && s.ptr[i] < 0x80 && strchr(any, s.ptr[i])))
			return false;
	return s.len > 0;
}

static bool is_lower_of(struct slice s, const char *any)
{
	for (size_t i = 0; i < s.len; i++)
		if (isupper(s.ptr[i]))
			return false;
	return is_of(s, any);
}

bool app__is_name(struct slice s)
{
	return s.len > 0 && s.len <= 63 && s.ptr[0] >= 'a' && s.ptr[0] <= 'z' && is_lower_of(s, "-");
}

static bool is_printable(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
			return false;
	return s.len > 0;
}

static bool is_token(struct slice s)
{
	return is_of(s, "!#$%&'*+-.^_`|~");
}

// Methods are told apart by case: one that is a well-known one but for that would never be asked for. NULL: it is none of these.
static const char *meant_method(struct slice s)
{
	static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (s.len == strlen(known[i]) && strncasecmp((const char *)s.ptr, known[i], s.len) == 0 && !slice_eq_str(s, known[i]))
			return known[i];
	return NULL;
}

static bool is_sha256(struct slice s)
{
	size_t hex = 0;
	while (hex < s.len && isxdigit(s.ptr[hex]))
		hex++;
	return s.len == 64 && hex == 64;
}

static bool is_timezone(struct slice s)
{
	return is_of(s, "_+-/") && s.ptr[0] != '/' && s.ptr[s.len - 1] != '/' && isalpha(s.ptr[0]);
}

static bool is_origin(struct slice s)
{
	size_t scheme = slice_starts_with(s, SLICE_LIT("http://")) ? 7 : slice_starts_with(s, SLICE_LIT("https://")) ? 8
																												 : 0;
	return scheme && is_of(slice_sub(s, scheme, s.len), ".-_:[]*");
}

static bool is_url(struct slice s)
{
	size_t colon = slice_find(s, ':');
	return colon < s.len && colon > 0 && is_lower_of(slice_sub(s, 0, colon), "+-") && is_printable(s) && slice_find(s, ' ') == s.len;
}

// RFC 9112, 3.2.1: a path that may have a query.
bool app_is_target(struct slice s)
{
	return s.len > 0 && s.len <= 4096 && s.ptr[0] == '/' && is_of(s, "-._~!$&'()*+;:@/?%=");
}

static bool fits(enum app__format f, struct slice s)
{
	switch (f) {
	case APP__FORMAT_any:
	case APP__FORMAT_route:  // route.c
		return true;
	case APP__FORMAT_name:
	case APP__FORMAT_component:
	case APP__FORMAT_link:
		return app__is_name(s);
	case APP__FORMAT_variable:
		return s.len > 0 && s.ptr[0] >= 'a' && s.ptr[0] <= 'z' && s.len <= 255 && is_lower_of(s, "_");
	case APP__FORMAT_sha256:
		return is_sha256(s);
	case APP__FORMAT_method:
	case APP__FORMAT_field:
	case APP__FORMAT_header:
		return is_token(s);
	case APP__FORMAT_target:
		return app_is_target(s);
	case APP__FORMAT_host:
		return is_of(s, ".-_:[]");
	case APP__FORMAT_timezone:
		return is_timezone(s);
	case APP__FORMAT_env:
		return s.len > 0 && slice_find(s, '=') == s.len;
	case APP__FORMAT_origin:
		return is_origin(s);
	case APP__FORMAT_url:
		return is_url(s);
	case APP__FORMAT_bucket:
	case APP__FORMAT_config:
		return s.len > 0;
	case APP__FORMAT_line:
	case APP__FORMAT_path:
	case APP__FORMAT_source:
	case APP__FORMAT_address:
	case APP__FORMAT_range:
	case APP__FORMAT_network:
	case APP__FORMAT_listen:
		return is_printable(s);
	}
	return false;
}

// What the rooms above have a parser for.
static app_check_fn *asked(const struct app__load *l, enum app__format f)
{
	switch (f) {
	case APP__FORMAT_address:
		return l->in->check_address;
	case APP__FORMAT_network:
		return l->in->check_network;
	case APP__FORMAT_range:
		return l->in->check_range;
	case APP__FORMAT_listen:
		return l->in->check_listen;
	case APP__FORMAT_host:
		return l->in->check_host;
	case APP__FORMAT_header:
		return l->in->check_field;
	case APP__FORMAT_timezone:
		return l->in->check_timezone;
	default:
		return NULL;
	}
}

// What the file says of it, without a password.
static bool fail_text(struct app__load *l, const struct app_text *t, const char *fmt, const char *key)
{
	struct buf b = {.max = 4096};
	app_put_text(&b, t);
	buf_put_byte(&b, 0);
	bool ok = app__fail(l, t->at, fmt, key, b.failed ? "" : (const char *)b.ptr);
	buf_release(&b);
	return ok;
}

bool app__check_text(struct app__load *l, enum app__format f, const struct app_text *t, const char *key)
{
	struct slice s = slice_str(t->text);
	app_check_fn *check = asked(l, f);
	if (!fits(f, s)) {
		fail_text(l, t, t->is_secret ? "%s can't be '%.80s' with the values of its variables" : "%s can't be '%.80s'", key);
		return l->e ? err_hint(l->e, "%s", app__format_what(f)) : false;
	}
	const char *meant = f == APP__FORMAT_method ? meant_method(s) : NULL;
	if (meant) {
		fail_text(l, t, "%s: no request has the method '%.80s'", key);
		return l->e ? err_hint(l->e, "methods are told apart by case: %s", meant) : false;
	}
	if (f == APP__FORMAT_source && strstr(t->text, "://")) {
		fail_text(l, t, "%s: '%.80s' is no path", key);
		return l->e ? err_hint(l->e, "registries aren't served yet: fetch the component and give the file") : false;
	}
	if (!check || check(l->in->ctx, s, l->e))
		return true;
	if (l->e && t->is_secret) {
		err_clear(l->e);
		return fail_text(l, t, "%s can't be '%.80s' with the values of its variables", key);
	}
	if (l->e)
		err_note(l->e, "%s", key);
	return app__at(l, t->at);
}

bool app__check_name(struct app__load *l, enum app__format f, const char *name, const char *key, struct app_place at)
{
	return app__check_text(l, f, &(struct app_text){.text = name, .raw = name, .at = at}, key);
}
