// A preview 1 module with threads: run(n) lets n threads do the same work each, of computing and of their own memory, and adds up what they found.
#include <stdint.h>

enum { MOST = 16, CELLS = 1 << 14, ROUNDS = 6000 };
__attribute__((import_module("wasi"), import_name("thread-spawn"))) int32_t thread_spawn(uintptr_t argument);

static uint32_t cells[MOST][CELLS];
static uint32_t results[MOST], done;

static uint32_t work(uint32_t which)
{
	uint32_t x = 1 + which, *mine = cells[which];
	for (uint32_t round = 0; round < ROUNDS; round++)
		for (uint32_t i = 0; i < CELLS; i++) {
			x = x * 1664525 + 1013904223;
			mine[i] = (mine[i] >> 1) + (x ^ mine[x >> 18]);
		}
	return x ^ mine[x >> 18];
}

// No stack: each thread's pointer to it begins where the others' do.
__attribute__((export_name("wasi_thread_start"))) void wasi_thread_start(int32_t id, int32_t which)
{
	results[which] = work((uint32_t)which);
	__atomic_fetch_add(&done, 1, __ATOMIC_SEQ_CST);
	__builtin_wasm_memory_atomic_notify((int *)&done, 1);
}

__attribute__((export_name("run"))) int32_t run(int32_t n)
{
	for (int32_t i = 1; i < n; i++)
		if (thread_spawn((uintptr_t)i) < 0)
			__builtin_trap();
	results[0] = work(0);
	for (uint32_t now; (now = __atomic_load_n(&done, __ATOMIC_SEQ_CST)) + 1 < (uint32_t)n;)
		__builtin_wasm_memory_atomic_wait32((int *)&done, (int)now, -1);
	uint32_t sum = 0;
	for (int32_t i = 0; i < n; i++)
		sum = sum * 31 + results[i];
	return (int32_t)sum;
}
