// Published code and artifacts: found by address while others come and go, executable and never writable, the same after bytes and back, damage
// refused. Rows: L40, L48, L49.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <cpuid.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define CODE_ASSEMBLER
#include "code/code.h"

// Two functions, `mov eax, n; ret` and the same with n + 1, and a stub behind them.
struct made {
	struct code_artifact a;
	struct buf text, sites;
	struct code_func funcs[2];
};

static void make(struct made *m, uint32_t n)
{
	struct x64 a;
	struct code_sites s = {.out = &m->sites};
	memset(m, 0, sizeof *m);
	s.out = &m->sites;
	for (uint32_t i = 0; i < 2; i++) {
		x64_begin(&a, &m->text);
		x64_room(&a, 256);
		s.pc = s.wasm_offset = 0;
		m->funcs[i] = (struct code_func){.offset = (uint32_t)m->text.len, .sites = (uint32_t)m->sites.len, .wasm_offset = 100 + 50 * i};
		assert_true(code_sites_put(&s, 0, 3, TRAP_NONE));
		x64_mov_ri(&a, RAX, n + i);
		assert_true(code_sites_put(&s, x64_pos(&a), 7, TRAP_MEMORY_OUT_OF_BOUNDS));
		x64_ret(&a, 0);
		assert_true(code_sites_put(&s, x64_pos(&a), 5, TRAP_DIVIDE_BY_ZERO));
		x64_ud2(&a);
		m->funcs[i].size = x64_pos(&a);
		x64_align(&a, 16);
		assert_true(x64_finish(&a));
	}
	x64_begin(&a, &m->text);
	x64_room(&a, 256);
	x64_ret(&a, 0);
	assert_true(x64_finish(&a));
	m->a = (struct code_artifact){
		.text = m->text.ptr,
		.text_size = m->text.len,
		.first_func = 4,
		.nfuncs = 2,
		.funcs = m->funcs,
		.sites = m->sites.ptr,
		.sites_size = m->sites.len,
		.borrowed = true,
	};
}

static void unmake(struct made *m)
{
	buf_release(&m->text);
	buf_release(&m->sites);
}

static struct code_object *publish(const struct code_artifact *a, void *owner)
{
	struct code_object *o;
	struct err e = {0};
	if (!code_publish(a, NULL, owner, &o, &e))
		fail_msg("%s", e.text);
	return o;
}

// (The sanitizer of indirect calls would read in front of the text.)
__attribute__((no_sanitize("undefined"))) static uint32_t run(const struct code_object *o, uint32_t i)
{
	return ((uint32_t (*)(void))(uintptr_t)code_object_func(o, i))();
}

static void an_address_tells_function_offset_and_trap(void **state)
{
	struct made m;
	struct code_site site;
	int owner;
	make(&m, 7);
	struct code_object *o = code_object_ref(publish(&m.a, &owner));
	code_object_unref(o);
	const uint8_t *f = code_object_func(o, 1);
	assert_int_equal(run(o, 0), 7);
	assert_int_equal(run(o, 1), 8);
	assert_int_equal(code_object_size(o), m.text.len);
	assert_ptr_equal(code_object_owner(o), &owner);
	assert_true(code_site_find((uintptr_t)f + 2, &site));  // inside the first instruction
	assert_ptr_equal(site.object, o);
	assert_true(site.is_guest);
	assert_int_equal(site.func, 5);
	assert_int_equal(site.offset, 153);
	assert_int_equal(site.trap, TRAP_NONE);
	assert_true(code_site_find((uintptr_t)f + 5, &site));
	assert_int_equal(site.offset, 157);
	assert_int_equal(site.trap, TRAP_MEMORY_OUT_OF_BOUNDS);
	assert_true(code_site_find((uintptr_t)f + 6, &site));
	assert_int_equal(site.offset, 155);
	assert_int_equal(site.trap, TRAP_DIVIDE_BY_ZERO);
	assert_true(code_site_find((uintptr_t)f + 7, &site));  // not the beginning of an instruction with a site
	assert_int_equal(site.trap, TRAP_NONE);
	assert_true(code_site_find((uintptr_t)f + 32 - 16, &site));  // the stub
	assert_false(site.is_guest);
	assert_false(code_site_find((uintptr_t)f + 32 - 16 + 1, &site));  // behind the text
	assert_false(code_site_find((uintptr_t)&m, &site));
	code_object_unref(o);
	assert_false(code_site_find((uintptr_t)f, &site));
	unmake(&m);
}

