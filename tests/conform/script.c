// The commands of a script, one function a family. What each means: README of the conformance data.
#include "conform.h"

#include <stdarg.h>

struct outcome failed(const char *fmt, ...)
{
	struct outcome o = {.verdict = FAILED};
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(o.why, sizeof(o.why), fmt, ap);
	va_end(ap);
	return o;
}
struct outcome failed_err(const char *what, const struct err *e)
{
	return failed("%s: %s (%s, offset %lld)", what, e->text, err_code_name(e->code), (long long)e->offset);
}
struct outcome skipped(const char *why)
{
	struct outcome o = {.verdict = SKIPPED};
	snprintf(o.why, sizeof(o.why), "%s", why);
	return o;
}

struct entity *names_find(struct names *n, const char *name, size_t len)
{
	for (uint32_t i = n->list.len; i > 0; i--) {
		struct name_entry *x = &n->list.ptr[i - 1];
		if (x->len == len && !memcmp(x->name, name, len))
			return &x->entity;
	}
	return NULL;
}
void names_set(struct names *n, const char *name, size_t len, struct entity e)
{
	struct entity *have = names_find(n, name, len);
	if (have)
		*have = e;
	else
		BUG_ON(!VEC_PUSH(NULL, &n->list, ((struct name_entry){name, len, e}), 1u << 20));
}

static struct outcome skipped_step(const char *why)
{
	struct outcome o = skipped(why);
	o.counts = true;
	return o;
}

static const char *reason_of(const struct entity *e)
{
	return e->reason ? e->reason : "superseded";
}

static struct entity *find_named(struct names *n, const json_t *name)
{
	return name ? names_find(n, json_string_value(name), json_string_length(name)) : NULL;
}
static void set_named(struct names *n, const json_t *name, struct entity e)
{
	if (name)
		names_set(n, json_string_value(name), json_string_length(name), e);
}

static bool load(struct script *s, const json_t *c, struct entity *ret, struct err *e)
{
	struct slice bytes;
	if (!script_read(s, json_text(c, "filename"), &bytes, e))
		return false;
	if (wasm_is_component(bytes)) {
		ret->kind = ENTITY_COMPONENT;
		return component_load(s, bytes, &ret->component, e);
	}
	ret->kind = ENTITY_CORE_MODULE;
	return core_load(s, bytes, &ret->core_module, e);
}

// *ret_trap: why its start trapped. Links or not is in `e`.
static bool instantiate(struct script *s, struct entity def, struct entity *ret, struct call_result *ret_trap, struct err *e)
{
	*ret_trap = (struct call_result){0};
	if (def.kind == ENTITY_COMPONENT) {
		ret->kind = ENTITY_COMPONENT_INSTANCE;
		return component_instantiate(s, def.component, &ret->component_instance, ret_trap, e);
	}
	ret->kind = ENTITY_CORE_INSTANCE;
	bool ok = core_instantiate(s, def.core_module, &ret->core_instance, &ret_trap->trap, e);
	snprintf(ret_trap->text, sizeof(ret_trap->text), "%s", trap_text(ret_trap->trap));
	return ok;
}

static struct outcome step_instance(struct script *s, struct entity def, const json_t *name)
{
	struct err e = {0};
	struct call_result trap = {0};
	struct entity inst = {0};
	const char *needs = def.kind == ENTITY_COMPONENT ? component_needs(def.component) : NULL;
	bool is_decoded = needs && !component_can_run(def.component);  // what asserts nothing more than that
	bool ok = !needs && instantiate(s, def, &inst, &trap, &e);
	if (!needs && !ok && !trap.trap && (e.code == ERR_LIMIT || e.code == ERR_NOMEM || e.code == ERR_ENV))
		needs = "more memory than there is";
	if (!ok)
		inst = (struct entity){.kind = needs ? ENTITY_SKIPPED : ENTITY_FAILED, .reason = needs};
	s->current = inst;
	set_named(&s->instances, name, inst);
	if (ok)
		return OUTCOME_PASSED;
	if (needs)
		return is_decoded ? OUTCOME_PASSED : skipped_step(needs);
	return trap.trap ? failed("traps while instantiating: %s", trap.text) : failed_err("does not link", &e);
}

static struct outcome step_module(struct script *s, const json_t *c)
{
	struct err e = {0};
	struct entity def = {0};
	const json_t *name = json_object_get(c, "name");
	if (load(s, c, &def, &e))
		return step_instance(s, def, name);
	s->current = (struct entity){.kind = ENTITY_FAILED};
	set_named(&s->instances, name, s->current);
	return failed_err("does not load", &e);
}

