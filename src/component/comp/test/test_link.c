// Linking: the plan that comes out.
#include "build.h"

static void lifts_a_core_function(void **state)
{
	struct decoded d = decode_ok(EXPORTS_RUN);
	const struct comp_plan *p = &d.c->plan;
	assert_int_equal(p->nsteps, 1);
	assert_int_equal(p->ninstances, 1);
	assert_int_equal(p->instances[0].parent, COMP_NONE);
	assert_int_equal(p->nlifts, 1);
	assert_int_equal(p->lifts[0].func.kind, COMP_CORE_EXPORT);
	assert_int_equal(p->lifts[0].func.instance, 0);
	assert_int_equal(p->lifts[0].options.memory.kind, COMP_CORE_NONE);
	const struct comp_export_func *f = comp_find_export(d.c, slice_of("", 0), SLICE_LIT("run"));
	assert_non_null(f);
	assert_int_equal(f->func.kind, COMP_FUNC_LIFT);
	assert_null(comp_find_export(d.c, SLICE_LIT("run"), SLICE_LIT("run")));
	decoded_release(&d);
}

static void a_root_import_is_a_host_function(void **state)
{
	struct decoded d = decode_ok(IMPORTS_RUN);
	const struct comp_plan *p = &d.c->plan;
	assert_int_equal(p->nimports, 1);
	assert_int_equal(p->nhost_funcs, 1);
	assert_true(p->host_funcs[0].used);
	assert_int_equal(p->host_funcs[0].interface.len, 0);
	assert_int_equal(p->nlowers, 1);
	assert_int_equal(p->lowers[0].callee.kind, COMP_FUNC_HOST);
	// The core instance made of names is gone: its user imports the lowered function itself.
	assert_int_equal(p->ncore_instances, 1);
	assert_int_equal(p->core_instances[0].nimports, 1);
	assert_int_equal(p->core_instances[0].imports[0].kind, COMP_CORE_LOWER);
	decoded_release(&d);
}

static void a_call_between_components_is_a_lower_of_a_lift(void **state)
{
	struct decoded d = decode_ok(COMPOSED);
	const struct comp_plan *p = &d.c->plan;
	assert_int_equal(p->ninstances, 3);
	assert_int_equal(p->instances[1].parent, 0);
	assert_int_equal(p->instances[2].parent, 0);
	assert_int_equal(p->nhost_funcs, 0);
	assert_int_equal(p->lowers[0].callee.kind, COMP_FUNC_LIFT);
	assert_int_equal(p->lowers[0].callee.index, 0);
	assert_int_equal(p->lowers[0].instance, 2);
	assert_int_equal(p->lifts[0].instance, 1);
	assert_int_equal(p->lifts[1].instance, 2);
	assert_int_equal(p->steps[0].index, 0);
	assert_int_equal(p->core_instances[1].instance, 2);
	assert_non_null(comp_find_export(d.c, SLICE_LIT("b"), SLICE_LIT("go")));
	assert_int_equal(d.c->ndefinitions, 3);
	decoded_release(&d);
}

static void resources_are_generative(void **state)  // C13, L65
{
	// A component with a resource, instantiated twice: each instance has its own, each built-in names its own.
	struct decoded d = decode_ok(COMPONENT NESTED "[ " COMPONENT TYPE "[ 01 3f 7f 00 ] " CANON "[ 02 02 00 03 00 ] " EXPORT "[ 01 00 'r' 03 00 00 ] ] " INSTANCE
												  "[ 02 00 00 00 00 00 00 ] ");
	const struct comp_plan *p = &d.c->plan;
	assert_int_equal(p->nresources, 2);
	assert_int_equal(p->nbuiltins, 4);
	assert_int_equal(p->resources[0]->instance, 1);
	assert_int_equal(p->resources[1]->instance, 2);
	assert_ptr_equal(p->builtins[0].resource, p->resources[0]);
	assert_ptr_equal(p->builtins[3].resource, p->resources[1]);
	assert_int_equal(p->builtins[3].kind, COMP_BUILTIN_RESOURCE_DROP);
	assert_true(slice_eq_str(p->resources[0]->wit.name, "r"));
	decoded_release(&d);
}

