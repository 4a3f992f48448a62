// Exports of random types under the names that the host calls: bound, and then called through witgen's stubs without harm, or refused. What is bound has the
// description's layout.
// PROGRAM(fuzz_exports, "wasi tier", "generate.c")
#include "canon/canon.h"
#include "generate.h"
#include "tier/tier.h"
#include "wasi/wasi.h"

enum { MAX_TYPES = 50, MAX_DEPTH = 3, MAX_PARTS = 4 };

// ---- components -------------------------------------------------------------------------------------------------------------------------

struct gen {
	struct bytes in;
	struct arena *arena;
	struct buf out, section;
	uint32_t n_types, n_names;
	struct wit_resource resources[2];  // what the imported ones are to the model
};
// A value type: of the model, and as the binary names it.
struct value {
	const struct wit_type *type;
	uint8_t ref;  // code of a primitive, or index
};

static void put_name(struct buf *b, const char *name)
{
	put_u(b, (uint32_t)strlen(name));
	buf_put_str(b, name);
}

static void put_bytes(struct buf *b, const char *bytes, size_t n)
{
	buf_put(b, bytes, n);
}
#define PUT(b, s) put_bytes((b), s, sizeof(s) - 1)

// What is in `section` goes out as a section of that kind.
static void end_section(struct buf *out, struct buf *section, uint8_t kind)
{
	buf_put_byte(out, kind);
	put_u(out, (uint32_t)section->len);
	buf_put_slice(out, buf_view(section));
	section->len = 0;
}

// The type in `section` behind its count is the next one; `named`: it is exported, and the exported one is meant from now on.
static uint8_t end_type(struct gen *g, bool named)
{
	char name[16];
	end_section(&g->out, &g->section, 7);
	if (!named)
		return (uint8_t)g->n_types++;
	snprintf(name, sizeof name, "t%u", g->n_names++);
	PUT(&g->section, "\1\0");
	put_name(&g->section, name);
	buf_put_byte(&g->section, 3);
	put_u(&g->section, g->n_types);
	buf_put_byte(&g->section, 0);
	end_section(&g->out, &g->section, 11);
	g->n_types += 2;
	return (uint8_t)(g->n_types - 1);
}

static struct value primitive(unsigned kind)
{
	return (struct value){wit_type_primitive(kind), (uint8_t)(0x7f - kind)};
}

static struct value make_value(struct gen *g, unsigned depth);

static struct value make_parts(struct gen *g, unsigned depth, uint8_t code)
{
	static const char *const names[MAX_PARTS] = {"a", "b", "c", "d"};
	struct value parts[MAX_PARTS];
	struct wit_member members[MAX_PARTS];
	const struct wit_type *types[MAX_PARTS], *t = NULL;
	uint32_t n = 1 + bytes_take(&g->in) % MAX_PARTS;
	for (uint32_t i = 0; i < n; i++) {
		parts[i] = make_value(g, depth + 1);
		types[i] = parts[i].type;
		members[i] = (struct wit_member){slice_str(names[i]), parts[i].type};
	}
	buf_put_byte(&g->section, 1);
	buf_put_byte(&g->section, code);
	put_u(&g->section, n);
	for (uint32_t i = 0; i < n; i++) {
		if (code != 0x6f)
			put_name(&g->section, names[i]);
		if (code == 0x71)
			buf_put_byte(&g->section, 1);
		buf_put_byte(&g->section, parts[i].ref);
		if (code == 0x71)
			buf_put_byte(&g->section, 0);
	}
	BUG_ON(!(code == 0x6f ? wit_type_tuple(g->arena, types, n, &t, NULL) : code == 0x72 ? wit_type_record(g->arena, members, n, &t, NULL)
																						: wit_type_variant(g->arena, members, n, &t, NULL)));
	return (struct value){t, end_type(g, code != 0x6f)};
}

static struct value make_labels(struct gen *g, uint8_t code)
{
	static const char *const names[] = {"ok", "error", "more", "none"};
	struct slice list[ARRAY_LEN(names)];
	const struct wit_type *t = NULL;
	uint32_t n = 1 + bytes_take(&g->in) % ARRAY_LEN(names);
	buf_put_byte(&g->section, 1);
	buf_put_byte(&g->section, code);
	put_u(&g->section, n);
	for (uint32_t i = 0; i < n; i++) {
		list[i] = slice_str(names[i]);
		put_name(&g->section, names[i]);
	}
	BUG_ON(!(code == 0x6d ? wit_type_enum(g->arena, list, n, &t, NULL) : wit_type_flags(g->arena, list, n, &t, NULL)));
	return (struct value){t, end_type(g, true)};
}

