// The command line into struct cli. options.def and serve/limits.def are the tables; a row here a line of --help and a parser.
#include "cli_int.h"

#include <errno.h>

enum group { HIDDEN = 0, SERVERS = 1, RUN = 2, BOTH = 3, COMPILE = 4, NONE = 8 };

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
	const char *hint = "HOST:PORT, like 127.0.0.1:3000, 0.0.0.0:80 or [::1]:3000";
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
	if (n == 0 || n >= sizeof c->host)
		return bad_value(e, "not an address", value, hint);
	memcpy(c->host, host, n);
	c->host[n] = 0;
	c->config.host = c->host;
	c->config.port = (uint16_t)port;
	return true;
}

static bool parse_shards(struct cli *c, const char *value, struct err *e)
{
	uint64_t n;
	if (!slice_parse_u64(slice_str(value), 1024, &n) || n == 0)
		return bad_value(e, "not a number of shards", value, "1 to 1024");
	c->config.shards = (unsigned)n;
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
	c->config.policy = (enum serve_policy)i;
	return true;
}

static bool parse_init(struct cli *c, const char *value, struct err *e)
{
	static const char *const words[] = {"auto", "once", "each", NULL};
	int i;
	if (!parse_word("unknown time of the image", value, words, &i, e))
		return false;
	c->config.init = (enum serve_init)i;
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

static bool add_pair(struct cli *c, __typeof__(&((struct serve_config *)0)->env) list, const char *value, bool inherit, struct err *e)
{
	const char *eq = strchr(value, '=');
	struct serve_pair pair = {0};
	if (eq == value || *value == 0 || (!eq && !inherit))
		return bad_value(e, "not NAME=VALUE", value, inherit ? "K=V, or K alone for the value that it has here" : "K=V");
	struct slice name;
	if (!slice_dup(&c->arena, slice_of(value, eq ? (size_t)(eq - value) : strlen(value)), &name))
		return err_nomem(e);
	pair.name = (const char *)name.ptr;
	pair.value = eq ? eq + 1 : getenv(pair.name);
	if (!pair.value)
		return bad_value(e, "no such variable here", value, "set it, or give K=V");
	return VEC_PUSH(&c->arena, list, pair, 10000) || err_set(e, ERR_USAGE, "too many values");
}

static bool parse_env(struct cli *c, const char *value, struct err *e)
{
	return add_pair(c, &c->config.env, value, true, e);
}

static bool parse_config(struct cli *c, const char *value, struct err *e)
{
	return add_pair(c, (__typeof__(&c->config.env))(void *)&c->config.config, value, false, e);
}

static bool parse_dir(struct cli *c, const char *value, struct err *e)
{
	return VEC_PUSH(&c->arena, &c->config.dirs, value, 1000) || err_set(e, ERR_USAGE, "too many folders");
}

static bool parse_net(struct cli *c, const char *value, struct err *e)
{
	return VEC_PUSH(&c->arena, &c->config.nets, value, 10000) || err_set(e, ERR_USAGE, "too many addresses");
}

static bool parse_no_cache(struct cli *c, const char *value, struct err *e)
{
	c->config.no_cache = true;
	return true;
}

static bool parse_poison_upper(struct cli *c, const char *value, struct err *e)
{
	c->config.poison_upper = true;
	return true;
}

// ---- tables -----------------------------------------------------------------------------------------------------

static const struct option_row {
	const char *name, *arg;
	enum group group;
	parse_fn *parse;
	const char *help;
} options[] = {
#define OPTION(name, arg, group, parse, help) {name, arg, group, parse_##parse, help},
#include "options.def"
#undef OPTION
};

static const struct limit_row {
	const char *flag;
	size_t field;
	char kind;
	enum group group;
	const char *help;
} limits[] = {
#define NS 't'
#define BYTES 'b'
#define COUNT 'n'
#define OF_CALLS(flag) (!strcmp(flag, "cpu") || !strcmp(flag, "deadline"))  // they apply to `run`, where the default is none
#define SERVE_LIMIT(field, flag, unit, server, run, help) \
	{flag, offsetof(struct serve_limits, field), unit, (run) || OF_CALLS(flag) ? BOTH : SERVERS, help},
#include "serve/limits.def"
#undef SERVE_LIMIT
#undef NS
#undef BYTES
#undef COUNT
};

static const struct command_row {
	const char *name, *args;
	enum group group;
	unsigned least, most;
	const char *summary;
} commands[] = {
	{"", "COMMAND ...", HIDDEN, 0, 0, ""},
#define COMMAND(name, args, group, least, most, summary) {#name, args, group, least, most, summary},
#include "commands.def"
#undef COMMAND
};

static bool applies(enum group option, enum group command)
{
	return option == HIDDEN || command == COMPILE || (option & command);
}

// ---- parsing ----------------------------------------------------------------------------------------------------

static bool set_option(struct cli *c, const char *name, size_t len, const char *value, bool *ret_took_value, struct err *e)
{
	enum group group = commands[c->command].group;
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		if (strlen(options[i].name) != len || memcmp(options[i].name, name, len) != 0 || !applies(options[i].group, group))
			continue;
		*ret_took_value = options[i].arg != NULL;
		if (options[i].arg && !value)
			return err_set(e, ERR_USAGE, "--%s needs a value (%s)", options[i].name, options[i].arg);
		return options[i].parse(c, value, e) || err_note(e, "--%s", options[i].name);
	}
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		if (strlen(limits[i].flag) != len || memcmp(limits[i].flag, name, len) != 0 || !applies(limits[i].group, group))
			continue;
		*ret_took_value = true;
		if (!value)
			return err_set(e, ERR_USAGE, "--%s needs a value", limits[i].flag);
		uint64_t *field = (uint64_t *)((char *)&c->config.limits + limits[i].field);
		return cli__parse_quantity(value, limits[i].kind, field, e) || err_note(e, "--%s", limits[i].flag);
	}
	err_set(e, ERR_USAGE, "unknown option --%.*s", (int)len, name);
	return err_hint(e, "tenon %s --help lists them", commands[c->command].name);
}

