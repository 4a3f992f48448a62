// WAVE, written. Spelling is that of the reference writer: floats in the shortest digits without exponent, options of records left out when none.
#include <math.h>

#include "wit_int.h"

// Does the reference writer show the character as an escape? Controls, what has no shape of its own, combining marks.
static bool is_escaped(uint32_t c)
{
	static const uint32_t ranges[][2] = {{0, 0x1f}, {0x7f, 0xa0}, {0xad, 0xad}, {0x300, 0x36f}, {0x600, 0x605}, {0x61c, 0x61c}, {0x200b, 0x200f},
		{0x2028, 0x202e}, {0x2060, 0x206f}, {0x3000, 0x3000}, {0xe000, 0xf8ff}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff},
		{0xfff0, 0xfffb}, {0xfffe, 0xffff}, {0xe0000, 0x10ffff}};
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		if (c >= ranges[i][0] && c <= ranges[i][1])
			return true;
	return false;
}

static void put_scalar(struct buf *b, uint32_t c)
{
	static const char special[] = "\\\"'\t\r\n", letters[] = "\\\"'trn";
	const char *at = c && c < 0x80 ? strchr(special, (int)c) : NULL;
	uint8_t utf[4];
	if (at)
		buf_printf(b, "\\%c", letters[at - special]);
	else if (is_escaped(c))
		buf_printf(b, "\\u{%x}", c);
	else
		buf_put(b, utf, utf8_encode(c, utf));
}

// Where the text goes, and who is told how much there is of it.
struct writer {
	struct buf *b;
	const struct wit_wave_sink *sink;  // NULL: nobody
	size_t told;     // the length of b then
	uint32_t steps;  // values since then
	struct err *e;
};
enum { TELL = 1024 };  // bytes of text, or values; a float of twenty bytes takes long to find

// false: the text is not wanted any more.
static bool tell(struct writer *w)
{
	if (!w->sink || (w->b->len - w->told < TELL && w->steps < TELL))
		return true;
	bool go_on = w->sink->take(w->sink->ctx, w->b, w->e);
	w->told = w->b->len;
	w->steps = 0;
	return go_on;
}

static bool put_string(struct writer *w, const struct wit_string *s)
{
	struct slice rest = slice_of(s->ptr, s->len);
	buf_put_byte(w->b, '"');
	while (rest.len) {
		uint32_t c = 0xfffd;
		unsigned n = utf8_decode(rest, &c);
		put_scalar(w->b, c);
		rest = slice_sub(rest, n ? n : 1, SIZE_MAX);
		if (!tell(w))
			return false;
	}
	buf_put_byte(w->b, '"');
	return true;
}

// The shortest digits that read back as the same number.
static void shortest(double d, bool is_f32, char *out, size_t size)
{
	for (int precision = 0; precision <= (is_f32 ? 8 : 16); precision++) {
		snprintf(out, size, "%.*e", precision, d);
		if (is_f32 ? strtof(out, NULL) == (float)d : strtod(out, NULL) == d)
			return;
	}
}

// "-d.ddde±xx" without its exponent.
static void put_plain(struct buf *b, const char *text)
{
	char digit[32];
	int n = 0, exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
	if (*text == '-') {
		buf_put_byte(b, '-');
		text++;
	}
	for (; *text != 'e' && n < (int)sizeof(digit); text++)
		if (*text != '.')
			digit[n++] = *text;
	if (exponent < 0) {
		buf_put_str(b, "0.");
		for (int i = -1; i > exponent; i--)
			buf_put_byte(b, '0');
		buf_put(b, digit, (size_t)n);
		return;
	}
	for (int i = 0; i < n || i <= exponent; i++) {
		if (i == exponent + 1)
			buf_put_byte(b, '.');
		buf_put_byte(b, (uint8_t)(i < n ? digit[i] : '0'));
	}
}

static void put_float(struct buf *b, double d, bool is_f32)
{
	char text[64];
	if (isnan(d)) {
		buf_put_str(b, "nan");
	} else if (isinf(d)) {
		buf_put_str(b, d < 0 ? "-inf" : "inf");
	} else {
		shortest(d, is_f32, text, sizeof(text));
		put_plain(b, text);
	}
}

static bool put_value(struct writer *w, const struct wit_type *t, const uint8_t *v);

static bool put_list(struct writer *w, const struct wit_type *elem, const uint8_t *at, size_t n)
{
	struct buf *b = w->b;
	buf_put_byte(b, '[');
	for (size_t i = 0; i < n && !b->failed; i++) {
		buf_put_str(b, i ? ", " : "");
		if (!elem) {
			w->steps++;
			buf_put_str(b, "()");
		}
		if (elem ? !put_value(w, elem, at + i * elem->size64) : !tell(w))
			return false;
	}
	buf_put_byte(b, ']');
	return true;
}

// What came by it.
static bool put_contents(struct writer *w, const struct wit_type *t, uint32_t number)
{
	const void *at;
	size_t n;
	if (!w->sink || !w->sink->contents)
		return wit__no_form(t, w->e);
	if (!w->sink->contents(w->sink->ctx, t, number, &at, &n, w->e))
		return false;
	if (t->kind == WIT_STREAM)
		return put_list(w, t->elem, at, n);
	return t->elem ? put_value(w, t->elem, at) : buf_put_str(w->b, "()");
}

