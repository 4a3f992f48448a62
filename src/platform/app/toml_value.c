// TOML 1.0: values: strings, numbers, dates and times, arrays, inline tables.
#include "toml_int.h"

#include <math.h>

// ---- strings -------------------------------------------------------------------------------------------------------------------------------

static bool is_control(uint8_t c)
{
	return (c < 0x20 && c != '\t') || c == 0x7f;
}

static int hex_digit(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
		: c >= 'A' && c <= 'F'                                   ? c - 'A' + 10
																 : -1;
}

// \uXXXX and \UXXXXXXXX; p is behind the letter.
static bool unicode(struct toml_reader *r, unsigned digits, uint8_t **out)
{
	uint32_t c = 0;
	const uint8_t *from = r->p - 2;
	for (unsigned i = 0; i < digits; i++, r->p++) {
		int d = r->p < r->end ? hex_digit(*r->p) : -1;
		if (d < 0)
			return toml__fail(r, from, "\\%c has %u hexadecimal digits behind it", from[1], digits);
		c = c << 4 | (uint32_t)d;
	}
	if (!utf_is_scalar(c))
		return toml__fail(r, from, "U+%04X is no character", c);
	*out += utf8_encode(c, *out);
	return true;
}

// A newline behind a backslash, and all white space up to the next text.
static bool fold_lines(struct toml_reader *r)
{
	const uint8_t *from = r->p - 1, *p = r->p;
	while (p < r->end && (*p == ' ' || *p == '\t'))
		p++;
	p += p < r->end && *p == '\r';
	if (p == r->end || *p != '\n')
		return toml__fail(r, from, "\\ is followed by one of b t n f r \" \\ u U, or by the end of the line");
	while (p < r->end && (*p == ' ' || *p == '\t' || *p == '\n' || (*p == '\r' && p + 1 < r->end && p[1] == '\n')))
		p++;
	r->p = p;
	return true;
}

static bool escape(struct toml_reader *r, bool lines, uint8_t **out)
{
	static const char names[] = "btnfr\"\\", values[] = "\b\t\n\f\r\"\\";
	const uint8_t *from = r->p++;
	const char *at = r->p < r->end && *r->p ? strchr(names, *r->p) : NULL;
	if (at) {
		*(*out)++ = (uint8_t)values[at - names];
		r->p++;
		return true;
	}
	if (r->p < r->end && (*r->p == 'u' || *r->p == 'U')) {
		bool is_long = *r->p++ == 'U';
		return unicode(r, is_long ? 8 : 4, out);
	}
	return lines ? fold_lines(r) : toml__fail(r, from, "\\ is followed by one of b t n f r \" \\ u U");
}

// Where a multi-line string ends: at three quotes, of which up to two more belong to the text before them.
static bool ends_lines(struct toml_reader *r, uint8_t quote, uint8_t **out)
{
	size_t n = 0;
	while (n < 5 && (size_t)(r->end - r->p) > n && r->p[n] == quote)
		n++;
	if (n < 3) {
		*(*out)++ = *r->p++;
		return false;
	}
	for (size_t i = 3; i < n; i++)
		*(*out)++ = quote;
	r->p += n;
	return true;
}

// Behind the opening quote(s), up to and with the closing one(s). A character is never longer than how it is written, but for what stands in `out` then.
static bool decode(struct toml_reader *r, const uint8_t *from, uint8_t quote, bool lines, uint8_t **out)
{
	while (r->p < r->end) {
		uint8_t c = *r->p;
		if (c == quote && !lines) {
			r->p++;
			return true;
		}
		if (c == quote) {
			if (ends_lines(r, quote, out))
				return true;
		} else if (c == '\\' && quote == '"') {
			if (!escape(r, lines, out))
				return false;
		} else if (lines && (c == '\n' || (c == '\r' && r->end - r->p > 1 && r->p[1] == '\n'))) {
			r->p += c == '\r' ? 2 : 1;
			*(*out)++ = '\n';
		} else if (c == '\n') {
			break;
		} else if (is_control(c)) {
			return toml__fail(r, r->p, "a control character (0x%02x) in a string", c);
		} else {
			*(*out)++ = c;
			r->p++;
		}
	}
	return toml__fail(r, from, "this string doesn't end");
}

