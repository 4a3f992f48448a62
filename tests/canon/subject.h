// A component that does at each place of its life what it is told, and that can soil and show all that an instance holds. Root imports:
// (import "h" (func (param "place" u32) (result u32))).
//
// Places: 0 the start function (what to do is h's answer), 1 go, 2 tail (tail-calls h), 3 realloc, 4 echo, 5 echo's post-return, 6 the destructor.
// Actions: see below.
#ifndef TESTS_CANON_SUBJECT_H
#define TESTS_CANON_SUBJECT_H

#include "../engine/guest.h"
#include "components.h"

enum place { AT_START, AT_GO, AT_TAIL, AT_REALLOC, AT_ECHO, AT_POST_RETURN, AT_DESTRUCTOR, PLACES };
enum action { DO_NOTHING, DO_UNREACHABLE, DO_SPIN, DO_CALL_HOST, DO_FAULT, DO_GROW, DO_ALLOCATE_GROWN, DO_RECURSE };

// act(place); what is to be done is kept at 508
#define ACT                                                                                                                                                \
	"[ 01 01 7f local.get #0 if 7f local.get #0 i32.load8_u #0 #0 else i32.const #0 call #0 end local.set #1 i32.const #508 local.get #1 i32.store #2 #0 " \
	"local.get #1 i32.const #1 i32.eq if 40 unreachable end "                                                                                              \
	"local.get #1 i32.const #2 i32.eq if 40 loop 40 br #0 end end "                                                                                        \
	"local.get #1 i32.const #3 i32.eq if 40 local.get #0 call #0 drop end "                                                                                \
	"local.get #1 i32.const #4 i32.eq if 40 i32.const #-1 i32.load #0 #0 drop end "                                                                        \
	"local.get #1 i32.const #5 i32.eq if 40 i32.const #1 memory.grow #0 drop end "                                                                         \
	"local.get #1 i32.const #7 i32.eq if 40 local.get #0 call #1 end end ] "
// realloc: a bump allocator from 4096; or a page of its own, made for it
#define REALLOC                                                                                                                                        \
	"[ 00 i32.const #3 call #1 i32.const #3 i32.load8_u #0 #0 i32.const #6 i32.eq if 40 i32.const #1 memory.grow #0 i32.const #16 i32.shl return end " \
	"global.get #1 global.get #1 local.get #3 i32.add global.set #1 end ] "
#define ECHO "[ 00 i32.const #4 call #1 i32.const #32 local.get #0 i32.store #2 #0 i32.const #36 local.get #1 i32.store #2 #0 i32.const #32 end ] "
// a sum over all of a memory; `m` is how its loads name it
#define SUM(m, index)                                                                                                               \
	"[ 01 02 7f loop 40 local.get #0 i32.const #5 i32.rotl local.get #1 i32.load " m " i32.xor i32.const #17 i32.add local.set #0 " \
	"local.get #1 i32.const #4 i32.add local.tee #1 memory.size " index " i32.const #16 i32.shl i32.lt_u br_if #0 end local.get #0 end ] "
// dirty(seed): memories written and grown, a global; bit 0: drops the data segment, else the elements; bits 1, 2: how the table is written to; bit
// 3: grows it
#define DIRTY                                                                                                                                              \
	"[ 00 global.get #0 local.get #0 i32.add global.set #0 i32.const #2048 local.get #0 i32.const #1000 memory.fill #0 "                                   \
	"i32.const #1024 local.get #0 i32.store #2 #0 i32.const #2 memory.grow #0 drop memory.size #0 i32.const #16 i32.shl i32.const #4 i32.sub "             \
	"local.get #0 i32.store #2 #0 i32.const #65536 local.get #0 i32.store #2 #0 "                                                                          \
	"i32.const #512 local.get #0 i32.store 42 01 #0 i32.const #1 memory.grow #1 drop i32.const #65536 local.get #0 i32.store 42 01 #0 "                    \
	"block 40 block 40 block 40 block 40 local.get #0 i32.const #1 i32.shr_u i32.const #3 i32.and br_table #3 #0 #1 #2 #3 end "                            \
	"i32.const #1 ref.func #7 table.set #0 br #2 end i32.const #1 ref.func #7 i32.const #2 table.fill #0 br #1 end "                                       \
	"i32.const #1 i32.const #0 i32.const #1 table.copy #0 #0 br #0 end local.get #0 i32.const #6 i32.and i32.const #6 i32.eq if 40 "                       \
	"i32.const #1 i32.const #0 i32.const #2 table.init #1 #0 end local.get #0 i32.const #8 i32.and if 40 ref.func #7 i32.const #3 table.grow #0 drop end " \
	"local.get #0 i32.const #1 i32.and if 40 data.drop #0 else elem.drop #1 end end ] "
