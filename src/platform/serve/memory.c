// One ceiling on the memory of the process: beyond it no further slot is made, and calls wait for those that are there.
#include <fcntl.h>
#include <unistd.h>

#include "serve_int.h"

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
static bool read_number(const char *path, unsigned which, uint64_t *ret)
{
	char text[256];
	struct slice rest;
	if (!read_text(path, text, sizeof text, &rest))
		return false;
	for (unsigned k = 0; k < which; k++)
		rest = slice_sub(rest, slice_find(rest, ' ') + 1, rest.len);
	size_t digits = 0;
	while (digits < rest.len && rest.ptr[digits] >= '0' && rest.ptr[digits] <= '9')
		digits++;
	return slice_parse_u64(slice_sub(rest, 0, digits), UINT64_MAX, ret);
}

// The least number in `file` of the group and all above it.
static uint64_t least_upwards(const char *root, struct slice group, const char *file)
{
	uint64_t least = UINT64_MAX;
	for (;;) {
		char path[4096];
		uint64_t n;
		int len = snprintf(path, sizeof path, "%s%.*s/%s", root, SLICE_ARGS(group), file);
		if (len > 0 && len < (int)sizeof path && read_number(path, 0, &n))
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

uint64_t serve__process_memory_limit(const struct serve_process_limits *l)
{
	if (l->process_memory)
		return l->process_memory;
	uint64_t most = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	char text[8192];
	struct slice cgroups;
	if (!read_text("/proc/self/cgroup", text, sizeof text, &cgroups))
		cgroups = SLICE_LIT("0::/");  // no /proc: what is mounted is looked at
	return min_u64(most, serve__cgroup_memory(cgroups, "/sys/fs/cgroup")) / 4 * 3;
}

bool serve__memory_is_known(void)
{
	uint64_t pages;
	return read_number("/proc/self/statm", 1, &pages);
}

// Only asked when a slot is to be made: a page of /proc is read then.
bool serve__memory_is_short(const struct serve_process *p)
{
	uint64_t resident_pages;
	return read_number("/proc/self/statm", 1, &resident_pages) && resident_pages * (uint64_t)sysconf(_SC_PAGESIZE) > p->memory;
}
