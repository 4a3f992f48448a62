// The command line into struct cli. options.def and serve/limits.def are the tables: a row there is a line of --help and a parser here.
// Each option is acted on by the commands that its row names and refused by name by the others.
#include "cli_int.h"

#include <errno.h>

// Commands, one bit each (ORDER commands.def), and marks.
enum {
	UP = 1 << CLI_up,
	SERVE = 1 << CLI_serve,
	RUN = 1 << CLI_run,
	COMPILE = 1 << CLI_compile,
	INSPECT = 1 << CLI_inspect,
	SERVERS = UP | SERVE,
	CALLS = SERVERS | RUN,
	LOADS = CALLS | COMPILE,
	HIDDEN = 1 << 16,
	ANYWHERE = 1 << 17,
};

typedef bool parse_fn(struct cli *c, const char *value, struct err *e);

static bool bad_value(struct err *e, const char *what, const char *value, const char *hint)
{
	err_set(e, ERR_USAGE, "%s: '%s'", what, value);
	return err_hint(e, "%s", hint);
}

// ---- values -----------------------------------------------------------------------------------------------------

struct unit {
	const char *suffix;
	uint64_t factor;
};
static const struct unit time_units[] = {{"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", SECOND}, {"m", 60 * SECOND}, {"h", 3600 * SECOND}, {NULL, 0}};
static const struct unit size_units[] = {{"KiB", KIB}, {"MiB", MIB}, {"GiB", GIB}, {"K", KIB}, {"M", MIB}, {"G", GIB}, {"B", 1}, {"", 1}, {NULL, 0}};
static const struct unit count_units[] = {{"", 1}, {NULL, 0}};

bool cli__parse_quantity(const char *value, char kind, uint64_t *ret, struct err *e)
{
	const struct unit *units = kind == 't' ? time_units : kind == 'b' ? size_units
																	  : count_units;
	const char *hint = kind == 't' ? "a time with its unit: 500ms, 10s, 2m; or none" : kind == 'b' ? "a size: 65536, 64KiB, 256MiB; or none"
																								   : "a number, or none";
	if (strcmp(value, "none") == 0) {
		*ret = 0;
		return true;
	}
	size_t digits = strspn(value, "0123456789");
	uint64_t n;
	if (slice_parse_u64(slice_of(value, digits), UINT64_MAX, &n))
		for (const struct unit *u = units; u->suffix; u++)
			if (strcmp(value + digits, u->suffix) == 0) {
				if (n == 0)
					return bad_value(e, "a limit of nothing", value, "none means no limit");
				*ret = sat_mul_u64(n, u->factor);
				return true;
			}
	return bad_value(e, "not a quantity", value, hint);
}

static bool parse_addr(struct cli *c, const char *value, struct err *e)
{
	const char *hint = "HOST:PORT, like 127.0.0.1:3000 or [::1]:3000; :3000 is all addresses";
	const char *colon = strrchr(value, ':');
	uint64_t port;
	if (!colon || !slice_parse_u64(slice_str(colon + 1), 65535, &port))
		return bad_value(e, "not an address", value, hint);
	size_t n = (size_t)(colon - value);
	const char *host = value;
	if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
		host++;
		n -= 2;
	} else if (memchr(host, ':', n)) {
		return bad_value(e, "not an address", value, hint);
	}
	if (n >= sizeof c->host)
		return bad_value(e, "not an address", value, hint);
	memcpy(c->host, host, n);
	c->host[n] = 0;
	c->config.listener.host = c->host;
	c->config.listener.port = (uint16_t)port;
	return true;
}

static bool parse_shards(struct cli *c, const char *value, struct err *e)
{
	uint64_t n;
	if (!slice_parse_u64(slice_str(value), 1024, &n) || n == 0)
		return bad_value(e, "not a number of shards", value, "1 to 1024");
	c->config.process.shards = (unsigned)n;
	return true;
}

