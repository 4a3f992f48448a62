// Sums in three nested loops: nothing but additions and compares.
#include "kernel.h"

EXPORT int64_t run(int32_t n)
{
	uint64_t sum = 0;
	for (int32_t i = 0; i < n; i++)
		for (int32_t j = 0; j < 1000; j++) {
			uint64_t row = (uint64_t)i * 3 + (uint64_t)j;
			for (int32_t k = 0; k < 100; k++)
				sum += (row ^ (uint64_t)k) * (uint64_t)(k | 1);
		}
	return (int64_t)sum;
}
