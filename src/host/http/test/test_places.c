// Places for connections: lines are found in a few steps, however many there are; bounds of a line and of a quota on several clients; who waits goes first.
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/client.h"
#include "sys/sys.h"

#define MS UINT64_C(1000000)

// Two clients, as two shards have them, and requests that want a place.
static struct loop *loops[2];
static struct loop_pool *names;
static struct http_client *clients[2];
static int started[8], start_order[64], starts;
static struct request {
	struct http_outgoing o;
	int number;
} requests[8];

static void on_start(struct loop_job *j)
{
	struct request *r = CONTAINER_OF(CONTAINER_OF(j, struct http_outgoing, start), struct request, o);
	started[r->number]++;
	if (starts < (int)ARRAY_LEN(start_order))
		start_order[starts++] = r->number;
}

static int setup(void **state)
{
	struct http_client_limits limits = http_client_limits_default;
	assert_true(loop_pool_new(&names, 1, 10, NULL));
	for (size_t i = 0; i < ARRAY_LEN(clients); i++)
		assert_true(loop_new(&loops[i], NULL) && http_client_new(loops[i], names, &limits, &clients[i], NULL));
	memset(started, 0, sizeof started);
	memset(requests, 0, sizeof requests);
	starts = 0;
	return 0;
}

static void leave(struct http_outgoing *o)
{
	http__line_leave(o);
	http__place_give(o);
	loop_job_cancel(&o->start);
	http__line_unref(o->line);
	o->line = NULL;
}

static int teardown(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(requests); i++)
		if (requests[i].o.line)
			leave(&requests[i].o);
	for (size_t i = 0; i < ARRAY_LEN(clients); i++)
		http_client_free(clients[i]);
	loop_pool_free(names);
	for (size_t i = 0; i < ARRAY_LEN(clients); i++)
		loop_free(loops[i]);
	return 0;
}

static struct http_line *line(struct http_client *cl, uint64_t id, uint32_t most, struct http_quota *q)
{
	struct http_outgoing_request r = {.line = id, .line_most = most, .quota = q, .tenant = 1};
	struct http_line *l = http__line_get(cl, &r);
	assert_non_null(l);
	return l;
}

static struct http_outgoing *request(int number, int client, uint64_t id, uint32_t most, struct http_quota *q)
{
	struct request *r = &requests[number];
	r->number = number;
	r->o.client = clients[client];
	r->o.start.fn = on_start;
	r->o.line = line(clients[client], id, most, q);
	return &r->o;
}

// A connection with the request's place, on one end of a pair of sockets.
static struct client_conn *connect_on(struct http_outgoing *o, int *ret_other)
{
	int ends[2];
	struct http_address peer = {0};
	struct http_origin *origin = http__origin_get(o->client, 1, false, "127.0.0.1", 80);
	assert_non_null(origin);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	struct client_conn *c = http__client_conn_open(origin, &http__h1c_protocol, ends[0], &peer, NULL);
	assert_non_null(c);
	http__origin_unref(origin);
	o->client->connections++;
	http__place_pass(o, c);
	*ret_other = ends[1];
	return c;
}

static void turn(int client, uint64_t ns)
{
	uint64_t end = loop_now_fresh_ns(loops[client]) + ns;
	do
		loop_run_once(loops[client], MS);
	while (loop_now_fresh_ns(loops[client]) < end);
	for (int i = 0; i < 4; i++)  // what is due by then, however late this thread is
		loop_run_once(loops[client], 0);
}

static bool has_ended(int fd)
{
	char c;
	return recv(fd, &c, 1, MSG_DONTWAIT) == 0;
}

static void a_line_is_of_an_id_and_a_quota(void **state)
{
	struct http_quota q = {.most = 3}, other = {0};
	struct http_line *a = line(clients[0], 7, 2, &q), *same = line(clients[0], 7, 2, &q);
	struct http_line *id = line(clients[0], 8, 2, &q), *quota = line(clients[0], 7, 2, &other), *none = line(clients[0], 7, 2, NULL);
	struct http_line *client = line(clients[1], 7, 2, &q);
	struct http_line *all[] = {a, id, quota, none, client};
	assert_ptr_equal(a, same);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		for (size_t k = 0; k < i; k++)
			assert_ptr_not_equal(all[i], all[k]);
	http__line_unref(same);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		http__line_unref(all[i]);
	http__line_unref(NULL);
	for (size_t i = 0; i < LINE_BUCKETS; i++)
		assert_null(clients[0]->lines[i]);
}

