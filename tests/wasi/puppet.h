// A guest that does what a test tells it, one call of wasi at a time, and keeps its handles in between. Its component is made from the descriptions of
// the interfaces, as the text of comp/test/build.h: it imports the functions that the test names and exports each again with the flat form of its type
// ("f0", "f1"…), beside the drop of each resource ("drop0"…), a way in for what the host gives it ("adopt0"…), and peek and poke of its memory.
#ifndef TESTS_WASI_PUPPET_H
#define TESTS_WASI_PUPPET_H

#include "../canon/components.h"
#include "../engine/guest.h"
#include "imports_text.h"

// Where the guest's things lie: results that don't fit a register, what a test pokes, and from there on what realloc gives.
enum { PUPPET_RESULT = 1024, PUPPET_ARGS = 4096, PUPPET_HEAP = 1 << 20, PUPPET_PAGES = 64 };

// ---- the component, as text ------------------------------------------------------------------------------------------------------------------

// Core value types as types of components: u32, u64, f32, f64.
static unsigned of_component(uint8_t core)
{
	return core == WIT_CORE_I32 ? 0x79 : core == WIT_CORE_I64 ? 0x77
		: core == WIT_CORE_F32                                ? 0x76
															  : 0x75;
}

// Every function of the trampoline module: what it is called, its type, its body.
struct puppet_entry {
	char name[16];
	struct puppet_flat type;
	char body[128];
};

static void trampoline_text(const struct puppet_entry *e, uint32_t n, uint32_t n_imports, struct buf *out)
{
	say(out, CORE_MODULE "[ " MODULE TYPES "[ #%u ", n);
	for (uint32_t i = 0; i < n; i++) {
		say(out, "60 #%u ", e[i].type.n);
		for (uint32_t k = 0; k < e[i].type.n; k++)
			say(out, "%02x ", e[i].type.params[k]);
		say(out, e[i].type.result ? "01 %02x " : "00 ", e[i].type.result);
	}
	say(out, "] " IMPORTS "[ #%u 'a' 'm' 02 00 01 ", n_imports + 1);
	for (uint32_t i = 0; i < n_imports; i++)
		say(out, "'h' '%s' 00 #%u ", e[i].name, i);
	say(out, "] " FUNCS "[ #%u ", n);
	for (uint32_t i = 0; i < n; i++)
		say(out, "#%u ", i);
	say(out, "] " EXPORTS "[ #%u ", n);
	for (uint32_t i = 0; i < n; i++)
		say(out, "'%s' 00 #%u ", e[i].name, n_imports + i);
	say(out, "] " CODE "[ #%u ", n);
	for (uint32_t i = 0; i < n; i++) {
		say(out, "[ 00 ");
		for (uint32_t k = 0; i < n_imports && k < e[i].type.n; k++)
			say(out, "local.get #%u ", k);
		say(out, "%s end ] ", e[i].body);
	}
	say(out, "] ] ");
}

#define PUPPET_MEMORY                                                                                                         \
	MODULE TYPES "[ 01 60 04 7f 7f 7f 7f 01 7f ] " FUNCS "[ 01 00 ] " MEMORIES "[ 01 00 #64 ] " GLOBALS                       \
				 "[ 01 7f 01 i32.const #1048576 end ] " EXPORTS "[ 02 'm' 02 00 'r' 00 00 ] " CODE                            \
				 "[ 01 [ 01 01 7f global.get #0 local.get #2 i32.const #1 i32.sub i32.add i32.const #0 local.get #2 i32.sub " \
				 "i32.and local.tee #4 local.get #3 i32.add global.set #0 local.get #4 end ] ] "