// probe(which)
#define PROBE                                                                                                                                      \
	"[ 00 block 40 block 40 block 40 block 40 block 40 block 40 block 40 block 40 block 40 block 40 block 40 local.get #0 "                        \
	"br_table #10 #0 #1 #2 #3 #4 #5 #6 #7 #8 #9 #10 end memory.size #0 return end call #12 return end global.get #0 return end "                   \
	"i32.const #1 table.get #0 ref.is_null i32.const #0 table.get #0 ref.is_null i32.const #1 i32.shl i32.or return end table.size #0 return end " \
	"memory.size #1 return end call #13 return end "                                                                                               \
	"i32.const #60000 i32.const #0 i32.const #8 memory.init #0 #0 i32.const #60000 i32.load #0 #0 return end "                                     \
	"i32.const #2 i32.const #0 i32.const #2 table.init #1 #0 i32.const #3 table.get #0 ref.is_null return end "                                    \
	"i32.const #65536 i32.load #0 #0 return end i32.const #65536 i32.load 42 01 #0 end ] "
enum probe { P_SIZE, P_SUM, P_GLOBAL, P_TABLE, P_TABLE_SIZE, P_SIZE_1, P_SUM_1, P_DATA, P_ELEM, P_BEHIND, P_BEHIND_1, PROBES };

#define SUBJECT_MODULE                                                                                                                                    \
	MODULE TYPES "[ 07 60 01 7f 01 7f 60 04 7f 7f 7f 7f 01 7f 60 02 7f 7f 01 7f 60 01 7f 00 60 00 00 60 02 7f 7f 00 60 00 01 7f ] " IMPORTS               \
				 "[ 01 'x' 'h' 00 00 ] " FUNCS "[ #13 03 04 01 02 03 03 06 06 05 03 00 06 06 ] " TABLES "[ 01 70 01 04 20 ] " MEMORIES                    \
				 "[ 02 01 01 #64 01 01 04 ] " GLOBALS "[ 02 7f 01 i32.const #5 end 7f 01 i32.const #4096 end ] " EXPORTS                                  \
				 "[ #12 'realloc' 00 03 'echo' 00 04 'post' 00 05 'dtor' 00 06 'go' 00 07 'tail' 00 08 'set' 00 09 'dirty' 00 0a 'probe' 00 0b "          \
				 "'m' 02 00 'sum' 00 0c 'act' 00 01 ] " START "[ 02 ] " ELEMS "[ 02 00 i32.const #0 end 01 07 01 00 02 07 08 ] " DATA_COUNT "01 02 " CODE \
				 "[ #13 " ACT "[ 00 i32.const #0 call #1 end ] " REALLOC ECHO "[ 00 i32.const #5 call #1 end ] [ 00 i32.const #6 call #1 end ] "          \
				 "[ 00 i32.const #1 call #1 i32.const #7 end ] [ 00 i32.const #2 return_call #0 end ] "                                                   \
				 "[ 00 local.get #0 local.get #1 i32.store8 #0 #0 end ] " DIRTY PROBE SUM("#2 #0", "#0") SUM("42 01 #0", "#1") "] " DATA                  \
																															   "[ 02 01 #8 01 02 03 04 05 06 07 08 00 i32.const #1024 end #4 69 6e 69 74 ] "
// make(rep), drop-one(), leak(n): n handles, the last
#define HANDLES_MODULE                                                                                                                             \
	MODULE TYPES "[ 03 60 01 7f 01 7f 60 01 7f 00 60 00 00 ] " IMPORTS "[ 02 'r' 'new' 00 00 'r' 'drop' 00 01 ] " FUNCS "[ 03 00 02 00 ] " EXPORTS \
				 "[ 03 'make' 00 02 'drop-one' 00 03 'leak' 00 04 ] " CODE                                                                         \
				 "[ 03 [ 00 local.get #0 call #0 end ] [ 00 i32.const #9 call #0 call #1 end ] "                                                   \
				 "[ 01 01 7f loop 40 local.get #0 call #0 local.set #1 local.get #0 i32.const #1 i32.sub local.tee #0 br_if #0 end local.get #1 end ] ] "

