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

// Commits another version for that share of the requests.
static struct serve_version *commit(struct serve_update u)
{
	struct err e;
	struct serve_version *v;
	err_clear(&e);
	if (!serve__version_new(&process, &config.service, &v, &e) || !serve__version_make_image(v, &process.threads[0], NULL, &e))
		fail_msg("%s", e.text);
	serve_version_commit(process.services[0], v, &u, NULL, NULL);
	return v;
}

static void replace(void)
{
	commit((struct serve_update){.percent = 100});
}

static bool is_alone(const struct serve_version *v)
{
	return process.versions == 1 && v->uses[VERSION_IN_SERVICE] == 1 && v->uses[VERSION_IN_CHOICE] == 1;
}

static bool only_one_is_left(void)
{
	for (unsigned i = 0; i < 20000 && !is_alone(process.services[0]->version); i++)
		go_round(1);
	return is_alone(process.services[0]->version);
}

// What AddressSanitizer keeps of freed memory, 256 MiB unless said, is no growth of ours.
__attribute__((used)) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=16";
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
	struct serve_version *old = process.services[0]->version;
	pthread_t thread = start_client(ask_once, "/delay");
	for (unsigned i = 0; i < 5000 && !process.services[0]->shards[0].calls; i++)
		go_round(1);
	assert_int_equal(process.services[0]->shards[0].calls, 1);
	replace();
	go_round(3);
	assert_ptr_equal(process.services[0]->shards[0].stable->version, process.services[0]->version);
	assert_int_equal(process.versions, 2);
	assert_int_equal(old->uses[VERSION_IN_SLOT], 1);  // that of the request: the free ones went
	assert_int_equal(old->uses[VERSION_IN_CHOICE], 0);
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

// ---- two at once -----------------------------------------------------------------------------------------------------------------------

static struct serve_shard *the_shard(void)
{
	return &process.services[0]->shards[0];
}

static void go_until_taken_up(void)
{
	for (unsigned i = 0; i < 5000 && the_shard()->choice != process.services[0]->choice; i++)
		go_round(1);
	assert_ptr_equal(the_shard()->choice, process.services[0]->choice);
}

static unsigned tried_of(unsigned n, const struct http_request *r)
{
	unsigned tried = 0;
	char cookie[SERVE_COOKIE_MAX];
	for (unsigned i = 0; i < n; i++) {
		tried += serve__choice_tries(the_shard(), r, cookie, sizeof cookie);
		assert_string_equal(cookie, "");
	}
	return tried;
}

static void a_share_of_the_requests_is_exact(void **state)
{
	struct err e = {0};
	struct http_request none = {0};
	must_open(1);
	assert_int_equal(tried_of(1000, &none), 0);
	commit((struct serve_update){.percent = 7});
	go_until_taken_up();
	assert_int_equal(tried_of(100000, &none), 7000);
	assert_true(serve_service_split(process.services[0], 50, NULL, NULL, &e));
	go_until_taken_up();
	assert_int_equal(tried_of(1001, &none), 500);
	assert_true(serve_service_promote(process.services[0], NULL, NULL, &e));
	assert_true(only_one_is_left());
	assert_int_equal(tried_of(1000, &none), 0);
	assert_false(serve_service_split(process.services[0], 50, NULL, NULL, &e));
	err_clear(&e);
	assert_false(serve_service_rollback(process.services[0], NULL, NULL, &e));
	serve__process_close(&process);
}

// With `value` in the field of that name.
static struct http_request with(struct http_field *f, const char *name, const char *value)
{
	*f = (struct http_field){slice_str(name), slice_str(value)};
	return (struct http_request){.fields = f, .field_count = 1};
}

static unsigned known_tried(const char *field, const char *format)
{
	unsigned tried = 0;
	for (unsigned i = 0; i < 1000; i++) {
		char value[64];
		struct http_field f;
		snprintf(value, sizeof value, format, i);
		struct http_request r = with(&f, field, value);
		unsigned n = tried_of(10, &r);
		assert_true(n == 0 || n == 10);  // the same each time
		tried += n == 10;
	}
	return tried;
}

