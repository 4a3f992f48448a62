// Components whose memories have 64-bit addresses, beside those that have 32-bit ones: one text for both, in which letters behind a $ stand for what the width
// decides. Values there and back between two components of each pair of widths and encodings, and to the host; addresses above 4 GiB; streams, events and
// resources.
// PROGRAM(test_widths, "canon tier cmocka", "")
#include "subject.h"

// ---- texts -------------------------------------------------------------------------------------------------------------------------------
// $p the type of an address, $c.const and so on an instruction of it, $l its flag among the limits, $m how its loads and stores name their alignment, $w the
// size of a word, $v twice that, $x BLOCKED, $y a length that is too long, $z makes an i32 of an address, $e the encoding, $n the memory's pages, $b where
// realloc begins.
struct side {
	bool wide;
	uint8_t encoding;
	uint64_t pages, begin;
};

static void put_text(struct buf *b, const char *text, const struct side *s)
{
	for (; *text; text++) {
		if (*text != '$') {
			buf_put_byte(b, (uint8_t)*text);
			continue;
		}
		switch (*++text) {
		case 'p':
			buf_put_str(b, s->wide ? "7e" : "7f");
			break;
		case 'c':
			buf_put_str(b, s->wide ? "i64" : "i32");
			break;
		case 'l':
			buf_put_str(b, s->wide ? "04" : "00");
			break;
		case 'm':
			buf_put_str(b, s->wide ? "#3" : "#2");
			break;
		case 'w':
			buf_put_str(b, s->wide ? "#8" : "#4");
			break;
		case 'v':
			buf_put_str(b, s->wide ? "#16" : "#8");
			break;
		case 'x':
			buf_put_str(b, s->wide ? "#4294967295" : "#-1");
			break;
		case 'y':
			buf_put_str(b, s->wide ? "#4294967296" : "#268435456");
			break;
		case 'z':
			buf_put_str(b, s->wide ? "i32.wrap_i64" : "");
			break;
		case 'e':
			buf_printf(b, "%02x", s->encoding);
			break;
		case 'n':
			buf_printf(b, "#%llu", (unsigned long long)s->pages);
			break;
		case 'b':
			buf_printf(b, "#%llu", (unsigned long long)s->begin);
			break;
		default:
			fail_msg("$%c", *text);
		}
	}
}

// realloc(old, old size, align, size): from $b on.
#define REALLOC_TYPE "60 04 $p $p $p $p 01 $p "
#define REALLOC_64                                                                                                                             \
	"[ 01 01 $p global.get #0 local.get #2 $c.add $c.const #1 $c.sub $c.const #0 local.get #2 $c.sub $c.and local.tee #4 local.get #3 $c.add " \
	"global.set #0 local.get #1 $c.eqz if 40 else local.get #4 local.get #0 local.get #1 memory.copy #0 #0 end local.get #4 end ] "
#define MEMORY_64 MEMORIES "[ 01 $l $n ] " GLOBALS "[ 01 $p 01 $c.const $b end ] "

// 5: (tuple string (list (tuple u8 string)) (option (list u64)) u8 (result string f32) u64 u8 u32 u64 u8 u16), of 17 cells; 6: (func 5 -> 5);
// 7: (func string -> string).
#define VALUE_TYPES \
	TYPE "[ 08 6f 02 7d 73 70 00 70 77 6b 02 6a 01 73 01 76 6f 0b 73 01 03 7d 04 77 7d 79 77 7d 7b 40 01 'x' 05 00 05 40 01 's' 73 00 73 ] "

// echo gives back the place of its parameters, as that of its result; text stores its two words below $b.
#define CALLEE                                                                                                                          \
	COMPONENT CORE_MODULE                                                                                                               \
		"[ " MODULE TYPES "[ 03 " REALLOC_TYPE "60 01 $p 01 $p 60 02 $p $p 01 $p ] " FUNCS "[ 03 00 01 02 ] " MEMORY_64 EXPORTS         \
		"[ 04 'r' 00 00 'echo' 00 01 'text' 00 02 'm' 02 00 ] " CODE "[ 03 " REALLOC_64 "[ 00 local.get #0 end ] "                      \
		"[ 00 $c.const $b $c.const #64 $c.sub local.get #0 $c.store $m #0 $c.const $b $c.const #64 $c.sub local.get #1 $c.store $m $w " \
		"$c.const $b $c.const #64 $c.sub end ] ] ] " CORE_INSTANCE "[ 01 00 00 00 ] " ALIAS                                             \
		"[ 04 00 00 01 00 'r' 00 00 01 00 'echo' 00 00 01 00 'text' 00 02 01 00 'm' ] " VALUE_TYPES CANON                               \
		"[ 02 00 00 01 03 $e 03 00 04 00 06 00 00 02 03 $e 03 00 04 00 07 ] " EXPORT "[ 02 00 'echo' 01 00 00 00 'text' 01 01 00 ] "

