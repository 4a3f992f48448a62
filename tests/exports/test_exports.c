// Exports that the host calls by name are compared as types when a component is loaded: what has another type than the host calls it with is refused,
// however it came to be an export.
// PROGRAM(test_exports, "wasi cmocka", "")
#include "comp/test/build.h"
#include "wasi/wasi.h"

static struct wasi wasi;
static struct seam_registry registry;

// A core module with a function "f" of that type that traps, a memory "m", a realloc "r"; all of its instance; types; one function lifted from "f".
#define LIFTED_FROM(core_type)                                                                                                                            \
	CORE_MODULE "[ " MODULE "01 [ 02 60 " core_type " 60 04 7f 7f 7f 7f 01 7f ] 03 [ 02 00 01 ] 05 [ 01 00 01 ] 07 [ 03 'f' 00 00 'm' 02 00 'r' 00 01 ] " \
				"0a [ 02 [ 00 00 0b ] [ 00 41 00 0b ] ] ] " CORE_INSTANCE "[ 01 00 00 00 ] " ALIAS                                                        \
				"[ 03 00 00 01 00 'f' 00 02 01 00 'm' 00 00 01 00 'r' ] "
#define LIFT(type) CANON "[ 01 00 00 00 02 03 00 04 01 " type " ] "
#define EXPORTED(interface, name) INSTANCE "[ 01 01 01 00 '" name "' 01 00 ] " EXPORT "[ 01 00 '" interface "' 05 "
// The last of `types`, which is `type`, lifted from a function of `core_type`, exported as a function of an interface; instance `at`.
#define OF(core_type, types, type, interface, name) COMPONENT LIFTED_FROM(core_type) TYPE "[ " types "] " LIFT(type) EXPORTED(interface, name) "00 00 ] "
#define RUN_OF(core_type, types, type) OF(core_type, types, type, "wasi:cli/run@0.2.0", "run")
// Type `n` (of `definition`) is exported under a name; a run gives the exported one, or what is made of it.
#define RUN_OF_NAMED(definition, made, type) \
	COMPONENT LIFTED_FROM("00 01 7f") TYPE "[ 01 " definition "] " EXPORT "[ 01 00 't' 03 00 00 ] " TYPE "[ " made "] " LIFT(type) EXPORTED("wasi:cli/run@0.2.0", "run") "00 00 ] "
#define RUN_IN(interface) OF("00 01 7f", "02 6a 00 00 40 00 00 00 ", "01", interface, "run")
// With the resources of wasi:http/types: type 1 is incoming-request, 2 response-outparam; it is instance 0.
#define HTTP_TYPES \
	COMPONENT TYPE "[ 01 42 02 04 00 'incoming-request' 03 01 04 00 'response-outparam' 03 01 ] " IMPORT "[ 01 00 'wasi:http/types@0.2.3' 05 00 ] " ALIAS "[ 02 03 00 00 'incoming-request' 03 00 00 'response-outparam' ] "
#define HANDLE_OF(core_type, types, type) \
	HTTP_TYPES LIFTED_FROM(core_type) TYPE "[ " types "] " LIFT(type) EXPORTED("wasi:http/incoming-handler@0.2.0", "handle") "01 00 ] "

static bool bind(const char *text, bool handler, struct err *e)
{
	struct decoded d = decode_ok(text);
	struct seam_link *l = NULL;
	struct wasi_cli_run_exports run = {0};
	struct wasi_http_incoming_handler_exports handle = {0};
	if (!seam_link_new(&registry, d.c, &l, e))
		fail_msg("%s\n%s", e->text, text);
	bool ok = handler ? wasi_http_incoming_handler_bind(d.c, l, &handle, e) : wasi_cli_run_bind(d.c, l, &run, e);
	if (ok)
		assert_non_null(handler ? handle.handle.func : run.run.func);
	seam_link_free(l);
	decoded_release(&d);
	return ok;
}

static void is_refused(const char *text, bool handler, const char *says)
{
	struct err e = {0};
	if (bind(text, handler, &e))
		fail_msg("bound:\n%s", text);
	assert_int_equal(e.code, ERR_LINK);
	assert_int_equal(err_exit_status(e.code), 4);
	if (strncmp(e.text, "cannot link: ", 13) != 0 || !strstr(e.text, says))
		fail_msg("%s does not say %s", e.text, says);
	assert_true(e.hint[0] != 0);
}

