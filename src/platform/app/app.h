// Room app: the manifest. tenon.toml, and spin.toml in the same model: components, links, triggers, variables and all that is said of them, with the place of
// each value, checked. Data only: the room opens nothing, what it must read of the world comes by callbacks of the caller.
//
// Invariants:
//  1. A struct app lies whole in the arena that it was loaded into, and is never changed: nothing of it points into the source or the inputs. Who changes an app
//     loads it anew with other inputs (`live`, `sets`), or makes a shallow copy with other lists.
//  2. keys.def is the table of all keys: a field of a struct below that a manifest gives is a row there, and the reader, the printer, the comparison, the JSON
//     schema, the pages and the tests walk the rows. Fields under "found" are what the checks made of the others.
//  3. Every value has its place. Where nothing was given the value is the default of keys.def, and `is_given` is false.
//  4. A text that a secret variable went into is marked `is_secret`. app_print and app_diff show `raw` of it, never `text`; whoever else shows a text looks.
//  5. Loading is linear in the sizes of source and inputs, bounded by APP_MAX_SOURCE and APP_MAX_DEPTH.
//
// Errors of a manifest are ERR_USAGE (exit 2) with line and column; a circle of component links is ERR_LINK (exit 4); what a reader failed at is its own.
#ifndef TENON_APP_H
#define TENON_APP_H

#include "base/base.h"
#include "wit/wit.h"

#define APP_MAX_SOURCE (1u << 20)  // bytes of a manifest
#define APP_MAX_DEPTH 32           // tables and arrays in each other
#define APP_MAX_VALUE (1u << 20)   // bytes of a variable's value
#define APP_MAX_LINKS 1000u        // rows of a component's `links`: each import is compared with each
#define APP_NONE UINT32_MAX

// ---- values ------------------------------------------------------------------------------------------------------------------------------

enum app_in { APP_IN_MANIFEST, APP_IN_PROFILE, APP_IN_LIVE };
// From 1, in characters; line 0: given nowhere.
struct app_place {
	uint32_t line, col;
	enum app_in in;
};
// Text, without a zero byte in it. `text`: with the variables' values in place of ${x}; NULL: not given and no default. `raw`: as a manifest has it.
struct app_text {
	const char *text, *raw;
	struct app_place at;
	bool is_secret;
};
// A count; a time in nanoseconds, a size in bytes (0: "none", no limit); hundredths of a percent; true or false; an enum of those below.
struct app_number {
	uint64_t value;
	struct app_place at;
	bool is_given;
};
struct app_texts {
	const struct app_text *list;
	uint32_t n;
	struct app_place at;
	bool is_given;
};
struct app_pair {
	const char *name;
	struct app_place at;  // of the name
	struct app_text value;
};
struct app_pairs {
	const struct app_pair *list;
	uint32_t n;
	struct app_place at;
	bool is_given;
};
// Limits, by the flags of `tenon serve` (limits.def, in its order, then what only a manifest has).
enum app_limit_kind {
#define SERVE_LIMIT(scope, field, ...) APP_LIMIT_##field,
#include "limits.def"
#undef SERVE_LIMIT
	APP_LIMIT_tree_memory,  // "tree-memory": of a call and all that it calls
	APP_LIMITS
};
struct app_limit {
	enum app_limit_kind kind;
	uint64_t value;  // as app_number; 0: none
	struct app_place at;
};
// Those that were given, by kind, each once.
struct app_limits {
	const struct app_limit *list;
	uint32_t n;
	struct app_place at;
	bool is_given;
};
#define APP_LIST(T)    \
	struct {           \
		const T *list; \
		uint32_t n;    \
	}
// What every table begins with. name: of those that have one ([component.NAME]; a trigger's id), else NULL.
struct app_item {
	const char *name;
	struct app_place at;
	bool is_given;
};

// ---- the tables, as keys.def has them -----------------------------------------------------------------------------------------------------

