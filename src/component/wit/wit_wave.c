// WAVE, read: values as text, by type (wit_wave_print.c writes them). The reader follows the type, not the text, so that its recursion is bounded by WIT_MAX_DEPTH.
#include <math.h>

#include "wit_int.h"

#define WAVE_MAX_BYTES (1u << 28)  // of one list

bool wit__wave_is_keyword(struct slice s)
{
	static const char *const words[] = {"true", "false", "inf", "nan", "some", "none", "ok", "err"};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_eq_str(s, words[i]))
			return true;
	return false;
}

// ---- reading ----

struct reader {
	struct arena *a;
	struct slice text;
	size_t at;
	struct err *e;
	struct map indexes;  // large type's address → struct map of its members' names
};

static bool read_value(struct reader *r, const struct wit_type *t, void *out);

static uint8_t peek(const struct reader *r)
{
	return r->at < r->text.len ? r->text.ptr[r->at] : 0;
}

static void skip_space(struct reader *r)
{
	for (;;) {
		uint8_t c = peek(r);
		if (r->at < r->text.len && (c == ' ' || c == '\t' || c == '\n' || c == '\r')) {
			r->at++;
		} else if (c == '/' && r->at + 1 < r->text.len && r->text.ptr[r->at + 1] == '/') {
			while (r->at < r->text.len && peek(r) != '\n')
				r->at++;
		} else {
			return;
		}
	}
}

static bool expected(struct reader *r, const char *what)
{
	struct slice found = slice_sub(r->text, r->at, 16);
	while (found.len && !utf8_is_valid(found))
		found.len--;
	if (r->at >= r->text.len)
		return err_set_at(r->e, ERR_USAGE, r->at, "expected %s at the end of the text", what);
	return err_set_at(r->e, ERR_USAGE, r->at, "expected %s at offset %zu, found `%.*s`", what, r->at, SLICE_ARGS(found));
}

static bool is_next(struct reader *r, char c)
{
	skip_space(r);
	return r->at < r->text.len && peek(r) == (uint8_t)c;
}

static bool skip_char(struct reader *r, char c)
{
	bool there = is_next(r, c);
	r->at += there;
	return there;
}

static bool take_char(struct reader *r, char c)
{
	char what[] = {'`', c, '`', 0};
	return skip_char(r, c) || expected(r, what);
}

// A label with its '%', if there is one here.
static bool take_label(struct reader *r, struct slice *ret, bool *ret_escaped)
{
	skip_space(r);
	size_t from = r->at, end;
	*ret_escaped = peek(r) == '%';
	from += *ret_escaped;
	for (end = from; end < r->text.len; end++) {
		uint8_t c = r->text.ptr[end];
		if (!((c >= '0' && c <= '9') || (wit__lower(c) >= 'a' && wit__lower(c) <= 'z') || c == '-'))
			break;
	}
	*ret = slice_sub(r->text, from, end - from);
	if (!wit__label_is_valid(*ret))
		return false;
	r->at = end;
	return true;
}

// The word, unless it is part of a longer one.
static bool skip_word(struct reader *r, const char *word)
{
	size_t from = r->at;
	struct slice label;
	bool escaped;
	if (take_label(r, &label, &escaped) && !escaped && slice_eq_str(label, word))
		return true;
	r->at = from;
	return false;
}

static size_t digits(const struct reader *r, size_t at)
{
	size_t n = 0;
	while (at + n < r->text.len && r->text.ptr[at + n] >= '0' && r->text.ptr[at + n] <= '9')
		n++;
	return n;
}

// number ::= '-'? ('0' | [1-9][0-9]*) ('.' [0-9]+)? ([eE] [+-]? [0-9]+)?
static bool take_number(struct reader *r, struct slice *ret, bool *ret_is_integer)
{
	skip_space(r);
	size_t at = r->at + (peek(r) == '-'), n = digits(r, at);
	*ret_is_integer = true;
	if (n == 0 || (n > 1 && r->text.ptr[at] == '0'))
		return expected(r, "a number");
	at += n;
	if (at < r->text.len && r->text.ptr[at] == '.') {
		n = digits(r, at + 1);
		if (!n)
			return expected(r, "a number");
		at += n + 1;
		*ret_is_integer = false;
	}
	if (at < r->text.len && (r->text.ptr[at] == 'e' || r->text.ptr[at] == 'E')) {
		size_t sign = at + 1 < r->text.len && (r->text.ptr[at + 1] == '+' || r->text.ptr[at + 1] == '-');
		n = digits(r, at + 1 + sign);
		if (!n)
			return expected(r, "a number");
		at += 1 + sign + n;
		*ret_is_integer = false;
	}
	*ret = slice_sub(r->text, r->at, at - r->at);
	r->at = at;
	return true;
}

