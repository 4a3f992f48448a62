// Names of imports and exports and their versions: Explainer, "Import and Export Definitions", "Name Uniqueness", "Canonical Interface Name";
// semver.org 2.0. Wordings of refusals follow the specification's tests.
#include "wit_int.h"

// ---- versions ----

struct cursor {
	struct slice s;
	size_t at;
};

static bool at_end(const struct cursor *c)
{
	return c->at == c->s.len;
}

static bool unexpected(const struct cursor *c, const char *part, struct err *e)
{
	uint32_t ch = 0;
	if (at_end(c))
		return err_set(e, ERR_INVALID, "unexpected end of input while parsing %s", part);
	unsigned n = utf8_decode(slice_sub(c->s, c->at, SIZE_MAX), &ch);
	return err_set(e, ERR_INVALID, "unexpected character '%.*s' while parsing %s", (int)(n ? n : 1), (const char *)c->s.ptr + c->at, part);
}

static bool take_number(struct cursor *c, const char *part, uint64_t *ret, struct err *e)
{
	size_t from = c->at;
	uint64_t v = 0;
	for (; !at_end(c) && c->s.ptr[c->at] >= '0' && c->s.ptr[c->at] <= '9'; c->at++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, c->s.ptr[c->at] - '0', &v))
			return err_set(e, ERR_INVALID, "value of %s exceeds 2^64 - 1", part);
	if (c->at == from)
		return unexpected(c, part, e);
	if (c->s.ptr[from] == '0' && c->at - from > 1)
		return err_set(e, ERR_INVALID, "invalid leading zero in %s", part);
	*ret = v;
	return true;
}

// Identifiers joined by '.'; numeric ones without leading zero in a pre-release.
static bool take_identifiers(struct cursor *c, bool is_pre, struct slice *ret, struct err *e)
{
	const char *part = is_pre ? "pre-release identifier" : "build metadata";
	size_t from = c->at, seg = c->at;
	bool digits = true;
	for (;; c->at++) {
		uint8_t ch = at_end(c) ? 0 : c->s.ptr[c->at];
		bool is_digit = ch >= '0' && ch <= '9', is_alpha = (wit__lower(ch) >= 'a' && wit__lower(ch) <= 'z') || ch == '-';
		if (is_digit || is_alpha) {
			digits &= is_digit;
			continue;
		}
		if (c->at == seg)
			return err_set(e, ERR_INVALID, "empty identifier segment in %s", part);
		if (is_pre && digits && c->at - seg > 1 && c->s.ptr[seg] == '0')
			return err_set(e, ERR_INVALID, "invalid leading zero in %s", part);
		if (ch != '.')
			break;
		seg = c->at + 1;
		digits = true;
	}
	*ret = slice_sub(c->s, from, c->at - from);
	return true;
}

static bool take_dot(struct cursor *c, const char *part, struct err *e)
{
	if (at_end(c) || c->s.ptr[c->at] != '.')
		return unexpected(c, part, e);
	c->at++;
	return true;
}

// `1`, `0.2`, `0.0.1`: where a canonical version may end.
static bool canonical_ends(const struct cursor *c, bool allow, uint64_t nonzero)
{
	return allow && at_end(c) && nonzero != 0;
}

