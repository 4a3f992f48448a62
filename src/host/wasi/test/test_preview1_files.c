// Preview 1's functions on files and folders: what each refuses, positions, entries by cookie, rights of what is opened.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "preview1_harness.h"

// The guest's folders: 3, to be changed, and 4, only to be read: it is "ro" in the first one.
static char host[] = "/tmp/tenon-preview1-XXXXXX";

static int make_folders(void **state)
{
	char ro[64];
	if (open_process(state) || !mkdtemp(host))
		return -1;
	snprintf(ro, sizeof ro, "%s/ro", host);
	if (mkdir(ro, 0755))
		return -1;
	folders[0] = (struct seam_folder){.name = SLICE_LIT("/"), .fd = sys_open_folder(host), .is_local = true};
	folders[1] = (struct seam_folder){.name = SLICE_LIT("/read"), .fd = sys_open_folder(ro), .read_only = true};
	n_folders = 2;
	return folders[0].fd < 0 || folders[1].fd < 0;
}
static int remove_folders(void **state)
{
	char command[128];
	sys_close(folders[0].fd);
	sys_close(folders[1].fd);
	snprintf(command, sizeof command, "rm -rf '%s'", host);
	return system(command) || close_process(state);
}
static int begin_here(void **state)
{
	return chdir(host) || begin(state);
}
static int end_here(void **state)
{
	return end(state) || system("find . -mindepth 1 ! -path ./ro -delete");
}

enum { RW = P1_RIGHT_FD_READ | P1_RIGHT_FD_WRITE };

static uint64_t text(uint32_t offset, const char *s)
{
	memcpy(at(offset), s, strlen(s));
	return strlen(s);
}
// The descriptor, or 1000 + the errno.
static uint32_t open_at(uint32_t fd, const char *path, uint64_t oflags, uint64_t rights, uint64_t fdflags)
{
	int e = call(path_open, fd, 0, 1024, text(1024, path), oflags, rights, rights, fdflags, 256);
	return e ? 1000 + (uint32_t)e : u32_at(256);
}
static void make(const char *path, const char *content)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
	assert_true(fd >= 0 && write(fd, content, strlen(content)) == (ssize_t)strlen(content));
	close(fd);
}

static void folders_that_were_given_have_their_names(void **state)
{
	gives(P1_SUCCESS, fd_prestat_get, 3, 256);
	assert_int_equal(u32_at(256), 0);
	assert_int_equal(u32_at(260), 1);
	gives(P1_SUCCESS, fd_prestat_get, 4, 256);
	assert_int_equal(u32_at(260), 5);
	gives(P1_NAMETOOLONG, fd_prestat_dir_name, 4, 300, 4);
	gives(P1_SUCCESS, fd_prestat_dir_name, 4, 300, 100);
	assert_memory_equal(at(300), "/read", 6);
	gives(TRAPPED, fd_prestat_dir_name, 4, MEMORY - 4, 5);
	gives(P1_BADF, fd_prestat_get, 5, 256);
	assert_int_equal(open_at(3, "ro", P1_OPEN_DIRECTORY, 0, 0), 5);
	gives(P1_BADF, fd_prestat_get, 5, 256);  // opened, not given
	gives(P1_NOTDIR, fd_prestat_dir_name, 5, 300, 100);
}

