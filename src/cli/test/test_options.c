// Every option × every command: it changes what the command gets, or it is refused by its name. The table here is written by hand: a row of
// options.def or limits.def that is not in it fails.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cli/cli.h"

#define UP "u"
#define SERVE "s"
#define RUN "r"
#define COMPILE "c"
#define INSPECT "i"
#define CHECK "k"
#define DOCTOR "d"
#define STATUS "t"
#define TOP "o"
#define EXPLAIN "e"
#define LOGS "l"
#define LINK "n"
#define UPDATE "1"
#define SCALE "2"
#define SET "3"
#define UNDO "4"
#define HISTORY "5"
#define APPLY "6"
#define STOP "7"
#define CHANGES LINK UPDATE SCALE SET UNDO APPLY STOP
#define ASKS STATUS TOP EXPLAIN HISTORY CHANGES
#define SERVERS UP SERVE
#define REUSERS SERVERS SCALE
#define CALLS SERVERS RUN
#define STARTS CALLS INSPECT
#define LOADS CALLS COMPILE

static const struct row {
	const char *name, *value, *commands, *with;
} rows[] = {
	{"profile", "p", UP CHECK},
	{"set", "a=b", UP CHECK},
	{"schema", NULL, CHECK},
	{"addr", "0.0.0.0:1", SERVERS},
	{"listen", "0.0.0.0:1", SERVERS},
	{"shards", "3", SERVERS},
	{"policy", "reuse", REUSERS},
	{"init", "each", SERVERS INSPECT},
	{"invoke", "f()", RUN},
	{"env", "A=b", CALLS},
	{"config", "a=b", CALLS},
	{"dir", ".", CALLS},
	{"net", "all", CALLS},
	{"listen-tcp", "127.0.0.1:0", CALLS},
	{"listen-udp", ":*", CALLS},
	{"private", NULL, CALLS, "--net=all"},
	{"ca", "x.pem", CALLS, "--net=all"},
	{"tls-cert", "x.pem", SERVERS},
	{"tls-key", "x.pem", SERVERS},
	{"tier", "baseline", LOADS},  // of one kind: changes nothing
	{"feature", "simd", LOADS INSPECT},
	{"no-feature", "simd", LOADS INSPECT},
	{"no-cache", NULL, LOADS},
	{"admin", "0.0.0.0:1", SERVERS},
	{"otlp", "http://a", SERVERS},
	{"trace-sample", "1%", SERVERS, "--otlp=http://a"},
	{"access-log", "-", SERVERS},
	{"log", "error", CALLS},
	{"json", NULL, CALLS INSPECT CHECK DOCTOR ASKS LOGS},
	{"follow", NULL, LOGS},
	{"copy", NULL, LINK APPLY},
	{"no-copy", NULL, APPLY},
	{"replace", NULL, LINK APPLY},
	{"undo", NULL, LINK},
	{"discard", NULL, LINK UNDO},
	{"shadow", "12%", LINK},
	{"dry-run", NULL, CHANGES},
	{"no-wait", NULL, CHANGES},
	{"max-pause", "1s", LINK},
	{"limit", "1s", LINK},
	{"percent", "20", UPDATE},
	{"accept", NULL, UPDATE},
	{"promote", NULL, UPDATE LINK},
	{"rollback", NULL, UPDATE},
	{"to", "3", UNDO},
	{"min", "3", SCALE},
	{"max", "3", SCALE},
	{"manifest", NULL, UP STATUS},
	{"live", NULL, UP},
	{"wit", NULL, INSPECT},
	{"poison-upper", NULL, LOADS},
#define NS "7ms"
#define BYTES "7KiB"
#define COUNT "7"
#define SERVE_LIMIT(scope, field, flag, unit, commands, server, run, help) {flag, unit, commands},
#include "app/limits.def"
#undef SERVE_LIMIT
};
static const char *const defined[] = {
#define OPTION(name, ...) name,
#define REFUSED(name, ...) name,
#include "cli/options.def"
#undef OPTION
#undef REFUSED
#define SERVE_LIMIT(scope, field, flag, ...) flag,
#include "app/limits.def"
#undef SERVE_LIMIT
};
static const struct {
	const char *name, *letter;
} commands[] = {{"up", UP}, {"serve", SERVE}, {"run", RUN}, {"compile", COMPILE}, {"inspect", INSPECT}, {"check", CHECK}, {"doctor", DOCTOR}, {"status", STATUS}, {"top", TOP},
	{"explain", EXPLAIN}, {"logs", LOGS}, {"link", LINK}, {"update", UPDATE}, {"scale", SCALE}, {"set", SET}, {"undo", UNDO}, {"history", HISTORY}, {"apply", APPLY}, {"stop", STOP}};