static void is_bound(const char *text, bool handler)
{
	struct err e = {0};
	if (!bind(text, handler, &e))
		fail_msg("%s (%s)\n%s", e.text, e.where, text);
}

static void the_types_of_wasi_are_bound(void **state)
{
	is_bound(RUN_OF("00 01 7f", "02 6a 00 00 40 00 00 00 ", "01"), false);
	is_bound(HANDLE_OF("02 7f 7f 00", "03 69 01 69 02 40 02 'request' 03 'response-out' 04 01 00 ", "05"), true);
}

static void a_run_of_another_type_is_refused(void **state)
{
	static const char *const components[] = {
		RUN_OF("00 00", "01 40 00 01 00 ", "00"),                                                  // no result
		RUN_OF("00 01 7f", "02 6f 04 77 77 77 77 40 00 00 00 ", "01"),                                    // four u64
		RUN_OF("00 01 7f", "01 40 00 00 79 ", "00"),                                                      // u32
		RUN_OF("00 01 7e", "01 40 00 00 77 ", "00"),                                                      // u64
		RUN_OF("00 01 7c", "01 40 00 00 75 ", "00"),                                                      // f64
		RUN_OF("00 01 7f", "01 40 00 00 73 ", "00"),                                                      // string
		RUN_OF("00 01 7f", "02 70 73 40 00 00 00 ", "01"),                                                // list<string>
		RUN_OF("00 01 7f", "02 6a 01 79 00 40 00 00 00 ", "01"),                                          // result<u32>
		RUN_OF("00 01 7f", "02 6a 00 01 73 40 00 00 00 ", "01"),                                          // result<_, string>
		RUN_OF("00 01 7f", "02 6b 7f 40 00 00 00 ", "01"),                                                // option<bool>
		RUN_OF_NAMED("6d 02 'ok' 'error' ", "01 40 00 00 01 ", "02"),                                   // enum { ok, error }
		RUN_OF_NAMED("6e 01 'error' ", "01 40 00 00 01 ", "02"),                                        // flags { error }
		RUN_OF_NAMED("72 01 'a' 7d ", "01 40 00 00 01 ", "02"),                                         // record { a: u8 }
		RUN_OF_NAMED("71 02 'ok' 00 00 'error' 00 00 ", "01 40 00 00 01 ", "02"),                       // variant { ok, error }
		RUN_OF_NAMED("3f 7f 00 ", "02 69 01 40 00 00 02 ", "03"),                                       // own<r>
		RUN_OF("01 7f 01 7f", "02 6a 00 00 40 01 'a' 79 00 00 ", "01"),                                   // (u32) -> result
		RUN_OF("02 7f 7f 01 7f", "02 6a 00 00 40 01 's' 73 00 00 ", "01"),                                // (string) -> result
		RUN_OF("01 7f 01 7f", "03 6a 00 00 6f #17 77 77 77 77 77 77 77 77 77 77 77 77 77 77 77 77 77 40 01 'a' 01 00 00 ", "02"),  // 17 u64
	};
	for (size_t i = 0; i < ARRAY_LEN(components); i++)
		is_refused(components[i], false, "the export wasi:cli/run@0.2.0#run is a func(");
}