static void a_file_is_read_and_written_where_its_position_is(void **state)
{
	uint32_t fd = open_at(3, "f", P1_CREAT, RW, 0);
	assert_int_equal(fd, 5);
	text(600, "abcdefgh");
	IOVS(512, {600, 3}, {603, 0}, {603, 5});
	gives(P1_SUCCESS, fd_write, fd, 512, 3, 256);
	assert_int_equal(u32_at(256), 8);
	gives(P1_SUCCESS, fd_tell, fd, 264);
	assert_int_equal(u64_at(264), 8);
	gives(P1_SUCCESS, fd_seek, fd, (uint64_t)-6, P1_END, 264);
	assert_int_equal(u64_at(264), 2);
	IOVS(512, {700, 2}, {710, 100});
	gives(P1_SUCCESS, fd_read, fd, 512, 2, 256);
	assert_int_equal(u32_at(256), 6);
	assert_memory_equal(at(700), "cd", 3);
	assert_memory_equal(at(710), "efgh", 5);
	gives(P1_SUCCESS, fd_read, fd, 512, 2, 256);
	assert_int_equal(u32_at(256), 0);
	gives(P1_SUCCESS, fd_pread, fd, 512, 1, 4, 256);
	assert_memory_equal(at(700), "ef", 2);
	IOVS(512, {600, 1});
	gives(P1_SUCCESS, fd_pwrite, fd, 512, 1, 9, 256);  // a hole before it
	gives(P1_SUCCESS, fd_filestat_get, fd, 800);
	assert_int_equal(u64_at(800 + 32), 10);
	gives(P1_SUCCESS, fd_tell, fd, 264);
	assert_int_equal(u64_at(264), 8);
}

static void positions_stay_within_what_files_have(void **state)
{
	uint32_t fd = open_at(3, "f", P1_CREAT, RW, 0);
	gives(P1_INVAL, fd_seek, fd, (uint64_t)-1, P1_SET, 264);
	gives(P1_INVAL, fd_seek, fd, (uint64_t)-1, P1_CUR, 264);
	gives(P1_INVAL, fd_seek, fd, 0, 3, 264);
	gives(P1_SUCCESS, fd_seek, fd, INT64_MAX, P1_SET, 264);
	gives(P1_INVAL, fd_seek, fd, 1, P1_CUR, 264);
	IOVS(512, {600, 2});
	assert_int_not_equal(call(fd_write, fd, 512, 1, 256), P1_SUCCESS);
	gives(P1_SUCCESS, fd_read, fd, 512, 0, 256);
	assert_int_not_equal(call(fd_pread, fd, 512, 1, UINT64_MAX, 256), P1_SUCCESS);
	gives(P1_BADF, fd_seek, 3, 0, P1_SET, 264);
	gives(P1_BADF, fd_tell, 3, 264);
}

static void what_is_appended_goes_to_the_end_wherever_the_position_is(void **state)
{
	make("f", "12345");
	uint32_t fd = open_at(3, "f", 0, RW, P1_APPEND);
	IOVS(512, {600, 2});
	text(600, "ab");
	gives(P1_SUCCESS, fd_write, fd, 512, 1, 256);
	gives(P1_SUCCESS, fd_tell, fd, 264);
	assert_int_equal(u64_at(264), 7);
	gives(P1_SUCCESS, fd_fdstat_set_flags, fd, 0);
	gives(P1_SUCCESS, fd_seek, fd, 0, P1_SET, 264);
	gives(P1_SUCCESS, fd_write, fd, 512, 1, 256);
	gives(P1_SUCCESS, fd_pread, fd, 512, 1, 5, 256);
	assert_memory_equal(at(600), "ab", 2);
}

static void more_than_a_piece_is_moved_by_one_call(void **state)
{
	uint32_t fd = open_at(3, "large", P1_CREAT, RW, 0);
	for (uint32_t i = 0; i < 30000; i++)
		memcpy(at(8192 + 4 * i), &i, 4);
	IOVS(512, {8192, 100000}, {108192, 20000});
	gives(P1_SUCCESS, fd_write, fd, 512, 2, 256);
	assert_int_equal(u32_at(256), 120000);
	gives(P1_SUCCESS, fd_seek, fd, 0, P1_SET, 264);
	memset(at(8192), 0, 120000);
	IOVS(512, {8192, 1}, {8193, 119999});
	gives(P1_SUCCESS, fd_read, fd, 512, 2, 256);
	assert_int_equal(u32_at(256), 120000);
	for (uint32_t i = 0; i < 30000; i++)
		assert_int_equal(u32_at(8192 + 4 * i), i);
}

