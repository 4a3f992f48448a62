// The cache of code and images: one file an entry in one private directory.
//
// Invariants:
//  1. Trust rests on the directory: ours, mode 0700, opened once, files reached by openat without following links.
//  2. An entry appears under its name only when it is complete and on the disk. Its content is checked (XXH3-128) by whoever loads it, but where its mark says that
//     it is what was written, or that it was checked: the nanoseconds of the time of its last write follow from its device, inode, size and the seconds. Who
//     writes into it, or copies it, gives it others. What is read is compared again behind the first answer.
//  3. Entries used least recently (the time of their last access, which is set by us) go first when the sum comes near the bound. All entries are looked at once for
//     each 1/64 of the bound that is put, not for each.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#define OPENSSL_API_COMPAT 0x10100000L  // the plain functions: EVP would bring all of libcrypto along
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sys/sys.h"
#include "tier_int.h"

enum { NAME_MAX_LEN = 96, UNIT = 64 << 10 };
#define ADDED ".added"

static bool path_of(char *out, size_t size)
{
	const char *own = getenv("TENON_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int n = 0;
	if (own && own[0])
		n = snprintf(out, size, "%s", own);
	else if (xdg && xdg[0])
		n = snprintf(out, size, "%s/tenon", xdg);
	else if (home && home[0])
		n = snprintf(out, size, "%s/.cache/tenon", home);
	return n > 0 && (size_t)n < size && out[0] == '/';
}

static void make_dirs(char *path)
{
	for (char *p = path + 1; *p; p++)
		if (*p == '/') {
			*p = 0;
			mkdir(path, 0700);  // what matters is whether the last one can be opened
			*p = '/';
		}
	mkdir(path, 0700);
}

static bool is_private(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 0777) == 0700;
}

int tier__cache_open(struct err *e)
{
	char path[4096];
	if (!path_of(path, sizeof path))
		return -1;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT) {
		make_dirs(path);
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	}
	if (fd < 0) {
		err_set_errno(e, errno, "no cache of compiled code in '%s'", path);
	} else if (!is_private(fd)) {
		err_set(e, ERR_ENV, "no cache of compiled code in '%s': the folder must be ours, with mode 0700", path);
		close(fd);
		return -1;
	} else if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) != 0) {
		err_set_errno(e, errno, "nothing can be added to the cache of compiled code in '%s'", path);
	}
	return fd;
}

bool tier_cache_check(char *ret_path, size_t size, struct err *ret_why)
{
	err_clear(ret_why);
	if (!path_of(ret_path, size)) {
		ret_path[0] = 0;
		return false;
	}
	int fd = tier__cache_open(ret_why);
	bool maps = fd >= 0 && sys_may_map_code(fd);
	if (fd >= 0)
		close(fd);
	return maps;
}

// ---- names ---------------------------------------------------------------------------------------------------------------------------

static void put_hex(const struct tier_key *key, char out[65])
{
	for (unsigned i = 0; i < sizeof key->bytes; i++) {
		*out++ = "0123456789abcdef"[key->bytes[i] >> 4];
		*out++ = "0123456789abcdef"[key->bytes[i] & 0xf];
	}
	*out = 0;
}

static void entry_name(const struct tier_key *key, const char *kind, char out[NAME_MAX_LEN])
{
	put_hex(key, out);
	snprintf(out + 64, NAME_MAX_LEN - 64, ".%s", kind);
}

void tier_sha256(struct slice s, char ret[65])
{
	struct tier_key key;
	tier__key_of(s, &key);
	put_hex(&key, ret);
}

// At each start of a process libcrypto asks the processor what it can, by ten CPUIDs, which take microseconds each in a virtual machine. It does here (`--wrap`,
// meson.build) when much is hashed for the first time; the names of a warm start are hashed by what every processor has.
enum { MUCH = 16 << 10 };
void __real_OPENSSL_cpuid_setup(void);
void __wrap_OPENSSL_cpuid_setup(void);

void __wrap_OPENSSL_cpuid_setup(void)
{
}

static void ask_processor(void)
{
	static pthread_once_t asked = PTHREAD_ONCE_INIT;
	pthread_once(&asked, __real_OPENSSL_cpuid_setup);
}

struct tier_hash {
	SHA256_CTX c;
};

