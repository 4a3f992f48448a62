// A second implementation of the instructions on vectors, lane by lane in plain C, for tests to compare with.
#ifndef TENON_BASELINE_TEST_VECTORS_H
#define TENON_BASELINE_TEST_VECTORS_H

#include <math.h>
#include <string.h>

#include "wasm/wasm.h"

union vec {
	uint8_t b[16];
	int8_t sb[16];
	uint16_t w[8];
	int16_t sw[8];
	uint32_t d[4];
	int32_t sd[4];
	uint64_t q[2];
	int64_t sq[2];
	float f[4];
	double g[2];
};

// What a NaN in the result may be: these very bits, any quiet one, or a canonical one.
enum nan_kind { NAN_BITS, NAN_QUIET, NAN_CANONICAL };

static inline int64_t clamp(int64_t v, int64_t low, int64_t high)
{
	return v < low ? low : v > high ? high
									: v;
}

static inline double ref_min(double a, double b)
{
	return isnan(a) || isnan(b) ? NAN : a == b ? (signbit(a) ? a : b)
		: a < b                                ? a
											   : b;
}

static inline double ref_max(double a, double b)
{
	return isnan(a) || isnan(b) ? NAN : a == b ? (signbit(a) ? b : a)
		: a > b                                ? a
											   : b;
}

static inline int64_t ref_trunc(double v, double low, double high)
{
	return isnan(v) ? 0 : v <= low ? (int64_t)low
		: v >= high                ? (int64_t)high
								   : (int64_t)v;
}

#define EACH(field, expr)                                             \
	for (unsigned i = 0; i < sizeof r.field / sizeof r.field[0]; i++) \
		r.field[i] = (__typeof__(r.field[0]))(expr);                  \
	break
#define ALL(field, expr)                                              \
	r.q[0] = 1;                                                       \
	for (unsigned i = 0; i < sizeof x.field / sizeof x.field[0]; i++) \
		r.q[0] &= (expr);                                             \
	break
#define MASK(field)                                                   \
	for (unsigned i = 0; i < sizeof x.field / sizeof x.field[0]; i++) \
		r.q[0] |= (uint64_t)(x.field[i] < 0) << i;                    \
	break
#define OP(name) case WASM_OP_##name