// run and run-text pass on what they get, with a place below $b for the result.
#define CALLER                                                                                                                                                                                                                                                                                                            \
	COMPONENT VALUE_TYPES IMPORT "[ 02 00 'echo' 01 06 00 'text' 01 07 ] " CORE_MODULE                                                                                                                                                                                                                                    \
								 "[ " MODULE TYPES "[ 01 " REALLOC_TYPE "] " FUNCS "[ 01 00 ] " MEMORY_64 EXPORTS "[ 02 'r' 00 00 'm' 02 00 ] " CODE "[ 01 " REALLOC_64 "] ] " CORE_MODULE "[ " MODULE TYPES "[ 04 60 02 $p $p 00 60 03 $p $p $p 00 60 01 $p 01 $p 60 02 $p $p 01 $p ] " IMPORTS                          \
								 "[ 02 'x' 'echo' 00 00 'x' 'text' 00 01 ] " FUNCS "[ 02 02 03 ] " EXPORTS "[ 02 'run' 00 02 'run-text' 00 03 ] " CODE                                                                                                                                                                    \
								 "[ 02 [ 00 local.get #0 $c.const $b $c.const #512 $c.sub call #0 $c.const $b $c.const #512 $c.sub end ] "                                                                                                                                                                                \
								 "[ 00 local.get #0 local.get #1 $c.const $b $c.const #64 $c.sub call #1 $c.const $b $c.const #64 $c.sub end ] ] ] " CORE_INSTANCE "[ 01 00 00 00 ] " ALIAS "[ 02 00 00 01 00 'r' 00 02 01 00 'm' ] " CANON "[ 02 01 00 00 03 $e 03 00 04 00 01 00 01 03 $e 03 00 04 00 ] " CORE_INSTANCE \
								 "[ 02 01 02 'echo' 00 01 'text' 00 02 00 01 01 'x' 12 01 ] " ALIAS "[ 02 00 00 01 02 'run' 00 00 01 02 'run-text' ] " CANON                                                                                                                                                              \
								 "[ 02 00 00 03 03 $e 03 00 04 00 06 00 00 04 03 $e 03 00 04 00 07 ] " EXPORT "[ 02 00 'run' 01 02 00 00 'run-text' 01 03 00 ] "

// ---- values ------------------------------------------------------------------------------------------------------------------------------
struct item {
	uint8_t n;
	struct wit_string s;
};
struct value {
	struct wit_string a;
	struct wit_list b;  // of items
	struct {
		uint8_t some;
		struct wit_list list;
	} c;
	uint8_t d;
	struct {
		uint8_t is_err;
		union {
			struct wit_string s;
			float f;
		};
	} e;
	uint64_t f;
	uint8_t g;
	uint32_t h;
	uint64_t i;
	uint8_t j;
	uint16_t k;
};

#define TEXT(s) ((struct wit_string){(const uint8_t *)s, sizeof s - 1})
static const struct item items[] = {{1, TEXT("one")}, {2, TEXT("")}, {3, TEXT("dr\xc3\xa9i")}};
static const uint64_t numbers[] = {1, UINT64_MAX, 0x123456789abcdef};
static const struct value values[] = {
	{TEXT("plain"), {items, 3}, {1, {numbers, 3}}, 4, {0, {TEXT("caf\xc3\xa9")}}, UINT64_MAX - 5, 6, 7, 8, 9, 10},
	{TEXT("\xe2\x82\xac \xf0\x9f\x98\x80"), {NULL, 0}, {0, {NULL, 0}}, 255, {1, {.f = 2.5f}}, 1, 2, UINT32_MAX, 4, 5, UINT16_MAX},
};

static bool same_text(const struct wit_string *a, const struct wit_string *b)
{
	return a->len == b->len && (!a->len || memcmp(a->ptr, b->ptr, a->len) == 0);
}

