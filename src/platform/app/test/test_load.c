// The model: what a manifest's values become, from where they are, what is laid over them.
#include "harness.h"

static void values_have_their_places_and_defaults_have_none(void **state)
{
	struct app *a = load(HEAD "[component.api]\nsource = \"x/api.wasm\"\npolicy = \"reuse\"\ninstances = { min = 2, idle = \"1.5s\" }\nlimits = { cpu = \"none\", memory = \"64MiB\" }\n");
	const struct app_component *c = a->components.list;
	assert_int_equal(a->components.n, 1);
	assert_string_equal(c->item.name, "api");
	assert_string_equal(c->path, "dir/x/api.wasm");
	assert_int_equal(c->policy.value, APP_REUSE);
	assert_int_equal(c->policy.at.line, 5);
	assert_int_equal(c->policy.at.col, 10);
	assert_int_equal(c->init.value, APP_INIT_AUTO);
	assert_false(c->init.is_given);
	assert_int_equal(c->instances.min.value, 2);
	assert_int_equal(c->instances.max.value, 1000);
	assert_false(c->instances.max.is_given);
	assert_int_equal(c->instances.idle.value, 1500 * MILLISECOND);
	assert_int_equal(c->limits.n, 2);
	assert_int_equal(c->limits.list[0].kind, APP_LIMIT_cpu);
	assert_int_equal(c->limits.list[0].value, 0);
	assert_int_equal(c->limits.list[1].value, 64 * MIB);
	assert_int_equal(c->limits.list[1].at.line, 7);
}

static const char *world_env(void *ctx, const char *name)
{
	return strcmp(name, "TENON_VAR_B") == 0 ? "env" : strcmp(name, "TENON_VAR_A") == 0 ? "env"
		: strcmp(name, "CREDENTIALS_DIRECTORY") == 0                                   ? "/creds"
																					   : NULL;
}

static bool world_read(void *ctx, struct arena *a, const char *path, size_t max, struct slice *ret, struct err *e)
{
	*ret = strcmp(path, "/creds/c") == 0 ? SLICE_LIT("credential\n") : strcmp(path, "f") == 0 ? SLICE_LIT("file\r\n")
																							  : (struct slice){0};
	return ret->ptr != NULL;
}

static void a_variable_has_the_strongest_of_its_values(void **state)
{
	static const char *const sets[] = {"a=set"};
	static const char text[] = HEAD "[variables]\na = { default = \"0\" }\nb = { default = \"0\" }\nc = { default = \"0\" }\nd = { default = \"0\" }\ne = { default = \"0\" }\n"
									"[profile.p.variables]\na.default = \"p\"\nb.default = \"p\"\nc.default = \"p\"\nd.default = \"p\"\n";
	static const struct {
		const char *value;
		enum app_from from;
	} want[] = {{"set", APP_FROM_SET}, {"env", APP_FROM_ENV}, {"credential", APP_FROM_CREDENTIAL}, {"p", APP_FROM_PROFILE}, {"0", APP_FROM_DEFAULT}};
	inputs = (struct app_inputs){.profile = "p", .sets = sets, .n_sets = 1, .env = world_env, .read = world_read};
	struct app *a = load(text);
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		assert_string_equal(a->variables.list[i].value, want[i].value);
		assert_int_equal(a->variables.list[i].from, want[i].from);
	}
	inputs.sets = (const char *const[]){"a=@f"};
	assert_string_equal(load(text)->variables.list[0].value, "file");
	inputs.sets = (const char *const[]){"a=@none"};
	refuse(text, "no such file", "");
	assert_int_equal(err.code, ERR_ENV);
	inputs.sets = (const char *const[]){"aa=1"};
	refuse(text, "there is no variable 'aa'", "");
}

static void a_variable_may_be_what_a_file_says(void **state)
{
	static const char text[] = HEAD "[variables]\na = { file = \"/creds/c\", default = \"0\", secret = true }\n";
	inputs = (struct app_inputs){.read = world_read};
	struct app *a = load(text);
	assert_string_equal(a->variables.list[0].value, "credential");
	assert_int_equal(a->variables.list[0].from, APP_FROM_FILE);
	assert_string_equal(a->variables.list[0].path, "/creds/c");
	inputs.sets = (const char *const[]){"a=set"};
	inputs.n_sets = 1;
	assert_string_equal(load(text)->variables.list[0].value, "set");
	inputs.live = slice_str("[variables.a]\nfile = \"/creds/c\"\n");
	assert_string_equal(load(text)->variables.list[0].value, "credential");  // what was changed live counts
	inputs = (struct app_inputs){.read = world_read};
	refuse(HEAD "[variables]\na = { file = \"/creds/none\" }\n", "there is no such file", "");
	assert_int_equal(err.code, ERR_ENV);
}

