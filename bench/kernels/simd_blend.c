// An image of four bytes a pixel laid over another by its alpha, with saturation.
#include <wasm_simd128.h>

#include "kernel.h"

enum { BYTES = 256 * 256 * 4 };
static uint8_t below[BYTES], above[BYTES];

// (above * alpha + below * (255 - alpha)) / 255, of eight channels of 16 bits.
static v128_t mix(v128_t a, v128_t b, v128_t alpha)
{
	v128_t sum = wasm_i16x8_add(wasm_i16x8_mul(a, alpha), wasm_i16x8_mul(b, wasm_i16x8_sub(wasm_i16x8_splat(255), alpha)));
	sum = wasm_i16x8_add(sum, wasm_i16x8_splat(128));
	return wasm_u16x8_shr(wasm_i16x8_add(sum, wasm_u16x8_shr(sum, 8)), 8);
}

static void blend(uint8_t *to, const uint8_t *from, uint8_t light)
{
	v128_t more = wasm_u8x16_splat(light);
	for (int i = 0; i < BYTES; i += 16) {
		v128_t a = wasm_v128_load(from + i), b = wasm_v128_load(to + i);
		v128_t alpha = wasm_i8x16_shuffle(a, a, 3, 3, 3, 3, 7, 7, 7, 7, 11, 11, 11, 11, 15, 15, 15, 15);
		v128_t low = mix(wasm_u16x8_extend_low_u8x16(a), wasm_u16x8_extend_low_u8x16(b), wasm_u16x8_extend_low_u8x16(alpha));
		v128_t high = mix(wasm_u16x8_extend_high_u8x16(a), wasm_u16x8_extend_high_u8x16(b), wasm_u16x8_extend_high_u8x16(alpha));
		wasm_v128_store(to + i, wasm_u8x16_sub_sat(wasm_u8x16_add_sat(wasm_u8x16_narrow_i16x8(low, high), more), wasm_u8x16_splat(3)));
	}
}

EXPORT int64_t run(int32_t n)
{
	uint32_t seed = 7;
	for (int i = 0; i < BYTES; i++) {
		below[i] = (uint8_t)next_random(&seed);
		above[i] = (uint8_t)(next_random(&seed) >> 8);
	}
	for (int32_t round = 0; round < n; round++)
		blend(below, above, (uint8_t)(round & 7));
	int64_t sum = 0;
	for (int i = 0; i < BYTES; i++)
		sum = sum * 31 + below[i];
	return sum;
}
