// Inside tenon-conform: the runner of conformance scripts. main.c finds scripts and counts, script.c walks a script's commands, core.c and
// component.c load and run what the commands name, value_core.c and value_component.c turn JSON values into values and compare them.
//
// Invariants:
//  1. One script is run by one child process: a crash or hang is one failure of that script, and nothing of it reaches the next.
//  2. A command either passes, fails or is skipped, said by struct outcome; only script.c counts.
#ifndef CONFORM_H
#define CONFORM_H

#include <jansson.h>

#include "base/base.h"
#include "comp/comp.h"
#include "vm/vm.h"

enum verdict { PASSED, FAILED, SKIPPED };
struct outcome {
	enum verdict verdict;
	char why[400];  // FAILED: what happened; SKIPPED: the reason that is counted
	bool counts;    // SKIPPED: counted though it asserts nothing
};
#define OUTCOME_PASSED ((struct outcome){.verdict = PASSED})
struct outcome failed(const char *fmt, ...) PRINTF_LIKE(1, 2);
struct outcome failed_err(const char *what, const struct err *e);
struct outcome skipped(const char *why);

struct options {
	bool verbose, poison, lazy;
};

// ---- an entity of a script ------------------------------------------------------------------------------------------------------------
struct core_module;
struct component;
struct component_instance;
enum entity_kind { ENTITY_NONE, ENTITY_FAILED, ENTITY_SKIPPED, ENTITY_CORE_MODULE, ENTITY_CORE_INSTANCE, ENTITY_COMPONENT, ENTITY_COMPONENT_INSTANCE };
struct entity {
	enum entity_kind kind;
	const char *reason;  // of SKIPPED; NULL: superseded
	union {
		struct core_module *core_module;
		struct vm_instance *core_instance;
		struct component *component;
		struct component_instance *component_instance;
	};
};

struct name_entry {
	const char *name;
	size_t len;
	struct entity entity;
};
struct names {
	VEC(struct name_entry)
	list;
};
struct entity *names_find(struct names *n, const char *name, size_t len);
void names_set(struct names *n, const char *name, size_t len, struct entity e);

// ---- a script -------------------------------------------------------------------------------------------------------------------------
struct script {
	const char *dir, *name;  // folder of features.json, and of the script in it
	const struct options *options;
	struct comp_options decode;
	struct arena arena;      // modules and their bytes: all live until the script ends
	struct vm_shard *shard;
	struct vm_store *store;  // of core instances
	struct names definitions, instances, registered;
	struct entity current_definition, current;
	struct vm_extern spectest[16];
};
bool script_read(struct script *s, const char *filename, struct slice *ret, struct err *e);

// How an export's call ended.
enum call_end { CALL_RETURNED, CALL_TRAPPED, CALL_NOT_DONE };
struct call_result {
	enum call_end end;
	enum trap trap;
	char text[300];  // of the trap, or why it could not be done
};

// ---- core.c ---------------------------------------------------------------------------------------------------------------------------
bool core_load(struct script *s, struct slice bytes, struct core_module **ret, struct err *e);
// false with trap NONE: `e` says why it does not link; else the trap.
bool core_instantiate(struct script *s, struct core_module *m, struct vm_instance **ret, enum trap *ret_trap, struct err *e);
// `expected` NULL: results do not matter.
struct call_result core_invoke(struct script *s, struct vm_instance *i, const json_t *action, const json_t *expected, struct outcome *mismatch);
struct outcome core_get(struct script *s, struct vm_instance *i, const json_t *action, const json_t *expected);
bool core_script_begin(struct script *s, struct err *e);
void core_script_end(struct script *s);
// Runs fn on a fiber until it is done.
bool on_fiber(struct script *s, void (*fn)(void *), void *arg);

// ---- spectest.c -----------------------------------------------------------------------------------------------------------------------
bool spectest_make(struct script *s, struct err *e);
bool spectest_find(struct script *s, struct slice name, struct vm_extern *ret);

// ---- component.c ----------------------------------------------------------------------------------------------------------------------
// Why a component can't be instantiated here, or NULL: what it imports is provided by nobody, or it was only decoded.
const char *component_needs(const struct component *c);
bool component_can_run(const struct component *c);
bool component_load(struct script *s, struct slice bytes, struct component **ret, struct err *e);
bool component_instantiate(struct script *s, struct component *c, struct component_instance **ret, struct call_result *trap, struct err *e);
struct call_result component_invoke(struct script *s, struct component_instance *i, const json_t *action, const json_t *expected, struct outcome *mismatch);
void component_script_end(struct script *s);

// ---- values ---------------------------------------------------------------------------------------------------------------------------
bool json_u64(const json_t *v, uint64_t *ret);  // decimal string, signed or not, or integer
const char *json_text(const json_t *object, const char *key);  // "" if absent
// The cells of a core value. false: no such type here.
bool core_value_read(const json_t *v, uint64_t ret[2]);
bool core_value_equal(const struct vm_store *st, const json_t *expected, struct wasm_valtype type, const uint64_t cells[2]);
void core_value_print(struct wasm_valtype type, const uint64_t cells[2], char *buf, size_t size);
struct wit_type;
bool wit_value_read(struct arena *a, const json_t *v, const struct wit_type *type, uint8_t *ret);
bool wit_value_equal(const json_t *expected, const struct wit_type *type, const uint8_t *got);

struct outcome script_command(struct script *s, const json_t *command);

#endif