static bool same(const struct value *x, const struct value *y)
{
	const struct item *p = x->b.ptr, *q = y->b.ptr;
	bool ok = same_text(&x->a, &y->a) && x->b.len == y->b.len && x->c.some == y->c.some && x->d == y->d && x->e.is_err == y->e.is_err && x->f == y->f &&
		x->g == y->g && x->h == y->h && x->i == y->i && x->j == y->j && x->k == y->k;
	for (size_t n = 0; ok && n < x->b.len; n++)
		ok = p[n].n == q[n].n && same_text(&p[n].s, &q[n].s);
	if (ok && x->c.some)
		ok = x->c.list.len == y->c.list.len && memcmp(x->c.list.ptr, y->c.list.ptr, 8 * x->c.list.len) == 0;
	return ok && (x->e.is_err ? x->e.f == y->e.f : same_text(&x->e.s, &y->e.s));
}

// ---- running -----------------------------------------------------------------------------------------------------------------------------
static struct vm_shard *shard;
struct running {
	struct subject s;
	struct canon_instance *i;
	struct arena arena;
	struct canon_trap trap;
};

static void start(struct running *r, struct buf *text, const struct canon_host *host, uint64_t memory)
{
	static const struct canon_host none;
	struct canon_limits limits;
	struct err e = {0};
	*r = (struct running){0};
	assert_true(buf_put_byte(text, 0));
	if (!subject_try(&r->s, (const char *)text->ptr, &e))
		fail_msg("%s at 0x%llx", e.text, (unsigned long long)e.offset);
	buf_release(text);
	canon_limits_default(&limits);
	limits.memory_bytes = memory;
	if (!canon_instance_new(shard, r->s.l.canon, host ? host : &none, &limits, NULL, &r->i, &e))
		fail_msg("%s", e.text);
	assert_true(canon_instance_initialize(r->i, 0, canon_component_steps(r->s.l.canon), NULL, &r->trap));
	arena_init(&r->arena, 0);
}

static void end(struct running *r)
{
	canon_instance_free(r->i);
	arena_release(&r->arena);
	subject_release(&r->s);
}

struct job {
	struct running *r;
	const char *name;
	const void *args;
	void *ret;
	bool ok;
};

static void job_main(void *arg)
{
	struct job *j = arg;
	struct running *r = j->r;
	r->trap = (struct canon_trap){0};
	j->ok = canon_call_export(r->i, subject_func(&r->s, j->name), NULL, j->args, j->ret, &r->arena, &r->trap);
}

static bool call(struct running *r, const char *name, const void *args, void *ret)
{
	struct job j = {.r = r, .name = name, .args = args, .ret = ret};
	struct vm_fiber *f = vm_fiber_new(shard, job_main, &j);
	while (vm_fiber_resume(f, VM_RESUMED) != VM_FIBER_DONE)
		;
	vm_fiber_free(f);
	return j.ok;
}

static void values_come_back(struct running *r, const char *name, const char *text_name, const char *what)
{
	for (size_t k = 0; k < ARRAY_LEN(values); k++) {
		struct value back = {0};
		struct wit_string text = {0};
		if (!call(r, name, &values[k], &back) || !call(r, text_name, &values[k].a, &text))
			fail_msg("%s: %s", what, r->trap.text);
		if (!same(&values[k], &back) || !same_text(&values[k].a, &text))
			fail_msg("%s: value %zu differs", what, k);
	}
}

// ---- pairs of components -----------------------------------------------------------------------------------------------------------------
static void start_pair(struct running *r, const struct side *caller, const struct side *callee, uint64_t memory)
{
	struct buf text = {0};
	buf_put_str(&text, COMPONENT NESTED "[ ");
	put_text(&text, CALLEE, callee);
	buf_put_str(&text, "] " NESTED "[ ");
	put_text(&text, CALLER, caller);
	buf_put_str(&text, "] " INSTANCE "[ 01 00 00 00 ] " ALIAS "[ 02 01 00 00 'echo' 01 00 00 'text' ] " INSTANCE "[ 01 00 01 02 'echo' 01 00 'text' 01 01 ] " ALIAS "[ 02 01 00 01 'run' 01 00 01 'run-text' ] " EXPORT "[ 04 00 'echo' 01 00 00 00 'text' 01 01 00 00 'run' 01 02 00 00 'run-text' 01 03 00 ] ");
	start(r, &text, NULL, memory);
}

