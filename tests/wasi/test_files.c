// Files of guests: what is written is read, rights hold whichever way is taken, limits hold, and a slow disk holds up nobody.
// PROGRAM(test_wasi_files, "wasi tier cmocka", "")
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include "puppet.h"
#include "sys/sys.h"

#define FILES "wasi:filesystem/types"
#define D "[method]descriptor."
#define D_IN "[method]input-stream."
#define FS_CODE(name) WASI_FILESYSTEM_TYPES_ERROR_CODE_##name
enum { READ = 1, WRITE = 2, MUTATE = 32, CREATE = 1, FOLDER = 2, EXCLUSIVE = 4, TRUNCATE = 8, FOLLOW = 1 };
enum { STREAM_PIECE = 64 << 10 };  // bytes that an output of a file takes at once

static struct loop *loop;
static struct puppet p;
static struct wasi_process process;
static struct seam_folder folders[2];  // the same folder, once to be read only
static char root[64];

// ---- a slow disk -----------------------------------------------------------------------------------------------------------------------

enum { DELAY_MS = 500 };
static int slow_openat2(int dir, const char *path, const struct open_how *how)
{
	if (how->resolve & RESOLVE_CACHED)
		return -EAGAIN;
	usleep(DELAY_MS * 1000);
	return sys_file_real.openat2(dir, path, how);
}
static int slow_stat(int fd, bool cached, struct sys_stat *ret)
{
	if (!cached)
		usleep(DELAY_MS * 1000);
	return sys_file_real.stat(fd, cached, ret);
}
static int64_t slow_read(int fd, void *into, size_t n, uint64_t offset, bool cached)
{
	if (cached)
		return -EAGAIN;
	usleep(DELAY_MS * 1000);
	return sys_file_real.read(fd, into, n, offset, false);
}
static int64_t slow_write(int fd, const void *from, size_t n, uint64_t offset, bool append)
{
	usleep(DELAY_MS * 1000);
	return sys_file_real.write(fd, from, n, offset, append);
}

// A local file system answers what it can from memory, of a remote one (not `local`) nothing does.
static void be_slow(bool local)
{
	sys_file.openat2 = slow_openat2;
	sys_file.stat = slow_stat;
	sys_file.read = slow_read;
	sys_file.write = slow_write;
	folders[0].is_local = folders[1].is_local = local;
	sys_close(sys_beneath_open(folders[0].fd, ".", SYS_OPEN_LOOK));  // which way of resolution there is has been asked
}

// ---- set up ----------------------------------------------------------------------------------------------------------------------------

static int folder_fd(const char *name)
{
	int fd = open(name, O_RDONLY | O_DIRECTORY);
	assert_true(fd >= 0);
	return fd;
}

