// Manifests, tenon.toml and spin.toml: what is taken is written as a manifest that is taken, means the same and is written the same.
// PROGRAM(fuzz_manifest, "app", "")
#include "app/app.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_MEMORY = 512 << 20 };

// Half of what is asked for is there.
static const char *env(void *ctx, const char *name)
{
	return name[strlen(name) - 1] & 1 ? "value" : NULL;
}

static bool load(struct arena *a, struct slice text, struct app **ret, struct err *e)
{
	const struct app_inputs in = {.env = env};
	memset(e, 0, sizeof *e);
	err_clear(e);
	if (app_load(a, text, "folder/tenon.toml", &in, ret, e))
		return true;
	if (e->code == ERR_NONE || (e->code == ERR_USAGE && e->text[0] == 0))
		abort();  // refused without a reason
	return false;
}

// A secret that isn't set when it is read again is required then.
static bool has_secret(const struct app *app)
{
	for (uint32_t i = 0; i < app->variables.n; i++)
		if (app->variables.list[i].secret.value || app->variables.list[i].required.value)
			return true;
	return false;
}

static bool hides_password(struct slice text)
{
	for (size_t i = 0; i + 4 < text.len; i++)
		if (memcmp(text.ptr + i, "***@", 4) == 0)
			return true;
	return false;
}

static void check_again(struct arena *a, const struct app *app)
{
	struct buf first = {0}, second = {0};
	const struct app_change *changes;
	struct app *again;
	struct err e;
	uint32_t n;
	bool printed = app_print(app, &first);
	if (printed && !has_secret(app) && !hides_password(buf_view(&first)) && first.len <= APP_MAX_SOURCE) {
		if (!load(a, buf_view(&first), &again, &e)) {
			fprintf(stderr, "%s (%s)\n%.*s\n", e.text, e.where, SLICE_ARGS(buf_view(&first)));
			abort();
		}
		if (app->format == APP_TENON && (!app_diff(a, app, again, &changes, &n, &e) || n > 0))
			abort();
		if (!app_print(again, &second) || !slice_eq(buf_view(&first), buf_view(&second)))
			abort();
	}
	buf_release(&first);
	buf_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct app *app;
	struct err e;
	arena_init(&a, MAX_MEMORY);
	if (size && load(&a, slice_of(data, size), &app, &e))
		check_again(&a, app);
	arena_release(&a);
	return 0;
}
