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
};

// realloc gives what lies from 32768 on.
#define ENDPOINT_MODULE                                                                                                                                         \
	MODULE TYPES "[ 03 60 01 7f 01 7f 60 04 7f 7f 7f 7f 01 7f 60 02 7f 7f 00 ] " FUNCS "[ 03 00 01 02 ] " MEMORIES "[ 01 00 01 ] " EXPORTS                      \
				 "[ 04 'm' 02 00 'load' 00 00 'realloc' 00 01 'store' 00 02 ] " CODE "[ 03 [ 00 local.get #0 i32.load #2 #0 end ] [ 00 i32.const #32768 end ] " \
				 "[ 00 local.get #0 local.get #1 i32.store #2 #0 end ] ] "
#define ENDPOINT_TYPES                                                                                                                \
	"66 01 7d 65 01 7d 40 00 00 77 40 03 'a' 79 'b' 79 'c' 79 00 79 40 02 'a' 79 'b' 79 00 79 40 01 'a' 79 00 79 40 01 'a' 79 01 00 " \
	"40 02 'a' 79 'b' 79 01 00 40 00 00 79 "
#define ENDPOINT_HOST                                                                                                                                                                     \
	"65 01 73 40 00 00 00 40 01 's' 00 01 00 40 00 00 09 40 01 'f' 09 01 00 43 01 'a' 79 01 00 66 01 73 40 00 00 0f 40 01 's' 0f 01 00 66 01 00 40 00 00 12 40 01 's' 12 01 00 ] " IMPORT \
	"[ 09 00 'give' 01 0a 00 'take' 01 0b 00 'promise' 01 0c 00 'hear' 01 0d 00 'nap' 01 0e 00 'give-texts' 01 10 00 'take-texts' 01 11 00 'give-nest' 01 13 00 'take-nest' 01 14 ] "

static inline void endpoints_load(struct subject *s, bool has_host)
{
	struct buf text = {0};
	struct err e = {0};
	unsigned n = has_host ? ENDPOINTS : LOAD + 1, imports = has_host ? 9 : 0, builtins = 0, next = 3;
	for (unsigned k = 0; k < n; k++)
		builtins += endpoint_rows[k].canon != NULL;
	buf_printf(&text, COMPONENT TYPE "[ #%u " ENDPOINT_TYPES "%s", has_host ? 21 : 9, has_host ? ENDPOINT_HOST : "] ");
	buf_put_str(&text, CORE_MODULE "[ " ENDPOINT_MODULE "] " CORE_INSTANCE "[ 01 00 00 00 ] " ALIAS "[ 04 00 02 01 00 'm' 00 00 01 00 'load' 00 00 01 00 'realloc' "
								   "00 00 01 00 'store' ] " CANON "[ ");
	buf_printf(&text, "#%u ", builtins + n);
	for (unsigned k = 0; k < n; k++)
		if (endpoint_rows[k].canon)
			buf_printf(&text, "%s ", endpoint_rows[k].canon);
	for (unsigned k = 0; k < n; k++)  // core functions: load, realloc, store, and these, in their order
		buf_printf(&text, "00 00 #%u 00 #%u ", k == LOAD ? 0 : k == STORE ? 2
																		  : next++,
			endpoint_rows[k].type);
	buf_printf(&text, "] " EXPORT "[ #%u ", n);
	for (unsigned k = 0; k < n; k++)
		buf_printf(&text, "00 '%s' 01 #%u 00 ", endpoint_rows[k].name, k + imports);
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
