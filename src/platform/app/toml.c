// TOML 1.0: lines, keys, headers and the tables that they make.
// Rules of what may be added to a table (TOML, "Table", "Inline Table", "Array of Tables"):
//  1. A [header] makes a table once. One that only stood above others (IMPLICIT) may still be made so.
//  2. Keys with dots make tables (DOTTED) under one header; under another header, nothing is added to them by keys, and no [header] names them.
//  3. What stands in a value (FROZEN) gets nothing more. An array of [[headers]] (ELEMENTS) gets elements by headers only; a header beneath it means its last one.
#include "toml_int.h"

#include <stdarg.h>

#define FEW 8  // keys of a table that are looked through one by one

// ---- places --------------------------------------------------------------------------------------------------------------------------------

struct app_place toml__place(struct toml_reader *r, const uint8_t *p)
{
	if (p < r->seen) {
		// An error may be about something that was passed already.
		r->seen = r->start;
		r->seen_at.line = r->seen_at.col = 1;
	}
	for (; r->seen < p; r->seen++)
		if (*r->seen == '\n') {
			r->seen_at.line++;
			r->seen_at.col = 1;
		} else if ((*r->seen & 0xc0) != 0x80) {
			r->seen_at.col++;
		}
	return r->seen_at;
}

static bool fail_at(struct toml_reader *r, struct app_place at, const char *fmt, va_list args)
{
	char text[sizeof(r->e->text)];
	if (!r->e)
		return false;
	vsnprintf(text, sizeof text, fmt, args);
	err_set(r->e, ERR_USAGE, "%s", text);
	r->e->line = at.line;
	r->e->col = at.col;
	return err_note(r->e, "%s:%u:%u", r->name, at.line, at.col);
}

bool toml__fail(struct toml_reader *r, const uint8_t *at, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	fail_at(r, toml__place(r, at), fmt, args);
	va_end(args);
	return false;
}

static bool fail_key(struct toml_reader *r, const struct toml_key *key, uint32_t i, const char *fmt, ...) PRINTF_LIKE(4, 5);
static bool fail_key(struct toml_reader *r, const struct toml_key *key, uint32_t i, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	fail_at(r, key->at[i], fmt, args);
	va_end(args);
	return false;
}

// ---- the tree ------------------------------------------------------------------------------------------------------------------------------

const char *toml_kind_name(const struct toml *t)
{
	static const char *const names[] = {"a string", "a whole number", "a number with a fraction", "true or false", "a date or time", "an array", "a table"};
	return names[t->kind];
}

struct toml *toml__new(struct toml_reader *r, enum toml_kind kind, const uint8_t *at)
{
	struct toml *t = ARENA_NEW(r->arena, struct toml);
	if (!t) {
		err_nomem(r->e);
		return NULL;
	}
	t->kind = (uint8_t)kind;
	t->at = toml__place(r, at);
	return t;
}

struct toml *toml_get(const struct toml *table, struct slice key)
{
	uintptr_t found;
	if (table->by_key)
		return map_get(table->by_key, key, &found) ? (struct toml *)found : NULL;
	for (struct toml *t = table->first; t; t = t->next)
		if (slice_eq(t->key, key))
			return t;
	return NULL;
}

struct toml *toml_get_str(const struct toml *table, const char *key)
{
	return toml_get(table, slice_str(key));
}

static bool index_keys(struct arena *a, struct toml *table)
{
	bool nomem = false;
	table->by_key = ARENA_NEW(a, struct map);
	if (!table->by_key)
		return false;
	map_init(table->by_key, a);
	for (struct toml *t = table->first; t; t = t->next)
		if (!map_insert(table->by_key, t->key, (uintptr_t)t, &nomem))
			return false;
	return true;
}

bool toml_append(struct arena *a, struct toml *to, struct toml *child)
{
	bool nomem = false;
	if (to->last)
		to->last->next = child;
	else
		to->first = child;
	to->last = child;
	child->next = NULL;
	to->n++;
	if (to->kind != TOML_TABLE || to->n <= FEW)
		return true;
	return to->by_key ? map_insert(to->by_key, child->key, (uintptr_t)child, &nomem) : index_keys(a, to);
}

static bool add(struct toml_reader *r, struct toml *table, const struct toml_key *key, uint32_t i, struct toml *child)
{
	child->key = key->parts[i];
	child->key_at = key->at[i];
	return toml_append(r->arena, table, child) || err_nomem(r->e);
}

static struct toml *add_table(struct toml_reader *r, struct toml *table, const struct toml_key *key, uint32_t i, enum toml_made made)
{
	struct toml *t = ARENA_NEW(r->arena, struct toml);
	if (!t) {
		err_nomem(r->e);
		return NULL;
	}
	t->kind = TOML_TABLE;
	t->made = (uint8_t)made;
	t->at = key->at[i];
	return add(r, table, key, i, t) ? t : NULL;
}

