#include "utf.h"

// Follows table 3-7 of the Unicode standard (well-formed UTF-8 byte sequences).
unsigned utf8_decode(struct slice s, uint32_t *ret_char)
{
	const uint8_t *p = s.ptr;
	if (s.len == 0)
		return 0;
	if (p[0] < 0x80) {
		*ret_char = p[0];
		return 1;
	}
	unsigned n = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2
		: p[0] < 0xf0                          ? 3
		: p[0] < 0xf5                          ? 4
											   : 0;
	if (n == 0 || s.len < n)
		return 0;
	uint32_t c = p[0] & (0x7f >> n);
	for (unsigned i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	if (c < least[n] || !utf_is_scalar(c))
		return 0;
	*ret_char = c;
	return n;
}

size_t utf8_valid_prefix(struct slice s)
{
	size_t at = 0;
	while (at < s.len) {
		uint64_t word;
		if (s.len - at >= 8 && (memcpy(&word, s.ptr + at, 8), (word & 0x8080808080808080u) == 0)) {
			at += 8;
			continue;
		}
		if (s.ptr[at] < 0x80) {
			at++;
			continue;
		}
		uint32_t c;
		unsigned n = utf8_decode(slice_sub(s, at, 4), &c);
		if (n == 0)
			break;
		at += n;
	}
	return at;
}

unsigned utf8_encode(uint32_t c, uint8_t out[4])
{
	if (c < 0x80) {
		out[0] = (uint8_t)c;
		return 1;
	}
	unsigned n = c < 0x800 ? 2 : c < 0x10000 ? 3
											 : 4;
	for (unsigned i = n - 1; i > 0; i--, c >>= 6)
		out[i] = (uint8_t)(0x80 | (c & 0x3f));
	static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
	out[0] = (uint8_t)(lead[n] | c);
	return n;
}

static uint32_t unit_at(const uint8_t *bytes, size_t i)
{
	return (uint32_t)bytes[2 * i] | (uint32_t)bytes[2 * i + 1] << 8;
}

unsigned utf16_decode(const uint8_t *bytes, size_t units, uint32_t *ret_char)
{
	if (units == 0)
		return 0;
	uint32_t hi = unit_at(bytes, 0);
	if (hi < 0xd800 || hi >= 0xe000) {
		*ret_char = hi;
		return 1;
	}
	if (hi >= 0xdc00 || units < 2)
		return 0;
	uint32_t lo = unit_at(bytes, 1);
	if (lo < 0xdc00 || lo >= 0xe000)
		return 0;
	*ret_char = 0x10000 + ((hi - 0xd800) << 10 | (lo - 0xdc00));
	return 2;
}

unsigned utf16_encode(uint32_t c, uint8_t out[4])
{
	uint32_t hi = c, lo = 0;
	if (c >= 0x10000) {
		hi = 0xd800 + ((c - 0x10000) >> 10);
		lo = 0xdc00 + ((c - 0x10000) & 0x3ff);
		out[2] = (uint8_t)lo;
		out[3] = (uint8_t)(lo >> 8);
	}
	out[0] = (uint8_t)hi;
	out[1] = (uint8_t)(hi >> 8);
	return c >= 0x10000 ? 2 : 1;
}