static struct value make_of_one(struct gen *g, unsigned depth, uint8_t code)
{
	struct value of = make_value(g, depth + 1);
	const struct wit_type *t = NULL;
	buf_put_byte(&g->section, 1);
	buf_put_byte(&g->section, code);
	buf_put_byte(&g->section, of.ref);
	BUG_ON(!(code == 0x70 ? wit_type_list(g->arena, of.type, &t, NULL) : wit_type_option(g->arena, of.type, &t, NULL)));
	return (struct value){t, end_type(g, false)};
}

static struct value make_result(struct gen *g, bool ok, bool err)
{
	struct value of = ok || err ? make_value(g, MAX_DEPTH) : (struct value){0};
	const struct wit_type *t = NULL;
	PUT(&g->section, "\1\x6a");
	for (int i = 0; i < 2; i++) {
		bool has = i ? err : ok;
		buf_put_byte(&g->section, has);
		if (has)
			buf_put_byte(&g->section, of.ref);
	}
	BUG_ON(!wit_type_result(g->arena, ok ? of.type : NULL, err ? of.type : NULL, &t, NULL));
	return (struct value){t, end_type(g, false)};
}

// own<incoming-request> (type 1), own<response-outparam> (type 2), or of a resource of its own.
static struct value make_own(struct gen *g, unsigned which)
{
	const struct wit_type *t = NULL;
	struct wit_resource *own = ARENA_NEW(g->arena, struct wit_resource);
	uint8_t resource = (uint8_t)(1 + which);
	BUG_ON(!own || !wit_type_own(g->arena, which < 2 ? &g->resources[which] : own, &t, NULL));
	if (which >= 2) {
		PUT(&g->section, "\1\x3f\x7f\0");
		resource = end_type(g, true);
	}
	PUT(&g->section, "\1\x69");
	buf_put_byte(&g->section, resource);
	return (struct value){t, end_type(g, false)};
}

static struct value make_value(struct gen *g, unsigned depth)
{
	unsigned kind = bytes_take(&g->in) % 24;
	if (kind < WIT_ERROR_CONTEXT || depth >= MAX_DEPTH || g->n_types > MAX_TYPES)
		return primitive(kind % WIT_ERROR_CONTEXT);
	switch (kind) {
	case 13:
		return make_of_one(g, depth, 0x70);
	case 14:
		return make_of_one(g, depth, 0x6b);
	case 15:
		return make_result(g, bytes_take(&g->in) & 1, bytes_take(&g->in) & 1);
	case 16:
		return make_parts(g, depth, 0x6f);
	case 17:
		return make_parts(g, depth, 0x72);
	case 18:
		return make_parts(g, depth, 0x71);
	case 19:
		return make_labels(g, 0x6d);
	case 20:
		return make_labels(g, 0x6e);
	default:
		return make_own(g, kind - 21);
	}
}

// A function type, often nearly that of run or handle. Gives its index.
static uint8_t make_func(struct gen *g, const struct wit_func_type **ret)
{
	static const char *const names[] = {"request", "response-out", "c"};
	struct wit_member params[ARRAY_LEN(names)];
	struct value values[ARRAY_LEN(names)], result = {0};
	uint8_t like = bytes_take(&g->in) % 8;
	uint32_t n = like == 0 ? 0 : like == 1 ? 2
										   : bytes_take(&g->in) % (ARRAY_LEN(names) + 1);
	bool has_result = like == 0 || (like != 1 && bytes_take(&g->in) & 1);
	for (uint32_t i = 0; i < n; i++) {
		values[i] = like == 1 ? make_own(g, i) : make_value(g, 0);
		params[i] = (struct wit_member){slice_str(names[i]), values[i].type};
	}
	if (has_result)
		result = like == 0 ? make_result(g, false, false) : make_value(g, 0);
	PUT(&g->section, "\1\x40");
	put_u(&g->section, n);
	for (uint32_t i = 0; i < n; i++) {
		put_name(&g->section, names[i]);
		buf_put_byte(&g->section, values[i].ref);
	}
	buf_put_byte(&g->section, has_result ? 0 : 1);
	buf_put_byte(&g->section, has_result ? result.ref : 0);
	BUG_ON(!wit_func_type_make(g->arena, params, n, has_result ? result.type : NULL, false, ret, NULL));
	return end_type(g, false);
}

static void put_const(struct buf *b, uint8_t type, uint64_t v)
{
	buf_put_byte(b, (uint8_t)(0x41 + (0x7f - type)));
	if (type == WIT_CORE_I32)
		put_s(b, (int32_t)v);
	else if (type == WIT_CORE_I64)
		put_s(b, (int64_t)v);
	else
		buf_put(b, &v, type == WIT_CORE_F32 ? 4 : 8);
}