struct app_whole_limits {
	struct app_item item;
	struct app_number memory, calls, connections;
};
struct app_about {  // [app]
	struct app_item item;
	struct app_text name, version;
	struct app_whole_limits limits;
};
struct app_tls {
	struct app_item item;
	struct app_text cert, key;
	const char *cert_path, *key_path;  // found: as `path` of a component
};
struct app_http {  // [http]
	struct app_item item;
	struct app_texts addresses, trust_proxy;
	struct app_tls tls;
	struct app_limits limits;  // of the listener
};
// Where the value of a variable is from, the strongest last.
enum app_from { APP_FROM_NOWHERE, APP_FROM_DEFAULT, APP_FROM_PROFILE, APP_FROM_FILE, APP_FROM_CREDENTIAL, APP_FROM_ENV, APP_FROM_SET };
struct app_variable {  // [variables]
	struct app_item item;
	struct app_text fallback;  // `default`
	struct app_text file;
	struct app_number required, secret, expose;
	const char *value;   // found; NULL: it has none, and nothing asks for it. A secret's too: not to be shown
	enum app_from from;  // found
	const char *source;  // found: "TENON_VAR_X", the file, the profile; else NULL
	const char *path;    // found: of file, as `path` of a component
};
struct app_instances {
	struct app_item item;
	struct app_number min, max;  // max 0: as many as the process has room for
	struct app_number idle;      // 0: for ever
};
struct app_file {
	struct app_item item;
	struct app_text host, guest;
	struct app_number write;
	const char *path;  // found: of host, as `path` of a component
};
struct app_sticky {
	struct app_item item;
	struct app_text cookie, header;  // one of them
};
struct app_rollback {
	struct app_item item;
	struct app_number errors, p99, over;  // hundredths of a percent (0: not asked for); nanoseconds
};
struct app_update {
	struct app_item item;
	struct app_number drain;
	struct app_sticky sticky;
	struct app_rollback rollback;
};
struct app_build {
	struct app_item item;
	struct app_text command;
	struct app_texts watch;
};
enum app_policy { APP_FRESH, APP_REUSE, APP_KEEP, APP_CONCURRENT };
enum app_init { APP_INIT_AUTO, APP_INIT_ONCE, APP_INIT_EACH };
struct app_component {  // [component.NAME]
	struct app_item item;
	struct app_text source, sha256;
	struct app_number policy, init;  // enum app_policy, enum app_init
	struct app_texts warm;           // whatever `init` says
	struct app_instances instances;
	struct app_limits limits;        // of a service, but for idle, concurrency and requests-per-instance, which have fields
	struct app_pairs env, config;
	struct app_number expose;        // a secret may stand in env
	APP_LIST(struct app_file)
	files;
	struct app_texts network, private_ranges, listen;
	struct app_number concurrency, requests_per_instance;
	struct app_number idle;          // the same as instances.idle, which has it
	struct app_pairs links;          // key of an import -> name of a link
	struct app_update update;
	struct app_build build;
	const char *path;                // found: of source, from where the process runs (the manifest's folder before it, where it is relative)
	const uint32_t *link_of;         // found: by row of `links`, in app.links
};
enum app_link_type { APP_LINK_MEMORY, APP_LINK_FILE, APP_LINK_REDIS, APP_LINK_NATS, APP_LINK_HTTP, APP_LINK_COMPONENT };
enum app_start_rule { APP_START_REQUIRE, APP_START_LAZY };
struct app_link {  // [link.NAME]
	struct app_item item;
	struct app_number type;      // enum app_link_type
	struct app_text url;         // redis, nats; of memory "memory:NAME" or none
	struct app_text path;        // file
	struct app_text component;   // component
	struct app_text name_space;  // `namespace`; text NULL: TENANT/APP; "": raw
	struct app_texts buckets;
	struct app_number start;     // enum app_start_rule
	struct app_number deadline, pool, keep_old;
	struct app_texts hosts, methods;  // http; none: all
	struct app_pairs headers;
	const char *file;            // found: of path, as `path` of a component
	uint32_t target;             // found: of component, in app.components; APP_NONE
};
struct app_static {
	struct app_item item;
	struct app_number status;
	struct app_text body;
	struct app_pairs headers;
};
struct app_redirect {
	struct app_item item;
	struct app_text to;
	struct app_number status;
};
// "/api/:id/..." is LITERAL api, PARAM id, REST. "/" has no parts. A literal is as it is after percent-decoding.
enum app_part_kind { APP_PART_LITERAL, APP_PART_PARAM, APP_PART_REST };
struct app_route_part {
	enum app_part_kind kind;
	const char *text;  // of a parameter: its name
};
struct app_route {  // [[trigger.http]]: exactly one of component, static, redirect
	struct app_item item;
	struct app_text id, route, host, component;
	struct app_texts methods;       // none: all
	struct app_static fixed;        // `static`
	struct app_redirect redirect;
	struct app_number is_private;   // no route of it: only components of the app reach it (spin.toml)
	struct app_limits limits;       // over those of the component
	APP_LIST(struct app_route_part)
	parts;  // found
	uint32_t target;                // found: in app.components; APP_NONE
};
// Bits by value; of days of the week 0 is Sunday. A day fits when it fits `days` and `weekdays`, or either where neither of them was `*`.
struct app_schedule {
	uint64_t seconds, minutes;
	uint32_t hours, days;
	uint16_t months;
	uint8_t weekdays;
	bool either_day;
};
enum app_overlap { APP_OVERLAP_SKIP, APP_OVERLAP_ALLOW };
struct app_cron {  // [[trigger.cron]]
	struct app_item item;
	struct app_text id, schedule, timezone, component;
	struct app_number overlap;      // enum app_overlap
	struct app_schedule when;       // found
	uint32_t target;
};
enum app_mode { APP_MODE_STOP, APP_MODE_OVERLAP };
struct app_start {  // [[trigger.start]]
	struct app_item item;
	struct app_text id, component;
	struct app_number mode;         // enum app_mode: of its update
	uint32_t target;
};
struct app_command {  // [[trigger.command]]
	struct app_item item;
	struct app_text id, component;
	uint32_t target;
};
// Each trigger has an id: its own, else that of its component or what it answers (static, redirect), with -2, -3… where that is taken.
struct app_triggers {
	struct app_item item;
	APP_LIST(struct app_route)
	http;
	APP_LIST(struct app_cron)
	cron;
	APP_LIST(struct app_start)
	start;
	APP_LIST(struct app_command)
	command;
};
enum app_format { APP_TENON, APP_SPIN };
// Something that was said and isn't acted on, or should be said otherwise: for check and the log.
struct app_note {
	struct app_place at;
	const char *text;
};
struct app {
	struct app_item item;
	struct app_number tenon;
	struct app_about about;
	struct app_http http;
	APP_LIST(struct app_variable)
	variables;
	APP_LIST(struct app_component)
	components;
	APP_LIST(struct app_link)
	links;
	struct app_triggers triggers;
	struct app_texts profiles;  // the names of all
	// Found.
	const char *path;     // of the manifest, as the caller gave it
	const char *folder;   // that it lies in: "" or with a slash at its end
	const char *root;     // the same folder by the name that is compared (app_inputs)
	const char *profile;  // that was taken; NULL: none
	enum app_format format;  // of spin.toml: what is imported of Spin's world and not linked is linked to a denial
	APP_LIST(struct app_note)
	notes;
};

