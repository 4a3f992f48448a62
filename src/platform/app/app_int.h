// Between the files of the room.
#ifndef TENON_APP_INT_H
#define TENON_APP_INT_H

#include "toml.h"

// ---- keys.def ------------------------------------------------------------------------------------------------------------------------------

enum app__type {
	APP__TEXT,
	APP__TEXTS,
	APP__PAIRS,
	APP__WORD,
	APP__BOOL,
	APP__COUNT,
	APP__TIME,
	APP__SIZE,
	APP__PERCENT,
	APP__LIMITS_OF,
	APP__TABLE,
	APP__TABLES,
	APP__ARRAY,
	APP__PROFILES
};
enum app__table {
#define TABLE(table, ...) APP__##table,
#define KEY(...)
#include "keys.def"
	APP__N_TABLES
};
// What texts are like (format.c): name, what it is in an error.
#define APP__FORMATS(X)                                            \
	X(any, "text")                                                 \
	X(line, "text on one line")                                    \
	X(name, "a name: [a-z][a-z0-9-]{0,62}")                        \
	X(variable, "a variable's name: [a-z][a-z0-9_]*")              \
	X(path, "a path")                                              \
	X(source, "the path of a .wasm")                               \
	X(sha256, "a SHA-256: 64 hexadecimal digits")                  \
	X(address, "HOST:PORT, [::1]:PORT or unix:PATH")               \
	X(range, "a range of addresses: 10.0.0.0/8, fd00::/8")         \
	X(network, "[SCHEME://]HOST[:PORT], *.domain, a range or all") \
	X(listen, "tcp://IP:PORT or udp://IP:PORT")                    \
	X(url, "a URL: SCHEME:…")                                      \
	X(target, "a path of a request: /search?q=1")                  \
	X(component, "the name of a component")                        \
	X(link, "the name of a link")                                  \
	X(bucket, "the name of a bucket")                              \
	X(origin, "http://HOST[:PORT] or https://HOST[:PORT]")         \
	X(method, "a method: GET, POST")                               \
	X(route, "a route: /literal/:param/...")                       \
	X(host, "a host, as Host has it")                              \
	X(field, "the name of a field or cookie")                      \
	X(timezone, "a time zone: Area/City, or UTC")                  \
	X(env, "the name of an environment variable")                  \
	X(config, "the name of a setting")                             \
	X(header, "the name of a field")
enum app__format {
#define X(name, what) APP__FORMAT_##name,
	APP__FORMATS(X)
#undef X
};
enum app__whose { APP__WHOSE_process, APP__WHOSE_listener, APP__WHOSE_service, APP__WHOSE_route };
// SECRET: secrets may go in: nobody shows it. URL: so they may where its password is; what variables give who asks, before the '@', is percent-encoded: it is meant
// as it is.
enum { APP__REQUIRED = 1, APP__TEMPLATE = 2, APP__LITERAL = 4, APP__ONE = 8, APP__NONE = 16, APP__ZERO = 32, APP__SECRET = 64, APP__URL = 128 };
struct app__key {
	const char *name;
	uint8_t type, of, flags;  // of: a format, a table, whose limits
	uint16_t offset;          // of the field in the table's struct
	const char *words, *fallback, *help;
};
struct app__rows {
	const char *heading, *shorthand, *help;
	const struct app__key *keys;
	uint32_t n;
	size_t size;  // of the struct
};
struct app__rows app__rows(enum app__table table);
const struct app__key *app__key_find(enum app__table table, struct slice name);
// The flag of a limit and its unit ('t', 'b', 'n').
struct app__limit_row {
	const char *flag;
	char unit;
	uint8_t whose;
};
const struct app__limit_row *app__limit_row(enum app_limit_kind kind);
bool app__limit_find(struct slice flag, enum app_limit_kind *ret);
// May it be given there?
bool app__limit_fits(enum app_limit_kind kind, enum app__whose whose);
// Else what it may be.
bool app__limit_in_range(enum app_limit_kind kind, uint64_t value, uint64_t *ret_least, uint64_t *ret_most);

// ---- loading -------------------------------------------------------------------------------------------------------------------------------

// Where a table stands: "component" > "api" > "instances".
struct app__path {
	const struct app__path *above;
	const char *name;
};
struct app__load {
	struct arena *arena;
	const struct app_inputs *in;
	struct app *app;
	struct err *e;
	const struct app__key *done;  // a row that was read already
	bool is_partial;  // a profile, or what is laid over: nothing is required, "unset" is a value, ${x} isn't replaced
	struct map variables, components, links;  // by name: index
	VEC(struct app_note)
	notes;
	uint64_t filled;  // bytes of texts that something was replaced in
};