// A row of a kind that this reader doesn't know, between two that it knows.
static void rows_of_other_kinds_are_skipped(void **state)
{
	AUTO(buf)
	text = {0}, sites = {0};
	struct code_func f = {.size = 16};
	struct code_site site;
	struct code_sites s = {.out = &sites};
	for (int i = 0; i < 16; i++)
		buf_put_byte(&text, 0x90);
	assert_true(code_sites_put(&s, 2, 3, TRAP_UNREACHABLE));
	buf_put(&sites, (const uint8_t[]){3 << 1 | 1, 1 << 1, CODE_SITE_MORE + 5, 4, 0xff, 0xff, 0xff, 0xff}, 8);  // at pc 5, offset 4
	s.pc = 5, s.wasm_offset = 4;
	assert_true(code_sites_put(&s, 7, 9, TRAP_DIVIDE_BY_ZERO));
	buf_put(&sites, (const uint8_t[]){1 << 1 | 1, 0, CODE_SITE_MORE, 0x7f}, 4);  // longer than the stream: its end
	struct code_artifact a = {.text = text.ptr, .text_size = 16, .nfuncs = 1, .funcs = &f, .sites = sites.ptr, .sites_size = sites.len, .borrowed = true};
	struct code_object *o = publish(&a, NULL);
	const uint8_t *p = code_object_func(o, 0);
	assert_true(code_site_find((uintptr_t)p + 2, &site) && site.trap == TRAP_UNREACHABLE && site.offset == 3);
	assert_true(code_site_find((uintptr_t)p + 5, &site) && site.trap == TRAP_NONE);
	assert_true(code_site_find((uintptr_t)p + 7, &site) && site.trap == TRAP_DIVIDE_BY_ZERO && site.offset == 9);
	assert_true(code_site_find((uintptr_t)p + 15, &site) && site.trap == TRAP_NONE && site.offset == 9);
	code_object_unref(o);
}

// 200,000 sites in one function between two others, so that there are marks; each pc finds what a walk would.
static void sites_of_a_huge_function_are_found_by_their_marks(void **state)
{
	enum { N = 200000, STEP = 3 };
	AUTO(buf)
	text = {0}, sites = {0};
	struct code_func funcs[3] = {{.size = 16, .wasm_offset = 10}, {.offset = 16, .size = N * STEP, .wasm_offset = 100}, {.offset = 16 + N * STEP, .size = 16}};
	struct code_site site;
	struct code_sites s = {.out = &sites};
	assert_non_null(buf_reserve(&text, 32 + N * STEP));
	text.len = 32 + N * STEP;
	memset(text.ptr, 0x90, text.len);
	assert_true(code_sites_put(&s, 1, 1, TRAP_UNREACHABLE));
	funcs[1].sites = (uint32_t)sites.len;
	s.pc = s.wasm_offset = 0;
	for (uint32_t i = 0; i < N; i++) {
		if (i % 1000 == 7) {  // of an unknown kind, longer than the step between marks
			buf_put(&sites, (const uint8_t[]){1, 0, CODE_SITE_MORE, 0x80, 8}, 5);
			for (unsigned k = 0; k < 1024; k++)
				buf_put_byte(&sites, 0xff);
		}
		assert_true(code_sites_put(&s, i * STEP + 1, i * 2, i % 3 ? TRAP_MEMORY_OUT_OF_BOUNDS : TRAP_DIVIDE_BY_ZERO));
	}
	funcs[2].sites = (uint32_t)sites.len;
	s.pc = s.wasm_offset = 0;
	assert_true(code_sites_put(&s, 1, 5, TRAP_UNREACHABLE));
	struct code_artifact a = {.text = text.ptr, .text_size = text.len, .nfuncs = 3, .funcs = funcs, .sites = sites.ptr, .sites_size = sites.len, .borrowed = true};
	struct code_object *o = publish(&a, NULL);
	const uint8_t *at = code_object_func(o, 1);
	for (uint32_t i = 0; i < N; i += i % 128 < 100 ? 1 : 27) {
		assert_true(code_site_find((uintptr_t)at + i * STEP + 1, &site));
		assert_true(site.func == 1 && site.offset == 100 + i * 2 && site.trap == (i % 3 ? TRAP_MEMORY_OUT_OF_BOUNDS : TRAP_DIVIDE_BY_ZERO));
		assert_true(code_site_find((uintptr_t)at + i * STEP + 2, &site));
		assert_true(site.offset == 100 + i * 2 && site.trap == TRAP_NONE);
	}
	assert_true(code_site_find((uintptr_t)at, &site) && site.offset == 100 && site.trap == TRAP_NONE);
	assert_true(code_site_find((uintptr_t)at - 15, &site) && site.func == 0 && site.offset == 11 && site.trap == TRAP_UNREACHABLE);
	assert_true(code_site_find((uintptr_t)at + N * STEP + 1, &site) && site.func == 2 && site.offset == 5 && site.trap == TRAP_UNREACHABLE);
	code_object_unref(o);
}