static void values_go_there_and_back_between_all_widths_and_encodings(void **state UNUSED)
{
	for (unsigned n = 0; n < 36; n++) {
		struct side caller = {n & 1, (uint8_t)(n / 4 % 3), 2, 4096}, callee = {n & 2, (uint8_t)(n / 12), 2, 8192};
		struct running r;
		char what[64];
		snprintf(what, sizeof what, "%d-bit, encoding %d, calls %d-bit, %d", caller.wide ? 64 : 32, caller.encoding, callee.wide ? 64 : 32, callee.encoding);
		start_pair(&r, &caller, &callee, 64u << 20);
		values_come_back(&r, "run", "run-text", what);
		values_come_back(&r, "echo", "text", what);
		end(&r);
	}
}

// All places above 4 GiB: of parameters, results and of what realloc gives.
static void addresses_above_4_gib_are_addresses(void **state UNUSED)
{
#if SANITIZE_THREAD
	skip();
#endif
	static const uint64_t begin = (UINT64_C(4) << 30) + 8192;
	for (unsigned n = 0; n < 3; n++) {
		struct side high = {true, COMP_UTF8, 65538, begin}, low = {n & 1, COMP_UTF16, 2, 4096};
		struct running r;
		start_pair(&r, n < 2 ? &high : &low, n < 2 ? &low : &high, UINT64_C(6) << 30);
		values_come_back(&r, "run", "run-text", "above 4 GiB");
		values_come_back(&r, "echo", "text", "above 4 GiB");
		end(&r);
	}
}

// ---- the host's functions ----------------------------------------------------------------------------------------------------------------
static const struct value *given;
static enum trap echo(struct canon_task *t UNUSED, struct canon_instance *i UNUSED, void *data UNUSED, const void *args, void *ret)
{
	given = same(args, &values[0]) ? &values[0] : &values[1];
	assert_true(same(args, given));
	memcpy(ret, given, sizeof *given);
	return TRAP_NONE;
}

static enum trap text_back(struct canon_task *t UNUSED, struct canon_instance *i UNUSED, void *data UNUSED, const void *args, void *ret)
{
	assert_true(same_text(args, &given->a));
	memcpy(ret, &given->a, sizeof given->a);
	return TRAP_NONE;
}

static void values_go_to_the_host_and_back(void **state UNUSED)
{
	static const struct canon_host_func funcs[] = {{.fn = echo}, {.fn = text_back}};
	static const struct canon_host host = {.funcs = funcs, .n_funcs = 2};
	for (unsigned n = 0; n < 6; n++) {
		struct side s = {n & 1, (uint8_t)(n / 2), 2, 4096};
		struct running r;
		struct buf text = {0};
		put_text(&text, CALLER, &s);
		start(&r, &text, &host, 64u << 20);
		values_come_back(&r, "run", "run-text", s.wide ? "64-bit, host" : "32-bit, host");
		end(&r);
	}
}

// ---- streams, futures and events -----------------------------------------------------------------------------------------------------------
#define B(n) "$c.const $b $c.const #" #n " $c.add "
// Imports of module 1, in order: stream.new, stream.write (async), stream.read, future.new, future.write (async), future.read, waitable-set.new, waitable.join,
// waitable-set.wait; memory. go: bits of what is right. too-long, beyond, no-place: a read of too many bytes, of bytes beyond the memory; an event's place there.
#define ASYNC_IMPORTS                                                                                                                      \
	"[ #10 'x' 'a' 00 00 'x' 'b' 00 01 'x' 'c' 00 01 'x' 'd' 00 00 'x' 'e' 00 02 'x' 'f' 00 02 'x' 'g' 00 03 'x' 'h' 00 04 'x' 'i' 00 02 " \
	"'m' 'm' 02 $l 01 ] "
