// Quicksort of pseudo-random numbers.
#include "kernel.h"

enum { SIZE = 200000 };
static uint32_t values[SIZE];

static void sort(uint32_t *v, int32_t n)
{
	while (n > 16) {
		uint32_t pivot = v[n / 2];
		int32_t i = 0, j = n - 1;
		while (i <= j) {
			while (v[i] < pivot)
				i++;
			while (v[j] > pivot)
				j--;
			if (i <= j) {
				uint32_t t = v[i];
				v[i++] = v[j];
				v[j--] = t;
			}
		}
		sort(v, j + 1);
		v += i;
		n -= i;
	}
	for (int32_t i = 1; i < n; i++) {
		uint32_t x = v[i];
		int32_t j = i;
		for (; j > 0 && v[j - 1] > x; j--)
			v[j] = v[j - 1];
		v[j] = x;
	}
}

EXPORT int64_t run(int32_t n)
{
	uint64_t sum = 0;
	uint32_t seed = 1;
	for (int32_t round = 0; round < n; round++) {
		for (int32_t i = 0; i < SIZE; i++)
			values[i] = next_random(&seed);
		sort(values, SIZE);
		for (int32_t i = 0; i < SIZE; i += 1000)
			sum = sum * 31 + values[i];
	}
	return (int64_t)sum;
}