// 4,096 lines in 1,024 lists: that one of these has 40 doesn't happen; where all are in one, it has 4,096.
static void one_of_thousands_is_found_in_a_few_steps(void **state)
{
	enum { LINES = 4096, APPS = 8 };
	static struct http_quota quotas[APPS];
	static struct http_line *lines[LINES];
	for (size_t i = 0; i < LINES; i++)
		lines[i] = line(clients[0], i / APPS, 1, &quotas[i % APPS]);
	for (size_t i = 0; i < LINE_BUCKETS; i++) {
		size_t n = 0;
		for (struct http_line *l = clients[0]->lines[i]; l; l = l->next)
			n++;
		assert_in_range(n, 0, 40);
	}
	for (size_t i = 0; i < LINES; i++) {
		assert_ptr_equal(line(clients[0], i / APPS, 1, &quotas[i % APPS]), lines[i]);
		http__line_unref(lines[i]);
	}
	for (size_t i = 0; i < LINES; i++)
		http__line_unref(lines[i]);
	for (size_t i = 0; i < LINE_BUCKETS; i++)
		assert_null(clients[0]->lines[i]);
}

static void the_youngest_tenant_says_how_many(void **state)
{
	struct http_outgoing_request r = {.line = 1, .line_most = 4, .tenant = 10};
	struct http_line *l = http__line_get(clients[0], &r);
	assert_int_equal(l->most, 4);
	r = (struct http_outgoing_request){.line = 1, .line_most = 2, .tenant = 9};  // a version that drains
	assert_ptr_equal(http__line_get(clients[0], &r), l);
	assert_int_equal(l->most, 4);
	r = (struct http_outgoing_request){.line = 1, .line_most = 0, .tenant = 11};
	assert_ptr_equal(http__line_get(clients[0], &r), l);
	assert_int_equal(l->most, 0);
	for (int i = 0; i < 3; i++)
		http__line_unref(l);
}

static void nothing_bounds_who_has_no_line(void **state)
{
	struct http_outgoing o = {.client = clients[0]};
	assert_true(http__place_take(&o));
	assert_false(o.has_place);
	assert_false(http__line_is_ahead(&o));
	http__place_give(&o);
}

static void who_waits_goes_in_the_order_in_which_he_came(void **state)
{
	for (int i = 0; i < 5; i++)
		request(i, 0, 1, 1, NULL);
	assert_true(http__place_take(&requests[0].o));
	for (int i = 1; i < 5; i++) {
		assert_false(http__place_take(&requests[i].o));
		http__line_wait(&requests[i].o);
		http__line_wait(&requests[i].o);  // he waits already
	}
	turn(0, MS);
	assert_int_equal(starts, 0);
	http__place_give(&requests[0].o);
	assert_false(http__place_take(&requests[0].o));  // who comes later waits behind
	assert_true(http__line_is_ahead(&requests[2].o) && !http__line_is_ahead(&requests[1].o));
	turn(0, MS);
	assert_int_equal(starts, 1);
	assert_int_equal(start_order[0], 1);
	assert_true(http__place_take(&requests[1].o));
	http__line_leave(&requests[1].o);
	http__line_leave(&requests[3].o);  // gives up, in the middle
	turn(0, MS);
	starts = 0;
	http__place_give(&requests[1].o);
	turn(0, MS);
	assert_int_equal(start_order[0], 2);
	assert_true(http__place_take(&requests[2].o));
	http__line_leave(&requests[2].o);
	starts = 0;
	http__place_give(&requests[2].o);
	turn(0, MS);
	assert_int_equal(start_order[0], 4);
	assert_int_equal(started[3], 0);
}

static void a_connection_has_the_place_until_it_is_lost(void **state)
{
	int other;
	struct http_outgoing *a = request(0, 0, 1, 1, NULL), *b = request(1, 0, 1, 1, NULL);
	assert_true(http__place_take(a));
	struct client_conn *c = connect_on(a, &other);
	assert_false(a->has_place);
	http__place_give(a);  // it is not its any more
	assert_int_equal(a->line->open, 1);
	assert_false(http__place_take(b));
	http__line_wait(b);
	http__conn_close(&c->conn, HTTP_CANCEL_SERVER, false);
	turn(0, MS);
	assert_int_equal(started[1], 1);
	assert_true(http__place_take(b));
	assert_true(has_ended(other));
	close(other);
}

