// What loading a file costs: each is decoded, validated and compiled, without the cache, in a process of its own, several times.
// PROGRAM(tenon-load, "serve", "")
//
//     tenon-load RUNS FILE…    a line each: CPU time in µs (the least), memory in KiB beside what the process had (the most), exit status, FILE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "serve/serve.h"
#include "vm/vm.h"

enum { LONGEST = 60 };  // seconds; the signal tells what did not end

static uint64_t cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

// A row of /proc/self/status, in KiB.
static uint64_t memory(const char *row)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	uint64_t found = 0;
	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, row, strlen(row)) == 0)
			found = strtoull(line + strlen(row), NULL, 10);
	if (f)
		fclose(f);
	return found;
}

// The most from now on.
static void forget_peak(void)
{
	FILE *f = fopen("/proc/self/clear_refs", "we");
	if (f) {
		fputs("5", f);
		fclose(f);
	}
}

struct cost {
	uint64_t cpu_us, kib;
};

static int load(const char *path, struct cost *ret)
{
	struct serve_config c = {0};
	struct err e = {0};
	serve_limits_default(&c, true);
	c.service.path = path;
	c.service.no_cache = true;
	c.process.log_level = SERVE_LOG_ERROR;
	forget_peak();
	uint64_t before = memory("VmRSS:"), began = cpu_ns();
	bool ok = serve_compile(&c, &e);
	ret->cpu_us = (cpu_ns() - began) / 1000;
	ret->kib = memory("VmHWM:") - before;
	if (!ok && getenv("TENON_LOAD_WHY"))
		fprintf(stderr, "%s: %s\n", path, e.text);
	return ok ? 0 : err_exit_status(e.code);
}

// The exit status; 128 and the signal where it did not exit.
static int load_apart(const char *path, struct cost *ret)
{
	int fds[2], status = 0;
	if (pipe(fds))
		exit(4);
	fflush(stdout);
	pid_t child = fork();
	if (child < 0)
		exit(4);
	if (child == 0) {
		struct cost cost = {0};
		alarm(LONGEST);
		int code = load(path, &cost);
		_exit(write(fds[1], &cost, sizeof cost) == sizeof cost ? code : 4);
	}
	close(fds[1]);
	*ret = (struct cost){LONGEST * 1000000, 0};
	if (read(fds[0], ret, sizeof *ret) != sizeof *ret)
		*ret = (struct cost){LONGEST * 1000000, 0};
	close(fds[0]);
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	struct err e = {0};
	int runs = argc > 2 ? (int)strtol(argv[1], NULL, 10) : 0;
	if (runs < 1) {
		fprintf(stderr, "usage: tenon-load RUNS FILE...\n");
		return 2;
	}
	if (!vm_process_init(&e)) {
		fprintf(stderr, "error: %s\n", e.text);
		return 4;
	}
	for (int i = 2; i < argc; i++) {
		struct cost least = {UINT64_MAX, 0}, one;
		int status = 0;
		for (int run = 0; run < runs && status < 128; run++) {
			status = load_apart(argv[i], &one);
			least.cpu_us = min_u64(least.cpu_us, one.cpu_us);
			least.kib = max_u64(least.kib, one.kib);
		}
		printf("%llu %llu %d %s\n", (unsigned long long)least.cpu_us, (unsigned long long)least.kib, status, argv[i]);
	}
	return 0;
}