static void texts_have_the_values_of_variables_in_them_and_know_secrets(void **state)
{
	struct app *a = load(HEAD "[variables]\nx = { default = \"1\" }\ns = { default = \"pw\", secret = true }\n[component.c]\nsource = \"c\"\n"
							  "env = { A = \"${x}-$${x}-$x\" }\nconfig = { k = \"<${s}>\" }\n");
	const struct app_component *c = a->components.list;
	assert_string_equal(c->env.list[0].value.text, "1-${x}-$x");
	assert_string_equal(c->env.list[0].value.raw, "${x}-$${x}-$x");
	assert_false(c->env.list[0].value.is_secret);
	assert_string_equal(c->config.list[0].value.text, "<pw>");
	assert_true(c->config.list[0].value.is_secret);
	refuse(HEAD "[variables]\ns = { default = \"pw\", secret = true }\n[component.c]\nsource = \"c\"\nenv = { A = \"${s}\" }\n", "has the secret 's' in it", "dir/tenon.toml:7:13");
	load(HEAD "[variables]\ns = { default = \"pw\", secret = true }\n[component.c]\nsource = \"c\"\nexpose = true\nenv = { A = \"${s}\" }\n");
	load(HEAD "[variables]\ns = { default = \"pw\", secret = true, expose = true }\n[component.c]\nsource = \"c\"\nenv = { A = \"${s}\" }\n");
}

// What each host of a spin.toml becomes: its values first, then the port of its scheme.
static void hosts_of_spin_become_rules_once_their_variables_are_known(void **state)
{
	static const struct {
		const char *host, *text, *raw;  // NULL: nothing
	} rows[] = {
		{"https://{{ h }}", "https://h.example:443", "https://${h}:443"},
		{"http://{{ p }}", "http://h.example:8443", "http://h.example:8443"},
		{"{{ u }}", "https://u.example:443", "${u}:443"},
		{"{{ none }}", NULL, NULL},
		{"https://{{ none }}", NULL, NULL},
		{"https://{{ s }}", "https://s.example:443", "https://${s}:443"},
		{"*://*:*", "all:*", "all:*"},
		{" http://a.example:*/ ", "http://a.example:*", "http://a.example:*"},
		{"http://[::1]", "http://[::1]:80", "http://[::1]:80"},
		{"http://[::1]:81", "http://[::1]:81", "http://[::1]:81"},
		{"http://::1", "http://[::1]:80", "http://[::1]:80"},
		{"https://10.0.0.0/8", "https://10.0.0.0/8:443", "https://10.0.0.0/8:443"},
		{"https://selfie.example", "https://selfie.example:443", "https://selfie.example:443"},
		{"https://x.spin.internal.example", "https://x.spin.internal.example:443", "https://x.spin.internal.example:443"},
		{"http://self", NULL, NULL},
		{"http://x.spin.internal:80", NULL, NULL},
		{"redis://{{ h }}", NULL, NULL},
	};
	struct buf b = {0};
	buf_put_str(&b, "spin_manifest_version = 2\napplication.name = \"a\"\n[variables]\ns = { default = \"s.example\", secret = true }\nh.default = \"h.example\"\n"
					"p.default = \"h.example:8443/\"\nu.default = \"https://u.example\"\nnone.default = \"\"\n[component.c]\nsource = \"c\"\nallowed_outbound_hosts = [");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		buf_printf(&b, "%s\"%s\"", i ? ", " : "", rows[i].host);
	buf_printf(&b, "]\n%c", 0);
	struct app_texts network = load((const char *)b.ptr)->components.list[0].network;
	uint32_t n = 0;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (!rows[i].text)
			continue;
		assert_true(n < network.n);
		assert_string_equal(network.list[n].text, rows[i].text);
		assert_string_equal(network.list[n++].raw, rows[i].raw);
	}
	assert_int_equal(network.n, n);
	buf_release(&b);
}