#define GO                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                     \
	"[ 02 01 7e 01 7f call #0 local.set #0 call #6 local.set #1 " B(0) "i32.const #1819043176 i32.store #2 #0 " B(4) "i32.const #111 i32.store8 #0 #0 "                                                                                                                                                                                                                                                                                                                                                                                                                                        \
																													 "local.get #0 i64.const #32 i64.shr_u i32.wrap_i64 " B(0) "$c.const #5 call #1 $c.const $x $c.eq "                                                                                                                                                                                                                                                                                                                                                                        \
																																											   "local.get #0 i64.const #32 i64.shr_u i32.wrap_i64 local.get #1 call #7 "                                                                                                                                                                                                                                                                                                                                       \
																																											   "local.get #0 i32.wrap_i64 " B(100) "$c.const #3 call #2 $c.const #48 $c.eq i32.const #1 i32.shl i32.or "                                                                                                                                                                                                                                                                                                       \
																																																				   "local.get #1 " B(200) "call #8 i32.const #3 i32.eq i32.const #2 i32.shl i32.or " B(200) "i64.load #2 #0 local.get #0 i64.const #32 i64.shr_u i64.const #206158430208 i64.or i64.eq i32.const #3 i32.shl i32.or " B(100) "i32.load #2 #0 i32.const #7103848 i32.eq i32.const #4 i32.shl i32.or "                                                                            \
																																																																																																											"call #3 local.set #0 " B(8) "i64.const #81985529216486895 i64.store #3 #0 "                                                                       \
																																																																																																																		 "local.get #0 i64.const #32 i64.shr_u i32.wrap_i64 " B(8) "call #4 i32.const #-1 i32.eq i32.const #5 i32.shl i32.or " \
																																																																																																																																   "local.get #0 i32.wrap_i64 " B(304) "call #5 i32.eqz i32.const #6 i32.shl i32.or " B(304) "i64.load #3 #0 i64.const #81985529216486895 i64.eq i32.const #7 i32.shl i32.or end ] "
#define ASYNC                                                                                                                                                                                                                                                                                              \
	COMPONENT TYPE "[ 03 66 01 7d 65 01 77 40 00 00 79 ] " CORE_MODULE                                                                                                                                                                                                                                     \
				   "[ " MODULE TYPES "[ 01 " REALLOC_TYPE "] " FUNCS "[ 01 00 ] " MEMORY_64 EXPORTS "[ 02 'r' 00 00 'm' 02 00 ] " CODE "[ 01 " REALLOC_64 "] ] " CORE_MODULE "[ " MODULE TYPES "[ 06 60 00 01 7e 60 03 7f $p $p 01 $p 60 02 7f $p 01 7f 60 00 01 7f 60 02 7f 7f 00 60 00 01 7f ] " IMPORTS \
					   ASYNC_IMPORTS FUNCS "[ 04 05 05 05 05 ] " EXPORTS "[ 04 'go' 00 09 'too-long' 00 0a 'beyond' 00 0b 'no-place' 00 0c ] " CODE                                                                                                                                                        \
				   "[ 04 " GO "[ 00 call #0 i32.wrap_i64 $c.const $b $c.const $y call #2 $c.eqz end ] "                                                                                                                                                                                                    \
				   "[ 00 call #0 i32.wrap_i64 $c.const #-65536 $c.const #65536 call #2 $c.eqz end ] "                                                                                                                                                                                                      \
				   "[ 00 call #6 $c.const #-8 call #8 end ] ] ] " CORE_INSTANCE "[ 01 00 00 00 ] " ALIAS "[ 01 00 02 01 00 'm' ] " CANON                                                                                                                                                                   \
				   "[ 09 0e 00 10 00 02 03 00 06 0f 00 01 03 00 15 01 17 01 02 03 00 06 16 01 01 03 00 1f 23 20 00 00 ] " CORE_INSTANCE                                                                                                                                                                    \
				   "[ 02 01 09 'a' 00 00 'b' 00 01 'c' 00 02 'd' 00 03 'e' 00 04 'f' 00 05 'g' 00 06 'h' 00 07 'i' 00 08 "                                                                                                                                                                                 \
				   "00 01 02 'x' 12 01 'm' 12 00 ] " ALIAS "[ 04 00 00 01 02 'go' 00 00 01 02 'too-long' 00 00 01 02 'beyond' 00 00 01 02 'no-place' ] " CANON                                                                                                                                             \
				   "[ 04 00 00 09 00 02 00 00 0a 00 02 00 00 0b 00 02 00 00 0c 00 02 ] " EXPORT                                                                                                                                                                                                            \
				   "[ 04 00 'go' 01 00 00 00 'too-long' 01 01 00 00 'beyond' 01 02 00 00 'no-place' 01 03 00 ] "

