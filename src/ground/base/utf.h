// UTF-8, UTF-16 and Latin-1, with the exact acceptance of the canonical ABI: no overlong forms, no surrogates in UTF-8,
// no lone surrogates in UTF-16.
#ifndef TENON_BASE_UTF_H
#define TENON_BASE_UTF_H

#include "slice.h"

// Length of the longest valid prefix in bytes; equals s.len if all of it is valid.
size_t utf8_valid_prefix(struct slice s);
static inline bool utf8_is_valid(struct slice s)
{
	return utf8_valid_prefix(s) == s.len;
}
// Decodes one scalar value; returns bytes consumed (1..4), 0 if malformed or s is empty.
unsigned utf8_decode(struct slice s, uint32_t *ret_char);
// Writes 1..4 bytes; returns their number. `c` must be a scalar value.
unsigned utf8_encode(uint32_t c, uint8_t out[4]);
static inline bool utf_is_scalar(uint32_t c)
{
	return c < 0xd800 || (c >= 0xe000 && c < 0x110000);
}
// Decodes one scalar from `units` little-endian UTF-16 code units (bytes, any alignment); returns units consumed (1, 2), 0 if lone surrogate or empty.
unsigned utf16_decode(const uint8_t *bytes, size_t units, uint32_t *ret_char);
// Writes 1 or 2 code units, little endian, into `out` (4 bytes); returns their number.
unsigned utf16_encode(uint32_t c, uint8_t out[4]);

#endif