static void a_file_is_what_it_was_opened_for(void **state)
{
	make("f", "12345");
	IOVS(512, {600, 2});
	uint32_t r = open_at(3, "f", 0, P1_RIGHT_FD_READ, 0), w = open_at(3, "f", 0, P1_RIGHT_FD_WRITE, 0), none = open_at(3, "f", 0, 0, 0);
	gives(P1_BADF, fd_write, r, 512, 1, 256);
	gives(P1_BADF, fd_read, w, 512, 1, 256);
	gives(P1_BADF, fd_write, none, 512, 1, 256);
	gives(P1_SUCCESS, fd_fdstat_get, w, 800);
	assert_int_equal(*at(800), P1_REGULAR_FILE);
	assert_true(!(u64_at(808) & P1_RIGHT_FD_READ) && u64_at(808) & P1_RIGHT_FD_WRITE && u64_at(808) & P1_RIGHT_FD_SEEK);
	gives(P1_NOTDIR, path_open, r, 0, 1024, text(1024, "f"), 0, 0, 0, 0, 256);
	gives(P1_NOTDIR, fd_readdir, r, 1024, 100, 0, 256);
	gives(P1_BADF, fd_allocate, r, 0, 10);
	gives(P1_INVAL, fd_advise, r, 0, 10, 6);
	gives(P1_SUCCESS, fd_advise, r, 0, 10, 1);
	gives(P1_SUCCESS, fd_datasync, w);
	gives(P1_SUCCESS, fd_filestat_set_size, w, 2);
	gives(P1_INVAL, fd_filestat_set_size, r, 2);
	gives(P1_BADF, fd_filestat_set_size, 3, 2);
	gives(P1_BADF, fd_advise, 3, 0, 0, 1);
	gives(P1_BADF, fd_allocate, 3, 0, 1);
}

static uint64_t size_of(uint32_t fd)
{
	gives(P1_SUCCESS, fd_filestat_get, fd, 800);
	return u64_at(800 + 32);
}

// What is there stays, and what is within it changes nothing; as with posix_fallocate nothing of nothing is an error.
static void space_is_taken_before_it_is_written_to(void **state)
{
	make("f", "12345");
	uint32_t fd = open_at(3, "f", 0, RW | P1_RIGHT_FD_ALLOCATE, 0);
	uint64_t error = call(fd_allocate, fd, 100, 50);
	if (error == P1_NOTSUP)
		skip();  // the file system can't
	assert_int_equal(error, P1_SUCCESS);
	assert_int_equal(size_of(fd), 150);
	gives(P1_SUCCESS, fd_allocate, fd, 0, 10);
	assert_int_equal(size_of(fd), 150);
	gives(P1_INVAL, fd_allocate, fd, 0, 0);
	gives(P1_INVAL, fd_allocate, fd, UINT64_MAX, 1);
	gives(P1_FBIG, fd_allocate, fd, 1 << 20, INT64_MAX);
	gives(P1_FBIG, fd_allocate, fd, INT64_MAX, INT64_MAX);
	assert_int_equal(size_of(fd), 150);
	IOVS(512, {600, 5});
	gives(P1_SUCCESS, fd_pread, fd, 512, 1, 0, 256);
	assert_memory_equal(at(600), "12345", 5);
}

