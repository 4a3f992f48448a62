// One ceiling on the memory of the process: near it no further slot is made, and calls wait for those that are there. What ends calls at it is in
// memory_watch.c.
#include <fcntl.h>
#include <unistd.h>

#include "serve_int.h"
#include "sys/sys.h"

// A small file, whole. false: not there.
static bool read_text(const char *path, char *text, size_t cap, struct slice *ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, cap) : -1;
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	*ret = slice_of(text, (size_t)n);
	return true;
}

// The which-th number of a line ("max" is none).
static bool parse_number(struct slice rest, unsigned which, uint64_t *ret)
{
	for (unsigned k = 0; k < which; k++)
		rest = slice_sub(rest, slice_find(rest, ' ') + 1, rest.len);
	size_t digits = 0;
	while (digits < rest.len && rest.ptr[digits] >= '0' && rest.ptr[digits] <= '9')
		digits++;
	return slice_parse_u64(slice_sub(rest, 0, digits), UINT64_MAX, ret);
}

static bool read_number(const char *path, uint64_t *ret)
{
	char text[256];
	struct slice line;
	return read_text(path, text, sizeof text, &line) && parse_number(line, 0, ret);
}

// The least number in `file` of the group and all above it.
static uint64_t least_upwards(const char *root, struct slice group, const char *file)
{
	uint64_t least = UINT64_MAX;
	for (;;) {
		char path[4096];
		uint64_t n;
		int len = snprintf(path, sizeof path, "%s%.*s/%s", root, SLICE_ARGS(group), file);
		if (len > 0 && len < (int)sizeof path && read_number(path, &n))
			least = min_u64(least, n);
		if (group.len == 0)
			return least;
		do
			group.len--;
		while (group.len && group.ptr[group.len] != '/');
	}
}

static bool lists(struct slice controllers, const char *name)
{
	while (controllers.len) {
		size_t end = slice_find(controllers, ',');
		if (slice_eq_str(slice_sub(controllers, 0, end), name))
			return true;
		controllers = slice_sub(controllers, min_u64(end + 1, controllers.len), controllers.len);
	}
	return false;
}

// Lines "number:controllers:/group"; version 2 has number 0 and no controllers.
uint64_t serve__cgroup_memory(struct slice cgroups, const char *root)
{
	uint64_t least = UINT64_MAX;
	while (cgroups.len) {
		size_t end = slice_find(cgroups, '\n');
		struct slice line = slice_sub(cgroups, 0, end), rest = line;
		cgroups = slice_sub(cgroups, min_u64(end + 1, cgroups.len), cgroups.len);
		size_t number = slice_find(rest, ':');
		rest = slice_sub(rest, min_u64(number + 1, rest.len), rest.len);
		size_t names = slice_find(rest, ':');
		struct slice controllers = slice_sub(rest, 0, names), group = slice_sub(rest, min_u64(names + 1, rest.len), rest.len);
		char old[4096];
		snprintf(old, sizeof old, "%s/memory", root);
		if (controllers.len == 0)
			least = min_u64(least, least_upwards(root, group, "memory.max"));
		else if (lists(controllers, "memory"))
			least = min_u64(least, least_upwards(old, group, "memory.limit_in_bytes"));
	}
	return least;
}

uint64_t serve_memory_there_is(void)
{
	uint64_t most = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	char text[8192];
	struct slice cgroups;
	if (!read_text("/proc/self/cgroup", text, sizeof text, &cgroups))
		cgroups = SLICE_LIT("0::/");  // no /proc: what is mounted is looked at
	return min_u64(most, serve__cgroup_memory(cgroups, "/sys/fs/cgroup"));
}

// The limit that applies: as configured, else three quarters of what the cgroups or the machine have.
static uint64_t limit_of(const struct serve_process_limits *l)
{
	return l->process_memory ? l->process_memory : serve_memory_there_is() / 4 * 3;
}

// Open as long as the process: it is read where no descriptor is left, too.
void serve__memory_open(struct serve_process *p)
{
	sys_heap_map_large();
	p->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
}

bool serve__memory_is_known(const struct serve_process *p)
{
	return p->statm_fd >= 0;
}

uint64_t serve__memory_resident(const struct serve_process *p)
{
	char text[256];
	uint64_t pages;
	ssize_t n = serve__memory_is_known(p) ? pread(p->statm_fd, text, sizeof text, 0) : -1;
	return n > 0 && parse_number(slice_of(text, (size_t)n), 1, &pages) ? pages * SYS_PAGE : 0;
}

#define FEW (16 * MIB)           // less is never short, where nobody said how much there is: small servers begin without asking

uint64_t serve__memory_ceiling(const struct serve_process *p)
{
	uint64_t n = __atomic_load_n(&p->memory, __ATOMIC_RELAXED);
	if (n)
		return n;
	n = limit_of(&p->config->limits);
	__atomic_store_n((uint64_t *)UNCONST(&p->memory), n, __ATOMIC_RELAXED);  // who asks meanwhile comes to the same
	return n;
}

uint64_t serve__memory_headroom(const struct serve_process *p)
{
	return min_u64(serve__memory_ceiling(p) / 4, 128 * MIB);
}

bool serve__memory_is_short(const struct serve_process *p)
{
	uint64_t now = serve__memory_resident(p);
	return (now > FEW || p->config->limits.process_memory) && now > serve__memory_ceiling(p) - serve__memory_headroom(p);
}

// ---- given back: what instances that went for want of calls leave in the heap; a second later, so that it is done once for many of them ----------------------

static void on_trim_run(struct loop_work *w)
{
	sys_heap_trim();
}

static void on_trimmed(struct loop_work *w)
{
	struct serve_process *p = CONTAINER_OF(w, struct serve_process, trim);
	__atomic_store_n(&p->trims, false, __ATOMIC_RELEASE);
}

// It takes a while, and holds the allocator's locks a piece at a time: on another thread. If none is to be had, the next instances that go try again.
static void on_trim_timer(struct loop_timer *timer)
{
	struct serve_thread *t = CONTAINER_OF(timer, struct serve_thread, trim_timer);
	struct serve_process *p = t->process;
	if (__atomic_exchange_n(&p->trims, true, __ATOMIC_ACQ_REL))
		return;
	p->trim = (struct loop_work){.run = on_trim_run, .done = on_trimmed};
	if (loop_work_submit(p->names, t->loop, &p->trim))
		loop_work_let_go(p->names, &p->trim, true);
	else
		on_trimmed(&p->trim);
}

void serve__memory_give_back(struct serve_thread *t)
{
	t->trim_timer.fn = on_trim_timer;
	if (!t->closing && !loop_timer_is_armed(&t->trim_timer))
		loop_timer_set(t->loop, &t->trim_timer, sat_add_u64(loop_now_ns(t->loop), SECOND));
}