static sigjmp_buf fault;
static void on_fault(int sig)
{
	siglongjmp(fault, 1);
}

static void published_code_cannot_be_written_L48(void **state)
{
	struct made m;
	make(&m, 1);
	struct code_object *o = publish(&m.a, NULL);
	volatile uint8_t *p = (uint8_t *)(uintptr_t)code_object_func(o, 0);
	void (*before)(int) = signal(SIGSEGV, on_fault);
	if (!sigsetjmp(fault, 1)) {
		*p = 0xc3;
		fail_msg("code was written to");
	}
	signal(SIGSEGV, before);
	assert_int_equal(run(o, 0), 1);
	code_object_unref(o);
	unmake(&m);
}

// As an entry of the cache: bytes at a page, whose code runs where they lie.
static void code_runs_from_sealed_bytes_L48(void **state)
{
	struct made m;
	AUTO(buf)
	bytes = {0};
	struct code_mapping *map;
	struct code_artifact view;
	struct code_object *o;
	struct err e = {0};
	make(&m, 41);
	assert_true(code_artifact_to_bytes(&m.a, &bytes));
	assert_true(code_mapping_of(buf_view(&bytes), &map, &e));
	memset(bytes.ptr, 0, bytes.len);  // they were copied
	assert_true(code_artifact_from_bytes(code_mapping_bytes(map), &view, &e));
	assert_true(code_publish_mapped(map, &view, NULL, NULL, &o, &e));
	code_mapping_unref(map);
	volatile uint8_t *p = (uint8_t *)(uintptr_t)code_object_func(o, 1);
	assert_int_equal(run(o, 1), 42);
	assert_ptr_equal(code_find((const void *)(uintptr_t)p), o);
	void (*before)(int) = signal(SIGSEGV, on_fault);
	if (!sigsetjmp(fault, 1)) {
		*p = 0xc3;
		fail_msg("code was written to");
	}
	signal(SIGSEGV, before);
	code_object_unref(o);
	assert_null(code_find((const void *)(uintptr_t)p));
	assert_false(code_mapping_of((struct slice){0}, &map, &e));
	unmake(&m);
}

static void bytes_and_back_are_the_same_and_damage_is_refused_L49(void **state)
{
	struct made m;
	AUTO(buf)
	bytes = {0};
	struct code_artifact back;
	struct err e = {0};
	make(&m, 41);
	assert_true(code_artifact_to_bytes(&m.a, &bytes));
	assert_true(code_artifact_from_bytes(buf_view(&bytes), &back, &e));
	struct code_object *o = publish(&back, NULL);
	assert_int_equal(run(o, 1), 42);
	code_object_unref(o);
	for (size_t len = 0; len < bytes.len; len += len < 200 ? 1 : 97)
		assert_false(code_artifact_from_bytes(slice_of(bytes.ptr, len), &back, NULL));
	// Whatever the first bytes become: refused, or still within bounds.
	for (size_t at = 0; at < 200; at++) {
		for (int bit = 0; bit < 8; bit++) {
			bytes.ptr[at] ^= (uint8_t)(1 << bit);
			if (code_artifact_from_bytes(buf_view(&bytes), &back, NULL)) {
				for (uint32_t i = 0; i < back.nfuncs; i++)
					assert_true((uint64_t)back.funcs[i].offset + back.funcs[i].size <= back.text_size && back.funcs[i].sites <= back.sites_size);
			}
			bytes.ptr[at] ^= (uint8_t)(1 << bit);
		}
	}
	unmake(&m);
}