static void put_file(const char *name, const char *text)
{
	int fd = openat(folders[0].fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static int open_one(void **s)
{
	static const char *const functions[] = {FILES, "*", "wasi:filesystem/preopens", "get-directories", "wasi:io/streams", "*", "wasi:io/poll", "*", NULL};
	struct err e = {0};
	snprintf(root, sizeof root, "/tmp/tenon-files-XXXXXX");
	assert_non_null(mkdtemp(root));
	folders[0] = (struct seam_folder){SLICE_LIT("/"), folder_fd(root), false, true};
	folders[1] = (struct seam_folder){SLICE_LIT("/ro"), folder_fd(root), true, true};
	assert_true(wasi_process_open(&process, &e));
	p = (struct puppet){.loop = loop, .grants = {.folders = folders, .n_folders = 2}};
	puppet_open(&p, functions);
	p.wasi.process = &process;
	return 0;
}

static int close_one(void **s)
{
	char command[128];
	sys_file = sys_file_real;
	puppet_close(&p);
	wasi_process_close(&process);
	close(folders[0].fd);
	close(folders[1].fd);
	snprintf(command, sizeof command, "rm -rf %s", root);
	return system(command);  // NOLINT(cert-env33-c)
}

static uint32_t granted(int which)
{
	CALL0(&p, "get-directories");
	assert_int_equal(puppet_word(&p, PUPPET_RESULT + 4), 2);
	return puppet_word(&p, puppet_word(&p, PUPPET_RESULT) + 12 * (uint32_t)which);
}

// 0, or the error's code and 1.
static int code_at(uint32_t payload)
{
	return puppet_peek(&p, PUPPET_RESULT) ? (int)puppet_peek(&p, PUPPET_RESULT + payload) + 1 : 0;
}
#define WHY(name) (FS_CODE(name) + 1)

static int outcome(const char *call, uint32_t payload, const uint64_t *args, uint32_t n)
{
	puppet_call(&p, call, args, n);
	return code_at(payload);
}
#define RESULT(call, payload, ...) outcome(D call, payload, WORDS(__VA_ARGS__))

static uint32_t text(uint32_t at, const char *s)
{
	return puppet_poke(&p, at, slice_str(s));
}

static int open_at(uint32_t dir, const char *path, unsigned path_flags, unsigned open_flags, unsigned flags, uint32_t *ret)
{
	int why = RESULT("open-at", 4, dir, path_flags, text(0, path), strlen(path), open_flags, flags);
	*ret = why ? 0 : puppet_word(&p, PUPPET_RESULT + 4);
	return why;
}

static int path_call(const char *call, uint32_t dir, const char *path)
{
	return outcome(call, 1, WORDS(dir, text(0, path), strlen(path)));
}

static int unfinished(const char *call, uint32_t stream, const char *data)
{
	return outcome(call, 4, WORDS(stream, text(0, data), strlen(data)));
}

static int descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

// ---- what files do ---------------------------------------------------------------------------------------------------------------------

static void what_is_written_is_read(void **s)
{
	uint32_t dir = granted(0), f;
	assert_int_equal(open_at(dir, "new", 0, CREATE | EXCLUSIVE, READ | WRITE, &f), 0);
	assert_int_equal(RESULT("write", 8, f, text(0, "hello"), 5, 0), 0);
	assert_int_equal(puppet_word(&p, PUPPET_RESULT + 8), 5);
	assert_int_equal(RESULT("read", 4, f, 100, 1), 0);
	uint32_t at = puppet_word(&p, PUPPET_RESULT + 4);
	assert_int_equal(puppet_word(&p, PUPPET_RESULT + 8), 4);
	assert_int_equal(puppet_peek(&p, at), 'e');
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 12), 0);
	assert_int_equal(RESULT("read", 4, f, 100, 5), 0);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 12), 1);  // the end
	assert_int_equal(RESULT("read", 4, f, 1, UINT64_MAX), WHY(INVALID));
	assert_int_equal(RESULT("set-size", 1, f, 2), 0);
	assert_int_equal(RESULT("stat", 8, f), 0);
	assert_int_equal(puppet_word(&p, PUPPET_RESULT + 8 + 16), 2);
	assert_int_equal(RESULT("sync", 1, f), 0);
	assert_int_equal(RESULT("advise", 1, f, 0, 10, 3), 0);
	assert_int_equal(RESULT("advise", 1, dir, 0, 10, 3), WHY(BAD_DESCRIPTOR));
}

static uint32_t stream_of(const char *call, const uint64_t *args, uint32_t n)
{
	assert_int_equal(outcome(call, 4, args, n), 0);
	return puppet_word(&p, PUPPET_RESULT + 4);
}