static bool read_integer(struct reader *r, const struct wit_type *t, void *out)
{
	static const struct {
		uint64_t max, min;  // the greatest number, the greatest with a minus
	} ranges[WIT_N_PRIMITIVES] = {
		[WIT_S8] = {INT8_MAX, 1u << 7},
		[WIT_U8] = {UINT8_MAX, 0},
		[WIT_S16] = {INT16_MAX, 1u << 15},
		[WIT_U16] = {UINT16_MAX, 0},
		[WIT_S32] = {INT32_MAX, 1u << 31},
		[WIT_U32] = {UINT32_MAX, 0},
		[WIT_S64] = {INT64_MAX, UINT64_C(1) << 63},
		[WIT_U64] = {UINT64_MAX, 0},
	};
	struct slice s;
	bool is_integer;
	uint64_t v;
	skip_space(r);
	size_t from = r->at;
	if (!take_number(r, &s, &is_integer))
		return false;
	bool minus = s.ptr[0] == '-';
	if (!is_integer || !slice_parse_u64(slice_sub(s, minus, SIZE_MAX), minus ? ranges[t->kind].min : ranges[t->kind].max, &v)) {
		r->at = from;
		return err_set_at(r->e, ERR_USAGE, from, "`%.*s` is not a value of %s", SLICE_ARGS(s), wit_kind_name(t->kind));
	}
	if (minus)
		v = 0 - v;
	memcpy(out, &v, t->size64);
	return true;
}

static bool read_float(struct reader *r, const struct wit_type *t, void *out)
{
	double d = 0;
	skip_space(r);
	bool minus_inf = slice_starts_with(slice_sub(r->text, r->at, SIZE_MAX), SLICE_LIT("-inf"));
	if (minus_inf || skip_word(r, "inf")) {
		r->at += minus_inf ? 4 : 0;
		d = minus_inf ? -INFINITY : INFINITY;
	} else if (skip_word(r, "nan")) {
		d = NAN;
	} else {
		struct slice s, copy;
		bool is_integer;
		if (!take_number(r, &s, &is_integer))
			return false;
		if (!slice_dup(r->a, s, &copy))
			return err_nomem(r->e);
		d = strtod((const char *)copy.ptr, NULL);
		if (t->kind == WIT_F32) {
			float f = strtof((const char *)copy.ptr, NULL);
			memcpy(out, &f, sizeof(f));
			return true;
		}
	}
	float f = (float)d;
	memcpy(out, t->kind == WIT_F32 ? (const void *)&f : &d, t->size64);
	return true;
}