static void who_is_known_gets_the_same_version_again(void **state)
{
	must_open(1);
	commit((struct serve_update){.percent = 30, .header = "x-user"});
	go_until_taken_up();
	unsigned tried = known_tried("X-User", "user %u");
	assert_true(tried > 200 && tried < 400);
	commit((struct serve_update){.percent = 30, .cookie = "v"});
	go_until_taken_up();
	tried = known_tried("cookie", "a=1; v=%u; vv=3");
	assert_true(tried > 200 && tried < 400);
	serve__process_close(&process);
}

static void who_has_no_cookie_yet_gets_one_that_leads_back(void **state)
{
	unsigned tried = 0;
	struct http_request none = {0};
	must_open(1);
	commit((struct serve_update){.percent = 30, .cookie = "v"});
	go_until_taken_up();
	for (unsigned i = 0; i < 1000; i++) {
		char cookie[SERVE_COOKIE_MAX], again[SERVE_COOKIE_MAX];
		struct http_field f;
		bool tries = serve__choice_tries(the_shard(), &none, cookie, sizeof cookie);
		char *end = strchr(cookie, ';');
		assert_non_null(end);
		assert_string_equal(end, "; Path=/; HttpOnly; SameSite=Lax");
		*end = 0;
		assert_int_equal(strncmp(cookie, "v=", 2), 0);
		struct http_request r = with(&f, "cookie", cookie);
		assert_int_equal(serve__choice_tries(the_shard(), &r, again, sizeof again), tries);
		assert_string_equal(again, "");
		tried += tries;
	}
	assert_int_equal(tried, 300);
	serve__process_close(&process);
}

static void a_version_that_is_tried_is_taken_back(void **state)
{
	struct err e = {0};
	must_open(2);
	struct serve_version *first = process.services[0]->version, *second = commit((struct serve_update){.percent = 50});
	assert_ptr_equal(process.services[0]->tried, second);
	assert_true(serve_service_rollback(process.services[0], NULL, NULL, &e));
	assert_true(only_one_is_left());
	assert_ptr_equal(process.services[0]->version, first);
	serve__process_close(&process);
}

static uint64_t taken_back;
static void on_taken_back(void *user, const char *app, const char *component, uint64_t version, const char *why)
{
	assert_string_equal(component, process.services[0]->name);
	assert_non_null(strstr(why, "calls failed"));
	taken_back = version;
}

// /trap traps.
static void a_version_that_fails_comes_back_by_itself(unsigned percent, const char *target, bool is_taken_back)
{
	prepare(1);
	config.process.taken_back = on_taken_back;
	if (!open_process(NULL))
		fail();
	taken_back = 0;
	struct serve_version *first = process.services[0]->version;
	commit((struct serve_update){.percent = percent, .errors = 100, .over_ns = 30 * SECOND});
	for (unsigned i = 0; i < 30; i++)
		join(start_client(ask_once, target));
	for (unsigned i = 0; i < 3000 && is_taken_back && !taken_back; i++)
		go_round(1);
	assert_int_equal(taken_back, is_taken_back ? 2 : 0);
	assert_true((process.services[0]->version == first && !process.services[0]->tried) == is_taken_back);
	if (is_taken_back)
		assert_true(only_one_is_left());
	serve__process_close(&process);
}

static void a_version_that_fails_is_taken_back_by_itself(void **state)
{
	a_version_that_fails_comes_back_by_itself(50, "/trap", true);
	a_version_that_fails_comes_back_by_itself(100, "/trap", true);
	a_version_that_fails_comes_back_by_itself(50, "/", false);
	a_version_that_fails_comes_back_by_itself(100, "/", false);
}

static void on_slow_taken_back(void *user, const char *app, const char *component, uint64_t version, const char *why)
{
	assert_non_null(strstr(why, "10 of 10 calls took longer than 50 ms"));
	taken_back = version;
}

