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
#define SERVERS UP SERVE
#define CALLS SERVERS RUN
#define LOADS CALLS COMPILE

static const struct row {
	const char *name, *value, *commands;
} rows[] = {
	{"addr", "0.0.0.0:1", SERVERS},
	{"listen", "0.0.0.0:1", SERVERS},
	{"shards", "3", SERVERS},
	{"policy", "reuse", SERVERS},
	{"init", "each", SERVERS},
	{"invoke", "f()", RUN},
	{"env", "A=b", CALLS},
	{"tier", "baseline", LOADS},  // of one kind: changes nothing
	{"no-cache", NULL, LOADS},
	{"log", "error", CALLS},
	{"json", NULL, CALLS INSPECT},
	{"poison-upper", NULL, LOADS},
	{"dir", ".", ""},
	{"net", "all", ""},
	{"config", "a=b", ""},
#define NS "7ms"
#define BYTES "7KiB"
#define COUNT "7"
#define SERVE_LIMIT(scope, field, flag, unit, commands, server, run, help) {flag, unit, commands},
#include "serve/limits.def"
#undef SERVE_LIMIT
};
static const char *const defined[] = {
#define OPTION(name, ...) name,
#define REFUSED(name, ...) name,
#include "cli/options.def"
#undef OPTION
#undef REFUSED
#define SERVE_LIMIT(scope, field, flag, ...) flag,
#include "serve/limits.def"
#undef SERVE_LIMIT
};
static const char *const commands[] = {"up", "serve", "run", "compile", "inspect"};

static bool parse(struct cli *c, struct err *e, const char *a, const char *b, const char *d, const char *f)
{
	const char *argv[6] = {"tenon"};
	int argc = 1;
	const char *given[] = {a, b, d, f};
	for (int i = 0; i < 4; i++)
		if (given[i])
			argv[argc++] = given[i];
	err_clear(e);
	return cli_parse(argc, (char **)(void *)argv, c, e);
}

// Whether an option's parser had any effect: what a command reads is in the configuration.
static bool same_effect(const struct cli *x, const struct cli *y)
{
	struct serve_config p = x->config, q = y->config;
	bool same = p.service.env.len == q.service.env.len && (x->invoke == NULL) == (y->invoke == NULL) && strcmp(p.listener.host, q.listener.host) == 0;
	p.service.env = q.service.env;
	p.listener.host = q.listener.host;
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
			snprintf(flag, sizeof flag, "--%s", r->name);
			memset(&plain, 0, sizeof plain);
			memset(&with, 0, sizeof with);
			assert_true(parse(&plain, &e, commands[k], "x.wasm", NULL, NULL));
			bool ok = parse(&with, &e, commands[k], flag, r->value ? r->value : "x.wasm", r->value ? "x.wasm" : NULL);
			if (strchr(r->commands, commands[k][0])) {
				if (!ok)
					fail_msg("tenon %s %s: %s", commands[k], flag, e.text);
				assert_int_equal(with.args.len, 1);
				if (same_effect(&plain, &with) && strcmp(r->name, "tier") != 0)
					fail_msg("tenon %s %s: changes nothing", commands[k], flag);
			} else {
				if (ok || e.code != ERR_USAGE || strncmp(e.text, flag, strlen(flag)) != 0)
					fail_msg("tenon %s %s: is not refused by name: %s", commands[k], flag, ok ? "taken" : e.text);
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
		cmocka_unit_test(an_option_without_value_takes_none),
		cmocka_unit_test(what_follows_the_file_is_the_guests),
		cmocka_unit_test(help_and_version_have_the_forms_that_people_type),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
