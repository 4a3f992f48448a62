// What is given but is no component gets its own sentence.
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli_int.h"
#include "wasm/wasm.h"

static const struct {
	struct slice magic;
	const char *what, *hint;
} not_wasm[] = {
	{SLICE_LIT("\x7f"
			   "ELF"),
		"a compiled artifact (ELF), not a component", "give the .wasm that it was made from: native code is taken from nobody"},
	{SLICE_LIT("PK\x03\x04"), "an archive (zip), not a component", "unpack it and give the .wasm"},
	{SLICE_LIT("\x1f\x8b"), "an archive (gzip), not a component", "unpack it and give the .wasm"},
	{SLICE_LIT("\x28\xb5\x2f\xfd"), "an archive (zstd), not a component", "unpack it and give the .wasm"},
	{SLICE_LIT("#!"), "a script, not a component", "give a .wasm"},
	{SLICE_LIT("<"), "a page (HTML or XML), not a component", "an address that was fetched may have answered with it: fetch the .wasm itself"},
	{SLICE_LIT("version https://git-lfs"), "what Git LFS left in a file's place, not a component", "git lfs pull"},
};

static bool looks_like_reference(struct slice path)
{
	return slice_starts_with(path, SLICE_LIT("oci://")) || slice_starts_with(path, SLICE_LIT("ghcr.io/")) || slice_starts_with(path, SLICE_LIT("docker.io/")) ||
		slice_starts_with(path, SLICE_LIT("https://")) || slice_starts_with(path, SLICE_LIT("http://"));
}

static bool missing_file(const char *path, int errnum, struct err *e)
{
	if (looks_like_reference(slice_str(path))) {
		err_set(e, ERR_ENV, "'%s' is a reference to a registry; those are not served yet", path);
		return err_hint(e, "fetch the component and give the file");
	}
	return err_set_errno(e, errnum, "cannot open '%s'", path);
}

static bool starts_like_wat(struct slice s)
{
	size_t i = 0;
	while (i < s.len && (s.ptr[i] == ' ' || s.ptr[i] == '\n' || s.ptr[i] == '\t' || s.ptr[i] == '\r'))
		i++;
	struct slice rest = slice_sub(s, i, s.len);
	return slice_starts_with(rest, SLICE_LIT("(")) || slice_starts_with(rest, SLICE_LIT(";;"));
}

bool cli_check_head(const char *path, struct slice head, bool modules_too, struct err *e)
{
	if (wasm_is_component(head))
		return true;
	if (wasm_is_module(head)) {
		if (modules_too)
			return true;
		err_set(e, ERR_INVALID, "'%s' is a core module, not a component", path);
		return err_hint(e, "make a component of it: wasm-tools component new %s -o component.wasm", path);
	}
	if (!head.len) {
		err_set(e, ERR_MALFORMED, "'%s' is empty", path);
		return err_hint(e, "what was to write it has failed, or has not come to it yet");
	}
	if (starts_like_wat(head)) {
		err_set(e, ERR_MALFORMED, "'%s' is WebAssembly text, not binary", path);
		return err_hint(e, "translate it first: wasm-tools parse %s -o out.wasm", path);
	}
	for (size_t i = 0; i < ARRAY_LEN(not_wasm); i++)
		if (slice_starts_with(head, not_wasm[i].magic)) {
			err_set(e, ERR_MALFORMED, "'%s' is %s", path, not_wasm[i].what);
			return err_hint(e, "%s", not_wasm[i].hint);
		}
	if (!slice_starts_with(head, SLICE_LIT("\0asm"))) {
		err_set(e, ERR_MALFORMED, "'%s' is not WebAssembly", path);
		return err_hint(e, "a component begins with the bytes 00 61 73 6d 0d 00 01 00");
	}
	return true;  // the decoder says what is wrong with it, and where
}

FILE *cli_open_file(const char *path, struct err *e)
{
	FILE *f = fopen(path, "re");
	struct stat st;
	if (!f) {
		missing_file(path, errno, e);
	} else if (fstat(fileno(f), &st) == 0 && S_ISDIR(st.st_mode)) {
		fclose(f);
		err_set(e, ERR_ENV, "'%s' is a folder", path);
		err_hint(e, "give a .wasm in it");
		return NULL;
	}
	return f;
}

// A pipe is told by its kind: opening one would wait for who writes to it. Of what isn't there whoever opens it says so.
static bool may_be_a_file(const char *path, struct err *e)
{
	struct stat st;
	if (stat(path, &st) != 0 || S_ISREG(st.st_mode))
		return true;
	err_set(e, ERR_ENV, S_ISDIR(st.st_mode) ? "'%s' is a folder" : "'%s' is not a file", path);
	return err_hint(e, S_ISDIR(st.st_mode) ? "tenon up %s serves the component in a folder" : "write what it gives to a file and give that", path);
}

FILE *cli_open_component(const char *path, struct err *e)
{
	return may_be_a_file(path, e) ? cli_open_file(path, e) : NULL;
}

bool cli_check_file(struct serve_service_config *service, bool modules_too, struct err *e)
{
	const char *path = service->path;
	if (!may_be_a_file(path, e))
		return false;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return missing_file(path, errno, e);
	service->file = fd + 1;
	uint8_t head[256];
	ssize_t n = pread(fd, head, sizeof head, 0);
	if (n < 0)
		return err_set_errno(e, errno, "cannot read '%s'", path);
	return cli_check_head(path, slice_of(head, (size_t)n), modules_too || serve_file_has_world(fd), e);
}
