// Core modules with worlds in custom sections: the plan that comes out, and what is refused.
#include "build.h"

#define ENCODED(how) "00 [ 'wit-component-encoding' 04 " how " ] "
// A section with a world of so many declarations, whose strings are encoded so.
#define WORLD_AS(name, how, n, decls) \
	"00 [ '" name "' " COMPONENT ENCODED(how) TYPE "[ 01 41 02 01 41 " n " " decls "04 00 'p:q/w' 04 00 ] " EXPORT "[ 01 00 'w' 03 00 00 ] ] "
#define WORLD(n, decls) WORLD_AS("component-type:x", "00", n, decls)
// Type 0 of a world, imported: an interface with get: func(s: string) -> string and put: func(s: string).
#define GET "01 40 01 's' 73 00 73 04 00 'get' 01 00 "
#define PUT "01 40 01 's' 73 01 00 04 00 'put' 01 01 "
#define STORE(version) "01 42 04 " GET PUT "03 00 'a:b/store@" version "' 05 00 "
// The same with a resource: store has r, and open: func() -> own<r>.
#define WITH_R(version) "01 42 04 04 00 'r' 03 01 01 69 00 01 40 00 00 01 04 00 'open' 01 02 03 00 'a:b/r@" version "' 05 00 "
// An exported interface x: run: func(s: string) -> string.
#define RUN "01 42 02 01 40 01 's' 73 00 73 04 00 'run' 01 00 04 00 'a:b/x' 05 "

// Types: 0 () 1 (i32 i32 i32) 2 (i32 i32)→i32 3 realloc 4 (i32) 5 →i32 6 (i32)→i32
#define TYPES \
	MODULE "01 [ 07 60 00 00 60 03 7f 7f 7f 00 60 02 7f 7f 01 7f 60 04 7f 7f 7f 7f 01 7f 60 01 7f 00 60 00 01 7f 60 01 7f 01 7f ] "
#define CALLS_GET "'a:b/store@0.2.0' 'get' 00 01 "
// So many functions imported, and behind them: a function of type 2 and cabi_realloc.
#define CORE(n_imports, imports, f, r)                                                                                            \
	TYPES "02 [ " n_imports " " imports "] 03 [ 02 02 03 ] 05 [ 01 00 01 ] 07 [ 03 'a:b/x#run' 00 " f " 'cabi_realloc' 00 " r " " \
		  "'memory' 02 00 ] 0a [ 02 [ 00 41 00 0b ] [ 00 41 00 0b ] ] "
#define PLAIN CORE("01", CALLS_GET, "01", "02")

static const struct comp_import *import_named(const struct decoded *d, const char *name)
{
	for (uint32_t i = 0; i < d->c->plan.nimports; i++)
		if (slice_eq_str(d->c->plan.imports[i].name, name))
			return &d->c->plan.imports[i];
	return NULL;
}

static void lowers_and_lifts_what_the_module_calls_so(void **state)
{
	struct decoded d = decode_ok(PLAIN WORLD("04", STORE("0.2.0") RUN "01 "));
	const struct comp_plan *p = &d.c->plan;
	assert_true(d.c->is_module);
	assert_int_equal(p->ncore_instances, 1);
	assert_int_equal(p->nimports, 1);
	assert_int_equal(p->nhost_funcs, 1);  // `put` is not used
	assert_true(slice_eq_str(p->host_funcs[0].name, "get"));
	assert_int_equal(p->core_instances[0].imports[0].kind, COMP_CORE_LOWER);
	const struct comp_canon_options *o = &p->lowers[0].options;
	assert_int_equal(o->memory.kind, COMP_CORE_EXPORT);
	assert_int_equal(o->memory.instance, 0);
	assert_int_equal(o->realloc.index, 2);
	const struct comp_export_func *f = comp_find_export(d.c, SLICE_LIT("a:b/x"), SLICE_LIT("run"));
	assert_non_null(f);
	assert_int_equal(p->lifts[f->func.index].func.index, 1);
	assert_int_equal(p->lifts[f->func.index].options.realloc.index, 2);
	assert_int_equal(p->lifts[f->func.index].options.post_return.kind, COMP_CORE_NONE);
	decoded_release(&d);
}