static void streams_have_offsets_of_their_own(void **s)
{
	uint32_t dir = granted(0), f;
	put_file("f", "0123456789");
	assert_int_equal(open_at(dir, "f", 0, 0, READ | WRITE, &f), 0);
	uint32_t in = stream_of(D "read-via-stream", WORDS(f, 4)), out = stream_of(D "write-via-stream", WORDS(f, 2)),
			 end = stream_of(D "append-via-stream", WORDS(f));
	assert_int_equal(unfinished("[method]output-stream.blocking-write-and-flush", out, "AB"), 0);
	assert_int_equal(unfinished("[method]output-stream.blocking-write-and-flush", end, "xyz"), 0);
	assert_int_equal(unfinished("[method]output-stream.blocking-write-and-flush", out, "C"), 0);
	assert_int_equal(outcome("[method]input-stream.blocking-read", 4, WORDS(in, 4)), 0);
	assert_int_equal(puppet_peek(&p, puppet_word(&p, PUPPET_RESULT + 4)), 'C');
	assert_int_equal(RESULT("read", 4, f, 100, 0), 0);
	assert_int_equal(puppet_word(&p, PUPPET_RESULT + 8), 13);
	assert_int_equal(RESULT("read-via-stream", 4, dir, 0), WHY(IS_DIRECTORY));
	// what was not flushed is written when the stream goes
	CALL(&p, "[method]output-stream.check-write", end);
	assert_int_equal(unfinished("[method]output-stream.write", end, "last"), 0);
	puppet_drop(&p, &wasi_io_streams_output_stream_resource, end);
	struct stat st = {0};
	for (int i = 0; i < 1000 && st.st_size != 17; i++) {
		loop_run_once(loop, MILLISECOND);
		fstatat(folders[0].fd, "f", &st, 0);
	}
	assert_int_equal(st.st_size, 17);
}

// However much is asked for; at the end it is closed, and says so again.
static void a_read_gives_what_is_there_and_a_piece_at_most_W14(void **s)
{
	enum { SIZE = 3 * STREAM_PIECE + 7 };
	static char data[SIZE + 1];
	uint32_t dir = granted(0), f, got = 0;
	memset(data, 'x', SIZE);
	put_file("f", data);
	assert_int_equal(open_at(dir, "f", 0, 0, READ, &f), 0);
	uint32_t in = stream_of(D "read-via-stream", WORDS(f, 0)), ready = (uint32_t)CALL(&p, "[method]input-stream.subscribe", in);
	CALL(&p, "[method]input-stream.read", in, 0);
	assert_true(code_at(4) == 0 && puppet_word(&p, PUPPET_RESULT + 8) == 0);
	while (outcome(D_IN "blocking-read", 4, WORDS(in, UINT64_MAX)) == 0) {
		uint32_t n = puppet_word(&p, PUPPET_RESULT + 8);
		assert_true(n > 0 && n <= STREAM_PIECE);
		got += n;
	}
	assert_int_equal(got, SIZE);
	static const char *const reads[] = {D_IN "blocking-read", D_IN "read", D_IN "skip"};
	for (size_t i = 0; i < ARRAY_LEN(reads); i++) {
		assert_int_equal(CALL(&p, "[method]pollable.ready", ready), 1);
		CALL(&p, reads[i], in, UINT64_MAX);
		uint32_t why = i == 2 ? 8 : 4;  // behind a u64
		assert_true(puppet_peek(&p, PUPPET_RESULT) == 1 && puppet_peek(&p, PUPPET_RESULT + why) == WASI_IO_STREAMS_STREAM_ERROR_CLOSED);
	}
}

static void what_a_splice_has_written_is_not_permitted_again(void **s)
{
	uint32_t dir = granted(0), f;
	assert_int_equal(open_at(dir, "f", 0, CREATE, READ | WRITE, &f), 0);
	assert_int_equal(RESULT("set-size", 1, f, 2 * STREAM_PIECE), 0);
	uint32_t in = stream_of(D "read-via-stream", WORDS(f, 0)), out = stream_of(D "append-via-stream", WORDS(f));
	CALL(&p, "[method]output-stream.check-write", out);
	assert_int_equal(puppet_word(&p, PUPPET_RESULT + 8), STREAM_PIECE);
	CALL(&p, "[method]output-stream.splice", out, in, STREAM_PIECE);
	assert_int_equal(puppet_word(&p, PUPPET_RESULT + 8), STREAM_PIECE);
	TRAPS(&p, TRAP_HOST, "check-write permits 0", "[method]output-stream.write", out, PUPPET_HEAP, STREAM_PIECE);
}

