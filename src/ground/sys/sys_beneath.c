// Paths beneath a folder: openat2, and the walk where there is none (an old kernel, a filter of system calls).
//
// 1. Whatever changes an entry takes the entry's folder by the same resolution, and then one name without slashes in it: the kernel follows no link there.
// 2. The walk holds a descriptor of each folder on its way: ".." is the one before, not what the folder's parent has become meanwhile.
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH_MAX = 128, LINKS_MAX = 40, TRIES = 1000 };

static int flags_of(uint32_t how)
{
	int flags = O_CLOEXEC | (how & SYS_OPEN_FOLDER ? O_DIRECTORY : 0) | (how & SYS_OPEN_NO_FOLLOW ? O_NOFOLLOW : 0);
	if (how & SYS_OPEN_LOOK)
		return flags | O_PATH;
	flags |= O_NONBLOCK | O_NOCTTY;
	flags |= how & SYS_OPEN_WRITE ? how & SYS_OPEN_READ ? O_RDWR : O_WRONLY : O_RDONLY;
	flags |= (how & SYS_OPEN_CREATE ? O_CREAT : 0) | (how & SYS_OPEN_EXCLUSIVE ? O_EXCL : 0) | (how & SYS_OPEN_TRUNCATE ? O_TRUNC : 0);
	return flags | (how & SYS_OPEN_SYNC ? O_SYNC : 0) | (how & SYS_OPEN_DATA_SYNC ? O_DSYNC : 0);
}

static uint32_t mode_of(uint32_t how)
{
	return how & SYS_OPEN_CREATE ? 0666 : 0;
}

// ---- the walk --------------------------------------------------------------------------------------------------------------------------

struct walk {
	int stack[DEPTH_MAX];  // the folders on the way, ours but for the first
	int depth;             // the last one
	int links;
	char rest[PATH_MAX];   // of the path
};

static void pop(struct walk *w)
{
	close(w->stack[w->depth--]);
}

// Takes the next component out of the rest. Slashes behind it stay.
static struct slice next_name(struct walk *w, size_t *at)
{
	*at += strspn(w->rest + *at, "/");
	size_t n = strcspn(w->rest + *at, "/");
	*at += n;
	return slice_of(w->rest + *at - n, n);
}

// The target of a link goes before the rest.
static int follow(struct walk *w, const char *name, size_t *at)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(w->stack[w->depth], name, target, sizeof target);
	if (n < 0)
		return -errno;
	size_t rest = strlen(w->rest + *at);
	if (n == 0 || ++w->links > LINKS_MAX)
		return n ? -ELOOP : -ENOENT;
	if (target[0] == '/')
		return -EPERM;
	if ((size_t)n + rest >= sizeof w->rest)
		return -ENAMETOOLONG;
	memmove(w->rest + n, w->rest + *at, rest + 1);
	memcpy(w->rest, target, (size_t)n);
	*at = 0;
	return 0;
}