bool wit__version_parse(struct slice s, bool allow_canonical, struct wit_version *ret, struct err *e)
{
	struct cursor c = {s, 0};
	struct wit_version v = {.present = true, .text = s};
	if (s.len == 0)
		return err_set(e, ERR_INVALID, "empty string, expected a semver version");
	if (s.len > 256)
		return err_set(e, ERR_INVALID, "version is longer than 256 bytes");
	if (!take_number(&c, "major version number", &v.major, e))
		return false;
	if (!canonical_ends(&c, allow_canonical, v.major)) {
		if (!take_dot(&c, "major version number", e) || !take_number(&c, "minor version number", &v.minor, e))
			return false;
		if (!canonical_ends(&c, allow_canonical && v.major == 0, v.minor)) {
			if (!take_dot(&c, "minor version number", e) || !take_number(&c, "patch version number", &v.patch, e))
				return false;
			if (!at_end(&c) && c.s.ptr[c.at] == '-') {
				c.at++;
				if (!take_identifiers(&c, true, &v.pre, e))
					return false;
			}
			if (!at_end(&c) && c.s.ptr[c.at] == '+') {
				c.at++;
				if (!take_identifiers(&c, false, &v.build, e))
					return false;
			}
		}
	}
	if (!at_end(&c))
		return unexpected(&c, v.build.len ? "build metadata" : v.pre.len ? "pre-release identifier"
																		 : "patch version number",
			e);
	*ret = v;
	return true;
}

bool wit_version_parse(struct slice s, bool allow_canonical, struct wit_version *ret)
{
	return wit__version_parse(s, allow_canonical, ret, NULL);
}

bool wit_version_compatible(const struct wit_version *a, const struct wit_version *b)
{
	if (!a->present || !b->present)
		return a->present == b->present;
	if (a->pre.len || b->pre.len)
		return slice_eq(a->text, b->text);
	if (a->major != b->major)
		return false;
	if (a->major)
		return true;
	return a->minor == b->minor && (a->minor || a->patch == b->patch);
}

static int cmp_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static bool is_number(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return false;
	return s.len > 0;
}

static int pre_compare(struct slice a, struct slice b)
{
	if (!a.len || !b.len)
		return (a.len == 0) - (b.len == 0);  // a release comes after its pre-releases
	while (a.len && b.len) {
		struct slice x = slice_sub(a, 0, slice_find(a, '.')), y = slice_sub(b, 0, slice_find(b, '.'));
		bool nx = is_number(x), ny = is_number(y);
		int r = nx && ny ? (x.len != y.len ? cmp_u64(x.len, y.len) : slice_cmp(x, y)) : nx != ny ? (nx ? -1 : 1)
																								 : slice_cmp(x, y);
		if (r)
			return r;
		a = slice_sub(a, x.len + 1, SIZE_MAX);
		b = slice_sub(b, y.len + 1, SIZE_MAX);
	}
	return (a.len > 0) - (b.len > 0);
}

int wit__version_compare(const struct wit_version *a, const struct wit_version *b)
{
	int r = (int)a->present - (int)b->present;
	r = r ? r : cmp_u64(a->major, b->major);
	r = r ? r : cmp_u64(a->minor, b->minor);
	r = r ? r : cmp_u64(a->patch, b->patch);
	return r ? r : pre_compare(a->pre, b->pre);
}

// ---- names ----

bool wit__label_is_valid(struct slice s)
{
	enum { START, LOWER, UPPER, DIGITS } state = START;
	bool first = true;
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];
		bool lower = c >= 'a' && c <= 'z', upper = c >= 'A' && c <= 'Z', digit = c >= '0' && c <= '9';
		if (c == '-') {
			if (state == START)
				return false;
			state = START;
			first = false;
		} else if (lower && state != UPPER) {
			state = LOWER;
		} else if (upper && state != LOWER) {
			state = UPPER;
		} else if (digit && !(first && state == START)) {
			if (state == START)
				state = DIGITS;
		} else {
			return false;
		}
	}
	return state != START;
}

bool wit__words_are_valid(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] >= 'A' && s.ptr[i] <= 'Z')
			return false;
	return wit__label_is_valid(s);
}

static bool not_kebab(struct slice whole, struct slice part, struct err *e)
{
	err_set(e, ERR_INVALID, "`%.*s` is not a valid extern name: `%.*s` is not in kebab case", SLICE_ARGS(whole), SLICE_ARGS(part));
	return err_hint(e, "names are words of lower-case letters and digits (acronyms in upper case) joined by '-', or `namespace:package/interface@version`");
}

