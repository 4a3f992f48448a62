// Several components behind one listener: each request goes to who its route names, and what no route is for gets an answer of our own.
#include "harness.h"

static const char *addresses[] = {"127.0.0.1:0"};
static const char *get_only[] = {"GET"};
static struct serve_service_config services[2];
static struct serve_route_config routes[8];
static struct serve_app_config app;
static struct serve_setup two;

static struct serve_route_config *add_route(const char *pattern, const char *service)
{
	struct serve_route_config *r = &routes[app.routes.len++];
	*r = (struct serve_route_config){.pattern = pattern, .service = service};
	return r;
}

static void open_two(unsigned shards)
{
	struct err e;
	prepare(shards);
	err_clear(&e);
	services[0] = services[1] = config.service;
	services[0].name = "one";
	services[1].name = "two";
	app = (struct serve_app_config){.name = "both", .services = {.ptr = services, .len = 2}, .routes.ptr = routes};
	config.listener.addresses.ptr = addresses;
	two = (struct serve_setup){&config.process, &config.listener, 1, &app, 1};
	add_route("/one/...", "one");
	add_route("/two/:id", "two");
	add_route("/only", "one")->methods = (__typeof__(routes[0].methods)){.ptr = get_only, .len = 1};
	struct serve_route_config *fixed = add_route("/fixed", NULL), *moved = add_route("/moved", NULL);
	static struct http_field location = {SLICE_LIT("location"), SLICE_LIT("/fixed")};
	fixed->status = 203;
	fixed->body = SLICE_LIT("fixed");
	moved->status = 308;
	moved->fields.ptr = &location;
	moved->fields.len = 1;
}

static void must_open_two(unsigned shards)
{
	struct err e;
	open_two(shards);
	err_clear(&e);
	if (!serve__process_open(&process, &two, &e))
		fail_msg("%s", e.text);
}

// The whole answer to a request on a connection of its own, while the loop goes round.
static char answer[4096];
static void *ask_whole(void *request)
{
	int fd = connect_to_it();
	size_t n = 0;
	ssize_t r = 1;
	assert_true(fd >= 0 && send(fd, request, strlen(request), MSG_NOSIGNAL) > 0);
	while (r > 0 && n < sizeof answer - 1) {
		r = recv(fd, answer + n, sizeof answer - 1 - n, 0);
		n += r > 0 ? (size_t)r : 0;
	}
	answer[n] = 0;
	close(fd);
	return NULL;
}

static const char *request(const char *method, const char *target)
{
	static char text[1024];
	snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", method, target);
	join(start_client(ask_whole, text));
	return answer;
}

static uint64_t answered_by(unsigned service)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < process.n_threads; i++)
		n += process.services[service]->shards[i].request_count;
	return n;
}

static void each_request_goes_to_who_its_route_names(void **state)
{
	must_open_two(2);
	assert_non_null(strstr(request("GET", "/one/a/b"), "200 OK"));
	assert_non_null(strstr(request("GET", "/one"), "200 OK"));
	assert_int_equal(answered_by(0), 2);
	assert_int_equal(answered_by(1), 0);
	assert_non_null(strstr(request("GET", "/one/../two/7"), "200 OK"));
	assert_int_equal(answered_by(1), 1);
	assert_non_null(strstr(request("GET", "/two%2F7"), "200 OK"));
	assert_int_equal(answered_by(1), 2);
	serve__process_close(&process);
}

// Whichever thread accepts: a connection moves with what was read of it.
static void one_that_is_kept_answers_on_the_keepers_thread_alone(void **state)
{
	struct err e;
	open_two(3);
	err_clear(&e);
	services[1].policy = SERVE_KEEP;
	if (!serve__process_open(&process, &two, &e))
		fail_msg("%s", e.text);
	for (unsigned i = 0; i < 24; i++) {
		assert_non_null(strstr(request("GET", "/two/7"), "200 OK"));
		assert_non_null(strstr(request("GET", "/one"), "200 OK"));
	}
	const struct serve_service *one = process.services[0], *kept = process.services[1];
	assert_int_equal(kept->shards[SERVE_KEEPER].request_count, 24);
	assert_int_equal(kept->shards[SERVE_KEEPER].slots, 1);
	assert_int_equal(kept->shards[1].request_count + kept->shards[2].request_count, 0);
	assert_int_equal(answered_by(0), 24);
	assert_true(one->shards[SERVE_KEEPER].request_count < 24);  // the others stay where they came
	serve__process_close(&process);
}

