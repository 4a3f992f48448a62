// Modules of two functions with names and DWARF made here; the process that reads it is this program, started again.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "code/code.h"
#include "symbols/symbols_int.h"
#include "sys/sys.h"
#include "wasm/wasm.h"

// ---- bytes -----------------------------------------------------------------------------------------------------------------------------

static void put_u32(struct buf *b, uint32_t v)
{
	buf_put(b, &v, 4);
}

// LEB128 of four bytes, so that sizes don't change lengths.
static void put_leb(struct buf *b, uint32_t v)
{
	for (int i = 0; i < 4; i++, v >>= 7)
		buf_put_byte(b, (uint8_t)((v & 0x7f) | (i < 3 ? 0x80 : 0)));
}

static void put_name(struct buf *b, const char *name)
{
	put_leb(b, (uint32_t)strlen(name));
	buf_put_str(b, name);
}

static void put_section(struct buf *b, uint8_t id, const struct buf *contents)
{
	buf_put_byte(b, id);
	put_leb(b, (uint32_t)contents->len);
	buf_put_slice(b, buf_view(contents));
}

static void put_custom(struct buf *b, const char *name, struct slice bytes)
{
	struct buf c = {0};
	put_name(&c, name);
	buf_put_slice(&c, bytes);
	put_section(b, 0, &c);
	buf_release(&c);
}

// Function names "f0"…; those at index 7 and 300 are "main" and one of C++.
static void put_names(struct buf *b, uint32_t n, bool ascending)
{
	struct buf c = {0}, list = {0};
	put_leb(&list, n);
	for (uint32_t i = 0; i < n; i++) {
		char text[20];
		snprintf(text, sizeof text, "f%u", i);
		put_leb(&list, ascending ? i : n - i);
		put_name(&list, i == 7 ? "main" : i == 300 ? "_ZN3app3runEv"
												   : text);
	}
	buf_put_byte(&c, 0);
	put_leb(&c, 9);
	put_name(&c, "app\nx");
	buf_put_byte(&c, 1);
	put_leb(&c, (uint32_t)list.len);
	buf_put_slice(&c, buf_view(&list));
	put_custom(b, "name", buf_view(&c));
	buf_release(&c);
	buf_release(&list);
}

enum { CODE_LEN = 40, AT_INNER = 20, AT_OUTER = 30 };  // addresses in the contents of the code section

// The function that is inlined at [16, 24) of the one at [10, 40).
static void put_dwarf(struct buf *b)
{
	static const uint8_t abbrev[] = {1, 0x11, 1, 0x03, 0x08, 0x1b, 0x08, 0x10, 0x17, 0x11, 0x01, 0x12, 0x06, 0, 0,
		2, 0x2e, 0, 0x03, 0x08, 0x6e, 0x08, 0x20, 0x0b, 0, 0,
		3, 0x2e, 1, 0x03, 0x08, 0x11, 0x01, 0x12, 0x06, 0, 0,
		4, 0x1d, 0, 0x31, 0x13, 0x11, 0x01, 0x12, 0x06, 0x58, 0x0b, 0x59, 0x0b, 0x57, 0x0b, 0, 0, 0};
	static const uint8_t line_head[] = {1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0, 'a', 'p', 'p', '.', 'c', 0, 0, 0, 0, 'i', 'n', '.', 'h', 0, 0, 0,
		0, 0};
	// At 10: line 11 of the first file, column 2. At 16: line 5, column 9 of the second. At 24: line 13, column 4 of the first. End at 40.
	static const uint8_t program[] = {0, 5, 2, 10, 0, 0, 0, 5, 2, 3, 10, 1, 4, 2, 5, 9, 3, 0x7a, 2, 6, 1, 4, 1, 5, 4, 3, 8, 2, 8, 1, 2, 16, 0, 1, 1};
	struct buf info = {0}, line = {0};
	put_u32(&info, 0);
	buf_put(&info, "\4\0\0\0\0\0\4", 7);
	buf_put(&info, "\1app.c\0/src\0\0\0\0\0", 16);  // stmt_list 0
	put_u32(&info, 10);
	put_u32(&info, 30);
	uint32_t origin = (uint32_t)info.len;
	buf_put(&info, "\2inner\0_RNvC3app5inner\0\1", 24);
	buf_put(&info, "\3outer", 7);
	put_u32(&info, 10);
	put_u32(&info, 30);
	buf_put_byte(&info, 4);
	put_u32(&info, origin);
	put_u32(&info, 16);
	put_u32(&info, 8);
	buf_put(&info, "\1\14\3\0\0", 5);  // called in line 12, column 3 of the first file
	memcpy(info.ptr, &(uint32_t){(uint32_t)info.len - 4}, 4);
	put_u32(&line, 0);
	buf_put(&line, "\4\0", 2);
	put_u32(&line, sizeof line_head);
	buf_put(&line, line_head, sizeof line_head);
	buf_put(&line, program, sizeof program);
	memcpy(line.ptr, &(uint32_t){(uint32_t)line.len - 4}, 4);
	put_custom(b, ".debug_abbrev", slice_of(abbrev, sizeof abbrev));
	put_custom(b, ".debug_info", buf_view(&info));
	put_custom(b, ".debug_line", buf_view(&line));
	buf_release(&info);
	buf_release(&line);
}