static bool parse_word(const char *what, const char *value, const char *const *words, int *ret, struct err *e)
{
	char hint[128] = "one of:";
	for (int i = 0; words[i]; i++) {
		if (strcmp(value, words[i]) == 0) {
			*ret = i;
			return true;
		}
		size_t at = strlen(hint);
		snprintf(hint + at, sizeof hint - at, " %s", words[i]);
	}
	return bad_value(e, what, value, hint);
}

static bool parse_policy(struct cli *c, const char *value, struct err *e)
{
	static const char *const words[] = {"fresh", "reuse", "keep", NULL};
	int i;
	if (!parse_word("unknown policy", value, words, &i, e))
		return false;
	c->config.service.policy = (enum serve_policy)i;
	return true;
}

static bool parse_init(struct cli *c, const char *value, struct err *e)
{
	static const char *const words[] = {"auto", "once", "each", NULL};
	int i;
	if (!parse_word("unknown time of the image", value, words, &i, e))
		return false;
	c->config.service.init = (enum serve_init)i;
	return true;
}

static bool parse_tier(struct cli *c, const char *value, struct err *e)
{
	static const char *const words[] = {"baseline", NULL};
	int i;
	return parse_word("unknown tier", value, words, &i, e);
}

static bool parse_invoke(struct cli *c, const char *value, struct err *e)
{
	c->invoke = value;
	return true;
}

static bool parse_env(struct cli *c, const char *value, struct err *e)
{
	const char *eq = strchr(value, '=');
	struct serve_pair pair = {0};
	if (eq == value || *value == 0)
		return bad_value(e, "not NAME=VALUE", value, "K=V, or K alone for the value that it has here");
	struct slice name;
	if (!slice_dup(&c->arena, slice_of(value, eq ? (size_t)(eq - value) : strlen(value)), &name))
		return err_nomem(e);
	pair.name = (const char *)name.ptr;
	pair.value = eq ? eq + 1 : getenv(pair.name);
	if (!pair.value)
		return bad_value(e, "no such variable here", value, "set it, or give K=V");
	return VEC_PUSH(&c->arena, &c->config.service.env, pair, CLI_MAX_ENV) || err_set(e, ERR_USAGE, "more than %d values", CLI_MAX_ENV);
}

static bool parse_no_cache(struct cli *c, const char *value, struct err *e)
{
	c->config.service.no_cache = true;
	return true;
}

static bool parse_poison_upper(struct cli *c, const char *value, struct err *e)
{
	c->config.service.poison_upper = true;
	return true;
}

static bool parse_log(struct cli *c, const char *value, struct err *e)
{
	static const char *const words[] = {"error", "warn", "info", "debug", NULL};
	int i;
	if (!parse_word("unknown log level", value, words, &i, e))
		return false;
	c->config.process.log_level = (enum serve_log)i;
	return true;
}

static bool parse_json(struct cli *c, const char *value, struct err *e)
{
	c->config.process.json = true;
	return true;
}

// ---- tables -----------------------------------------------------------------------------------------------------

static const struct option_row {
	const char *name, *arg;
	uint32_t commands;  // bits; 0: refused, `help` says why
	parse_fn *parse;    // NULL: a limit, of this kind in this field
	const char *help;
	char kind;
	size_t field;
} options[] = {
#define OPTION(name, arg, commands, parse, help) {name, arg, commands, parse_##parse, help, 0, 0},
#define REFUSED(name, arg, why) {name, arg, 0, NULL, why, 0, 0},
#include "options.def"
#undef OPTION
#undef REFUSED
#define NS 't'
#define BYTES 'b'
#define COUNT 'n'
#define SERVE_LIMIT(scope, field, flag, unit, commands, server, run, help) {flag, "N", commands, NULL, help, unit, offsetof(struct serve_config, scope.limits.field)},
#include "serve/limits.def"
#undef SERVE_LIMIT
#undef NS
#undef BYTES
#undef COUNT
};
_Static_assert(ARRAY_LEN(options) <= 64, "struct cli.early has a bit for each");

static const struct command_row {
	const char *name, *args;
	unsigned least, most;
	const char *summary;
} commands[] = {
	{"", "COMMAND ...", 0, 0, ""},
#define COMMAND(name, args, least, most, summary) {#name, args, least, most, summary},
#include "commands.def"
#undef COMMAND
};

