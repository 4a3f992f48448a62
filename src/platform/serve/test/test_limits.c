// What the rooms below take where nobody says a limit is what limits.def says.
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "canon/canon.h"
#include "http/http.h"
#include "serve/serve.h"
#include "vm/vm.h"

static uint64_t or_none(uint64_t limit)
{
	return limit ? limit : HTTP_NO_LIMIT;
}

static void an_instances_are_the_tables(void **state)
{
	struct serve_config c = {0};
	struct canon_limits l;
	struct vm_limits v = VM_LIMITS_DEFAULT;
	canon_limits_default(&l);
	for (unsigned server = 0; server < 2; server++) {
		serve_limits_default(&c, server);
		const struct serve_service_limits *s = &c.service.limits;
		assert_int_equal(l.memory_bytes, s->memory);
		assert_int_equal(l.table_elements, s->table_elements);
		assert_int_equal(l.handles, s->handles);
		assert_int_equal(l.call_depth, s->call_depth);
		assert_int_equal(v.memory, s->memory);
		assert_int_equal(v.table_elements, s->table_elements);
		assert_int_equal(v.stack, s->stack);
	}
}

static void a_listeners_are_the_tables(void **state)
{
	struct serve_config c = {0};
	const struct http_limits *h = &http_limits_default;
	serve_limits_default(&c, true);
	const struct serve_listener_limits *l = &c.listener.limits;
	assert_int_equal(h->head_bytes, l->head_bytes);
	assert_int_equal(h->fields, l->head_fields);
	assert_int_equal(h->streams, l->max_streams);
	assert_int_equal(h->body_bytes, or_none(l->max_body));
	assert_int_equal(h->idle_ns, or_none(l->idle_timeout));
	assert_int_equal(h->head_ns, or_none(l->head_timeout));
	assert_int_equal(h->body_ns, or_none(l->body_timeout));
	assert_int_equal(h->body_total_ns, or_none(l->body_total));
	assert_int_equal(h->write_ns, or_none(l->write_timeout));
	assert_int_equal(h->min_rate, l->min_rate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_instances_are_the_tables),
		cmocka_unit_test(a_listeners_are_the_tables),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