static void copies_and_events_go_where_the_address_says(void **state UNUSED)
{
	static const char *const bad[][2] = {{"too-long", "too long"}, {"beyond", "out of bounds"}, {"no-place", "out of bounds"}};
	for (unsigned n = 0; n < 3; n++) {
		struct side s = {n > 0, COMP_UTF8, n == 2 ? 65538 : 2, n == 2 ? (UINT64_C(4) << 30) + 8192 : 4096};
		uint64_t memory = n == 2 ? UINT64_C(6) << 30 : 64u << 20;
		struct buf text = {0};
		struct running r;
		uint32_t ok = 0;
		put_text(&text, ASYNC, &s);
		start(&r, &text, NULL, memory);
		if (!call(&r, "go", NULL, &ok))
			fail_msg("%s", r.trap.text);
		assert_int_equal(ok, 0xff);
		end(&r);
		for (size_t k = 0; k < ARRAY_LEN(bad); k++) {
			text = (struct buf){0};
			put_text(&text, ASYNC, &s);
			start(&r, &text, NULL, memory);
			assert_false(call(&r, bad[k][0], NULL, &ok));
			if (r.trap.trap != TRAP_CANON || !strstr(r.trap.text, bad[k][1]))
				fail_msg("%s: %s", bad[k][0], r.trap.text);
			end(&r);
		}
	}
}

// take(stream<string>) reads two: the lengths and the first byte. feed writes "abc" and "ef" into one and gives its other end to take.
#define TAKER                                                                                                                                                                                                                                                                                                                                                                                                                 \
	COMPONENT TYPE "[ 02 66 01 73 40 01 's' 00 00 79 ] " CORE_MODULE                                                                                                                                                                                                                                                                                                                                                          \
				   "[ " MODULE TYPES "[ 01 " REALLOC_TYPE "] " FUNCS "[ 01 00 ] " MEMORY_64 EXPORTS "[ 02 'r' 00 00 'm' 02 00 ] " CODE "[ 01 " REALLOC_64 "] ] " CORE_MODULE "[ " MODULE TYPES "[ 02 60 03 7f $p $p 01 $p 60 01 7f 01 7f ] " IMPORTS "[ 02 'x' 'read' 00 00 'm' 'm' 02 $l 01 ] " FUNCS                                                                                                                        \
				   "[ 01 01 ] " EXPORTS "[ 01 'take' 00 01 ] " CODE "[ 01 [ 00 local.get #0 " B(-128) "$c.const #2 call #0 $c.const #32 $c.eq if 7f " B(-128) "$c.load $m $w $z i32.const #16 i32.shl " B(-128) "$c.const $w $c.add $c.load $m $v $z i32.const #8 i32.shl i32.or " B(-128) "$c.load $m #0 i32.load8_u #0 #0 i32.or else i32.const #0 end end ] ] ] " CORE_INSTANCE "[ 01 00 00 00 ] " ALIAS                   \
																																																																						   "[ 02 00 00 01 00 'r' 00 02 01 00 'm' ] " CANON "[ 01 0f 00 03 $e 03 00 04 00 ] " CORE_INSTANCE                                    \
																																																																						   "[ 02 01 01 'read' 00 01 00 01 02 'x' 12 01 'm' 12 00 ] " ALIAS "[ 01 00 00 01 02 'take' ] " CANON "[ 01 00 00 02 00 01 ] " EXPORT \
																																																																						   "[ 01 00 'take' 01 00 00 ] "
#define FEEDER                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                         \
	COMPONENT TYPE "[ 03 66 01 73 40 01 's' 00 00 79 40 00 00 79 ] " IMPORT "[ 01 00 'take' 01 01 ] " CORE_MODULE                                                                                                                                                                                                                                                                                                                                                                                                                                      \
				   "[ " MODULE TYPES "[ 01 " REALLOC_TYPE "] " FUNCS "[ 01 00 ] " MEMORY_64 EXPORTS "[ 02 'r' 00 00 'm' 02 00 ] " CODE "[ 01 " REALLOC_64 "] ] " CORE_MODULE "[ " MODULE TYPES "[ 04 60 00 01 7e 60 03 7f $p $p 01 $p 60 01 7f 01 7f 60 00 01 7f ] " IMPORTS                                                                                                                                                                                                                                                                           \
				   "[ 04 'x' 'new' 00 00 'x' 'write' 00 01 'x' 'take' 00 02 'm' 'm' 02 $l 01 ] " FUNCS "[ 01 03 ] " EXPORTS "[ 01 'feed' 00 03 ] " CODE                                                                                                                                                                                                                                                                                                                                                                                                \
				   "[ 01 [ 01 01 7e " B(0) "i32.const #1684234849 i32.store #2 #0 " B(4) "i32.const #1751606885 i32.store #2 #0 " B(-256) B(0) "$c.store $m #0 " B(-256) "$c.const #3 $c.store $m $w " B(-256) "$c.const $w $c.add " B(4) "$c.store $m $w " B(-256) "$c.const $w $c.add $c.const #2 $c.store $m $v "                                                                                                                                                                                                                                   \
																																																																	"call #0 local.tee #0 i64.const #32 i64.shr_u i32.wrap_i64 " B(-256) "$c.const #2 call #1 drop local.get #0 i32.wrap_i64 call #2 end ] ] ] " CORE_INSTANCE "[ 01 00 00 00 ] " ALIAS "[ 01 00 02 01 00 'm' ] " CANON "[ 03 0e 00 10 00 03 $e 03 00 06 01 00 00 00 ] " CORE_INSTANCE \
																																																																																		 "[ 02 01 03 'new' 00 00 'write' 00 01 'take' 00 02 00 01 02 'x' 12 01 'm' 12 00 ] " ALIAS "[ 01 00 00 01 02 'feed' ] " CANON                                                                                  \
																																																																																		 "[ 01 00 00 03 00 02 ] " EXPORT "[ 01 00 'feed' 01 01 00 ] "