#define parse(c, e, ...) parse_all(c, e, (const char *const[]){__VA_ARGS__}, ARRAY_LEN(((const char *const[]){__VA_ARGS__})))
static bool parse_all(struct cli *c, struct err *e, const char *const *given, size_t n)
{
	const char *argv[8] = {"tenon"};
	int argc = 1;
	for (size_t i = 0; i < n; i++)
		if (given[i])
			argv[argc++] = given[i];
	err_clear(e);
	return cli_parse(argc, (char **)(void *)argv, c, e);
}

// Whether an option's parser had any effect: what a command reads is in the configuration.
static bool same_effect(const struct cli *x, const struct cli *y)
{
	struct serve_config p = x->config, q = y->config;
	bool same = p.service.env.len == q.service.env.len && p.service.nets.len == q.service.nets.len;
	same = same && x->no_copy == y->no_copy && x->wit == y->wit && x->follow == y->follow && x->schema == y->schema;
	same = same && x->percent == y->percent && x->promote == y->promote && x->accept == y->accept;
	same = same && x->rollback == y->rollback && x->to == y->to && x->min == y->min && x->max == y->max;
	same = same && x->copy == y->copy && x->replace == y->replace && x->undo == y->undo && x->discard == y->discard && x->shadow == y->shadow && x->dry_run == y->dry_run;
	same = same && x->no_wait == y->no_wait && x->max_pause_ns == y->max_pause_ns && x->limit_ns == y->limit_ns && x->manifest == y->manifest && x->live == y->live;
	same = same && (x->profile == NULL) == (y->profile == NULL) && x->sets.len == y->sets.len;
	same = same && (x->invoke == NULL) == (y->invoke == NULL) && p.listener.addresses.len == q.listener.addresses.len;
	p.service.env = q.service.env;
	same = same && p.listener.certs.len == q.listener.certs.len && p.listener.keys.len == q.listener.keys.len;
	p.service.nets = q.service.nets;
	p.listener.certs = q.listener.certs;
	p.listener.keys = q.listener.keys;
	p.listener.addresses = q.listener.addresses;
	return same && memcmp(&p, &q, sizeof p) == 0;
}

static void every_option_works_with_a_command_or_is_refused_by_name(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t k = 0; k < ARRAY_LEN(commands); k++) {
			const struct row *r = &rows[i];
			struct cli plain, with;
			struct err e;
			char flag[64];
			bool acts = strchr(r->commands, commands[k].letter[0]);
			const char *also = !acts ? NULL : strcmp(r->name, "open-files") == 0 || strcmp(r->name, "file-size") == 0 ? "--dir=."
																													  : r->with;  // limits of files need a folder
			const char *file = strchr(DOCTOR STATUS TOP LOGS, commands[k].letter[0]) ? NULL : "x.wasm";
			snprintf(flag, sizeof flag, "--%s", r->name);
			memset(&plain, 0, sizeof plain);
			memset(&with, 0, sizeof with);
			assert_true(parse(&plain, &e, commands[k].name, also, file, NULL, NULL));
			bool ok = parse(&with, &e, commands[k].name, also, flag, r->value, file);
			if (acts) {
				if (!ok)
					fail_msg("tenon %s %s: %s", commands[k].name, flag, e.text);
				assert_int_equal(with.args.len, file != NULL);
				if (same_effect(&plain, &with) && strcmp(r->name, "tier") != 0)
					fail_msg("tenon %s %s: changes nothing", commands[k].name, flag);
			} else {
				if (ok || e.code != ERR_USAGE || strncmp(e.text, flag, strlen(flag)) != 0)
					fail_msg("tenon %s %s: is not refused by name: %s", commands[k].name, flag, ok ? "taken" : e.text);
			}
			cli_release(&plain);
			cli_release(&with);
		}
}

static void the_table_here_has_every_option(void **state)
{
	assert_int_equal(ARRAY_LEN(rows), ARRAY_LEN(defined));
	for (size_t i = 0; i < ARRAY_LEN(defined); i++) {
		bool found = false;
		for (size_t k = 0; k < ARRAY_LEN(rows) && !found; k++)
			found = strcmp(defined[i], rows[k].name) == 0;
		if (!found)
			fail_msg("--%s is not in the table", defined[i]);
	}
}

