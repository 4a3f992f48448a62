// Every row of keys.def: it is taken and reaches the model, is written again by app_print, is a difference for app_diff, and is refused when it is of the wrong kind.
#include "harness.h"

// A value for a key that isn't its default.
static const char *value_of(const struct app__key *k)
{
	static const char *const formats[] = {
#define X(name, what) [APP__FORMAT_##name] = #name,
		APP__FORMATS(X)
#undef X
	};
	static const struct {
		const char *format, *value;
	} values[] = {
		{"sha256", "\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\""},
		{"address", "\"127.0.0.1:80\""},
		{"range", "\"10.0.0.0/8\""},
		{"url", "\"redis://h\""},
		{"component", "\"other\""},
		{"origin", "\"https://h\""},
		{"method", "\"GET\""},
		{"target", "\"/\""},
		{"route", "\"/r\""},
		{"timezone", "\"Europe/Oslo\""},
		{"listen", "\"tcp://127.0.0.1:1\""},
	};
	static const char *const types[] = {
		[APP__PAIRS] = "{ \"a:b\" = \"k\" }",
		[APP__BOOL] = "true",
		[APP__COUNT] = "301",
		[APP__TIME] = "\"7s\"",
		[APP__SIZE] = "\"7MiB\"",
		[APP__PERCENT] = "\"2.5%\"",
		[APP__ARRAY] = "[]",
	};
	static char text[256];
	const char *one = "\"x\"";
	if (k->type == APP__LIMITS_OF)
		return k->of == APP__WHOSE_listener ? "{ head-fields = 7 }" : "{ cpu = \"7s\" }";
	if (strcmp(k->name, "schedule") == 0)
		return "\"1 2 3 4 5\"";
	if (k->type == APP__PAIRS && k->of != APP__FORMAT_link)
		return "{ x = \"k\" }";
	if (k->type == APP__WORD) {
		const char *second = strchr(k->words, '|') + 1;
		snprintf(text, sizeof text, "\"%.*s\"", (int)strcspn(second, "|"), second);
		return text;
	}
	if (k->type != APP__TEXT && k->type != APP__TEXTS)
		return types[k->type];
	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		if (strcmp(values[i].format, formats[k->of]) == 0)
			one = values[i].value;
	snprintf(text, sizeof text, k->type == APP__TEXTS ? "[%s]" : "%s", one);
	return text;
}