static void imported_resources_are_one_for_each_type_imported(void **state)
{
	// Instance "a" exports resource r; instance "b" exports r2 = eq r, and r3 of its own.
	struct decoded d = decode_ok(COMPONENT TYPE "[ 01 42 01 04 00 'r' 03 01 ] " IMPORT "[ 01 00 'x:y/a' 05 00 ] " ALIAS "[ 01 03 00 00 'r' ] " TYPE
												"[ 01 42 03 02 03 02 01 01 04 00 'r2' 03 00 00 04 00 'r3' 03 01 ] " IMPORT "[ 01 00 'x:y/b' 05 02 ] " ALIAS
												"[ 02 03 00 01 'r2' 03 00 01 'r3' ] " CANON "[ 03 03 01 03 03 03 04 ] ");
	const struct comp_plan *p = &d.c->plan;
	assert_int_equal(p->nhost_resources, 2);
	assert_ptr_equal(p->builtins[0].resource, p->builtins[1].resource);
	assert_ptr_not_equal(p->builtins[0].resource, p->builtins[2].resource);
	assert_int_equal(p->host_resources[1]->import, 1);
	assert_true(slice_eq_str(p->host_resources[1]->path, "r3"));
	assert_int_equal(p->host_resources[0]->instance, COMP_NONE);
	assert_int_equal(p->imports[1].n_resources, 1);
	assert_int_equal(p->imports[1].first_resource, 1);
	decoded_release(&d);
}

static void types_of_functions_name_the_resources_of_the_plan(void **state)
{
	struct decoded d = decode_ok(COMPONENT IMPORT "[ 01 00 'r' 03 01 ] " TYPE "[ 02 69 00 40 01 'x' 01 01 00 ] " IMPORT "[ 01 00 'f' 01 02 ] ");
	const struct comp_plan *p = &d.c->plan;
	assert_ptr_equal(comp_resource_of(p->host_funcs[0].type->params.fields[0].type->resource), p->resources[0]);
	assert_false(p->host_funcs[0].used);
	decoded_release(&d);
}

static void what_lies_in_an_instance_inside_of_an_import_says_so(void **state)
{
	struct decoded d = decode_ok(COMPONENT TYPE "[ 01 42 04 01 40 00 01 00 04 00 'g' 01 00 01 42 03 01 40 00 01 00 04 00 'f' 01 00 04 00 'r' 03 01 04 00 'inner' 05 01 ] " IMPORT
												"[ 01 00 'a:b/c' 05 00 ] ");
	const struct comp_plan *p = &d.c->plan;
	assert_int_equal(p->nhost_funcs, 2);
	assert_int_equal(p->nhost_resources, 1);
	assert_int_equal(p->host_funcs[0].inner.len, 0);
	assert_true(slice_eq_str(p->host_funcs[1].interface, "a:b/c") && slice_eq_str(p->host_funcs[1].inner, "inner"));
	assert_true(slice_eq_str(p->host_resources[0]->inner, "inner"));
	decoded_release(&d);
}

static void a_reexported_import_is_the_hosts(void **state)
{
	struct decoded d = decode_ok(COMPONENT TYPE "[ 02 40 00 01 00 42 02 02 03 02 01 00 04 00 'f' 01 00 ] " IMPORT "[ 01 00 'a:b/c' 05 01 ] " EXPORT
												"[ 01 00 'a:b/d' 05 00 00 ] ");
	const struct comp_export_func *f = comp_find_export(d.c, SLICE_LIT("a:b/d"), SLICE_LIT("f"));
	assert_non_null(f);
	assert_int_equal(f->func.kind, COMP_FUNC_HOST);
	assert_true(d.c->plan.host_funcs[0].used);
	assert_true(slice_eq_str(d.c->plan.host_funcs[0].interface, "a:b/c"));
	decoded_release(&d);
}

