// The sieve of Eratosthenes over bytes.
#include "kernel.h"

enum { SIZE = 1 << 20 };
static uint8_t composite[SIZE];

EXPORT int64_t run(int32_t n)
{
	int64_t primes = 0;
	for (int32_t round = 0; round < n; round++) {
		for (uint32_t i = 0; i < SIZE; i++)
			composite[i] = 0;
		for (uint32_t i = 2; i * i < SIZE; i++)
			if (!composite[i])
				for (uint32_t j = i * i; j < SIZE; j += i)
					composite[j] = 1;
		for (uint32_t i = 2; i < SIZE; i++)
			primes += !composite[i];
	}
	return primes;
}
