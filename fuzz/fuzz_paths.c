// Paths beneath a folder: the same operations on two equal trees, in one by the kernel's resolution (openat2), in the other by the walk. Both say the same of
// each, open the same, and nothing that is opened lies outside.
// PROGRAM(fuzz_paths, "sys", "")
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/sys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OPS = 48, PATH = 200 };

// A tree: a folder that paths are beneath, beside something that they may not reach.
struct tree {
	char outside[40], root[48];
	int fd;
	int (*openat2)(int dir, const char *path, const struct open_how *how);
};
static struct tree trees[2];

static int no_openat2(int dir, const char *path, const struct open_how *how)
{
	return -ENOSYS;
}

static void must(bool ok)
{
	BUG_ON(!ok);
}

static void open_tree(struct tree *t, int (*openat2)(int dir, const char *path, const struct open_how *how))
{
	char secret[64];
	snprintf(t->outside, sizeof t->outside, "/tmp/tenon-fuzz-paths-XXXXXX");
	must(mkdtemp(t->outside) != NULL);
	snprintf(t->root, sizeof t->root, "%s/root", t->outside);
	snprintf(secret, sizeof secret, "%s/secret", t->outside);
	must(mkdir(t->root, 0700) == 0 && mkdir(secret, 0700) == 0);
	t->fd = sys_open_folder(t->root);
	must(t->fd >= 0);
	t->openat2 = openat2;
}

static int remove_one(const char *at, const struct stat *st, int kind, struct FTW *where)
{
	if (where->level > 0 && remove(at) < 0)
		abort();
	return 0;
}

static void clean(const struct tree *t)
{
	must(nftw(t->root, remove_one, 20, FTW_DEPTH | FTW_PHYS) == 0);
}

static void close_trees(void)
{
	for (int i = 0; i < 2; i++) {
		char secret[64];
		snprintf(secret, sizeof secret, "%s/secret", trees[i].outside);
		clean(&trees[i]);
		must(rmdir(secret) == 0 && rmdir(trees[i].root) == 0 && rmdir(trees[i].outside) == 0);
	}
}

// What every input finds: a folder in a folder, a file, links that stay inside, and links that lead out in each way.
static void lay(const struct tree *t)
{
	static const char *const links[][2] = {{"d", "l"}, {"d/e/..", "m"}, {"..", "u"}, {"../secret", "s"}, {"d/../../secret", "v"}, {"o", "o"}, {"new", "w"}, {"f", "g"}};
	must(mkdirat(t->fd, "d", 0700) == 0 && mkdirat(t->fd, "d/e", 0700) == 0);
	int f = openat(t->fd, "f", O_CREAT | O_WRONLY, 0600);
	must(f >= 0 && close(f) == 0);
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		must(symlinkat(links[i][0], t->fd, links[i][1]) == 0);
	must(symlinkat("/", t->fd, "a") == 0 && symlinkat("/proc/self/root", t->fd, "p") == 0);
}

// ---- operations --------------------------------------------------------------------------------------------------------------------------

struct input {
	const uint8_t *at, *end;
};
static uint8_t byte(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

// A few components, each a name of the tree, "..", a slash more…
static void read_path(struct input *in, char *to)
{
	static const char *const parts[] = {"d", "e", "f", "l", "m", "u", "s", "v", "o", "w", "g", "a", "p", "new", "x", "..", ".", "", "d/e", "../d", "e/..", "./", "x/../.", "secret"};
	size_t n = byte(in) % 7, at = 0;
	to[0] = 0;
	for (size_t i = 0; i < n; i++) {
		uint8_t b = byte(in);
		at += (size_t)snprintf(to + at, PATH - at, "%s%s", i || b & 128 ? "/" : "", parts[b % 128 % ARRAY_LEN(parts)]);
	}
	if (n && byte(in) % 8 == 0)
		snprintf(to + at, PATH - at, "/");
}

// What was opened: where it lies, from the root on. Ends the process if that is outside.
static void where_is(const struct tree *t, int fd, char *to, size_t max)
{
	char link[40], path[PATH_MAX + 1];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, PATH_MAX);
	must(n > 0);
	path[n] = 0;
	size_t root = strlen(t->root);
	if (strncmp(path, t->root, root) != 0 || (path[root] && path[root] != '/')) {
		fprintf(stderr, "outside: %s\n", path);
		abort();
	}
	struct stat st;
	must(fstat(fd, &st) == 0);
	snprintf(to, max, "%s %o", path + root, st.st_mode);
}