static void what_a_path_may_not_be_is_told(void **state)
{
	make("f", "");
	assert_int_equal(open_at(3, "none", 0, 0, 0), 1000 + P1_NOENT);
	assert_int_equal(open_at(3, "../f", 0, 0, 0), 1000 + P1_PERM);
	assert_int_equal(open_at(3, "/etc/passwd", 0, 0, 0), 1000 + P1_PERM);
	assert_int_equal(open_at(3, "f\xff", 0, 0, 0), 1000 + P1_ILSEQ);
	assert_int_equal(open_at(3, "f", P1_CREAT | P1_EXCL, 0, 0), 1000 + P1_EXIST);
	assert_int_equal(open_at(3, "f", P1_CREAT | P1_OPEN_DIRECTORY, 0, 0), 1000 + P1_INVAL);
	assert_int_equal(open_at(3, "f", 16, 0, 0), 1000 + P1_INVAL);
	assert_int_equal(open_at(3, "f", 0, 0, 32), 1000 + P1_INVAL);
	gives(P1_INVAL, path_open, 3, 2, 1024, text(1024, "f"), 0, 0, 0, 0, 256);
	memset(at(8192), 'a', 100000);
	gives(P1_NAMETOOLONG, path_open, 3, 0, 8192, 100000, 0, 0, 0, 0, 256);
	gives(P1_NAMETOOLONG, path_create_directory, 3, 8192, 256);
	gives(TRAPPED, path_open, 3, 0, MEMORY - 4, 5, 0, 0, 0, 0, 256);
	gives(TRAPPED, path_unlink_file, 3, 1024, UINT32_MAX);
	gives(TRAPPED, path_rename, 3, 1024, 1, 3, MEMORY, 1);
	gives(P1_BADF, path_rename, 3, 1024, 1, 77, 1024, 1);
	gives(P1_BADF, path_link, 3, 0, 1024, 1, 77, 1024, 1);
	gives(P1_INVAL, path_link, 3, 1, 1024, text(1024, "fg") / 2, 3, 1025, 1);
	gives(P1_INVAL, path_filestat_get, 3, 2, 1024, text(1024, "f"), 800);
	gives(P1_INVAL, path_filestat_set_times, 3, 0, 1024, text(1024, "f"), 1, 1, P1_MTIM | P1_MTIM_NOW);
	gives(P1_INVAL, path_filestat_set_times, 3, 0, 1024, text(1024, "f"), 1, 1, 16);
}

static void nothing_is_changed_in_a_folder_to_be_read(void **state)
{
	make("ro/f", "12345");
	uint64_t n = text(1024, "f");
	text(1100, "g");
	assert_int_equal(open_at(4, "g", P1_CREAT, RW, 0), 1000 + P1_PERM);
	assert_int_equal(open_at(4, "f", 0, RW, 0), 1000 + P1_PERM);
	assert_int_equal(open_at(4, "f", P1_TRUNC, 0, 0), 1000 + P1_PERM);
	gives(P1_PERM, path_unlink_file, 4, 1024, n);
	gives(P1_PERM, path_create_directory, 4, 1100, 1);
	gives(P1_PERM, path_rename, 4, 1024, n, 3, 1100, 1);
	gives(P1_PERM, path_link, 4, 0, 1024, n, 3, 1100, 1);
	make("f", "");
	gives(P1_PERM, path_rename, 3, 1024, n, 4, 1100, 1);  // into it
	gives(P1_PERM, path_link, 3, 0, 1024, n, 4, 1100, 1);
	gives(P1_PERM, path_symlink, 1024, n, 4, 1100, 1);
	gives(P1_PERM, path_filestat_set_times, 4, 0, 1024, n, 1, 1, P1_MTIM);
	uint32_t fd = open_at(4, "f", 0, P1_RIGHT_FD_READ, 0);
	assert_int_equal(fd, 5);
	assert_int_not_equal(call(fd_filestat_set_size, fd, 0), P1_SUCCESS);
	gives(P1_PERM, fd_filestat_set_times, fd, 1, 1, P1_MTIM);
	IOVS(512, {600, 100});
	gives(P1_SUCCESS, fd_read, fd, 512, 1, 256);
	assert_int_equal(u32_at(256), 5);
}

