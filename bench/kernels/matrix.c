// Product of two matrices of doubles.
#include "kernel.h"

enum { SIZE = 200 };
static double a[SIZE][SIZE], b[SIZE][SIZE], c[SIZE][SIZE];

EXPORT int64_t run(int32_t n)
{
	for (int i = 0; i < SIZE; i++)
		for (int j = 0; j < SIZE; j++) {
			a[i][j] = i - j;
			b[i][j] = i + j;
		}
	double trace = 0;
	for (int32_t round = 0; round < n; round++) {
		for (int i = 0; i < SIZE; i++)
			for (int j = 0; j < SIZE; j++) {
				double sum = 0;
				for (int m = 0; m < SIZE; m++)
					sum += a[i][m] * b[m][j];
				c[i][j] = sum;
			}
		for (int i = 0; i < SIZE; i++)
			trace += c[i][i];
		a[0][0] += 1;
	}
	return (int64_t)trace;
}