static void what_no_route_is_for_gets_an_answer_of_our_own(void **state)
{
	must_open_two(1);
	assert_non_null(strstr(request("GET", "/two"), "404 Not Found"));
	assert_non_null(strstr(request("POST", "/only"), "405 Method Not Allowed"));
	assert_non_null(strstr(request("POST", "/only"), "allow: GET"));
	assert_non_null(strstr(request("HEAD", "/only"), "200 OK"));
	assert_non_null(strstr(request("GET", "/fixed"), "203 "));
	assert_non_null(strstr(request("GET", "/fixed"), "\r\n\r\nfixed"));
	assert_null(strstr(request("HEAD", "/fixed"), "\r\n\r\nfixed"));
	assert_non_null(strstr(request("GET", "/moved"), "308 "));
	assert_non_null(strstr(request("GET", "/moved"), "location: /fixed"));
	serve__process_close(&process);
}

static void fails_to_open(const char *why)
{
	struct err e;
	err_clear(&e);
	assert_false(serve__process_open(&process, &two, &e));
	if (!strstr(e.text, why))
		fail_msg("%s", e.text);
	serve__process_close(&process);
}

static void routes_that_lead_nowhere_end_the_start(void **state)
{
	open_two(1);
	add_route("/three", "three");
	fails_to_open("'three', which is no component of both");
	open_two(1);
	add_route("/two/:other", "one");
	fails_to_open("two routes are the same");
	open_two(1);
	add_route("/nothing", NULL);
	fails_to_open("0 is no status");
}

// ---- while it runs -------------------------------------------------------------------------------------------------------------------------

static unsigned changed;
static void on_changed(void *ctx, const struct err *e)
{
	assert_int_equal(e->code, ERR_NONE);
	changed++;
}

static struct serve_routes *must_prepare(void)
{
	struct serve_routes *r;
	struct err e;
	err_clear(&e);
	if (!serve_routes_prepare(&process, &app, 1, &r, &e))
		fail_msg("%s", e.text);
	return r;
}

static void commit(struct serve_routes *r)
{
	changed = 0;
	serve_routes_commit(r, on_changed, NULL);
	while (!changed)
		go_round(1);
}

static void routes_change_while_they_serve(void **state)
{
	static char pattern[] = "/new/:what";
	must_open_two(2);
	assert_non_null(strstr(request("GET", "/new/1"), "404 Not Found"));
	app.routes.len = 1;  // "/one/..."
	add_route(pattern, "two");
	struct serve_routes *r = must_prepare();
	memset(pattern, 'x', sizeof pattern - 1);  // nothing of what it was given is read any more
	assert_non_null(strstr(request("GET", "/new/1"), "404 Not Found"));
	commit(r);
	assert_non_null(strstr(request("GET", "/new/1"), "200 OK"));
	assert_int_equal(answered_by(1), 1);
	assert_non_null(strstr(request("GET", "/one/2"), "200 OK"));
	assert_non_null(strstr(request("GET", "/fixed"), "404 Not Found"));
	serve__process_close(&process);
}

static void a_request_keeps_the_route_that_it_came_by(void **state)
{
	must_open_two(1);
	add_route("/delay", "one");
	commit(must_prepare());
	pthread_t client = start_client(ask_whole, "GET /delay HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	while (answered_by(0) == 0)
		go_round(1);
	app.routes.len = 0;
	add_route("/only-this", "two");
	for (unsigned i = 0; i < 3; i++)
		commit(must_prepare());
	join(client);
	assert_non_null(strstr(answer, "200 OK"));
	assert_non_null(strstr(request("GET", "/only-this"), "200 OK"));
	serve__process_close(&process);
}

static void routes_that_contradict_each_other_or_come_at_once_change_nothing(void **state)
{
	struct serve_routes *r, *other;
	struct err e;
	must_open_two(2);
	add_route("/two/:other", "one");
	err_clear(&e);
	assert_false(serve_routes_prepare(&process, &app, 1, &r, &e));
	assert_int_equal(e.code, ERR_USAGE);
	app.routes.len--;
	r = must_prepare();
	err_clear(&e);
	assert_false(serve_routes_prepare(&process, &app, 1, &other, &e));
	assert_int_equal(e.code, ERR_REFUSED);
	serve_routes_abandon(r);
	commit(must_prepare());
	assert_non_null(strstr(request("GET", "/two/7"), "200 OK"));
	serve__process_close(&process);
}

static void routes_on_their_way_end_with_the_process(void **state)
{
	must_open_two(2);
	changed = 0;
	serve_routes_commit(must_prepare(), on_changed, NULL);
	serve__process_close(&process);
	assert_int_equal(changed, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_request_goes_to_who_its_route_names),
		cmocka_unit_test(one_that_is_kept_answers_on_the_keepers_thread_alone),
		cmocka_unit_test(what_no_route_is_for_gets_an_answer_of_our_own),
		cmocka_unit_test(routes_that_lead_nowhere_end_the_start),
		cmocka_unit_test(routes_change_while_they_serve),
		cmocka_unit_test(a_request_keeps_the_route_that_it_came_by),
		cmocka_unit_test(routes_that_contradict_each_other_or_come_at_once_change_nothing),
		cmocka_unit_test(routes_on_their_way_end_with_the_process),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