static void times_are_nanoseconds_since_1970(void **state)
{
	make("f", "");
	uint64_t n = text(1024, "f");
	gives(P1_SUCCESS, path_filestat_set_times, 3, 0, 1024, n, 5000000007, 9, P1_ATIM | P1_MTIM);
	gives(P1_SUCCESS, path_filestat_get, 3, 0, 1024, n, 800);
	assert_int_equal(u64_at(840), 5000000007);
	assert_int_equal(u64_at(848), 9);
	uint32_t fd = open_at(3, "f", 0, RW, 0);
	gives(P1_SUCCESS, fd_filestat_set_times, fd, 0, 0, P1_MTIM_NOW);
	gives(P1_SUCCESS, fd_filestat_get, fd, 800);
	assert_int_equal(u64_at(840), 5000000007);
	assert_true(u64_at(848) > UINT64_C(1000000000000000000));
}

// Others may have set any time; what fits no number of nanoseconds is an error, and what lies before 1970 is 0.
static void times_of_others_may_be_extreme_L78(void **state)
{
	static const int64_t seconds[] = {INT64_MIN, -1, 0, 1LL << 33, 18446744073, 18446744074, INT64_MAX};
	uint64_t n = text(1024, "f");
	make("f", "");
	for (size_t i = 0; i < ARRAY_LEN(seconds); i++) {
		struct timespec times[2] = {{0, 0}, {seconds[i], 700000000}};
		struct stat st;
		assert_int_equal(utimensat(AT_FDCWD, "f", times, 0) | stat("f", &st), 0);
		uint64_t s = (uint64_t)st.st_mtim.tv_sec, most = (UINT64_MAX - (uint64_t)st.st_mtim.tv_nsec) / SECOND;
		bool before = st.st_mtim.tv_sec < 0, fits = before || s <= most;
		gives(fits ? P1_SUCCESS : P1_OVERFLOW, path_filestat_get, 3, 0, 1024, n, 800);
		if (fits)
			assert_int_equal(u64_at(848), before ? 0 : s * SECOND + (uint64_t)st.st_mtim.tv_nsec);
	}
	gives(P1_SUCCESS, path_filestat_set_times, 3, 0, 1024, n, UINT64_MAX, UINT64_MAX, P1_ATIM | P1_MTIM);
	gives(P1_SUCCESS, path_filestat_get, 3, 0, 1024, n, 800);
}

// The names, in their order, from a cookie on, with a buffer of `room` bytes; *next: the cookie of the last whole one.
static uint32_t list(uint64_t cookie, uint32_t room, char names_of[][32], uint32_t max, uint64_t *next)
{
	uint32_t n = 0;
	gives(P1_SUCCESS, fd_readdir, 3, 4096, room, cookie, 256);
	uint32_t used = u32_at(256);
	assert_true(used <= room);
	for (uint32_t i = 0; i + 24 <= used && n < max; n++) {
		uint32_t len = u32_at(4096 + i + 16);
		if (i + 24 + len > used)
			break;
		*next = 0;
		memcpy(next, at(4096 + i), 8);
		snprintf(names_of[n], 32, "%.*s", (int)len, (const char *)at(4096 + i + 24));
		i += 24 + len;
	}
	return n;
}

static void entries_are_given_once_each_however_small_the_buffer(void **state)
{
	char path[16], seen[64][32];
	for (int i = 0; i < 40; i++) {
		snprintf(path, sizeof path, "file-%d", i);
		make(path, "");
	}
	for (uint32_t room = 48; room < 300; room += 61) {
		uint32_t n = 0, got;
		uint64_t cookie = 0;
		while ((got = list(cookie, room, seen + n, 64 - n, &cookie)) > 0)
			n += got;
		assert_int_equal(n, 43);  // with ".", ".." and "ro"
		for (uint32_t i = 0; i < n; i++)
			for (uint32_t k = 0; k < i; k++)
				assert_string_not_equal(seen[i], seen[k]);
	}
	gives(P1_SUCCESS, fd_readdir, 3, 4096, 0, 0, 256);
	assert_int_equal(u32_at(256), 0);
	gives(P1_SUCCESS, fd_readdir, 3, 4096, 10, 0, 256);  // part of an entry
	assert_int_equal(u32_at(256), 10);
	gives(P1_SUCCESS, fd_readdir, 3, 4096, 100, UINT64_MAX, 256);  // behind the last one
	assert_int_equal(u32_at(256), 0);
	gives(TRAPPED, fd_readdir, 3, MEMORY - 10, 11, 0, 256);
}