// Nothing of it ends: it has neither failures nor slow calls, but ten that run for too long.
static void a_version_that_hangs_is_taken_back_before_its_calls_end(void **state)
{
	pthread_t clients[10];
	prepare(1);
	config.process.taken_back = on_slow_taken_back;
	if (!open_process(NULL))
		fail();
	taken_back = 0;
	struct serve_version *first = process.services[0]->version;
	commit((struct serve_update){.percent = 100, .p99_ns = 50 * MILLISECOND, .over_ns = 30 * SECOND, .drain_ns = 20 * MILLISECOND});
	for (unsigned i = 0; i < ARRAY_LEN(clients); i++)
		clients[i] = start_client(ask_once, "/sleep");  // longer than the test
	for (unsigned i = 0; i < 60000 && !taken_back; i++)
		go_round(1);
	assert_int_equal(taken_back, 2);
	assert_ptr_equal(process.services[0]->version, first);
	for (unsigned i = 0; i < ARRAY_LEN(clients); i++)
		join(clients[i]);
	assert_true(only_one_is_left());
	serve__process_close(&process);
}

static void what_runs_in_a_version_that_left_is_ended_in_time(void **state)
{
	must_open(1);
	pthread_t thread = start_client(ask_once, "/sleep");  // longer than the test
	for (unsigned i = 0; i < 5000 && !the_shard()->calls; i++)
		go_round(1);
	commit((struct serve_update){.percent = 100, .drain_ns = 20 * MILLISECOND});
	join(thread);
	assert_int_equal(atomic_load(&refused), 1);
	assert_true(only_one_is_left());
	serve__process_close(&process);
}

// ---- prepared --------------------------------------------------------------------------------------------------------------------------

static struct serve_version *prepared;
static char why_not[200];
static bool is_ready;
static void on_ready(void *ctx, struct serve_version *v, const struct err *e)
{
	prepared = v;
	snprintf(why_not, sizeof why_not, "%s", v ? "" : e->text);
	is_ready = true;
}

static void wait_ready(void)
{
	for (unsigned i = 0; i < 60000 && !is_ready; i++)
		go_round(1);
	assert_true(is_ready);
	is_ready = false;
}

static unsigned forgotten;
static void forget(const struct serve_service_config *c)
{
	forgotten++;
}

static void a_version_is_prepared_beside_what_serves(void **state)
{
	static struct serve_service_config next;
	must_open(2);
	next = config.service;
	next.forget = forget;
	forgotten = 0;
	serve_version_prepare(process.services[0], &next, on_ready, NULL);
	join(start_client(ask_once, "/"));
	wait_ready();
	assert_non_null(prepared);
	serve_version_abandon(prepared);
	assert_true(only_one_is_left());
	assert_int_equal(forgotten, 1);
	serve_version_prepare(process.services[0], &next, on_ready, NULL);
	wait_ready();
	serve_version_commit(process.services[0], prepared, &(struct serve_update){.percent = 100}, NULL, NULL);
	assert_true(only_one_is_left());
	assert_ptr_equal(process.services[0]->version, prepared);
	join(start_client(ask_once, "/"));
	assert_int_equal(atomic_load(&answered), 2);
	next.path = "/is/not/there.wasm";
	serve_version_prepare(process.services[0], &next, on_ready, NULL);
	wait_ready();
	assert_null(prepared);
	assert_non_null(strstr(why_not, "/is/not/there.wasm"));
	serve_version_prepare(process.services[0], &config.service, on_ready, NULL);
	serve__process_close(&process);  // one that is on its way is told before
	assert_true(is_ready);
	is_ready = false;
	assert_int_equal(process.versions, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_ends_in_the_version_that_it_began_in),
		cmocka_unit_test(a_version_that_no_shard_took_up_goes_too),
		cmocka_unit_test(a_share_of_the_requests_is_exact),
		cmocka_unit_test(who_is_known_gets_the_same_version_again),
		cmocka_unit_test(who_has_no_cookie_yet_gets_one_that_leads_back),
		cmocka_unit_test(a_version_that_is_tried_is_taken_back),
		cmocka_unit_test(a_version_that_fails_is_taken_back_by_itself),
		cmocka_unit_test(a_version_that_hangs_is_taken_back_before_its_calls_end),
		cmocka_unit_test(what_runs_in_a_version_that_left_is_ended_in_time),
		cmocka_unit_test(a_version_is_prepared_beside_what_serves),
		cmocka_unit_test(versions_are_replaced_under_load_and_no_request_is_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
