// tenon doctor: what there is.
#include "doctor.h"

#include "code/code.h"
#include "http/http.h"
#include "loop/loop.h"
#include "tier/tier.h"

static void read_line(const char *root, const char *path, char *into, size_t size)
{
	char whole[200];
	snprintf(whole, sizeof whole, "%s%s", root, path);
	if (sys_read_text(whole, into, size) < 0)
		into[0] = 0;
	into[strcspn(into, "\n")] = 0;
}

static uint64_t read_number(const char *root, const char *path, uint64_t otherwise)
{
	char text[40];
	uint64_t n;
	read_line(root, path, text, sizeof text);
	return slice_parse_u64(slice_str(text), UINT64_MAX, &n) ? n : otherwise;
}

// Reservations that are given back at once, halved until one fits.
static uint64_t cells_that_fit(void)
{
	for (uint64_t n = 16384; n; n /= 2) {
		void *at = sys_reserve(n * 6 * GIB);
		if (!at)
			continue;
		sys_unmap(at, n * 6 * GIB);
		return n;
	}
	return 0;
}

// What each thread that serves begins with; a filter of system calls may refuse any of it.
static bool starts(struct err *e)
{
	struct vm_shard *shard;
	struct loop *loop;
	if (!vm_shard_new(&shard, e))
		return false;
	bool ok = loop_new(&loop, e);
	if (ok)
		loop_free(loop);
	vm_shard_free(shard);
	return ok;
}

void doctor_look(const char *root, struct doctor_facts *f)
{
	*f = (struct doctor_facts){.cores = tier_cores(), .cells = cells_that_fit(), .memory = serve_memory_there_is(), .lookup = sys_lookup()};
	f->roots = http_tls_roots(&f->tls);
	char text[8];
	read_line(root, "/proc/sys/kernel/osrelease", f->kernel, sizeof f->kernel);
	f->cpu_suffices = code_cpu_detect(&f->cpu);
	f->mappings = read_number(root, "/proc/sys/vm/max_map_count", 65530);
	f->overcommit = (int)(int64_t)read_number(root, "/proc/sys/vm/overcommit_memory", (uint64_t)-1);
	read_line(root, "/proc/self/statm", text, sizeof text);
	f->memory_is_known = text[0] != 0;
	f->descriptors = sys_limit(SYS_LIMIT_DESCRIPTORS);
	f->threads = sys_limit(SYS_LIMIT_THREADS);
	f->file_size = sys_limit(SYS_LIMIT_FILE_SIZE);
	read_line(root, "/sys/kernel/mm/transparent_hugepage/enabled", f->huge_pages, sizeof f->huge_pages);
	f->cache_maps = tier_cache_check(f->cache_path, sizeof f->cache_path, &f->cache);
	f->filters = sys_has_call_filters();
	if (vm_process_init(&f->engine) && starts(&f->engine))
		f->reset = vm_process_reset_method();
}