static int enter(struct walk *w, const char *name)
{
	if (strcmp(name, "..") == 0) {
		if (w->depth == 0)
			return -EPERM;
		pop(w);
		return 0;
	}
	int fd = sys_file.openat(w->stack[w->depth], name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	if (w->depth + 1 == DEPTH_MAX) {
		close(fd);
		return -ENAMETOOLONG;
	}
	w->stack[++w->depth] = fd;
	return 0;
}

static int walk(struct walk *w, uint32_t how)
{
	size_t at = 0;
	for (;;) {
		char name[NAME_MAX + 1];
		struct slice s = next_name(w, &at);
		bool has_slash = w->rest[at] == '/', is_last = w->rest[at + strspn(w->rest + at, "/")] == 0;
		if (s.len > NAME_MAX)
			return -ENAMETOOLONG;
		snprintf(name, sizeof name, "%.*s", SLICE_ARGS(s));
		bool up = strcmp(name, "..") == 0, here = strcmp(name, ".") == 0;
		if (is_last && has_slash && !up && !here && how & SYS_OPEN_CREATE)
			return -EISDIR;  // whatever it is, a link too
		int r = -EINVAL;  // of readlink: it is no link
		if (!up && !here && (!is_last || has_slash || !(how & (SYS_OPEN_NO_FOLLOW | SYS_OPEN_EXCLUSIVE))))
			r = follow(w, name, &at);
		if (r == 0)
			continue;
		if (r != -EINVAL && r != -ENOENT)
			return r;
		if (!is_last || up) {
			r = here ? 0 : enter(w, name);
			if (r < 0)
				return r;
			if (!is_last)
				continue;
		}
		if (has_slash && how & SYS_OPEN_CREATE)
			return how & SYS_OPEN_EXCLUSIVE ? -EEXIST : -EISDIR;
		return sys_file.openat(w->stack[w->depth], up ? "." : name, flags_of(how) | O_NOFOLLOW | (has_slash ? O_DIRECTORY : 0), mode_of(how));
	}
}

static int open_by_walk(int dir, const char *path, uint32_t how)
{
	struct walk w = {.stack = {dir}};
	size_t n = strlen(path);
	if (how & SYS_OPEN_CACHED)
		return -EAGAIN;
	if (n == 0)
		return -ENOENT;
	if (n >= sizeof w.rest)
		return -ENAMETOOLONG;
	if (path[0] == '/')
		return -EPERM;
	memcpy(w.rest, path, n + 1);
	int r = walk(&w, how);
	while (w.depth)
		pop(&w);
	return r;
}

// ---- which way -------------------------------------------------------------------------------------------------------------------------

#define RESOLVE (RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)

// Filters of system calls say EPERM as well as ENOSYS (L70), which a path may too: asked once, of a path that is there.
static bool have_openat2(void)
{
	static int (*asked)(int dir, const char *path, const struct open_how *how);  // any thread
	static bool answer;
	if (__atomic_load_n(&asked, __ATOMIC_ACQUIRE) == sys_file.openat2)
		return __atomic_load_n(&answer, __ATOMIC_RELAXED);
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE};
	int fd = sys_file.openat2(AT_FDCWD, ".", &how);
	bool have = fd != -ENOSYS && fd != -EPERM && fd != -EINVAL;
	if (fd >= 0)
		close(fd);
	__atomic_store_n(&answer, have, __ATOMIC_RELAXED);
	__atomic_store_n(&asked, sys_file.openat2, __ATOMIC_RELEASE);
	return have;
}

void sys_beneath_ask(void)
{
	have_openat2();
}

int sys_beneath_open(int dir, const char *path, uint32_t how)
{
	if (!have_openat2())
		return open_by_walk(dir, path, how);
	bool cached = how & SYS_OPEN_CACHED;
	struct open_how h = {.flags = (uint64_t)flags_of(how), .mode = mode_of(how), .resolve = RESOLVE | (cached ? RESOLVE_CACHED : 0)};
	int fd = sys_file.openat2(dir, path, &h);
	for (int i = 0; fd == -EAGAIN && !cached && i < TRIES; i++)  // somebody renames folders on the way
		fd = sys_file.openat2(dir, path, &h);
	if (fd == -EINVAL && cached)
		return -EAGAIN;  // Linux before 5.12
	return fd == -EXDEV ? -EPERM : fd;
}

// ---- what changes entries --------------------------------------------------------------------------------------------------------------

struct entry {
	int folder;  // ours
	char name[NAME_MAX + 1];
	bool has_slash;  // behind it: a folder is meant
};

// `dot`: what to say of ".", which is no entry that can be changed.
static int take_entry(int dir, const char *path, int dot, struct entry *ret)
{
	char folder[PATH_MAX];
	size_t n = strlen(path);
	if (n == 0 || n >= sizeof folder)
		return n ? -ENAMETOOLONG : -ENOENT;
	if (path[0] == '/')
		return -EPERM;
	size_t end = n;
	while (path[end - 1] == '/')
		end--;
	size_t from = end;
	while (from && path[from - 1] != '/')
		from--;
	if (end - from > NAME_MAX)
		return -ENAMETOOLONG;
	ret->has_slash = end < n;
	snprintf(ret->name, sizeof ret->name, "%.*s", (int)(end - from), path + from);
	snprintf(folder, sizeof folder, "%.*s", (int)from, path);
	if (strcmp(ret->name, "..") == 0)
		return -EPERM;
	if (strcmp(ret->name, ".") == 0)
		return dot;
	ret->folder = sys_beneath_open(dir, from ? folder : ".", SYS_OPEN_LOOK | SYS_OPEN_FOLDER);
	return ret->folder < 0 ? ret->folder : 0;
}