static uint32_t entries_of(const struct puppet_maker *m, struct puppet_entry *e)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < m->n_funcs; i++, n++) {
		e[n] = (struct puppet_entry){.type = flat_of(m->funcs[i]->type)};
		snprintf(e[n].name, sizeof e[n].name, "f%u", i);
		snprintf(e[n].body, sizeof e[n].body, "call #%u", n);
	}
	for (uint32_t i = 0; i < m->n_resources; i++, n++) {
		e[n] = (struct puppet_entry){.type = {.params = {WIT_CORE_I32}, .n = 1}};
		snprintf(e[n].name, sizeof e[n].name, "drop%u", i);
		snprintf(e[n].body, sizeof e[n].body, "call #%u", n);
	}
	for (uint32_t i = 0; i < m->n_resources; i++, n++) {
		e[n] = (struct puppet_entry){.type = {.params = {WIT_CORE_I32}, .n = 1, .result = WIT_CORE_I32}, .body = "local.get #0"};
		snprintf(e[n].name, sizeof e[n].name, "adopt%u", i);
	}
	e[n++] = (struct puppet_entry){"peek", {.params = {WIT_CORE_I32}, .n = 1, .result = WIT_CORE_I32}, "local.get #0 i32.load8_u #0 #0"};
	e[n++] = (struct puppet_entry){"poke", {.params = {WIT_CORE_I32, WIT_CORE_I32}, .n = 2}, "local.get #0 local.get #1 i32.store8 #0 #0"};
	return n;
}

static void component_text(struct puppet_maker *m, struct buf *out)
{
	static struct puppet_entry e[PUPPET_FUNCS + 2 * PUPPET_RESOURCES + 2];
	uint32_t n = entries_of(m, e), n_imports = m->n_funcs + m->n_resources, n_types = 0, n_instances = 0;
	uint32_t instance_of[PUPPET_FUNCS];
	say(out, COMPONENT);
	imports_text(m, out, &n_types, &n_instances, instance_of);
	say(out, CORE_MODULE "[ " PUPPET_MEMORY "] " CORE_INSTANCE "[ 01 00 00 00 ] " ALIAS "[ 02 00 02 01 00 'm' 00 00 01 00 'r' ] " ALIAS "[ #%u ", m->n_funcs);
	for (uint32_t i = 0; i < m->n_funcs; i++)
		say(out, "01 00 #%u '%s' ", instance_of[i], m->funcs[i]->name);
	say(out, "] " CANON "[ #%u ", n_imports);
	for (uint32_t i = 0; i < m->n_funcs; i++)
		say(out, "01 00 #%u 02 03 00 04 00 ", i);
	for (uint32_t i = 0; i < m->n_resources; i++)
		say(out, "03 #%u ", m->resources[i].type);
	say(out, "] ");
	trampoline_text(e, n, n_imports, out);
	say(out, CORE_INSTANCE "[ 02 01 #%u ", n_imports);
	for (uint32_t i = 0; i < n_imports; i++)
		say(out, "'%s' 00 #%u ", e[i].name, 1 + i);
	say(out, "00 01 02 'h' 12 01 'a' 12 00 ] " ALIAS "[ #%u ", n);
	for (uint32_t i = 0; i < n; i++)
		say(out, "00 00 01 02 '%s' ", e[i].name);
	say(out, "] " TYPE "[ #%u ", m->n_resources + n);
	uint32_t own = n_types;
	for (uint32_t i = 0; i < m->n_resources; i++, n_types++)
		say(out, "69 #%u ", m->resources[i].type);
	for (uint32_t i = 0; i < n; i++) {
		bool adopts = i >= n_imports && i < n_imports + m->n_resources;
		say(out, "40 #%u ", e[i].type.n);
		for (uint32_t k = 0; k < e[i].type.n; k++)
			if (adopts)
				say(out, "'a0' #%u ", own + i - n_imports);
			else
				say(out, "'a%u' %02x ", k, of_component(e[i].type.params[k]));
		say(out, e[i].type.result ? "00 %02x " : "01 00 ", of_component(e[i].type.result));
	}
	say(out, "] " CANON "[ #%u ", n);
	for (uint32_t i = 0; i < n; i++)
		say(out, "00 00 #%u 00 #%u ", 1 + n_imports + i, n_types + i);
	say(out, "] " EXPORT "[ #%u ", n);
	for (uint32_t i = 0; i < n; i++)
		say(out, "00 '%s' 01 #%u 00 ", e[i].name, m->n_funcs + i);
	say(out, "] ");
}

// ---- the guest -------------------------------------------------------------------------------------------------------------------------------