// After '\\': writes the character's UTF-8; 0: no such escape.
static unsigned unescape(struct slice s, size_t *used, uint32_t *ret)
{
	static const char from[] = "\\'\"tnr", to[] = "\\'\"\t\n\r";
	const char *at = s.len && s.ptr[0] ? strchr(from, s.ptr[0]) : NULL;
	if (at) {
		*ret = (uint8_t)to[at - from];
		*used = 1;
		return 1;
	}
	if (!slice_starts_with(s, SLICE_LIT("u{")))
		return 0;
	uint32_t v = 0;
	size_t i = 2;
	for (; i < s.len && i < 9 && s.ptr[i] != '}'; i++) {
		uint8_t c = wit__lower(s.ptr[i]);
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return 0;
		v = v << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	if (i == 2 || i >= s.len || s.ptr[i] != '}' || !utf_is_scalar(v))
		return 0;
	*used = i + 1;
	*ret = v;
	return 1;
}

// One character of a char or string at the cursor.
static bool take_scalar(struct reader *r, uint32_t *ret)
{
	size_t used;
	if (peek(r) != '\\') {
		unsigned n = utf8_decode(slice_sub(r->text, r->at, SIZE_MAX), ret);
		r->at += n;
		return n || expected(r, "a character");
	}
	if (!unescape(slice_sub(r->text, r->at + 1, SIZE_MAX), &used, ret))
		return err_set_at(r->e, ERR_USAGE, r->at, "unknown escape at offset %zu", r->at) || err_hint(r->e, "there are \\\\ \\' \\\" \\t \\n \\r \\u{…}");
	r->at += 1 + used;
	return true;
}

static bool read_char(struct reader *r, void *out)
{
	uint32_t c;
	if (!is_next(r, '\'') || slice_starts_with(slice_sub(r->text, r->at, SIZE_MAX), SLICE_LIT("''")))
		return expected(r, "a character in single quotes");
	r->at++;
	if (peek(r) == '\n')
		return expected(r, "a character");
	if (!take_scalar(r, &c))
		return false;
	memcpy(out, &c, sizeof(c));
	if (peek(r) != '\'')
		return expected(r, "`'`");
	r->at++;
	return true;
}

// """ line break … line break, spaces, """: the spaces before the end are taken off each line.
static bool read_multiline(struct reader *r, struct wit_string *out)
{
	static const struct slice quotes = SLICE_LIT("\"\"\"");
	size_t from = r->at + 3, end = from, indent = 0;
	while (end < r->text.len && !slice_starts_with(slice_sub(r->text, end, SIZE_MAX), quotes))
		end += r->text.ptr[end] == '\\' ? 2 : 1;
	if (end >= r->text.len)
		return expected(r, "the end of the string, `\"\"\"`,");
	while (end - indent > from && r->text.ptr[end - indent - 1] == ' ')
		indent++;
	from += from < end && r->text.ptr[from] == '\r';
	if (from >= end || r->text.ptr[from] != '\n' || r->text.ptr[end - indent - 1] != '\n')
		return expected(r, "a line break after and before `\"\"\"`");
	uint8_t *p = arena_alloc(r->a, end - from + 1, 1);
	size_t n = 0, stop = end - indent - 1;
	if (!p)
		return err_nomem(r->e);
	for (r->at = from; r->at < stop;) {
		// At a line break: all but the first one are part of the string.
		if (r->at != from)
			p[n++] = '\n';
		r->at++;
		for (size_t i = 0; i < indent; i++)
			if (r->at >= stop || r->text.ptr[r->at++] != ' ')
				return err_set_at(r->e, ERR_USAGE, r->at, "lines must be indented at least as much as the closing quotes");
		while (r->at < stop && peek(r) != '\n') {
			uint32_t c;
			if (peek(r) == '\r' && r->text.ptr[r->at + 1] == '\n') {
				r->at++;
				continue;
			}
			if (!take_scalar(r, &c))
				return false;
			n += utf8_encode(c, p + n);
		}
	}
	r->at = end + 3;
	*out = (struct wit_string){p, n};
	return true;
}

static bool read_string(struct reader *r, struct wit_string *out)
{
	if (!is_next(r, '"'))
		return expected(r, "a string in double quotes");
	if (slice_starts_with(slice_sub(r->text, r->at, SIZE_MAX), SLICE_LIT("\"\"\"")))
		return read_multiline(r, out);
	size_t end = ++r->at, n = 0;
	while (end < r->text.len && r->text.ptr[end] != '"' && r->text.ptr[end] != '\n')
		end += r->text.ptr[end] == '\\' ? 2 : 1;
	if (end >= r->text.len || r->text.ptr[end] != '"')
		return expected(r, "the end of the string in");
	// What is written is never shorter than what it means.
	uint8_t *p = arena_alloc(r->a, end - r->at + 1, 1);
	if (!p)
		return err_nomem(r->e);
	while (r->at < end) {
		uint32_t c;
		if (!take_scalar(r, &c))
			return false;
		n += utf8_encode(c, p + n);
	}
	r->at = end + 1;
	*out = (struct wit_string){p, n};
	return true;
}

static bool read_list(struct reader *r, const struct wit_type *t, struct wit_list *out)
{
	void *items = NULL;
	uint32_t n = 0, cap = 0, max = WAVE_MAX_BYTES / t->elem->size64;
	if (!take_char(r, '['))
		return false;
	while (!is_next(r, ']')) {
		void *slot = vec_add_raw(r->a, &items, &n, &cap, t->elem->size64, t->elem->align64, max);
		if (!slot)
			return err_set_at(r->e, ERR_LIMIT, r->at, "the list is too long");
		memset(slot, 0, t->elem->size64);
		if (!read_value(r, t->elem, slot))
			return false;
		if (!skip_char(r, ','))
			break;
	}
	*out = (struct wit_list){items, n};
	return take_char(r, ']');
}

static bool read_fixed_list(struct reader *r, const struct wit_type *t, uint8_t *out)
{
	uint32_t n = 0;
	if (!take_char(r, '['))
		return false;
	while (n < t->n && !is_next(r, ']')) {
		if (!read_value(r, t->elem, out + (size_t)n * t->elem->size64))
			return false;
		n++;
		if (!skip_char(r, ','))
			break;
	}
	if (n != t->n || !is_next(r, ']'))
		return err_set_at(r->e, ERR_USAGE, r->at, "expected a list of %u elements", t->n);
	return take_char(r, ']');
}

static bool read_tuple(struct reader *r, const struct wit_type *t, uint8_t *out)
{
	if (!take_char(r, '('))
		return false;
	for (uint32_t i = 0; i < t->n; i++) {
		if (!read_value(r, t->fields[i].type, out + t->fields[i].offset64))
			return false;
		if (!skip_char(r, ',') && i + 1 < t->n)
			return expected(r, "`,`");
	}
	return take_char(r, ')');
}

// The members of a large type by name, made when it is first met; NULL: memory is out.
static const struct map *members_of(struct reader *r, const struct wit_type *t)
{
	uintptr_t known;
	const struct wit_type **key = arena_copy(r->a, &t, sizeof(struct wit_type *), _Alignof(struct wit_type *));
	if (!key)
		return NULL;
	if (map_get(&r->indexes, slice_of(key, sizeof(*key)), &known))
		return (const struct map *)known;
	struct map *m = ARENA_NEW(r->a, struct map);
	bool nomem = !m;
	if (m)
		map_init(m, r->a);
	for (uint32_t i = 0; i < t->n && !nomem; i++)
		(void)!map_insert(m, t->fields[i].name, i, &nomem);
	return !nomem && map_insert(&r->indexes, slice_of(key, sizeof(*key)), (uintptr_t)m, &nomem) ? m : NULL;
}

// Index of the member, from `hint` on; n if there is none.
static uint32_t find_member(struct reader *r, const struct wit_type *t, struct slice name, uint32_t hint)
{
	uintptr_t at;
	const struct map *members = t->n > 32 ? members_of(r, t) : NULL;
	if (members)
		return map_get(members, name, &at) ? (uint32_t)at : t->n;
	for (uint32_t k = 0; k < t->n; k++) {
		uint32_t i = (hint + k) % t->n;
		if (slice_eq(t->fields[i].name, name))
			return i;
	}
	return t->n;
}

static bool read_field(struct reader *r, const struct wit_type *t, uint8_t *out, uint8_t *seen, uint32_t *hint)
{
	struct slice name;
	bool escaped;
	size_t from = r->at;
	if (!take_label(r, &name, &escaped))
		return expected(r, "the name of a field");
	uint32_t i = find_member(r, t, name, *hint);
	if (i == t->n)
		return err_set_at(r->e, ERR_USAGE, from, "the record has no field `%.*s`", SLICE_ARGS(name));
	if (seen[i])
		return err_set_at(r->e, ERR_USAGE, from, "field `%.*s` is given twice", SLICE_ARGS(name));
	seen[i] = 1;
	*hint = i + 1;
	return take_char(r, ':') && read_value(r, t->fields[i].type, out + t->fields[i].offset64);
}

static bool read_record(struct reader *r, const struct wit_type *t, uint8_t *out)
{
	uint8_t *seen = arena_zalloc(r->a, t->n, 1);
	uint32_t hint = 0;
	if (!seen)
		return err_nomem(r->e);
	if (!take_char(r, '{'))
		return false;
	if (!skip_char(r, ':'))
		while (!is_next(r, '}')) {
			if (!read_field(r, t, out, seen, &hint))
				return false;
			if (!skip_char(r, ','))
				break;
		}
	if (!take_char(r, '}'))
		return false;
	// An option that is left out is none: its native form is all zero.
	for (uint32_t i = 0; i < t->n; i++)
		if (!seen[i] && t->fields[i].type->kind != WIT_OPTION)
			return err_set_at(r->e, ERR_USAGE, r->at, "field `%.*s` is missing", SLICE_ARGS(t->fields[i].name));
	return true;
}

static bool read_flags(struct reader *r, const struct wit_type *t, void *out)
{
	uint32_t bits = 0, hint = 0;
	if (!take_char(r, '{'))
		return false;
	while (!is_next(r, '}')) {
		struct slice name;
		bool escaped;
		if (!take_label(r, &name, &escaped))
			return expected(r, "the name of a flag");
		uint32_t i = find_member(r, t, name, hint);
		if (i == t->n || bits & 1u << i)
			return err_set_at(r->e, ERR_USAGE, r->at, "flag `%.*s` %s", SLICE_ARGS(name), i == t->n ? "does not exist" : "is given twice");
		bits |= 1u << i;
		hint = i + 1;
		if (!skip_char(r, ','))
			break;
	}
	wit_discriminant_store(out, t->discriminant_size, bits);
	return take_char(r, '}');
}

// '(' value ')' if the case has a payload.
static bool read_payload(struct reader *r, const struct wit_type *t, uint32_t i, uint8_t *out)
{
	const struct wit_type *p = t->fields[i].type;
	wit_discriminant_store(out, t->discriminant_size, i);
	if (!p)
		return !is_next(r, '(') || err_set_at(r->e, ERR_USAGE, r->at, "case `%.*s` has no payload", SLICE_ARGS(t->fields[i].name));
	return take_char(r, '(') && read_value(r, p, out + t->payload64) && take_char(r, ')');
}

static bool read_case(struct reader *r, const struct wit_type *t, uint8_t *out)
{
	struct slice name;
	bool escaped;
	skip_space(r);
	size_t from = r->at;
	if (!take_label(r, &name, &escaped))
		return expected(r, "the name of a case");
	uint32_t i = find_member(r, t, name, 0);
	if (i == t->n)
		return err_set_at(r->e, ERR_USAGE, from, "the %s has no case `%.*s`", wit_kind_name(t->kind), SLICE_ARGS(name));
	if (!escaped && wit__wave_is_keyword(name))
		return err_set_at(r->e, ERR_USAGE, from, "case `%.*s` must be written with a percent sign before it", SLICE_ARGS(name));
	return read_payload(r, t, i, out);
}

// some(x), none; ok(x), err(x); or the payload of some or ok alone, where it is itself neither option nor result.
static bool read_option_or_result(struct reader *r, const struct wit_type *t, uint8_t *out)
{
	uint32_t flat = t->kind == WIT_OPTION ? 1 : 0;
	const struct wit_type *p = t->fields[flat].type;
	for (uint32_t i = 0; i < 2; i++)
		if (skip_word(r, (const char *)t->fields[i].name.ptr))
			return read_payload(r, t, i, out);
	if (!p || p->kind == WIT_OPTION || p->kind == WIT_RESULT)
		return expected(r, t->kind == WIT_OPTION ? "`some(…)` or `none`" : "`ok` or `err`");
	wit_discriminant_store(out, t->discriminant_size, flat);
	return read_value(r, p, out + t->payload64);
}

bool wit__no_form(const struct wit_type *t, struct err *e)
{
	return err_set(e, ERR_USAGE, "a value of type %s can't be written as text", wit_kind_name(t->kind));
}

static bool read_value(struct reader *r, const struct wit_type *t, void *out)
{
	switch ((enum wit_kind)t->kind) {
	case WIT_BOOL:
		*(uint8_t *)out = skip_word(r, "true");
		return *(uint8_t *)out || skip_word(r, "false") || expected(r, "`true` or `false`");
	case WIT_S8:
	case WIT_U8:
	case WIT_S16:
	case WIT_U16:
	case WIT_S32:
	case WIT_U32:
	case WIT_S64:
	case WIT_U64:
		return read_integer(r, t, out);
	case WIT_F32:
	case WIT_F64:
		return read_float(r, t, out);
	case WIT_CHAR:
		return read_char(r, out);
	case WIT_STRING:
		return read_string(r, out);
	case WIT_LIST:
	case WIT_MAP:
		return read_list(r, t, out);
	case WIT_FIXED_LIST:
		return read_fixed_list(r, t, out);
	case WIT_RECORD:
		return read_record(r, t, out);
	case WIT_TUPLE:
		return read_tuple(r, t, out);
	case WIT_FLAGS:
		return read_flags(r, t, out);
	case WIT_VARIANT:
	case WIT_ENUM:
		return read_case(r, t, out);
	case WIT_OPTION:
	case WIT_RESULT:
		return read_option_or_result(r, t, out);
	default:
		return wit__no_form(t, r->e);
	}
}

static bool at_end(struct reader *r)
{
	skip_space(r);
	return r->at == r->text.len || expected(r, "nothing more");
}

bool wit_wave_parse(struct arena *a, struct slice text, const struct wit_type *type, void *ret, struct err *e)
{
	struct reader r = {.a = a, .text = text, .e = e};
	map_init(&r.indexes, a);
	memset(ret, 0, type->size64);
	return read_value(&r, type, ret) && at_end(&r);
}

bool wit_wave_parse_args(struct arena *a, struct slice args, const struct wit_func_type *type, void *ret, struct err *e)
{
	struct reader r = {.a = a, .text = args, .e = e};
	map_init(&r.indexes, a);
	const struct wit_type *t = &type->params;
	uint32_t i = 0;
	if (t->size64)
		memset(ret, 0, t->size64);
	if (!take_char(&r, '('))
		return false;
	for (; i < t->n && !is_next(&r, ')'); i++) {
		if (!read_value(&r, t->fields[i].type, (uint8_t *)ret + t->fields[i].offset64))
			return err_note(e, "argument `%.*s`", SLICE_ARGS(t->fields[i].name));
		if (!skip_char(&r, ',')) {
			i++;
			break;
		}
	}
	for (uint32_t k = i; k < t->n; k++)
		if (t->fields[k].type->kind != WIT_OPTION)
			return err_set_at(e, ERR_USAGE, r.at, "argument `%.*s` is missing: expected %u, found %u", SLICE_ARGS(t->fields[k].name), t->n, i);
	if (!is_next(&r, ')') && r.at < r.text.len && i == t->n)
		return err_set_at(e, ERR_USAGE, r.at, "too many arguments: expected %u", t->n);
	return take_char(&r, ')') && at_end(&r);
}

bool wit_wave_split(struct slice text, struct wit_wave_call *ret, struct err *e)
{
	while (text.len && (text.ptr[0] == ' ' || text.ptr[0] == '\n' || text.ptr[0] == '\t'))
		text = slice_sub(text, 1, SIZE_MAX);
	size_t open = slice_find(text, '(');
	struct slice name = slice_sub(text, 0, open);
	if (open == text.len) {
		err_set(e, ERR_USAGE, "expected a call, found `%.*s`", SLICE_ARGS(text));
		return err_hint(e, "write it with its arguments: name(), name(\"text\", 1)");
	}
	while (name.len && name.ptr[name.len - 1] == ' ')
		name.len--;
	size_t hash = slice_find(name, '#');
	struct wit_wave_call call = {.func = name, .args = slice_sub(text, open, SIZE_MAX)};
	if (hash < name.len) {
		call.iface = slice_sub(name, 0, hash);
		call.func = slice_sub(name, hash + 1, SIZE_MAX);
	}
	struct wit_name parsed;
	if (!wit_name_parse(call.func, true, &parsed, NULL) || parsed.kind > WIT_NAME_STATIC)
		return err_set(e, ERR_USAGE, "`%.*s` is not the name of a function", SLICE_ARGS(call.func));
	*ret = call;
	return true;
}