static void compatible_versions_are_one_import(void **state)
{
	// Each section has a function of its own; what is the same in both is one.
	struct decoded d = decode_ok(CORE("02", CALLS_GET "'a:b/store@0.2.6' 'list' 00 05 ", "02", "03") WORLD("04", STORE("0.2.0") RUN "01 ") WORLD_AS(
		"component-type:y", "00", "02", "01 42 04 " GET "01 40 00 00 79 04 00 'list' 01 01 03 00 'a:b/store@0.2.6' 05 00 "));
	assert_int_equal(d.c->plan.nimports, 1);
	assert_true(slice_eq_str(d.c->plan.imports[0].name, "a:b/store@0.2.6"));
	assert_int_equal(d.c->plan.nhost_funcs, 2);
	decoded_release(&d);
	d = decode_ok(CORE("02", CALLS_GET "'a:b/store@0.3.0' 'get' 00 01 ", "02", "03")
			WORLD("04", STORE("0.2.0") RUN "01 ") WORLD_AS("component-type:y", "00", "02", STORE("0.3.0")));
	assert_int_equal(d.c->plan.nimports, 2);
	assert_non_null(import_named(&d, "a:b/store@0.3.0"));
	decoded_release(&d);
}

static void a_resource_of_two_worlds_is_one(void **state)
{
	struct decoded d = decode_ok(CORE("03", "'a:b/r@0.2.1' '[resource-drop]r' 00 04 'a:b/r@0.2.0' 'open' 00 05 'a:b/r@0.2.1' 'open' 00 05 ", "03", "04")
			WORLD("04", WITH_R("0.2.0") RUN "01 ") WORLD_AS("component-type:y", "00", "02", WITH_R("0.2.1")));
	const struct comp_plan *p = &d.c->plan;
	assert_int_equal(p->nhost_resources, 1);
	assert_int_equal(p->nhost_funcs, 1);
	assert_int_equal(p->nbuiltins, 1);
	assert_int_equal(p->builtins[0].kind, COMP_BUILTIN_RESOURCE_DROP);
	assert_ptr_equal(p->builtins[0].resource, p->host_resources[0]);
	assert_ptr_equal(comp_resource_of(p->lowers[1].type->result->resource), p->host_resources[0]);
	decoded_release(&d);
}

static void what_nobody_reaches_is_no_import(void **state)
{
	// The module calls nothing: neither the functions nor the resource of its world are there.
	struct decoded d = decode_ok(CORE("00", "", "00", "01") WORLD("04", WITH_R("0.2.0") RUN "01 "));
	assert_int_equal(d.c->plan.nimports, 0);
	assert_int_equal(d.c->plan.nresources, 0);
	assert_int_equal(d.c->nimports, 0);
	decoded_release(&d);
	// Who exports a function that takes it has it, and no more.
	d = decode_ok(TYPES "03 [ 01 04 ] 07 [ 01 'go' 00 00 ] 0a [ 01 [ 00 0b ] ] " WORLD("06", WITH_R("0.2.0") "02 03 00 00 'r' 01 69 01 01 40 01 'a' 02 01 00 04 00 'go' 01 03 "));
	assert_int_equal(d.c->plan.nimports, 1);
	assert_int_equal(d.c->plan.nhost_funcs, 0);
	assert_int_equal(d.c->plan.nhost_resources, 1);
	decoded_release(&d);
}

static void an_import_comes_after_those_it_names(void **state)
{
	// The first world has a:b/z alone; the second says that it has a function of a:b/r's resource, which comes behind it.
	struct decoded d = decode_ok(
		CORE("02", "'a:b/z' 'one' 00 00 'a:b/z' 'two' 00 05 ", "02", "03") WORLD("04", "01 42 02 01 40 00 01 00 04 00 'one' 01 00 03 00 'a:b/z' 05 00 " RUN "01 ")
			WORLD_AS("component-type:y", "00", "05",
				WITH_R("0.2.0") "02 03 00 00 'r' "
								"01 42 04 02 03 02 01 01 01 69 00 01 40 00 00 01 04 00 'two' 01 02 03 00 'a:b/z' 05 02 "));
	const struct comp_plan *p = &d.c->plan;
	assert_int_equal(p->nimports, 2);
	assert_true(slice_eq_str(p->imports[0].name, "a:b/r@0.2.0"));
	assert_int_equal(p->imports[0].n_resources, 1);
	assert_int_equal(p->imports[1].n_funcs, 2);
	decoded_release(&d);
}