// ERR_USAGE at a place.
bool app__fail(struct app__load *l, struct app_place at, const char *fmt, ...) PRINTF_LIKE(3, 4);
// Adds the place to an error that was set without one.
bool app__at(struct app__load *l, struct app_place at);
NODISCARD bool app__note(struct app__load *l, struct app_place at, const char *fmt, ...) PRINTF_LIKE(3, 4);
// A copy with a zero byte behind it. NULL: memory is out (set).
char *app__copy(struct app__load *l, struct slice s);
char *app__format_text(struct app__load *l, const char *fmt, ...) PRINTF_LIKE(2, 3);

// Reads a table into its struct, which is zeroed. `path`: for errors.
NODISCARD bool app__read_table(struct app__load *l, enum app__table table, const struct toml *node, const struct app__path *path, void *into);
// ERR_USAGE: the table `path`, at that place, lacks the key.
bool app__missing(struct app__load *l, struct app_place at, const struct app__key *k, const struct app__path *path);
// One row of it; `node` NULL: its default.
NODISCARD bool app__read_key(struct app__load *l, const struct app__key *k, const struct toml *node, const struct app__path *path, void *field);
// The most similar of `n` names; at least one is there.
const char *app__nearest(struct slice name, const char *(*at)(const void *list, uint32_t i), const void *list, uint32_t n);
// hint: the nearest of a table's keys, and all of them.
bool app__hint_keys(struct app__load *l, enum app__table table, struct slice name);

// Is it as texts of that kind are? Else an error at the place.
// Of one that secrets went into no value is told.
NODISCARD bool app__check_text(struct app__load *l, enum app__format f, const struct app_text *t, const char *key);
NODISCARD bool app__check_name(struct app__load *l, enum app__format f, const char *name, const char *key, struct app_place at);
bool app__is_name(struct slice s);
const char *app__format_what(enum app__format f);

// A table of a profile that takes the place of the file's whole.
bool app__replaces_whole(enum app__table table, const struct toml *over);
// Lays `over` over `base`, tables of that kind, by the rules of profiles.
NODISCARD bool app__merge(struct app__load *l, enum app__table table, struct toml *base, struct toml *over);
// Values of variables; then texts can be filled in.
NODISCARD bool app__resolve(struct app__load *l);
// Replaces ${x}. `flags`: of the key.
NODISCARD bool app__fill_in(struct app__load *l, unsigned flags, struct app_text *t);

// The first secret variable of a text that may not stand in `env`, or NULL.
const char *app__hidden_variable(struct app__load *l, const char *raw);

// Is it a spin.toml, of whatever version?
bool app__is_spin(const struct toml *root);
// A spin.toml, as the tree of a tenon.toml.
NODISCARD bool app__spin(struct app__load *l, struct toml *root, struct toml **ret);
// A text of its allowed_outbound_hosts, filled in, becomes a rule of `network`; text NULL where there is none to be made of it (what isn't served is noted).
NODISCARD bool app__spin_host(struct app__load *l, struct app_text *t);

// What every APP_LIST begins with.
struct app__list {
	const void *list;
	uint32_t n;
};
// Was something given for the key?
bool app__is_given(const struct app__key *k, const void *field);
// A path of the machine that the process runs on.
static inline bool app__is_path(const struct app__key *k)
{
	return k->type == APP__TEXT && (k->of == APP__FORMAT_path || k->of == APP__FORMAT_source);
}
// As a manifest has it, on one line; a relative path by `root`, where that is not NULL.
void app__put_value(struct buf *b, const struct app__key *k, const void *field, const char *root);
void app__put_limit(struct buf *b, const struct app_limit *l);

// Everything that more than one value tells.
NODISCARD bool app__check(struct app__load *l);
NODISCARD bool app__check_routes(struct app__load *l);
NODISCARD bool app__check_links(struct app__load *l);
NODISCARD bool app__schedule(struct app__load *l, struct app_cron *c);
// The component of that name; APP_NONE where none is named.
NODISCARD bool app__find_component(struct app__load *l, const struct app_text *name, uint32_t *ret);
// The password of a URL, or the token of one of NATS: [from, to) of its bytes. false: it has none, or a ${variable} stands for the whole of it.
bool app__url_password(const char *url, size_t *ret_from, size_t *ret_to);
// A relative path, from where the process runs.
NODISCARD bool app__resolve_path(struct app__load *l, const struct app_text *t, const char **ret);

#endif