// A function of 40 bytes with its size and the count.
static void put_module(struct buf *b, bool names, bool dwarf)
{
	struct buf code = {0};
	buf_put(b, "\0asm\1\0\0\0\1\4\1\x60\0\0\3\2\1\0", 18);
	buf_put(&code, "\1\x26\0", 3);
	for (int i = 0; i < CODE_LEN - 4; i++)
		buf_put_byte(&code, 1);
	buf_put_byte(&code, 0x0b);
	put_section(b, 10, &code);
	if (names)
		put_names(b, 400, true);
	if (dwarf)
		put_dwarf(b);
	buf_release(&code);
}

// ---- modules ---------------------------------------------------------------------------------------------------------------------------

struct made {
	struct arena arena;
	struct buf bytes;
	struct wasm_module *m;
	struct vm_module vm, *list[1];
	struct symbols *symbols;
	uint32_t code;  // offset of the code section's contents
};

static bool make_of_bytes(struct made *t)
{
	struct err e = {0};
	arena_init(&t->arena, 0);
	if (!wasm_decode(&t->arena, buf_view(&t->bytes), WASM_FEATURES_DEFAULT, 0, &t->m, &e))
		return false;
	t->vm = (struct vm_module){.m = t->m};
	t->list[0] = &t->vm;
	t->code = (uint32_t)(t->m->code_section.ptr - t->m->bytes.ptr);
	t->symbols = symbols_new(t->list, 1, slice_of(NULL, 0));
	assert_non_null(t->symbols);
	return true;
}

static void make(struct made *t, bool names, bool dwarf)
{
	*t = (struct made){0};
	put_module(&t->bytes, names, dwarf);
	assert_true(make_of_bytes(t));
}

static void release(struct made *t)
{
	symbols_free(t->symbols);
	arena_release(&t->arena);
	buf_release(&t->bytes);
}

static struct vm_frames frames_at(const struct made *t, uint32_t func, uint32_t address)
{
	return (struct vm_frames){.address = UINT64_MAX, .n = 1, .list = {{&t->vm, func, t->code + address}}};
}

static void expect(struct made *t, const struct vm_frames *f, const char *want)
{
	struct buf b = {0};
	symbols_put(t->symbols, f, &b);
	assert_true(buf_put_byte(&b, 0));
	assert_string_equal((char *)b.ptr, want);
	buf_release(&b);
}

// ---- tests -----------------------------------------------------------------------------------------------------------------------------

static void a_function_has_the_name_that_the_name_section_gives(void **state)
{
	struct made t;
	make(&t, true, false);
	struct vm_frames f = frames_at(&t, 7, AT_INNER);
	f.list[1] = f.list[2] = f.list[3] = f.list[0];
	f.list[1].func = 300;
	f.list[2].func = 399;
	f.list[3].func = 400;  // has none
	f.n = 4;
	f.more = true;
	f.address = 0x10000;
	char want[300];
	unsigned at = t.code + AT_INNER;
	snprintf(want, sizeof want, "  address 0x10000\n  at main (offset 0x%x)\n  at app::run (offset 0x%x)\n  at f399 (offset 0x%x)\n  at func[400] (offset 0x%x)\n  ...\n", at, at,
		at, at);
	assert_false(symbols_has_more(t.symbols, &f));
	expect(&t, &f, want);
	release(&t);
}

static void names_that_do_not_ascend_are_none(void **state)
{
	struct made t = {0};
	put_module(&t.bytes, false, false);
	put_names(&t.bytes, 300, false);
	assert_true(make_of_bytes(&t));
	struct vm_frames f = frames_at(&t, 150, AT_INNER);
	char want[60];
	snprintf(want, sizeof want, "  at func[150] (offset 0x%x)\n", t.code + AT_INNER);
	expect(&t, &f, want);
	release(&t);
}