static void exported_resources_are_the_modules(void **state)
{
	// a:b/y exports r with make: func() -> own<r>; the module has its destructor, and all built-ins.
	struct decoded d = decode_ok(
		TYPES "02 [ 03 '[export]a:b/y' '[resource-new]r' 00 06 '[export]a:b/y' '[resource-rep]r' 00 06 '[export]a:b/y' '[resource-drop]r' 00 04 ] "
			  "03 [ 03 05 04 04 ] 07 [ 03 'a:b/y#make' 00 03 'a:b/y#[dtor]r' 00 04 'cabi_post_a:b/y#make' 00 05 ] "
			  "0a [ 03 [ 00 41 00 0b ] [ 00 0b ] [ 00 0b ] ] " WORLD("02", "01 42 04 04 00 'r' 03 01 01 69 00 01 40 00 00 01 04 00 'make' 01 02 04 00 'a:b/y' 05 00 "));
	const struct comp_plan *p = &d.c->plan;
	assert_int_equal(p->nresources, 1);
	assert_int_equal(p->resources[0]->instance, 0);
	assert_int_equal(p->resources[0]->dtor.kind, COMP_CORE_EXPORT);
	assert_int_equal(p->resources[0]->dtor.index, 4);
	assert_int_equal(p->nbuiltins, 3);
	assert_int_equal(p->builtins[0].kind, COMP_BUILTIN_RESOURCE_NEW);
	assert_int_equal(p->lifts[0].options.post_return.index, 5);
	assert_ptr_equal(comp_resource_of(p->export_funcs[0].type->result->resource), p->resources[0]);
	decoded_release(&d);
}

static void preview_1_is_the_hosts(void **state)
{
	struct decoded d = decode_ok(CORE("01", "'wasi_snapshot_preview1' 'random_get' 00 02 ", "01", "02") WORLD("02", RUN "00 "));
	const struct comp_plan *p = &d.c->plan;
	assert_int_equal(p->ncore_funcs, 1);
	assert_true(slice_eq_str(p->core_funcs[0].name, "random_get"));
	assert_int_equal(p->core_funcs[0].memory.kind, COMP_CORE_EXPORT);
	assert_int_equal(p->core_instances[0].imports[0].kind, COMP_CORE_HOST);
	decoded_release(&d);
}

static void initialize_is_a_step_of_its_own(void **state)
{
	struct decoded d = decode_ok(TYPES "03 [ 01 00 ] 07 [ 01 '_initialize' 00 00 ] 0a [ 01 [ 00 0b ] ] " WORLD("00", ""));
	const struct comp_plan *p = &d.c->plan;
	assert_int_equal(p->nsteps, 2);
	assert_int_equal(d.c->nmodules, 2);
	assert_true(d.c->modules[1].wasm->has_start);
	assert_int_equal(p->core_instances[1].imports[0].kind, COMP_CORE_EXPORT);
	assert_int_equal(p->core_instances[1].imports[0].instance, 0);
	decoded_release(&d);
	rejects(TYPES "03 [ 01 05 ] 07 [ 01 '_initialize' 00 00 ] 0a [ 01 [ 00 41 00 0b ] ] " WORLD("00", ""), ERR_INVALID, "expected: (func), found: (func (result i32))");
}

static void start_is_what_a_command_runs(void **state)
{
	struct decoded d = decode_ok(TYPES "03 [ 01 00 ] 07 [ 01 '_start' 00 00 ] 0a [ 01 [ 00 0b ] ] " WORLD("00", ""));
	const struct comp_export_func *f = comp_find_export(d.c, SLICE_LIT("wasi:cli/run@0.2.0"), SLICE_LIT("run"));
	assert_non_null(f);
	assert_int_equal(d.c->plan.lifts[f->func.index].func.instance, 1);
	assert_int_equal(d.c->plan.nsteps, 2);
	decoded_release(&d);
}

