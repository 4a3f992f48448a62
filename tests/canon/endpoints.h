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
	// Of endpoints_load with a host: give: func() -> stream<u8>, take: func(stream<u8>), promise: func() -> future<string>, hear: func(future<string>); and what
	// there is for futures of strings.
	GIVE,
	TAKE,
	PROMISE,
	HEAR,
	TEXT_READ,
	TEXT_DROP,
	TEXT_NEW,
	TEXT_WRITE,
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
};

// realloc gives what lies from 32768 on.
#define ENDPOINT_MODULE                                                                                                  \
	MODULE TYPES "[ 02 60 01 7f 01 7f 60 04 7f 7f 7f 7f 01 7f ] " FUNCS "[ 02 00 01 ] " MEMORIES "[ 01 00 01 ] " EXPORTS \
				 "[ 03 'm' 02 00 'load' 00 00 'realloc' 00 01 ] " CODE "[ 02 [ 00 local.get #0 i32.load #2 #0 end ] [ 00 i32.const #32768 end ] ] "
#define ENDPOINT_TYPES                                                                                                                \
	"66 01 7d 65 01 7d 40 00 00 77 40 03 'a' 79 'b' 79 'c' 79 00 79 40 02 'a' 79 'b' 79 00 79 40 01 'a' 79 00 79 40 01 'a' 79 01 00 " \
	"40 02 'a' 79 'b' 79 01 00 40 00 00 79 "
#define ENDPOINT_HOST                                                                                                             \
	"65 01 73 40 00 00 00 40 01 's' 00 01 00 40 00 00 09 40 01 'f' 09 01 00 ] " IMPORT "[ 04 00 'give' 01 0a 00 'take' 01 0b 00 " \
	"'promise' 01 0c 00 'hear' 01 0d ] "

static inline void endpoints_load(struct subject *s, bool has_host)
{
	struct buf text = {0};
	struct err e = {0};
	unsigned n = has_host ? ENDPOINTS : LOAD + 1, imports = has_host ? 4 : 0;
	buf_printf(&text, COMPONENT TYPE "[ #%u " ENDPOINT_TYPES "%s", has_host ? 14 : 9, has_host ? ENDPOINT_HOST : "] ");
	buf_put_str(&text, CORE_MODULE "[ " ENDPOINT_MODULE "] " CORE_INSTANCE "[ 01 00 00 00 ] " ALIAS "[ 03 00 02 01 00 'm' 00 00 01 00 'load' 00 00 01 00 'realloc' ] " CANON "[ ");
	buf_printf(&text, "#%u ", 2 * n - 1);
	for (unsigned k = 0; k < n; k++)
		if (k != LOAD)
			buf_printf(&text, "%s ", endpoint_rows[k].canon);
	for (unsigned k = 0; k < n; k++)  // core functions: load, realloc, and these, in their order
		buf_printf(&text, "00 00 #%u 00 #%u ", k == LOAD ? 0 : k < LOAD ? k + 2
																		: k + 1,
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