// Where the string ends at the latest: what is decoded has room for it.
static size_t room_for(const struct toml_reader *r, uint8_t quote, bool lines)
{
	const uint8_t *p = r->p;
	for (size_t quotes = 0; p < r->end && (lines || *p != '\n'); p++) {
		quotes = *p == quote ? quotes + 1 : 0;
		if (*p == '\\' && quote == '"' && p + 1 < r->end && p[1] != '\n')
			p++;
		else if (quotes == (lines ? 5 : 1) || (lines && quotes >= 3 && (p + 1 == r->end || p[1] != quote)))
			break;
	}
	return (size_t)(p - r->p) + 1;
}

bool toml__string(struct toml_reader *r, bool lines, struct slice *ret)
{
	const uint8_t *from = r->p;
	uint8_t quote = *r->p;
	bool is_long = r->end - r->p >= 3 && r->p[1] == quote && r->p[2] == quote;
	if (is_long && !lines)
		return toml__fail(r, from, "a key has no lines");
	r->p += is_long ? 3 : 1;
	if (is_long)  // a newline at the very beginning is none of the text
		r->p += r->end - r->p >= 2 && r->p[0] == '\r' && r->p[1] == '\n' ? 2 : r->p < r->end && *r->p == '\n';
	uint8_t *text = arena_alloc(r->arena, room_for(r, quote, is_long), 1), *out = text;
	if (!text)
		return err_nomem(r->e);
	if (!decode(r, from, quote, is_long, &out))
		return false;
	*ret = slice_of(text, (size_t)(out - text));
	return true;
}

// ---- dates and times -----------------------------------------------------------------------------------------------------------------------

// `n` digits at *at, of at most `max` in value; moves on.
static bool digits(struct slice s, size_t *at, size_t n, unsigned min, unsigned max, unsigned *ret)
{
	uint64_t v;
	if (s.len < *at + n || !slice_parse_u64(slice_sub(s, *at, n), max, &v) || v < min)
		return false;
	*at += n;
	*ret = (unsigned)v;
	return true;
}

static bool letter(struct slice s, size_t *at, const char *any)
{
	bool is = *at < s.len && s.ptr[*at] && strchr(any, s.ptr[*at]);
	*at += is;
	return is;
}

static bool is_date(struct slice s, size_t *at)
{
	static const unsigned days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	unsigned year, month, day;
	if (!digits(s, at, 4, 0, 9999, &year) || !letter(s, at, "-") || !digits(s, at, 2, 1, 12, &month) || !letter(s, at, "-") || !digits(s, at, 2, 1, 31, &day))
		return false;
	bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	return day <= days[month - 1] - (month == 2 && !is_leap);
}

static bool is_time(struct slice s, size_t *at)
{
	unsigned v;
	if (!digits(s, at, 2, 0, 23, &v) || !letter(s, at, ":") || !digits(s, at, 2, 0, 59, &v) || !letter(s, at, ":") || !digits(s, at, 2, 0, 60, &v))
		return false;
	if (!letter(s, at, "."))
		return true;
	size_t from = *at;
	while (*at < s.len && s.ptr[*at] >= '0' && s.ptr[*at] <= '9')
		(*at)++;
	return *at > from;
}

static bool is_offset(struct slice s, size_t *at)
{
	unsigned v;
	return letter(s, at, "Zz") || (letter(s, at, "+-") && digits(s, at, 2, 0, 23, &v) && letter(s, at, ":") && digits(s, at, 2, 0, 59, &v));
}

static bool is_datetime(struct slice s)
{
	size_t at = 0;
	if (s.len > 2 && s.ptr[2] == ':')
		return is_time(s, &at) && at == s.len;
	if (!is_date(s, &at))
		return false;
	return at == s.len || (letter(s, &at, "Tt ") && is_time(s, &at) && (at == s.len || (is_offset(s, &at) && at == s.len)));
}

// ---- numbers -------------------------------------------------------------------------------------------------------------------------------

static int digit_in(uint8_t c, int base)
{
	int d = hex_digit(c);
	return d < base ? d : -1;
}