struct puppet {
	struct puppet_maker maker;
	struct buf bytes;
	struct loaded loaded;
	struct wasi wasi;
	struct seam_registry registry;
	bool (*offer)(struct puppet *p, struct err *e);  // adds to the registry, before wasi does; NULL: nothing
	struct seam_link *link;
	struct loop *loop;
	struct seam_grants grants;
	struct wasi_log log;
	struct seam_instance seam;
	struct canon_instance *instance;
	// the call under way or the last one
	struct seam_tasks *tasks;
	struct seam_task *task;
	const struct comp_export_func *func;  // NULL: the steps of its start
	uint64_t args[WIT_MAX_FLAT + 1];
	union {
		uint32_t word;
		uint64_t both;
	} ret;
	struct canon_trap trap;
	bool ok, done;
};

static void puppet_main(void *arg)
{
	struct puppet *p = arg;
	uint8_t args[8 * (WIT_MAX_FLAT + 1)] = {0};
	struct arena arena;
	p->trap = (struct canon_trap){0};
	p->ret.both = 0;
	if (!p->func) {
		p->ok = canon_instance_initialize(p->instance, 0, canon_component_steps(p->loaded.canon), &p->task->canon, &p->trap);
		return;
	}
	const struct wit_type *params = &p->func->type->params;
	for (uint32_t i = 0; i < params->n; i++)
		memcpy(args + params->fields[i].offset64, &p->args[i], params->fields[i].type->size64);
	arena_init(&arena, 0);
	p->ok = seam_export_call(p->task, p->instance, &(struct seam_export){p->func}, args, &p->ret, &arena, &p->trap);
	arena_release(&arena);
}

static void on_puppet_done(struct seam_task *t)
{
	((struct puppet *)t->owner)->done = true;
}

static void puppet_begin(struct puppet *p)
{
	struct err e = {0};
	uint64_t logged = p->task ? p->task->logged : 0;  // the calls of a puppet are what one request does
	bool log_cut = p->task && p->task->log_cut;
	p->done = false;
	seam_task_free(p->task);
	assert_true(p->tasks || seam_tasks_new(p->loop, shard, &p->tasks, &e));
	p->task = seam_task_new(p->tasks, NULL);
	p->task->owner = p;
	p->task->logged = logged;
	p->task->log_cut = log_cut;
	assert_true(seam_task_run(p->task, puppet_main, p, VM_BUDGET_NONE, on_puppet_done));
}

static bool puppet_run(struct puppet *p)
{
	puppet_begin(p);
	for (int i = 0; i < 100000 && !p->done; i++)
		loop_run_once(p->loop, MILLISECOND);
	if (!p->done)
		fail_msg("the call does not end");
	return p->ok;
}

static const struct comp_export_func *puppet_export(struct puppet *p, const char *name)
{
	const struct comp_export_func *f = comp_find_export(p->loaded.comp, SLICE_LIT(""), slice_str(name));
	if (!f)
		fail_msg("no export %s", name);
	return f;
}

// `name` is that of an imported function ("[method]fields.append"), or of an export of the puppet ("peek").
static const struct comp_export_func *puppet_export_of(struct puppet *p, const char *name, bool *ret_spills)
{
	char text[16];
	*ret_spills = false;
	for (uint32_t i = 0; i < p->maker.n_funcs; i++)
		if (strcmp(p->maker.funcs[i]->name, name) == 0) {
			*ret_spills = flat_of(p->maker.funcs[i]->type).spills;
			snprintf(text, sizeof text, "f%u", i);
			return puppet_export(p, text);
		}
	return puppet_export(p, name);
}

// Arguments that are not given are 0. What spills goes to PUPPET_RESULT.
static void puppet_set(struct puppet *p, const char *name, const uint64_t *args, uint32_t n)
{
	bool spills;
	p->func = puppet_export_of(p, name, &spills);
	memset(p->args, 0, sizeof p->args);
	if (n)
		memcpy(p->args, args, n * sizeof *args);
	if (spills)
		p->args[p->func->type->params.n - 1] = PUPPET_RESULT;
	assert_true(n + spills <= p->func->type->params.n);
}
static bool puppet_try(struct puppet *p, const char *name, const uint64_t *args, uint32_t n)
{
	puppet_set(p, name, args, n);
	return puppet_run(p);
}
static uint64_t puppet_call(struct puppet *p, const char *name, const uint64_t *args, uint32_t n)
{
	if (!puppet_try(p, name, args, n))
		fail_msg("%s: %s", name, p->trap.text);
	return p->ret.both;
}
#define WORDS(...) (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t)
#define CALL(p, name, ...) puppet_call(p, name, WORDS(__VA_ARGS__))
#define CALL0(p, name) puppet_call(p, name, NULL, 0)
// The call ends with this trap and, if `part` is not NULL, a text that has it.
#define TRAPS(p, how, part, name, ...) puppet_traps(p, how, part, name, WORDS(__VA_ARGS__))

