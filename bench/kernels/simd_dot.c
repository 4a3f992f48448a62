// Dot products and sums of scaled vectors, four floats at once.
#include <wasm_simd128.h>

#include "kernel.h"

enum { LENGTH = 4096, ROWS = 16 };
static float rows[ROWS][LENGTH], sum[LENGTH];

static float dot(const float *a, const float *b)
{
	v128_t s0 = wasm_f32x4_splat(0), s1 = s0, s2 = s0, s3 = s0;
	for (int i = 0; i < LENGTH; i += 16) {
		s0 = wasm_f32x4_add(s0, wasm_f32x4_mul(wasm_v128_load(a + i), wasm_v128_load(b + i)));
		s1 = wasm_f32x4_add(s1, wasm_f32x4_mul(wasm_v128_load(a + i + 4), wasm_v128_load(b + i + 4)));
		s2 = wasm_f32x4_add(s2, wasm_f32x4_mul(wasm_v128_load(a + i + 8), wasm_v128_load(b + i + 8)));
		s3 = wasm_f32x4_add(s3, wasm_f32x4_mul(wasm_v128_load(a + i + 12), wasm_v128_load(b + i + 12)));
	}
	s0 = wasm_f32x4_add(wasm_f32x4_add(s0, s1), wasm_f32x4_add(s2, s3));
	return wasm_f32x4_extract_lane(s0, 0) + wasm_f32x4_extract_lane(s0, 1) + wasm_f32x4_extract_lane(s0, 2) + wasm_f32x4_extract_lane(s0, 3);
}

static void add_scaled(float *to, const float *from, float by)
{
	v128_t f = wasm_f32x4_splat(by);
	for (int i = 0; i < LENGTH; i += 4)
		wasm_v128_store(to + i, wasm_f32x4_add(wasm_v128_load(to + i), wasm_f32x4_mul(wasm_v128_load(from + i), f)));
}

EXPORT int64_t run(int32_t n)
{
	uint32_t seed = 1;
	for (int r = 0; r < ROWS; r++)
		for (int i = 0; i < LENGTH; i++)
			rows[r][i] = (float)(next_random(&seed) & 255) / 256;
	float total = 0;
	for (int32_t round = 0; round < n; round++) {
		for (int r = 0; r < ROWS; r++) {
			float d = dot(rows[r], rows[(r + round) & (ROWS - 1)]);
			add_scaled(sum, rows[r], d / LENGTH);
			total += d;
		}
		for (int i = 0; i < LENGTH; i++)
			sum[i] *= 0.5f;
	}
	return (int64_t)(total + sum[7] * 1000);
}