// A guest that traps all the time doesn't pay for its frames' names: those before the one that is looked for cost nothing, whatever their length is.
static void long_names_of_others_cost_nothing(void **state)
{
	enum { NAMES = 64, LENGTH = 1 << 17, TIMES = 2000 };
	struct made t = {0};
	struct buf c = {0}, list = {0};
	put_module(&t.bytes, false, false);
	put_leb(&list, NAMES);
	for (uint32_t i = 0; i < NAMES; i++) {
		put_leb(&list, i);
		put_leb(&list, i < NAMES - 1 ? LENGTH : 4);
		for (uint32_t k = 0; k < (i < NAMES - 1 ? LENGTH : 4); k++)
			buf_put_byte(&list, 'a');
	}
	buf_put_byte(&c, 1);
	put_leb(&c, (uint32_t)list.len);
	buf_put_slice(&c, buf_view(&list));
	put_custom(&t.bytes, "name", buf_view(&c));
	assert_true(make_of_bytes(&t));
	struct vm_frames f = frames_at(&t, NAMES - 1, AT_INNER);
	char want[60];
	snprintf(want, sizeof want, "  at aaaa (offset 0x%x)\n", t.code + AT_INNER);
	expect(&t, &f, want);
	uint64_t before = sys_thread_cpu_ns();
	for (int i = 0; i < TIMES; i++)
		expect(&t, &f, want);
	assert_true(sys_thread_cpu_ns() - before < SECOND);  // all of the names 2,000 times would be 16 GB
	f.list[0].func = 3;
	struct buf b = {0};
	symbols_put(t.symbols, &f, &b);
	assert_true(b.len > 1000 && b.len < 2000);  // cut
	buf_release(&b);
	buf_release(&c);
	buf_release(&list);
	release(&t);
}

static void a_module_is_named_where_there_are_several(void **state)
{
	struct made t;
	make(&t, true, false);
	struct vm_module other = t.vm, *both[] = {&t.vm, &other};
	struct symbols *s = symbols_new(both, 2, slice_of(NULL, 0));
	struct vm_frames f = frames_at(&t, 7, AT_INNER);
	struct buf b = {0};
	symbols_put(s, &f, &b);
	assert_true(buf_put_byte(&b, 0));
	char want[60];
	snprintf(want, sizeof want, "  at app\\x0ax!main (offset 0x%x)\n", t.code + AT_INNER);  // on one line, whatever it is called
	assert_string_equal((char *)b.ptr, want);
	buf_release(&b);
	symbols_free(s);
	release(&t);
}

static void a_component_names_modules_that_have_no_name(void **state)
{
	struct buf b = {0}, module = {0}, names = {0};
	put_module(&module, false, false);
	buf_put(&b, "\0asm\x0d\0\1\0", 8);
	put_section(&b, 1, &module);
	put_section(&b, 1, &module);
	size_t second = b.len - module.len;
	buf_put(&names, "\1\x16\0\x11", 4);
	put_leb(&names, 2);
	put_leb(&names, 0);
	put_name(&names, "a");
	put_leb(&names, 1);
	put_name(&names, "b");
	names.ptr[1] = (uint8_t)(names.len - 2);
	put_custom(&b, "component-name", buf_view(&names));
	struct slice name = symbols__module_name(buf_view(&b), b.ptr + second);
	assert_true(slice_eq_str(name, "b"));
	assert_int_equal(symbols__module_name(buf_view(&b), b.ptr + 1).len, 0);
	for (size_t i = 0; i < b.len; i++)
		(void)symbols__module_name(slice_of(b.ptr, i), b.ptr + second);  // cut anywhere
	buf_release(&b);
	buf_release(&module);
	buf_release(&names);
}

static void a_place_has_file_and_line_and_what_was_inlined_there(void **state)
{
#if SANITIZE_ADDRESS || SANITIZE_THREAD
	skip();  // the sanitizer's own system calls and address space are not among what that process may have
#endif
	struct made t;
	make(&t, true, true);
	struct vm_frames f = frames_at(&t, 7, AT_INNER);
	f.list[1] = frames_at(&t, 7, AT_OUTER).list[0];
	f.n = 2;
	char bare[120], want[300];
	snprintf(bare, sizeof bare, "  at main (offset 0x%x)\n  at main (offset 0x%x)\n", t.code + AT_INNER, t.code + AT_OUTER);
	snprintf(want, sizeof want, "  at app::inner, inlined, /src/in.h:5:9\n  at main (offset 0x%x), /src/app.c:12:3\n  at main (offset 0x%x), /src/app.c:13:4\n",
		t.code + AT_INNER, t.code + AT_OUTER);
	assert_true(symbols_has_more(t.symbols, &f));
	expect(&t, &f, bare);
	symbols_find(t.symbols, &f);
	expect(&t, &f, want);
	assert_false(symbols_has_more(t.symbols, &f));
	release(&t);
}

