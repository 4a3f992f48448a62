// Manifests loaded from text, with a world of the test's own.
#ifndef TENON_APP_TEST_HARNESS_H
#define TENON_APP_TEST_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "app/app_int.h"

static struct arena arena;
static struct err err;
static struct app_inputs inputs;

static UNUSED int open_arena(void **state)
{
	arena_init(&arena, 512 << 20);
	err_clear(&err);
	inputs = (struct app_inputs){0};
	return 0;
}

static UNUSED int close_arena(void **state)
{
	arena_release(&arena);
	return 0;
}

// What stands before every manifest here; what is tested begins in line 3.
#define HEAD "tenon = 1\napp.name = \"a\"\n"

static UNUSED struct app *load(const char *text)
{
	struct app *app = NULL;
	err_clear(&err);
	if (!app_load(&arena, slice_str(text), "dir/tenon.toml", &inputs, &app, &err))
		fail_msg("%s (%s; %s)", err.text, err.where, err.hint);
	return app;
}

static UNUSED void refuse(const char *text, const char *why, const char *where)
{
	struct app *app = NULL;
	err_clear(&err);
	if (app_load(&arena, slice_str(text), "dir/tenon.toml", &inputs, &app, &err))
		fail_msg("taken: %s", text);
	if (!strstr(err.text, why) || !strstr(err.where, where))
		fail_msg("'%s' (%s) instead of '%s' (%s)", err.text, err.where, why, where);
}

#endif