static void names_of_build_targets_are_taken(void **state)
{
	struct decoded d = decode_ok(TYPES "02 [ 02 'cm32p2|a:b/store@0.2' 'get' 00 01 'cm32p2' 'top' 00 00 ] 03 [ 02 02 03 ] 05 [ 01 00 01 ] "
									   "07 [ 03 'cm32p2|a:b/x|run' 00 02 'cm32p2_realloc' 00 03 'cm32p2_memory' 02 00 ] 0a [ 02 [ 00 41 00 0b ] [ 00 41 00 0b ] ] " WORLD("06", STORE("0.2.0") RUN "01 01 40 00 01 00 03 00 'top' 01 02 "));
	const struct comp_plan *p = &d.c->plan;
	assert_int_equal(p->nlowers, 2);
	assert_int_equal(p->lowers[0].options.realloc.index, 3);
	assert_int_equal(p->lifts[0].func.index, 2);
	decoded_release(&d);
	// Of a pre-release nothing is left out but what its build says.
	d = decode_ok(CORE("01", "'cm32p2|a:b/store@1.0.0-rc.1' 'get' 00 01 ", "01", "02") WORLD("04", STORE("1.0.0-rc.1+5") RUN "01 "));
	assert_int_equal(d.c->plan.nlowers, 1);
	decoded_release(&d);
	rejects(CORE("01", "'cm32p2|a:b/store@1' 'get' 00 01 ", "01", "02") WORLD("04", STORE("1.0.0-rc.1") RUN "01 "), ERR_INVALID, "no world of the module has");
}

static void strings_are_encoded_as_the_section_says(void **state)
{
	struct decoded d = decode_ok(PLAIN WORLD_AS("component-type:x", "01", "04", STORE("0.2.0") RUN "01 "));
	assert_int_equal(d.c->plan.lowers[0].options.encoding, COMP_UTF16);
	assert_int_equal(d.c->plan.lifts[0].options.encoding, COMP_UTF16);
	decoded_release(&d);
	rejects(PLAIN WORLD("04", STORE("0.2.0") RUN "01 ") WORLD_AS("component-type:y", "01", "02", STORE("0.2.0")), ERR_INVALID,
		"`get` has strings in utf16 here, in utf8 in another section");
	rejects(PLAIN WORLD_AS("component-type:x", "03", "04", STORE("0.2.0") RUN "01 "), ERR_INVALID, "there is no string encoding 0x3");
}

static void sections_that_contradict_each_other_are_refused(void **state)
{
	rejects(PLAIN WORLD("04", STORE("0.2.0") RUN "01 ") WORLD_AS("component-type:y", "00", "02", "01 42 02 01 40 00 01 00 04 00 'get' 01 00 03 00 'a:b/store@0.2.1' 05 00 "),
		ERR_INVALID, "type mismatch");
	rejects(PLAIN WORLD("04", STORE("0.2.0") RUN "01 ") WORLD_AS("component-type:y", "00", "02", "01 42 02 01 40 00 01 00 04 00 'a' 01 00 03 00 'get' 05 00 ")
				WORLD_AS("component-type:z", "00", "02", "01 40 00 01 00 03 00 'get' 01 00 "),
		ERR_INVALID, "`get` is a func here, a instance in another section");
}