// A core module with `f` of the function's flat type, which gives numbers of the input or traps; a memory of what is left of the input; a realloc.
static void put_module(struct gen *g, const struct wit_func_type *type)
{
	struct buf m = {.max = 1 << 20}, s = {.max = 1 << 20}, body = {.max = 1 << 16};
	bool spilled = type->params.n_flat > WIT_MAX_FLAT;
	uint32_t nparams = spilled ? 1 : type->params.n_flat, nresults = type->result && type->result->n_flat ? 1 : 0;
	uint8_t result = nresults && type->result->n_flat == 1 ? type->result->flat[0] : WIT_CORE_I32;
	PUT(&m, "\0asm\1\0\0\0");
	PUT(&s, "\2\x60");
	put_u(&s, nparams);
	for (uint32_t i = 0; i < nparams; i++)
		buf_put_byte(&s, spilled ? WIT_CORE_I32 : type->params.flat[i]);
	put_u(&s, nresults);
	if (nresults)
		buf_put_byte(&s, result);
	PUT(&s, "\x60\4\x7f\x7f\x7f\x7f\1\x7f");
	end_section(&m, &s, 1);
	PUT(&s, "\2\0\1");
	end_section(&m, &s, 3);
	PUT(&s, "\1\0\1");
	end_section(&m, &s, 5);
	PUT(&s, "\3\1f\0\0\1m\2\0\1r\0\1");
	end_section(&m, &s, 7);
	buf_put_byte(&body, 0);
	uint8_t how = bytes_take(&g->in);
	if (nresults)
		put_const(&body, result, how < 128 ? how & 7 : bytes_take_u64(&g->in));
	PUT(&body, "\x0b");
	buf_put_byte(&s, 2);
	put_u(&s, (uint32_t)body.len);
	buf_put_slice(&s, buf_view(&body));
	PUT(&s, "\6\0\x41\x80\xc0\0\x0b");
	end_section(&m, &s, 10);
	PUT(&s, "\1\0\x41\0\x0b");
	uint32_t n = (uint32_t)min_u64((uint64_t)(g->in.end - g->in.p), 4096);
	put_u(&s, n);
	buf_put(&s, g->in.p, n);
	end_section(&m, &s, 11);
	end_section(&g->out, &m, 1);
	buf_release(&m);
	buf_release(&s);
	buf_release(&body);
}

static void make_component(struct gen *g)
{
	static const char *const interfaces[] = {"wasi:cli/run@0.2.0", "wasi:http/incoming-handler@0.2.3", "wasi:cli/run@0.2.12-rc", "wasi:http/incoming-handler@0.3.0"};
	static const char *const names[] = {"run", "handle", "ran"};
	const struct wit_func_type *type;
	uint8_t which = bytes_take(&g->in);
	PUT(&g->out, "\0asm\x0d\0\1\0");
	PUT(&g->section, "\1\x42\2\4\0\x10incoming-request\3\1\4\0\x11response-outparam\3\1");
	end_section(&g->out, &g->section, 7);
	PUT(&g->section, "\1\0\x15wasi:http/types@0.2.3\5\0");
	end_section(&g->out, &g->section, 10);
	PUT(&g->section, "\2\3\0\0\x10incoming-request\3\0\0\x11response-outparam");
	end_section(&g->out, &g->section, 6);
	g->n_types = 3;
	uint8_t func = make_func(g, &type);
	put_module(g, type);
	PUT(&g->section, "\1\0\0\0");
	end_section(&g->out, &g->section, 2);
	PUT(&g->section, "\3\0\0\1\0\1f\0\2\1\0\1m\0\0\1\0\1r");
	end_section(&g->out, &g->section, 6);
	PUT(&g->section, "\1\0\0\0\2\3\0\4\1");  // memory, realloc
	buf_put_byte(&g->section, func);
	end_section(&g->out, &g->section, 8);
	PUT(&g->section, "\1\1\1\0");
	put_name(&g->section, names[which / 4 % 8 < 7 ? which % 2 : 2]);
	PUT(&g->section, "\1\0");
	end_section(&g->out, &g->section, 5);
	PUT(&g->section, "\1\0");
	put_name(&g->section, interfaces[which % 2 + (which > 240 ? 2 : 0)]);
	PUT(&g->section, "\5\1\0");
	end_section(&g->out, &g->section, 11);
}

// ---- binding and calling ------------------------------------------------------------------------------------------------------------------

static struct loop *loop;
static struct vm_shard *shard;
static struct seam_tasks *tasks;
static struct wasi wasi;
static struct seam_registry registry;

static void forget(struct canon_instance *i, void *object)
{
}
static const struct canon_resource_ops request_class = {&wasi_http_types_incoming_request_resource.wit, "request", forget, NULL};
static const struct canon_resource_ops outparam_class = {&wasi_http_types_response_outparam_resource.wit, "outparam", forget, NULL};