static bool label_check(struct slice whole, struct slice part, struct err *e)
{
	return wit__label_is_valid(part) || not_kebab(whole, part, e);
}

static bool parse_annotated(struct slice s, struct wit_name *n, struct err *e)
{
	struct slice rest = slice_sub(s, slice_find(s, ']') + 1, SIZE_MAX);
	if (slice_starts_with(s, SLICE_LIT("[constructor]"))) {
		n->kind = WIT_NAME_CONSTRUCTOR;
		n->resource = rest;
		return label_check(s, rest, e);
	}
	n->kind = slice_starts_with(s, SLICE_LIT("[method]")) ? WIT_NAME_METHOD : WIT_NAME_STATIC;
	if (n->kind == WIT_NAME_STATIC && !slice_starts_with(s, SLICE_LIT("[static]")))
		return err_set(e, ERR_INVALID, "`%.*s` is not a valid extern name: unknown annotation, not in kebab case", SLICE_ARGS(s));
	size_t dot = slice_find(rest, '.');
	if (dot == rest.len)
		return err_set(e, ERR_INVALID, "failed to find `.` character in `%.*s`", SLICE_ARGS(s));
	n->resource = slice_sub(rest, 0, dot);
	n->label = slice_sub(rest, dot + 1, SIZE_MAX);
	return label_check(s, n->resource, e) && label_check(s, n->label, e);
}

// namespace+ words: all up to the first '/'; the last ':' stands before the package.
static bool parse_package(struct slice whole, struct slice path, struct wit_name *n, struct err *e)
{
	size_t colon = path.len;
	while (colon > 0 && path.ptr[colon - 1] != ':')
		colon--;
	n->ns = slice_sub(path, 0, colon - 1);
	n->package = slice_sub(path, colon, SIZE_MAX);
	for (struct slice rest = path;;) {
		struct slice part = slice_sub(rest, 0, slice_find(rest, ':'));
		if (!wit__words_are_valid(part))
			return not_kebab(whole, part, e);
		if (part.len == rest.len)
			return true;
		rest = slice_sub(rest, part.len + 1, SIZE_MAX);
	}
}

// projection+: the last one is the interface, those before it belong to the package.
static bool parse_projections(struct slice whole, struct slice path, struct wit_name *n, struct err *e)
{
	for (struct slice rest = path;;) {
		n->iface = slice_sub(rest, 0, slice_find(rest, '/'));
		if (!label_check(whole, n->iface, e))
			return false;
		if (n->iface.len == rest.len)
			break;
		rest = slice_sub(rest, n->iface.len + 1, SIZE_MAX);
	}
	if (n->iface.len < path.len)
		n->package.len += path.len - n->iface.len;
	return true;
}

// interfacename, nested ones included: a package may lie in several namespaces and have a path of its own.
static bool parse_interface(struct slice s, struct wit_name *n, struct err *e)
{
	struct slice path = slice_sub(s, 0, slice_find(s, '@'));
	size_t slash = slice_find(path, '/');
	n->kind = WIT_NAME_INTERFACE;
	if (!parse_package(s, slice_sub(path, 0, slash), n, e))
		return false;
	if (slash == path.len)
		return err_set(e, ERR_INVALID, "`%.*s` is not a valid extern name: expected `/` after package name", SLICE_ARGS(s));
	if (!parse_projections(s, slice_sub(path, slash + 1, SIZE_MAX), n, e))
		return false;
	if (path.len == s.len)
		return true;
	return wit__version_parse(slice_sub(s, path.len + 1, SIZE_MAX), true, &n->version, e) ||
		err_note(e, "`%.*s` is not a valid extern name", SLICE_ARGS(s));
}