static void sections_that_are_no_worlds_are_refused(void **state)
{
	static const char *const old[] = {"03 00 01 77 ", "03 "};
	for (size_t i = 0; i < ARRAY_LEN(old); i++) {
		char text[2000];
		snprintf(text, sizeof text, "%s00 [ 'component-type:x' %s ] ", PLAIN, old[i]);
		rejects(text, ERR_UNSUPPORTED, "its format is 3, not 4");
	}
	rejects(PLAIN "00 [ 'component-type' ] ", ERR_MALFORMED, "unexpected end");
	rejects(PLAIN "00 [ 'component-type' " MODULE "] ", ERR_MALFORMED, "expected a version header");
	rejects(PLAIN "00 [ 'component-type' " COMPONENT "] ", ERR_INVALID, "there is no section `wit-component-encoding` in it");
	rejects(PLAIN "00 [ 'component-type' " COMPONENT "00 [ 'wit-component-encoding' 05 00 ] ] ", ERR_UNSUPPORTED, "its format is 5, not 4");
	rejects(PLAIN "00 [ 'component-type' " COMPONENT ENCODED("00") "] ", ERR_INVALID, "it is no world");
	rejects(PLAIN "00 [ 'component-type' " COMPONENT ENCODED("00") CORE_MODULE "[ " MODULE "] ] ", ERR_INVALID, "it is no world");
}

static void imports_that_no_world_has_are_refused(void **state)
{
#define ASKS(import) CORE("01", import, "01", "02") WORLD("04", STORE("0.2.0") RUN "01 ")
	rejects(ASKS("'a:b/other@0.2.0' 'get' 00 01 "), ERR_INVALID, "no world of the module has what it imports as `a:b/other@0.2.0`, for `get`");
	rejects(ASKS("'a:b/store@1.0.0' 'get' 00 01 "), ERR_INVALID, "no world of the module has what it imports as `a:b/store@1.0.0`");
	rejects(ASKS("'a:b/store@0.2.0' 'gone' 00 01 "), ERR_INVALID, "no world of the module has `gone` of `a:b/store@0.2.0`");
	rejects(ASKS("'$root' 'gone' 00 01 "), ERR_INVALID, "no world of the module has `gone` of `$root`");
	rejects(ASKS("'wasi_unstable' 'fd_write' 00 01 "), ERR_INVALID, "imports as `wasi_unstable`");
	rejects(ASKS("'a:b/store@0.2.0' '[method]r.get' 00 04 "), ERR_INVALID, "no world of the module has `[method]r.get` of `a:b/store@0.2.0`");
	rejects(ASKS("'a:b/store@0.2.0' '[resource-drop]r' 00 04 "), ERR_UNSUPPORTED, "`[resource-drop]r` of `a:b/store@0.2.0` is not made");
	rejects(ASKS("'a:b/store@0.2.0' '[async-lower]get' 00 01 "), ERR_INVALID, "the `async` canonical option requires an async function type");
	rejects(ASKS("'a:b/store@0.2.0' '[stream-new-0]get' 00 01 "), ERR_UNSUPPORTED, "`[stream-new-0]get` of `a:b/store@0.2.0` is not made");
	rejects(ASKS("'$root' '[error-context-drop]' 00 04 "), ERR_UNSUPPORTED, "`[error-context-drop]` of `$root` is not made");
	rejects(ASKS("'[export]a:b/x' '[task-return]gone' 00 04 "), ERR_UNSUPPORTED, "`[task-return]gone` of `[export]a:b/x` is not made");
	rejects(ASKS("'a:b/store@0.2.0' 'get' 00 00 "), ERR_INVALID, "type mismatch: expected: (func), found: (func (param i32 i32 i32))");
	rejects(TYPES "02 [ 01 'env' 'memory' 02 00 01 ] " WORLD("00", ""), ERR_INVALID, "the module imports a memory, `memory` of `env`");
}

static void exports_that_the_module_lacks_are_refused(void **state)
{
	rejects(TYPES WORLD("02", RUN "00 "), ERR_INVALID, "a world of the module exports `a:b/x#run`, which the module does not");
	rejects(TYPES "03 [ 01 00 ] 07 [ 01 '[async-lift]a:b/x#run' 00 00 ] 0a [ 01 [ 00 0b ] ] " WORLD("02", RUN "00 "), ERR_INVALID,
		"the export `[async-lift]run` has no `[callback][async-lift]run`");
	// A function of another type; a destructor of another type.
	rejects(TYPES "03 [ 02 00 03 ] 05 [ 01 00 01 ] 07 [ 03 'a:b/x#run' 00 00 'cabi_realloc' 00 01 'memory' 02 00 ] 0a [ 02 [ 00 0b ] [ 00 41 00 0b ] ] " WORLD("02", RUN "00 "),
		ERR_INVALID, "lowered parameter types do not match");
	rejects(TYPES "03 [ 01 00 ] 07 [ 01 'a:b/y#[dtor]r' 00 00 ] 0a [ 01 [ 00 0b ] ] " WORLD("02", "01 42 01 04 00 'r' 03 01 04 00 'a:b/y' 05 00 "), ERR_INVALID,
		"wrong signature for a destructor");
}

