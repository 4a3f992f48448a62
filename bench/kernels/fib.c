// The recursive Fibonacci numbers: calls and returns.
#include "kernel.h"

__attribute__((noinline)) static uint32_t fib(uint32_t n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

EXPORT int64_t run(int32_t n)
{
	int64_t sum = 0;
	for (int32_t round = 0; round < n; round++)
		sum += fib(27 + (uint32_t)(sum & 1));  // not the same call each time: it would be made once
	return sum;
}
