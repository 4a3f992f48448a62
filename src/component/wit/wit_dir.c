// WIT from the file system: a file, or a folder with `deps/` (WIT.md, "Filesystem structure").
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "wit_ast.h"

#define DIR_MAX_FILES 4096u
#define DIR_MAX_BYTES (64u << 20)

struct loader {
	struct arena *a;
	VEC(struct wit_source)
	sources;
	uint64_t bytes;
	uint32_t group;
	struct err *e;
};

static bool read_all(struct loader *l, FILE *f, const char *path, struct slice *ret)
{
	struct buf b = {.max = WIT_MAX_TEXT + 1u};
	size_t n;
	do {
		uint8_t *p = buf_reserve(&b, 4096);
		n = p ? fread(p, 1, 4096, f) : 0;
		b.len += n;
	} while (n && b.len <= WIT_MAX_TEXT);
	bool ok = !ferror(f) && !b.failed;
	l->bytes += b.len;
	if (!ok)
		err_set_errno(l->e, ferror(f) ? errno : EFBIG, "cannot read '%s'", path);
	else if (l->bytes > DIR_MAX_BYTES)
		ok = err_set(l->e, ERR_LIMIT, "the WIT texts are longer than %u bytes together", DIR_MAX_BYTES);
	else if (!slice_dup(l->a, buf_view(&b), ret))
		ok = err_nomem(l->e);
	buf_release(&b);
	return ok;
}

static bool load_file(struct loader *l, const char *path)
{
	struct wit_source s = {.group = l->group};
	FILE *f = fopen(path, "rbe");
	if (!f)
		return err_set_errno(l->e, errno, "cannot open '%s'", path);
	bool ok = read_all(l, f, path, &s.text);
	fclose(f);
	if (!ok)
		return false;
	return (slice_dup(l->a, slice_str(path), &s.path) && VEC_PUSH(l->a, &l->sources, s, DIR_MAX_FILES)) ||
		err_set(l->e, ERR_LIMIT, "more than %u files of WIT text", DIR_MAX_FILES);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct entries {
	VEC(char *)
	names;
};

// Names in a folder in order, as whole paths; a folder that is not there is empty if `may_lack`.
static bool list_dir(struct loader *l, const char *path, bool may_lack, struct entries *out)
{
	DIR *d = opendir(path);
	bool ok = true;
	if (!d)
		return (may_lack && errno == ENOENT) || err_set_errno(l->e, errno, "cannot open '%s'", path);
	for (struct dirent *x; ok && (x = readdir(d));) {
		if (x->d_name[0] == '.')
			continue;
		size_t size = strlen(path) + strlen(x->d_name) + 2;
		char *name = arena_alloc(l->a, size, 1);
		ok = name && VEC_PUSH(l->a, &out->names, name, DIR_MAX_FILES);
		if (!ok)
			err_set(l->e, ERR_LIMIT, "more than %u files in '%s'", DIR_MAX_FILES, path);
		else
			snprintf(name, size, "%s/%s", path, x->d_name);
	}
	closedir(d);
	if (ok && out->names.len)
		qsort(out->names.ptr, out->names.len, sizeof(char *), by_name);
	return ok;
}

static bool is_dir(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_wit(const char *path)
{
	return slice_ends_with(slice_str(path), SLICE_LIT(".wit")) && !is_dir(path);
}

// The `.wit` files of a folder as one group.
static bool load_package(struct loader *l, const char *path)
{
	struct entries x = {0};
	uint32_t before = l->sources.len;
	if (!list_dir(l, path, false, &x))
		return false;
	for (uint32_t i = 0; i < x.names.len; i++)
		if (is_wit(x.names.ptr[i]) && !load_file(l, x.names.ptr[i]))
			return false;
	if (l->sources.len == before)
		return err_set(l->e, ERR_ENV, "no `.wit` file in '%s'", path);
	l->group++;
	return true;
}

static bool load_deps(struct loader *l, const char *path)
{
	struct entries x = {0};
	char deps[4096];
	if ((size_t)snprintf(deps, sizeof(deps), "%s/deps", path) >= sizeof(deps))
		return err_set(l->e, ERR_ENV, "path is too long: '%s'", path);
	if (!list_dir(l, deps, true, &x))
		return false;
	for (uint32_t i = 0; i < x.names.len; i++) {
		if (is_dir(x.names.ptr[i])) {
			if (!load_package(l, x.names.ptr[i]))
				return false;
		} else if (is_wit(x.names.ptr[i])) {
			if (!load_file(l, x.names.ptr[i]))
				return false;
			l->group++;
		}
	}
	return true;
}

bool wit_dir_resolve(struct arena *a, const char *path, const struct wit_options *o, struct wit_packages *ret, struct err *e)
{
	struct loader l = {.a = a, .e = e};
	if (is_dir(path) ? !load_deps(&l, path) || !load_package(&l, path) : !load_file(&l, path))
		return false;
	return wit_text_resolve(a, l.sources.ptr, l.sources.len, o, ret, e);
}