static void an_option_before_the_command_is_checked_against_it(void **state)
{
	struct cli c;
	struct err e;
	assert_true(parse(&c, &e, "--json", "run", "x.wasm", NULL));
	assert_true(c.config.process.json);
	cli_release(&c);
	assert_false(parse(&c, &e, "--json", "compile", "x.wasm", NULL));
	assert_string_equal(e.text, "--json is no option of `tenon compile`");
	cli_release(&c);
	assert_false(parse(&c, &e, "--log=debug", "inspect", "x.wasm", NULL));
	assert_string_equal(e.text, "--log is no option of `tenon inspect`");
	cli_release(&c);
	assert_false(parse(&c, &e, "--addr", "0.0.0.0:1", "serve", "x.wasm"));
	assert_string_equal(e.text, "--addr stands behind the command");
	cli_release(&c);
}

static void an_option_about_what_another_gives_is_refused_without_it(void **state)
{
	static const char *const pairs[][3] = {{"--private", "--net", NULL}, {"--ca=x", "--net", NULL}, {"--open-files=5", "--dir", NULL}, {"--file-size=5", "--dir", NULL}};
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		struct cli c;
		struct err e;
		assert_false(parse(&c, &e, "serve", pairs[i][0], "x.wasm", NULL));
		assert_non_null(strstr(e.text, pairs[i][1]));
		assert_int_equal(e.code, ERR_USAGE);
		cli_release(&c);
	}
}

static void an_option_without_value_takes_none(void **state)
{
	struct cli c;
	struct err e;
	assert_false(parse(&c, &e, "serve", "--no-cache=yes", "x.wasm", NULL));
	assert_string_equal(e.text, "--no-cache takes no value");
	cli_release(&c);
	assert_false(parse(&c, &e, "serve", "x.wasm", "--cpu", NULL));
	assert_string_equal(e.text, "--cpu needs a value (N)");
	cli_release(&c);
}

static void what_follows_the_file_is_the_guests(void **state)
{
	struct cli c;
	struct err e;
	assert_true(parse(&c, &e, "run", "x.wasm", "--json", "--dir"));
	assert_int_equal(c.args.len, 3);
	assert_false(c.config.process.json);
	cli_release(&c);
	assert_true(parse(&c, &e, "run", "x.wasm", "--", "a") && c.args.len == 3);
	cli_release(&c);
	assert_true(parse(&c, &e, "run", "--", "x.wasm", "--"));
	assert_int_equal(c.args.len, 2);
	cli_release(&c);
	assert_true(parse(&c, &e, "serve", "--", "--json", NULL));
	assert_string_equal(c.args.ptr[0], "--json");
	assert_false(c.config.process.json);
	cli_release(&c);
}

static void help_and_version_have_the_forms_that_people_type(void **state)
{
	struct cli c;
	struct err e;
	assert_true(parse(&c, &e, "help", NULL, NULL, NULL) && c.help && c.command == CLI_NONE);
	cli_release(&c);
	assert_true(parse(&c, &e, "help", "run", NULL, NULL) && c.help && c.command == CLI_run);
	cli_release(&c);
	assert_true(parse(&c, &e, "run", "-h", NULL, NULL) && c.help && c.command == CLI_run);
	cli_release(&c);
	assert_true(parse(&c, &e, "-V", NULL, NULL, NULL) && c.version);
	cli_release(&c);
	assert_true(parse(&c, &e, "-V", "-v", NULL, NULL) && c.version && c.verbose);
	cli_release(&c);
	assert_false(parse(&c, &e, "help", "frobnicate", NULL, NULL));
	cli_release(&c);
	assert_false(parse(&c, &e, "serve", "-v", "x.wasm", NULL));
	cli_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_option_works_with_a_command_or_is_refused_by_name),
		cmocka_unit_test(the_table_here_has_every_option),
		cmocka_unit_test(an_option_before_the_command_is_checked_against_it),
		cmocka_unit_test(an_option_about_what_another_gives_is_refused_without_it),
		cmocka_unit_test(an_option_without_value_takes_none),
		cmocka_unit_test(what_follows_the_file_is_the_guests),
		cmocka_unit_test(help_and_version_have_the_forms_that_people_type),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
