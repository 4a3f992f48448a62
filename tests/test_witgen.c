// The constants that tools/witgen makes equal what the text resolver makes of the same WIT: types, layouts, flat types, tables.
// PROGRAM(test_witgen, "wasi cmocka", "")
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "seam/seam.h"
#include "wasi_provider.h"
#include "wit/wit.h"

static struct arena arena;
static struct wit_packages packages;

static int setup(void **state)
{
	static const struct wit_options all = {.all_features = true};
	const char *source = getenv("TENON_SOURCE");
	char path[512];
	struct err e = {0};
	arena_init(&arena, 0);
	snprintf(path, sizeof(path), "%s/wit", source ? source : ".");
	if (!wit_dir_resolve(&arena, path, &all, &packages, &e))
		fail_msg("%s (%s)", e.text, e.where);
	return 0;
}

static int teardown(void **state)
{
	arena_release(&arena);
	return 0;
}

static bool same_name(void *ctx, const struct wit_resource *x, const struct wit_resource *y)
{
	return slice_eq(x->name, y->name);
}

static void check_layout(const struct wit_type *x, const struct wit_type *y)
{
	assert_int_equal(x->flags, y->flags);
	assert_int_equal(x->discriminant_size, y->discriminant_size);
	assert_int_equal(x->depth, y->depth);
	assert_int_equal(x->align32, y->align32);
	assert_int_equal(x->align64, y->align64);
	assert_int_equal(x->size32, y->size32);
	assert_int_equal(x->size64, y->size64);
	assert_int_equal(x->payload32, y->payload32);
	assert_int_equal(x->payload64, y->payload64);
	assert_int_equal(x->effective_size, y->effective_size);
	assert_int_equal(x->n_flat, y->n_flat);
	assert_memory_equal(x->flat, y->flat, sizeof(x->flat));
	if (x->elem)
		check_layout(x->elem, y->elem);
	for (uint32_t i = 0; x->kind != WIT_FIXED_LIST && i < x->n; i++) {
		assert_int_equal(x->fields[i].offset32, y->fields[i].offset32);
		assert_int_equal(x->fields[i].offset64, y->fields[i].offset64);
		if (x->fields[i].type)
			check_layout(x->fields[i].type, y->fields[i].type);
	}
}

static void check_func(const char *name, const struct wit_func_type *want, const struct wit_func_type *have)
{
	struct wit_compare c = {.same_resource = same_name, .steps = 1000000};
	struct err e = {0};
	if (!wit_func_type_equal(&c, want, have, &e))
		fail_msg("%s: %s (%s)", name, e.text, e.where);
	check_layout(&want->params, &have->params);
	if (want->result)
		check_layout(want->result, have->result);
}

// What is served under a further name (`also` in host.def) has the functions of an interface that the text has.
static const char *name_in_text(const struct seam_interface *s)
{
	for (size_t i = 0; i < ARRAY_LEN(wasi_provider); i++)
		if (wasi_provider[i].interface->funcs == s->funcs)
			return wasi_provider[i].interface->name;
	return s->name;
}

static const struct wit_interface *find_interface(const char *id)
{
	struct wit_name n;
	assert_true(wit_name_parse(slice_str(id), false, &n, NULL));
	const struct wit_package *p = wit_packages_find(&packages, n.ns, n.package, &n.version);
	const struct wit_interface *x = p ? wit_package_interface(p, n.iface) : NULL;
	if (!x)
		fail_msg("no interface %s", id);
	return x;
}

static void tables_equal_the_text(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(wasi_provider); i++) {
		const struct seam_interface *s = wasi_provider[i].interface;
		const struct wit_interface *x = find_interface(name_in_text(s));
		assert_int_equal(s->n_funcs, x->n_funcs);
		for (uint32_t k = 0; k < s->n_funcs; k++) {
			const struct seam_func *f = &s->funcs[k];
			assert_true(slice_eq_str(x->funcs[k].name, f->name));
			assert_non_null(f->call);
			assert_non_null(((void *const *)wasi_provider[i].ops)[k]);
			assert_ptr_equal(f->type, seam_func_type(s, k));
			check_func(f->name, x->funcs[k].type, f->type);
			assert_int_equal(f->args_size, f->type->params.size64);
			assert_int_equal(f->ret_size, f->type->result ? f->type->result->size64 : 0);
		}
	}
}