// ---- loading -----------------------------------------------------------------------------------------------------------------------------

// Reads a file whole, at most `max` bytes, into the arena. false without an error in *e: there is no such file.
typedef bool app_read_fn(void *ctx, struct arena *a, const char *path, size_t max, struct slice *ret, struct err *e);
// An environment variable of the process, or NULL.
typedef const char *app_env_fn(void *ctx, const char *name);
// Is the text something that the rooms above take? Sets USAGE. NULL: nobody asks.
typedef bool app_check_fn(void *ctx, struct slice text, struct err *e);
// The same text, in the arena, of all links that lead to one place. A false is no error: it isn't known. NULL: nobody asks.
struct app_link;
typedef bool app_place_fn(void *ctx, struct arena *a, const struct app_link *l, struct slice *ret);
struct app_inputs {
	const char *profile;       // --profile; NULL: none
	const char *const *sets;   // --set NAME=VALUE, NAME=@FILE; each name once
	uint32_t n_sets;
	bool sets_may_miss;        // a name that is no variable is passed over
	// Live changes: a manifest's text that is laid over the file and the profile by the rules of a profile. What is in force is one text again (app_print).
	struct slice live;
	// Of a manifest that app_print wrote: a secret variable that nothing gives a value has that of this app's, by its name. NULL: it has none.
	const struct app *secrets_of;
	void *ctx;
	app_env_fn *env;           // TENON_VAR_X, CREDENTIALS_DIRECTORY
	app_read_fn *read;         // @FILE, credentials
	// The one name of the folder that the manifest lies in, with a slash at its end: by it relative paths of two manifests are compared. NULL: as `path` has it.
	const char *root;
	// Of [http] address; network; private and trust_proxy; listen; a route, its host; the name of a field; a time zone.
	app_check_fn *check_address, *check_network, *check_range, *check_listen, *check_route, *check_host, *check_field, *check_timezone;
	app_place_fn *store_place;  // of a link to a store
};
// Loads a manifest: spin.toml where it says spin_manifest_version, else tenon.toml. `path` names it and is where relative paths begin.
NODISCARD bool app_load(struct arena *a, struct slice source, const char *path, const struct app_inputs *in, struct app **ret, struct err *e);

