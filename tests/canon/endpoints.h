// A component whose exports are the built-ins of streams, futures and waitable sets themselves: a test is the guest.
#ifndef TESTS_CANON_ENDPOINTS_H
#define TESTS_CANON_ENDPOINTS_H

#include "subject.h"

// ORDER endpoint_rows
enum endpoint {
	STREAM_NEW,
	STREAM_READ,
	STREAM_WRITE,
	STREAM_CANCEL_READ,
	STREAM_CANCEL_WRITE,
	STREAM_DROP_READABLE,
	STREAM_DROP_WRITABLE,
	FUTURE_NEW,
	FUTURE_READ,
	FUTURE_WRITE,
	FUTURE_CANCEL_READ,
	FUTURE_CANCEL_WRITE,
	FUTURE_DROP_READABLE,
	FUTURE_DROP_WRITABLE,
	SET_NEW,
	SET_POLL,
	SET_DROP,
	JOIN,
	LOAD,
	// Of endpoints_load with a host: give: func() -> stream<u8>, take: func(stream<u8>), promise: func() -> future<string>, hear: func(future<string>), nap: async
	// func(u32), which is lowered async, give-texts: func() -> stream<string>, take-texts: func(stream<string>), give-nest and take-nest of
	// stream<stream<u8>>; and what there is for futures and streams of strings, for such streams, and for subtasks.
	GIVE,
	TAKE,
	PROMISE,
	HEAR,
	TEXT_READ,
	TEXT_DROP,
	TEXT_NEW,
	TEXT_WRITE,
	TEXT_CANCEL_READ,
	TEXT_CANCEL_WRITE,
	TEXT_DROP_WRITABLE,
	NAP,
	SUB_CANCEL,
	SUB_DROP,
	GIVE_TEXTS,
	TAKE_TEXTS,
	TEXTS_NEW,
	TEXTS_READ,
	TEXTS_WRITE,
	TEXTS_CANCEL_READ,
	TEXTS_CANCEL_WRITE,
	TEXTS_DROP_READABLE,
	TEXTS_DROP_WRITABLE,
	GIVE_NEST,
	TAKE_NEST,
	NEST_NEW,
	NEST_READ,
	NEST_WRITE,
	NEST_CANCEL_READ,
	NEST_CANCEL_WRITE,
	NEST_DROP_READABLE,
	NEST_DROP_WRITABLE,
	STORE,
	WITH_HOST_ENDPOINTS,
	// Of ENDPOINTS_OF_HANDLES also: h, a resource of the host's, and r, one of the component's own. give-hands: func() -> stream<own<h>>, take-hands,
	// give-hand: func() -> future<own<h>>, take-hand, give-one: func() -> own<h>, take-one, lend: async func(borrow<h>), which is lowered async, who:
	// func(borrow<h>) -> u32. What of r passes goes by functions that return what they get: keep-… a native value's handle, hand-… a handle's native value;
	// see-r a borrow's representation.
	GIVE_HANDS = WITH_HOST_ENDPOINTS,
	TAKE_HANDS,
	GIVE_HAND,
	TAKE_HAND,
	GIVE_ONE,
	TAKE_ONE,
	LEND,
	WHO,
	HANDS_NEW,
	HANDS_READ,
	HANDS_WRITE,
	HANDS_CANCEL_READ,
	HANDS_CANCEL_WRITE,
	HANDS_DROP_READABLE,
	HANDS_DROP_WRITABLE,
	HAND_NEW,
	HAND_READ,
	HAND_WRITE,
	HAND_CANCEL_READ,
	HAND_CANCEL_WRITE,
	HAND_DROP_READABLE,
	HAND_DROP_WRITABLE,
	OWNS_NEW,
	OWNS_READ,
	OWNS_WRITE,
	OWNS_CANCEL_READ,
	OWNS_CANCEL_WRITE,
	OWNS_DROP_READABLE,
	OWNS_DROP_WRITABLE,
	H_DROP,
	R_NEW,
	R_DROP,
	R_REP,
	KEEP_OWNS,
	HAND_OWNS,
	KEEP_R,
	HAND_R,
	SEE_R,
	ENDPOINTS
};