// Where a table stands, and what it can't be without, but for the key itself. %s: the line.
static const char *frame_of(enum app__table table, const char *key)
{
	static const char *const frames[APP__N_TABLES] = {
		[APP__about] = "tenon = 1\n[app]\nname = \"a\"\n%s\n",
		[APP__whole_limits] = "tenon = 1\n[app]\nname = \"a\"\n[app.limits]\n%s\n",
		[APP__http] = HEAD "[http]\n%s\n",
		[APP__tls] = HEAD "[http.tls]\ncert = \"c\"\nkey = \"k\"\n%s\n",
		[APP__variable] = HEAD "[variables.v]\ndefault = \"d\"\n%s\n",
		[APP__component] = HEAD "[link.k]\ntype = \"memory\"\n[component.c]\nsource = \"c\"\nnetwork = [\"h\"]\n%s\n",
		[APP__instances] = HEAD "[component.c]\nsource = \"c\"\n[component.c.instances]\n%s\n",
		[APP__file] = HEAD "[component.c]\nsource = \"c\"\n[[component.c.files]]\nhost = \"h\"\nguest = \"g\"\n%s\n",
		[APP__update] = HEAD "[component.c]\nsource = \"c\"\n[component.c.update]\n%s\n",
		[APP__sticky] = HEAD "[component.c]\nsource = \"c\"\n[component.c.update.sticky]\n%s\n",
		[APP__rollback] = HEAD "[component.c]\nsource = \"c\"\n[component.c.update.rollback]\n%s\n",
		[APP__build] = HEAD "[component.c]\nsource = \"c\"\n[component.c.build]\ncommand = \"m\"\n%s\n",
		[APP__link] = HEAD "[component.other]\nsource = \"c\"\n[link.k]\ntype = \"redis\"\nurl = \"redis://x\"\n%s\n",
		[APP__route] = HEAD "[component.other]\nsource = \"c\"\n[[trigger.http]]\nroute = \"/\"\ncomponent = \"other\"\n%s\n",
		[APP__static] = HEAD "[[trigger.http]]\nroute = \"/\"\n[trigger.http.static]\n%s\n",
		[APP__redirect] = HEAD "[[trigger.http]]\nroute = \"/\"\n[trigger.http.redirect]\nto = \"/t\"\n%s\n",
		[APP__cron] = HEAD "[component.c]\nsource = \"c\"\n[component.other]\nsource = \"c\"\n[[trigger.cron]]\nschedule = \"0 0 * * *\"\ncomponent = \"c\"\n%s\n",
		[APP__start] = HEAD "[component.c]\nsource = \"c\"\n[component.other]\nsource = \"c\"\n[[trigger.start]]\ncomponent = \"c\"\n%s\n",
		[APP__command] = HEAD "[component.c]\nsource = \"c\"\n[component.other]\nsource = \"c\"\n[[trigger.command]]\ncomponent = \"c\"\n%s\n",
	};
	if (table == APP__link && (strcmp(key, "path") == 0 || strcmp(key, "component") == 0 || strcmp(key, "hosts") == 0))
		return HEAD "[component.other]\nsource = \"c\"\n[link.k]\n%s\n";
	if (table == APP__link && (strcmp(key, "methods") == 0 || strcmp(key, "headers") == 0))
		return HEAD "[link.k]\ntype = \"http\"\nhosts = [\"https://x\"]\n%s\n";
	if (table == APP__route && strcmp(key, "private") == 0)
		return HEAD "[component.other]\nsource = \"c\"\n[[trigger.http]]\ncomponent = \"other\"\n%s\n";
	return frames[table];
}

// The frame with the line in it, in place of the line of that key which it has.
static const char *fill(const char *frame, const char *key, const char *line)
{
	static char out[4096];
	char own[64];
	size_t n = 0;
	snprintf(own, sizeof own, "%s = ", key);
	out[0] = 0;
	while (*frame) {
		size_t len = strcspn(frame, "\n") + 1;
		bool is_hole = strncmp(frame, "%s", 2) == 0;
		if (is_hole)
			n += (size_t)snprintf(out + n, sizeof out - n, "%s\n", line);
		else if (strncmp(frame, own, strlen(own)) != 0 || !*line)
			n += (size_t)snprintf(out + n, sizeof out - n, "%.*s", (int)len, frame);
		frame += len;
	}
	return out;
}

static const char *line_of(enum app__table table, const struct app__key *k, const char *value)
{
	static char line[512];
	const char *also = table == APP__link && strcmp(k->name, "path") == 0 ? "type = \"file\"\n"
		: table == APP__link && strcmp(k->name, "component") == 0         ? "type = \"component\"\n"
		: table == APP__link && strcmp(k->name, "hosts") == 0             ? "type = \"http\"\n"
																		  : "";
	snprintf(line, sizeof line, "%s%s = %s", also, k->name, value);
	return line;
}

static const char *print(const struct app *a)
{
	struct buf b = {0};
	struct slice text;
	assert_true(app_print(a, &b));
	assert_true(slice_dup(&arena, buf_view(&b), &text));
	buf_release(&b);
	return (const char *)text.ptr;
}