static void a_cookie_leads_back_also_after_the_end(void **state)
{
	char names_of[8][32];
	uint64_t after, end;
	make("a", "");
	make("b", "");
	assert_int_equal(list(0, 1000, names_of, 8, &end), 5);
	list(0, 1000, names_of, 2, &after);
	char third[8][32];
	assert_int_equal(list(after, 1000, third, 8, &end), 3);
	assert_int_equal(list(end, 1000, third, 8, &end), 0);
	assert_int_equal(list(0, 1000, third, 8, &end), 5);
	assert_string_equal(third[0], names_of[0]);
}

static void a_link_is_read_as_far_as_there_is_room(void **state)
{
	uint64_t n = text(1024, "target");
	gives(P1_SUCCESS, path_symlink, 1024, n, 3, 1100, text(1100, "link"));
	gives(P1_SUCCESS, path_readlink, 3, 1100, 4, 1200, 100, 256);
	assert_int_equal(u32_at(256), 6);
	assert_memory_equal(at(1200), "target", 6);
	gives(P1_SUCCESS, path_readlink, 3, 1100, 4, 1300, 3, 256);
	assert_int_equal(u32_at(256), 3);
	assert_memory_equal(at(1300), "tar", 4);
	gives(P1_INVAL, path_readlink, 3, 1024, text(1024, "ro"), 1300, 3, 256);
	gives(P1_SUCCESS, path_filestat_get, 3, 0, 1100, 4, 800);
	assert_int_equal(*at(816), P1_SYMBOLIC_LINK);
	gives(P1_NOENT, path_filestat_get, 3, P1_SYMLINK_FOLLOW, 1100, 4, 800);
}

static void rights_taken_from_a_folder_hold_below_it(void **state)
{
	make("f", "12345");
	gives(P1_SUCCESS, fd_fdstat_get, 3, 800);
	uint64_t base = u64_at(808), below = u64_at(816);
	assert_true(!(base & (P1_RIGHT_FD_SEEK | P1_RIGHT_FD_FILESTAT_SET_SIZE)) && below & P1_RIGHT_FD_SEEK);
	gives(P1_SUCCESS, fd_fdstat_set_rights, 3, base & ~(uint64_t)P1_RIGHT_PATH_UNLINK_FILE, below & ~(uint64_t)P1_RIGHT_FD_SEEK);
	gives(P1_NOTCAPABLE, path_unlink_file, 3, 1024, text(1024, "f"));
	uint32_t fd = open_at(3, "f", 0, RW, 0);
	gives(P1_NOTCAPABLE, fd_seek, fd, 1, P1_SET, 264);
	gives(P1_SUCCESS, fd_tell, fd, 264);
}

static void files_are_given_back_when_the_guest_ends(void **state)
{
	char names_of[8][32];
	uint64_t cookie;
	for (int i = 0; i < 3; i++)
		assert_int_equal(open_at(3, "f", P1_CREAT, RW, 0), 5 + i);
	assert_int_equal(open_at(3, "f", 0, RW, 0), 1000 + P1_MFILE);  // eight descriptors are allowed
	gives(P1_SUCCESS, fd_renumber, 5, 6);
	list(0, 1000, names_of, 8, &cookie);
	assert_int_equal(guest.p->fs->n_open, 3);  // two, and the folder that is being read
	close_guest();
	assert_int_equal(process.files.n, 0);
	open_guest();
}