// Digits with an underscore between any two, from *at on; copies them without.
static bool digit_run(struct slice s, size_t *at, int base, char *out, size_t *n)
{
	size_t from = *at;
	for (; *at < s.len && (digit_in(s.ptr[*at], base) >= 0 || s.ptr[*at] == '_'); (*at)++)
		if (s.ptr[*at] == '_' && (*at == from || *at + 1 == s.len || digit_in(s.ptr[*at - 1], base) < 0 || digit_in(s.ptr[*at + 1], base) < 0))
			return false;
		else if (s.ptr[*at] != '_')
			out[(*n)++] = (char)s.ptr[*at];
	return *at > from;
}

static bool put_integer(struct toml_reader *r, const uint8_t *at, const char *text, size_t n, int base, bool negative, struct toml *t)
{
	uint64_t v = 0, most = (uint64_t)INT64_MAX + negative;
	for (size_t i = 0; i < n; i++) {
		uint64_t d = (uint64_t)digit_in((uint8_t)text[i], base);
		if (v > (most - d) / (uint64_t)base)
			return toml__fail(r, at, "a number beyond 64 bits");
		v = v * (uint64_t)base + d;
	}
	t->kind = TOML_INTEGER;
	t->integer = negative ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

// The part behind the whole digits of a number with a fraction or an exponent.
static bool fraction(struct slice s, size_t *at, char *out, size_t *n)
{
	if (*at < s.len && s.ptr[*at] == '.') {
		out[(*n)++] = (char)s.ptr[(*at)++];
		if (!digit_run(s, at, 10, out, n))
			return false;
	}
	if (*at < s.len && (s.ptr[*at] | 0x20) == 'e') {
		out[(*n)++] = (char)s.ptr[(*at)++];
		if (*at < s.len && (s.ptr[*at] == '+' || s.ptr[*at] == '-'))
			out[(*n)++] = (char)s.ptr[(*at)++];
		if (!digit_run(s, at, 10, out, n))
			return false;
	}
	return *at == s.len;
}

// Decimal. *ret: is it one? false: an error was set.
static bool decimal(struct toml_reader *r, const uint8_t *where, struct slice s, struct toml *t, bool *ret)
{
	size_t at = s.len && (s.ptr[0] == '+' || s.ptr[0] == '-'), n = 0;
	bool negative = s.len && s.ptr[0] == '-';
	char *digits_only = arena_alloc(r->arena, s.len + 2, 1);
	if (!digits_only)
		return err_nomem(r->e);
	if (negative)
		digits_only[n++] = '-';
	size_t first = n, from = at;
	*ret = digit_run(s, &at, 10, digits_only, &n) && (s.ptr[from] != '0' || n == first + 1);
	if (!*ret)
		return true;
	if (at == s.len)
		return put_integer(r, where, digits_only + first, n - first, 10, negative, t);
	*ret = fraction(s, &at, digits_only, &n);
	digits_only[n] = 0;
	t->kind = TOML_FLOAT;
	t->real = *ret ? strtod(digits_only, NULL) : 0;
	return true;
}

static bool number(struct toml_reader *r, const uint8_t *where, struct slice s, struct toml *t, bool *ret)
{
	static const struct {
		const char *prefix;
		int base;
	} bases[] = {{"0x", 16}, {"0o", 8}, {"0b", 2}};
	struct slice unsigned_part = slice_sub(s, s.len && (s.ptr[0] == '+' || s.ptr[0] == '-'), s.len);
	if (slice_eq_str(unsigned_part, "inf") || slice_eq_str(unsigned_part, "nan")) {
		t->kind = TOML_FLOAT;
		t->real = copysign(slice_eq_str(unsigned_part, "inf") ? INFINITY : NAN, s.ptr[0] == '-' ? -1 : 1);
		*ret = true;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(bases); i++)
		if (slice_starts_with(s, slice_str(bases[i].prefix))) {
			size_t at = 2, n = 0;
			char *digits_only = arena_alloc(r->arena, s.len, 1);
			if (!digits_only)
				return err_nomem(r->e);
			*ret = digit_run(s, &at, bases[i].base, digits_only, &n) && at == s.len;
			return !*ret || put_integer(r, where, digits_only, n, bases[i].base, false, t);
		}
	return decimal(r, where, s, t, ret);
}

// ---- values --------------------------------------------------------------------------------------------------------------------------------

static bool is_word(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '+' || c == '-' || c == '.' || c == ':';
}

// The run of characters that is a number, a word or a date; with the space between a date and a time.
static struct slice word_here(struct toml_reader *r)
{
	const uint8_t *from = r->p, *p = r->p;
	while (p < r->end && is_word(*p))
		p++;
	if (p - from == 10 && from[4] == '-' && r->end - p >= 3 && p[0] == ' ' && p[1] >= '0' && p[1] <= '9')
		for (p++; p < r->end && is_word(*p);)
			p++;
	r->p = p;
	return slice_of(from, (size_t)(p - from));
}

static bool plain_value(struct toml_reader *r, struct toml *t)
{
	const uint8_t *from = r->p;
	struct slice s = word_here(r);
	bool is = false;
	t->text = s;
	if (s.len == 0)
		return toml__fail(r, from, "a value is missing here");
	if (slice_eq_str(s, "true") || slice_eq_str(s, "false")) {
		t->kind = TOML_BOOL;
		t->truth = s.len == 4;
		return true;
	}
	if (is_datetime(s)) {
		t->kind = TOML_DATETIME;
		return true;
	}
	if (!number(r, from, s, t, &is))
		return false;
	if (is)
		return true;
	bool is_bare_text = s.len && ((s.ptr[0] >= 'a' && s.ptr[0] <= 'z') || (s.ptr[0] >= 'A' && s.ptr[0] <= 'Z') || (s.ptr[0] >= '0' && s.ptr[0] <= '9'));
	toml__fail(r, from, "'%.*s' is no value", (int)min_u64(s.len, 64), (const char *)s.ptr);
	return is_bare_text ? err_hint(r->e, "text stands in quotes: \"%.*s\"", (int)min_u64(s.len, 64), (const char *)s.ptr) : false;
}

static bool array(struct toml_reader *r, uint32_t depth, struct toml *t)
{
	const uint8_t *from = r->p++;
	t->kind = TOML_ARRAY;
	t->made = TOML_FROZEN;
	for (;;) {
		struct toml *value;
		if (!toml__skip_lines(r))
			return false;
		if (r->p == r->end)
			return toml__fail(r, from, "this array doesn't end");
		if (*r->p == ']')
			break;
		if (!toml__value(r, depth + 1, &value) || !toml__skip_lines(r))
			return false;
		if (!toml_append(r->arena, t, value))
			return err_nomem(r->e);
		if (r->p < r->end && *r->p == ',')
			r->p++;
		else if (r->p == r->end || *r->p != ']')
			return toml__fail(r, r->p, "a comma or ] is missing in the array");
	}
	r->p++;
	return true;
}

static bool inline_table(struct toml_reader *r, uint32_t depth, struct toml *t)
{
	const uint8_t *from = r->p++;
	uint32_t section = ++r->sections;
	t->kind = TOML_TABLE;
	toml__skip_blanks(r);
	bool more = r->p < r->end && *r->p != '}';
	while (more) {
		struct toml_key key;
		struct toml *value;
		if (!toml__key(r, &key))
			return false;
		if (r->p == r->end || *r->p != '=')
			return toml__fail(r, r->p, "= is missing behind the key");
		r->p++;
		toml__skip_blanks(r);
		if (!toml__value(r, depth + key.n, &value) || !toml__put(r, t, section, &key, value))
			return false;
		toml__skip_blanks(r);
		more = r->p < r->end && *r->p == ',';
		r->p += more;
	}
	if (r->p == r->end || *r->p != '}')
		return toml__fail(r, r->p == r->end ? from : r->p, "a comma or } is missing: a table in braces stands on one line");
	r->p++;
	t->made = TOML_FROZEN;
	return true;
}

bool toml__value(struct toml_reader *r, uint32_t depth, struct toml **ret)
{
	struct toml *t = toml__new(r, TOML_STRING, r->p);
	if (!t)
		return false;
	if (depth > APP_MAX_DEPTH)
		return toml__fail(r, r->p, "more than %d tables and arrays in each other", APP_MAX_DEPTH);
	*ret = t;
	uint8_t c = r->p < r->end ? *r->p : 0;
	return c == '"' || c == '\'' ? toml__string(r, true, &t->text) : c == '[' ? array(r, depth, t)
		: c == '{'                                                            ? inline_table(r, depth, t)
																			  : plain_value(r, t);
}