struct run {
	struct comp_component *comp;
	struct vm_module *module;
	struct canon_component *canon;
	struct seam_link *link;
	struct seam_instance seam;
	struct seam_grants grants;
	struct canon_instance *instance;
	struct seam_task *task;
	struct wasi_cli_run_exports command;
	struct wasi_http_incoming_handler_exports handler;
	bool is_command;
};

static void call(void *arg)
{
	struct run *r = arg;
	struct canon_trap trap = {0};
	struct arena arena;
	uint32_t request, outparam;
	arena_init(&arena, 16 << 20);
	struct wasi_result_void_void *ret = mem_zalloc(sizeof *ret);  // alone, so that a sanitizer sees its end
	BUG_ON(!ret || !canon_instance_initialize(r->instance, 0, canon_component_steps(r->canon), &r->task->canon, &trap));
	bool ok;
	if (r->is_command) {
		ok = wasi_cli_run_call_run(r->task, r->instance, &r->command, ret, &arena, &trap);
		BUG_ON(ok && *(const uint8_t *)(const void *)ret > 1);
	} else {
		BUG_ON(!canon_host_resource_new(r->instance, &request_class, NULL, NULL, &request) ||
			!canon_host_resource_new(r->instance, &outparam_class, NULL, NULL, &outparam));
		ok = wasi_http_incoming_handler_call_handle(r->task, r->instance, &r->handler, request, outparam, &arena, &trap);
	}
	BUG_ON(!ok && trap.trap == TRAP_NONE);
	mem_free(ret);
	arena_release(&arena);
}

static void run_bound(struct run *r, struct slice bytes)
{
	struct err e = {0};
	struct tier_options opt = {.no_cache = true, .threads = 1};
	struct tier_stats stats;
	const struct wasm_module *m = r->comp->modules[0].wasm;
	struct canon_limits limits;
	canon_limits_default(&limits);
	if (!tier_compile(&m, 1, bytes, &opt, &r->module, &stats, &e) || !canon_component_new(r->comp, &r->module, &r->canon, &e))
		BUG_ON(e.code != ERR_NOMEM);
	seam_instance_init(&r->seam, loop, &r->grants, NULL);
	r->task = seam_task_new(tasks, NULL);
	BUG_ON(!r->task);
	if (r->canon && canon_instance_new(shard, r->canon, seam_link_host(r->link), &limits, &r->seam, &r->instance, &e))
		BUG_ON(!seam_task_run_to_end(r->task, call, r, VM_BUDGET_NONE, NULL));
	seam_task_free(r->task);
	canon_instance_free(r->instance);
	canon_component_free(r->canon);
	vm_module_unref(r->module);
}

static void check_layout(const struct seam_export *x, const struct seam_interface *i)
{
	const struct wit_func_type *t = x->func->type;
	BUG_ON(t->params.size64 != i->funcs[0].args_size || (t->result ? t->result->size64 : 0) != i->funcs[0].ret_size);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct err e = {0};
	wasi_init(&wasi, NULL);
	BUG_ON(!vm_process_init(&e) || !loop_new(&loop, &e) || !vm_shard_new(&shard, &e) || !seam_tasks_new(loop, shard, &tasks, &e) || !wasi_register(&wasi, &registry, &e));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct err e = {0}, refused = {0};
	if (!loop)
		LLVMFuzzerInitialize(NULL, NULL);
	arena_init(&a, 64 << 20);
	struct gen g = {.in = {data, data + size}, .arena = &a, .out.max = 1 << 20, .section.max = 1 << 20};
	struct run r = {0};
	struct comp_options opt = COMP_OPTIONS_DEFAULT;
	make_component(&g);
	struct slice bytes = buf_view(&g.out);
	if (!comp_decode(&a, bytes, &opt, &r.comp, &e) || !seam_link_new(&registry, r.comp, &r.link, &e)) {
		fprintf(stderr, "%s at 0x%llx (%s)\n", e.text, (unsigned long long)e.offset, e.where);
		BUG_ON(1);  // what is made here is a component
	}
	r.is_command = wasi_cli_run_bind(r.comp, r.link, &r.command, &refused);
	if (r.is_command)
		check_layout(&r.command.run, &wasi_cli_run_interface);
	BUG_ON(!r.is_command && (refused.code != ERR_LINK || !refused.text[0]));
	bool is_handler = wasi_http_incoming_handler_bind(r.comp, r.link, &r.handler, NULL);
	if (is_handler)
		check_layout(&r.handler.handle, &wasi_http_incoming_handler_interface);
	if (r.is_command || is_handler)
		run_bound(&r, bytes);
	seam_link_free(r.link);
	arena_release(&a);
	buf_release(&g.out);
	buf_release(&g.section);
	return 0;
}