#define SUBJECT                                                                                                                                                                                                                                                                                                                                                                                                              \
	COMPONENT TYPE "[ 01 40 01 'place' 79 00 79 ] " IMPORT "[ 01 00 'h' 01 00 ] " CANON "[ 01 01 00 00 00 ] " CORE_MODULE "[ " SUBJECT_MODULE "] " CORE_MODULE "[ " HANDLES_MODULE "] " CORE_INSTANCE "[ 02 01 01 'h' 00 00 00 00 01 'x' 12 00 ] " ALIAS "[ 01 00 00 01 01 'dtor' ] " TYPE "[ 01 3f 7f 01 01 ] " CANON "[ 02 02 01 03 01 ] " CORE_INSTANCE "[ 02 01 02 'new' 00 02 'drop' 00 03 00 01 01 'r' 12 02 ] " ALIAS \
				   "[ 0c 00 00 01 01 'realloc' 00 00 01 01 'echo' 00 00 01 01 'post' 00 00 01 01 'go' 00 00 01 01 'tail' 00 00 01 01 'set' "                                                                                                                                                                                                                                                                                 \
				   "00 00 01 01 'dirty' 00 00 01 01 'probe' 00 00 01 03 'make' 00 00 01 03 'drop-one' 00 00 01 03 'leak' 00 02 01 01 'm' ] " EXPORT                                                                                                                                                                                                                                                                          \
				   "[ 01 00 'r' 03 01 00 ] " TYPE                                                                                                                                                                                                                                                                                                                                                                            \
				   "[ 07 69 02 40 01 'rep' 79 00 03 40 00 00 79 40 02 'place' 79 'action' 79 01 00 40 01 's' 73 00 73 40 00 01 00 40 01 'seed' 79 01 00 ] " CANON "[ 09 00 00 09 00 06 00 00 07 00 05 00 00 08 00 05 00 00 05 03 03 00 04 04 05 06 07 00 00 0d 00 08 00 00 0c 00 04 00 00 0e 00 00 "                                                                                                                         \
				   "00 00 0a 00 09 00 00 0b 00 00 ] " EXPORT                                                                                                                                                                                                                                                                                                                                                                 \
				   "[ 09 00 'set' 01 01 00 00 'go' 01 02 00 00 'tail' 01 03 00 00 'echo' 01 04 00 00 'drop-one' 01 05 00 00 'make' 01 06 00 "                                                                                                                                                                                                                                                                                \
				   "00 'leak' 01 07 00 00 'dirty' 01 08 00 00 'probe' 01 09 00 ] "

// A component that passes go, echo and drop-one on, and both in one: a call of the outer one is a call between components.
#define PASSER                                                                                                                                                                                                                                                 \
	COMPONENT TYPE "[ 03 40 00 00 79 40 01 's' 73 00 73 40 00 01 00 ] " IMPORT "[ 03 00 'go' 01 00 00 'echo' 01 01 00 'drop-one' 01 02 ] " CORE_MODULE "[ " MODULE TYPES "[ 01 60 04 7f 7f 7f 7f 01 7f ] " FUNCS "[ 01 00 ] " MEMORIES "[ 01 00 01 ] " GLOBALS \
				   "[ 01 7f 01 i32.const #1024 end ] " EXPORTS "[ 02 'm' 02 00 'realloc' 00 00 ] " CODE                                                                                                                                                        \
				   "[ 01 [ 00 global.get #0 global.get #0 local.get #3 i32.add global.set #0 end ] ] ] " CORE_MODULE "[ " MODULE TYPES "[ 04 60 00 01 7f 60 03 7f 7f 7f 00 60 00 00 60 02 7f 7f 01 7f ] " IMPORTS                                              \
				   "[ 03 'i' 'go' 00 00 'i' 'echo' 00 01 'i' 'drop' 00 02 ] " FUNCS "[ 03 00 03 02 ] " EXPORTS                                                                                                                                                 \
				   "[ 03 'go' 00 03 'echo' 00 04 'drop' 00 05 ] " CODE                                                                                                                                                                                         \
				   "[ 03 [ 00 call #0 end ] [ 00 local.get #0 local.get #1 i32.const #64 call #1 i32.const #64 end ] [ 00 call #2 end ] ] ] " CORE_INSTANCE "[ 01 00 00 00 ] " ALIAS "[ 02 00 02 01 00 'm' 00 00 01 00 'realloc' ] " CANON                     \
				   "[ 03 01 00 00 00 01 00 01 02 03 00 04 00 01 00 02 00 ] " CORE_INSTANCE                                                                                                                                                                     \
				   "[ 02 01 03 'go' 00 01 'echo' 00 02 'drop' 00 03 00 01 01 'i' 12 01 ] " ALIAS                                                                                                                                                               \
				   "[ 03 00 00 01 02 'go' 00 00 01 02 'echo' 00 00 01 02 'drop' ] " CANON                                                                                                                                                                      \
				   "[ 03 00 00 04 00 00 00 00 05 02 03 00 04 00 01 00 00 06 00 02 ] " EXPORT                                                                                                                                                                   \
				   "[ 03 00 'go' 01 03 00 00 'echo' 01 04 00 00 'drop-one' 01 05 00 ] "
