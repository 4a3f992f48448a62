// Lists of fields of HTTP/2: those that come are copied into one block, those that are sent stand in one until they have left.
#include "h2.h"

enum { TABLE = HTTP_FIELDS_MAX * sizeof(struct http_field) };

// ---- that come ---------------------------------------------------------------------------------------------------------------------

static void rebase(struct slice *s, const struct block *from, const struct block *to)
{
	if (s->ptr)
		s->ptr = to->data + (s->ptr - from->data);
}

static bool reserve(struct http_server *s, struct h2_list *l, size_t n)
{
	if (l->block && l->block->cap - l->len >= n)
		return true;
	size_t used = l->block ? l->len : TABLE;
	struct block *b = http__block_get(s, used + n), *old = l->block;
	if (!b)
		return false;
	if (old) {
		memcpy(b->data, old->data, used);
		struct http_field *f = (void *)b->data;
		for (uint32_t i = 0; i < l->n; i++) {
			rebase(&f[i].name, old, b);
			rebase(&f[i].value, old, b);
		}
		for (size_t i = 0; i < H2_PSEUDO; i++)
			rebase(&l->pseudo[i], old, b);
		http__block_put(s, old);
	}
	l->block = b;
	l->len = used;
	return true;
}

static struct slice keep(struct h2_list *l, struct slice text)
{
	uint8_t *to = l->block->data + l->len;
	if (text.len)
		memcpy(to, text.ptr, text.len);
	l->len += text.len;
	return slice_of(to, text.len);
}

static enum h2_pseudo pseudo_of(struct slice name)
{
	static const char *const names[] = {":method", ":scheme", ":authority", ":path", ":status"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (slice_eq_str(name, names[i]))
			return (enum h2_pseudo)i;
	return H2_PSEUDO;
}

bool h2_list_is_too_large(const struct http_limits *most, const struct h2_list *l)
{
	return l->bytes > most->head_bytes || l->seen > most->fields;
}

bool h2_list_add(struct http_server *s, const struct http_limits *most, struct h2_list *l, struct slice name, struct slice value)
{
	bool is_pseudo = name.len && name.ptr[0] == ':';
	l->bytes += name.len + value.len + 4;
	l->seen += !is_pseudo;
	if (h2_list_is_too_large(most, l))
		return true;
	if (!reserve(s, l, name.len + value.len))
		return false;
	if (is_pseudo) {
		enum h2_pseudo which = pseudo_of(name);
		if (which != H2_PSEUDO)
			l->pseudo[which] = keep(l, value);
		return true;
	}
	l->cookies += slice_eq_str(name, "cookie");
	struct http_field *f = (struct http_field *)(void *)l->block->data + l->n++;
	f->name = keep(l, name);
	f->value = keep(l, value);
	return true;
}

bool h2_list_end(struct http_server *s, struct h2_list *l)
{
	struct http_field *f, *first = NULL;
	uint32_t n = 0;
	if (l->cookies < 2)
		return true;
	if (!reserve(s, l, l->bytes + 2 * (size_t)l->cookies))
		return false;
	f = (void *)l->block->data;
	uint8_t *all = l->block->data + l->len;
	for (uint32_t i = 0; i < l->n; i++) {
		bool is_cookie = slice_eq_str(f[i].name, "cookie");
		if (is_cookie && first)
			keep(l, SLICE_LIT("; "));
		if (is_cookie)
			keep(l, f[i].value);
		if (!is_cookie || !first)
			f[n++] = f[i];
		if (is_cookie && !first)
			first = &f[n - 1];
	}
	first->value = slice_of(all, (size_t)(l->block->data + l->len - all));
	l->n = n;
	return true;
}

void h2_list_keep_trailers(struct h2_list *l)
{
	struct http_field *f = l->block ? (void *)l->block->data : NULL;
	uint32_t n = 0;
	for (uint32_t i = 0; i < l->n; i++)
		if (!http__is_trailer_forbidden(f[i].name))
			f[n++] = f[i];
	l->n = n;
}

void h2_list_release(struct http_server *s, struct h2_list *l)
{
	http__block_put(s, l->block);
	*l = (struct h2_list){0};
}

// ---- that are sent -----------------------------------------------------------------------------------------------------------------

bool h2_section_init(struct http_server *s, struct h2_section *h, uint32_t n, size_t bytes)
{
	size_t table = n * sizeof(nghttp2_nv);
	*h = (struct h2_section){.block = http__block_get(s, table + bytes), .len = table};
	return h->block != NULL;
}

static uint8_t *copy(struct h2_section *h, struct slice text)
{
	uint8_t *to = h->block->data + h->len;
	if (text.len)
		memcpy(to, text.ptr, text.len);
	h->len += text.len;
	return to;
}

void h2_section_put(struct h2_section *h, struct slice name, struct slice value)
{
	nghttp2_nv *v = (nghttp2_nv *)(void *)h->block->data + h->n++;
	uint8_t *lower = copy(h, name);
	for (size_t i = 0; i < name.len; i++)
		lower[i] |= lower[i] >= 'A' && lower[i] <= 'Z' ? 0x20 : 0;
	*v = (nghttp2_nv){lower, copy(h, value), name.len, value.len, NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

void h2_section_put_number(struct h2_section *h, struct slice name, uint64_t v)
{
	char digits[24];
	int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)v);
	h2_section_put(h, name, slice_of(digits, (size_t)n));
}

void h2_section_release(struct http_server *s, struct h2_section *h)
{
	http__block_put(s, h->block);
	*h = (struct h2_section){0};
}
