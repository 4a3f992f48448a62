// Versions of a service are replaced while requests run in the old ones: none is lost, and each old version goes with its last user.
#include "harness.h"

enum { CLIENTS = 4 };

static atomic_bool stop;

static void *load(void *target)
{
	while (!atomic_load(&stop))
		ask_once(target);
	return NULL;
}

// ---- what is counted -----------------------------------------------------------------------------------------------------------------

// Of the process.
static unsigned descriptors(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static uint64_t resident_pages(void)
{
	unsigned long long size = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%llu %llu", &size, &resident), 2);
	fclose(f);
	return resident;
}

static void replace(void)
{
	struct err e;
	struct serve_version *v;
	err_clear(&e);
	if (!serve__version_new(&process, &config.service, &v, &e) || !serve__version_make_image(v, &process.threads[0], NULL, &e))
		fail_msg("%s", e.text);
	serve_service_replace(&process.services[0], v);
}

static bool only_one_is_left(void)
{
	for (unsigned i = 0; i < 20000 && process.versions > 1; i++)
		go_round(1);
	const struct serve_version *v = process.services[0].version;
	return process.versions == 1 && v->uses[VERSION_IN_SERVICE] == 1 && v->uses[VERSION_IN_SHARD] == process.n_threads;
}

static unsigned replacements(void)
{
	const char *n = getenv("TENON_REPLACEMENTS");
	return n ? (unsigned)strtoul(n, NULL, 10) : 200;
}

static void versions_are_replaced_under_load_and_no_request_is_lost(void **state)
{
	static const char *const targets[CLIENTS] = {"/", "/delay", "/", "/delay"};  // /delay waits with handles in its instance
	pthread_t threads[CLIENTS];
	uint64_t pages = 0;
	unsigned fds = 0, n = replacements();
	must_open(2);
	atomic_store(&stop, false);
	for (unsigned i = 0; i < CLIENTS; i++)
		threads[i] = start_client(load, targets[i]);
	for (unsigned i = 0; i < n; i++) {
		replace();
		go_round(2);
		if (i == n / 2) {
			pages = resident_pages();
			fds = descriptors();
		}
	}
	uint64_t pages_after = resident_pages();
	unsigned fds_after = descriptors();
	atomic_store(&stop, true);
	for (unsigned i = 0; i < CLIENTS; i++)
		join(threads[i]);
	assert_true(only_one_is_left());
	print_message("%u replacements, %u requests, %llu → %llu pages, %u → %u descriptors\n", n, atomic_load(&answered), (unsigned long long)pages,
		(unsigned long long)pages_after, fds, fds_after);
	assert_int_equal(atomic_load(&failed) + atomic_load(&refused), 0);
	assert_true(atomic_load(&answered) > 0);
	assert_true(fds_after < fds + 64);  // of connections and of versions that end
	assert_true(pages_after < pages + pages / 4 + 4096);
	serve__process_close(&process);
}

static void a_request_ends_in_the_version_that_it_began_in(void **state)
{
	must_open(1);
	struct serve_version *old = process.services[0].version;
	pthread_t thread = start_client(ask_once, "/delay");
	for (unsigned i = 0; i < 5000 && !process.services[0].shards[0].calls; i++)
		go_round(1);
	assert_int_equal(process.services[0].shards[0].calls, 1);
	replace();
	go_round(3);
	assert_ptr_equal(process.services[0].shards[0].version, process.services[0].version);
	assert_int_equal(process.versions, 2);
	assert_int_equal(old->uses[VERSION_IN_SLOT], 1);  // that of the request: the free ones went
	assert_int_equal(old->uses[VERSION_IN_SHARD], 0);
	join(thread);
	assert_true(only_one_is_left());
	assert_int_equal(atomic_load(&answered), 1);
	serve__process_close(&process);
}

static void a_version_that_no_shard_took_up_goes_too(void **state)
{
	must_open(2);
	for (unsigned i = 0; i < 50; i++)
		replace();  // the shards' loops have not gone round, or not as often
	assert_true(only_one_is_left());
	replace();
	serve__process_close(&process);
	assert_int_equal(process.versions, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_ends_in_the_version_that_it_began_in),
		cmocka_unit_test(a_version_that_no_shard_took_up_goes_too),
		cmocka_unit_test(versions_are_replaced_under_load_and_no_request_is_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