static void a_handle_of_another_type_is_refused(void **state)
{
	static const char *const components[] = {
		HANDLE_OF("00 00", "01 40 00 01 00 ", "03"),
		HANDLE_OF("03 7e 7e 7e 00", "01 40 03 'a' 77 'b' 77 'c' 77 01 00 ", "03"),
		HANDLE_OF("02 7f 7f 00", "01 40 01 's' 73 01 00 ", "03"),
		HANDLE_OF("02 7f 7f 00", "01 40 02 'request' 79 'response-out' 79 01 00 ", "03"),                                // numbers for handles
		HANDLE_OF("02 7f 7f 00", "03 69 01 69 02 40 02 'request' 04 'response-out' 03 01 00 ", "05"),                    // the one for the other
		HANDLE_OF("02 7f 7f 00", "03 68 01 69 02 40 02 'request' 03 'response-out' 04 01 00 ", "05"),                    // a borrow
		HANDLE_OF("02 7f 7f 00", "02 69 02 40 02 'request' 03 'response-out' 03 01 00 ", "04"),                          // the same twice
		HANDLE_OF("01 7f 00", "02 69 01 40 01 'request' 03 01 00 ", "04"),                                               // one only
		HANDLE_OF("03 7f 7f 7f 00", "03 69 01 69 02 40 03 'request' 03 'response-out' 04 'more' 79 01 00 ", "05"),       // one more
		HANDLE_OF("02 7f 7f 01 7f", "03 69 01 69 02 40 02 'request' 03 'response-out' 04 00 79 ", "05"),                 // gives something
		HTTP_TYPES LIFTED_FROM("02 7f 7f 00") TYPE "[ 01 3f 7f 00 ] " EXPORT "[ 01 00 'incoming-request' 03 03 00 ] " TYPE  // a resource of its own
												   "[ 03 69 04 69 02 40 02 'request' 05 'response-out' 06 01 00 ] " LIFT("07") EXPORTED("wasi:http/incoming-handler@0.2.0", "handle") "01 00 ] ",
	};
	for (size_t i = 0; i < ARRAY_LEN(components); i++)
		is_refused(components[i], true, "the export wasi:http/incoming-handler@0.2.0#handle is a func(");
}

static void what_is_not_there_is_named(void **state)
{
	is_refused(OF("00 00", "01 40 00 01 00 ", "00", "wasi:cli/run@0.2.0", "ran"), false, "has no function run: func() -> result");
	is_refused(COMPONENT, false, "does not export wasi:cli/run@0.2.");
	is_refused(COMPONENT, true, "does not export wasi:http/incoming-handler@0.2.");
	is_refused(EXPORTS_RUN, false, "does not export wasi:cli/run@0.2.");  // a function `run` of the root
}

static void versions_are_matched_as_those_of_imports(void **state)
{
	is_bound(RUN_IN("wasi:cli/run@0.2.0"), false);
	is_bound(RUN_IN("wasi:cli/run@0.2.99"), false);
	is_bound(RUN_IN("wasi:cli/run@0.2"), false);
	static const char *const others[] = {RUN_IN("wasi:cli/run@0.2.0-rc-2023-12-05"), RUN_IN("wasi:cli/run@0.2.12-rc1"), RUN_IN("wasi:cli/run@0.3.0"),
		RUN_IN("wasi:cli/run@0.20.0"), RUN_IN("wasi:cli/run@1.2.0"), RUN_IN("wasi:cli/run"), RUN_IN("wasi:cli/runs@0.2.0"), RUN_IN("run")};
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		is_refused(others[i], false, "does not export wasi:cli/run@0.2.");
}

// Of two versions the newest is meant, in whatever order they are there.
static void the_newest_version_is_the_one_that_is_compared(void **state)
{
#define TWO(first, second)                                                                                                                            \
	COMPONENT LIFTED_FROM("00 01 7f") TYPE "[ 03 6a 00 00 40 00 00 00 40 00 00 79 ] " CANON "[ 02 00 00 00 00 01 00 00 00 00 02 ] " INSTANCE          \
										   "[ 02 01 01 00 'run' 01 00 01 01 00 'run' 01 01 ] " EXPORT "[ 02 00 'wasi:cli/run@" first "' 05 00 00 00 " \
										   "'wasi:cli/run@" second "' 05 01 00 ] "
	is_bound(TWO("0.2.5", "0.2.1"), false);
	is_refused(TWO("0.2.1", "0.2.5"), false, "wasi:cli/run@0.2.5#run is a func() -> u32");
	is_refused(TWO("0.2.5", "0.2.10"), false, "wasi:cli/run@0.2.10#run is a func() -> u32");
	is_bound(TWO("0.2.5", "0.3.0"), false);
}

// (import "wasi:random/random@0.2.0" (instance (export "get-random-u64" (func (result u64))))) and its function as type 1, func 0.
#define RANDOM                                                                                                                            \
	COMPONENT TYPE "[ 01 42 02 01 40 00 00 77 04 00 'get-random-u64' 01 00 ] " IMPORT "[ 01 00 'wasi:random/random@0.2.0' 05 00 ] " ALIAS \
				   "[ 01 01 00 00 'get-random-u64' ] "

