// Physical names, and how counters are written: what makes keys and numbers the same in all stores.
//
// A name is its parts, each escaped, with separators between them: no part has a separator, so names of different parts differ.
#include "link_int.h"

// Of a raw space a name is the key: what the core's own begin with, which no escaped name does ('=' is followed by digits there), and no key of a guest may.
static const char own[] = "=tenon";

static bool is_plain(uint8_t c, const char *plain)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c && strchr(plain, c));
}

void link__name_put_part(struct buf *b, struct slice part, const char *plain)
{
	static const char digits[] = "0123456789ABCDEF";
	if (!part.len)
		buf_put_byte(b, '=');
	for (size_t i = 0; i < part.len; i++) {
		uint8_t c = part.ptr[i];
		if (is_plain(c, plain)) {
			buf_put_byte(b, c);
			continue;
		}
		uint8_t *p = buf_reserve(b, 3);
		if (!p)
			return;
		p[0] = '=';
		p[1] = (uint8_t)digits[c >> 4];
		p[2] = (uint8_t)digits[c & 15];
		b->len += 3;
	}
}

void link__name_put_prefix(struct buf *b, const struct link_store *s, const struct slice *bucket, const char *plain, char separator)
{
	if (!s->n_parts)
		return;
	for (unsigned i = 0; i < s->n_parts; i++) {
		link__name_put_part(b, s->parts[i], plain);
		buf_put_byte(b, (uint8_t)separator);
	}
	if (bucket) {
		link__name_put_part(b, *bucket, plain);
		buf_put_byte(b, (uint8_t)separator);
	}
}

void link__name_put(struct buf *b, const struct link_store *s, struct slice bucket, struct slice key, const char *plain, char separator)
{
	link__name_put_prefix(b, s, &bucket, plain, separator);
	if (s->n_parts) {
		link__name_put_part(b, key, plain);
		return;
	}
	if (!bucket.len) {
		buf_put_str(b, own);
		buf_put_byte(b, (uint8_t)separator);
	}
	buf_put_slice(b, key);
}

bool link__name_is_own(const struct link_store *s, struct slice bucket, struct slice key, char separator)
{
	return !s->n_parts && bucket.len && slice_starts_with(key, slice_str(own)) && key.len >= sizeof own && key.ptr[sizeof own - 1] == (uint8_t)separator;
}

static int digit(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10
																 : -1;
}

static enum link__parsed unescape(struct arena *a, struct slice part, const char *plain, struct slice *ret)
{
	uint8_t *to = arena_alloc(a, part.len + 1, 1);
	size_t n = 0;
	*ret = slice_of(to, 0);
	if (!to)
		return LINK__NAME_NO_MEMORY;
	if (!part.len || slice_eq_str(part, "="))
		return part.len ? LINK__NAME : LINK__NO_NAME;
	for (size_t i = 0; i < part.len; i++) {
		uint8_t c = part.ptr[i];
		if (c == '=') {
			int high = i + 2 < part.len ? digit(part.ptr[i + 1]) : -1, low = i + 2 < part.len ? digit(part.ptr[i + 2]) : -1;
			if (high < 0 || low < 0 || is_plain((uint8_t)(high << 4 | low), plain))
				return LINK__NO_NAME;
			c = (uint8_t)(high << 4 | low);
			i += 2;
		} else if (!is_plain(c, plain)) {
			return LINK__NO_NAME;
		}
		to[n++] = c;
	}
	ret->len = n;
	return LINK__NAME;
}

enum link__parsed link__name_parse(struct arena *a, const struct link_store *s, struct slice name, const char *plain, char separator, struct link_key *ret)
{
	struct buf prefix = {0};
	if (!s->n_parts) {
		*ret = (struct link_key){LINK__RAW_BUCKET, name};
		return link__name_is_own(s, ret->bucket, name, separator) ? LINK__NO_NAME : LINK__NAME;
	}
	link__name_put_prefix(&prefix, s, NULL, plain, separator);
	bool no_memory = prefix.failed, is_ours = slice_starts_with(name, buf_view(&prefix));
	struct slice rest = slice_sub(name, prefix.len, SIZE_MAX);
	size_t end = slice_find(rest, (uint8_t)separator);
	buf_release(&prefix);
	if (no_memory)
		return LINK__NAME_NO_MEMORY;
	if (!is_ours || end == rest.len)
		return LINK__NO_NAME;
	enum link__parsed r = unescape(a, slice_sub(rest, 0, end), plain, &ret->bucket);
	return r == LINK__NAME ? unescape(a, slice_sub(rest, end + 1, SIZE_MAX), plain, &ret->key) : r;
}

// ---- counters -----------------------------------------------------------------------------------------------------------------------------

// -?(0|[1-9][0-9]*), as Redis has it.
static bool parse_number(struct slice s, int64_t *ret)
{
	bool minus = s.len && s.ptr[0] == '-';
	struct slice digits = slice_sub(s, minus, SIZE_MAX);
	uint64_t v, max = (uint64_t)INT64_MAX + minus;
	if (!slice_parse_u64(digits, max, &v) || (digits.len > 1 && digits.ptr[0] == '0') || (minus && v == 0))
		return false;
	*ret = minus ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

static size_t put_number(int64_t v, char text[LINK_COUNT_MAX])
{
	char digits[LINK_COUNT_MAX];
	uint64_t left = v < 0 ? -(uint64_t)v : (uint64_t)v;
	size_t n = 0, at = 0;
	do
		digits[n++] = (char)('0' + left % 10);
	while (left /= 10);
	if (v < 0)
		text[at++] = '-';
	while (n)
		text[at++] = digits[--n];
	return at;
}

size_t link__count(struct slice old, int64_t delta, int64_t *ret, char text[LINK_COUNT_MAX], char why[160])
{
	int64_t v;
	if (!parse_number(old, &v)) {
		snprintf(why, 160, "the value is no number");
		return 0;
	}
	if (__builtin_add_overflow(v, delta, ret)) {
		snprintf(why, 160, "the sum of %lld and %lld is out of range", (long long)v, (long long)delta);
		return 0;
	}
	return put_number(*ret, text);
}