static void a_profile_is_laid_over_by_its_rules(void **state)
{
	static const char text[] = HEAD
		"[component.c]\nsource = \"c\"\npolicy = \"reuse\"\nnetwork = [\"a\", \"b\"]\nenv = { A = \"1\", B = \"2\" }\nlimits = { cpu = \"1s\" }\n"
		"[component.d]\nsource = \"d\"\npolicy = \"reuse\"\n[link.k]\ntype = \"redis\"\nurl = \"redis://x\"\npool = 9\n"
		"[[trigger.http]]\nid = \"one\"\nroute = \"/one\"\ncomponent = \"c\"\n[[trigger.http]]\nid = \"two\"\nroute = \"/two\"\ncomponent = \"c\"\n"
		"[profile.p.component.c]\npolicy = \"unset\"\nnetwork = [\"z\"]\nenv = { A = \"unset\", C = \"3\" }\nlimits.memory = \"1MiB\"\n"
		"[profile.p.component.d]\nsource = \"e\"\n[profile.p.link.k]\ntype = \"memory\"\n"
		"[[profile.p.trigger.http]]\nid = \"one\"\nroute = \"/uno\"\n[[profile.p.trigger.http]]\nid = \"two\"\ncomponent = \"unset\"\n"
		"[[profile.p.trigger.http]]\nroute = \"/new\"\ncomponent = \"d\"\n";
	inputs.profile = "p";
	struct app *a = load(text);
	const struct app_component *c = a->components.list, *d = c + 1;
	assert_int_equal(c->policy.value, APP_FRESH);
	assert_int_equal(c->network.n, 1);
	assert_string_equal(c->network.list[0].text, "z");
	assert_int_equal(c->env.n, 2);
	assert_string_equal(c->env.list[0].name, "B");
	assert_string_equal(c->env.list[1].name, "C");
	assert_int_equal(c->limits.n, 2);
	assert_string_equal(d->source.text, "e");
	assert_int_equal(d->policy.value, APP_FRESH);
	assert_int_equal(a->links.list[0].type.value, APP_LINK_MEMORY);
	assert_int_equal(a->links.list[0].pool.value, 4);
	assert_int_equal(a->triggers.http.n, 2);
	assert_string_equal(a->triggers.http.list[0].route.text, "/uno");
	assert_string_equal(a->triggers.http.list[0].component.text, "c");
	assert_string_equal(a->triggers.http.list[1].route.text, "/new");
	inputs.profile = NULL;
	assert_int_equal(load(text)->triggers.http.n, 2);
	refuse(HEAD "[profile.p.component.c]\npolici = \"fresh\"\n", "unknown key 'polici' in profile.p.component.c", "dir/tenon.toml:4:1");
	refuse(HEAD "[profile.p.component.c]\nlimits.cpu = \"fast\"\n", "profile.p.component.c.limits.cpu can't be \"fast\"", "dir/tenon.toml:4:14");
}

static void live_changes_merge_and_keep_what_they_do_not_say(void **state)
{
	inputs.live = SLICE_LIT("[component.c]\nsource = \"b\"\n[link.k]\nurl = \"redis://y\"\n");
	struct app *a = load(HEAD "[component.c]\nsource = \"a\"\npolicy = \"reuse\"\n[link.k]\ntype = \"redis\"\nurl = \"redis://x\"\npool = 9\n");
	assert_string_equal(a->components.list[0].source.text, "b");
	assert_int_equal(a->components.list[0].source.at.in, APP_IN_LIVE);
	assert_int_equal(a->components.list[0].policy.value, APP_REUSE);
	assert_string_equal(a->links.list[0].url.text, "redis://y");
	assert_int_equal(a->links.list[0].pool.value, 9);
	inputs.live = SLICE_LIT("[component.c]\nsourc = \"b\"\n");
	refuse(HEAD, "unknown key 'sourc'", "live changes:2:1");
}