static uint64_t number_at(uint32_t at)
{
	return puppet_word(&p, at) | (uint64_t)puppet_word(&p, at + 4) << 32;
}

struct hash {
	uint64_t low, high;
};

static struct hash hash_of(const char *call, const uint64_t *args, uint32_t n)
{
	assert_int_equal(outcome(call, 8, args, n), 0);
	return (struct hash){number_at(PUPPET_RESULT + 8), number_at(PUPPET_RESULT + 16)};
}

// Guests take it for the number of an inode.
static void a_hash_is_that_of_the_file_whatever_it_is_called_W22(void **s)
{
	uint32_t dir = granted(0), f, again, g;
	put_file("f", "text");
	put_file("g", "text");
	assert_int_equal(open_at(dir, "f", 0, 0, READ | WRITE, &f), 0);
	assert_int_equal(open_at(dir, "f", 0, 0, READ, &again), 0);
	assert_int_equal(open_at(dir, "g", 0, 0, READ, &g), 0);
	struct hash one = hash_of(D "metadata-hash", WORDS(f)), other = hash_of(D "metadata-hash", WORDS(g)), of_dir = hash_of(D "metadata-hash", WORDS(dir));
	assert_true(one.low && one.high && one.low != one.high);
	assert_true(one.low != other.low && one.high != other.high && one.low != of_dir.low && one.high != of_dir.high);
	assert_int_equal(RESULT("write", 8, f, text(0, "more"), 4, 4), 0);
	assert_int_equal(renameat(folders[0].fd, "f", folders[0].fd, "h"), 0);
	struct hash same = hash_of(D "metadata-hash", WORDS(again)), named = hash_of(D "metadata-hash-at", WORDS(granted(1), 0, text(0, "h"), 1));
	assert_memory_equal(&same, &one, sizeof one);
	assert_memory_equal(&named, &one, sizeof one);
	named = hash_of(D "metadata-hash-at", WORDS(dir, 0, text(0, "."), 1));
	assert_memory_equal(&named, &of_dir, sizeof of_dir);
	canon_instance_free(p.instance);
	puppet_restart(&p);
	named = hash_of(D "metadata-hash-at", WORDS(granted(0), 0, text(0, "h"), 1));
	assert_memory_equal(&named, &one, sizeof one);
}

// What was set from outside or by the guest, in any 64 bits.
static void times_of_files_may_be_extreme_L78(void **s)
{
	static const int64_t seconds[] = {INT64_MIN, -1, 0, 1LL << 31, 1LL << 34, INT64_MAX};
	uint32_t dir = granted(0), f;
	put_file("f", "text");
	assert_int_equal(open_at(dir, "f", 0, 0, READ | WRITE, &f), 0);
	for (size_t i = 0; i < 2 * ARRAY_LEN(seconds); i++) {
		int64_t at = seconds[i / 2];
		struct timespec times[2] = {{at, 999999999}, {at, 999999999}};
		struct stat st;
		if (i % 2 == 0)
			assert_int_equal(utimensat(folders[0].fd, "f", times, 0), 0);
		else if (at >= 0)
			assert_int_equal(RESULT("set-times", 1, f, 2, (uint64_t)at, 999999999, 2, (uint64_t)at, 999999999), 0);
		assert_int_equal(fstatat(folders[0].fd, "f", &st, 0), 0);  // as far as the file system has it
		assert_int_equal(RESULT("stat", 8, f), 0);
		bool is_told = puppet_peek(&p, PUPPET_RESULT + 8 + 48);
		assert_int_equal(is_told, st.st_mtim.tv_sec >= 0);
		if (is_told) {
			assert_int_equal(number_at(PUPPET_RESULT + 8 + 56), st.st_mtim.tv_sec);
			assert_int_equal(puppet_word(&p, PUPPET_RESULT + 8 + 64), st.st_mtim.tv_nsec);
		}
	}
	static const uint64_t none[][2] = {{UINT64_MAX, 0}, {1ull << 63, 0}, {0, 1000000000}, {0, SYS_TIME_NOW}, {0, SYS_TIME_KEEP}, {0, UINT32_MAX}};
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		assert_int_equal(RESULT("set-times", 1, f, 2, none[i][0], none[i][1], 0, 0, 0), WHY(INVALID));
}

