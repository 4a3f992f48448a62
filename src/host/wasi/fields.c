// wasi:http/types.fields: order and duplicates kept, names as given (W27). Most have a few short fields: those lie in the object.
#include "wasi_int.h"

struct wasi_fields *wasi__fields_new(void)
{
	struct wasi_fields *f = mem_alloc(sizeof *f);
	if (!f)
		return NULL;
	memset(f, 0, offsetof(struct wasi_fields, first_bytes));
	f->refs = 1;
	f->list = f->first_list;
	f->cap = ARRAY_LEN(f->first_list);
	arena_init(&f->arena, 2 * HTTP_HEAD_MAX);
	return f;
}

struct wasi_fields *wasi__fields_ref(struct wasi_fields *f)
{
	f->refs++;
	return f;
}

void wasi__fields_unref(void *p)
{
	struct wasi_fields *f = p;
	if (!f || --f->refs)
		return;
	if (f->list != f->first_list)
		mem_free(f->list);
	arena_release(&f->arena);
	mem_free(f);
}

static bool copy(struct wasi_fields *f, struct slice s, struct slice *ret)
{
	uint8_t *at;
	if (s.len <= sizeof f->first_bytes - f->first_used) {
		at = f->first_bytes + f->first_used;
		f->first_used += (uint32_t)s.len;
	} else {
		at = arena_alloc(&f->arena, s.len, 1);
	}
	if (!at)
		return false;
	if (s.len)
		memcpy(at, s.ptr, s.len);
	*ret = slice_of(at, s.len);
	return true;
}

static bool grow(struct wasi_fields *f)
{
	struct http_field *list = mem_alloc(HTTP_FIELDS_MAX * sizeof *list);
	if (!list)
		return false;
	memcpy(list, f->list, f->n * sizeof *list);
	f->list = list;
	f->cap = HTTP_FIELDS_MAX;
	return true;
}

static enum wasi_fields_error add(struct wasi_fields *f, struct slice name, struct slice value)
{
	if (f->n == HTTP_FIELDS_MAX || name.len + value.len > HTTP_HEAD_MAX - f->bytes)
		return WASI_FIELDS_SIZE;
	if (f->n == f->cap && !grow(f))
		return WASI_FIELDS_NOMEM;
	struct http_field *field = &f->list[f->n];
	if (!copy(f, name, &field->name) || !copy(f, value, &field->value))
		return WASI_FIELDS_NOMEM;
	f->bytes += (uint32_t)(name.len + value.len);
	f->n++;
	return WASI_FIELDS_OK;
}

static enum wasi_fields_error check_name(const struct wasi_fields *f, struct slice name)
{
	if (f->immutable)
		return WASI_FIELDS_IMMUTABLE;
	if (!http_field_name_is_valid(name))
		return WASI_FIELDS_SYNTAX;
	return http_field_is_forbidden(name) ? WASI_FIELDS_FORBIDDEN : WASI_FIELDS_OK;
}

enum wasi_fields_error wasi__fields_append(struct wasi_fields *f, struct slice name, struct slice value)
{
	enum wasi_fields_error bad = check_name(f, name);
	if (bad)
		return bad;
	return http_field_value_is_valid(value) ? add(f, name, value) : WASI_FIELDS_SYNTAX;
}

enum wasi_fields_error wasi__fields_delete(struct wasi_fields *f, struct slice name)
{
	enum wasi_fields_error bad = check_name(f, name);
	if (bad)
		return bad;
	uint32_t kept = 0;
	for (uint32_t i = 0; i < f->n; i++) {
		if (http_name_eq(f->list[i].name, name))
			f->bytes -= (uint32_t)(f->list[i].name.len + f->list[i].value.len);
		else
			f->list[kept++] = f->list[i];
	}
	f->n = kept;
	return WASI_FIELDS_OK;
}

bool wasi__fields_fill(struct wasi_fields *f, const struct http_field *list, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (http_field_is_forbidden(list[i].name))
			continue;
		if (add(f, list[i].name, list[i].value) != WASI_FIELDS_OK)
			return false;
		// Names are case-insensitive on the wire; guests compare them with the lower-case ones that HTTP/2 would bring.
		uint8_t *name = UNCONST(f->list[f->n - 1].name.ptr);
		for (size_t k = 0; k < list[i].name.len; k++)
			name[k] |= name[k] >= 'A' && name[k] <= 'Z' ? 0x20 : 0;
	}
	return true;
}

struct wasi_fields *wasi__fields_clone(const struct wasi_fields *f)
{
	struct wasi_fields *g = wasi__fields_new();
	for (uint32_t i = 0; g && i < f->n; i++)
		if (add(g, f->list[i].name, f->list[i].value) != WASI_FIELDS_OK) {
			wasi__fields_unref(g);
			return NULL;
		}
	return g;
}