bool tier_hash_new(struct tier_hash **ret)
{
	*ret = mem_alloc(sizeof **ret);
	if (!*ret)
		return false;
	ask_processor();
	SHA256_Init(&(*ret)->c);
	return true;
}

void tier_hash_put(struct tier_hash *h, struct slice s)
{
	SHA256_Update(&h->c, s.ptr, s.len);
}

void tier_hash_end(struct tier_hash *h, char ret[65])
{
	struct tier_key key;
	SHA256_Final(key.bytes, &h->c);
	put_hex(&key, ret);
}

void tier_hash_free(struct tier_hash *h)
{
	mem_free(h);
}

void tier__key_of(struct slice s, struct tier_key *ret)
{
	SHA256_CTX c;
	if (s.len >= MUCH)
		ask_processor();
	SHA256_Init(&c);
	SHA256_Update(&c, s.ptr, s.len);
	SHA256_Final(ret->bytes, &c);
}

// ---- writing -------------------------------------------------------------------------------------------------------------------------

static uint64_t size_of(const struct stat *st)
{
	return (uint64_t)st->st_blocks * 512;  // images have holes
}

// Nanoseconds that a file's time has once it is known to hold what was written.
static long mark_of(const struct stat *st)
{
	uint64_t words[4] = {st->st_dev, st->st_ino, (uint64_t)st->st_size, (uint64_t)st->st_mtim.tv_sec}, mark;
	struct tier_key key;
	tier__key_of(slice_of(words, sizeof words), &key);
	memcpy(&mark, key.bytes, sizeof mark);
	return (long)(mark % 1000000000);
}

static bool set_mark(int fd, const struct stat *st)
{
	struct timespec times[2] = {{0, UTIME_OMIT}, {st->st_mtim.tv_sec, mark_of(st)}};
	return futimens(fd, times) == 0;
}

// A file that was written just now may be written again within the clock's grain.
enum { GRAIN_SECONDS = 2 };
static bool is_settled(const struct timespec *written)
{
	return time(NULL) - written->tv_sec > GRAIN_SECONDS;
}

// What was written into the file is what it is to hold. Its time becomes an earlier one, so that whatever is written from now on shows.
static bool settle(int fd)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return false;
	st.st_mtim.tv_sec = time(NULL) - GRAIN_SECONDS - 2;
	return set_mark(fd, &st);
}

// Behind the first answer nobody waits for it: said once, until something could be written again.
static void tell_failed(int why)
{
	static bool told;
	if (__atomic_exchange_n(&told, why >= 0, __ATOMIC_RELAXED) || why < 0)
		return;
	char room[128];
	const char *text = why ? strerror_r(why, room, sizeof room) : "it was not written whole";
	tier__tell("the cache of compiled code takes nothing: %s; what is not in it is compiled anew at the next start", text);
}

// `is_entry`: of tier__cache_get.
static bool put_file(int cache, const char *name, tier__write_fn write, void *arg, bool is_entry, uint64_t *ret_size)
{
	static _Atomic uint32_t serial;
	char temporary[NAME_MAX_LEN];
	struct stat st;
	struct timespec now;
	errno = 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(temporary, sizeof temporary, "tmp-%d-%lld-%ld-%u", getpid(), (long long)now.tv_sec, now.tv_nsec, serial++);
	int fd = openat(cache, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		tell_failed(errno);
		return false;
	}
	bool ok = write(fd, arg);
	if (ok && is_entry)
		(void)settle(fd);  // else it is checked by whoever loads it
	ok = ok && fsync(fd) == 0 && fstat(fd, &st) == 0;
	int why = ok ? -1 : errno;
	if (ret_size)
		*ret_size = ok ? size_of(&st) : 0;
	ok = close(fd) == 0 && ok;
	if (ok && renameat(cache, temporary, cache, name) != 0) {
		why = errno;
		ok = false;
	}
	tell_failed(why);
	if (!ok)
		unlinkat(cache, temporary, 0);
	return ok;
}

// ---- the bound -----------------------------------------------------------------------------------------------------------------------

struct aged {
	struct timespec used;
	uint64_t size;
	char name[NAME_MAX_LEN];
};