#define SUBJECT_BEHIND_ANOTHER                                                                                                                          \
	COMPONENT TYPE "[ 01 40 01 'place' 79 00 79 ] " IMPORT "[ 01 00 'h' 01 00 ] " NESTED "[ " SUBJECT "] " NESTED "[ " PASSER "] " INSTANCE             \
				   "[ 01 00 00 01 'h' 01 00 ] " ALIAS "[ 04 01 00 00 'go' 01 00 00 'echo' 01 00 00 'drop-one' 01 00 00 'set' ] " INSTANCE               \
				   "[ 01 00 01 03 'go' 01 01 'echo' 01 02 'drop-one' 01 03 ] " ALIAS "[ 03 01 00 01 'go' 01 00 01 'echo' 01 00 01 'drop-one' ] " EXPORT \
				   "[ 04 00 'set' 01 04 00 00 'go' 01 05 00 00 'echo' 01 06 00 00 'drop-one' 01 07 00 ] "

// ---- loading and calling ----------------------------------------------------------------------------------------------------------------
struct subject {
	struct buf bytes;
	struct loaded l;
};

// Of s->bytes.
static inline bool subject_load(struct subject *s, struct err *e)
{
	return load_component(&s->l, buf_view(&s->bytes), e);
}

static inline bool subject_try(struct subject *s, const char *text, struct err *e)
{
	*s = (struct subject){0};
	build_text(&s->bytes, text);
	return subject_load(s, e);
}

static inline void subject_release(struct subject *s)
{
	unload_component(&s->l);
	buf_release(&s->bytes);
}

static inline const struct comp_export_func *subject_func(const struct subject *s, const char *name)
{
	const struct comp_export_func *f = canon_find_export(s->l.canon, SLICE_LIT(""), slice_of(name, strlen(name)));
	if (!f)
		fail_msg("no export '%s'", name);
	return f;
}

// One call, also of a fiber. `text`: the string parameter of echo; else args are the words.
struct subject_call {
	const struct subject *s;
	struct canon_instance *i;
	const char *name, *text;
	uint32_t args[2], result;
	struct canon_trap trap;
	bool ok;
};

static inline void subject_run(void *arg)
{
	struct subject_call *c = arg;
	const struct comp_export_func *f = subject_func(c->s, c->name);
	struct arena arena;
	arena_init(&arena, 0);
	c->trap = (struct canon_trap){0};
	if (c->text) {
		struct wit_string in = {(const uint8_t *)c->text, strlen(c->text)}, out = {0};
		c->ok = canon_call_export(c->i, f, NULL, &in, &out, &arena, &c->trap);
		c->result = (uint32_t)out.len;
		if (c->ok && (out.len != in.len || memcmp(in.ptr, out.ptr, in.len) != 0))
			c->result = UINT32_MAX;
	} else {
		c->ok = canon_call_export(c->i, f, NULL, c->args, &c->result, &arena, &c->trap);
	}
	arena_release(&arena);
}

static inline enum trap subject_call(const struct subject *s, struct canon_instance *i, const char *name, uint32_t a, uint32_t b, uint32_t *ret)
{
	struct subject_call c = {.s = s, .i = i, .name = name, .args = {a, b}};
	subject_run(&c);
	if (ret)
		*ret = c.result;
	return c.ok ? TRAP_NONE : c.trap.trap;
}

static inline uint32_t subject_result(const struct subject *s, struct canon_instance *i, const char *name, uint32_t a, uint32_t b)
{
	struct subject_call c = {.s = s, .i = i, .name = name, .args = {a, b}};
	subject_run(&c);
	if (!c.ok)
		fail_msg("%s: %s", name, c.trap.text);
	return c.result;
}

#endif
