// wasi:http/types.fields: order and duplicates kept, names as given (W27). Most have a few short fields: those lie in the object.
#include "wasi_int.h"

// A guest's own are bounded as heads are; those of a head that came may have the host's beside them, which are made of its target.
enum { ROOM = HTTP_FIELDS_MAX + WASI_HTTP_FIELDS, BYTES_MAX = 4 * HTTP_HEAD_MAX };

struct wasi_fields *wasi__fields_new(struct canon_instance *i)
{
	struct wasi_fields *f = seam_mem_alloc(i, sizeof *f);
	if (!f)
		return NULL;
	memset(f, 0, offsetof(struct wasi_fields, first_bytes));
	f->instance = i;
	f->refs = 1;
	f->list = f->first_list;
	f->cap = ARRAY_LEN(f->first_list);
	return f;
}

struct wasi_fields *wasi__fields_ref(struct wasi_fields *f)
{
	f->refs++;
	return f;
}

// The block that the texts of a field, which lie one behind the other, have for themselves; NULL: none.
static void *texts_of(const struct wasi_fields *f, const struct http_field *field)
{
	const uint8_t *at = field->name.ptr;
	return at < f->first_bytes || at >= f->first_bytes + sizeof f->first_bytes ? UNCONST(at) : NULL;
}

static void drop_texts(struct wasi_fields *f, const struct http_field *field)
{
	seam_mem_free(texts_of(f, field));
}

void wasi__fields_unref(void *p)
{
	struct wasi_fields *f = p;
	if (!f || --f->refs)
		return;
	for (uint32_t k = 0; k < f->n; k++)
		drop_texts(f, &f->list[k]);
	if (f->list != f->first_list)
		seam_mem_free(f->list);
	seam_mem_free(f);
}

// Names are not empty, so each field's texts have an address of their own.
static bool copy(struct wasi_fields *f, struct slice name, struct slice value, struct http_field *ret)
{
	size_t n = name.len + value.len;
	uint8_t *at;
	if (f->n == 0)
		f->first_used = 0;
	if (n <= sizeof f->first_bytes - f->first_used) {
		at = f->first_bytes + f->first_used;
		f->first_used += (uint32_t)n;
	} else {
		at = seam_mem_alloc(f->instance, n);
	}
	if (!at)
		return false;
	memcpy(at, name.ptr, name.len);
	if (value.len)
		memcpy(at + name.len, value.ptr, value.len);
	ret->name = slice_of(at, name.len);
	ret->value = slice_of(at + name.len, value.len);
	return true;
}

static bool grow(struct wasi_fields *f)
{
	struct http_field *list = seam_mem_alloc(f->instance, ROOM * sizeof *list);
	if (!list)
		return false;
	memcpy(list, f->list, f->n * sizeof *list);
	f->list = list;
	f->cap = ROOM;
	return true;
}

// As the fields of that name that are there have it (0.3: entries of one name have the same name).
static struct slice casing(const struct wasi_fields *f, struct slice name)
{
	for (uint32_t i = 0; f->is_3 && i < f->n; i++)
		if (http_name_eq(f->list[i].name, name))
			return f->list[i].name;
	return name;
}

static enum wasi_fields_error add(struct wasi_fields *f, struct slice name, struct slice value)
{
	if (f->n == ROOM || f->bytes + name.len + value.len > BYTES_MAX)
		return WASI_FIELDS_SIZE;
	if (f->n == f->cap && !grow(f))
		return WASI_FIELDS_NOMEM;
	if (!copy(f, casing(f, name), value, &f->list[f->n]))
		return WASI_FIELDS_NOMEM;
	f->bytes += (uint32_t)(name.len + value.len);
	f->n++;
	return WASI_FIELDS_OK;
}

static enum wasi_fields_error add_of_guest(struct wasi_fields *f, struct slice name, struct slice value)
{
	if (f->n >= HTTP_FIELDS_MAX || f->bytes + name.len + value.len > HTTP_HEAD_MAX)
		return WASI_FIELDS_SIZE;
	return add(f, name, value);
}

static enum wasi_fields_error check_name(const struct wasi_fields *f, struct slice name)
{
	if (f->immutable)
		return WASI_FIELDS_IMMUTABLE;
	if (name.len > HTTP_HEAD_MAX)
		return WASI_FIELDS_SIZE;  // before anybody looks at so many bytes
	if (!http_field_name_is_valid(name))
		return WASI_FIELDS_SYNTAX;
	return http_field_is_forbidden(name) ? WASI_FIELDS_FORBIDDEN : WASI_FIELDS_OK;
}

static struct slice trimmed(struct slice v)
{
	while (v.len && (v.ptr[0] == ' ' || v.ptr[0] == '\t'))
		v = slice_sub(v, 1, SIZE_MAX);
	while (v.len && (v.ptr[v.len - 1] == ' ' || v.ptr[v.len - 1] == '\t'))
		v.len--;
	return v;
}

static bool value_is_valid(const struct wasi_fields *f, struct slice value)
{
	return http_field_value_is_valid(f->is_3 ? trimmed(value) : value);
}

void wasi__fields_trim(struct wasi_fields *f)
{
	for (uint32_t i = 0; i < f->n; i++) {
		struct slice value = trimmed(f->list[i].value);
		f->bytes -= (uint32_t)(f->list[i].value.len - value.len);
		f->list[i].value = value;
	}
}