static int older(const void *a, const void *b)
{
	const struct timespec *x = &((const struct aged *)a)->used, *y = &((const struct aged *)b)->used;
	return x->tv_sec != y->tv_sec ? (x->tv_sec > y->tv_sec) - (x->tv_sec < y->tv_sec) : (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

static bool read_dir(int cache, struct aged **ret, uint32_t *ret_n, uint64_t *ret_total)
{
	VEC(struct aged)
	all = {0};
	int fd = openat(cache, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (!d) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	*ret_total = 0;
	for (struct dirent *ent; (ent = readdir(d));) {
		struct stat st;
		if (ent->d_name[0] == '.' || strlen(ent->d_name) >= NAME_MAX_LEN || fstatat(cache, ent->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
			continue;
		struct aged *a = VEC_ADD(NULL, &all, 1000000);
		if (!a)
			break;
		a->used = st.st_atim;
		a->size = size_of(&st);
		snprintf(a->name, sizeof a->name, "%s", ent->d_name);
		*ret_total += a->size;
	}
	closedir(d);
	*ret = all.ptr;
	*ret_n = all.len;
	return true;
}

// What has been put since all entries were last looked at, by whatever process: as many bytes in a file as there were UNITs. It is as long as that without a lock.
static bool is_look_due(int cache, uint64_t size, uint64_t max)
{
	static const uint8_t units[1024];
	size_t n = min_u64(size / UNIT + 1, sizeof units);
	struct stat st;
	int fd = openat(cache, ADDED, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool is_due = fd < 0 || write(fd, units, n) != (ssize_t)n || fstat(fd, &st) != 0 || (uint64_t)st.st_size * UNIT > max / 64;
	if (fd >= 0 && is_due)
		(void)!ftruncate(fd, 0);  // else the next one looks, too
	if (fd >= 0)
		close(fd);
	return is_due;
}

// As far below `max` as is put until the next look, and as much again for those who put at the same time.
static void trim(int cache, uint64_t max)
{
	max -= max / 32;
	struct aged *all;
	uint32_t n;
	uint64_t total;
	if (!read_dir(cache, &all, &n, &total))
		return;
	if (total > max && n) {
		qsort(all, n, sizeof *all, older);
		for (uint32_t i = 0; i < n && total > max; i++)
			if (unlinkat(cache, all[i].name, 0) == 0)
				total -= all[i].size;
	}
	mem_free(all);
}

bool tier__cache_put(int cache, const struct tier_key *key, const char *kind, tier__write_fn write, void *arg, uint64_t max)
{
	char name[NAME_MAX_LEN];
	uint64_t size;
	entry_name(key, kind, name);
	if (!put_file(cache, name, write, arg, true, &size))
		return false;
	if (is_look_due(cache, size, max))
		trim(cache, max);
	return true;
}

void tier__cache_remove(int cache, const struct tier_key *key, const char *kind)
{
	char name[NAME_MAX_LEN];
	entry_name(key, kind, name);
	unlinkat(cache, name, 0);
}

// ---- reading -------------------------------------------------------------------------------------------------------------------------

// "Used": only the order of leaving depends on it, so an hour is exact enough.
static void note_use(int fd, const struct stat *st)
{
	static const struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
	time_t t = time(NULL);
	if (t - st->st_atim.tv_sec > 3600 || t < st->st_atim.tv_sec)
		futimens(fd, now);
}

static int open_file(int cache, const char *name, struct stat *ret)
{
	int fd = openat(cache, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);  // a pipe keeps nobody waiting
	if (fd < 0)
		return -1;
	if (fstat(fd, ret) != 0 || !S_ISREG(ret->st_mode) || ret->st_uid != geteuid() || (ret->st_mode & 022)) {
		close(fd);
		return -1;
	}
	note_use(fd, ret);
	return fd;
}

static bool read_key(int cache, const char *name, struct tier_key *ret)
{
	struct stat st;
	int fd = open_file(cache, name, &st);
	ssize_t n = fd >= 0 ? read(fd, ret->bytes, sizeof ret->bytes) : -1;
	if (fd >= 0)
		close(fd);
	return n == sizeof ret->bytes;
}

static bool write_key(int fd, void *arg)
{
	const struct tier_key *key = arg;
	return write(fd, key->bytes, sizeof key->bytes) == sizeof key->bytes;
}

static void describe(const struct stat *st, struct tier__entry *ret)
{
	*ret = (struct tier__entry){.size = (uint64_t)st->st_size,
		.settled = is_settled(&st->st_mtim),
		.stamp = {st->st_dev, st->st_ino, (uint64_t)st->st_size, (uint64_t)st->st_mtim.tv_sec, (uint64_t)st->st_mtim.tv_nsec}};
	ret->checked = ret->settled && st->st_mtim.tv_nsec == mark_of(st);
}

int tier__cache_get(int cache, const struct tier_key *key, const char *kind, struct tier__entry *ret)
{
	char name[NAME_MAX_LEN];
	struct stat st;
	entry_name(key, kind, name);
	int fd = open_file(cache, name, &st);
	if (fd >= 0)
		describe(&st, ret);
	return fd;
}

void tier__cache_note_checked(int cache, const struct tier_key *key, const char *kind, const struct tier__entry *of)
{
	char name[NAME_MAX_LEN];
	struct stat st;
	struct tier__entry found;
	if (!of->settled || of->checked)
		return;
	entry_name(key, kind, name);
	int fd = open_file(cache, name, &st);
	if (fd < 0)
		return;
	describe(&st, &found);
	if (memcmp(found.stamp, of->stamp, sizeof found.stamp) == 0)
		(void)set_mark(fd, &st);  // else the next one checks it, too
	close(fd);
}

// ---- identity ------------------------------------------------------------------------------------------------------------------------

static void stat_key(const struct stat *st, struct tier_key *ret)
{
	uint64_t words[8] = {st->st_dev, st->st_ino, (uint64_t)st->st_size, (uint64_t)st->st_mtim.tv_sec, (uint64_t)st->st_mtim.tv_nsec,
		(uint64_t)st->st_ctim.tv_sec, (uint64_t)st->st_ctim.tv_nsec, 1};
	tier__key_of(slice_of(words, sizeof words), ret);
}

// What this process found out, as long as the disk does not have it yet: a file of many versions is hashed by one of them. The last with the same first bits.
enum { REMEMBERED = 64 };
static struct {
	bool there;
	struct tier_key by_stat, content;
} remembered[REMEMBERED];
static struct sys_mutex lock = SYS_MUTEX;

void tier__identity_remember(const struct tier__identity *id, const struct tier_key *content)
{
	if (!id->settled)
		return;
	unsigned at = id->by_stat.bytes[0] % REMEMBERED;
	sys_mutex_lock(&lock);
	remembered[at].there = true;
	remembered[at].by_stat = id->by_stat;
	remembered[at].content = *content;
	sys_mutex_unlock(&lock);
}

static bool is_remembered(const struct tier_key *by_stat, struct tier_key *ret)
{
	unsigned at = by_stat->bytes[0] % REMEMBERED;
	sys_mutex_lock(&lock);
	bool is = remembered[at].there && memcmp(remembered[at].by_stat.bytes, by_stat->bytes, sizeof by_stat->bytes) == 0;
	if (is)
		*ret = remembered[at].content;
	sys_mutex_unlock(&lock);
	return is;
}

static bool identity_of(int file_fd, uint64_t size, struct tier__identity *ret)
{
	struct stat st;
	*ret = (struct tier__identity){0};
	if (file_fd < 0 || fstat(file_fd, &st) != 0 || (uint64_t)st.st_size != size)
		return false;
	stat_key(&st, &ret->by_stat);
	ret->settled = is_settled(&st.st_mtim) && is_settled(&st.st_ctim);
	return true;
}

bool tier__identity_find(int cache, int file_fd, uint64_t size, struct tier__identity *ret, struct tier_key *ret_content)
{
	char name[NAME_MAX_LEN];
	if (!identity_of(file_fd, size, ret))
		return false;
	entry_name(&ret->by_stat, "id", name);
	return is_remembered(&ret->by_stat, ret_content) || read_key(cache, name, ret_content);
}

void tier__identity_keep(int cache, const struct tier__identity *id, const struct tier_key *content)
{
	struct tier_key key = *content;
	char name[NAME_MAX_LEN];
	if (!id->settled)
		return;
	entry_name(&id->by_stat, "id", name);
	put_file(cache, name, write_key, &key, false, NULL);
}