#define INTEGERS(T, u, s, bits)                                       \
	OP(T##_EQ) : EACH(u, x.u[i] == y.u[i] ? -1 : 0);                  \
	OP(T##_NE) : EACH(u, x.u[i] != y.u[i] ? -1 : 0);                  \
	OP(T##_LT_S) : EACH(u, x.s[i] < y.s[i] ? -1 : 0);                 \
	OP(T##_GT_S) : EACH(u, x.s[i] > y.s[i] ? -1 : 0);                 \
	OP(T##_LE_S) : EACH(u, x.s[i] <= y.s[i] ? -1 : 0);                \
	OP(T##_GE_S) : EACH(u, x.s[i] >= y.s[i] ? -1 : 0);                \
	OP(T##_ADD) : EACH(u, x.u[i] + y.u[i]);                           \
	OP(T##_SUB) : EACH(u, x.u[i] - y.u[i]);                           \
	OP(T##_NEG) : EACH(u, -(uint64_t)x.u[i]);                         \
	OP(T##_ABS) : EACH(u, x.s[i] < 0 ? -(uint64_t)x.u[i] : x.u[i]);   \
	OP(T##_SHL) : EACH(u, (uint64_t)x.u[i] << (y.d[0] & (bits - 1))); \
	OP(T##_SHR_S) : EACH(u, x.s[i] >> (y.d[0] & (bits - 1)));         \
	OP(T##_SHR_U) : EACH(u, x.u[i] >> (y.d[0] & (bits - 1)));         \
	OP(T##_ALL_TRUE) : ALL(u, x.u[i] != 0);                           \
	OP(T##_BITMASK) : MASK(s);                                        \
	OP(T##_RELAXED_LANESELECT) : EACH(q, (x.q[i] & z.q[i]) | (y.q[i] & ~z.q[i]))

#define SMALL_INTEGERS(T, u, s)                                 \
	OP(T##_LT_U) : EACH(u, x.u[i] < y.u[i] ? -1 : 0);           \
	OP(T##_GT_U) : EACH(u, x.u[i] > y.u[i] ? -1 : 0);           \
	OP(T##_LE_U) : EACH(u, x.u[i] <= y.u[i] ? -1 : 0);          \
	OP(T##_GE_U) : EACH(u, x.u[i] >= y.u[i] ? -1 : 0);          \
	OP(T##_MIN_S) : EACH(u, x.s[i] < y.s[i] ? x.s[i] : y.s[i]); \
	OP(T##_MIN_U) : EACH(u, x.u[i] < y.u[i] ? x.u[i] : y.u[i]); \
	OP(T##_MAX_S) : EACH(u, x.s[i] > y.s[i] ? x.s[i] : y.s[i]); \
	OP(T##_MAX_U) : EACH(u, x.u[i] > y.u[i] ? x.u[i] : y.u[i])

#define SATURATING(T, u, s, min, max, umax)                                 \
	OP(T##_ADD_SAT_S) : EACH(u, clamp((int64_t)x.s[i] + y.s[i], min, max)); \
	OP(T##_ADD_SAT_U) : EACH(u, clamp((int64_t)x.u[i] + y.u[i], 0, umax));  \
	OP(T##_SUB_SAT_S) : EACH(u, clamp((int64_t)x.s[i] - y.s[i], min, max)); \
	OP(T##_SUB_SAT_U) : EACH(u, clamp((int64_t)x.u[i] - y.u[i], 0, umax));  \
	OP(T##_AVGR_U) : EACH(u, (x.u[i] + y.u[i] + 1) / 2)

// From lanes (u, s) of F, n of them a half, to T's (field).
#define WIDENING(T, F, field, u, s, n)                                           \
	OP(T##_EXTEND_LOW_##F##_S) : EACH(field, x.s[i]);                            \
	OP(T##_EXTEND_LOW_##F##_U) : EACH(field, x.u[i]);                            \
	OP(T##_EXTEND_HIGH_##F##_S) : EACH(field, x.s[i + n]);                       \
	OP(T##_EXTEND_HIGH_##F##_U) : EACH(field, x.u[i + n]);                       \
	OP(T##_EXTMUL_LOW_##F##_S) : EACH(field, (int64_t)x.s[i] * y.s[i]);          \
	OP(T##_EXTMUL_LOW_##F##_U) : EACH(field, (uint64_t)x.u[i] * y.u[i]);         \
	OP(T##_EXTMUL_HIGH_##F##_S) : EACH(field, (int64_t)x.s[i + n] * y.s[i + n]); \
	OP(T##_EXTMUL_HIGH_##F##_U) : EACH(field, (uint64_t)x.u[i + n] * y.u[i + n])
#define PAIRS(T, F, field, u, s)                                                \
	OP(T##_EXTADD_PAIRWISE_##F##_S) : EACH(field, x.s[2 * i] + x.s[2 * i + 1]); \
	OP(T##_EXTADD_PAIRWISE_##F##_U) : EACH(field, x.u[2 * i] + x.u[2 * i + 1])

#define QUIET(expr)   \
	*nan = NAN_QUIET; \
	EACH expr
#define CANONICAL(expr)   \
	*nan = NAN_CANONICAL; \
	EACH expr
#define FLOATS(T, f, u, sign, suffix)                                                  \
	OP(T##_EQ) : EACH(u, x.f[i] == y.f[i] ? -1 : 0);                                   \
	OP(T##_NE) : EACH(u, x.f[i] != y.f[i] ? -1 : 0);                                   \
	OP(T##_LT) : EACH(u, x.f[i] < y.f[i] ? -1 : 0);                                    \
	OP(T##_GT) : EACH(u, x.f[i] > y.f[i] ? -1 : 0);                                    \
	OP(T##_LE) : EACH(u, x.f[i] <= y.f[i] ? -1 : 0);                                   \
	OP(T##_GE) : EACH(u, x.f[i] >= y.f[i] ? -1 : 0);                                   \
	OP(T##_ABS) : EACH(u, x.u[i] & ~(sign));                                           \
	OP(T##_NEG) : EACH(u, x.u[i] ^ (sign));                                            \
	OP(T##_PMIN) : EACH(u, y.f[i] < x.f[i] ? y.u[i] : x.u[i]);                         \
	OP(T##_PMAX) : EACH(u, x.f[i] < y.f[i] ? y.u[i] : x.u[i]);                         \
	OP(T##_CEIL) : QUIET((f, ceil##suffix(x.f[i])));                                   \
	OP(T##_FLOOR) : QUIET((f, floor##suffix(x.f[i])));                                 \
	OP(T##_TRUNC) : QUIET((f, trunc##suffix(x.f[i])));                                 \
	OP(T##_NEAREST) : QUIET((f, rint##suffix(x.f[i])));                                \
	OP(T##_SQRT) : QUIET((f, sqrt##suffix(x.f[i])));                                   \
	OP(T##_ADD) : QUIET((f, x.f[i] + y.f[i]));                                         \
	OP(T##_SUB) : QUIET((f, x.f[i] - y.f[i]));                                         \
	OP(T##_MUL) : QUIET((f, x.f[i] * y.f[i]));                                         \
	OP(T##_DIV) : QUIET((f, x.f[i] / y.f[i]));                                         \
	OP(T##_MIN) : OP(T##_RELAXED_MIN) : CANONICAL((f, ref_min(x.f[i], y.f[i])));       \
	OP(T##_MAX) : OP(T##_RELAXED_MAX) : CANONICAL((f, ref_max(x.f[i], y.f[i])));       \
	OP(T##_RELAXED_MADD) : QUIET((f, (__typeof__(x.f[0]))(x.f[i] * y.f[i]) + z.f[i])); \
	OP(T##_RELAXED_NMADD) : QUIET((f, (__typeof__(x.f[0]))(-x.f[i] * y.f[i]) + z.f[i]))

#define LANES_OF(T, field)                   \
	OP(T##_SPLAT) : EACH(field, x.field[0]); \
	OP(T##_REPLACE_LANE) : r = x;            \
	r.field[imm[0]] = y.field[0];            \
	break

static inline int16_t ref_dot(const union vec *x, const union vec *y, unsigned i)
{
	return (int16_t)(x->sb[2 * i] * y->sb[2 * i] + x->sb[2 * i + 1] * y->sb[2 * i + 1]);
}

// false: not an instruction on vectors that touches no memory. Scalars are in the low lane; imm: lanes.
static inline bool ref_int(enum wasm_op op, union vec x, union vec y, union vec z, const uint8_t *imm, union vec *ret)
{
	union vec r = {0};
	switch (op) {
		INTEGERS(I8X16, b, sb, 8);
		INTEGERS(I16X8, w, sw, 16);
		INTEGERS(I32X4, d, sd, 32);
		INTEGERS(I64X2, q, sq, 64);
		SMALL_INTEGERS(I8X16, b, sb);
		SMALL_INTEGERS(I16X8, w, sw);
		SMALL_INTEGERS(I32X4, d, sd);
		SATURATING(I8X16, b, sb, INT8_MIN, INT8_MAX, UINT8_MAX);
		SATURATING(I16X8, w, sw, INT16_MIN, INT16_MAX, UINT16_MAX);
		WIDENING(I16X8, I8X16, w, b, sb, 8);
		WIDENING(I32X4, I16X8, d, w, sw, 4);
		WIDENING(I64X2, I32X4, q, d, sd, 2);
		PAIRS(I16X8, I8X16, w, b, sb);
		PAIRS(I32X4, I16X8, d, w, sw);
		OP(I16X8_MUL)
			: EACH(w, (uint32_t)x.w[i] * y.w[i]);
		OP(I32X4_MUL)
			: EACH(d, x.d[i] * y.d[i]);
		OP(I64X2_MUL)
			: EACH(q, x.q[i] * y.q[i]);
		OP(I32X4_DOT_I16X8_S)
			: EACH(d, (uint32_t)(x.sw[2 * i] * y.sw[2 * i]) + (uint32_t)(x.sw[2 * i + 1] * y.sw[2 * i + 1]));
		OP(I16X8_Q15MULR_SAT_S)
			: OP(I16X8_RELAXED_Q15MULR_S)
			: EACH(w, clamp((x.sw[i] * y.sw[i] + 0x4000) >> 15, INT16_MIN, INT16_MAX));
		OP(I16X8_RELAXED_DOT_I8X16_I7X16_S)
			: EACH(w, ref_dot(&x, &y, i));
		OP(I32X4_RELAXED_DOT_I8X16_I7X16_ADD_S)
			: EACH(d, (uint32_t)(ref_dot(&x, &y, 2 * i) + ref_dot(&x, &y, 2 * i + 1)) + z.d[i]);
		OP(I8X16_POPCNT)
			: EACH(b, __builtin_popcount(x.b[i]));
		OP(I8X16_NARROW_I16X8_S)
			: EACH(b, clamp(i < 8 ? x.sw[i] : y.sw[i - 8], INT8_MIN, INT8_MAX));
		OP(I8X16_NARROW_I16X8_U)
			: EACH(b, clamp(i < 8 ? x.sw[i] : y.sw[i - 8], 0, UINT8_MAX));
		OP(I16X8_NARROW_I32X4_S)
			: EACH(w, clamp(i < 4 ? x.sd[i] : y.sd[i - 4], INT16_MIN, INT16_MAX));
		OP(I16X8_NARROW_I32X4_U)
			: EACH(w, clamp(i < 4 ? x.sd[i] : y.sd[i - 4], 0, UINT16_MAX));
		OP(I8X16_SWIZZLE)
			: OP(I8X16_RELAXED_SWIZZLE)
			: EACH(b, y.b[i] < 16 ? x.b[y.b[i]] : 0);
		OP(I8X16_SHUFFLE)
			: EACH(b, imm[i] < 16 ? x.b[imm[i]] : y.b[imm[i] - 16]);
		OP(V128_NOT)
			: EACH(q, ~x.q[i]);
		OP(V128_AND)
			: EACH(q, x.q[i] & y.q[i]);
		OP(V128_ANDNOT)
			: EACH(q, x.q[i] & ~y.q[i]);
		OP(V128_OR)
			: EACH(q, x.q[i] | y.q[i]);
		OP(V128_XOR)
			: EACH(q, x.q[i] ^ y.q[i]);
		OP(V128_BITSELECT)
			: EACH(q, (x.q[i] & z.q[i]) | (y.q[i] & ~z.q[i]));
		OP(V128_ANY_TRUE)
			: r.q[0] = (x.q[0] | x.q[1]) != 0;
		break;
		LANES_OF(I8X16, b);
		LANES_OF(I16X8, w);
		LANES_OF(I32X4, d);
		LANES_OF(I64X2, q);
		LANES_OF(F32X4, d);
		LANES_OF(F64X2, q);
		OP(I8X16_EXTRACT_LANE_S)
			: r.sd[0] = x.sb[imm[0]];
		break;
		OP(I8X16_EXTRACT_LANE_U)
			: r.d[0] = x.b[imm[0]];
		break;
		OP(I16X8_EXTRACT_LANE_S)
			: r.sd[0] = x.sw[imm[0]];
		break;
		OP(I16X8_EXTRACT_LANE_U)
			: r.d[0] = x.w[imm[0]];
		break;
		OP(I32X4_EXTRACT_LANE)
			: OP(F32X4_EXTRACT_LANE)
			: r.d[0] = x.d[imm[0]];
		break;
		OP(I64X2_EXTRACT_LANE)
			: OP(F64X2_EXTRACT_LANE)
			: r.q[0] = x.q[imm[0]];
		break;
	default:
		return false;
	}
	*ret = r;
	return true;
}

// The same of those on floats. *nan: how to compare; *wide: lanes of 64 bits.
static inline bool ref_float(enum wasm_op op, union vec x, union vec y, union vec z, union vec *ret, enum nan_kind *nan)
{
	union vec r = {0};
	*nan = NAN_BITS;
	switch (op) {
		FLOATS(F32X4, f, d, 0x80000000u, f);
		FLOATS(F64X2, g, q, UINT64_C(1) << 63, );
		OP(F32X4_CONVERT_I32X4_S)
			: EACH(f, x.sd[i]);
		OP(F32X4_CONVERT_I32X4_U)
			: EACH(f, x.d[i]);
		OP(F64X2_CONVERT_LOW_I32X4_S)
			: EACH(g, x.sd[i]);
		OP(F64X2_CONVERT_LOW_I32X4_U)
			: EACH(g, x.d[i]);
		OP(F64X2_PROMOTE_LOW_F32X4)
			: QUIET((g, x.f[i]));
		OP(F32X4_DEMOTE_F64X2_ZERO)
			: QUIET((f, i < 2 ? x.g[i] : 0));
		OP(I32X4_TRUNC_SAT_F32X4_S)
			: OP(I32X4_RELAXED_TRUNC_F32X4_S)
			: EACH(d, ref_trunc(x.f[i], INT32_MIN, INT32_MAX));
		OP(I32X4_TRUNC_SAT_F32X4_U)
			: OP(I32X4_RELAXED_TRUNC_F32X4_U)
			: EACH(d, ref_trunc(x.f[i], 0, UINT32_MAX));
		OP(I32X4_TRUNC_SAT_F64X2_S_ZERO)
			: OP(I32X4_RELAXED_TRUNC_F64X2_S_ZERO)
			: EACH(d, i < 2 ? ref_trunc(x.g[i], INT32_MIN, INT32_MAX) : 0);
		OP(I32X4_TRUNC_SAT_F64X2_U_ZERO)
			: OP(I32X4_RELAXED_TRUNC_F64X2_U_ZERO)
			: EACH(d, i < 2 ? ref_trunc(x.g[i], 0, UINT32_MAX) : 0);
	default:
		return false;
	}
	*ret = r;
	return true;
}

static inline bool same_f32(uint32_t got, uint32_t want, enum nan_kind nan)
{
	if (nan == NAN_BITS || (want & 0x7fffffff) <= 0x7f800000)
		return got == want;
	return nan == NAN_CANONICAL ? (got & 0x7fffffff) == 0x7fc00000 : (got & 0x7fc00000) == 0x7fc00000;
}

static inline bool same_f64(uint64_t got, uint64_t want, enum nan_kind nan)
{
	const uint64_t quiet = UINT64_C(0x7ff8000000000000), magnitude = ~(UINT64_C(1) << 63);
	if (nan == NAN_BITS || (want & magnitude) <= UINT64_C(0x7ff0000000000000))
		return got == want;
	return nan == NAN_CANONICAL ? (got & magnitude) == quiet : (got & quiet) == quiet;
}

#undef EACH
#undef ALL
#undef MASK
#undef OP
#endif