static void an_import_that_is_passed_through_is_compared_as_well(void **state)
{
	is_refused(RANDOM EXPORTED("wasi:cli/run@0.2.0", "run") "01 00 ] ", false, "the export wasi:cli/run@0.2.0#run is a func() -> u64");
	is_refused(RANDOM EXPORTED("wasi:http/incoming-handler@0.2.0", "handle") "01 00 ] ", true, "#handle is a func() -> u64");
}

static void exports_of_components_within_are_compared_as_well(void **state)
{
	// the inner component's instance, exported whole and as an instance made of its function
	is_refused(COMPONENT NESTED "[ " RUN_OF("00 01 7f", "01 40 00 00 79 ", "00") "] " INSTANCE "[ 01 00 00 00 ] " ALIAS "[ 01 05 00 00 'wasi:cli/run@0.2.0' ] " EXPORT
																				 "[ 01 00 'wasi:cli/run@0.2.1' 05 01 00 ] ",
		false, "wasi:cli/run@0.2.1#run is a func() -> u32");
	is_refused(COMPONENT NESTED "[ " EXPORTS_RUN "] " INSTANCE "[ 01 00 00 00 ] " ALIAS "[ 01 01 00 00 'run' ] " INSTANCE "[ 01 01 01 00 'run' 01 00 ] " EXPORT
								"[ 01 00 'wasi:cli/run@0.2.0' 05 01 00 ] ",
		false, "wasi:cli/run@0.2.0#run is a func()");
	is_bound(COMPONENT NESTED "[ " RUN_IN("wasi:cli/run@0.2.0") "] " INSTANCE "[ 01 00 00 00 ] " ALIAS "[ 01 05 00 00 'wasi:cli/run@0.2.0' ] " EXPORT
																"[ 01 00 'wasi:cli/run@0.2.0' 05 01 00 ] ",
		false);
	// an instance within an exported instance is none of the root's exports
	is_refused(COMPONENT NESTED "[ " RUN_IN("wasi:cli/run@0.2.0") "] " INSTANCE "[ 01 00 00 00 ] " EXPORT "[ 01 00 'outer' 05 00 00 ] ", false,
		"does not export wasi:cli/run@0.2.");
}

// What canon calls besides the function itself has its type from the specification: a component in which it has another does not load.
static void core_functions_that_are_called_have_their_types(void **state)
{
	static const char *const bodies[] = {
		CANON "[ 01 00 00 00 02 03 00 04 00 00 ] ",     // realloc: f
		CANON "[ 01 00 00 00 02 03 00 05 01 00 ] ",     // post-return: realloc's type
		TYPE "[ 01 3f 7f 01 01 ] ",                     // a destructor of realloc's type
		TYPE "[ 01 3f 7f 01 00 ] ",                     // one of f's
		CANON "[ 01 00 00 01 02 03 00 04 01 00 ] ",     // lifts realloc as a func()
	};
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		char text[2000];
		struct decoded d = {0};
		snprintf(text, sizeof text, "%s%s", COMPONENT LIFTED_FROM("00 00") TYPE "[ 01 40 00 01 00 ] ", bodies[i]);
		build_text(&d.bytes, text);
		decode_bytes(&d, 0);
		if (d.ok || d.e.code != ERR_INVALID)
			fail_msg("%zu: %s", i, d.ok ? "loads" : d.e.text);
		decoded_release(&d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_types_of_wasi_are_bound),
		cmocka_unit_test(a_run_of_another_type_is_refused),
		cmocka_unit_test(a_handle_of_another_type_is_refused),
		cmocka_unit_test(what_is_not_there_is_named),
		cmocka_unit_test(versions_are_matched_as_those_of_imports),
		cmocka_unit_test(the_newest_version_is_the_one_that_is_compared),
		cmocka_unit_test(an_import_that_is_passed_through_is_compared_as_well),
		cmocka_unit_test(exports_of_components_within_are_compared_as_well),
		cmocka_unit_test(core_functions_that_are_called_have_their_types),
	};
	struct err e = {0};
	wasi_init(&wasi, NULL);
	if (!wasi_register(&wasi, &registry, &e))
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	seam_registry_release(&registry);
	return failed;
}