// The name of the app that a manifest is of, in the arena; nothing else of it is checked. USAGE.
NODISCARD bool app_name_of(struct arena *a, struct slice source, const char *path, const char **ret, struct err *e);

// By its name. `app` NULL, or it has none: NULL.
const struct app_component *app_component_find(const struct app *app, const char *name);
const struct app_link *app_link_find(const struct app *app, const char *name);
// Does it lead to a store? NULL: no.
bool app_link_is_store(const struct app_link *l);

// A path of a request, perhaps with a query, as it stands in one.
bool app_is_target(struct slice s);
// ERR_USAGE, with the names that there are; false.
bool app_no_component(const struct app *app, const char *name, struct err *e);
bool app_no_link(const struct app *app, const char *name, struct err *e);
bool app_no_variable(const struct app *app, struct slice name, struct err *e);
// What grants the same in the app's own format: `line` of a tenon.toml (grants.def), in a spin.toml what its `flag` is there.
const char *app_grant_line(const struct app *app, const char *flag, const char *line);
enum { APP_WARM_MAX = 64 };  // of them before an image is taken

// A quantity as manifests and flags have it: unit 't': "500ms", "1.5s" in nanoseconds; 'b': "64KiB" in bytes; '%': "1%" in hundredths of a percent; 'n': a count;
// "none" is 0 where it is allowed. false: *ret_why says what it should be.
NODISCARD bool app_quantity(struct slice s, char unit, bool allow_none, uint64_t *ret, const char **ret_why);

// ---- written, compared -------------------------------------------------------------------------------------------------------------------

