// Files that nobody else writes to, told from those that somebody may.
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../sys.h"

static char path[64];
static int fd;

// A file of ours, and a descriptor that reads it.
static int make(void **state UNUSED)
{
	snprintf(path, sizeof path, "/tmp/tenon-private-XXXXXX");
	int made = mkstemp(path);
	assert_int_equal(write(made, "bytes", 5), 5);
	close(made);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -1 : 0;
}

static int clear(void **state UNUSED)
{
	close(fd);
	return unlink(path);
}

static void only_we_write_by_owner_and_mode(void **state UNUSED)
{
	static const struct {
		mode_t mode;
		bool ours;
	} modes[] = {{0600, true}, {0444, true}, {0644, true}, {0640, true}, {0664, false}, {0620, false}, {0602, false}, {0666, false}};
	for (unsigned i = 0; i < ARRAY_LEN(modes); i++) {
		assert_int_equal(chmod(path, modes[i].mode), 0);
		assert_int_equal(sys_only_we_write(fd), modes[i].ours);
	}
	assert_false(sys_only_we_write(-1));
}

static void nor_on_a_file_system_that_is_not_this_machines(void **state UNUSED)
{
	int other = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	assert_true(other >= 0);
	assert_false(sys_only_we_write(other));
	close(other);
}

static void one_of_another_user_is_not_ours(void **state UNUSED)
{
	if (geteuid() != 0) {
		print_message("skipped: only root gives files away\n");
		skip();
	}
	assert_int_equal(chown(path, 65534, 65534), 0);
	assert_false(sys_only_we_write(fd));
	assert_int_equal(chown(path, 0, 0), 0);
	assert_true(sys_only_we_write(fd));
}

static void who_was_let_before_shows(void **state UNUSED)
{
	int writer = open(path, O_RDWR | O_CLOEXEC);
	assert_false(sys_only_we_write(fd));
	uint8_t *at = mmap(NULL, SYS_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, writer, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	close(writer);
	assert_false(sys_only_we_write(fd));
	munmap(at, SYS_PAGE);
	assert_true(sys_only_we_write(fd));
}

// Nothing is left of the question: who opens it for writing then neither waits nor is heard of.
static void the_file_is_left_as_it_was(void **state UNUSED)
{
	assert_true(sys_only_we_write(fd));
	assert_int_equal(fcntl(fd, F_GETLEASE), F_UNLCK);
	assert_int_equal(fcntl(fd, F_GETSIG), 0);
	int writer = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(writer >= 0);
	close(writer);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make, clear)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(only_we_write_by_owner_and_mode),
		TEST(nor_on_a_file_system_that_is_not_this_machines),
		TEST(one_of_another_user_is_not_ours),
		TEST(who_was_let_before_shows),
		TEST(the_file_is_left_as_it_was),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