static void what_values_need_has_to_be_exported(void **state)
{
	// No memory; a memory and no realloc; a memory of 64-bit addresses with preview 1.
	rejects(TYPES "02 [ 01 " CALLS_GET "] " WORLD("02", STORE("0.2.0")), ERR_INVALID, "canonical option `memory` is required");
	rejects(TYPES "02 [ 01 " CALLS_GET "] 05 [ 01 00 01 ] 07 [ 01 'memory' 02 00 ] " WORLD("02", STORE("0.2.0")), ERR_INVALID, "canonical option `realloc` is required");
	rejects(TYPES "02 [ 01 " CALLS_GET "] 03 [ 01 00 ] 05 [ 01 00 01 ] 07 [ 02 'memory' 02 00 'cabi_realloc' 00 01 ] 0a [ 01 [ 00 0b ] ] " WORLD("02", STORE("0.2.0")),
		ERR_INVALID, "canonical option `realloc` uses a core function with an incorrect signature");
	rejects(TYPES "02 [ 01 'wasi_snapshot_preview1' 'random_get' 00 02 ] 05 [ 01 04 01 ] 07 [ 01 'memory' 02 00 ] " WORLD("00", ""), ERR_INVALID,
		"wasi_snapshot_preview1 has pointers of 32 bits");
	// Of two memories the one that is called so is meant.
	struct decoded d = decode_ok(TYPES "02 [ 01 " CALLS_GET "] 03 [ 01 03 ] 05 [ 02 00 01 00 01 ] 07 [ 03 'other' 02 00 'memory' 02 01 'cabi_realloc' 00 01 ] "
									   "0a [ 01 [ 00 41 00 0b ] ] " WORLD("02", STORE("0.2.0")));
	assert_int_equal(d.c->plan.lowers[0].options.memory.index, 1);
	decoded_release(&d);
}

