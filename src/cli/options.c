// The command line into struct cli. options.def and app/limits.def are the tables: a row there is a line of --help and a parser here.
// Each option is acted on by the commands that its row names and refused by name by the others.
#include "cli_int.h"

#include <errno.h>

#include "obs/obs.h"
#include "seam/seam.h"

// Commands, one bit each (ORDER commands.def), and marks.
#define BIT(command) (UINT64_C(1) << CLI_##command)
#define UP (BIT(up) | BIT(dev))
#define SERVE BIT(serve)
#define RUN BIT(run)
#define COMPILE BIT(compile)
#define INSPECT BIT(inspect)
#define CHECK BIT(check)
#define DOCTOR BIT(doctor)
#define STATUS BIT(status)
#define TOP BIT(top)
#define LOGS BIT(logs)
#define EXPLAIN BIT(explain)
#define LINK BIT(link)
#define UPDATE BIT(update)
#define SCALE BIT(scale)
#define SET BIT(set)
#define UNDO BIT(undo)
#define HISTORY BIT(history)
#define APPLY BIT(apply)
#define STOP BIT(stop)
#define REUSERS (SERVERS | SCALE)
#define CHANGES (LINK | UPDATE | SCALE | SET | UNDO | APPLY | STOP)
#define ASKS (STATUS | TOP | EXPLAIN | HISTORY | CHANGES)
#define SERVERS (UP | SERVE)
#define CALLS (SERVERS | RUN)
#define STARTS (CALLS | INSPECT)
#define LOADS (CALLS | COMPILE)
#define HIDDEN (UINT64_C(1) << 62)
#define ANYWHERE (UINT64_C(1) << 63)

typedef bool parse_fn(struct cli *c, const char *value, struct err *e);

static bool bad_value(struct err *e, const char *what, const char *value, const char *hint)
{
	err_set(e, ERR_USAGE, "%s: '%s'", what, value);
	return err_hint(e, "%s", hint);
}

// ---- values -----------------------------------------------------------------------------------------------------

bool cli__parse_quantity(const char *value, char kind, uint64_t *ret, struct err *e)
{
	const char *why;
	return app_quantity(slice_str(value), kind, true, ret, &why) || bad_value(e, "not a quantity", value, why);
}

// Port 0 is another one each time.
static bool is_any_port(const char *address)
{
	return slice_ends_with(slice_str(address), SLICE_LIT(":0"));
}

static bool parse_addr(struct cli *c, const char *value, struct err *e)
{
	if (!serve_check_address(value, e))
		return false;
	for (uint32_t i = 0; i < c->config.listener.addresses.len; i++)
		if (strcmp(c->config.listener.addresses.ptr[i], value) == 0 && !is_any_port(value))
			return bad_value(e, "an address that was given before", value, "once is enough");
	return VEC_PUSH(&c->arena, &c->config.listener.addresses, value, CLI_MAX_ADDRESSES) ||
		err_set(e, ERR_USAGE, "more than %d addresses", CLI_MAX_ADDRESSES);
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
	static const char *const words[] = {"fresh", "reuse", "keep", "concurrent", NULL};
	int i;
	if (!parse_word("unknown policy", value, words, &i, e))
		return false;
	c->config.service.policy = (enum serve_policy)i;
	c->policy = words[i];
	return true;
}

// warm=/,/search?q=1: what the guest is asked before its image is taken.
static bool parse_warm(struct cli *c, const char *paths, struct err *e)
{
	struct slice rest = slice_str(paths);
	for (bool more = true; more;) {
		size_t n = slice_find(rest, ',');
		struct slice path = slice_sub(rest, 0, n);
		more = n < rest.len;
		rest = slice_sub(rest, n + 1, rest.len);
		if (!app_is_target(path))
			return bad_value(e, "not paths of requests", paths, "warm=/ or warm=/,/search?q=1: each begins with /; a comma in one is %2C");
		if (c->config.service.warm.len == APP_WARM_MAX)
			return err_set(e, ERR_USAGE, "more than %d paths", APP_WARM_MAX);
		if (!slice_dup(&c->arena, path, &path) || !VEC_PUSH(&c->arena, &c->config.service.warm, (const char *)path.ptr, APP_WARM_MAX))
			return err_nomem(e);
	}
	return true;
}