// Who traps anew everywhere is not worth a process each time.
static void the_next_question_waits_nine_times_as_long_as_the_last_one_took(void **state)
{
	struct made t;
	make(&t, true, true);
	struct vm_frames f = frames_at(&t, 7, AT_INNER), g = frames_at(&t, 7, AT_OUTER);
	uint64_t began = sys_now_ns(), took, waited;
	symbols_find(t.symbols, &f);
	took = sys_now_ns() - began;
	while (!symbols_has_more(t.symbols, &g))
		assert_true(sys_now_ns() - began < 60 * SECOND);
	waited = sys_now_ns() - began;
	assert_true(waited > 5 * took);
	release(&t);
}

static void an_address_outside_of_the_code_has_no_line(void **state)
{
	struct made t;
	make(&t, true, true);
	struct vm_frames f = frames_at(&t, 7, 0);
	f.list[0].offset = t.code - 1;
	assert_false(symbols_has_more(t.symbols, &f));
	f.list[0].offset = UINT32_MAX;
	assert_false(symbols_has_more(t.symbols, &f));
	f = frames_at(&t, 7, 2);  // in no unit
	symbols_find(t.symbols, &f);
	assert_false(symbols_has_more(t.symbols, &f));
	release(&t);
}

// Whatever libdw makes of them, it does so elsewhere.
static void damaged_dwarf_harms_nobody(void **state)
{
	uint64_t random = 0x9e3779b97f4a7c15;
	for (int i = 0; i < 60; i++) {
		struct made t = {0};
		put_module(&t.bytes, true, true);
		for (int k = 0; k < 1 + i % 5; k++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			size_t from = t.bytes.len - 250, at = from + (random >> 33) % 250;
			t.bytes.ptr[at] = (uint8_t)(random >> 20);
		}
		if (make_of_bytes(&t)) {
			struct vm_frames f = frames_at(&t, 7, AT_INNER);
			struct buf b = {0};
			symbols_find(t.symbols, &f);
			symbols_put(t.symbols, &f, &b);
			assert_true(b.len > 0);
			buf_release(&b);
			symbols_free(t.symbols);
		}
		arena_release(&t.arena);
		buf_release(&t.bytes);
	}
}

// A process that reads for ever, or too much, is ended; what opens files finds that it may not.
static void the_process_that_reads_has_nothing_else(void **state)
{
#if SANITIZE_ADDRESS || SANITIZE_THREAD
	skip();  // the sanitizer's own system calls and address space are not among what that process may have
#endif
	struct sys_child c;
	char *spin[] = {(char[]){"test-spin"}, NULL}, *open[] = {(char[]){"test-open"}, NULL}, *flood[] = {(char[]){"test-flood"}, NULL};
	uint8_t text[16];
	int null = sys_memfd("empty", 0);
	assert_int_equal(sys_run_self(open, null, &c), 0);
	assert_int_equal(sys_child_read(&c, text, sizeof text, sys_now_ns() + 60 * SECOND), 4);
	assert_memory_equal(text, "good", 4);
	assert_true(sys_child_end(&c));
	assert_int_equal(sys_run_self(flood, null, &c), 0);
	assert_int_equal(sys_child_read(&c, text, sizeof text, sys_now_ns() + 60 * SECOND), -EFBIG);
	assert_false(sys_child_end(&c));
	assert_int_equal(sys_run_self(spin, null, &c), 0);
	assert_int_equal(sys_child_read(&c, text, sizeof text, sys_now_ns() + SECOND / 20), -ETIMEDOUT);
	assert_false(sys_child_end(&c));
	sys_close(null);
}

static int play(const char *as)
{
	if (sys_confine(GIB, 5))
		return 1;
	if (strcmp(as, "test-spin") == 0)
		for (volatile uint64_t n = 0;; n++)
			;
	if (strcmp(as, "test-flood") == 0)
		for (;;)
			if (!sys_write_all(1, "twenty bytes of text", 20))
				return 1;
	bool closed = sys_open_folder("/") == -EPERM && sys_memfd("x", 1) == -EPERM && !sys_map_code(0, 4096) && sys_thread_signal(1, 0) != 0;
	return sys_write_all(1, closed ? "good" : "open", 4) ? 0 : 1;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_function_has_the_name_that_the_name_section_gives),
		cmocka_unit_test(names_that_do_not_ascend_are_none),
		cmocka_unit_test(long_names_of_others_cost_nothing),
		cmocka_unit_test(a_module_is_named_where_there_are_several),
		cmocka_unit_test(a_component_names_modules_that_have_no_name),
		cmocka_unit_test(a_place_has_file_and_line_and_what_was_inlined_there),
		cmocka_unit_test(the_next_question_waits_nine_times_as_long_as_the_last_one_took),
		cmocka_unit_test(an_address_outside_of_the_code_has_no_line),
		cmocka_unit_test(damaged_dwarf_harms_nobody),
		cmocka_unit_test(the_process_that_reads_has_nothing_else),
	};
	symbols_main(argc, argv);
	if (strncmp(argv[0], "test-", 5) == 0)
		exit(play(argv[0]));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
