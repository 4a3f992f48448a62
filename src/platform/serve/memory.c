// One ceiling on the memory of the process: beyond it no further slot is made, and calls wait for those that are there.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "serve_int.h"

static bool read_number(const char *path, unsigned which, uint64_t *ret)
{
	char text[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	struct slice rest = slice_of(text, (size_t)n);
	for (unsigned k = 0; k < which; k++)
		rest = slice_sub(rest, slice_find(rest, ' ') + 1, rest.len);
	size_t digits = 0;
	while (digits < rest.len && rest.ptr[digits] >= '0' && rest.ptr[digits] <= '9')
		digits++;
	return slice_parse_u64(slice_sub(rest, 0, digits), UINT64_MAX, ret);
}

uint64_t serve__process_memory_limit(const struct serve_limits *l)
{
	if (l->process_memory)
		return l->process_memory;
	uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE), cgroup;
	if (read_number("/sys/fs/cgroup/memory.max", 0, &cgroup) && cgroup < machine)
		machine = cgroup;
	return machine / 4 * 3;
}

// Only asked when a slot is to be made: a page of /proc is read then.
bool serve__memory_is_short(const struct serve_server *s)
{
	uint64_t resident_pages;
	return read_number("/proc/self/statm", 1, &resident_pages) && resident_pages * (uint64_t)sysconf(_SC_PAGESIZE) > s->process_memory;
}
