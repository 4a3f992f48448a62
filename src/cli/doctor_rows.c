// tenon doctor: what is made of it. A row a function; what matters so much that nothing is served is MISSING, what is only slower or less COSTS.
#include <stdarg.h>

#include "code/code.h"
#include "doctor.h"

static void PRINTF_LIKE(2, 3) found(struct doctor_row *r, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vsnprintf(r->found, sizeof r->found, fmt, args);
	va_end(args);
}

static void judge(struct doctor_row *r, enum doctor_state state, const char *costs, const char *todo)
{
	r->state = state;
	r->costs = costs;
	r->todo = todo;
}

static void processor(const struct doctor_facts *f, struct doctor_row *r)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} more[] = {{CODE_CPU_LZCNT, "lzcnt"}, {CODE_CPU_BMI1, "bmi1"}, {CODE_CPU_BMI2, "bmi2"}, {CODE_CPU_AVX, "avx"}, {CODE_CPU_AVX2, "avx2"}};
	char text[80] = "";
	bool all = true;
	for (size_t i = 0; i < ARRAY_LEN(more); i++) {
		size_t at = strlen(text);
		snprintf(text + at, sizeof text - at, "%s%s", f->cpu & more[i].bit ? " " : " no ", more[i].name);
		all &= (f->cpu & more[i].bit) != 0;
	}
	found(r, f->cpu_suffices ? "x86-64-v2,%s" : "less than x86-64-v2", text);
	if (!f->cpu_suffices)
		judge(r, DOCTOR_MISSING, "no code can be made for it: SSE4.2 and POPCNT are needed", "use a processor (or a virtual machine's model of one) of x86-64-v2 at least");
	else if (!all)
		judge(r, DOCTOR_COSTS, "shifts, counts of zeros and vectors take a few instructions more", "if it is a virtual machine: pass the host's processor through");
}

static void engine(const struct doctor_facts *f, struct doctor_row *r)
{
	if (f->engine.code == ERR_NONE) {
		found(r, "starts, Linux %s", f->kernel[0] ? f->kernel : "of an unknown version");
		return;
	}
	found(r, "%s", f->engine.text);
	judge(r, DOCTOR_MISSING, "nothing can be run", "what it says above is what it lacks: memory, or a system call that a filter (seccomp) refuses");
}

static void cores(const struct doctor_facts *f, struct doctor_row *r)
{
	found(r, "%u, so many shards unless --shards says otherwise", f->cores);
	if (f->cores == 1)
		judge(r, DOCTOR_COSTS, "compiling and serving share it: first answers of large components come later", "give the process more, if there are (affinity, the cgroup's cpu.max)");
}

static void address_space(const struct doctor_facts *f, struct doctor_row *r)
{
	found(r, f->cells == 16384 ? "room for %llu memories of 6 GiB and more" : "room for about %llu memories of 6 GiB", (unsigned long long)f->cells);
	if (f->cells < 16)
		judge(r, DOCTOR_COSTS, "code checks every access of memory, and an instance takes as much as --memory allows: guests are slower, more calls at once wait",
			"ulimit -v unlimited");
	else if (f->cells < 1024)
		judge(r, DOCTOR_COSTS, "each instance with a memory takes one: more calls at once wait", "ulimit -v unlimited");
}

static void mappings(const struct doctor_facts *f, struct doctor_row *r)
{
	found(r, "vm.max_map_count %llu, about %llu memories at once", (unsigned long long)f->mappings, (unsigned long long)f->mappings / 8);
	if (f->mappings < 8192)
		judge(r, DOCTOR_COSTS, "each instance takes some: more calls at once wait", "sysctl vm.max_map_count=65530");
}

static void overcommit(const struct doctor_facts *f, struct doctor_row *r)
{
	if (f->overcommit < 0)
		found(r, "vm.overcommit_memory can't be read");
	else
		found(r, "vm.overcommit_memory %d", f->overcommit);
	if (f->overcommit == 2)
		judge(r, DOCTOR_COSTS, "memory that guests may use counts as used: instances are refused while most of it is free", "sysctl vm.overcommit_memory=0");
}

static void memory(const struct doctor_facts *f, struct doctor_row *r)
{
	found(r, "%llu MiB; the server's ceiling is three quarters of it (--process-memory)", (unsigned long long)f->memory / MIB);
	if (!f->memory_is_known)
		judge(r, DOCTOR_COSTS, "there is no ceiling: /proc/self/statm can't be read, so the kernel's killer comes first", "mount /proc in the container");
	else if (f->memory < 256 * MIB)
		judge(r, DOCTOR_COSTS, "less than the 256 MiB that one instance may have (--memory)", "raise the cgroup's memory.max, or lower --memory");
}

static void descriptors(const struct doctor_facts *f, struct doctor_row *r)
{
	if (f->descriptors == UINT64_MAX)
		found(r, "no limit");
	else
		found(r, "at most %llu", (unsigned long long)f->descriptors);
	if (f->descriptors < 128)
		judge(r, DOCTOR_MISSING, "a server with several threads can't accept a connection", "ulimit -Hn 65536");
	else if (f->descriptors < 4096)
		judge(r, DOCTOR_COSTS, "each connection takes one: more wait until others end", "ulimit -Hn 65536 (systemd: LimitNOFILE)");
}