static bool parse_init(struct cli *c, const char *value, struct err *e)
{
	static const char *const words[] = {"auto", "once", "each", NULL};
	int i;
	c->config.service.warm.len = 0;
	if (strncmp(value, "warm=", 5) == 0) {
		c->config.service.init = SERVE_INIT_ONCE;
		return parse_warm(c, value + 5, e);
	}
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

static bool is_named(const struct serve_pair *pairs, uint32_t n, const char *name)
{
	for (uint32_t i = 0; i < n; i++)
		if (strcmp(pairs[i].name, name) == 0)
			return true;
	return false;
}

static bool parse_env(struct cli *c, const char *value, struct err *e)
{
	const char *hint = "K=V, or K alone for the value that it has here; each K once, in UTF-8", *eq = strchr(value, '=');
	struct serve_pair pair = {0};
	struct slice name;
	if (eq == value || *value == 0)
		return bad_value(e, "not NAME=VALUE", value, hint);
	if (!slice_dup(&c->arena, slice_of(value, eq ? (size_t)(eq - value) : strlen(value)), &name))
		return err_nomem(e);
	pair.name = (const char *)name.ptr;
	pair.value = eq ? eq + 1 : getenv(pair.name);
	if (!pair.value)
		return bad_value(e, "no such variable here", value, "set it, or give K=V");
	if (!utf8_is_valid(name) || !utf8_is_valid(slice_str(pair.value)))
		return bad_value(e, "not in UTF-8", value, hint);
	if (is_named(c->config.service.env.ptr, c->config.service.env.len, pair.name))
		return bad_value(e, "two variables with the same name", pair.name, hint);
	return VEC_PUSH(&c->arena, &c->config.service.env, pair, CLI_MAX_ENV) || err_set(e, ERR_USAGE, "more than %d values", CLI_MAX_ENV);
}

static bool parse_config(struct cli *c, const char *value, struct err *e)
{
	const char *hint = "K=V, each K once, in UTF-8", *eq = strchr(value, '=');
	struct slice name;
	if (!eq || eq == value || !utf8_is_valid(slice_str(value)))
		return bad_value(e, "not KEY=VALUE", value, hint);
	if (!slice_dup(&c->arena, slice_of(value, (size_t)(eq - value)), &name))
		return err_nomem(e);
	struct serve_pair pair = {(const char *)name.ptr, eq + 1};
	if (is_named(c->config.service.settings.ptr, c->config.service.settings.len, pair.name))
		return bad_value(e, "two settings with the same key", pair.name, hint);
	return VEC_PUSH(&c->arena, &c->config.service.settings, pair, CLI_MAX_ENV) || err_set(e, ERR_USAGE, "more than %d settings", CLI_MAX_ENV);
}

static bool parse_net(struct cli *c, const char *value, struct err *e)
{
	struct seam_net_rule rule;
	if (!seam_net_rule_parse(&c->arena, slice_str(value), &rule, e))
		return false;
	return VEC_PUSH(&c->arena, &c->config.service.nets, value, CLI_MAX_NETS) || err_set(e, ERR_USAGE, "more than %d rules", CLI_MAX_NETS);
}

static bool parse_listen(struct cli *c, const char *value, bool udp, struct err *e)
{
	struct seam_listen l;
	if (!seam_listen_parse(slice_str(value), udp, &l, e))
		return false;
	return VEC_PUSH(&c->arena, &c->config.service.listens, l, CLI_MAX_NETS) || err_set(e, ERR_USAGE, "more than %d addresses", CLI_MAX_NETS);
}

static bool parse_listen_tcp(struct cli *c, const char *value, struct err *e)
{
	return parse_listen(c, value, false, e);
}

static bool parse_listen_udp(struct cli *c, const char *value, struct err *e)
{
	return parse_listen(c, value, true, e);
}

static bool parse_private(struct cli *c, const char *value, struct err *e)
{
	c->config.service.private_nets = true;
	return true;
}

static bool parse_ca(struct cli *c, const char *value, struct err *e)
{
	c->config.service.ca = value;
	return true;
}

static bool parse_tls_cert(struct cli *c, const char *value, struct err *e)
{
	return VEC_PUSH(&c->arena, &c->config.listener.certs, value, CLI_MAX_CERTS) || err_set(e, ERR_USAGE, "more than %d certificates", CLI_MAX_CERTS);
}

static bool parse_tls_key(struct cli *c, const char *value, struct err *e)
{
	return VEC_PUSH(&c->arena, &c->config.listener.keys, value, CLI_MAX_CERTS) || err_set(e, ERR_USAGE, "more than %d keys", CLI_MAX_CERTS);
}

static bool take_suffix(struct slice *s, struct slice suffix)
{
	bool has = slice_ends_with(*s, suffix);
	*s = slice_sub(*s, 0, s->len - (has ? suffix.len : 0));
	return has;
}

static bool parse_dir(struct cli *c, const char *value, struct err *e)
{
	const char *hint = "HOST[::GUEST][:ro]: a folder here, what the guest calls it, ro: only to be read";
	const char *colons = strstr(value, "::");
	struct slice host = colons ? slice_of(value, (size_t)(colons - value)) : slice_str(value), guest = slice_str(colons ? colons + 2 : value);
	struct serve_folder f = {.read_only = take_suffix(colons ? &guest : &host, SLICE_LIT(":ro"))};
	if (!colons)
		guest = host;
	if (host.len == 0 || guest.len == 0 || !utf8_is_valid(guest))
		return bad_value(e, "not a folder for the guest", value, hint);
	if (!slice_dup(&c->arena, host, &host) || !slice_dup(&c->arena, guest, &guest))
		return err_nomem(e);
	f.host = (const char *)host.ptr;
	f.guest = (const char *)guest.ptr;
	for (uint32_t i = 0; i < c->config.service.folders.len; i++)
		if (strcmp(c->config.service.folders.ptr[i].guest, f.guest) == 0)
			return bad_value(e, "two folders with the same name for the guest", f.guest, hint);
	return VEC_PUSH(&c->arena, &c->config.service.folders, f, CLI_MAX_DIRS) || err_set(e, ERR_USAGE, "more than %d folders", CLI_MAX_DIRS);
}

static bool parse_no_cache(struct cli *c, const char *value, struct err *e)
{
	c->config.service.no_cache = true;
	return true;
}

// `of`: those that it may be.
static bool take_feature(const char *value, uint32_t of, uint32_t other, uint32_t *set, struct err *e)
{
	uint32_t feature;
	char hint[256] = "one of:";
	if (wasm_feature_find(slice_str(value), &feature) && feature & of) {
		if (feature & other)
			return bad_value(e, "a feature that is turned on and off", value, "--feature or --no-feature");
		*set |= feature;
		return true;
	}
	for (uint32_t rest = of; rest; rest &= rest - 1) {
		size_t at = strlen(hint);
		snprintf(hint + at, sizeof hint - at, " %s", wasm_feature_text(rest));
	}
	return bad_value(e, "not a feature that there is", value, hint);
}

static bool parse_feature(struct cli *c, const char *value, struct err *e)
{
	return take_feature(value, WASM_FEATURES_FINISHED, c->config.service.features_off, &c->config.service.features_on, e);
}

static bool parse_no_feature(struct cli *c, const char *value, struct err *e)
{
	return take_feature(value, WASM_FEATURES_FINISHED, c->config.service.features_on, &c->config.service.features_off, e);
}

static bool parse_profile(struct cli *c, const char *value, struct err *e)
{
	c->profile = value;
	return true;
}

static bool parse_set(struct cli *c, const char *value, struct err *e)
{
	return VEC_PUSH(&c->arena, &c->sets, value, CLI_MAX_ENV) || err_set(e, ERR_USAGE, "more than %d values", CLI_MAX_ENV);
}

static bool parse_schema(struct cli *c, const char *value, struct err *e)
{
	c->schema = true;
	return true;
}

static bool parse_poison_upper(struct cli *c, const char *value, struct err *e)
{
	c->config.service.poison_upper = true;
	return true;
}

static bool parse_admin(struct cli *c, const char *value, struct err *e)
{
	c->config.process.admin = value;
	return serve_check_address(value, e);
}

static bool parse_otlp(struct cli *c, const char *value, struct err *e)
{
	c->config.process.otlp = value;
	return obs_check_url(value, e);
}

// "0.25%": up to four digits behind the point.
static bool parse_trace_sample(struct cli *c, const char *value, struct err *e)
{
	struct slice s = slice_str(value), whole, part;
	uint64_t percent, ppm = 0;
	bool ok = s.len && s.ptr[s.len - 1] == '%';
	s = slice_sub(s, 0, s.len - ok);
	whole = slice_sub(s, 0, slice_find(s, '.'));
	part = slice_sub(s, min_u64(whole.len + 1, s.len), SIZE_MAX);
	ok = ok && slice_parse_u64(whole, 100, &percent) && (whole.len == s.len || (part.len >= 1 && part.len <= 4 && slice_parse_u64(part, 9999, &ppm)));
	for (size_t i = part.len; i < 4; i++)
		ppm *= 10;
	ppm = ok ? ppm + percent * 10000 : 0;
	if (!ok || ppm > 1000000)
		return bad_value(e, "not a share", value, "0% to 100%, also 0.25%");
	c->config.process.trace_ppm = (unsigned)ppm;
	return true;
}

static bool parse_access_log(struct cli *c, const char *value, struct err *e)
{
	if (!*value)
		return bad_value(e, "not a file", value, "FILE, or - for stdout");
	c->config.process.access_log = value;
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

#define WORD(name)                                                            \
	static bool parse_##name(struct cli *c, const char *value, struct err *e) \
	{                                                                         \
		c->name = true;                                                       \
		return true;                                                          \
	}
WORD(copy)
WORD(no_copy)
WORD(replace)
WORD(undo)
WORD(discard)
WORD(dry_run)
WORD(no_wait)
WORD(accept)
WORD(promote)
WORD(rollback)
WORD(manifest)
WORD(live)
#undef WORD

static bool parse_shadow(struct cli *c, const char *value, struct err *e)
{
	uint64_t n;
	struct slice text = slice_str(value);
	if (text.len && text.ptr[text.len - 1] == '%')
		text.len--;
	if (!slice_parse_u64(text, 100, &n))
		return bad_value(e, "not a share", value, "0% to 100%");
	c->shadow = (unsigned)n;
	return true;
}

static bool parse_percent(struct cli *c, const char *value, struct err *e)
{
	uint64_t n;
	if (!slice_parse_u64(slice_str(value), 100, &n) || !n)
		return bad_value(e, "not a share", value, "1 to 100");
	c->percent = (unsigned)n;
	return true;
}

static bool parse_to(struct cli *c, const char *value, struct err *e)
{
	return (slice_parse_u64(slice_str(value), UINT64_MAX, &c->to) && c->to) || bad_value(e, "not a release", value, "a number, from 1 on");
}

static bool parse_min(struct cli *c, const char *value, struct err *e)
{
	return slice_parse_u64(slice_str(value), UINT64_MAX, &c->min) || bad_value(e, "not a number of instances", value, "a number, from 0 on");
}

static bool parse_max(struct cli *c, const char *value, struct err *e)
{
	return cli__parse_quantity(value, 'n', &c->max, e);
}

static bool parse_max_pause(struct cli *c, const char *value, struct err *e)
{
	return cli__parse_quantity(value, 't', &c->max_pause_ns, e) && (c->max_pause_ns >= MILLISECOND || bad_value(e, "not a pause", value, "1ms or longer"));
}

static bool parse_limit(struct cli *c, const char *value, struct err *e)
{
	return cli__parse_quantity(value, 't', &c->limit_ns, e) && (c->limit_ns >= MILLISECOND || bad_value(e, "not a time", value, "1ms or longer"));
}

static bool parse_follow(struct cli *c, const char *value, struct err *e)
{
	c->follow = true;
	return true;
}

static bool parse_wit(struct cli *c, const char *value, struct err *e)
{
	c->wit = true;
	return true;
}

// ---- tables -----------------------------------------------------------------------------------------------------

static const struct option_row {
	const char *name, *arg;
	uint64_t commands;  // bits; 0: refused, `help` says why
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
#include "app/limits.def"
#undef SERVE_LIMIT
#undef NS
#undef BYTES
#undef COUNT
};
_Static_assert(ARRAY_LEN(options) <= 128, "struct cli.early has a bit for each");

static const struct command_row {
	const char *name, *args;
	unsigned least, most;
	const char *summary, *description;
} commands[] = {
	{"", "COMMAND ...", 0, 0, "", ""},
#define COMMAND(name, args, least, most, summary, description) {#name, args, least, most, summary, description},
#include "commands.def"
#undef COMMAND
};

static bool applies(const struct option_row *o, enum cli_command command)
{
	return o->commands >> command & 1;
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
#include "app/limits.def"
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

bool cli__option_acts(const char *name)
{
	const struct option_row *o = find_option(name, strlen(name));
	return o && o->commands;
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
	c->given |= (unsigned __int128)1 << (o - options);
	if (c->command == CLI_NONE)
		c->early |= (unsigned __int128)1 << (o - options);
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
			serve_limits_default(&c->config, (SERVERS | INSPECT) >> i & 1);  // inspect starts a guest as a server does
			return true;
		}
	err_set(e, ERR_USAGE, "unknown command '%s'", arg);
	return err_hint(e, "tenon --help lists the commands");
}

bool cli__was_given(const struct cli *c, const char *name)
{
	return c->given >> (find_option(name, strlen(name)) - options) & 1;
}

// What is about something that another option gives has no effect without it. Of manifests' stores --ca is, too.
static bool check_needs(const struct cli *c, struct err *e)
{
	static const struct {
		const char *option, *needs, *does, *without;
	} rows[] = {{"private", "net", "lets out", "nothing is"}, {"ca", "net", "lets out", "nothing is"}, {"open-files", "dir", "gives", "there are no files"},
		{"file-size", "dir", "gives", "there are no files"}, {"trace-sample", "otlp", "has sent", "nothing is traced"}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (cli__was_given(c, rows[i].option) && !cli__was_given(c, rows[i].needs) && !(c->command == CLI_up && strcmp(rows[i].option, "ca") == 0)) {
			err_set(e, ERR_USAGE, "--%s is about what --%s %s", rows[i].option, rows[i].needs, rows[i].does);
			return err_hint(e, "without --%s %s", rows[i].needs, rows[i].without);
		}
	return true;
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
	const char *admin = c->config.process.admin;
	for (uint32_t i = 0; admin && i < c->config.listener.addresses.len; i++)
		if (strcmp(c->config.listener.addresses.ptr[i], admin) == 0 && !is_any_port(admin))
			return err_set(e, ERR_USAGE, "--admin needs an address of its own: --addr has %s", admin);
	if (!check_needs(c, e))
		return false;
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
	*c = (struct cli){.argc = argc, .argv = argv, .config.process = {.log_level = SERVE_LOG_INFO, .trace_ppm = 1000000}};
	arena_init(&c->arena, 64 << 20);
	serve_limits_default(&c->config, true);
	bool ended = false;  // behind `--` there is no option (POSIX, utility syntax guideline 10)
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
		bool rest_is_guests = c->command == CLI_run && c->args.len >= 1 && !c->invoke && !is_invoke(arg);
		bool took = false;
		if (c->command == CLI_logs && strcmp(arg, "-f") == 0)
			arg = "--follow";
		if (strcmp(arg, "--") == 0 && c->command != CLI_NONE && !rest_is_guests && !ended) {
			ended = true;
		} else if (arg[0] == '-' && arg[1] && !rest_is_guests && !ended) {
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
			return c->args.len < CLI_MAX_ARGS ? err_nomem(e) : err_set(e, ERR_USAGE, "more than %d arguments", CLI_MAX_ARGS);
		}
	}
	return check_whole(c, e);
}

void cli_release(struct cli *c)
{
	arena_release(&c->arena);
}

// ---- the tables, told ------------------------------------------------------------------------------------------------------------

bool cli_option_info(size_t i, struct cli_option_info *ret)
{
	size_t k = 0;
	while (k < ARRAY_LEN(options) && (options[k].commands & HIDDEN || options[k].commands == 0 || i-- > 0))
		k++;
	if (k == ARRAY_LEN(options))
		return false;
	const struct option_row *o = &options[k];
	*ret = (struct cli_option_info){o->name, o->arg, o->help, o->commands & (HIDDEN - 1), o->parse == NULL, o->commands & ANYWHERE};
	return true;
}

bool cli_command_info(size_t i, struct cli_command_info *ret)
{
	if (i >= ARRAY_LEN(commands))
		return false;
	*ret = (struct cli_command_info){commands[i].name, commands[i].args, commands[i].summary, commands[i].description};
	return true;
}

// ---- help -------------------------------------------------------------------------------------------------------

static void print_program_help(void)
{
	printf("tenon runs WebAssembly components on servers.\n\nusage: tenon COMMAND [OPTION...] ...\n\n");
	for (size_t i = 1; i < ARRAY_LEN(commands); i++) {
		char usage[64];
		snprintf(usage, sizeof usage, "%s %s", commands[i].name, commands[i].args);
		if (i == CLI_apply)
			printf("\n");
		printf("  %-18s %s\n", usage, commands[i].summary);
	}
	printf("\n  tenon COMMAND --help   the options of a command\n"
		   "  tenon --version [-v]   the version; -v: what it found on this machine\n\n"
		   "Exit status: 0 done, 1 the guest failed, 2 usage, 3 rejected input,\n"
		   "4 cannot link, 5 environment, 6 a change was refused: nothing changed,\n"
		   "124 deadline or CPU budget spent, 134 the guest trapped.\n");
}

void cli_print_help(enum cli_command command)
{
	enum { LEFT = 27 };
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
		const char *arg = o->arg && o->parse ? o->arg : "";
		bool fits = strlen(o->name) + strlen(arg) <= LEFT - 3;  // else `help` names the words
		snprintf(left, sizeof left, "--%s %s", o->name, fits ? arg : "WORD");
		printf("  %-*s %s\n", LEFT, left, o->help);
	}
}