struct op {
	uint8_t kind;
	uint32_t how;
	char path[PATH], path2[PATH];
};

static int64_t open_one(const struct tree *t, const struct op *op, char *to, size_t max)
{
	int fd = sys_beneath_open(t->fd, op->path, op->how);
	if (fd < 0)
		return fd;
	where_is(t, fd, to, max);
	sys_close(fd);
	return 0;
}

static int64_t run(const struct tree *t, const struct op *op, char *to, size_t max)
{
	sys_file.openat2 = t->openat2;
	switch (op->kind % 12) {
	case 0:
		return sys_beneath_mkdir(t->fd, op->path);
	case 1:
		return sys_beneath_rmdir(t->fd, op->path);
	case 2:
		return sys_beneath_unlink(t->fd, op->path);
	case 3:
		return sys_beneath_link(t->fd, op->path, t->fd, op->path2);
	case 4:
		return sys_beneath_rename(t->fd, op->path, t->fd, op->path2);
	case 5:
		return sys_beneath_symlink(op->path2, t->fd, op->path);
	case 6:
		return sys_beneath_readlink(t->fd, op->path, to, max - 1);
	default:
		return open_one(t, op, to, max);
	}
}

static void read_op(struct input *in, struct op *op)
{
	static const uint32_t hows[] = {SYS_OPEN_READ, SYS_OPEN_WRITE, SYS_OPEN_READ | SYS_OPEN_WRITE, SYS_OPEN_LOOK};
	uint8_t b = byte(in);
	op->kind = byte(in);
	op->how = hows[b & 3];
	if (b & 3 && (b & 3) < 3)
		op->how |= (b & 4 ? SYS_OPEN_CREATE | (b & 8 ? SYS_OPEN_EXCLUSIVE : 0) : 0) | (b & 16 ? SYS_OPEN_TRUNCATE : 0);
	op->how |= (b & 32 ? SYS_OPEN_FOLDER : 0) | (b & 64 ? SYS_OPEN_NO_FOLLOW : 0);
	if (op->how & SYS_OPEN_CREATE)
		op->how &= ~(uint32_t)SYS_OPEN_FOLDER;  // no such call is made: Linux has had several answers to it
	read_path(in, op->path);
	read_path(in, op->path2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!trees[0].openat2) {
		open_tree(&trees[0], sys_file_real.openat2);
		open_tree(&trees[1], no_openat2);
		atexit(close_trees);
	}
	for (int i = 0; i < 2; i++) {
		clean(&trees[i]);
		lay(&trees[i]);
	}
	struct input in = {data, data + size};
	for (int i = 0; i < OPS && in.at < in.end; i++) {
		struct op op;
		char said[2][PATH_MAX + 32] = {{0}};
		int64_t r[2];
		read_op(&in, &op);
		for (int k = 0; k < 2; k++)
			r[k] = run(&trees[k], &op, said[k], sizeof said[k]);
		if (r[0] != r[1] || strcmp(said[0], said[1]) != 0) {
			fprintf(stderr, "%d how %x '%s' '%s': %lld '%s', by the walk %lld '%s'\n", op.kind % 12, op.how, op.path, op.path2, (long long)r[0], said[0], (long long)r[1],
				said[1]);
			abort();
		}
	}
	return 0;
}
