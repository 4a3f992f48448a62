#include "buf.h"
#include "err.h"
#include "utf.h"

#include <errno.h>
#include <stdarg.h>

void buf_release(struct buf *b)
{
	if (b->pool)
		pool_free(b->ptr);
	else
		mem_free(b->ptr);
	*b = (struct buf){.max = b->max, .pool = b->pool};
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
	size_t need;
	if (__builtin_add_overflow(b->len, n, &need) || (b->max && need > b->max) || b->failed)
		goto fail;
	if (need > b->cap || !b->ptr) {
		size_t cap = b->cap ? b->cap * 2 : 256;
		if (cap < need)
			cap = need;
		if (b->max && cap > b->max)
			cap = b->max;
		uint8_t *p = b->pool ? pool_realloc(b->pool, b->ptr, cap) : mem_realloc(b->ptr, cap);
		if (!p)
			goto fail;
		b->ptr = p;
		b->cap = cap;
	}
	return b->ptr + b->len;
fail:
	b->failed = true;
	return NULL;
}

bool buf_put(struct buf *b, const void *data, size_t len)
{
	uint8_t *p = buf_reserve(b, len);
	if (!p)
		return false;
	if (len)
		memcpy(p, data, len);
	b->len += len;
	return true;
}

bool buf_put_slice(struct buf *b, struct slice s)
{
	return buf_put(b, s.ptr, s.len);
}

bool buf_put_str(struct buf *b, const char *text)
{
	return buf_put(b, text, strlen(text));
}

bool buf_put_byte(struct buf *b, uint8_t byte)
{
	return buf_put(b, &byte, 1);
}

bool buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	char small[256];
	va_list again;
	va_copy(again, args);
	int n = vsnprintf(small, sizeof small, fmt, args);
	va_end(args);
	bool ok = false;
	if (n >= 0 && (size_t)n < sizeof small) {
		ok = buf_put(b, small, (size_t)n);
	} else if (n >= 0) {
		uint8_t *p = buf_reserve(b, (size_t)n + 1);
		if (p) {
			vsnprintf((char *)p, (size_t)n + 1, fmt, again);
			b->len += (size_t)n;
			ok = true;
		}
	} else {
		b->failed = true;
	}
	va_end(again);
	return ok;
}

// C0 and C1; what nobody sees, what turns the direction of writing, and ends of lines of Unicode's own: a name would show as another.
static bool is_acted_on(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {{0, 0x1f}, {0x7f, 0x9f}, {0xad, 0xad}, {0x61c, 0x61c}, {0x180e, 0x180e}, {0x200b, 0x200b}, {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f},
		{0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f}};
	for (size_t i = 0; i < ARRAY_LEN(ranges) && c >= ranges[i].first; i++)
		if (c <= ranges[i].last)
			return true;
	return false;
}

bool buf_put_json_string(struct buf *b, struct slice s)
{
	buf_put_byte(b, '"');
	for (size_t i = 0; i < s.len;) {
		uint32_t c;
		unsigned n = utf8_decode(slice_sub(s, i, SIZE_MAX), &c);
		if (n == 0)
			buf_put_str(b, "\xef\xbf\xbd");
		else if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", (char)c);
		else if (c == '\n')
			buf_put_str(b, "\\n");
		else if (c < 0x10000 && is_acted_on(c))
			buf_printf(b, "\\u%04x", c);
		else
			buf_put_slice(b, slice_sub(s, i, n));
		i += n ? n : 1;
	}
	return buf_put_byte(b, '"');
}

bool buf_put_printable(struct buf *b, struct slice s, const char *keep)
{
	for (size_t i = 0; i < s.len;) {
		uint32_t c;
		unsigned n = utf8_decode(slice_sub(s, i, SIZE_MAX), &c);
		if (n && (!is_acted_on(c) || (c && c < 0x80 && strchr(keep, (int)c)))) {
			buf_put_slice(b, slice_sub(s, i, n));
		} else {
			n = n ? n : 1;
			for (unsigned k = 0; k < n; k++)
				buf_printf(b, "\\x%02x", s.ptr[i + k]);
		}
		i += n;
	}
	return !b->failed;
}

static bool err_too_large(const struct buf *b, const char *path, struct err *e)
{
	bool even = b->max % (1 << 20) == 0;
	return err_set(e, ERR_LIMIT, "'%s' is larger than %zu %s", path, b->max >> (even ? 20 : 10), even ? "MiB" : "KiB");
}

bool buf_read(struct buf *b, FILE *f, const char *path, struct err *e)
{
	enum { PIECE = 64 << 10 };
	size_t n = 0, got = 0;
	errno = 0;
	while (got == n && b->len < b->max) {
		n = b->max - b->len < PIECE ? b->max - b->len : PIECE;
		uint8_t *room = buf_reserve(b, n);
		if (!room)
			return err_nomem(e);
		got = fread(room, 1, n, f);
		b->len += got;
	}
	if (got == n && fgetc(f) != EOF)
		return err_too_large(b, path, e);
	return !ferror(f) || err_set_errno(e, errno, "cannot read '%s'", path);
}
