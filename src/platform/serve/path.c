// Paths of requests as routes see them (contract §5): what is percent-encoded for no reason and %2F are decoded, then dot segments are removed, both once.
// Whoever is behind a route gets the path so: it must not mean something else to him than it meant to the router.
#include "serve_int.h"

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// RFC 3986, 2.3: these mean the same encoded or not; and '/'.
static bool is_plain(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~' || c == '/';
}

// What "%XX" at `i` stands for where that is decoded; -1: it stays.
static int decoded(struct slice path, size_t i)
{
	if (path.ptr[i] != '%' || i + 2 >= path.len)
		return -1;
	int high = hex(path.ptr[i + 1]), low = hex(path.ptr[i + 2]);
	int c = high < 0 || low < 0 ? -1 : high * 16 + low;
	return is_plain(c) ? c : -1;
}

static bool is_resolved(struct slice path)
{
	for (size_t i = 0; i < path.len; i++)
		if (path.ptr[i] == '%' ? decoded(path, i) >= 0 : path.ptr[i] == '/' && i + 1 < path.len && path.ptr[i + 1] == '.')
			return false;
	return true;
}

static size_t decode(struct slice path, uint8_t *out)
{
	size_t n = 0;
	for (size_t i = 0; i < path.len; i++) {
		int c = decoded(path, i);
		out[n++] = c < 0 ? path.ptr[i] : (uint8_t)c;
		i += c < 0 ? 0 : 2;
	}
	return n;
}

// RFC 3986, 5.2.4, in place. The path begins with '/'.
static size_t remove_dots(uint8_t *p, size_t len)
{
	size_t n = 0;
	for (size_t i = 0; i < len;) {
		struct slice rest = slice_of(p + i + 1, len - i - 1);
		size_t segment = slice_find(rest, '/');
		bool last = segment == rest.len, one = segment == 1 && rest.ptr[0] == '.', two = segment == 2 && rest.ptr[0] == '.' && rest.ptr[1] == '.';
		if (two)
			while (n > 0 && p[--n] != '/')
				;
		if (!one && !two) {
			memmove(p + n, p + i, segment + 1);
			n += segment + 1;
		} else if (last) {
			p[n++] = '/';
		}
		i += segment + 1;
	}
	return n;
}

bool serve__path_resolve(struct slice path, struct buf *scratch, struct slice *ret)
{
	*ret = path;
	if (is_resolved(path) || path.len == 0 || path.ptr[0] != '/')
		return true;
	buf_clear(scratch);
	uint8_t *p = buf_reserve(scratch, path.len);
	if (!p)
		return false;
	scratch->len = remove_dots(p, decode(path, p));
	*ret = buf_view(scratch);
	return true;
}