static void check_row(enum app__table table, const struct app__key *k)
{
	const struct app_change *changes;
	uint32_t n;
	const char *frame = frame_of(table, k->name), *value = strcmp(k->name, "type") == 0 && table == APP__link ? "\"redis\"" : value_of(k);
	const char *given = line_of(table, k, value);
	static const char *const sets[] = {"v=set"};
	inputs.sets = sets;  // a secret isn't written
	inputs.n_sets = table == APP__variable;
	if (!frame)
		fail_msg("no frame for the table of %s", k->name);
	struct app *a = load(fill(frame, k->name, given));
	const char *printed = print(a);
	char want[64];
	snprintf(want, sizeof want, "%s = ", k->name);
	if (table != APP__variable && strcmp(k->name, "files") != 0 && !strstr(printed, want))
		fail_msg("%s isn't written:\n%s", k->name, printed);
	struct app *again = load(printed);
	assert_true(app_diff(&arena, a, again, &changes, &n, &err));
	for (uint32_t i = 0; i < n; i++)
		fail_msg("%s: %s.%s differs when it is read again: %s, %s", k->name, changes[i].name ? changes[i].name : "", changes[i].key ? changes[i].key : "",
			changes[i].before ? changes[i].before : "-", changes[i].after ? changes[i].after : "-");
	// Of the wrong kind it is refused by its name.
	const char *bad = fill(frame, k->name, line_of(table, k, "1979-05-27"));
	struct app *none;
	err_clear(&err);
	assert_false(app_load(&arena, slice_str(bad), "m.toml", &inputs, &none, &err));
	if (!strstr(err.text, k->name) || err.line == 0)
		fail_msg("%s of the wrong kind: %s", k->name, err.text);
}

static void every_key_is_taken_written_and_compared(void **state)
{
	for (enum app__table t = APP__about; t < APP__N_TABLES; t++) {
		struct app__rows r = app__rows(t);
		for (uint32_t i = 0; i < r.n && t != APP__triggers; i++)
			if (r.keys[i].type != APP__TABLE)
				check_row(t, &r.keys[i]);
	}
}

static void what_differs_is_told_by_kind_and_key(void **state)
{
	struct app *a = load(HEAD "[variables]\nx = { default = \"1\" }\ns = { default = \"pw1\", secret = true }\n[component.c]\nsource = \"c\"\nenv = { A = \"${x}\" }\nconfig = { S = \"${s}\" }\n"
							  "[component.gone]\nsource = \"g\"\n[link.k]\ntype = \"redis\"\nurl = \"redis://:one@h\"\n");
	struct app *b = load(HEAD "[variables]\nx = { default = \"2\" }\ns = { default = \"pw2\", secret = true }\n[component.c]\nsource = \"c\"\nlimits.cpu = \"1s\"\nenv = { A = \"${x}\" }\nconfig = { S = \"${s}\" }\n"
							  "[component.new]\nsource = \"g\"\n[link.k]\ntype = \"redis\"\nurl = \"redis://:two@h\"\n");
	static const struct app_change want[] = {
		{APP_PART_COMPONENT, APP_REMOVED, "gone", NULL, NULL, NULL},
		{APP_PART_VARIABLE, APP_CHANGED, "x", "value", "\"1\"", "\"2\""},
		{APP_PART_VARIABLE, APP_CHANGED, "s", "value", "\"(secret)\"", "\"(secret)\""},
		{APP_PART_COMPONENT, APP_CHANGED, "c", "limits.cpu", NULL, "\"1s\""},
		{APP_PART_COMPONENT, APP_CHANGED, "c", "env.A", "\"1\"", "\"2\""},
		{APP_PART_COMPONENT, APP_CHANGED, "c", "config.S", "\"${s}\"", "\"${s}\""},
		{APP_PART_COMPONENT, APP_ADDED, "new", NULL, NULL, NULL},
		{APP_PART_LINK, APP_CHANGED, "k", "url", "\"redis://:***@h\"", "\"redis://:***@h\""},
	};
	const struct app_change *got;
	uint32_t n;
	assert_true(app_diff(&arena, a, b, &got, &n, &err));
	assert_int_equal(n, ARRAY_LEN(want));
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		assert_int_equal(got[i].part, want[i].part);
		assert_int_equal(got[i].how, want[i].how);
		assert_string_equal(got[i].name, want[i].name);
		assert_string_equal(got[i].key ? got[i].key : "-", want[i].key ? want[i].key : "-");
		assert_string_equal(got[i].before ? got[i].before : "-", want[i].before ? want[i].before : "-");
		assert_string_equal(got[i].after ? got[i].after : "-", want[i].after ? want[i].after : "-");
	}
}

