// The grammar of v0 is in RFC 2603, one function a production. Back references may make a name of exponential length: output and depth are bounded,
// and each production takes a step.
#include "demangle.h"

#include "base_int.h"

#include <stdio.h>

#define MAX_DEPTH 64
#define MAX_STEPS 2000

struct v0 {
	struct slice s;  // behind "_R"
	size_t at;
	struct buf *out;
	unsigned depth, steps;
	bool quiet;  // parsed, not printed
	bool failed;
};

static void put(struct v0 *d, const char *text)
{
	if (!d->quiet)
		d->failed |= !buf_put_str(d->out, text);
}

static void put_slice(struct v0 *d, struct slice s)
{
	if (!d->quiet)
		d->failed |= !buf_put_slice(d->out, s);
}

static uint8_t peek(const struct v0 *d)
{
	return d->at < d->s.len ? d->s.ptr[d->at] : 0;
}

static bool take(struct v0 *d, uint8_t c)
{
	bool yes = peek(d) == c;
	d->at += yes;
	return yes;
}

static uint64_t fail(struct v0 *d)
{
	d->failed = true;
	return 0;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

// base-62-number: digits, lower case, upper case, then '_'; "_" is 0, "0_" is 1.
static uint64_t base62(struct v0 *d)
{
	uint64_t v = 0;
	if (take(d, '_'))
		return 0;
	for (;;) {
		uint8_t c = peek(d);
		uint64_t digit;
		if (c == '_')
			break;
		if (is_digit(c))
			digit = (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'z')
			digit = (uint64_t)(c - 'a') + 10;
		else if (c >= 'A' && c <= 'Z')
			digit = (uint64_t)(c - 'A') + 36;
		else
			return fail(d);
		if (v > UINT64_MAX / 64)
			return fail(d);
		v = v * 62 + digit;
		d->at++;
	}
	d->at++;
	return v + 1;
}

static uint64_t decimal(struct v0 *d)
{
	uint64_t v = 0;
	if (!is_digit(peek(d)))
		return fail(d);
	if (take(d, '0'))
		return 0;
	while (is_digit(peek(d)) && v < 1000000)
		v = v * 10 + (uint64_t)(d->s.ptr[d->at++] - '0');
	return v;
}

static uint64_t disambiguator(struct v0 *d)
{
	return take(d, 's') ? base62(d) + 1 : 0;
}

// A number and as many bytes.
static struct slice counted(struct v0 *d, bool with_separator)
{
	uint64_t n = decimal(d);
	if (with_separator)
		take(d, '_');
	struct slice s = slice_sub(d->s, d->at, n);
	if (s.len != n)
		fail(d);
	d->at += s.len;
	return s;
}

static struct slice identifier(struct v0 *d, bool *ret_is_punycode)
{
	*ret_is_punycode = take(d, 'u');
	return counted(d, true);
}

static void put_identifier(struct v0 *d, struct slice s, bool is_punycode)
{
	put(d, is_punycode ? "punycode{" : "");
	put_slice(d, s);
	put(d, is_punycode ? "}" : "");
}

static void path(struct v0 *d, bool in_value);
static void type(struct v0 *d);

static bool enter(struct v0 *d)
{
	if (d->failed || ++d->steps > MAX_STEPS || d->depth >= MAX_DEPTH)
		return fail(d);
	d->depth++;
	return true;
}

// What stands at an earlier place, parsed again.
static void backref(struct v0 *d, void (*parse)(struct v0 *d))
{
	size_t here = d->at - 1, to = base62(d), behind = d->at;
	if (d->failed || to >= here) {
		fail(d);
		return;
	}
	if (!d->quiet) {  // nothing is to be learned from it but its text
		d->at = to;
		parse(d);
	}
	d->at = behind;
}

static void path_in_type(struct v0 *d)
{
	path(d, false);
}

static void path_in_value(struct v0 *d)
{
	path(d, true);
}

static void impl_path(struct v0 *d)
{
	bool quiet = d->quiet;
	disambiguator(d);
	d->quiet = true;
	path(d, false);
	d->quiet = quiet;
}

static void nested(struct v0 *d, bool in_value)
{
	uint8_t ns = peek(d);
	bool is_punycode;
	d->at++;
	path(d, in_value);
	uint64_t index = disambiguator(d);
	struct slice name = identifier(d, &is_punycode);
	if (ns >= 'a' && ns <= 'z') {
		put(d, name.len ? "::" : "");
		put_identifier(d, name, is_punycode);
		return;
	}
	char number[32];
	snprintf(number, sizeof number, "#%llu}", (unsigned long long)index);
	put(d, ns == 'C' ? "::{closure" : ns == 'S' ? "::{shim"
												: "::{");
	put(d, name.len ? ":" : "");
	put_identifier(d, name, is_punycode);
	put(d, number);
}

// const: its value; types are left out.
static void constant(struct v0 *d)
{
	if (!enter(d))
		return;
	if (take(d, 'B')) {
		backref(d, constant);
	} else if (take(d, 'p')) {
		put(d, "_");
	} else {
		bool quiet = d->quiet;
		uint8_t kind = peek(d);
		d->quiet = true;
		type(d);
		d->quiet = quiet;
		put(d, take(d, 'n') ? "-" : "");
		size_t from = d->at;
		uint64_t v = 0;
		while (is_digit(peek(d)) || (peek(d) >= 'a' && peek(d) <= 'f')) {
			uint8_t c = d->s.ptr[d->at++];
			v = v << 4 | (uint64_t)(is_digit(c) ? c - '0' : c - 'a' + 10);
		}
		size_t n = d->at - from;
		char text[32];
		if (!take(d, '_'))
			fail(d);
		if (kind == 'b')
			put(d, v ? "true" : "false");
		else if (n <= 16 && snprintf(text, sizeof text, "%llu", (unsigned long long)v) > 0)
			put(d, text);
		else
			put(d, "_");
	}
	d->depth--;
}

static void generic_args(struct v0 *d)
{
	bool first = true;
	while (!d->failed && !take(d, 'E')) {
		put(d, first ? "" : ", ");
		first = false;
		if (take(d, 'L')) {
			base62(d);
			put(d, "'_");
		} else if (take(d, 'K')) {
			constant(d);
		} else {
			type(d);
		}
	}
}

static void path(struct v0 *d, bool in_value)
{
	bool is_punycode;
	if (!enter(d))
		return;
	uint8_t tag = peek(d);
	d->at++;
	switch (tag) {
	case 'C': {
		disambiguator(d);
		struct slice name = identifier(d, &is_punycode);
		put_identifier(d, name, is_punycode);
		break;
	}
	case 'N':
		nested(d, in_value);
		break;
	case 'M':
	case 'X':
	case 'Y':
		if (tag != 'Y')
			impl_path(d);
		put(d, "<");
		type(d);
		if (tag != 'M') {
			put(d, " as ");
			path(d, false);
		}
		put(d, ">");
		break;
	case 'I':
		path(d, in_value);
		put(d, in_value ? "::<" : "<");
		generic_args(d);
		put(d, ">");
		break;
	case 'B':
		backref(d, in_value ? path_in_value : path_in_type);
		break;
	default:
		fail(d);
	}
	d->depth--;
}

static const char *basic_type(uint8_t tag)
{
	static const char *const names[26] = {"i8", "bool", "char", "f64", "str", "f32", NULL, "u8", "isize", "usize", NULL, "i32", "u32", "i128", "u128", "_", NULL,
		NULL, "i16", "u16", "()", "...", NULL, "i64", "u64", "!"};
	return tag >= 'a' && tag <= 'z' ? names[tag - 'a'] : NULL;
}

static void tuple(struct v0 *d)
{
	unsigned n = 0;
	put(d, "(");
	for (; !d->failed && !take(d, 'E'); n++) {
		put(d, n ? ", " : "");
		type(d);
	}
	put(d, n == 1 ? ",)" : ")");
}

static void binder(struct v0 *d)
{
	if (take(d, 'G'))
		base62(d);
}

static void fn_sig(struct v0 *d)
{
	bool is_punycode;
	binder(d);
	put(d, take(d, 'U') ? "unsafe " : "");
	if (take(d, 'K') && !take(d, 'C'))
		identifier(d, &is_punycode);
	put(d, "fn(");
	for (unsigned n = 0; !d->failed && !take(d, 'E'); n++) {
		put(d, n ? ", " : "");
		type(d);
	}
	put(d, ")");
	if (take(d, 'u'))  // the unit type
		return;
	put(d, " -> ");
	type(d);
}

// A trait with its arguments and associated types in one pair of brackets.
static void dyn_trait(struct v0 *d)
{
	bool is_punycode, is_open = take(d, 'I');
	path(d, false);
	if (is_open) {
		put(d, "<");
		generic_args(d);
	}
	while (!d->failed && take(d, 'p')) {
		struct slice name = identifier(d, &is_punycode);
		put(d, is_open ? ", " : "<");
		is_open = true;
		put_identifier(d, name, is_punycode);
		put(d, " = ");
		type(d);
	}
	put(d, is_open ? ">" : "");
}

static void dyn_bounds(struct v0 *d)
{
	put(d, "dyn ");
	binder(d);
	for (unsigned n = 0; !d->failed && !take(d, 'E'); n++) {
		put(d, n ? " + " : "");
		dyn_trait(d);
	}
	if (take(d, 'L'))
		base62(d);
}

static void reference(struct v0 *d, const char *mark)
{
	put(d, mark);
	if (take(d, 'L'))
		base62(d);
	type(d);
}

static void type(struct v0 *d)
{
	if (!enter(d))
		return;
	uint8_t tag = peek(d);
	const char *basic = basic_type(tag);
	d->at++;
	if (basic) {
		put(d, basic);
	} else if (tag == 'A' || tag == 'S') {
		put(d, "[");
		type(d);
		if (tag == 'A') {
			put(d, "; ");
			constant(d);
		}
		put(d, "]");
	} else if (tag == 'T') {
		tuple(d);
	} else if (tag == 'R' || tag == 'Q') {
		reference(d, tag == 'R' ? "&" : "&mut ");
	} else if (tag == 'P' || tag == 'O') {
		put(d, tag == 'P' ? "*const " : "*mut ");
		type(d);
	} else if (tag == 'F') {
		fn_sig(d);
	} else if (tag == 'D') {
		dyn_bounds(d);
	} else if (tag == 'B') {
		backref(d, type);
	} else {
		d->at--;
		path(d, false);
	}
	d->depth--;
}

static bool demangle_v0(struct buf *out, struct slice name)
{
	struct v0 d = {.s = slice_sub(name, 2, SIZE_MAX), .out = out};
	if (!slice_starts_with(name, SLICE_LIT("_R")) || d.s.len == 0)
		return false;
	path(&d, true);
	bool quiet = d.quiet;
	d.quiet = true;
	if (!d.failed && d.at < d.s.len && peek(&d) != '.')  // the crate that made the instance
		path(&d, false);
	d.quiet = quiet;
	return !d.failed && (d.at == d.s.len || peek(&d) == '.');
}

// ---- the legacy scheme ----------------------------------------------------------------------------------------------------------------

static void put_legacy(struct buf *out, struct slice s)
{
	static const struct {
		const char *code, *text;
	} escapes[] = {{"$SP$", "@"}, {"$BP$", "*"}, {"$RF$", "&"}, {"$LT$", "<"}, {"$GT$", ">"}, {"$LP$", "("}, {"$RP$", ")"}, {"$C$", ","}, {"$u20$", " "},
		{"$u27$", "'"}, {"$u3b$", ";"}, {"$u5b$", "["}, {"$u5d$", "]"}, {"$u7b$", "{"}, {"$u7d$", "}"}, {"$u7e$", "~"}, {"$u3d$", "="}, {"$u2b$", "+"},
		{"..", "::"}};
	if (slice_starts_with(s, SLICE_LIT("_$")))
		s = slice_sub(s, 1, SIZE_MAX);
	while (s.len) {
		size_t i = 0, n = 1;
		while (i < ARRAY_LEN(escapes) && !slice_starts_with(s, slice_str(escapes[i].code)))
			i++;
		if (i < ARRAY_LEN(escapes)) {
			buf_put_str(out, escapes[i].text);
			n = strlen(escapes[i].code);
		} else {
			buf_put_byte(out, s.ptr[0]);
		}
		s = slice_sub(s, n, SIZE_MAX);
	}
}

static bool is_hash(struct slice s)
{
	if (s.len != 17 || s.ptr[0] != 'h')
		return false;
	for (size_t i = 1; i < s.len; i++)
		if (!is_digit(s.ptr[i]) && !(s.ptr[i] >= 'a' && s.ptr[i] <= 'f'))
			return false;
	return true;
}

// _ZN, parts with their lengths, at least one, then a hash (else it is C++), E.
static bool demangle_legacy(struct buf *out, struct slice name)
{
	struct v0 d = {.s = slice_sub(name, 3, SIZE_MAX)};
	bool hashed = false;
	if (!slice_starts_with(name, SLICE_LIT("_ZN")))
		return false;
	for (unsigned n = 0; !d.failed && peek(&d) != 'E'; n++) {
		struct slice part = counted(&d, false);
		hashed = is_hash(part) && peek(&d) == 'E';
		if (hashed || d.failed)
			break;
		if (n)
			buf_put_str(out, "::");
		put_legacy(out, part);
	}
	return !d.failed && hashed && out->len && !out->failed;
}

void demangle(struct buf *out, struct slice name)
{
	uint8_t bytes[DEMANGLE_MAX];
	struct buf text = {.ptr = bytes, .cap = sizeof bytes, .max = sizeof bytes};
	bool ok = demangle_v0(&text, name);
	if (!ok) {
		buf_clear(&text);
		ok = demangle_legacy(&text, name);
	}
	if (!ok) {
		buf_clear(&text);
		ok = base__demangle_cxx(&text, name);
	}
	buf_put_slice(out, ok && !text.failed ? buf_view(&text) : slice_sub(name, 0, DEMANGLE_MAX));
}
