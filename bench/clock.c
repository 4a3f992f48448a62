// The clock of `bench programs`, beside a peer and natively: bench.start and bench.end as sightglass's programs call them. What is between the two goes to
// stderr as a line of its own, in nanoseconds.
//
// As a module (CLOCK of bench_programs.py) it stands behind the imports of a program in the peer; for programs that are made for this machine it is linked.
#include <stdint.h>

#ifdef __wasm__
#define IMPORT(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))
struct piece {
	const char *bytes;
	uint32_t len;
};
IMPORT(clock_time_get)
int32_t clock_time_get(int32_t id, int64_t precision, uint64_t *ret);
IMPORT(fd_write)
int32_t fd_write(int32_t fd, const struct piece *pieces, int32_t n, uint32_t *ret);

static uint64_t now(void)
{
	uint64_t t = 0;
	clock_time_get(1, 0, &t);
	return t;
}
static void put(const char *text, uint32_t len)
{
	struct piece p = {text, len};
	uint32_t written;
	fd_write(2, &p, 1, &written);
}
#else
#include <time.h>
#include <unistd.h>
#define EXPORT(name)

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
static void put(const char *text, uint32_t len)
{
	if (write(2, text, len) < 0)
		_exit(4);
}
#endif

void bench_start(void);
void bench_end(void);
static uint64_t began;

EXPORT(start)
void bench_start(void)
{
	began = now();
}

EXPORT(end)
void bench_end(void)
{
	char text[64] = "\nbench ns: ";
	uint32_t n = 11, digits = 0;
	char reversed[20];
	for (uint64_t t = now() - began; t || !digits; t /= 10)
		reversed[digits++] = (char)('0' + t % 10);
	while (digits)
		text[n++] = reversed[--digits];
	text[n++] = '\n';
	put(text, n);
}