// Type 0 is stream<u8>, 1 future<u8>. `canon` of each, and the number of its function type below.
static const struct endpoint_row {
	const char *name, *canon;
	unsigned type;
} endpoint_rows[] = {
	{"stream-new", "0e 00", 2},
	{"stream-read", "0f 00 02 06 03 00", 3},
	{"stream-write", "10 00 02 06 03 00", 3},
	{"stream-cancel-read", "11 00 01", 5},
	{"stream-cancel-write", "12 00 01", 5},
	{"stream-drop-readable", "13 00", 6},
	{"stream-drop-writable", "14 00", 6},
	{"future-new", "15 01", 2},
	{"future-read", "16 01 02 06 03 00", 4},
	{"future-write", "17 01 02 06 03 00", 4},
	{"future-cancel-read", "18 01 01", 5},
	{"future-cancel-write", "19 01 01", 5},
	{"future-drop-readable", "1a 01", 6},
	{"future-drop-writable", "1b 01", 6},
	{"set-new", "1f", 8},
	{"set-poll", "21 00 00", 4},
	{"set-drop", "22", 6},
	{"join", "23", 7},
	{"load", NULL, 5},
	{"give", "01 00 00 00", 8},
	{"take", "01 00 01 00", 6},
	{"promise", "01 00 02 00", 8},
	{"hear", "01 00 03 00", 6},
	{"text-read", "16 09 03 06 03 00 04 01", 4},
	{"text-drop", "1a 09", 6},
	{"text-new", "15 09", 2},
	{"text-write", "17 09 02 06 03 00", 4},
	{"text-cancel-read", "18 09 01", 5},
	{"text-cancel-write", "19 09 01", 5},
	{"text-drop-writable", "1b 09", 6},
	{"nap", "01 00 04 02 06 03 00", 5},
	{"sub-cancel", "06 00", 5},
	{"sub-drop", "0d", 6},
	{"give-texts", "01 00 05 00", 8},
	{"take-texts", "01 00 06 00", 6},
	{"texts-new", "0e 0f", 2},
	{"texts-read", "0f 0f 03 06 03 00 04 01", 3},
	{"texts-write", "10 0f 02 06 03 00", 3},
	{"texts-cancel-read", "11 0f 01", 5},
	{"texts-cancel-write", "12 0f 01", 5},
	{"texts-drop-readable", "13 0f", 6},
	{"texts-drop-writable", "14 0f", 6},
	{"give-nest", "01 00 07 00", 8},
	{"take-nest", "01 00 08 00", 6},
	{"nest-new", "0e 12", 2},
	{"nest-read", "0f 12 02 06 03 00", 3},
	{"nest-write", "10 12 02 06 03 00", 3},
	{"nest-cancel-read", "11 12 01", 5},
	{"nest-cancel-write", "12 12 01", 5},
	{"nest-drop-readable", "13 12", 6},
	{"nest-drop-writable", "14 12", 6},
	{"store", NULL, 7},
	{"give-hands", "01 00 09 00", 8},
	{"take-hands", "01 00 0a 00", 6},
	{"give-hand", "01 00 0b 00", 8},
	{"take-hand", "01 00 0c 00", 6},
	{"give-one", "01 00 0d 00", 8},
	{"take-one", "01 00 0e 00", 6},
	{"lend", "01 00 0f 02 06 03 00", 5},
	{"who", "01 00 10 00", 5},
	{"hands-new", "0e 18", 2},
	{"hands-read", "0f 18 02 06 03 00", 3},
	{"hands-write", "10 18 02 06 03 00", 3},
	{"hands-cancel-read", "11 18 01", 5},
	{"hands-cancel-write", "12 18 01", 5},
	{"hands-drop-readable", "13 18", 6},
	{"hands-drop-writable", "14 18", 6},
	{"hand-new", "15 19", 2},
	{"hand-read", "16 19 02 06 03 00", 4},
	{"hand-write", "17 19 02 06 03 00", 4},
	{"hand-cancel-read", "18 19 01", 5},
	{"hand-cancel-write", "19 19 01", 5},
	{"hand-drop-readable", "1a 19", 6},
	{"hand-drop-writable", "1b 19", 6},
	{"owns-new", "0e 26", 2},
	{"owns-read", "0f 26 02 06 03 00", 3},
	{"owns-write", "10 26 02 06 03 00", 3},
	{"owns-cancel-read", "11 26 01", 5},
	{"owns-cancel-write", "12 26 01", 5},
	{"owns-drop-readable", "13 26", 6},
	{"owns-drop-writable", "14 26", 6},
	{"h-drop", "03 15", 6},
	{"r-new", "02 22", 5},
	{"r-drop", "03 22", 6},
	{"r-rep", "04 22", 5},
	{"keep-owns", NULL, 0x27},
	{"hand-owns", NULL, 0x28},
	{"keep-r", NULL, 0x29},
	{"hand-r", NULL, 0x2a},
	{"see-r", NULL, 0x2b},
};