static void values_of_a_stream_go_between_widths(void **state UNUSED)
{
	for (unsigned n = 0; n < 4; n++) {
		struct side feeder = {n & 1, COMP_UTF8, 2, 4096}, taker = {n & 2, COMP_UTF8, 2, 8192};
		struct buf text = {0};
		struct running r;
		uint32_t got = 0;
		buf_put_str(&text, COMPONENT NESTED "[ ");
		put_text(&text, TAKER, &taker);
		buf_put_str(&text, "] " NESTED "[ ");
		put_text(&text, FEEDER, &feeder);
		buf_put_str(&text, "] " INSTANCE "[ 01 00 00 00 ] " ALIAS "[ 01 01 00 00 'take' ] " INSTANCE "[ 01 00 01 01 'take' 01 00 ] " ALIAS "[ 01 01 00 01 'feed' ] " EXPORT "[ 01 00 'feed' 01 01 00 ] ");
		start(&r, &text, NULL, 64u << 20);
		if (!call(&r, "feed", NULL, &got))
			fail_msg("%u: %s", n, r.trap.text);
		assert_int_equal(got, 3 << 16 | 2 << 8 | 'a');
		end(&r);
	}
}

// ---- resources ---------------------------------------------------------------------------------------------------------------------------
// (resource (rep i64)), whose destructor adds to count. make(n); whole(n): what resource.rep gives, after which it is dropped; rep(borrow).
#define OWNER                                                                                                                                                                                                                                                                                          \
	COMPONENT CORE_MODULE "[ " MODULE TYPES "[ 02 60 01 7e 00 60 00 01 7e ] " FUNCS "[ 02 00 01 ] " GLOBALS "[ 01 7e 01 i64.const #0 end ] " EXPORTS                                                                                                                                                   \
						  "[ 02 'dtor' 00 00 'count' 00 01 ] " CODE "[ 02 [ 00 global.get #0 local.get #0 i64.add global.set #0 end ] [ 00 global.get #0 end ] ] ] " CORE_MODULE "[ " MODULE TYPES "[ 05 60 01 7e 01 7f 60 01 7f 00 60 01 7f 01 7e 60 01 7e 01 7e 60 01 7f 01 7f ] " IMPORTS           \
						  "[ 03 'x' 'new' 00 00 'x' 'drop' 00 01 'x' 'rep' 00 02 ] " FUNCS "[ 03 00 03 04 ] " EXPORTS "[ 03 'make' 00 03 'whole' 00 04 'rep' 00 05 ] " CODE                                                                                                                            \
						  "[ 03 [ 00 local.get #0 call #0 end ] [ 01 01 7f local.get #0 call #0 local.tee #1 call #2 local.get #1 call #1 end ] [ 00 local.get #0 end ] ] ] " CORE_INSTANCE "[ 01 00 00 00 ] " ALIAS "[ 02 00 00 01 00 'dtor' 00 00 01 00 'count' ] " TYPE "[ 01 3f 7e 01 00 ] " CANON \
						  "[ 03 02 00 03 00 04 00 ] " CORE_INSTANCE "[ 02 01 03 'new' 00 02 'drop' 00 03 'rep' 00 04 00 01 01 'x' 12 01 ] " ALIAS                                                                                                                                                      \
						  "[ 03 00 00 01 02 'make' 00 00 01 02 'whole' 00 00 01 02 'rep' ] " EXPORT "[ 01 00 'r' 03 00 00 ] " TYPE                                                                                                                                                                     \
						  "[ 06 69 01 68 01 40 01 'n' 77 00 02 40 01 'n' 77 00 77 40 00 00 77 40 01 'r' 03 00 79 ] " CANON                                                                                                                                                                             \
						  "[ 04 00 00 05 00 04 00 00 06 00 05 00 00 01 00 06 00 00 07 00 07 ] " EXPORT                                                                                                                                                                                                 \
						  "[ 04 00 'make' 01 00 00 00 'whole' 01 01 00 00 'count' 01 02 00 00 'rep' 01 03 00 ] "