// Readers look up while others publish and withdraw: what is held is always found.
static atomic_bool stop;
static void *churn(void *arg)
{
	struct made m;
	make(&m, 3);
	while (!atomic_load(&stop)) {
		struct code_object *o[8];
		for (int i = 0; i < 8; i++)
			o[i] = publish(&m.a, NULL);
		for (int i = 0; i < 8; i++)
			code_object_unref(o[i]);
	}
	unmake(&m);
	return NULL;
}

static void what_is_held_is_found_while_others_come_and_go(void **state)
{
	struct made m;
	pthread_t threads[2];
	make(&m, 9);
	struct code_object *o = publish(&m.a, NULL);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, NULL), 0);
	for (int i = 0; i < 200000; i++)
		assert_ptr_equal(code_find(code_object_func(o, i & 1)), o);
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	code_object_unref(o);
	unmake(&m);
}

// ---- the assembler ----------------------------------------------------------------------------------------------
static uint32_t dword(const struct x64 *a, uint32_t at)
{
	uint32_t v;
	memcpy(&v, a->base + at, 4);
	return v;
}

static void a_jump_to_the_next_instruction_is_taken_back(void **state)
{
	struct x64 a;
	AUTO(buf)
	b = {0};
	struct x64_label l = X64_LABEL, other = X64_LABEL;
	x64_begin(&a, &b);
	x64_room(&a, 256);
	x64_jcc(&a, CC_E, &l);
	x64_jmp(&a, &l);
	x64_bind_next(&a, &l);
	assert_int_equal(x64_pos(&a), 6);
	assert_int_equal(dword(&a, 2), 0);  // the other jump still goes to the label
	// Behind another label, a short one too, the jump stays: who comes to that one doesn't come through it.
	for (int i = 0; i < 2; i++) {
		l = X64_LABEL;
		uint32_t fine = i ? x64_short_jcc(&a, CC_E) : 0, at = x64_pos(&a);
		x64_jmp(&a, &l);
		if (i)
			x64_short_bind(&a, fine);
		else
			x64_bind(&a, &other);
		x64_bind_next(&a, &l);
		assert_int_equal(x64_pos(&a), at + 5);
	}
	assert_true(x64_finish(&a));
}

// A jump table's last entry waits for its label as a jump does, and the byte before it, the last of the entry before, may be any: 0xe9 too.
static void an_entry_of_a_jump_table_is_no_jump(void **state)
{
	for (unsigned byte = 0; byte < 256; byte++) {
		struct x64 a;
		AUTO(buf)
		b = {0};
		struct x64_label l = X64_LABEL;
		x64_begin(&a, &b);
		x64_room(&a, 256);
		x64_jmp(&a, &l);
		x64_d(&a, byte << 24 | 0x123456);
		x64__label_ref(&a, &l);
		x64_bind_next(&a, &l);
		assert_int_equal(x64_pos(&a), 13);
		assert_int_equal(dword(&a, 1), 8);
		assert_int_equal(dword(&a, 9), 0);
		assert_true(x64_finish(&a));
	}
}

static void room_for_vectors_is_what_the_processor_says(void **s)
{
	struct code_vectors v;
	unsigned a, b, c, d, end = 576;
	if (!code_cpu_vectors(&v) || !v.compact)
		skip();
	for (unsigned i = 2; i < 32; i++) {
		if (!(v.mask & 1u << i))
			continue;
		__cpuid_count(13, i, a, b, c, d);
		end = (c & 2 ? (end + 63) & ~63u : end) + a;
	}
	assert_int_equal(v.size, (end + 63) & ~63u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_tells_function_offset_and_trap),
		cmocka_unit_test(rows_of_other_kinds_are_skipped),
		cmocka_unit_test(sites_of_a_huge_function_are_found_by_their_marks),
		cmocka_unit_test(published_code_cannot_be_written_L48),
		cmocka_unit_test(code_runs_from_sealed_bytes_L48),
		cmocka_unit_test(bytes_and_back_are_the_same_and_damage_is_refused_L49),
		cmocka_unit_test(what_is_held_is_found_while_others_come_and_go),
		cmocka_unit_test(a_jump_to_the_next_instruction_is_taken_back),
		cmocka_unit_test(an_entry_of_a_jump_table_is_no_jump),
		cmocka_unit_test(room_for_vectors_is_what_the_processor_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