static bool fail_twice(struct toml_reader *r, const struct toml_key *key, uint32_t i, const struct toml *before)
{
	return fail_key(r, key, i, "'%.*s' is given twice, first in line %u", (int)min_u64(key->parts[i].len, 64), (const char *)key->parts[i].ptr, before->key_at.line);
}

// ---- keys ----------------------------------------------------------------------------------------------------------------------------------

void toml__skip_blanks(struct toml_reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\t'))
		r->p++;
}

static bool is_bare(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool key_part(struct toml_reader *r, struct slice *ret)
{
	const uint8_t *from = r->p;
	if (r->p < r->end && (*r->p == '"' || *r->p == '\''))
		return toml__string(r, false, ret);
	while (r->p < r->end && is_bare(*r->p))
		r->p++;
	if (r->p == from)
		return toml__fail(r, from, "a key is missing here");
	*ret = slice_of(from, (size_t)(r->p - from));
	return true;
}

bool toml__key(struct toml_reader *r, struct toml_key *ret)
{
	for (ret->n = 0;; r->p++) {
		toml__skip_blanks(r);
		if (ret->n == APP_MAX_DEPTH)
			return toml__fail(r, r->p, "more than %d tables in each other", APP_MAX_DEPTH);
		ret->at[ret->n] = toml__place(r, r->p);
		if (!key_part(r, &ret->parts[ret->n]))
			return false;
		ret->n++;
		toml__skip_blanks(r);
		if (r->p == r->end || *r->p != '.')
			return true;
	}
}

bool toml__put(struct toml_reader *r, struct toml *table, uint32_t section, const struct toml_key *key, struct toml *value)
{
	uint32_t i = 0;
	for (; i + 1 < key->n; i++) {
		struct toml *t = toml_get(table, key->parts[i]);
		if (!t)
			t = add_table(r, table, key, i, TOML_DOTTED);
		else if (t->kind != TOML_TABLE || (t->made != TOML_IMPLICIT && (t->made != TOML_DOTTED || t->section != section)))
			return fail_twice(r, key, i, t);
		if (!t)
			return false;
		t->made = TOML_DOTTED;
		t->section = section;
		table = t;
	}
	struct toml *before = toml_get(table, key->parts[i]);
	return before ? fail_twice(r, key, i, before) : add(r, table, key, i, value);
}

// ---- headers -------------------------------------------------------------------------------------------------------------------------------

// The table above the header's last part.
static struct toml *walk_header(struct toml_reader *r, struct toml *table, const struct toml_key *key)
{
	for (uint32_t i = 0; i + 1 < key->n; i++) {
		struct toml *t = toml_get(table, key->parts[i]);
		if (!t)
			t = add_table(r, table, key, i, TOML_IMPLICIT);
		else if (t->kind == TOML_ARRAY && t->made == TOML_ELEMENTS)
			t = t->last;
		else if (t->kind != TOML_TABLE || t->made == TOML_FROZEN) {
			fail_twice(r, key, i, t);
			return NULL;
		}
		if (!t)
			return NULL;
		table = t;
	}
	return table;
}

static struct toml *open_table(struct toml_reader *r, struct toml *above, const struct toml_key *key)
{
	uint32_t i = key->n - 1;
	struct toml *t = toml_get(above, key->parts[i]);
	if (!t)
		return add_table(r, above, key, i, TOML_HEADER);
	if (t->kind != TOML_TABLE || t->made != TOML_IMPLICIT) {
		fail_twice(r, key, i, t);
		return NULL;
	}
	t->made = TOML_HEADER;
	t->at = t->key_at = key->at[i];
	return t;
}

static struct toml *open_element(struct toml_reader *r, struct toml *above, const struct toml_key *key)
{
	uint32_t i = key->n - 1;
	struct toml *array = toml_get(above, key->parts[i]), *t;
	if (!array) {
		array = add_table(r, above, key, i, TOML_ELEMENTS);
		if (!array)
			return NULL;
		array->kind = TOML_ARRAY;
	} else if (array->kind != TOML_ARRAY || array->made != TOML_ELEMENTS) {
		fail_twice(r, key, i, array);
		return NULL;
	}
	t = ARENA_NEW(r->arena, struct toml);
	if (!t || !toml_append(r->arena, array, t)) {
		err_nomem(r->e);
		return NULL;
	}
	t->kind = TOML_TABLE;
	t->made = TOML_HEADER;
	t->at = t->key_at = key->at[i];
	return t;
}

static bool header(struct toml_reader *r, struct toml *root, struct toml **ret)
{
	r->p++;
	bool is_element = r->p < r->end && *r->p == '[';
	struct toml_key key;
	r->p += is_element;
	if (!toml__key(r, &key))
		return false;
	if ((size_t)(r->end - r->p) < 1u + is_element || r->p[0] != ']' || r->p[is_element] != ']')
		return toml__fail(r, r->p, "a header ends in %s", is_element ? "]]" : "]");
	r->p += 1 + is_element;
	struct toml *above = walk_header(r, root, &key);
	*ret = !above ? NULL : is_element ? open_element(r, above, &key)
									  : open_table(r, above, &key);
	r->section = ++r->sections;
	r->depth = key.n;
	return *ret != NULL;
}

// ---- lines ---------------------------------------------------------------------------------------------------------------------------------

static bool is_newline(const struct toml_reader *r)
{
	return *r->p == '\n' || (*r->p == '\r' && r->end - r->p > 1 && r->p[1] == '\n');
}

// A comment, to the end of its line. Control characters are refused in it as everywhere.
static bool comment(struct toml_reader *r)
{
	for (; r->p < r->end && !is_newline(r); r->p++)
		if ((*r->p < 0x20 && *r->p != '\t') || *r->p == 0x7f)
			return toml__fail(r, r->p, "a control character (0x%02x)", *r->p);
	return true;
}

bool toml__skip_lines(struct toml_reader *r)
{
	for (;;) {
		toml__skip_blanks(r);
		if (r->p < r->end && *r->p == '#') {
			if (!comment(r))
				return false;
		} else if (r->p < r->end && is_newline(r)) {
			r->p += *r->p == '\r' ? 2 : 1;
		} else {
			return true;
		}
	}
}

static bool end_of_line(struct toml_reader *r)
{
	toml__skip_blanks(r);
	if (r->p < r->end && *r->p == '#' && !comment(r))
		return false;
	return r->p == r->end || is_newline(r) || toml__fail(r, r->p, "the line should end here");
}

static bool key_and_value(struct toml_reader *r, struct toml *table)
{
	struct toml_key key;
	struct toml *value;
	if (!toml__key(r, &key))
		return false;
	if (r->p == r->end || *r->p != '=')
		return toml__fail(r, r->p, "= is missing behind the key");
	r->p++;
	toml__skip_blanks(r);
	return toml__value(r, r->depth + key.n, &value) && toml__put(r, table, r->section, &key, value);
}

static bool document(struct toml_reader *r, struct toml *root)
{
	struct toml *table = root;
	for (;;) {
		if (!toml__skip_lines(r))
			return false;
		if (r->p == r->end)
			return true;
		bool ok = *r->p == '[' ? header(r, root, &table) : key_and_value(r, table);
		if (!ok || !end_of_line(r))
			return false;
	}
}

bool toml_parse(struct arena *a, struct slice text, enum app_in in, const char *name, struct toml **ret, struct err *e)
{
	struct toml_reader r = {.arena = a, .name = name, .start = text.ptr, .p = text.ptr, .end = text.ptr + text.len, .seen = text.ptr, .seen_at = {1, 1, in}, .e = e};
	if (text.len > APP_MAX_SOURCE)
		return toml__fail(&r, r.start, "a manifest has at most %u bytes", APP_MAX_SOURCE);
	size_t valid = utf8_valid_prefix(text);
	if (valid != text.len)
		return toml__fail(&r, text.ptr + valid, "not UTF-8");
	if (slice_starts_with(text, SLICE_LIT("\xef\xbb\xbf")))
		r.start = r.seen = r.p += 3;
	struct toml *root = toml__new(&r, TOML_TABLE, r.p);
	if (!root || !document(&r, root))
		return false;
	*ret = root;
	return true;
}

// ---- written -------------------------------------------------------------------------------------------------------------------------------

void toml_put_string(struct buf *b, struct slice s)
{
	buf_put_byte(b, '"');
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] == '"' || s.ptr[i] == '\\')
			buf_printf(b, "\\%c", s.ptr[i]);
		else if (s.ptr[i] == '\n' || s.ptr[i] == '\t' || s.ptr[i] == '\r')
			buf_put_str(b, s.ptr[i] == '\n' ? "\\n" : s.ptr[i] == '\t' ? "\\t"
																	   : "\\r");
		else if (s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
			buf_printf(b, "\\u%04x", s.ptr[i]);
		else
			buf_put_byte(b, s.ptr[i]);
	buf_put_byte(b, '"');
}

void toml_put_key(struct buf *b, struct slice s)
{
	bool bare = s.len > 0;
	for (size_t i = 0; bare && i < s.len; i++)
		bare = is_bare(s.ptr[i]);
	if (bare)
		buf_put_slice(b, s);
	else
		toml_put_string(b, s);
}