static int give_back(const struct entry *e, int r)
{
	int why = r < 0 ? -errno : 0;
	close(e->folder);
	return why;
}

static bool is_folder(const struct entry *e)
{
	struct stat st;
	return fstatat(e->folder, e->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

// What is called with a slash behind it: -errno where no folder is there, also through a link.
static int look_with_slash(int dir, const char *path)
{
	int fd = sys_beneath_open(dir, path, SYS_OPEN_LOOK | SYS_OPEN_FOLDER);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

int sys_beneath_mkdir(int dir, const char *path)
{
	struct entry e;
	int r = take_entry(dir, path, -EEXIST, &e);
	return r < 0 ? r : give_back(&e, mkdirat(e.folder, e.name, 0777));
}

int sys_beneath_rmdir(int dir, const char *path)
{
	struct entry e;
	int r = take_entry(dir, path, -EINVAL, &e);
	if (r < 0)
		return r;
	r = e.has_slash ? look_with_slash(dir, path) : 0;
	if (r == 0)
		return give_back(&e, unlinkat(e.folder, e.name, AT_REMOVEDIR));
	close(e.folder);
	return r;
}

int sys_beneath_unlink(int dir, const char *path)
{
	struct entry e;
	int r = take_entry(dir, path, -EISDIR, &e);
	if (r < 0)
		return r;
	if (!e.has_slash)
		return give_back(&e, unlinkat(e.folder, e.name, 0));
	r = look_with_slash(dir, path);
	if (r == 0)
		r = is_folder(&e) ? -EISDIR : -ENOTDIR;
	close(e.folder);
	return r;
}

int sys_beneath_symlink(const char *target, int dir, const char *path)
{
	struct entry e;
	if (target[0] == '/')
		return -EPERM;
	int r = take_entry(dir, path, -EEXIST, &e);
	if (r < 0)
		return r;
	if (!e.has_slash)
		return give_back(&e, symlinkat(target, e.folder, e.name));
	r = look_with_slash(dir, path);
	close(e.folder);
	return r == 0 ? -EEXIST : r;
}

// Both entries, or none.
static int take_both(int from, const char *old_path, int to, const char *new_path, int dot, struct entry *old, struct entry *new)
{
	int r = take_entry(from, old_path, dot, old);
	if (r < 0)
		return r;
	r = take_entry(to, new_path, dot, new);
	if (r < 0)
		close(old->folder);
	return r;
}

int sys_beneath_link(int from, const char *old_path, int to, const char *new_path)
{
	struct entry old, new;
	int r = take_both(from, old_path, to, new_path, -EPERM, &old, &new);
	if (r < 0)
		return r;
	if (old.has_slash && !is_folder(&old))
		r = -ENOTDIR;
	else if (new.has_slash)
		r = look_with_slash(to, new_path) == 0 ? -EEXIST : -ENOENT;
	else
		r = linkat(old.folder, old.name, new.folder, new.name, 0) < 0 ? -errno : 0;
	close(old.folder);
	close(new.folder);
	return r;
}

int sys_beneath_rename(int from, const char *old_path, int to, const char *new_path)
{
	struct entry old, new;
	int r = take_both(from, old_path, to, new_path, -EBUSY, &old, &new);
	if (r < 0)
		return r;
	struct stat st;
	if ((old.has_slash || new.has_slash) && !is_folder(&old))
		r = fstatat(old.folder, old.name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : -ENOTDIR;
	else
		r = renameat(old.folder, old.name, new.folder, new.name) < 0 ? -errno : 0;
	close(old.folder);
	close(new.folder);
	return r;
}

int64_t sys_beneath_readlink(int dir, const char *path, char *into, size_t max)
{
	int fd = sys_beneath_open(dir, path, SYS_OPEN_LOOK | SYS_OPEN_NO_FOLLOW);
	if (fd < 0)
		return fd;
	ssize_t n = readlinkat(fd, "", into, max);
	int64_t r = n < 0 ? errno == ENOENT ? -EINVAL : -errno : n;  // ENOENT: it is no link
	close(fd);
	return r;
}
