// Each allocation and each system call of a server's life may fail: a start ends with an error, a request gets its 5xx and the next one its answer, a drain
// ends.
#include "harness.h"

typedef void fail_fn(uint64_t n);
static fail_fn *const failures[] = {mem_fail_nth, sys_fail_nth};
static const char *const names[] = {"memory", "system calls"};

static void none(void)
{
	mem_fail_nth(0);
	sys_fail_nth(0);
}

// The first hundred one by one, then in growing steps.
static uint64_t after(uint64_t n)
{
	return n < 100 ? n + 1 : n + n / 16;
}

static unsigned open_descriptors(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

// What is done behind the first answer has some for a moment.
static unsigned left_open(unsigned most)
{
	unsigned n = open_descriptors();
	for (unsigned i = 0; n > most && i < 5000; i++) {
		usleep(2000);
		n = open_descriptors();
	}
	return n;
}

// And leaves neither a port nor a descriptor of another kind (U24).
static void a_start_ends_with_an_error_whatever_fails_U24(void **state)
{
	must_open(1);  // what the process has once is there
	serve__process_close(&process);
	unsigned before = open_descriptors();
	for (size_t k = 0; k < ARRAY_LEN(failures); k++) {
		unsigned refused_starts = 0, in_a_row = 0;
		for (uint64_t n = 1; in_a_row < 3 && n < 100000; n = after(n)) {
			struct err e;
			prepare(1);
			failures[k](n);
			bool ok = open_process(&e);
			none();
			assert_true(ok || e.code != ERR_NONE);
			serve__process_close(&process);
			assert_int_equal(process.versions, 0);
			unsigned now = left_open(before);
			if (now > before)
				fail_msg("%s, the %lluth: %u descriptors, %u before", names[k], (unsigned long long)n, now, before);
			before = now;
			refused_starts += !ok;
			in_a_row = ok ? in_a_row + 1 : 0;
		}
		print_message("%s: %u starts ended with an error\n", names[k], refused_starts);
		assert_true(refused_starts > 0);
	}
}

static void a_request_that_something_fails_for_is_answered_and_so_is_the_next(void **state)
{
	static const char *const targets[] = {"/", "/echo", "/trap", "/grow", "/fill", "/print"};
	prepare(1);
	config.service.limits.cpu = 20 * MILLISECOND;  // /grow does not end by itself
	assert_true(open_process(NULL));
	for (size_t k = 0; k < ARRAY_LEN(failures); k++)
		for (size_t t = 0; t < ARRAY_LEN(targets); t++)
			for (uint64_t n = 1; n < 40; n++) {
				pthread_t thread = start_client(ask_once, targets[t]);
				failures[k](n);
				join(thread);
				none();
				thread = start_client(ask_once, "/");
				unsigned before = atomic_load(&answered);
				join(thread);
				if (atomic_load(&answered) != before + 1)
					fail_msg("%s, the %uth: no answer after %s: %u 5xx, %u none", names[k], (unsigned)n, targets[t], atomic_load(&refused), atomic_load(&failed));
			}
	print_message("%u answered 200, %u 5xx, %u not at all\n", atomic_load(&answered), atomic_load(&refused), atomic_load(&failed));
	serve__process_close(&process);
	assert_int_equal(process.versions, 0);
}

static void a_drain_ends_whatever_fails(void **state)
{
	for (size_t k = 0; k < ARRAY_LEN(failures); k++)
		for (uint64_t n = 1; n < 8; n++) {
			must_open(1);
			pthread_t thread = start_client(ask_once, "/delay");
			for (unsigned i = 0; i < 5000 && !process.services[0]->shards[0].calls; i++)
				go_round(1);
			failures[k](n);
			serve__process_drain(&process);
			for (unsigned i = 0; i < 20000 && !process.threads[0].over; i++)
				go_round(1);
			none();
			assert_true(process.threads[0].over);
			join(thread);
			serve__process_close(&process);
		}
}

// What the table of system calls has for connections: accept fails for want of descriptors or memory, and goes on when there are some again.
static unsigned refusals;
static int64_t refuse_some(int fd, void *addr, uint32_t *len)
{
	static const int why[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};
	return refusals ? -why[--refusals % ARRAY_LEN(why)] : sys_net_real.accept(fd, addr, len);
}

static void connections_are_accepted_again_when_descriptors_come_back(void **state)
{
	must_open(1);
	refusals = 4;
	sys_net.accept = refuse_some;
	pthread_t thread = start_client(ask_once, "/");
	join(thread);
	sys_net = sys_net_real;
	assert_int_equal(refusals, 0);
	assert_int_equal(atomic_load(&answered), 1);
	serve__process_close(&process);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_start_ends_with_an_error_whatever_fails_U24),
		cmocka_unit_test(a_request_that_something_fails_for_is_answered_and_so_is_the_next),
		cmocka_unit_test(a_drain_ends_whatever_fails),
		cmocka_unit_test(connections_are_accepted_again_when_descriptors_come_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