static bool put_tuple(struct writer *w, const struct wit_type *t, const uint8_t *v)
{
	struct buf *b = w->b;
	buf_put_byte(b, '(');
	for (uint32_t i = 0; i < t->n; i++) {
		buf_put_str(b, i ? ", " : "");
		if (!put_value(w, t->fields[i].type, v + t->fields[i].offset64))
			return false;
	}
	buf_put_byte(b, ')');
	return true;
}

static bool put_record(struct writer *w, const struct wit_type *t, const uint8_t *v)
{
	struct buf *b = w->b;
	bool any = false;
	w->steps += t->n;
	buf_put_byte(b, '{');
	for (uint32_t i = 0; i < t->n; i++) {
		const struct wit_field *f = &t->fields[i];
		if (f->type->kind == WIT_OPTION && v[f->offset64] == 0)
			continue;
		buf_printf(b, "%s%.*s: ", any ? ", " : "", SLICE_ARGS(f->name));
		any = true;
		if (!put_value(w, f->type, v + f->offset64))
			return false;
	}
	buf_put_str(b, any ? "}" : ":}");
	return true;
}

static bool put_case(struct writer *w, const struct wit_type *t, const uint8_t *v)
{
	struct buf *b = w->b;
	uint32_t i = wit_discriminant_load(v, t->discriminant_size);
	if (i >= t->n)
		return err_set(w->e, ERR_USAGE, "a %s with the unknown case %u", wit_kind_name(t->kind), i);
	const struct wit_field *f = &t->fields[i];
	bool own = t->kind == WIT_VARIANT || t->kind == WIT_ENUM;
	buf_printf(b, "%s%.*s", own && wit__wave_is_keyword(f->name) ? "%" : "", SLICE_ARGS(f->name));
	if (!f->type)
		return true;
	buf_put_byte(b, '(');
	if (!put_value(w, f->type, v + t->payload64))
		return false;
	buf_put_byte(b, ')');
	return true;
}

static void put_flags(struct buf *b, const struct wit_type *t, const uint8_t *v)
{
	uint32_t bits = wit_discriminant_load(v, t->discriminant_size);
	bool any = false;
	buf_put_byte(b, '{');
	for (uint32_t i = 0; i < t->n; i++) {
		if (!(bits & 1u << i))
			continue;
		buf_printf(b, "%s%.*s", any ? ", " : "", SLICE_ARGS(t->fields[i].name));
		any = true;
	}
	buf_put_byte(b, '}');
}

#define LOAD(T)                           \
	({                                    \
		T load_;                          \
		memcpy(&load_, v, sizeof(load_)); \
		load_;                            \
	})

static bool put_value(struct writer *w, const struct wit_type *t, const uint8_t *v)
{
	struct buf *b = w->b;
	w->steps++;
	if (!tell(w))
		return false;
	switch ((enum wit_kind)t->kind) {
	case WIT_BOOL:
		return buf_put_str(b, *v ? "true" : "false"), true;
	case WIT_S8:
		return buf_printf(b, "%d", LOAD(int8_t)), true;
	case WIT_U8:
		return buf_printf(b, "%u", LOAD(uint8_t)), true;
	case WIT_S16:
		return buf_printf(b, "%d", LOAD(int16_t)), true;
	case WIT_U16:
		return buf_printf(b, "%u", LOAD(uint16_t)), true;
	case WIT_S32:
		return buf_printf(b, "%d", LOAD(int32_t)), true;
	case WIT_U32:
		return buf_printf(b, "%u", LOAD(uint32_t)), true;
	case WIT_S64:
		return buf_printf(b, "%lld", (long long)LOAD(int64_t)), true;
	case WIT_U64:
		return buf_printf(b, "%llu", (unsigned long long)LOAD(uint64_t)), true;
	case WIT_F32:
		return put_float(b, LOAD(float), true), true;
	case WIT_F64:
		return put_float(b, LOAD(double), false), true;
	case WIT_CHAR:
		buf_put_byte(b, '\'');
		put_scalar(b, LOAD(uint32_t));
		buf_put_byte(b, '\'');
		return true;
	case WIT_STRING:
		return put_string(w, (const struct wit_string *)v);
	case WIT_LIST:
	case WIT_MAP:
		return put_list(w, t->elem, ((const struct wit_list *)v)->ptr, ((const struct wit_list *)v)->len);
	case WIT_FIXED_LIST:
		return put_list(w, t->elem, v, t->n);
	case WIT_RECORD:
		return put_record(w, t, v);
	case WIT_TUPLE:
		return put_tuple(w, t, v);
	case WIT_FLAGS:
		return put_flags(b, t, v), true;
	case WIT_VARIANT:
	case WIT_ENUM:
	case WIT_OPTION:
	case WIT_RESULT:
		return put_case(w, t, v);
	case WIT_STREAM:
	case WIT_FUTURE:
		return put_contents(w, t, LOAD(uint32_t));
	default:
		return wit__no_form(t, w->e);
	}
}

bool wit_wave_print_to(struct buf *b, const struct wit_wave_sink *sink, const struct wit_type *type, const void *value, struct err *e)
{
	struct writer w = {.b = b, .sink = sink, .e = e};
	return put_value(&w, type, value) && (!b->failed || err_set(e, ERR_LIMIT, "the text of the value is too long"));
}

bool wit_wave_print(struct buf *b, const struct wit_type *type, const void *value, struct err *e)
{
	return wit_wave_print_to(b, NULL, type, value, e);
}