static void async_functions_and_their_built_ins_go_by_their_names(void **state)
{
	// a:b/s has tail: func() -> stream<u8> and get: async func(s: string) -> string; a:b/x exports run: async func(s: string) -> string.
	struct decoded d = decode_ok(
		MODULE "01 [ 07 60 00 00 60 03 7f 7f 7f 01 7f 60 01 7f 00 60 00 01 7f 60 02 7f 7f 00 60 02 7f 7f 01 7f 60 04 7f 7f 7f 7f 01 7f ] "
			   "02 [ 08 'a:b/s' '[async-lower]get' 00 01 'a:b/s' '[stream-read-0]tail' 00 01 'a:b/s' '[async-lower][stream-read-0]tail' 00 01 "
			   "'a:b/s' '[stream-drop-readable-0]tail' 00 02 '$root' '[waitable-set-new]' 00 03 '[export]a:b/x' '[task-return]run' 00 04 "
			   "'[export]$root' '[task-cancel]' 00 00 '$root' '[context-get-1]' 00 03 ] 03 [ 03 05 01 06 ] 05 [ 01 00 01 ] "
			   "07 [ 04 '[async-lift]a:b/x#run' 00 08 '[callback][async-lift]a:b/x#run' 00 09 'cabi_realloc' 00 0a 'memory' 02 00 ] "
			   "0a [ 03 [ 00 41 00 0b ] [ 00 41 00 0b ] [ 00 41 00 0b ] ] " WORLD("04", "01 42 05 01 66 01 7d 01 40 00 00 00 04 00 'tail' 01 01 01 43 01 's' 73 00 73 04 00 'get' 01 02 03 00 'a:b/s' 05 00 "
																						"01 42 02 01 43 01 's' 73 00 73 04 00 'run' 01 00 04 00 'a:b/x' 05 01 "));
	static const uint8_t kinds[] = {COMP_BUILTIN_STREAM_READ, COMP_BUILTIN_STREAM_READ, COMP_BUILTIN_STREAM_DROP_READABLE, COMP_BUILTIN_WAITABLE_SET_NEW,
		COMP_BUILTIN_TASK_RETURN, COMP_BUILTIN_TASK_CANCEL, COMP_BUILTIN_CONTEXT_GET};
	const struct comp_plan *p = &d.c->plan;
	assert_int_equal(p->nlowers, 1);
	assert_true(p->lowers[0].options.is_async);
	assert_int_equal(p->nhost_funcs, 1);
	assert_int_equal(p->nbuiltins, ARRAY_LEN(kinds));
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		assert_int_equal(p->builtins[i].kind, kinds[i]);
	assert_false(p->builtins[0].is_async);
	assert_true(p->builtins[1].is_async);
	assert_int_equal(p->builtins[1].options.memory.kind, COMP_CORE_EXPORT);
	assert_int_equal(p->builtins[2].type->kind, WIT_STREAM);
	assert_int_equal(p->builtins[4].type->kind, WIT_STRING);
	assert_int_equal(p->builtins[4].options.memory.kind, COMP_CORE_EXPORT);
	assert_int_equal(p->builtins[6].imm, 1);
	assert_int_equal(p->nlifts, 1);
	assert_true(p->lifts[0].options.is_async);
	assert_int_equal(p->lifts[0].options.callback.index, 9);
	decoded_release(&d);
}

static void a_module_without_worlds_is_no_component(void **state)
{
	struct decoded d = {0};
	build_text(&d.bytes, PLAIN);
	assert_false(comp_module_has_world(buf_view(&d.bytes)));
	decode_bytes(&d, 0);
	assert_false(d.ok);
	assert_non_null(strstr(d.e.text, "expected a version header for a component") ? d.e.text : strstr(d.e.text, "unknown binary version"));
	decoded_release(&d);
}

// Whatever is cut off, it is refused, at a place within what is left.
static void a_file_cut_short_is_refused(void **state)
{
	struct decoded d = {0};
	build_text(&d.bytes, PLAIN WORLD("04", STORE("0.2.0") RUN "01 "));
	size_t whole = d.bytes.len, world = 0;
	for (size_t n = 0; n < whole; n++) {
		d.bytes.len = n;
		decode_bytes(&d, 0);
		if (d.ok || d.e.offset > n)
			fail_msg("%zu of %zu bytes: %s", n, whole, d.e.text);
		world += comp_module_has_world(buf_view(&d.bytes));
		arena_release(&d.arena);
	}
	assert_true(world > 100);
	buf_release(&d.bytes);
}

static void put_leb(struct buf *b, size_t n)
{
	for (; n >= 128; n >>= 7)
		assert_true(buf_put_byte(b, (uint8_t)(n | 0x80)));
	assert_true(buf_put_byte(b, (uint8_t)n));
}

// A module of nothing but a world, whose type is the outer one's.
static void build_world(struct buf *ret, struct buf *type)
{
	struct buf section = {0};
	build_text(type, "04 00 'p:q/w' 04 00 ");
	build_text(&section, "'component-type' " COMPONENT ENCODED("00") "07 ");
	put_leb(&section, type->len);
	assert_true(buf_put_slice(&section, buf_view(type)));
	build_text(&section, EXPORT "[ 01 00 'w' 03 00 00 ] ");
	build_text(ret, MODULE "00 ");
	put_leb(ret, section.len);
	assert_true(buf_put_slice(ret, buf_view(&section)));
	buf_release(&section);
	buf_release(type);
}