static void a_folder_that_was_given_is_renumbered_as_any_other_L73(void **state)
{
	make("f", "12345");
	gives(P1_SUCCESS, fd_renumber, 3, 3);
	uint32_t fd = open_at(3, "f", 0, RW, 0);
	assert_int_equal(fd, 5);
	gives(P1_BADF, fd_renumber, 3, 6);
	gives(P1_SUCCESS, fd_renumber, fd, 4);
	gives(P1_BADF, fd_prestat_get, 4, 256);
	gives(P1_BADF, fd_close, fd);
	IOVS(512, {600, 5});
	gives(P1_SUCCESS, fd_read, 4, 512, 1, 256);
	assert_memory_equal(at(600), "12345", 5);
	gives(P1_SUCCESS, fd_renumber, 3, 4);  // the file is closed
	assert_int_equal(guest.p->fs->n_open, 0);
	gives(P1_BADF, path_open, 3, 0, 1024, 1, 0, 0, 0, 0, 256);
	gives(P1_SUCCESS, fd_prestat_get, 4, 256);
	assert_int_equal(open_at(4, "f", 0, RW, 0), 3);
	gives(P1_SUCCESS, fd_renumber, 3, 3);
	gives(P1_SUCCESS, fd_read, 3, 512, 1, 256);
	assert_int_equal(u32_at(256), 5);
}

static void a_file_is_polled_as_ready_with_what_is_behind_its_position(void **state)
{
	make("f", "12345");
	uint32_t fd = open_at(3, "f", 0, RW, 0);
	struct p1_subscription s[] = {{.userdata = 1, .tag = P1_FD_READ, .id = fd}, {.userdata = 2, .tag = P1_FD_WRITE, .id = fd},
		{.userdata = 3, .tag = P1_FD_READ, .id = 3}};
	memcpy(at(2048), s, sizeof s);
	gives(P1_SUCCESS, fd_seek, fd, 2, P1_SET, 264);
	gives(P1_SUCCESS, poll_oneoff, 2048, 4096, 3, 256);
	assert_int_equal(u32_at(256), 3);
	assert_int_equal(u64_at(4096 + 16), 3);
	assert_int_equal(u32_at(4096 + 64 + 8) & 0xffff, P1_BADF);  // a folder
	gives(P1_SUCCESS, fd_seek, fd, 5, P1_SET, 264);
	gives(P1_SUCCESS, poll_oneoff, 2048, 4096, 1, 256);
	assert_int_equal(*at(4096 + 24), P1_HANGUP);
}

// ---- entries for who is told, and descriptors of chores -----------------------------------------------------------------------------------