static bool parse_log(struct cli *c, const char *value, struct err *e)
{
	static const char *const words[] = {"error", "warn", "info", "debug", NULL};
	int i;
	if (!value)
		return err_set(e, ERR_USAGE, "--log needs a value");
	if (!parse_word("unknown log level", value, words, &i, e))
		return false;
	c->config.log_level = (enum serve_log)i;
	return true;
}

// Options that stand before or after the command: --help, --version, --log, --json. *ret_known tells whether this was one.
static bool global_option(struct cli *c, const char *arg, const char *next, bool *ret_known, bool *ret_took, struct err *e)
{
	*ret_known = true;
	*ret_took = false;
	if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
		c->help = true;
	else if (strcmp(arg, "--version") == 0)
		c->version = true;
	else if (strcmp(arg, "-v") == 0 || strcmp(arg, "--verbose") == 0)
		c->verbose = true;
	else if (strcmp(arg, "--json") == 0)
		c->config.json = true;
	else if (strcmp(arg, "--log") == 0)
		return *ret_took = true, parse_log(c, next, e);
	else if (strncmp(arg, "--log=", 6) == 0)
		return parse_log(c, arg + 6, e);
	else
		*ret_known = false;
	return true;
}

static bool choose_command(struct cli *c, const char *arg, struct err *e)
{
	for (size_t i = 1; i < ARRAY_LEN(commands); i++)
		if (strcmp(arg, commands[i].name) == 0) {
			c->command = (enum cli_command)i;
			serve_limits_default(&c->config.limits, commands[i].group == SERVERS);
			return true;
		}
	err_set(e, ERR_USAGE, "unknown command '%s'", arg);
	return err_hint(e, "tenon --help lists the commands");
}

static bool check_count(struct cli *c, struct err *e)
{
	const struct command_row *row = &commands[c->command];
	if (c->help || c->version)
		return true;
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
	*c = (struct cli){.config = {.host = "127.0.0.1", .port = 3000, .log_level = SERVE_LOG_INFO}};
	arena_init(&c->arena, 64 << 20);
	serve_limits_default(&c->config.limits, true);
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
		bool rest_is_guests = c->command == CLI_run && c->args.len >= 1 && !c->invoke && !is_invoke(arg);
		if (arg[0] == '-' && arg[1] && !rest_is_guests) {
			bool known, took = false;
			if (!global_option(c, arg, next, &known, &took, e))
				return false;
			if (!known) {
				if (strncmp(arg, "--", 2) != 0 || c->command == CLI_NONE) {
					err_set(e, ERR_USAGE, "unknown option %s", arg);
					return err_hint(e, "tenon --help");
				}
				const char *eq = strchr(arg, '=');
				if (!set_option(c, arg + 2, eq ? (size_t)(eq - arg - 2) : strlen(arg + 2), eq ? eq + 1 : next, &took, e))
					return false;
				took = took && !eq;
			}
			i += took;
		} else if (c->command == CLI_NONE) {
			if (!choose_command(c, arg, e))
				return false;
		} else if (!VEC_PUSH(&c->arena, &c->args, arg, 100000)) {
			return err_set(e, ERR_USAGE, "too many arguments");
		}
	}
	return check_count(c, e);
}

void cli_release(struct cli *c)
{
	arena_release(&c->arena);
}

// ---- help -------------------------------------------------------------------------------------------------------

static void print_program_help(void)
{
	printf("tenon runs WebAssembly components on servers.\n\nusage: tenon [--log error|warn|info|debug] [--json] COMMAND ...\n\n");
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
	printf("tenon %s: %s\n\nusage: tenon %s [OPTION...] %s\n\n", row->name, row->summary, row->name, row->args);
	if (row->group == NONE)
		return;
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		if (options[i].group == HIDDEN || !applies(options[i].group, row->group))
			continue;
		char left[64];
		snprintf(left, sizeof left, "--%s %s", options[i].name, options[i].arg ? options[i].arg : "");
		printf("  %-26s %s\n", left, options[i].help);
	}
	printf("\nLimits (a value with its unit, or none):\n");
	for (size_t i = 0; i < ARRAY_LEN(limits); i++)
		if (applies(limits[i].group, row->group) && limits[i].group != HIDDEN)
			printf("  --%-24s %s\n", limits[i].flag, limits[i].help);
}
