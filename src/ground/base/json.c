// value = ws (object | array | string | number | "true" | "false" | "null") ws
//
// One pass, one function a rule. Recursion is bounded by DEPTH; what is kept is a node a value and the text of what has escapes.
#include "json.h"
#include "map.h"
#include "utf.h"

enum { DEPTH = 32, NAMES_LOOKED_THROUGH = 16 };

struct reader {
	struct arena *arena;
	struct slice text;
	size_t at;
	struct err *e;
};

static bool wrong(struct reader *r, const char *what)
{
	return err_set_at(r->e, ERR_MALFORMED, r->at, "not JSON: %s", what);
}

// The byte that comes next; 0 at the end, which is none that may stand between two words.
static uint8_t next(const struct reader *r)
{
	return r->at < r->text.len ? r->text.ptr[r->at] : 0;
}

static void skip_space(struct reader *r)
{
	while (next(r) == ' ' || next(r) == '\t' || next(r) == '\n' || next(r) == '\r')
		r->at++;
}

static bool take(struct reader *r, uint8_t byte)
{
	if (r->at == r->text.len || next(r) != byte)
		return false;
	r->at++;
	return true;
}

static bool take_word(struct reader *r, const char *word)
{
	if (!slice_starts_with(slice_sub(r->text, r->at, SIZE_MAX), slice_str(word)))
		return wrong(r, "no value begins like this");
	r->at += strlen(word);
	return true;
}

// ---- numbers ----------------------------------------------------------------------------------------------------------------------------

static bool take_digits(struct reader *r)
{
	size_t from = r->at;
	while (next(r) >= '0' && next(r) <= '9')
		r->at++;
	return r->at > from || wrong(r, "a digit is missing");
}

static bool take_number(struct reader *r, struct json *v)
{
	size_t from = r->at;
	take(r, '-');
	if (!take(r, '0') && !take_digits(r))
		return false;
	if (take(r, '.') && !take_digits(r))
		return false;
	if (take(r, 'e') || take(r, 'E')) {
		if (!take(r, '+'))
			take(r, '-');
		if (!take_digits(r))
			return false;
	}
	v->kind = JSON_NUMBER;
	v->text = slice_sub(r->text, from, r->at - from);
	return true;
}

// ---- strings ----------------------------------------------------------------------------------------------------------------------------

static bool take_unit(struct reader *r, uint32_t *ret)
{
	*ret = 0;
	for (int i = 0; i < 4; i++) {
		uint8_t c = next(r);
		int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
																						: -1;
		if (digit < 0)
			return wrong(r, "four hexadecimal digits belong behind \\u");
		*ret = *ret << 4 | (uint32_t)digit;
		r->at++;
	}
	return true;
}

static uint8_t *put_char(uint8_t *to, uint32_t c)
{
	if (c < 0x80) {
		*to++ = (uint8_t)c;
		return to;
	}
	int more = c < 0x800 ? 1 : c < 0x10000 ? 2
										   : 3;
	static const uint8_t marks[] = {0, 0xc0, 0xe0, 0xf0};
	*to++ = (uint8_t)(marks[more] | c >> 6 * more);
	while (more--)
		*to++ = (uint8_t)(0x80 | (c >> 6 * more & 0x3f));
	return to;
}