static void an_argument_may_export_more_than_is_asked(void **state)
{
	// The child imports instance i { g }, the parent gives { f, g }: names are found, not positions.
	struct decoded d = decode_ok(
		COMPONENT WITH_F CANON "[ 02 00 00 00 00 00 00 00 00 00 00 ] " INSTANCE "[ 01 01 02 00 'f' 01 00 00 'g' 01 01 ] " NESTED
							   "[ " COMPONENT TYPE "[ 01 42 02 01 40 00 01 00 04 00 'g' 01 00 ] " IMPORT "[ 01 00 'i' 05 00 ] " ALIAS "[ 01 01 00 00 'g' ] " CANON
							   "[ 01 01 00 00 00 ] ] " INSTANCE "[ 01 00 00 01 'i' 05 00 ] ");
	assert_int_equal(d.c->plan.lowers[0].callee.kind, COMP_FUNC_LIFT);
	assert_int_equal(d.c->plan.lowers[0].callee.index, 1);
	decoded_release(&d);
}

static void outer_modules_are_instantiated_in_the_inner_component(void **state)
{
	struct decoded d = decode_ok(COMPONENT CORE_MODULE "[ " MODULE_F "] " NESTED "[ " COMPONENT ALIAS "[ 01 00 11 02 01 00 ] " CORE_INSTANCE
													   "[ 02 00 00 00 00 00 00 ] ] " INSTANCE "[ 01 00 00 00 ] ");
	assert_int_equal(d.c->nmodules, 1);
	assert_int_equal(d.c->plan.ncore_instances, 2);
	assert_int_equal(d.c->plan.core_instances[1].module, 0);
	assert_int_equal(d.c->plan.core_instances[1].instance, 1);
	decoded_release(&d);
}

static void a_component_given_as_argument_is_instantiated_by_its_user(void **state)
{
	// The parent of the instance of `run` is the component that instantiates it.
	struct decoded d = decode_ok(COMPONENT NESTED "[ " EXPORTS_RUN "] " NESTED "[ " COMPONENT TYPE
												  "[ 01 41 02 01 40 00 01 00 04 00 'run' 01 00 ] " IMPORT "[ 01 00 'c' 04 00 ] " INSTANCE "[ 01 00 00 00 ] " EXPORT
												  "[ 01 00 'i' 05 00 00 ] ] " INSTANCE "[ 01 00 01 01 'c' 04 00 ] ");
	const struct comp_plan *p = &d.c->plan;
	assert_int_equal(p->ninstances, 3);
	assert_int_equal(p->instances[2].parent, 1);
	assert_int_equal(p->lifts[0].instance, 2);
	decoded_release(&d);
}

static void imported_modules_cannot_be_linked(void **state)
{
	struct decoded d = decode_ok(COMPONENT CORE_TYPE "[ 01 50 00 ] " IMPORT "[ 01 00 'm' 00 11 00 ] " CORE_INSTANCE "[ 01 00 00 00 ] ");
	assert_non_null(d.c->plan.unlinkable);
	assert_int_equal(d.c->plan.nsteps, 0);
	decoded_release(&d);
}

// What an imported module is said to be has other imports than the one that is given, and all in another order: names count.
static void a_module_given_as_argument_has_its_own_order(void **state)
{
	struct decoded d = decode_ok(COMPONENT CORE_MODULE "[ " MODULE
													   "01 [ 01 60 00 00 ] 02 [ 02 'i' 'y' 00 00 'i' 'x' 00 00 ] 03 [ 02 00 00 ] 07 [ 02 'p' 00 02 'q' 00 03 ] 0a [ 02 [ 00 0b ] [ 00 0b ] ] ] " NESTED "[ " COMPONENT CORE_TYPE
													   "[ 01 50 06 01 60 00 00 00 'i' 'x' 00 00 00 'i' 'y' 00 00 00 'i' 'z' 00 00 03 'q' 00 00 03 'p' 00 00 ] " IMPORT "[ 01 00 'm' 00 11 00 ] " CORE_MODULE "[ " MODULE
													   "01 [ 01 60 00 00 ] 03 [ 03 00 00 00 ] 07 [ 03 'x' 00 00 'y' 00 01 'z' 00 02 ] 0a [ 03 [ 00 0b ] [ 00 0b ] [ 00 0b ] ] ] " CORE_INSTANCE "[ 02 00 01 00 00 00 01 'i' 12 00 ] " ALIAS "[ 02 00 00 01 01 'q' 00 00 01 01 'p' ] " TYPE "[ 01 40 00 01 00 ] " CANON
													   "[ 02 00 00 00 00 00 00 00 01 00 00 ] ] " INSTANCE "[ 01 00 00 01 'm' 00 11 00 ] ");
	const struct comp_plan *p = &d.c->plan;
	assert_int_equal(p->ncore_instances, 2);
	assert_int_equal(p->core_instances[1].nimports, 2);
	assert_int_equal(p->core_instances[1].imports[0].index, 1);
	assert_int_equal(p->core_instances[1].imports[1].index, 0);
	assert_int_equal(p->lifts[0].func.index, 3);
	assert_int_equal(p->lifts[1].func.index, 2);
	decoded_release(&d);
}

