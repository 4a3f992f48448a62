// What a spin.toml allows a component to connect to, as a rule of `network`. SCHEME://HOST[:PORT], each * for any; without a port the scheme's own.
#include "app_int.h"

#include <ctype.h>

struct outbound {
	struct slice scheme, host, port;  // an address of IPv6 in its brackets; the port without its colon, empty: none
};

static bool cannot(struct app__load *l, const struct app_text *t, const char *why, const char *hint)
{
	app__fail(l, t->at, "'%.80s' %s", t->is_secret ? t->raw : t->text, why);
	return l->e && hint ? err_hint(l->e, "%s", hint) : false;
}

static bool is_of(struct slice s, int (*is)(int c))
{
	for (size_t i = 0; i < s.len; i++)
		if (!is(s.ptr[i]))
			return false;
	return s.len > 0;
}

static struct slice trimmed(const char *text)
{
	struct slice s = slice_str(text);
	while (s.len && isspace(s.ptr[0]))
		s = slice_sub(s, 1, s.len);
	while (s.len && isspace(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

static bool split(struct app__load *l, const struct app_text *t, struct outbound *ret)
{
	struct slice s = trimmed(t->text), rest;
	size_t sep = 0, colons = 0, last = 0;
	while (sep < s.len && !slice_starts_with(slice_sub(s, sep, s.len), SLICE_LIT("://")))
		sep++;
	if (sep == s.len)
		return cannot(l, t, "is no SCHEME://HOST[:PORT]", "as https://api.example.com, or https://*:* for all of one scheme");
	ret->scheme = slice_sub(s, 0, sep);
	rest = slice_sub(s, sep + 3, s.len);
	if (rest.len > 1 && rest.ptr[rest.len - 1] == '/')
		rest.len--;
	bool is_bracketed = rest.len && rest.ptr[0] == '[';
	for (size_t i = is_bracketed ? slice_find(rest, ']') : 0; i < rest.len; i++)
		if (rest.ptr[i] == ':')
			colons++, last = i;
	bool has_port = colons == 1;
	ret->host = slice_sub(rest, 0, has_port ? last : rest.len);
	ret->port = has_port ? slice_sub(rest, last + 1, rest.len) : SLICE_LIT("");
	size_t slash = slice_find(ret->host, '/');
	if (slice_find(ret->port, '/') < ret->port.len || (slash < ret->host.len && !is_of(slice_sub(ret->host, slash + 1, ret->host.len), isdigit)))
		return cannot(l, t, "has a path", "what is allowed are hosts, with all of their paths");
	return true;
}

// Calls that don't leave the app.
static bool is_inside(struct slice host)
{
	return slice_eq_str(host, "self") || slice_eq_str(host, "self.alt") || slice_ends_with(host, SLICE_LIT(".spin.internal"));
}

static const char *own_port(struct slice scheme)
{
	return slice_eq_str(scheme, "http") ? "80" : slice_eq_str(scheme, "https") ? "443"
																			   : NULL;
}

// A filled-in text may be nothing: what a variable without a value stands for is left out.
static bool is_nothing(const struct app_text *t)
{
	return t->text != t->raw && (!*t->text || strcmp(t->text, "http://") == 0 || strcmp(t->text, "https://") == 0);
}

bool app__spin_host(struct app__load *l, struct app_text *t)
{
	struct outbound o = {0};
	const char *text = t->text;
	t->text = is_nothing(t) ? NULL : text;
	if (!t->text)
		return true;
	if (!split(l, t, &o))
		return false;
	if (slice_eq_str(o.host, "all"))
		return cannot(l, t, "names a host that means any in tenon's rules", "write * for any");
	bool is_any = slice_eq_str(o.scheme, "*"), in = is_inside(o.host);
	const char *port = own_port(o.scheme);
	if (in || (!is_any && !port && !slice_eq_str(o.scheme, "tcp") && !slice_eq_str(o.scheme, "udp"))) {
		t->text = NULL;
		return app__note(l, t->at, "%s: %s isn't served yet; it answers access-denied", t->is_secret ? t->raw : text,
			in ? "calling another component so" : "that protocol");
	}
	if (o.port.len)
		port = app__format_text(l, "%.*s", SLICE_ARGS(o.port));
	else if (!port)
		return cannot(l, t, "has no port, and its scheme none of its own", "give one; :* is any");
	if (!port)
		return false;
	bool is_bare = slice_find(o.host, ':') < o.host.len && o.host.ptr[0] != '[';
	struct slice host = slice_eq_str(o.host, "*") ? SLICE_LIT("all") : o.host;
	const char *rule = app__format_text(l, "%.*s%s%s%.*s%s:%s", is_any ? 0 : (int)o.scheme.len, (const char *)o.scheme.ptr, is_any ? "" : "://", is_bare ? "[" : "",
		SLICE_ARGS(host), is_bare ? "]" : "", port);
	if (!rule)
		return false;
	// As a tenon.toml would have it: with its variables, where no more than a port came to it.
	const char *raw = rule;
	if (t->text != t->raw && slice_starts_with(slice_str(rule), slice_str(text)))
		raw = app__format_text(l, "%s%s", t->raw, rule + strlen(text));
	else if (t->is_secret)
		raw = t->raw;
	t->text = rule;
	t->raw = raw;
	return raw != NULL;
}
