// How fast core modules are decoded and validated: bench-wasm FILE... (modules or components; their core modules are found inside).
// PROGRAM(bench-wasm, "wasm base", "")
#include <stdio.h>
#include <time.h>

#include "base/base.h"
#include "wasm/wasm.h"

enum { ROUNDS = 10, SECTION_CORE_MODULE = 1, MAX_FILE = 1 << 30 };

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void measure(const char *path, struct slice bytes, uint64_t offset)
{
	double decode = 1e9, validate = 1e9;
	size_t code = 0, funcs = 0, memory = 0;
	for (int i = 0; i < ROUNDS; i++) {
		struct arena a;
		struct err e = {0};
		struct wasm_module *m;
		arena_init(&a, 0);
		double t0 = now();
		bool ok = wasm_decode(&a, bytes, WASM_FEATURES_DEFAULT, offset, &m, &e);
		double t1 = now();
		ok = ok && wasm_validate(m, &e);
		double t2 = now();
		if (!ok) {
			printf("%s+0x%llx: at 0x%llx: %s (%s)\n", path, (unsigned long long)offset, (unsigned long long)e.offset, e.text, e.where);
			arena_release(&a);
			return;
		}
		decode = t1 - t0 < decode ? t1 - t0 : decode;
		validate = t2 - t1 < validate ? t2 - t1 : validate;
		code = m->code_section.len;
		funcs = m->nfuncs;
		memory = a.used;
		arena_release(&a);
	}
	printf("%s+0x%llx: %zu bytes, code %zu, %zu functions: decode %.2f ms, validate %.2f ms = %.0f MB/s of code; arena %zu KiB\n", path, (unsigned long long)offset,
		bytes.len, code, funcs, decode * 1e3, validate * 1e3, (double)code / validate * 1e-6, memory / 1024);
}

// The sections of a component; core modules are measured, nested components looked into (the work list is the file itself: their
// sections simply follow their preamble).
static void scan(const char *path, struct slice file)
{
	if (wasm_is_module(file)) {
		measure(path, file, 0);
		return;
	}
	for (size_t at = 8; at + 2 <= file.len;) {
		uint8_t id = file.ptr[at++];
		uint32_t size = 0;
		for (unsigned shift = 0; at < file.len && shift < 35; shift += 7) {
			uint8_t byte = file.ptr[at++];
			size |= (uint32_t)(byte & 0x7f) << shift;
			if (!(byte & 0x80))
				break;
		}
		struct slice section = slice_sub(file, at, size);
		if (id == SECTION_CORE_MODULE && section.len > 1 << 16)
			measure(path, section, at);
		at += wasm_is_component(section) ? 8 : size;
	}
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct buf b = {.max = MAX_FILE};
		FILE *f = fopen(argv[i], "rb");
		if (!f) {
			perror(argv[i]);
			return 1;
		}
		for (uint8_t *room; (room = buf_reserve(&b, 1 << 20));) {
			size_t n = fread(room, 1, 1 << 20, f);
			b.len += n;
			if (n == 0)
				break;
		}
		fclose(f);
		scan(argv[i], buf_view(&b));
		buf_release(&b);
	}
	return 0;
}