static bool applies(const struct option_row *o, enum cli_command command)
{
	return o->commands & 1u << command;
}

// ---- parsing ----------------------------------------------------------------------------------------------------

// What a limit may be where that is less than all.
static bool in_range(const struct option_row *o, uint64_t value, struct err *e)
{
	static const struct {
		size_t field;
		uint64_t least, most;
	} ranges[] = {
#define SERVE_LIMIT(...)
#define SERVE_RANGE(scope, name, low, high) {offsetof(struct serve_config, scope.limits.name), low, high},
#include "serve/limits.def"
#undef SERVE_LIMIT
	};
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		if (ranges[i].field == o->field && (value < ranges[i].least || value > ranges[i].most))
			return err_set(e, ERR_USAGE, "out of range: from %llu to %llu%s", (unsigned long long)ranges[i].least, (unsigned long long)ranges[i].most,
				o->kind == 'b' ? " bytes" : "");
	return true;
}

static const struct option_row *find_option(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
			return &options[i];
	return NULL;
}

static bool not_for(const struct option_row *o, enum cli_command command, struct err *e)
{
	err_set(e, ERR_USAGE, "--%s is no option of `tenon %s`", o->name, commands[command].name);
	return err_hint(e, "tenon %s --help lists its options", commands[command].name);
}

// `arg` begins with "--"; `next` is what stands behind it, or NULL.
static bool set_option(struct cli *c, const char *arg, const char *next, bool *ret_took_next, struct err *e)
{
	const char *name = arg + 2, *eq = strchr(name, '='), *value = eq ? eq + 1 : next;
	const struct option_row *o = find_option(name, eq ? (size_t)(eq - name) : strlen(name));
	if (!o) {
		err_set(e, ERR_USAGE, "unknown option %s", arg);
		return err_hint(e, "tenon %s%s--help lists them", commands[c->command].name, c->command ? " " : "");
	}
	if (!o->commands)
		return err_set(e, ERR_USAGE, "--%s is not supported: %s", o->name, o->help);
	if (c->command == CLI_NONE && !(o->commands & ANYWHERE)) {
		err_set(e, ERR_USAGE, "--%s stands behind the command", o->name);
		return err_hint(e, "usage: tenon COMMAND --%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
	}
	if (c->command != CLI_NONE && !applies(o, c->command))
		return not_for(o, c->command, e);
	if (c->command == CLI_NONE)
		c->early |= UINT64_C(1) << (o - options);
	if (!o->arg && eq)
		return err_set(e, ERR_USAGE, "--%s takes no value", o->name);
	if (o->arg && !value)
		return err_set(e, ERR_USAGE, "--%s needs a value (%s)", o->name, o->arg);
	*ret_took_next = o->arg && !eq;
	uint64_t *field = (uint64_t *)((char *)&c->config + o->field);
	bool ok = o->parse ? o->parse(c, value, e) : cli__parse_quantity(value, o->kind, field, e) && in_range(o, *field, e);
	return ok || err_note(e, "--%s", o->name);
}

// What stands before or behind the command and is no row: it ends the program before any command runs.
static bool take_global(struct cli *c, const char *arg)
{
	if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
		c->help = true;
	else if (strcmp(arg, "--version") == 0 || strcmp(arg, "-V") == 0)
		c->version = true;
	else if (strcmp(arg, "-v") == 0 || strcmp(arg, "--verbose") == 0)
		c->verbose = true;
	else
		return false;
	return true;
}

// `help` is no command of its own: `tenon help run` is `tenon run --help`.
static bool choose_command(struct cli *c, const char *arg, struct err *e)
{
	if (strcmp(arg, "help") == 0 && !c->help) {
		c->help = true;
		return true;
	}
	for (size_t i = 1; i < ARRAY_LEN(commands); i++)
		if (strcmp(arg, commands[i].name) == 0) {
			c->command = (enum cli_command)i;
			serve_limits_default(&c->config, SERVERS & 1u << i);
			return true;
		}
	err_set(e, ERR_USAGE, "unknown command '%s'", arg);
	return err_hint(e, "tenon --help lists the commands");
}

// What only the end of the line can tell.
static bool check_whole(struct cli *c, struct err *e)
{
	const struct command_row *row = &commands[c->command];
	if (c->verbose && !c->version) {
		err_set(e, ERR_USAGE, "--verbose goes with --version");
		return err_hint(e, "tenon --version --verbose; --log debug makes a server say more");
	}
	if (c->help || c->version || c->command == CLI_NONE)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (c->early >> i & 1 && !applies(&options[i], c->command))
			return not_for(&options[i], c->command, e);
	if (c->args.len >= row->least && c->args.len <= row->most)
		return true;
	err_set(e, ERR_USAGE, c->args.len < row->least ? "%s: something is missing" : "%s: too many arguments", row->name);
	return err_hint(e, "usage: tenon %s [OPTION...] %s", row->name, row->args);
}

// What follows FILE is the guest's, but a call takes no arguments of that kind: with --invoke options may stand on both sides.
static bool is_invoke(const char *arg)
{
	return strcmp(arg, "--invoke") == 0 || strncmp(arg, "--invoke=", 9) == 0;
}

bool cli_parse(int argc, char **argv, struct cli *c, struct err *e)
{
	*c = (struct cli){.config = {.listener = {.host = "127.0.0.1", .port = 3000}, .process.log_level = SERVE_LOG_INFO}};
	arena_init(&c->arena, 64 << 20);
	serve_limits_default(&c->config, true);
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
		bool rest_is_guests = c->command == CLI_run && c->args.len >= 1 && !c->invoke && !is_invoke(arg);
		bool took = false;
		if (arg[0] == '-' && arg[1] && !rest_is_guests) {
			if (take_global(c, arg))
				continue;
			if (strncmp(arg, "--", 2) != 0) {
				err_set(e, ERR_USAGE, "unknown option %s", arg);
				return err_hint(e, "tenon --help");
			}
			if (!set_option(c, arg, next, &took, e))
				return false;
			i += took;
		} else if (c->command == CLI_NONE) {
			if (!choose_command(c, arg, e))
				return false;
		} else if (!VEC_PUSH(&c->arena, &c->args, arg, CLI_MAX_ARGS)) {
			return err_set(e, ERR_USAGE, "more than %d arguments", CLI_MAX_ARGS);
		}
	}
	return check_whole(c, e);
}