static unsigned open_descriptors(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static enum wasi_io look_and_wait(struct wasi_fs_names *n, size_t max, int64_t *ret)
{
	enum wasi_io io = wasi__fs_names_look(n, max, ret);
	for (int i = 0; i < 10000 && io == WASI_IO_AGAIN; i++) {
		loop_run_once(loop, SECOND / 100);
		io = wasi__fs_names_look(n, max, ret);
	}
	return io;
}

static void entries_come_a_few_at_a_time_without_a_call_that_waits(void **state)
{
	enum { FILES = 1500 };  // more than are read in one go
	char name[16];
	int why;
	int64_t n;
	unsigned seen = 0, before = open_descriptors();
	for (unsigned i = 0; i < FILES; i++) {
		snprintf(name, sizeof name, "file-%u", i);
		make(name, "");
	}
	struct wasi_fs_descriptor *d = wasi__fs_granted(guest.p->fs, &folders[0]);
	struct wasi_fs_names *list = wasi__fs_names_new(d, loop, &why);
	assert_non_null(list);
	assert_int_equal(guest.p->fs->n_open, 1);
	while (look_and_wait(list, 7, &n) == WASI_IO_OK) {
		assert_in_range(n, 1, 7);
		for (; n; n--) {
			struct sys_entry e = wasi__fs_names_take(list);
			seen += e.type == SYS_FILE_REGULAR;
			assert_true(e.name.len && e.name.ptr[0] != '.');
		}
	}
	assert_int_equal(n, 0);
	assert_int_equal(look_and_wait(list, 7, &n), WASI_IO_CLOSED);
	assert_int_equal(seen, FILES);
	wasi__fs_names_free(list);
	wasi__fs_unref(d);
	assert_int_equal(guest.p->fs->n_open, 0);
	assert_int_equal(open_descriptors(), before);
}

static void an_entry_whose_name_is_no_text_ends_a_list_behind_those_before_it(void **state)
{
	int why;
	int64_t n;
	make("\xff", "");
	struct wasi_fs_descriptor *d = wasi__fs_granted(guest.p->fs, &folders[0]);
	struct wasi_fs_names *list = wasi__fs_names_new(d, loop, &why);
	while (look_and_wait(list, 1, &n) == WASI_IO_OK)
		wasi__fs_names_take(list);
	assert_int_equal(n, -EILSEQ);
	wasi__fs_names_free(list);
	wasi__fs_unref(d);
}

static void a_list_is_one_of_the_files_that_may_be_open(void **state)
{
	int why;
	struct wasi_fs_descriptor *d = wasi__fs_granted(guest.p->fs, &folders[0]);
	guest.grants.max_files = 1;
	struct wasi_fs_names *one = wasi__fs_names_new(d, loop, &why);
	assert_non_null(one);
	assert_null(wasi__fs_names_new(d, loop, &why));
	assert_int_equal(why, -EMFILE);
	wasi__fs_names_free(one);
	wasi__fs_unref(d);
}

static void a_stream_that_writes_many_times_holds_one_descriptor(void **state)
{
	make("f", "");
	uint32_t fd = open_at(3, "f", 0, RW, 0);
	unsigned before = open_descriptors();
	struct wasi_output *out = wasi__fs_output(guest.p->files[fd].fs, loop, 0, false);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(out->ops->write(out, NULL, SLICE_LIT("line\n")), WASI_IO_OK);
		while (out->ops->flush(out) == WASI_IO_AGAIN)
			loop_run_once(loop, SECOND / 100);
	}
	assert_int_equal(open_descriptors(), before);
	wasi__output_unref(out);
	gives(P1_SUCCESS, fd_filestat_get, fd, 2048);
	assert_int_equal(u64_at(2048 + 32), 250);
}

#define HERE(name) cmocka_unit_test_setup_teardown(name, begin_here, end_here)
int main(void)
{
	const struct CMUnitTest tests[] = {
		HERE(folders_that_were_given_have_their_names),
		HERE(a_file_is_read_and_written_where_its_position_is),
		HERE(positions_stay_within_what_files_have),
		HERE(what_is_appended_goes_to_the_end_wherever_the_position_is),
		HERE(more_than_a_piece_is_moved_by_one_call),
		HERE(a_file_is_what_it_was_opened_for),
		HERE(space_is_taken_before_it_is_written_to),
		HERE(what_a_path_may_not_be_is_told),
		HERE(nothing_is_changed_in_a_folder_to_be_read),
		HERE(times_are_nanoseconds_since_1970),
		HERE(times_of_others_may_be_extreme_L78),
		HERE(a_folder_that_was_given_is_renumbered_as_any_other_L73),
		HERE(entries_are_given_once_each_however_small_the_buffer),
		HERE(a_cookie_leads_back_also_after_the_end),
		HERE(a_link_is_read_as_far_as_there_is_room),
		HERE(rights_taken_from_a_folder_hold_below_it),
		HERE(files_are_given_back_when_the_guest_ends),
		HERE(entries_come_a_few_at_a_time_without_a_call_that_waits),
		HERE(an_entry_whose_name_is_no_text_ends_a_list_behind_those_before_it),
		HERE(a_list_is_one_of_the_files_that_may_be_open),
		HERE(a_stream_that_writes_many_times_holds_one_descriptor),
		HERE(a_file_is_polled_as_ready_with_what_is_behind_its_position),
	};
	return cmocka_run_group_tests(tests, make_folders, remove_folders);
}
