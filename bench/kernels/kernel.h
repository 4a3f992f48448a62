// What the kernels share. They use no libc and no WASI: run(n) does n rounds and returns a checksum.
#ifndef TENON_BENCH_KERNEL_H
#define TENON_BENCH_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __wasm__
#define EXPORT __attribute__((visibility("default"), export_name("run")))
#else
#define EXPORT
#endif

static inline uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

#endif