static void nothing_secret_is_written(void **state)
{
	static const char *const sets[] = {"v=fromset"};
	inputs.sets = sets;
	inputs.n_sets = 1;
	const char *text = print(load(HEAD "[variables]\ns = { default = \"hidden\", secret = true }\nv = {}\n[component.c]\nsource = \"c\"\nconfig = { S = \"<${s}>\", V = \"${v}\" }\n"
									   "[link.k]\ntype = \"redis\"\nurl = \"redis://user:hidden@h\"\n[link.l]\ntype = \"redis\"\nurl = \"redis://:${s}@h\"\n"
									   "[link.m]\ntype = \"nats\"\nurl = \"nats://hidden@h/b\"\n[link.n]\ntype = \"nats\"\nurl = \"nats://${s}@h/b\"\n"
									   "[link.o]\ntype = \"redis\"\nurl = \"redis://u:hid?den#1@h\"\n[link.p]\ntype = \"redis\"\nurl = \"redis://u:${s}hidden@h\"\n"));
	assert_null(strstr(text, "hid"));
	assert_non_null(strstr(text, "\"nats://***@h/b\""));
	assert_non_null(strstr(text, "\"nats://${s}@h/b\""));
	assert_non_null(strstr(text, "s = { required = true, secret = true }"));
	assert_non_null(strstr(text, "v = { default = \"fromset\" }"));
	assert_non_null(strstr(text, "S = \"<${s}>\", V = \"${v}\""));
	assert_non_null(strstr(text, "\"redis://user:***@h\""));
	assert_non_null(strstr(text, "\"redis://:${s}@h\""));
}

static void paths_are_told_whole_where_the_folder_is_another_one(void **state)
{
	static const char *const sets[] = {"w=in/here", "s=hidden"};
	inputs.root = "/r/${x}/";
	inputs.sets = sets;
	inputs.n_sets = 2;
	struct app *a = load(HEAD "[http]\ntls = { cert = \"c.pem\", key = \"/k.pem\" }\n[variables]\nw = {}\nd = { default = \"/d\" }\ns = { secret = true, file = \"s.txt\" }\n"
							  "[component.c]\nsource = \"/c\"\nfiles = [{ host = \"a\", guest = \"/a\" }, { host = \"${d}/b\", guest = \"b\" }, { host = \"${w}\", guest = \"/\" }]\n"
							  "[link.k]\ntype = \"file\"\npath = \"k.db\"\n");
	struct buf b = {0};
	assert_true(app_print_whole(a, &b) && buf_put_byte(&b, 0));
	const char *text = (const char *)b.ptr;
	static const char *const want[] = {"cert = \"/r/${x}/c.pem\", key = \"/k.pem\"", "file = \"/r/${x}/s.txt\"", "source = \"/c\"", "host = \"/r/$${x}/a\", guest = \"/a\"",
		"host = \"${d}/b\", guest = \"b\"", "host = \"/r/$${x}/${w}\"", "path = \"/r/$${x}/k.db\""};
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		if (!strstr(text, want[i]))
			fail_msg("no %s in:\n%s", want[i], text);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_key_is_taken_written_and_compared, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(what_differs_is_told_by_kind_and_key, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(nothing_secret_is_written, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(paths_are_told_whole_where_the_folder_is_another_one, open_arena, close_arena),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