static void the_idle_one_makes_way(void **state)
{
	int other;
	struct http_outgoing *a = request(0, 0, 1, 1, NULL), *b = request(1, 0, 1, 1, NULL);
	assert_true(http__place_take(a));
	struct client_conn *c = connect_on(a, &other);
	assert_true(http__client_conn_rest(c));
	assert_true(http__place_take(b));
	turn(0, MS);
	assert_true(has_ended(other));
	assert_int_equal(b->line->open, 1);
	close(other);
}

static void one_of_another_line_makes_way_for_its_app_only(void **state)
{
	int other;
	struct http_quota q = {.most = 1}, others = {.most = 1};
	struct http_outgoing *a = request(0, 0, 1, 0, &q), *b = request(1, 0, 2, 0, &q), *c = request(2, 0, 2, 0, &others), *d = request(3, 0, 2, 0, &others);
	assert_true(http__place_take(a));
	struct client_conn *idle = connect_on(a, &other);
	assert_true(http__client_conn_rest(idle));
	assert_true(http__place_take(c));
	assert_false(http__place_take(d));
	assert_false(has_ended(other));
	assert_true(http__place_take(b));
	turn(0, MS);
	assert_true(has_ended(other));
	assert_int_equal(shared_count_now(&q.open), 1);
	close(other);
}

static void what_another_shard_lets_rest_is_closed_for_who_waits(void **state)
{
	int other;
	struct http_quota q = {.most = 1};
	struct http_outgoing *a = request(0, 0, 1, 0, &q), *b = request(1, 1, 1, 0, &q);
	assert_true(http__place_take(a));
	struct client_conn *c = connect_on(a, &other);
	assert_true(http__client_conn_rest(c));
	turn(0, 30 * MS);
	assert_false(has_ended(other));  // nobody wants it
	assert_false(http__place_take(b));
	http__line_wait(b);
	turn(0, 30 * MS);
	assert_true(has_ended(other));
	turn(1, 30 * MS);
	assert_true(started[1] > 0);
	assert_true(http__place_take(b));
	assert_int_equal(shared_count_now(&q.open), 1);
	close(other);
}

static void a_bound_that_sinks_closes_what_rests(void **state)
{
	int other[3];
	struct client_conn *c[3];
	struct http_quota q = {.most = 3};
	for (int i = 0; i < 3; i++) {
		struct http_outgoing *o = request(i, 0, 1, 0, &q);
		assert_true(http__place_take(o));
		c[i] = connect_on(o, &other[i]);
	}
	assert_true(http__client_conn_rest(c[0]));
	assert_false(http__place_is_too_much(c[1]));
	__atomic_store_n(&q.most, 1, __ATOMIC_RELAXED);
	assert_true(http__place_is_too_much(c[1]));
	assert_false(http__client_conn_rest(c[1]));
	turn(0, 30 * MS);
	assert_true(has_ended(other[0]) && !has_ended(other[1]));  // at work
	assert_int_equal(shared_count_now(&q.open), 2);
	for (int i = 1; i < 3; i++)
		http__conn_close(&c[i]->conn, HTTP_CANCEL_SERVER, false);
	turn(0, MS);
	assert_int_equal(shared_count_now(&q.open), 0);
	for (int i = 0; i < 3; i++)
		close(other[i]);
}

// Who has a line may outlive the client.
static void a_client_that_goes_leaves_lines_to_who_has_them(void **state)
{
	struct http_quota q = {.most = 1};
	struct http_client_limits limits = http_client_limits_default;
	struct http_line *l = line(clients[1], 1, 1, &q), *another = line(clients[1], 2, 1, &q);
	http_client_free(clients[1]);
	http__line_wake(l);
	http__line_unref(another);
	http__line_unref(l);
	assert_true(http_client_new(loops[1], names, &limits, &clients[1], NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_line_is_of_an_id_and_a_quota, setup, teardown),
		cmocka_unit_test_setup_teardown(one_of_thousands_is_found_in_a_few_steps, setup, teardown),
		cmocka_unit_test_setup_teardown(the_youngest_tenant_says_how_many, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_bounds_who_has_no_line, setup, teardown),
		cmocka_unit_test_setup_teardown(who_waits_goes_in_the_order_in_which_he_came, setup, teardown),
		cmocka_unit_test_setup_teardown(a_connection_has_the_place_until_it_is_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(the_idle_one_makes_way, setup, teardown),
		cmocka_unit_test_setup_teardown(one_of_another_line_makes_way_for_its_app_only, setup, teardown),
		cmocka_unit_test_setup_teardown(what_another_shard_lets_rest_is_closed_for_who_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(a_bound_that_sinks_closes_what_rests, setup, teardown),
		cmocka_unit_test_setup_teardown(a_client_that_goes_leaves_lines_to_who_has_them, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
