// Text looked through sixteen bytes at a time: characters of UTF-8, lines, words of ASCII in upper case, bytes in hexadecimal.
#include <wasm_simd128.h>

#include "kernel.h"

enum { BYTES = 1 << 16 };
static uint8_t text[BYTES], hex[2 * BYTES];

static uint32_t characters(void)
{
	uint32_t n = 0;
	for (int i = 0; i < BYTES; i += 16)
		n += (uint32_t)__builtin_popcount(wasm_i8x16_bitmask(wasm_i8x16_gt(wasm_v128_load(text + i), wasm_i8x16_splat(-65))));
	return n;
}

static uint32_t lines(void)
{
	uint32_t sum = 0;
	for (int i = 0; i < BYTES; i += 16) {
		v128_t is = wasm_i8x16_eq(wasm_v128_load(text + i), wasm_i8x16_splat('\n'));
		if (wasm_v128_any_true(is))
			sum += (uint32_t)i + (uint32_t)__builtin_ctz(wasm_i8x16_bitmask(is));
	}
	return sum;
}

static void change_case(void)
{
	for (int i = 0; i < BYTES; i += 16) {
		v128_t v = wasm_v128_load(text + i), letter = wasm_v128_or(v, wasm_i8x16_splat(0x20));
		v128_t is = wasm_v128_and(wasm_u8x16_ge(letter, wasm_i8x16_splat('a')), wasm_u8x16_le(letter, wasm_i8x16_splat('z')));
		wasm_v128_store(text + i, wasm_v128_xor(v, wasm_v128_and(is, wasm_i8x16_splat(0x20))));
	}
}

static void to_hex(void)
{
	v128_t digits = wasm_i8x16_make('0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f');
	for (int i = 0; i < BYTES; i += 16) {
		v128_t v = wasm_v128_load(text + i);
		v128_t high = wasm_i8x16_swizzle(digits, wasm_u8x16_shr(v, 4)), low = wasm_i8x16_swizzle(digits, wasm_v128_and(v, wasm_i8x16_splat(15)));
		wasm_v128_store(hex + 2 * i, wasm_i8x16_shuffle(high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
		wasm_v128_store(hex + 2 * i + 16, wasm_i8x16_shuffle(high, low, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
	}
}

EXPORT int64_t run(int32_t n)
{
	uint32_t seed = 3;
	for (int i = 0; i < BYTES; i++) {
		uint32_t r = next_random(&seed) >> 3;
		text[i] = r % 61 == 0 ? '\n' : r % 7 == 0 ? (uint8_t)(0x80 | (r >> 8 & 63))
												  : (uint8_t)(32 + (r >> 8) % 95);
	}
	int64_t sum = 0;
	for (int32_t round = 0; round < n; round++) {
		sum += characters() + lines();
		change_case();
		to_hex();
		sum += hex[(uint32_t)round * 97 % (2 * BYTES)];
	}
	return sum;
}
