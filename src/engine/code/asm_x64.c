// What of the assembler is not inline, and what the processor has.
#define CODE_ASSEMBLER
#include "code_int.h"

#include <cpuid.h>
#include <sys/platform/x86.h>

// Room that is asked for at once never exceeds this: it is what a failed assembler writes into. Not more: it stands between what each thread touches when it
// begins.
#define ROOM_MAX 1024
enum { ROOM_FIRST = 16 << 10 };
static _Thread_local uint8_t waste[ROOM_MAX];

void x64_room_slow(struct x64 *a, size_t n)
{
	BUG_ON(n > ROOM_MAX);
	size_t used = a->failed ? 0 : (size_t)(a->p - a->base);
	if (!a->failed) {
		a->buf->len = a->start + used;
		size_t want = n > a->buf->cap / 2 ? n : a->buf->cap / 2;
		if (want < ROOM_FIRST)
			want = ROOM_FIRST;
		uint8_t *p = buf_reserve(a->buf, want);
		if (!p) {
			a->buf->failed = false;
			p = buf_reserve(a->buf, n);
		}
		if (p) {
			a->base = a->buf->ptr + a->start;
			a->p = a->base + used;
			a->end = a->buf->ptr + a->buf->cap;
			return;
		}
		a->full = a->buf->max && a->buf->len + n > a->buf->max;
	}
	a->failed = true;
	a->p = a->base = waste;
	a->end = waste + sizeof waste;
}

bool x64_finish(struct x64 *a)
{
	if (!a->failed)
		a->buf->len = a->start + (size_t)(a->p - a->base);
	else
		a->buf->len = a->start;
	return !a->failed;
}

void x64_align(struct x64 *a, unsigned align)
{
	static const uint8_t nops[9][9] = {{0x90}, {0x66, 0x90}, {0x0f, 0x1f, 0x00}, {0x0f, 0x1f, 0x40, 0}, {0x0f, 0x1f, 0x44, 0, 0},
		{0x66, 0x0f, 0x1f, 0x44, 0, 0}, {0x0f, 0x1f, 0x80, 0, 0, 0, 0}, {0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0}, {0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0}};
	unsigned n = (unsigned)(-(size_t)(a->p - a->base)) & (align - 1);
	while (n) {
		unsigned k = n > 9 ? 9 : n;
		memcpy(a->p, nops[k - 1], k);
		a->p += k;
		n -= k;
	}
}

// By what the dynamic linker has asked already: in a virtual machine each CPUID costs microseconds. "Active": the system keeps the registers, too.
bool code_cpu_detect(uint32_t *ret_features)
{
	bool avx = CPU_FEATURE_ACTIVE(AVX);
	*ret_features = (CPU_FEATURE_ACTIVE(BMI1) ? CODE_CPU_BMI1 : 0) | (CPU_FEATURE_ACTIVE(BMI2) ? CODE_CPU_BMI2 : 0) | (CPU_FEATURE_ACTIVE(LZCNT) ? CODE_CPU_LZCNT : 0);
	*ret_features |= (avx ? CODE_CPU_AVX : 0) | (avx && CPU_FEATURE_ACTIVE(AVX2) ? CODE_CPU_AVX2 : 0);
	return CPU_FEATURE_ACTIVE(SSE4_2) && CPU_FEATURE_ACTIVE(POPCNT);
}

#define VECTORS 0xe6u  // SSE, AVX, opmask, ZMM_Hi256, Hi16_ZMM: code of guests may use them; no x87, no tiles

bool code_cpu_vectors(struct code_vectors *ret)
{
	// Bytes of components, which the compact form has one behind the other: what their registers hold. Only where the other form lies is to be asked.
	static const uint16_t sizes[] = {[2] = 16 * 16, [5] = 8 * 8, [6] = 16 * 32, [7] = 16 * 64};
	unsigned a, b, c, d, low, high, end = 576;  // legacy area and header
	if (!CPU_FEATURE_ACTIVE(XSAVE))
		return false;
	bool compact = CPU_FEATURE_PRESENT(XSAVEC);
	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	for (unsigned i = 2; i < 8; i++) {
		if (!(low & VECTORS & 1u << i))
			continue;
		if (compact) {
			end += sizes[i];
			continue;
		}
		__cpuid_count(13, i, a, b, c, d);
		if (b + a > end)
			end = b + a;
	}
	*ret = (struct code_vectors){.mask = low & VECTORS, .size = (end + 63) & ~63u, .compact = compact};
	return true;
}