static struct outcome step_definition(struct script *s, const json_t *c)
{
	struct err e = {0};
	struct entity def = {0};
	bool ok = load(s, c, &def, &e);
	if (!ok)
		def.kind = ENTITY_FAILED;
	s->current_definition = def;
	set_named(&s->definitions, json_object_get(c, "name"), def);
	return ok ? OUTCOME_PASSED : failed_err("does not load", &e);
}

static struct outcome step_module_instance(struct script *s, const json_t *c)
{
	const json_t *module = json_object_get(c, "module"), *name = json_object_get(c, "instance");
	struct entity *def = json_is_string(module) ? find_named(&s->definitions, module) : &s->current_definition;
	if (def && (def->kind == ENTITY_CORE_MODULE || def->kind == ENTITY_COMPONENT))
		return step_instance(s, *def, json_is_string(name) ? name : NULL);
	s->current = def && def->kind == ENTITY_SKIPPED ? *def : (struct entity){.kind = ENTITY_FAILED};
	set_named(&s->instances, json_is_string(name) ? name : NULL, s->current);
	return s->current.kind == ENTITY_SKIPPED ? skipped(reason_of(&s->current)) : failed("the definition did not load");
}

static struct outcome step_register(struct script *s, const json_t *c)
{
	const json_t *name = json_object_get(c, "name");
	struct entity *e = name ? find_named(&s->instances, name) : &s->current;
	if (!e || e->kind <= ENTITY_SKIPPED)
		return e && e->kind == ENTITY_SKIPPED ? skipped(reason_of(e)) : failed("no such instance");
	set_named(&s->registered, json_object_get(c, "as"), *e);
	return OUTCOME_PASSED;
}

// ---- actions --------------------------------------------------------------------------------------------------------------------------

static struct entity *action_target(struct script *s, const json_t *action)
{
	const json_t *module = json_object_get(action, "module");
	return json_is_string(module) ? find_named(&s->instances, module) : &s->current;
}

static struct call_result act(struct script *s, const json_t *c, const json_t *expected, struct outcome *mismatch)
{
	const json_t *action = json_object_get(c, "action");
	struct entity *target = action_target(s, action);
	*mismatch = OUTCOME_PASSED;
	struct call_result r = {.end = CALL_NOT_DONE};
	if (target && target->kind == ENTITY_CORE_INSTANCE && !strcmp(json_text(action, "type"), "get")) {
		*mismatch = core_get(s, target->core_instance, action, expected);
		r.end = CALL_RETURNED;
	} else if (target && target->kind == ENTITY_CORE_INSTANCE) {
		r = core_invoke(s, target->core_instance, action, expected, mismatch);
	} else if (target && target->kind == ENTITY_COMPONENT_INSTANCE) {
		r = component_invoke(s, target->component_instance, action, expected, mismatch);
	} else {
		snprintf(r.text, sizeof(r.text), "no current instance");
	}
	return r;
}

static struct outcome assert_return(struct script *s, const json_t *c)
{
	struct outcome mismatch;
	struct call_result r = act(s, c, json_object_get(c, "expected"), &mismatch);
	if (r.end == CALL_TRAPPED)
		return failed("traps: %s", r.text);
	return r.end == CALL_NOT_DONE ? failed("%s", r.text) : mismatch;
}

// Guest code in component scripts reports its own failures with `unreachable`.
static bool trap_is_asserted(const struct script *s, const json_t *c, const struct call_result *r)
{
	return r->trap != TRAP_UNREACHABLE || strstr(json_text(c, "text"), "unreachable");
}

static struct outcome assert_trap(struct script *s, const json_t *c)
{
	struct outcome mismatch;
	struct call_result r = act(s, c, NULL, &mismatch);
	if (r.end == CALL_NOT_DONE)
		return failed("%s", r.text);
	if (r.end == CALL_RETURNED)
		return failed("returns, should trap: %s", json_text(c, "text"));
	bool exhaustion = !strcmp(json_text(c, "type"), "assert_exhaustion") || strstr(json_text(c, "text"), "stack exhausted");
	if (exhaustion != (r.trap == TRAP_STACK_OVERFLOW) || !trap_is_asserted(s, c, &r))
		return failed("traps with '%s', should with '%s'", r.text, json_text(c, "text"));
	return OUTCOME_PASSED;
}