// As a tenon.toml that says what is in force: of variables their values, but of secret ones nothing and of URLs no password. false: b is too small.
bool app_print(const struct app *app, struct buf *b);
// The same, but relative paths are told whole, by `root`: it says the same wherever it is read.
bool app_print_whole(const struct app *app, struct buf *b);
// A quantity of app_quantity's units 't', 'b' and '%', in quotes: "60s", "64KiB", "1%"; 0: "none".
void app_put_quantity(struct buf *b, uint64_t v, char unit);
// A text as it may be shown: as a manifest has it where a secret is in it, without a URL's password. NULL: nothing.
void app_put_text(struct buf *b, const struct app_text *t);
// What a link leads to, as the command line has it: "redis://host/0", "file:PATH", "memory:", "component:NAME", "http:ORIGIN…"; no secrets in it.
void app_link_print(const struct app_link *l, struct buf *b);
// The JSON schema of tenon.toml. false: b is too small.
bool app_schema(struct buf *b);
enum app_part {
	APP_PART_APP,
	APP_PART_HTTP,
	APP_PART_VARIABLE,
	APP_PART_COMPONENT,
	APP_PART_LINK,
	APP_PART_HTTP_TRIGGER,
	APP_PART_CRON,
	APP_PART_START,
	APP_PART_COMMAND
};
enum app_how { APP_ADDED, APP_REMOVED, APP_CHANGED };
struct app_change {
	enum app_part part;
	enum app_how how;
	const char *name;            // of the component, link, variable, trigger; NULL for app and http
	const char *key;             // "limits.cpu"; NULL: the item came or went
	const char *before, *after;  // as a manifest has them, no secrets in them; NULL: not given
};
// What differs, in the order of the old one, then of the new one. A text also differs where a variable in it does, a path where it
// is another one by the folder of its manifest: both are told whole then.
NODISCARD bool app_diff(struct arena *a, const struct app *old, const struct app *new, const struct app_change **ret, uint32_t *ret_n, struct err *e);

// ---- live changes: texts that are laid over a manifest (app_inputs.live) --------------------------------------------------------------------

// What both say, `change` where they differ. In the arena. USAGE, LIMIT (APP_MAX_SOURCE).
NODISCARD bool app_live_add(struct arena *a, struct slice live, struct slice change, struct slice *ret, struct err *e);
// `live`, but of [kind.name] it says what `then` does, or nothing.
NODISCARD bool app_live_take(struct arena *a, struct slice live, struct slice then, const char *kind, const char *name, struct slice *ret, struct err *e);
// What, laid over `base`, makes it say what `wanted` does; both as app_print has them. In the arena.
NODISCARD bool app_live_between(struct arena *a, struct slice base, struct slice wanted, struct slice *ret, struct err *e);
struct app_edit {
	const char *table;           // "link.store"; NULL: nothing of the kind
	const char *now, *in_force;  // its values, on one line
};
// The first table that `live` changes and that the manifest says otherwise now than before, and otherwise than what is in force. All three as app_print has them.
NODISCARD bool app_live_edited(struct arena *a, struct slice live, struct slice before, struct slice now, struct slice in_force, struct app_edit *ret,
	struct err *e);
// The first table that `live` changes a part of, and that the manifest had before and has no more (`now` says so): there is nothing that could be laid over. The
// texts as above.
NODISCARD bool app_live_lost(struct arena *a, struct slice live, struct slice before, struct slice now, struct app_edit *ret, struct err *e);
// `live`, which says all of [kind.name] then: what `before` does, with its own changes over that. In the arena. USAGE, LIMIT.
NODISCARD bool app_live_keep(struct arena *a, struct slice live, struct slice before, const char *kind, const char *name, struct slice *ret, struct err *e);

// ---- what imports are bound to -------------------------------------------------------------------------------------------------------------

// By which rule, the most specific last.
enum app_rule { APP_UNBOUND, APP_BY_PACKAGE, APP_BY_INTERFACE, APP_BY_VERSION, APP_BY_LABEL };
// An import of a component: an instance or a function of its root.
struct app_import {
	struct slice name, implements;  // implements: of a label, else empty
	const uint32_t *shares;         // imports whose resources it has to do with, by index
	uint32_t n_shares;
};
struct app_binding {
	uint32_t link;      // in app.links; APP_NONE: none
	uint32_t row;       // of the component's `links`
	enum app_rule rule;
};
// The binding of each import by the component's `links` (contract, section 2). ERR_LINK: two imports that share a resource would be bound to different links.
NODISCARD bool app_bind(const struct app *app, const struct app_component *c, const struct app_import *imports, uint32_t n, struct app_binding *ret,
	struct err *e);

#endif
