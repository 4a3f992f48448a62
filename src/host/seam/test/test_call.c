// What a host function may do: denials, what the host keeps.
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "seam/seam.h"

static unsigned n_logged;
static char last_flag[64];
static void log_denial(void *ctx, enum seam_deny kind, const char *what, const char *flag)
{
	n_logged++;
	snprintf(last_flag, sizeof last_flag, "%s", flag);
}

struct fixture {
	struct seam_grants grants;
	struct seam_instance instance;
	struct seam_task task;
	struct seam_call call;
};
static void init(struct fixture *f)
{
	*f = (struct fixture){.grants = {.call_bytes = 1000, .log_denial = log_denial}};
	seam_instance_init(&f->instance, NULL, &f->grants, NULL);
	f->call = (struct seam_call){.task = &f->task, .thread = &f->task.canon, .instance = &f->instance};
}

static void each_kind_of_denial_is_logged_once(void **s)
{
	struct fixture f;
	init(&f);
	n_logged = 0;
	seam_deny(&f.call, SEAM_DENY_NET, "10.0.0.1:80", "--net 10.0.0.1:80");
	seam_deny(&f.call, SEAM_DENY_NET, "10.0.0.2:80", "--net 10.0.0.2:80");
	assert_int_equal(n_logged, 1);
	assert_string_equal(last_flag, "--net 10.0.0.1:80");
	seam_deny(&f.call, SEAM_DENY_ENV, "HOME", "--env HOME");
	assert_int_equal(n_logged, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_of_denial_is_logged_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