static void each_asking_gives_folders_of_its_own_W5(void **s)
{
	uint32_t one = granted(0), other = granted(0);
	assert_int_not_equal(one, other);
	puppet_drop(&p, &wasi_filesystem_types_descriptor_resource, one);
	assert_int_equal(RESULT("get-type", 1, other), 0);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 1), SYS_FILE_FOLDER);
}

static void a_list_has_what_is_there(void **s)
{
	uint32_t dir = granted(0), n = 0;
	for (int i = 0; i < 300; i++) {
		char name[16];
		snprintf(name, sizeof name, "file-%d", i);
		put_file(name, "");
	}
	assert_int_equal(RESULT("read-directory", 4, dir), 0);
	uint32_t list = puppet_word(&p, PUPPET_RESULT + 4);
	for (; n < 1000; n++) {
		assert_int_equal(outcome("[method]directory-entry-stream.read-directory-entry", 4, WORDS(list)), 0);
		if (!puppet_peek(&p, PUPPET_RESULT + 4))
			break;
		assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 8), SYS_FILE_REGULAR);
	}
	assert_int_equal(n, 300);
}

// ---- rights ----------------------------------------------------------------------------------------------------------------------------

static void nothing_beneath_a_folder_to_be_read_is_changed(void **s)
{
	uint32_t rw = granted(0), ro = granted(1), f, sub;
	put_file("f", "text");
	mkdirat(folders[0].fd, "sub", 0700);
	assert_int_equal(open_at(ro, "f", 0, 0, READ, &f), 0);
	assert_int_equal(open_at(ro, "sub", 0, FOLDER, READ, &sub), 0);
	uint32_t none;
	const uint32_t dirs[] = {ro, sub};
	for (int i = 0; i < 2; i++) {
		uint32_t d = dirs[i];
		assert_int_equal(open_at(d, "f", 0, 0, READ | WRITE, &none), WHY(NOT_PERMITTED));
		assert_int_equal(open_at(d, "f", 0, TRUNCATE, READ, &none), WHY(NOT_PERMITTED));
		assert_int_equal(open_at(d, "new", 0, CREATE, READ, &none), WHY(NOT_PERMITTED));
		assert_int_equal(open_at(d, "f", 0, 0, READ | MUTATE, &none), WHY(NOT_PERMITTED));
		assert_int_equal(path_call(D "create-directory-at", d, "x"), WHY(NOT_PERMITTED));
		assert_int_equal(path_call(D "remove-directory-at", d, "x"), WHY(NOT_PERMITTED));
		assert_int_equal(path_call(D "unlink-file-at", d, "f"), WHY(NOT_PERMITTED));
		assert_int_equal(RESULT("symlink-at", 1, d, text(0, "f"), 1, text(8, "l"), 1), WHY(NOT_PERMITTED));
		assert_int_equal(RESULT("set-times-at", 1, d, 0, text(0, "f"), 1, 1, 0, 0, 1, 0, 0), WHY(NOT_PERMITTED));
		assert_int_equal(RESULT("set-times", 1, d, 1, 0, 0, 1, 0, 0), WHY(NOT_PERMITTED));
		assert_int_equal(RESULT("link-at", 1, d, 0, text(0, "f"), 1, rw, text(8, "linked"), 6), WHY(NOT_PERMITTED));
		assert_int_equal(RESULT("link-at", 1, rw, 0, text(0, "f"), 1, d, text(8, "linked"), 6), WHY(NOT_PERMITTED));
		assert_int_equal(RESULT("rename-at", 1, d, text(0, "f"), 1, rw, text(8, "moved"), 5), WHY(NOT_PERMITTED));
		assert_int_equal(RESULT("rename-at", 1, rw, text(0, "f"), 1, d, text(8, "moved"), 5), WHY(NOT_PERMITTED));
	}
	assert_int_equal(RESULT("set-size", 1, f, 0), WHY(NOT_PERMITTED));
	assert_int_equal(RESULT("set-times", 1, f, 1, 0, 0, 1, 0, 0), WHY(NOT_PERMITTED));
	assert_int_equal(RESULT("write", 8, f, text(0, "x"), 1, 0), WHY(NOT_PERMITTED));
	assert_int_equal(RESULT("write-via-stream", 4, f, 0), WHY(NOT_PERMITTED));
	assert_int_equal(RESULT("append-via-stream", 4, f), WHY(NOT_PERMITTED));
	assert_int_equal(RESULT("get-flags", 1, ro), 0);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 1), READ);
	struct stat st;
	assert_int_equal(fstatat(folders[0].fd, "f", &st, 0), 0);
	assert_int_equal(st.st_size, 4);
	assert_int_equal(st.st_nlink, 1);
}

