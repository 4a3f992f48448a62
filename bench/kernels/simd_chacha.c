// ChaCha20: a block's four rows as vectors, rotations by shifts and by shuffles.
#include <wasm_simd128.h>

#include "kernel.h"

enum { BLOCKS = 256 };
static uint32_t out[BLOCKS * 16];

#define ROTATE(v, n) wasm_v128_or(wasm_i32x4_shl(v, n), wasm_u32x4_shr(v, 32 - (n)))
#define ROTATE16(v) wasm_i8x16_shuffle(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)

#define QUARTERS()                           \
	do {                                     \
		a = wasm_i32x4_add(a, b);            \
		d = ROTATE16(wasm_v128_xor(d, a));   \
		c = wasm_i32x4_add(c, d);            \
		b = ROTATE(wasm_v128_xor(b, c), 12); \
		a = wasm_i32x4_add(a, b);            \
		d = ROTATE(wasm_v128_xor(d, a), 8);  \
		c = wasm_i32x4_add(c, d);            \
		b = ROTATE(wasm_v128_xor(b, c), 7);  \
	} while (0)

static void block(uint32_t *to, v128_t a0, v128_t b0, v128_t c0, v128_t d0)
{
	v128_t a = a0, b = b0, c = c0, d = d0;
	for (int i = 0; i < 10; i++) {
		QUARTERS();
		b = wasm_i32x4_shuffle(b, b, 1, 2, 3, 0);
		c = wasm_i32x4_shuffle(c, c, 2, 3, 0, 1);
		d = wasm_i32x4_shuffle(d, d, 3, 0, 1, 2);
		QUARTERS();
		b = wasm_i32x4_shuffle(b, b, 3, 0, 1, 2);
		c = wasm_i32x4_shuffle(c, c, 2, 3, 0, 1);
		d = wasm_i32x4_shuffle(d, d, 1, 2, 3, 0);
	}
	wasm_v128_store(to, wasm_v128_xor(wasm_v128_load(to), wasm_i32x4_add(a, a0)));
	wasm_v128_store(to + 4, wasm_v128_xor(wasm_v128_load(to + 4), wasm_i32x4_add(b, b0)));
	wasm_v128_store(to + 8, wasm_v128_xor(wasm_v128_load(to + 8), wasm_i32x4_add(c, c0)));
	wasm_v128_store(to + 12, wasm_v128_xor(wasm_v128_load(to + 12), wasm_i32x4_add(d, d0)));
}

EXPORT int64_t run(int32_t n)
{
	v128_t a = wasm_i32x4_make(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574), b = wasm_i32x4_make(1, 2, 3, 4), c = wasm_i32x4_make(5, 6, 7, 8);
	for (int32_t round = 0; round < n; round++)
		for (int i = 0; i < BLOCKS; i++)
			block(out + 16 * i, a, b, c, wasm_i32x4_make(i, round, 9, 10));
	int64_t sum = 0;
	for (int i = 0; i < BLOCKS * 16; i++)
		sum = sum * 31 + out[i];
	return sum;
}