// realloc gives what lies from 32768 on.
#define ENDPOINT_MODULE                                                                                                                          \
	MODULE TYPES "[ 03 60 01 7f 01 7f 60 04 7f 7f 7f 7f 01 7f 60 02 7f 7f 00 ] " FUNCS "[ 04 00 01 02 00 ] " MEMORIES "[ 01 00 01 ] " EXPORTS    \
				 "[ 05 'm' 02 00 'load' 00 00 'realloc' 00 01 'store' 00 02 'same' 00 03 ] " CODE                                                \
				 "[ 04 [ 00 local.get #0 i32.load #2 #0 end ] [ 00 i32.const #32768 end ] [ 00 local.get #0 local.get #1 i32.store #2 #0 end ] " \
				 "[ 00 local.get #0 end ] ] "
#define ENDPOINT_TYPES                                                                                                                \
	"66 01 7d 65 01 7d 40 00 00 77 40 03 'a' 79 'b' 79 'c' 79 00 79 40 02 'a' 79 'b' 79 00 79 40 01 'a' 79 00 79 40 01 'a' 79 01 00 " \
	"40 02 'a' 79 'b' 79 01 00 40 00 00 79 "
#define ENDPOINT_HOST                                                                                                                                                                     \
	"65 01 73 40 00 00 00 40 01 's' 00 01 00 40 00 00 09 40 01 'f' 09 01 00 43 01 'a' 79 01 00 66 01 73 40 00 00 0f 40 01 's' 0f 01 00 66 01 00 40 00 00 12 40 01 's' 12 01 00 ] " IMPORT \
	"[ 09 00 'give' 01 0a 00 'take' 01 0b 00 'promise' 01 0c 00 'hear' 01 0d 00 'nap' 01 0e 00 'give-texts' 01 10 00 'take-texts' 01 11 00 'give-nest' 01 13 00 'take-nest' 01 14 ] "

// Types: 15 h, 16 own<h>, 17 borrow<h>, 18 stream<own<h>>, 19 future<own<h>>, their functions, 22 r, 23 r as it is exported, 24 own<r>, 25 borrow<r>,
// 26 stream<own<r>>, theirs.
#define ENDPOINT_HANDLES                                                                                                                                                      \
	IMPORT "[ 01 00 'h' 03 01 ] " TYPE "[ #12 69 15 68 15 66 01 16 65 01 16 40 00 00 18 40 01 's' 18 01 00 40 00 00 19 40 01 'f' 19 01 00 40 00 00 16 "                       \
		   "40 01 'a' 16 01 00 43 01 'a' 17 01 00 40 01 'a' 17 00 79 ] " IMPORT "[ 08 00 'give-hands' 01 1a 00 'take-hands' 01 1b 00 'give-hand' 01 1c 00 'take-hand' 01 1d " \
		   "00 'give-one' 01 1e 00 'take-one' 01 1f 00 'lend' 01 20 00 'who' 01 21 ] " TYPE "[ 01 3f 7f 00 ] " EXPORT "[ 01 00 'r' 03 22 00 ] " TYPE "[ #8 69 23 68 23 "      \
		   "66 01 24 40 01 's' 26 00 79 40 01 'a' 79 00 26 40 01 'a' 24 00 79 40 01 'a' 79 00 24 40 01 'a' 25 00 79 ] "

