// Makes valid core modules out of arbitrary bytes, by the table of instructions.
#ifndef FUZZ_GENERATE_H
#define FUZZ_GENERATE_H

#include "base/base.h"

// Bytes that a fuzzer gave; behind their end come zeros.
struct bytes {
	const uint8_t *p, *end;
};
static inline uint8_t bytes_take(struct bytes *b)
{
	return b->p < b->end ? *b->p++ : 0;
}
static inline uint64_t bytes_take_u64(struct bytes *b)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < 8; i++)
		v |= (uint64_t)bytes_take(b) << i * 8;
	return v;
}

// LEB128.
static inline void put_u(struct buf *b, uint64_t v)
{
	do {
		buf_put_byte(b, (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0)));
		v >>= 7;
	} while (v);
}
static inline void put_s(struct buf *b, int64_t v)
{
	for (;;) {
		uint8_t byte = v & 0x7f;
		v >>= 7;
		bool last = (v == 0 && !(byte & 0x40)) || (v == -1 && (byte & 0x40));
		buf_put_byte(b, last ? byte : byte | 0x80);
		if (last)
			return;
	}
}

// A module without imports that exports `f` (i32 i64 f32 f64) -> one value, `m` a memory of a page, and globals `i`, `l`, `f32`, `f64`. It ends by
// itself: loops count down, calls go to functions before the caller.
void generate_module(struct bytes *in, struct buf *out);

#endif
