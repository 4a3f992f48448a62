// The component's file is opened once: who looked at it gives the descriptor, and its name is not looked up again.
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "serve/serve.h"
#include "sys/sys.h"
#include "vm/vm.h"

static const uint8_t component[] = {0, 'a', 's', 'm', 13, 0, 1, 0}, module[] = {0, 'a', 's', 'm', 1, 0, 0, 0};

static struct serve_config config_of(const uint8_t *bytes, size_t n)
{
	struct serve_config c = {0};
	serve_limits_default(&c, false);
	int fd = sys_memfd("a file without a name", n);
	assert_true(fd >= 0 && sys_write_at(fd, bytes, n, 0) == 0);
	c.service.path = "/is/not/there.wasm";
	c.service.file = fd + 1;
	c.service.no_cache = true;
	c.process.log_level = SERVE_LOG_ERROR;
	return c;
}

static void a_file_that_is_open_is_not_opened_again(void **state)
{
	struct err e = {0};
	struct serve_outcome how = {0};
	struct serve_config c = config_of(component, sizeof component);
	if (!serve_compile(&c, &e))
		fail_msg("%s", e.text);
	c = config_of(component, sizeof component);
	assert_int_equal(serve_command(&c, &how, &e), 4);
	assert_non_null(strstr(e.text, "the component is no command"));
}

static void what_kind_it_is_is_seen_without_its_name(void **state)
{
	struct err e = {0};
	struct serve_outcome how = {0};
	struct serve_config c = config_of(module, sizeof module);
	assert_int_equal(serve_command(&c, &how, &e), 4);
	assert_non_null(strstr(e.text, "the module is no command"));
}

static void a_name_is_opened_where_no_file_is_given(void **state)
{
	struct err e = {0};
	struct serve_config c = config_of(component, sizeof component);
	sys_close(c.service.file - 1);
	c.service.file = 0;
	assert_false(serve_compile(&c, &e));
	assert_non_null(strstr(e.text, "cannot open '/is/not/there.wasm'"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_that_is_open_is_not_opened_again),
		cmocka_unit_test(what_kind_it_is_is_seen_without_its_name),
		cmocka_unit_test(a_name_is_opened_where_no_file_is_given),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