enum wasi_fields_error wasi__fields_append(struct wasi_fields *f, struct slice name, struct slice value)
{
	enum wasi_fields_error bad = check_name(f, name);
	if (bad)
		return bad;
	if (value.len > HTTP_HEAD_MAX)
		return WASI_FIELDS_SIZE;
	return value_is_valid(f, value) ? add_of_guest(f, name, value) : WASI_FIELDS_SYNTAX;
}

enum wasi_fields_error wasi__fields_delete(struct wasi_fields *f, struct slice name)
{
	enum wasi_fields_error bad = check_name(f, name);
	if (bad)
		return bad;
	uint32_t kept = 0;
	for (uint32_t i = 0; i < f->n; i++) {
		if (http_name_eq(f->list[i].name, name)) {
			f->bytes -= (uint32_t)(f->list[i].name.len + f->list[i].value.len);
			drop_texts(f, &f->list[i]);
		} else {
			f->list[kept++] = f->list[i];
		}
	}
	f->n = kept;
	return WASI_FIELDS_OK;
}

// What there is under the name gives way to the values, or nothing changes.
enum wasi_fields_error wasi__fields_set(struct wasi_fields *f, struct slice name, const struct wit_list *values, size_t n)
{
	enum wasi_fields_error bad = check_name(f, name);
	if (bad)
		return bad;
	uint64_t bytes = f->bytes, count = f->n;
	for (uint32_t i = 0; i < f->n; i++)
		if (http_name_eq(f->list[i].name, name)) {
			bytes -= f->list[i].name.len + f->list[i].value.len;
			count--;
		}
	for (size_t k = 0; k < n; k++) {
		bytes += name.len + values[k].len;
		if (++count > HTTP_FIELDS_MAX || bytes > HTTP_HEAD_MAX)
			return WASI_FIELDS_SIZE;
		if (!value_is_valid(f, seam_list_bytes(values[k])))
			return WASI_FIELDS_SYNTAX;
	}
	bad = wasi__fields_delete(f, name);
	for (size_t k = 0; bad == WASI_FIELDS_OK && k < n; k++)
		bad = add_of_guest(f, name, seam_list_bytes(values[k]));
	return bad;
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

// Guests may trust what only the host tells them.
static bool is_of_host(struct slice name)
{
	return http_name_eq(name, SLICE_LIT("tenon-route")) || http_name_eq(name, SLICE_LIT("tenon-path-info")) ||
		http_name_eq(name, SLICE_LIT("tenon-client-addr")) || http_name_eq(slice_sub(name, 0, 12), SLICE_LIT("tenon-param-"));
}

bool wasi__fields_of_call(struct wasi_fields *f, struct wasi_http_call *call, const struct http_request *h)
{
	struct http_field ours[WASI_HTTP_FIELDS];
	uint32_t n = call->fields ? call->fields(call, ours) : 0, from = 0;
	for (uint32_t i = 0; i <= h->field_count; i++) {
		if (i < h->field_count && !is_of_host(h->fields[i].name))
			continue;
		if (!wasi__fields_fill(f, h->fields + from, i - from))
			return false;
		from = i + 1;
	}
	return wasi__fields_fill(f, ours, n);
}

struct wasi_fields *wasi__fields_clone(const struct wasi_fields *f, struct canon_instance *i)
{
	struct wasi_fields *g = wasi__fields_new(i);
	for (uint32_t k = 0; g && k < f->n; k++)
		if (add(g, f->list[k].name, f->list[k].value) != WASI_FIELDS_OK) {
			wasi__fields_unref(g);
			return NULL;
		}
	return g;
}

struct wasi_fields *wasi__fields_remake(const struct wasi_fields *f, struct canon_instance *i)
{
	struct wasi_fields *g = wasi__fields_clone(f, i);
	if (g) {
		g->immutable = f->immutable;
		g->is_3 = f->is_3;
	}
	return g;
}

bool wasi__fields_move(struct wasi_fields **at, struct canon_instance *to)
{
	struct wasi_fields *f = *at;
	struct pool *pool = canon_instance_pool(to);
	if (!f || f->instance == to)
		return true;
	if (f->refs > 1) {
		struct wasi_fields *copy = wasi__fields_remake(f, to);
		if (copy) {
			wasi__fields_unref(f);
			*at = copy;
		}
		return copy;
	}
	for (uint32_t k = 0; k < f->n; k++)
		if (!pool_move(pool, texts_of(f, &f->list[k])))
			return false;
	if ((f->list != f->first_list && !pool_move(pool, f->list)) || !pool_move(pool, f))
		return false;
	f->instance = to;
	return true;
}

enum canon_move wasi__fields_object_move(struct canon_instance *to, void **object)
{
	struct wasi_fields *f = *object;
	bool ok = wasi__fields_move(&f, to);
	*object = f;
	return ok ? CANON_MOVED : CANON_MOVE_NO_ROOM;
}

bool wasi__fields_length(const struct wasi_fields *f, uint64_t *ret)
{
	*ret = HTTP_LENGTH_UNKNOWN;
	for (uint32_t k = 0; k < f->n; k++)
		if (http_name_eq(f->list[k].name, SLICE_LIT("content-length")) && !http_length_parse(f->list[k].value, ret))
			return false;
	return true;
}