static void threads(const struct doctor_facts *f, struct doctor_row *r)
{
	uint64_t wanted = 2 * f->cores + 20;
	if (f->threads == UINT64_MAX)
		found(r, "no limit");
	else
		found(r, "at most %llu, of all of this user's processes", (unsigned long long)f->threads);
	if (f->threads < wanted)
		judge(r, DOCTOR_COSTS, "what blocks (files, names) may find no thread and fail", "ulimit -u 4096 (systemd: TasksMax)");
}

// Code and what instances begin with lie in files in memory, which the limit is about, too.
static void file_size(const struct doctor_facts *f, struct doctor_row *r)
{
	if (f->file_size == UINT64_MAX)
		found(r, "no limit");
	else
		found(r, "at most %llu KiB", (unsigned long long)f->file_size / KIB);
	if (f->file_size < MIB)
		judge(r, DOCTOR_MISSING, "code and the memory of instances lie in files in memory: next to nothing can be run", "ulimit -f unlimited");
	else if (f->file_size < GIB)
		judge(r, DOCTOR_COSTS, "what is larger is refused: code of a component, a log, a store", "ulimit -f unlimited (systemd: LimitFSIZE)");
}

static void paths(const struct doctor_facts *f, struct doctor_row *r)
{
	static const char *const how[] = {"openat2, from the caches without a wait", "openat2", "no openat2: component by component"};
	found(r, "%s", how[f->lookup]);
	if (f->lookup == SYS_LOOKUP_WALK)
		judge(r, DOCTOR_COSTS, "a path of n parts takes n system calls, each on a thread", "Linux 5.6, or a filter of system calls that lets openat2 through");
	else if (f->lookup == SYS_LOOKUP_BENEATH)
		judge(r, DOCTOR_COSTS, "every open takes a trip through a thread", "Linux 5.12");
}

static void reset(const struct doctor_facts *f, struct doctor_row *r)
{
	static const char *const how[] = {"pages that a call wrote are listed by the kernel, if there were faults", "pages that a call wrote are listed by the kernel, each time",
		"pages that a call wrote are read from /proc/self/pagemap", "all pages are given back"};
	found(r, "%s", how[f->reset]);
	if (f->reset == VM_RESET_SCAN)
		judge(r, DOCTOR_COSTS, "a look at each instance's pages a request, also where none was written", "page faults of a thread are not counted here (getrusage): a kernel that does");
	else if (f->reset == VM_RESET_PAGEMAP)
		judge(r, DOCTOR_COSTS, "a microsecond and more a request for instances with large memories", "Linux 6.7 (PAGEMAP_SCAN)");
	else if (f->reset == VM_RESET_DISCARD)
		judge(r, DOCTOR_COSTS, "every page that a guest uses costs a fault a request: several times the CPU", "Linux 6.7 (PAGEMAP_SCAN), or /proc in the container");
}

static void huge_pages(const struct doctor_facts *f, struct doctor_row *r)
{
	found(r, "%s%s", f->huge_pages[0] ? f->huge_pages : "none", strstr(f->huge_pages, "[always]") ? "; memories of guests are kept out of it" : "");
}

static void cache(const struct doctor_facts *f, struct doctor_row *r)
{
	found(r, "%s%s%s", f->cache_path[0] ? f->cache_path : "none", f->cache.code == ERR_NONE ? "" : ": ", f->cache.code == ERR_NONE ? "" : f->cache.text);
	if (!f->cache_path[0] || f->cache.code != ERR_NONE)
		judge(r, DOCTOR_COSTS, "components are compiled at each start", "TENON_CACHE=/a/folder/of/your/own with mode 0700 (systemd: CacheDirectory)");
	else if (!f->cache_maps)
		judge(r, DOCTOR_COSTS, "code is copied at each start: the folder is on a file system mounted with noexec", "TENON_CACHE on another one");
}

static void roots(const struct doctor_facts *f, struct doctor_row *r)
{
	found(r, "%s", f->roots ? f->roots : f->tls.code != ERR_NONE ? f->tls.text
																 : "no certificates");
	if (f->tls.code != ERR_NONE)
		judge(r, DOCTOR_COSTS, "no TLS: neither --tls-cert nor guests' requests by https", f->tls.hint);
	else if (!f->roots)
		judge(r, DOCTOR_COSTS, "guests' requests by https fail: no server's certificate can be checked", "install ca-certificates, or give --ca FILE");
}

static void filters(const struct doctor_facts *f, struct doctor_row *r)
{
	found(r, f->filters ? "system calls can be filtered" : "no filters of system calls (seccomp)");
	if (!f->filters)
		judge(r, DOCTOR_COSTS, "traps are told without files and lines: DWARF is read by a process that can do nothing else, or by none", "a kernel with CONFIG_SECCOMP_FILTER");
}

void doctor_judge(const struct doctor_facts *f, struct doctor_row *ret)
{
	static const struct {
		const char *name;
		void (*judge)(const struct doctor_facts *f, struct doctor_row *r);
	} rows[] = {{"processor", processor}, {"engine", engine}, {"cores", cores}, {"address space", address_space}, {"mappings", mappings}, {"overcommit", overcommit},
		{"memory", memory}, {"descriptors", descriptors}, {"threads", threads}, {"file size", file_size}, {"paths", paths}, {"reset", reset}, {"huge pages", huge_pages}, {"cache", cache},
		{"certificates", roots}, {"lines of traps", filters}};
	_Static_assert(ARRAY_LEN(rows) == DOCTOR_ROWS, "the header says how many");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ret[i] = (struct doctor_row){.name = rows[i].name};
		rows[i].judge(f, &ret[i]);
	}
}