// Forms of names that components had once: today's grammar has plain names and names of interfaces only.
static bool is_reference(struct slice s)
{
	static const char *const forms[] = {"url=<", "integrity=<", "locked-dep=<", "unlocked-dep=<"};
	for (size_t i = 0; i < ARRAY_LEN(forms); i++)
		if (slice_starts_with(s, slice_str(forms[i])))
			return true;
	return false;
}

bool wit_name_parse(struct slice s, bool is_export, struct wit_name *ret, struct err *e)
{
	struct wit_name n = {.kind = WIT_NAME_LABEL, .text = s};
	if (is_reference(s))
		return err_set(e, ERR_UNSUPPORTED, "`%.*s` is not a valid extern name: names of URLs, hashes and dependencies are not supported", SLICE_ARGS(s));
	if (s.len && s.ptr[0] == '[') {
		if (!parse_annotated(s, &n, e))
			return false;
	} else if (slice_find(s, ':') < s.len) {
		if (!parse_interface(s, &n, e))
			return false;
	} else {
		n.label = s;
		if (!label_check(s, s, e))
			return false;
	}
	*ret = n;
	return true;
}

// The last candidate of WASI 0.3.0, which today's toolchains import beside the release: its interfaces are those of the release, word for word (who links
// compares the types all the same).
static struct slice release_of(const struct wit_name *n)
{
	return slice_eq_str(n->ns, "wasi") && slice_eq_str(n->version.text, "0.3.0-rc-2026-03-15") ? SLICE_LIT("0.3.0") : n->version.text;
}

static bool versions_serve(const struct wit_name *have, const struct wit_name *want)
{
	struct wit_version a, b;
	if (!have->version.pre.len && !want->version.pre.len)
		return wit_version_compatible(&have->version, &want->version);
	return wit_version_parse(release_of(have), false, &a) && wit_version_parse(release_of(want), false, &b) && wit_version_compatible(&a, &b);
}

bool wit_name_serves(const struct wit_name *have, const struct wit_name *want)
{
	if (have->kind != want->kind)
		return false;
	if (have->kind != WIT_NAME_INTERFACE)
		return slice_eq(have->text, want->text);
	return slice_eq(have->ns, want->ns) && slice_eq(have->package, want->package) && slice_eq(have->iface, want->iface) &&
		versions_serve(have, want);
}

static struct slice without_version(struct slice name)
{
	return slice_sub(name, 0, slice_find(name, '@'));
}

size_t wit_name_find(struct slice want_text, struct slice (*at)(const void *list, size_t i), const void *list, size_t n)
{
	struct wit_name want, have;
	struct wit_version newest = {0};
	size_t found = SIZE_MAX;
	bool is_name = wit_name_parse(want_text, true, &want, NULL);
	for (size_t i = 0; i < n; i++) {
		struct slice text = at(list, i);
		if (slice_eq(text, want_text))
			return i;
		if (!is_name || !slice_eq(without_version(text), without_version(want_text)) || !wit_name_parse(text, true, &have, NULL) || !wit_name_serves(&have, &want))
			continue;
		if (found == SIZE_MAX || wit__version_compare(&have.version, &newest) > 0) {
			newest = have.version;
			found = i;
		}
	}
	return found;
}

// Case and hyphens tell no two names apart, but in a version.
size_t wit_name_unique_key(struct slice s, uint8_t *out)
{
	size_t n = 0, skip = 0, version = slice_find(s, '@');
	if (s.len && s.ptr[0] == '[' && !slice_starts_with(s, SLICE_LIT("[constructor]"))) {
		size_t end = slice_find(s, ']');
		skip = end < s.len ? end + 1 : 0;
	}
	for (size_t i = skip; i < s.len; i++)
		if (s.ptr[i] != '-' || i > version)
			out[n++] = wit__lower(s.ptr[i]);
	if (skip) {
		size_t dot = slice_find(slice_of(out, n), '.');
		if (dot < n && n - dot - 1 == dot && memcmp(out, out + dot + 1, dot) == 0)
			n = dot;
	}
	return n;
}