static void ten_thousand_sections_are_merged(void **state)
{
	struct decoded d = {0};
	build_text(&d.bytes, PLAIN WORLD("04", STORE("0.2.0") RUN "01 "));
	for (unsigned i = 0; i < 10000; i++)
		build_text(&d.bytes, WORLD_AS("component-type:y", "00", "02", STORE("0.2.1")));
	decode_bytes(&d, 0);
	assert_true(d.ok || d.e.code == ERR_LIMIT);
	assert_true(!d.ok || d.c->plan.nimports == 1);
	decoded_release(&d);
}

static void worlds_have_so_many_imports(void **state)
{
	for (unsigned n = 10000; n <= 10001; n++) {
		struct decoded d = {0};
		struct buf world = {0};
		build_text(&world, "01 41 02 01 41 ");
		put_leb(&world, n + 1);
		build_text(&world, "01 40 00 01 00 ");
		for (unsigned i = 0; i < n; i++) {
			char text[40];
			snprintf(text, sizeof text, "03 00 'f%05u' 01 00 ", i);
			build_text(&world, text);
		}
		build_world(&d.bytes, &world);
		decode_bytes(&d, 0);
		assert_int_equal(d.ok, n == 10000);
		if (!d.ok)
			assert_string_equal(d.e.text, "the worlds of the module have more than 10000 imports");
		decoded_release(&d);
	}
}

// The destructor of each would have the interface's name in its own.
static void many_resources_of_a_long_name_are_too_much(void **state)
{
	enum { NAME = 60000, RESOURCES = 20000 };
	struct decoded d = {0};
	struct buf type = {0}, name = {0}, world = {0};
	put_leb(&name, NAME);
	for (unsigned i = 0; i < NAME; i++)
		assert_true(buf_put_byte(&name, i == 1 ? ':' : i == 3 ? '/'
															  : 'a'));
	build_text(&type, "01 42 ");
	put_leb(&type, RESOURCES);
	for (unsigned i = 0; i < RESOURCES; i++) {
		char text[8];
		int n = snprintf(text, sizeof text, "r%05u", i);
		build_text(&type, "04 00 ");
		put_leb(&type, (size_t)n);
		assert_true(buf_put(&type, text, (size_t)n));
		build_text(&type, "03 01 ");
	}
	build_text(&world, "01 41 02 01 41 02 ");
	assert_true(buf_put_slice(&world, buf_view(&type)));
	build_text(&world, "04 00 ");
	assert_true(buf_put_slice(&world, buf_view(&name)));
	build_text(&world, "05 00 ");
	build_world(&d.bytes, &world);
	decode_bytes(&d, 0);
	if (d.e.code != ERR_LIMIT)
		fail_msg("%s: %s", err_code_name(d.e.code), d.e.text);
	decoded_release(&d);
	buf_release(&type);
	buf_release(&name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lowers_and_lifts_what_the_module_calls_so),
		cmocka_unit_test(compatible_versions_are_one_import),
		cmocka_unit_test(a_resource_of_two_worlds_is_one),
		cmocka_unit_test(what_nobody_reaches_is_no_import),
		cmocka_unit_test(an_import_comes_after_those_it_names),
		cmocka_unit_test(exported_resources_are_the_modules),
		cmocka_unit_test(preview_1_is_the_hosts),
		cmocka_unit_test(initialize_is_a_step_of_its_own),
		cmocka_unit_test(start_is_what_a_command_runs),
		cmocka_unit_test(names_of_build_targets_are_taken),
		cmocka_unit_test(strings_are_encoded_as_the_section_says),
		cmocka_unit_test(sections_that_contradict_each_other_are_refused),
		cmocka_unit_test(sections_that_are_no_worlds_are_refused),
		cmocka_unit_test(imports_that_no_world_has_are_refused),
		cmocka_unit_test(exports_that_the_module_lacks_are_refused),
		cmocka_unit_test(what_values_need_has_to_be_exported),
		cmocka_unit_test(async_functions_and_their_built_ins_go_by_their_names),
		cmocka_unit_test(a_module_without_worlds_is_no_component),
		cmocka_unit_test(a_file_cut_short_is_refused),
		cmocka_unit_test(ten_thousand_sections_are_merged),
		cmocka_unit_test(worlds_have_so_many_imports),
		cmocka_unit_test(many_resources_of_a_long_name_are_too_much),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