static void destructors_are_resolved(void **state)
{
	struct decoded d = decode_ok(COMPONENT CORE_MODULE "[ " MODULE "01 [ 01 60 01 7f 00 ] 03 [ 01 00 ] 07 [ 01 'd' 00 00 ] 0a [ 01 [ 00 0b ] ] ] " CORE_INSTANCE
													   "[ 01 00 00 00 ] " ALIAS "[ 01 00 00 01 00 'd' ] " TYPE "[ 01 3f 7f 01 00 ] ");
	assert_int_equal(d.c->plan.resources[0]->dtor.kind, COMP_CORE_EXPORT);
	assert_int_equal(d.c->plan.resources[0]->instance, 0);
	decoded_release(&d);
}

static void an_opaque_export_is_the_same_resource_when_it_runs(void **state)
{
	// (export "r" (type $R) (type (sub resource))) hides what it is from the types, not from the plan.
	struct decoded d = decode_ok(COMPONENT TYPE "[ 01 3f 7f 00 ] " EXPORT "[ 01 00 'r' 03 00 01 03 01 ] " CANON "[ 01 03 01 ] ");
	assert_int_equal(d.c->plan.nresources, 1);
	assert_ptr_equal(d.c->plan.builtins[0].resource, d.c->plan.resources[0]);
	decoded_release(&d);
}

static void prints_the_world(void **state)
{
	struct decoded d = decode_ok(COMPONENT TYPE "[ 01 42 01 04 00 'r' 03 01 ] " IMPORT "[ 01 00 'x:y/a@0.2.0' 05 00 ] " ALIAS "[ 01 03 00 00 'r' ] " TYPE
												"[ 01 42 04 02 03 02 01 01 04 00 'r' 03 00 00 01 40 01 'n' 79 00 73 04 00 'get' 01 02 ] " IMPORT
												"[ 01 00 'x:y/b@0.2.0' 05 02 ] ");
	struct buf b = {0};
	assert_true(comp_print(&b, d.c, NULL));
	buf_put_byte(&b, 0);
	assert_non_null(strstr((char *)b.ptr, "world root {\n  import x:y/a@0.2.0;\n  import x:y/b@0.2.0;\n}\n"));
	assert_non_null(strstr((char *)b.ptr, "package x:y@0.2.0 {\n  interface a {\n    resource r;\n  }\n"));
	assert_non_null(strstr((char *)b.ptr, "get: func(n: u32) -> string;"));
	assert_non_null(strstr((char *)b.ptr, ".{r};"));
	buf_release(&b);
	decoded_release(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lifts_a_core_function),
		cmocka_unit_test(a_root_import_is_a_host_function),
		cmocka_unit_test(a_call_between_components_is_a_lower_of_a_lift),
		cmocka_unit_test(resources_are_generative),
		cmocka_unit_test(imported_resources_are_one_for_each_type_imported),
		cmocka_unit_test(types_of_functions_name_the_resources_of_the_plan),
		cmocka_unit_test(what_lies_in_an_instance_inside_of_an_import_says_so),
		cmocka_unit_test(a_reexported_import_is_the_hosts),
		cmocka_unit_test(an_argument_may_export_more_than_is_asked),
		cmocka_unit_test(outer_modules_are_instantiated_in_the_inner_component),
		cmocka_unit_test(a_component_given_as_argument_is_instantiated_by_its_user),
		cmocka_unit_test(imported_modules_cannot_be_linked),
		cmocka_unit_test(a_module_given_as_argument_has_its_own_order),
		cmocka_unit_test(destructors_are_resolved),
		cmocka_unit_test(an_opaque_export_is_the_same_resource_when_it_runs),
		cmocka_unit_test(prints_the_world),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