static bool is_served(void *ctx, const struct wit_resource *r)
{
	for (size_t i = 0; i < ARRAY_LEN(wasi_provider); i++)
		for (uint32_t k = 0; k < wasi_provider[i].interface->n_resources; k++)
			if (&wasi_provider[i].interface->resources[k]->wit == r)
				return true;
	return false;
}

static void every_resource_of_a_function_is_one_of_the_tables(void **state)
{
	unsigned resources = 0;
	for (size_t i = 0; i < ARRAY_LEN(wasi_provider); i++) {
		const struct seam_interface *s = wasi_provider[i].interface;
		for (uint32_t k = 0; k < s->n_funcs; k++) {
			const struct wit_func_type *type = seam_func_type(s, k);
			assert_true(wit_type_each_resource(&type->params, is_served, NULL));
			assert_true(!type->result || wit_type_each_resource(type->result, is_served, NULL));
		}
		for (uint32_t k = 0; k < s->n_resources; k++, resources++) {
			assert_ptr_equal(s->resources[k]->interface, s);
		}
	}
	assert_int_equal(resources, 34);
}

static void exports_that_the_host_calls_have_their_types(void **state)
{
	static const struct {
		const struct seam_interface *s;
		size_t exports, args;
	} rows[] = {
		{&wasi_cli_run_interface, sizeof(struct wasi_cli_run_exports), 0},
		{&wasi_cli3_run_interface, sizeof(struct wasi_cli3_run_exports), 0},
		{&wasi_http3_handler_interface, sizeof(struct wasi_http3_handler_exports), sizeof(struct wasi_http3_handler_handle_args)},
		{&wasi_http_incoming_handler_interface, sizeof(struct wasi_http_incoming_handler_exports), sizeof(struct wasi_http_incoming_handler_handle_args)},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct seam_func *f = &rows[i].s->funcs[0];
		const struct wit_interface *x = find_interface(rows[i].s->name);
		assert_int_equal(rows[i].s->n_funcs, x->n_funcs);
		assert_int_equal(rows[i].exports, x->n_funcs * sizeof(struct seam_export));
		assert_true(slice_eq_str(x->funcs[0].name, f->name));
		check_func(f->name, x->funcs[0].type, seam_func_type(rows[i].s, 0));
		assert_int_equal(rows[i].args, f->args_size);
		assert_null(f->call);
	}
}

static void marks_of_host_def_reach_the_tables(void **state)
{
	unsigned fixed = 0;
	for (size_t i = 0; i < ARRAY_LEN(wasi_provider); i++)
		for (uint32_t k = 0; k < wasi_provider[i].interface->n_funcs; k++)
			fixed += wasi_provider[i].interface->funcs[k].flags & SEAM_FIXED;
	assert_true(fixed >= 10);
	assert_int_equal(wasi_random_random_interface.funcs[0].flags, 0);
	assert_int_equal(wasi_cli_environment_interface.funcs[0].flags, SEAM_FIXED);
	assert_non_null(wasi_io_streams_output_stream_class.remake);
	assert_null(wasi_io_poll_pollable_class.remake);
	assert_ptr_equal(wasi_io_poll_pollable_class.type, &wasi_io_poll_pollable_resource.wit);
	assert_string_equal(wasi_io_poll_pollable_class.name, "wasi:io/poll.pollable");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_equal_the_text),
		cmocka_unit_test(every_resource_of_a_function_is_one_of_the_tables),
		cmocka_unit_test(exports_that_the_host_calls_have_their_types),
		cmocka_unit_test(marks_of_host_def_reach_the_tables),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