// Behind the backslash. What it stands for takes no more bytes than it does.
static bool take_escape(struct reader *r, uint8_t **to)
{
	static const char letters[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
	uint8_t c = next(r);
	const char *found = c ? strchr(letters, c) : NULL;
	if (found) {
		r->at++;
		*(*to)++ = (uint8_t)means[found - letters];
		return true;
	}
	if (!take(r, 'u'))
		return wrong(r, "no such escape");
	uint32_t unit, low;
	if (!take_unit(r, &unit))
		return false;
	if (unit >= 0xd800 && unit < 0xdc00) {
		if (!take(r, '\\') || !take(r, 'u'))
			return wrong(r, "half a character");
		if (!take_unit(r, &low))
			return false;
		if (low < 0xdc00 || low > 0xdfff)
			return wrong(r, "half a character");
		unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
	} else if (unit >= 0xdc00 && unit < 0xe000) {
		return wrong(r, "half a character");
	}
	*to = put_char(*to, unit);
	return true;
}

// Behind the first quote: the bytes up to the last one, and whether there are escapes.
static bool find_end(struct reader *r, size_t *ret_end, bool *ret_escapes)
{
	size_t at = r->at;
	*ret_escapes = false;
	while (at < r->text.len && r->text.ptr[at] != '"') {
		uint8_t c = r->text.ptr[at];
		if (c < 0x20) {
			r->at = at;
			return wrong(r, "a control character in a string");
		}
		*ret_escapes |= c == '\\';
		at += c == '\\' ? 2 : 1;
	}
	if (at >= r->text.len) {
		r->at = r->text.len;
		return wrong(r, "a string without an end");
	}
	*ret_end = at;
	return true;
}

static bool take_string(struct reader *r, struct slice *ret)
{
	size_t end, valid;
	bool escapes;
	if (!take(r, '"'))
		return wrong(r, "a string belongs here");
	if (!find_end(r, &end, &escapes))
		return false;
	struct slice raw = slice_sub(r->text, r->at, end - r->at);
	valid = utf8_valid_prefix(raw);
	if (valid < raw.len) {
		r->at += valid;
		return wrong(r, "what is no UTF-8");
	}
	*ret = raw;
	if (escapes) {
		uint8_t *out = arena_alloc(r->arena, raw.len, 1), *to = out;
		if (!out)
			return err_nomem(r->e);
		while (r->at < end)
			if (!take(r, '\\'))
				*to++ = r->text.ptr[r->at++];
			else if (!take_escape(r, &to))
				return false;
		*ret = slice_of(out, (size_t)(to - out));
	}
	r->at = end + 1;
	return true;
}

// ---- what is made of others ---------------------------------------------------------------------------------------------------------------

static bool take_value(struct reader *r, struct json *v, unsigned depth);

static bool is_new_name(struct reader *r, struct map *names, const struct json *o, const struct json *m)
{
	bool nomem = false;
	if (o->n < NAMES_LOOKED_THROUGH) {
		for (const struct json *other = o->first; other; other = other->next)
			if (slice_eq(other->name, m->name))
				return wrong(r, "a name that the object has already");
		return true;
	}
	for (const struct json *other = names->len ? NULL : o->first; other; other = other->next)
		if (!map_insert(names, other->name, 1, &nomem))
			return err_nomem(r->e);
	if (map_insert(names, m->name, 1, &nomem))
		return true;
	return nomem ? err_nomem(r->e) : wrong(r, "a name that the object has already");
}

static bool take_member_name(struct reader *r, struct map *names, const struct json *o, struct json *m)
{
	skip_space(r);
	if (!take_string(r, &m->name) || !is_new_name(r, names, o, m))
		return false;
	skip_space(r);
	return take(r, ':') || wrong(r, "a colon belongs behind a name");
}

static bool take_list(struct reader *r, struct json *v, uint8_t end, unsigned depth)
{
	struct map names;
	struct json **last = &v->first;
	map_init(&names, r->arena);
	v->kind = end == '}' ? JSON_OBJECT : JSON_ARRAY;
	r->at++;
	skip_space(r);
	if (take(r, end))
		return true;
	if (depth == DEPTH)
		return wrong(r, "more than 32 within each other");
	for (;;) {
		struct json *m = ARENA_NEW(r->arena, struct json);
		if (!m)
			return err_nomem(r->e);
		if ((v->kind == JSON_OBJECT && !take_member_name(r, &names, v, m)) || !take_value(r, m, depth + 1))
			return false;
		*last = m;
		last = &m->next;
		v->n++;
		if (take(r, end))
			return true;
		if (!take(r, ','))
			return wrong(r, r->at == r->text.len ? "it ends too early" : "a comma belongs here");
	}
}

// With the white space around it.
static bool take_value(struct reader *r, struct json *v, unsigned depth)
{
	skip_space(r);
	bool ok;
	uint8_t c = next(r);
	if (c == '{' || c == '[') {
		ok = take_list(r, v, c == '{' ? '}' : ']', depth);
	} else if (c == '"') {
		v->kind = JSON_STRING;
		ok = take_string(r, &v->text);
	} else if (c == '-' || (c >= '0' && c <= '9')) {
		ok = take_number(r, v);
	} else {
		v->kind = c == 't' ? JSON_TRUE : c == 'f' ? JSON_FALSE
												  : JSON_NULL;
		ok = r->at == r->text.len ? wrong(r, "it ends too early") : take_word(r, c == 't' ? "true" : c == 'f' ? "false"
																											  : "null");
	}
	skip_space(r);
	return ok;
}

bool json_parse(struct arena *a, struct slice text, struct json **ret, struct err *e)
{
	struct reader r = {.arena = a, .text = text, .e = e};
	struct json *v = ARENA_NEW(a, struct json);
	if (!v)
		return err_nomem(e);
	if (!take_value(&r, v, 0))
		return false;
	if (r.at < text.len)
		return wrong(&r, "something stands behind it");
	*ret = v;
	return true;
}

// ---- asked ----------------------------------------------------------------------------------------------------------------------------------

const struct json *json_member(const struct json *o, const char *name)
{
	const struct json *m = o && o->kind == JSON_OBJECT ? o->first : NULL;
	while (m && !slice_eq_str(m->name, name))
		m = m->next;
	return m;
}

struct slice json_text(const struct json *o, const char *name)
{
	const struct json *m = json_member(o, name);
	return m && m->kind == JSON_STRING ? m->text : (struct slice){0};
}

bool json_is_true(const struct json *o, const char *name)
{
	const struct json *m = json_member(o, name);
	return m && m->kind == JSON_TRUE;
}

uint64_t json_number(const struct json *o, const char *name, uint64_t otherwise)
{
	const struct json *m = json_member(o, name);
	uint64_t n;
	return m && m->kind == JSON_NUMBER && slice_parse_u64(m->text, UINT64_MAX, &n) ? n : otherwise;
}

// ---- written --------------------------------------------------------------------------------------------------------------------------------

void json_put(struct buf *b, const struct json *v)
{
	if (v->kind == JSON_STRING) {
		buf_put_json_string(b, v->text);
		return;
	}
	if (v->kind < JSON_ARRAY) {
		static const char *const words[] = {"null", "false", "true"};
		buf_put_slice(b, v->kind == JSON_NUMBER ? v->text : slice_str(words[v->kind]));
		return;
	}
	buf_put_byte(b, v->kind == JSON_ARRAY ? '[' : '{');
	for (const struct json *m = v->first; m; m = m->next) {
		if (v->kind == JSON_OBJECT) {
			buf_put_json_string(b, m->name);
			buf_put_byte(b, ':');
		}
		json_put(b, m);
		if (m->next)
			buf_put_byte(b, ',');
	}
	buf_put_byte(b, v->kind == JSON_ARRAY ? ']' : '}');
}
