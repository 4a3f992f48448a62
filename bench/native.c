// A kernel made for this machine: native N prints the seconds of run(N) and its checksum.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int64_t run(int32_t n);

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	double began = now();
	int64_t sum = run(argc > 1 ? (int32_t)strtol(argv[1], NULL, 10) : 1);
	printf("%.9f %" PRId64 "\n", now() - began, sum);
	return 0;
}
