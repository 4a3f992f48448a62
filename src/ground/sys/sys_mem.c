// Memory: reservations, private mappings of memfds, what the page tables say. Thin; the only state is the descriptor of /proc/self/pagemap
// (opened when first asked for, again after a fork) and the fault injection of each thread.
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static _Thread_local uint64_t fail_nth;

void sys_fail_nth(uint64_t n)
{
	fail_nth = n;
}

// ORDER sys fault: sys_signal.c counts with the same counter.
bool sys__fault(void);
bool sys__fault(void)
{
	return UNLIKELY(fail_nth) && --fail_nth == 0;
}

static void advise(void *at, uint64_t size)
{
	// Huge pages would make pages private without a fault that is counted; both are advice, failing is harmless where there are none.
	madvise(at, size, MADV_NOHUGEPAGE);
	madvise(at, size, MADV_DONTFORK);
}

void *sys_reserve(uint64_t size)
{
	if (sys__fault())
		return NULL;
	void *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	advise(p, size);
	return p;
}

void *sys_map_anonymous(uint64_t size)
{
	if (sys__fault())
		return NULL;
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

int sys_unmap(void *at, uint64_t size)
{
	return munmap(at, size) ? -errno : 0;
}

int sys_protect(void *at, uint64_t size, bool access)
{
	if (sys__fault())
		return -ENOMEM;
	return mprotect(at, size, access ? PROT_READ | PROT_WRITE : PROT_NONE) ? -errno : 0;
}

int sys_map_private_at(void *at, uint64_t size, int fd, uint64_t offset)
{
	if (sys__fault())
		return -ENOMEM;
	void *p = mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd, (off_t)offset);
	if (p == MAP_FAILED)
		return -errno;
	advise(p, size);
	return 0;
}