enum endpoint_set { ENDPOINTS_ALONE, ENDPOINTS_WITH_HOST, ENDPOINTS_OF_HANDLES };

// Core functions: load, realloc, store, same, and the built-ins in their order.
static inline unsigned endpoint_core_func(unsigned k, unsigned *next)
{
	if (endpoint_rows[k].canon)
		return (*next)++;
	return k == LOAD ? 0 : k == STORE ? 2
									  : 3;
}

static inline void endpoints_load(struct subject *s, enum endpoint_set set)
{
	static const struct {
		unsigned n, imports, types;
		const char *more, *handles;
	} sets[] = {{LOAD + 1, 0, 9, "] ", ""}, {WITH_HOST_ENDPOINTS, 9, 21, ENDPOINT_HOST, ""}, {ENDPOINTS, 17, 21, ENDPOINT_HOST, ENDPOINT_HANDLES}};
	struct buf text = {0};
	struct err e = {0};
	unsigned n = sets[set].n, builtins = 0, next = 4;
	for (unsigned k = 0; k < n; k++)
		builtins += endpoint_rows[k].canon != NULL;
	buf_printf(&text, COMPONENT TYPE "[ #%u " ENDPOINT_TYPES "%s%s", sets[set].types, sets[set].more, sets[set].handles);
	buf_put_str(&text, CORE_MODULE "[ " ENDPOINT_MODULE "] " CORE_INSTANCE "[ 01 00 00 00 ] " ALIAS "[ 05 00 02 01 00 'm' 00 00 01 00 'load' 00 00 01 00 'realloc' "
								   "00 00 01 00 'store' 00 00 01 00 'same' ] " CANON "[ ");
	buf_printf(&text, "#%u ", builtins + n);
	for (unsigned k = 0; k < n; k++)
		if (endpoint_rows[k].canon)
			buf_printf(&text, "%s ", endpoint_rows[k].canon);
	for (unsigned k = 0; k < n; k++)
		buf_printf(&text, "00 00 #%u 00 #%u ", endpoint_core_func(k, &next), endpoint_rows[k].type);
	buf_printf(&text, "] " EXPORT "[ #%u ", n);
	for (unsigned k = 0; k < n; k++)
		buf_printf(&text, "00 '%s' 01 #%u 00 ", endpoint_rows[k].name, k + sets[set].imports);
	buf_put_str(&text, "] ");
	buf_put_byte(&text, 0);
	if (!subject_try(s, (const char *)text.ptr, &e))
		fail_msg("%s at 0x%llx", e.text, (unsigned long long)e.offset);
	buf_release(&text);
}

// One call. TRAP_NONE: *ret is the result.
static inline enum trap endpoint_call(const struct subject *s, struct canon_instance *i, enum endpoint op, uint32_t a, uint32_t b, uint32_t c, uint64_t *ret,
	struct canon_trap *trap)
{
	static const struct comp_export_func *funcs[ENDPOINTS];
	static const struct subject *of;
	if (of != s)
		memset(funcs, 0, sizeof funcs);
	of = s;
	if (!funcs[op])
		funcs[op] = subject_func(s, endpoint_rows[op].name);
	uint32_t args[3] = {a, b, c};
	*ret = 0;
	return canon_call_export(i, funcs[op], NULL, args, ret, NULL, trap) ? TRAP_NONE : trap->trap;
}

#endif