__attribute__((unused)) static void puppet_traps(struct puppet *p, enum trap how, const char *part, const char *name, const uint64_t *args, uint32_t n)
{
	if (puppet_try(p, name, args, n))
		fail_msg("%s returned 0x%llx and should have trapped", name, (unsigned long long)p->ret.both);
	if (p->trap.trap != how || (part && !strstr(p->trap.text, part)))
		fail_msg("%s: expected '%s', got '%s'", name, part ? part : "", p->trap.text);
}

__attribute__((unused)) static uint32_t puppet_peek(struct puppet *p, uint32_t at)
{
	return (uint32_t)CALL(p, "peek", at);
}
__attribute__((unused)) static uint32_t puppet_word(struct puppet *p, uint32_t at)
{
	uint32_t v = 0;
	for (uint32_t i = 0; i < 4; i++)
		v |= puppet_peek(p, at + i) << (8 * i);
	return v;
}
// Text (or bytes) at PUPPET_ARGS + `at`; returns the address.
__attribute__((unused)) static uint32_t puppet_poke(struct puppet *p, uint32_t at, struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		CALL(p, "poke", PUPPET_ARGS + at + i, s.ptr[i]);
	return PUPPET_ARGS + at;
}
static const char *puppet_of(const char *prefix, struct puppet *p, const struct seam_resource *r)
{
	static char name[16];
	for (uint32_t i = 0; i < p->maker.n_resources; i++)
		if (p->maker.resources[i].resource == r)
			snprintf(name, sizeof name, "%s%u", prefix, i);
	return name;
}
// What the host gives to the guest: an object's rep becomes a handle.
__attribute__((unused)) static uint32_t puppet_adopt(struct puppet *p, const struct seam_resource *r, uint32_t rep)
{
	return (uint32_t)CALL(p, puppet_of("adopt", p, r), rep);
}
__attribute__((unused)) static void puppet_drop(struct puppet *p, const struct seam_resource *r, uint32_t handle)
{
	CALL(p, puppet_of("drop", p, r), handle);
}

// An instance of its own; the one before has been freed.
static void puppet_restart(struct puppet *p)
{
	struct err e = {0};
	seam_instance_init(&p->seam, p->loop, &p->grants, p);
	if (!canon_instance_new(shard, p->loaded.canon, seam_link_host(p->link), NULL, &p->seam, &p->instance, &e))
		fail_msg("%s", e.text);
	p->func = NULL;
	if (!puppet_run(p))
		fail_msg("%s", p->trap.text);
}

// `wanted`: pairs of interface ("wasi:http/types") and function, ended by NULL. `shard` and p->loop stand already; the rest of *p is zero but for grants,
// log and offer.
static void puppet_open(struct puppet *p, const char *const *wanted)
{
	struct err e = {0};
	struct buf text = {0};
	for (; *wanted; wanted += 2)
		puppet_want(&p->maker, wanted[0], wanted[1]);
	component_text(&p->maker, &text);
	assert_true(buf_put_byte(&text, 0));
	build_text(&p->bytes, (const char *)text.ptr);
	buf_release(&text);
	wasi_init(&p->wasi, &p->log);
	if (!load_component(&p->loaded, buf_view(&p->bytes), &e) || (p->offer && !p->offer(p, &e)) || !wasi_register(&p->wasi, &p->registry, &e) ||
		!seam_link_new(&p->registry, p->loaded.comp, &p->link, &e))
		fail_msg("%s at 0x%llx (%s)", e.text, (unsigned long long)e.offset, e.where);
	puppet_restart(p);
}

static void puppet_close(struct puppet *p)
{
	seam_task_free(p->task);
	seam_tasks_free(p->tasks);
	canon_instance_free(p->instance);
	seam_link_free(p->link);
	seam_registry_release(&p->registry);
	unload_component(&p->loaded);
	buf_release(&p->bytes);
}

#endif