int sys_wipe(void *at, uint64_t size)
{
	if (sys__fault())
		return -ENOMEM;
	void *p = mmap(at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	advise(p, size);
	return 0;
}

void sys_populate(void *at, uint64_t size)
{
	uint64_t start = (uintptr_t)at & ~(uint64_t)(SYS_PAGE - 1), end = ((uintptr_t)at + size + SYS_PAGE - 1) & ~(uint64_t)(SYS_PAGE - 1);
	madvise((void *)start, end - start, MADV_POPULATE_WRITE);
}

void sys_prefer_huge(void *at, uint64_t size)
{
	(void)madvise(at, size, MADV_HUGEPAGE);
}

int sys_discard(void *at, uint64_t size)
{
	if (sys__fault())
		return -ENOMEM;
	return madvise(at, size, MADV_DONTNEED) ? -errno : 0;
}

// Left to itself the threshold grows to 32 MiB with what is freed, and a table of 16 MiB that doubles is copied: 10 ms in which its thread does nothing else.
// The other threshold is twice as much, as malloc has it: once one of them is set neither grows.
void sys_heap_map_large(void)
{
	enum { LARGE = 4 << 20 };
	mallopt(M_MMAP_THRESHOLD, LARGE);
	mallopt(M_TRIM_THRESHOLD, 2 * LARGE);
}

void sys_heap_trim(void)
{
	malloc_trim(0);
}

// The end of an arena that is not the main one is given back only by a large free, and only where it is larger than a threshold, which grows with the blocks
// that were mapped and freed: to more than a compilation takes. While it is low others give back more than they should, and take it again. That it doesn't grow
// any more afterwards is why it is the largest that it would have come to then.
void sys_heap_trim_thread(void)
{
	enum { LARGE = 96 << 10, LOW = 128 << 10, HIGH = 64 << 20 };
	mallopt(M_TRIM_THRESHOLD, LOW);
	void *volatile large = malloc(LARGE);
	free(large);
	mallopt(M_TRIM_THRESHOLD, HIGH);
}

// A block that is neither small nor mapped is looked for where the small ones are put together first.
void sys_heap_join(void)
{
	enum { LARGE = 4096 };
	void *volatile large = malloc(LARGE);
	free(large);
}

int sys_memfd(const char *name, uint64_t size)
{
	if (sys__fault())
		return -ENOMEM;
	int fd = (int)syscall(SYS_memfd_create, name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)  // before Linux 6.3
		fd = (int)syscall(SYS_memfd_create, name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size)) {
		int r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

int sys_memfd_seal(int fd)
{
	if (sys__fault())
		return -ENOMEM;
	return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) ? -errno : 0;
}

int sys_reopen_read_only(int fd)
{
	char path[32];
	if (sys__fault())
		return -ENOMEM;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int again = open(path, O_RDONLY | O_CLOEXEC);
	return again < 0 ? -errno : again;
}

int sys_write_at(int fd, const void *data, uint64_t size, uint64_t offset)
{
	if (sys__fault())
		return -ENOMEM;
	for (const uint8_t *p = data; size;) {
		ssize_t n = pwrite(fd, p, size, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		p += n, offset += (uint64_t)n, size -= (uint64_t)n;
	}
	return 0;
}

int sys_set_size(int fd, uint64_t size)
{
	if (sys__fault())
		return -ENOMEM;
	return ftruncate(fd, (off_t)size) ? -errno : 0;
}

int sys_copy_range(int from, int to, uint64_t size, uint64_t offset)
{
	enum { PIECE = 64 << 10 };
	if (sys__fault())
		return -ENOMEM;
	uint8_t *buf = mem_alloc(PIECE);
	int r = buf ? 0 : -ENOMEM;
	while (!r && size) {
		ssize_t n = pread(from, buf, size < PIECE ? size : PIECE, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			r = n ? -errno : -EIO;
			break;
		}
		r = sys_write_at(to, buf, (uint64_t)n, offset);
		offset += (uint64_t)n, size -= (uint64_t)n;
	}
	mem_free(buf);
	return r;
}

int sys_read_whole(int fd, void *into, uint64_t size)
{
	if (sys__fault())
		return -ENOMEM;
	for (uint64_t at = 0; at < size;) {
		ssize_t n = pread(fd, (uint8_t *)into + at, size - at, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		at += (uint64_t)n;
	}
	return 0;
}

void *sys_map_shared_read(int fd, uint64_t size)
{
	if (sys__fault())
		return NULL;
	void *p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return NULL;
	madvise(p, size, MADV_DONTFORK);
	return p;
}

void *sys_map_code(int fd, uint64_t size)
{
	if (sys__fault())
		return NULL;
	void *p = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	return p == MAP_FAILED ? NULL : p;
}

void *sys_map_file(int fd, uint64_t size)
{
	if (sys__fault())
		return NULL;
	void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (p == MAP_FAILED)
		return NULL;
	madvise(p, size, MADV_DONTFORK);
	return p;
}

int sys_protect_code(void *at, uint64_t size)
{
	if (sys__fault())
		return -ENOMEM;
	return mprotect(at, size, PROT_READ | PROT_EXEC) ? -errno : 0;
}

int sys_map_over(void *at, uint64_t size, int fd, uint64_t offset, bool code)
{
	if (sys__fault())
		return -ENOMEM;
	// The same bytes take the place of the same bytes while others read and run them. ThreadSanitizer takes mmap for a write: the call is made past it.
	long p = syscall(SYS_mmap, at, size, code ? PROT_READ | PROT_EXEC : PROT_READ, MAP_SHARED | MAP_FIXED, fd, (off_t)offset);
	return p == -1 ? -errno : 0;
}

uint64_t sys_thread_faults(void)
{
	struct rusage u;
	return getrusage(RUSAGE_THREAD, &u) ? 0 : (uint64_t)u.ru_minflt + (uint64_t)u.ru_majflt;
}

void sys_process_usage(uint64_t *ret_cpu_ns, uint64_t *ret_faults)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	*ret_cpu_ns = (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * SECOND + (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
	*ret_faults = (uint64_t)(u.ru_minflt + u.ru_majflt);
}

uint64_t sys_thread_cpu_ns(void)
{
	return sys_cpu_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

int sys_thread_cpu_clock(void)
{
	clockid_t id;
	return pthread_getcpuclockid(pthread_self(), &id) ? CLOCK_THREAD_CPUTIME_ID : id;
}

uint64_t sys_cpu_clock_ns(int clock)
{
	struct timespec t = {0};
	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// ---- page tables ----------------------------------------------------------------------------------------------------------------
static pthread_mutex_t pagemap_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int pagemap_fd = -1;

static void pagemap_forget(void)
{
	// After a fork the old descriptor shows the parent.
	int fd = atomic_exchange(&pagemap_fd, -1);
	if (fd >= 0)
		close(fd);
}

static int pagemap(void)
{
	int fd = atomic_load_explicit(&pagemap_fd, memory_order_acquire);
	if (LIKELY(fd >= 0))
		return fd;
	pthread_mutex_lock(&pagemap_lock);
	fd = atomic_load(&pagemap_fd);
	if (fd < 0) {
		static bool registered;
		if (!registered)
			registered = pthread_atfork(NULL, NULL, pagemap_forget) == 0;
		fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			fd = -errno;
		else
			atomic_store(&pagemap_fd, fd);
	}
	pthread_mutex_unlock(&pagemap_lock);
	return fd;
}

// ABI of the kernel (linux/fs since 6.7), which the headers here may lack.
struct uapi_page_region {
	uint64_t start, end, categories;
};
struct uapi_pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define UAPI_PAGEMAP_SCAN _IOWR('f', 16, struct uapi_pm_scan_arg)
#define UAPI_PAGE_IS_FILE (1u << 2)
#define UAPI_PAGE_IS_PRESENT (1u << 3)
#define UAPI_PAGE_IS_SWAPPED (1u << 4)
// Above 512 regions a call, walk_end is wrong on 6.18.
#define SCAN_REGIONS 512

static int scan(void *start, uint64_t size, uint64_t mask, sys_page_run_fn fn, void *arg)
{
	if (sys__fault())
		return -ENOMEM;
	struct uapi_page_region regions[SCAN_REGIONS];
	int fd = pagemap();
	if (fd < 0)
		return fd;
	struct uapi_pm_scan_arg a = {
		.size = sizeof a,
		.start = (uintptr_t)start,
		.end = (uintptr_t)start + size,
		.vec = (uintptr_t)regions,
		.vec_len = SCAN_REGIONS,
		.category_inverted = mask,
		.category_mask = mask,
		.category_anyof_mask = UAPI_PAGE_IS_PRESENT | UAPI_PAGE_IS_SWAPPED,
		.return_mask = UAPI_PAGE_IS_FILE,
	};
	while (a.start < a.end) {
		int n = ioctl(fd, UAPI_PAGEMAP_SCAN, &a);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		for (int i = 0; i < n; i++)
			if (!fn(arg, (struct sys_page_run){regions[i].start, regions[i].end}))
				return -ECANCELED;
		if (n < SCAN_REGIONS)
			return 0;
		if (a.walk_end <= a.start)
			return -EIO;
		a.start = a.walk_end;
	}
	return 0;
}

int sys_private_pages_scan(void *start, uint64_t size, sys_page_run_fn fn, void *arg)
{
	return scan(start, size, UAPI_PAGE_IS_FILE, fn, arg);
}

static int read_pagemap(void *start, uint64_t size, bool file_too, sys_page_run_fn fn, void *arg)
{
	if (sys__fault())
		return -ENOMEM;
	uint64_t entries[512];
	int fd = pagemap();
	if (fd < 0)
		return fd;
	struct sys_page_run run = {0};
	for (uint64_t page = (uintptr_t)start / SYS_PAGE, end = page + size / SYS_PAGE; page < end;) {
		uint64_t want = min_u64(end - page, ARRAY_LEN(entries));
		ssize_t got = pread(fd, entries, want * 8, (off_t)(page * 8));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 8)
			return got < 0 ? -errno : -EIO;
		for (uint64_t i = 0; i < (uint64_t)got / 8; i++, page++) {
			// Bits 63 present, 62 swapped, 61 file page or shared.
			if (!(entries[i] >> 62) || (!file_too && (entries[i] >> 61 & 1)))
				continue;
			uint64_t at = page * SYS_PAGE;
			if (run.end == at && run.end) {
				run.end += SYS_PAGE;
				continue;
			}
			if (run.end && !fn(arg, run))
				return -ECANCELED;
			run = (struct sys_page_run){at, at + SYS_PAGE};
		}
	}
	return run.end && !fn(arg, run) ? -ECANCELED : 0;
}

int sys_private_pages_pagemap(void *start, uint64_t size, sys_page_run_fn fn, void *arg)
{
	return read_pagemap(start, size, false, fn, arg);
}

int sys_touched_pages(void *start, uint64_t size, sys_page_run_fn fn, void *arg)
{
	return read_pagemap(start, size, true, fn, arg);
}

uint64_t sys_max_map_count(void)
{
	char text[32] = "";
	int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		ssize_t n = read(fd, text, sizeof text - 1);
		text[n > 0 ? n : 0] = 0;
		close(fd);
	}
	uint64_t v = strtoull(text, NULL, 10);
	return v ? v : 65530;
}