static struct outcome assert_not_loaded(struct script *s, const json_t *c)
{
	struct err e = {0};
	struct entity def = {0};
	if (load(s, c, &def, &e))
		return failed("loads, should not: %s", json_text(c, "text"));
	if (e.code == ERR_UNSUPPORTED)  // says nothing of the check that is asserted
		return skipped("refused as not supported, before what is asserted");
	if (e.code != ERR_MALFORMED && e.code != ERR_INVALID && e.code != ERR_LIMIT)
		return failed_err("not for the module's sake", &e);
	return OUTCOME_PASSED;
}

static struct outcome assert_not_instantiated(struct script *s, const json_t *c)
{
	bool should_trap = !strcmp(json_text(c, "type"), "assert_uninstantiable");
	struct err e = {0};
	struct entity def = {0}, inst = {0};
	struct call_result trap;
	if (!load(s, c, &def, &e))
		return failed_err("does not load", &e);
	if (def.kind == ENTITY_COMPONENT && component_needs(def.component) && (should_trap || !component_can_run(def.component)))
		return skipped(component_needs(def.component));
	if (def.kind == ENTITY_COMPONENT && component_needs(def.component))
		return OUTCOME_PASSED;  // nobody provides what it imports
	if (instantiate(s, def, &inst, &trap, &e))
		return failed("is instantiated, should not: %s", json_text(c, "text"));
	if (should_trap && !trap.trap && (e.code == ERR_LIMIT || e.code == ERR_NOMEM))
		return OUTCOME_PASSED;  // of a size that nobody gives it
	if (should_trap)
		return trap.trap && trap_is_asserted(s, c, &trap) ? OUTCOME_PASSED : failed("does not link or traps otherwise: %s%s", e.text, trap.text);
	return !trap.trap && e.code == ERR_LINK ? OUTCOME_PASSED : failed("fails otherwise: %s%s", e.text, trap.text);
}

static struct outcome step_action(struct script *s, const json_t *c)
{
	struct outcome mismatch;
	struct call_result r = act(s, c, NULL, &mismatch);
	return r.end == CALL_RETURNED ? OUTCOME_PASSED : failed("%s", r.text);
}

static struct outcome no_threads(struct script *s, const json_t *c)
{
	return skipped_step("needs threads");
}

static struct outcome assert_exception(struct script *s, const json_t *c)
{
	struct outcome mismatch;
	struct call_result r = act(s, c, NULL, &mismatch);
	if (r.end == CALL_NOT_DONE)
		return failed("%s", r.text);
	if (r.end == CALL_RETURNED || r.trap != TRAP_EXCEPTION)
		return failed("%s, should end with an exception", r.end == CALL_RETURNED ? "returns" : r.text);
	return OUTCOME_PASSED;
}

static struct outcome no_suspension(struct script *s, const json_t *c)
{
	return skipped("needs stack switching");
}

static struct outcome not_run(struct script *s, const json_t *c)
{
	return skipped("custom sections are not checked");
}

static const struct {
	const char *type;
	struct outcome (*run)(struct script *s, const json_t *c);
	bool runs;  // needs an instance: skipped where that was skipped
} commands[] = {
	{"module", step_module, false},
	{"module_definition", step_definition, false},
	{"module_instance", step_module_instance, false},
	{"register", step_register, false},
	{"action", step_action, true},
	{"assert_return", assert_return, true},
	{"assert_trap", assert_trap, true},
	{"assert_exhaustion", assert_trap, true},
	{"assert_uninstantiable", assert_not_instantiated, false},
	{"assert_unlinkable", assert_not_instantiated, false},
	{"assert_invalid", assert_not_loaded, false},
	{"assert_malformed", assert_not_loaded, false},
	{"assert_invalid_custom", not_run, false},
	{"assert_malformed_custom", not_run, false},
	{"assert_exception", assert_exception, true},
	{"assert_suspension", no_suspension, true},
	{"thread", no_threads, false},
	{"wait", no_threads, false},
};

struct outcome script_command(struct script *s, const json_t *c)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(json_text(c, "type"), commands[i].type))
			continue;
		if (commands[i].runs) {
			struct entity *target = action_target(s, json_object_get(c, "action"));
			if (target && target->kind == ENTITY_SKIPPED)
				return skipped(reason_of(target));
		}
		return commands[i].run(s, c);
	}
	return failed("no such command: %s", json_text(c, "type"));
}