static void what_is_neither_file_nor_folder_is_not_opened_and_nothing_waits(void **s)
{
	uint32_t dir = granted(0), f;
	assert_int_equal(mkfifoat(folders[0].fd, "fifo", 0600), 0);
	assert_int_equal(open_at(dir, "fifo", 0, 0, READ, &f), WHY(UNSUPPORTED));
	assert_int_equal(open_at(dir, "fifo", 0, 0, READ | WRITE, &f), WHY(UNSUPPORTED));
	assert_int_equal(open_at(dir, "fifo", 0, 0, WRITE, &f), WHY(NO_SUCH_DEVICE));
	assert_int_equal(RESULT("stat-at", 8, dir, 0, text(0, "fifo"), 4), 0);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 8), SYS_FILE_FIFO);
}

static void paths_that_can_not_be_are_refused(void **s)
{
	uint32_t dir = granted(0), f;
	assert_int_equal(open_at(dir, "", 0, 0, READ, &f), WHY(NO_ENTRY));
	assert_int_equal(open_at(dir, "..", 0, 0, READ, &f), WHY(NOT_PERMITTED));
	assert_int_equal(open_at(dir, "/etc/passwd", 0, 0, READ, &f), WHY(NOT_PERMITTED));
	assert_int_equal(RESULT("open-at", 4, dir, 0, puppet_poke(&p, 0, slice_of("f\0g", 3)), 3, 0, READ), WHY(INVALID));
	assert_int_equal(open_at(dir, "x", 0, CREATE | FOLDER, READ, &f), WHY(INVALID));
	assert_int_equal(RESULT("symlink-at", 1, dir, text(0, "/etc"), 4, text(8, "l"), 1), WHY(NOT_PERMITTED));
	assert_int_equal(symlinkat("/etc/passwd", folders[0].fd, "absolute"), 0);
	assert_int_equal(RESULT("readlink-at", 4, dir, text(0, "absolute"), 8), WHY(NOT_PERMITTED));
	assert_int_equal(RESULT("link-at", 1, dir, FOLLOW, text(0, "absolute"), 8, dir, text(16, "l"), 1), WHY(INVALID));
}

// ---- limits ----------------------------------------------------------------------------------------------------------------------------