void cli_release(struct cli *c)
{
	arena_release(&c->arena);
}

// ---- help -------------------------------------------------------------------------------------------------------

static void print_program_help(void)
{
	printf("tenon runs WebAssembly components on servers.\n\nusage: tenon COMMAND [OPTION...] ...\n\n");
	for (size_t i = 1; i < ARRAY_LEN(commands); i++) {
		char usage[64];
		snprintf(usage, sizeof usage, "%s %s", commands[i].name, commands[i].args);
		printf("  %-20s %s\n", usage, commands[i].summary);
	}
	printf("\n  tenon COMMAND --help   the options of a command\n"
		   "  tenon --version [-v]   the version; -v: what it found on this machine\n\n"
		   "Exit status: 0 done, 1 the guest failed, 2 usage, 3 rejected input, 4 cannot link,\n"
		   "5 environment, 124 deadline or CPU budget spent, 134 the guest trapped.\n");
}

void cli_print_help(enum cli_command command)
{
	if (command == CLI_NONE) {
		print_program_help();
		return;
	}
	const struct command_row *row = &commands[command];
	bool in_limits = false;
	printf("tenon %s: %s\n\nusage: tenon %s [OPTION...] %s\n\n", row->name, row->summary, row->name, row->args);
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		const struct option_row *o = &options[i];
		if (!applies(o, command) || o->commands & HIDDEN)
			continue;
		if (!o->parse && !in_limits)
			printf("\nLimits (a value with its unit, or none):\n");
		in_limits = !o->parse;
		char left[64];
		snprintf(left, sizeof left, "--%s %s", o->name, o->arg && o->parse ? o->arg : "");
		printf("  %-26s %s\n", left, o->help);
	}
}