static uint64_t whole(struct running *r, const char *name, uint64_t n)
{
	uint64_t ret = 0;
	if (!call(r, name, &n, &ret))
		fail_msg("%s: %s", name, r->trap.text);
	return ret;
}

static void start_owner(struct running *r)
{
	struct buf text = {0};
	buf_put_str(&text, OWNER);
	start(r, &text, NULL, 64u << 20);
}

static void resources_are_represented_by_i64(void **state UNUSED)
{
	static const uint64_t reps[] = {0, 7, UINT32_MAX, (UINT64_C(1) << 32) + 7, UINT64_MAX};
	struct running r;
	uint64_t sum = 0;
	start_owner(&r);
	for (size_t k = 0; k < ARRAY_LEN(reps); k++) {
		assert_true(whole(&r, "whole", reps[k]) == reps[k]);
		assert_true(whole(&r, "count", 0) == (sum += reps[k]));
	}
	const struct wit_resource *type = subject_func(&r.s, "make")->type->result->resource;
	for (size_t k = 0; k < ARRAY_LEN(reps); k++) {
		uint32_t own = (uint32_t)whole(&r, "make", reps[k]), rep = 0;
		if (reps[k] <= UINT32_MAX) {
			assert_true(call(&r, "rep", &own, &rep));
			assert_int_equal(rep, reps[k]);
		}
		assert_true(canon_guest_resource_drop(r.i, type, own, NULL, &r.trap));
		assert_true(whole(&r, "count", 0) == (sum += reps[k]));
		assert_int_equal(own, 1);  // its place was free again
	}
	uint32_t own = (uint32_t)whole(&r, "make", reps[3]), rep;
	assert_false(call(&r, "rep", &own, &rep));
	assert_non_null(strstr(r.trap.text, "can't be an i32"));
	end(&r);
	// One that nobody has.
	start_owner(&r);
	own = 5;
	assert_false(call(&r, "rep", &own, &rep));
	assert_int_equal(r.trap.trap, TRAP_HOST);
	end(&r);
}

static void a_reset_forgets_them(void **state UNUSED)
{
	static const struct canon_host host;
	struct running r;
	struct canon_image *image;
	struct canon_limits limits;
	struct err e = {0};
	start_owner(&r);
	canon_instance_free(r.i);
	canon_limits_default(&limits);
	assert_true(canon_image_new(shard, r.s.l.canon, &host, &limits, CANON_INIT_AUTO, NULL, NULL, &image, &r.trap, &e));
	assert_true(canon_slot_new(shard, image, NULL, &r.i, &e));
	for (int k = 0; k < 5; k++) {
		for (uint32_t n = 1; n <= 20; n++)
			assert_int_equal(whole(&r, "make", (UINT64_C(1) << 40) + n), n);
		assert_true(canon_slot_reset(r.i));
		assert_true(whole(&r, "count", 0) == 0);
	}
	end(&r);
	canon_image_free(image);
}

int main(void)
{
	struct err e = {0};
	if (!vm_process_init(&e) || !vm_shard_new(&shard, &e)) {
		print_error("%s\n", e.text);
		return 1;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_go_there_and_back_between_all_widths_and_encodings),
		cmocka_unit_test(addresses_above_4_gib_are_addresses),
		cmocka_unit_test(values_go_to_the_host_and_back),
		cmocka_unit_test(copies_and_events_go_where_the_address_says),
		cmocka_unit_test(values_of_a_stream_go_between_widths),
		cmocka_unit_test(resources_are_represented_by_i64),
		cmocka_unit_test(a_reset_forgets_them),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	vm_shard_free(shard);
	return failed;
}