static void open_files_and_sizes_have_limits(void **s)
{
	uint32_t dir = granted(0), f, g, h;
	p.grants.max_files = 2;
	p.grants.max_file_size = 10;
	assert_int_equal(open_at(dir, "f", 0, CREATE, READ | WRITE, &f), 0);
	assert_int_equal(open_at(dir, "g", 0, CREATE, READ | WRITE, &g), 0);
	assert_int_equal(open_at(dir, "f", 0, 0, READ, &h), WHY(INSUFFICIENT_MEMORY));
	puppet_drop(&p, &wasi_filesystem_types_descriptor_resource, g);
	assert_int_equal(open_at(dir, "f", 0, 0, READ, &h), 0);
	assert_int_equal(RESULT("write", 8, f, text(0, "0123456789ab"), 12, 0), 0);
	assert_int_equal(puppet_word(&p, PUPPET_RESULT + 8), 10);
	assert_int_equal(RESULT("write", 8, f, text(0, "x"), 1, 10), WHY(FILE_TOO_LARGE));
	assert_int_equal(RESULT("set-size", 1, f, 11), WHY(FILE_TOO_LARGE));
	assert_int_equal(RESULT("set-size", 1, f, 10), 0);
	uint32_t end = stream_of(D "append-via-stream", WORDS(f));
	assert_int_equal(unfinished("[method]output-stream.blocking-write-and-flush", end, "x"), 1);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 4), 0);  // last-operation-failed
	CALL(&p, "filesystem-error-code", puppet_word(&p, PUPPET_RESULT + 8));
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 1), FS_CODE(FILE_TOO_LARGE));
}

static void of_all_guests_together_files_have_a_limit_too(void **s)
{
	uint32_t dir = granted(0), f, g;
	process.max_files = 1;
	assert_int_equal(open_at(dir, "f", 0, CREATE, READ | WRITE, &f), 0);
	assert_int_equal(open_at(dir, "g", 0, CREATE, READ | WRITE, &g), WHY(INSUFFICIENT_MEMORY));
	puppet_drop(&p, &wasi_filesystem_types_descriptor_resource, f);
	assert_int_equal(open_at(dir, "g", 0, CREATE, READ | WRITE, &g), 0);
}

// ---- a slow disk -----------------------------------------------------------------------------------------------------------------------

// Runs the call; how long the loop was held up at most, in ms.
static uint64_t longest_gap(const char *call, const uint64_t *args, uint32_t n, uint64_t *ret_all)
{
	uint64_t longest = 0, began = sys_now_ns(), last = began;
	puppet_set(&p, call, args, n);
	puppet_begin(&p);
	while (!p.done && sys_now_ns() - began < 60 * SECOND) {
		loop_run_once(loop, MILLISECOND);
		uint64_t now = sys_now_ns();
		longest = max_u64(longest, now - last);
		last = now;
	}
	assert_true(p.done && p.ok);
	*ret_all = (last - began) / MILLISECOND;
	return longest / MILLISECOND;
}

static void a_slow_disk_holds_up_no_other_call(void **s)
{
	put_file("f", "text");
	for (int local = 0; local < 2; local++) {
		be_slow(local);
		uint64_t all;
		uint32_t dir = granted(0), path = text(0, "f");
		assert_true(longest_gap(D "open-at", WORDS(dir, 0, path, 1, 0, READ | WRITE), &all) < DELAY_MS / 2);
		assert_true(all >= DELAY_MS && code_at(4) == 0);
		uint32_t f = puppet_word(&p, PUPPET_RESULT + 4);
		assert_true(longest_gap(D "stat", WORDS(f), &all) < DELAY_MS / 2 && (local || all >= DELAY_MS));
		assert_true(longest_gap(D "stat-at", WORDS(dir, 0, path, 1), &all) < DELAY_MS / 2 && all >= DELAY_MS);
		assert_true(longest_gap(D "read", WORDS(f, 10, 0), &all) < DELAY_MS / 2 && all >= DELAY_MS);
		assert_true(longest_gap(D "write", WORDS(f, path, 1, 0), &all) < DELAY_MS / 2 && all >= DELAY_MS);
		uint32_t in = stream_of(D "read-via-stream", WORDS(f, 0));
		assert_true(longest_gap("[method]input-stream.blocking-read", WORDS(in, 10), &all) < DELAY_MS / 2 && all >= DELAY_MS);
		assert_int_equal(code_at(4), 0);
	}
}