static void triggers_without_an_id_are_named_after_what_they_call(void **state)
{
	struct app *a = load(HEAD "[component.c]\nsource = \"c\"\n[trigger]\nhttp = [{ route = \"/\", component = \"c\" }, { route = \"/a\", component = \"c\", id = \"c-2\" },\n"
							  "{ route = \"/b\", component = \"c\" }, { route = \"/c\", static = {} }, { route = \"/d\", redirect = \"/\" }]\n");
	static const char *const names[] = {"c", "c-2", "c-3", "static", "redirect"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_string_equal(a->triggers.http.list[i].item.name, names[i]);
	assert_string_equal(a->triggers.http.list[4].redirect.to.text, "/");
	assert_int_equal(a->triggers.http.list[4].redirect.status.value, 308);
}

static const char *add(const char *live, const char *change)
{
	struct slice ret;
	if (!app_live_add(&arena, slice_str(live), slice_str(change), &ret, &err))
		fail_msg("%s", err.text);
	return (const char *)ret.ptr;
}

static void live_changes_are_put_together(void **state)
{
	assert_string_equal(add("", ""), "");
	assert_string_equal(add("", "a.b = { c = [1, { d = true }], \"e f\" = 'x\"y' }\n"), "[a.b]\nc = [1, { d = true }]\n\"e f\" = \"x\\\"y\"\n");
	assert_string_equal(add("[link.k]\nurl = \"x\"\npool = 1\n", "[link.k]\nurl = \"unset\"\n[link.l]\ntype = \"memory\"\n"),
		"[link.k]\nurl = \"unset\"\npool = 1\n[link.l]\ntype = \"memory\"\n");
	assert_string_equal(add("[a]\nb = 1\n", "[a.b]\nc = 1.5\n"), "[a.b]\nc = 1.5\n");
	struct slice ret;
	assert_true(app_live_take(&arena, SLICE_LIT("[link.k]\na = 1\n[link.l]\nb = 2\n"), SLICE_LIT(""), "link", "k", &ret, &err));
	assert_true(slice_eq_str(ret, "[link.l]\nb = 2\n"));
	assert_true(app_live_take(&arena, SLICE_LIT("[link.k]\na = 1\n"), SLICE_LIT("[link.k]\nc = 3\n[link.m]\nd = 4\n"), "link", "k", &ret, &err));
	assert_true(slice_eq_str(ret, "[link.k]\nc = 3\n"));
	assert_true(app_live_take(&arena, SLICE_LIT(""), SLICE_LIT("[link.k]\nc = 3\n"), "link", "k", &ret, &err));
	assert_true(slice_eq_str(ret, "[link.k]\nc = 3\n"));
	assert_false(app_live_add(&arena, SLICE_LIT("["), SLICE_LIT(""), &ret, &err));
}

static void an_edit_of_what_was_changed_live_is_found(void **state)
{
	struct slice live = SLICE_LIT("[link.k]\nurl = \"c\"\n"), before = SLICE_LIT("[link.k]\nurl = \"a\"\n"), edited = SLICE_LIT("[link.k]\nurl = \"b\"\n[link.l]\nurl = \"z\"\n");
	struct app_edit edit;
	assert_true(app_live_edited(&arena, live, before, edited, live, &edit, &err));
	assert_string_equal(edit.table, "link.k");
	assert_string_equal(edit.now, "{ url = \"b\" }");
	assert_string_equal(edit.in_force, "{ url = \"c\" }");
	assert_true(app_live_edited(&arena, live, before, before, live, &edit, &err));
	assert_null(edit.table);
	assert_true(app_live_edited(&arena, live, before, live, live, &edit, &err));  // to what is in force
	assert_null(edit.table);
	assert_true(app_live_edited(&arena, live, before, SLICE_LIT(""), live, &edit, &err));
	assert_string_equal(edit.now, "nothing");
}

// What a case of tests/manifest would be too long for.
static void what_is_too_much_is_refused(void **state)
{
	struct buf b = {0};
	static char set[(600 << 10) + 3];
	const char *sets[] = {set};
	buf_put_str(&b, HEAD "[component.c]\nsource = \"c\"\nlinks = { ");
	for (unsigned i = 0; i <= APP_MAX_LINKS; i++)
		buf_printf(&b, "%s\"a:b/c%u\" = \"k\"", i ? ", " : "", i);
	buf_printf(&b, " }\n[link.k]\ntype = \"memory\"\n%c", 0);
	refuse((const char *)b.ptr, "component.c.links has more than 1000 rows", "5:9");
	buf_clear(&b);
	memset(set, 'x', sizeof set - 1);
	memcpy(set, "v=", 2);
	inputs.sets = sets;
	inputs.n_sets = 1;
	buf_put_str(&b, HEAD "[variables]\nv = {}\n[component.c]\nsource = \"c\"\nenv = { ");
	for (unsigned i = 0; i < 120; i++)
		buf_printf(&b, "%sE%u = \"${v}\"", i ? ", " : "", i);
	buf_printf(&b, " }\n%c", 0);
	refuse((const char *)b.ptr, "the text is too long with the variables' values in it", "7:");
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(values_have_their_places_and_defaults_have_none, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(a_variable_has_the_strongest_of_its_values, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(a_variable_may_be_what_a_file_says, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(texts_have_the_values_of_variables_in_them_and_know_secrets, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(hosts_of_spin_become_rules_once_their_variables_are_known, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(a_profile_is_laid_over_by_its_rules, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(live_changes_merge_and_keep_what_they_do_not_say, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(live_changes_are_put_together, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(an_edit_of_what_was_changed_live_is_found, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(what_is_too_much_is_refused, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(triggers_without_an_id_are_named_after_what_they_call, open_arena, close_arena),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