static void after_a_flush_nothing_is_permitted_until_it_is_done_W12(void **s)
{
	put_file("f", "");
	be_slow(false);
	uint32_t dir = granted(0), f;
	assert_int_equal(open_at(dir, "f", 0, 0, READ | WRITE, &f), 0);
	uint32_t out = stream_of(D "append-via-stream", WORDS(f)), ready = (uint32_t)CALL(&p, "[method]output-stream.subscribe", out);
	CALL(&p, "[method]output-stream.check-write", out);
	assert_true(puppet_peek(&p, PUPPET_RESULT) == 0 && puppet_word(&p, PUPPET_RESULT + 8) >= 4096);
	assert_int_equal(unfinished("[method]output-stream.write", out, "text"), 0);
	assert_int_equal(outcome("[method]output-stream.flush", 4, WORDS(out)), 0);
	CALL(&p, "[method]output-stream.check-write", out);
	assert_true(puppet_peek(&p, PUPPET_RESULT) == 0 && puppet_word(&p, PUPPET_RESULT + 8) == 0);
	assert_int_equal(CALL(&p, "[method]pollable.ready", ready), 0);
	CALL(&p, "[method]pollable.block", ready);
	struct stat st;
	assert_true(fstatat(folders[0].fd, "f", &st, 0) == 0 && st.st_size == 4);
	CALL(&p, "[method]output-stream.check-write", out);
	assert_true(puppet_peek(&p, PUPPET_RESULT) == 0 && puppet_word(&p, PUPPET_RESULT + 8) >= 4096);
}

static void a_call_that_is_killed_does_not_wait_for_the_disk(void **s)
{
	put_file("f", "text");
	be_slow(false);
	uint32_t dir = granted(0);
	int before = descriptors();
	uint32_t path = text(0, "f");
	for (int i = 0; i < 3; i++) {
		uint64_t began = sys_now_ns();
		puppet_set(&p, D "open-at", WORDS(dir, 0, path, 1, 0, READ));
		puppet_begin(&p);
		loop_run_once(loop, 20 * MILLISECOND);
		seam_task_kill(p.task, TRAP_DEADLINE);
		while (!p.done)
			loop_run_once(loop, MILLISECOND);
		assert_int_equal(p.trap.trap, TRAP_DEADLINE);
		assert_true(sys_now_ns() - began < DELAY_MS * MILLISECOND);
		canon_instance_free(p.instance);  // the thread is within the open
		puppet_restart(&p);
		dir = granted(0);
		path = text(0, "f");
	}
	for (int i = 0; i < 100 && descriptors() > before; i++)
		usleep(50000);
	assert_int_equal(descriptors(), before);
}

static int setup(void **s)
{
	struct err e = {0};
	return vm_process_init(&e) && vm_shard_new(&shard, &e) && loop_new(&loop, &e) ? 0 : -1;
}

static int teardown(void **s)
{
	vm_shard_free(shard);
	loop_free(loop);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_one, close_one)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_written_is_read),
		TEST(streams_have_offsets_of_their_own),
		TEST(a_read_gives_what_is_there_and_a_piece_at_most_W14),
		TEST(what_a_splice_has_written_is_not_permitted_again),
		TEST(a_hash_is_that_of_the_file_whatever_it_is_called_W22),
		TEST(times_of_files_may_be_extreme_L78),
		TEST(each_asking_gives_folders_of_its_own_W5),
		TEST(a_list_has_what_is_there),
		TEST(nothing_beneath_a_folder_to_be_read_is_changed),
		TEST(what_is_neither_file_nor_folder_is_not_opened_and_nothing_waits),
		TEST(paths_that_can_not_be_are_refused),
		TEST(open_files_and_sizes_have_limits),
		TEST(of_all_guests_together_files_have_a_limit_too),
		TEST(a_slow_disk_holds_up_no_other_call),
		TEST(after_a_flush_nothing_is_permitted_until_it_is_done_W12),
		TEST(a_call_that_is_killed_does_not_wait_for_the_disk),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
