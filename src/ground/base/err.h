// struct err: the failure of a caller's request. A fixed-size value on the caller's stack; nothing allocates on the way out.
// The first error wins: err_set on one that is set already does nothing.
#ifndef TENON_BASE_ERR_H
#define TENON_BASE_ERR_H

#include "util.h"

enum err_code {
#define ERROR(name, exit, text) ERR_##name,
#include "errors.def"
#undef ERROR
};

#define ERR_NO_OFFSET UINT64_MAX

struct err {
	enum err_code code;
	uint64_t offset;     // byte offset in the input, or ERR_NO_OFFSET
	uint32_t line, col;  // from 1; 0: none
	char text[320];      // what went wrong, one line
	char where[320];     // context added on the way up, innermost first: "module 'x', in component 'y'"
	char hint[1024];     // what to do; may be empty
};

// All return false, so that `return err_set(...)` is the usual way out. `e` may be NULL (the caller only wants to know whether).
bool err_set(struct err *e, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool err_set_at(struct err *e, enum err_code code, uint64_t offset, const char *fmt, ...) PRINTF_LIKE(4, 5);
// From errno.
bool err_set_errno(struct err *e, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool err_nomem(struct err *e);
// Adds context / a hint.
bool err_note(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool err_hint(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
void err_clear(struct err *e);
// Exit status of the code (errors.def).
int err_exit_status(enum err_code code);
const char *err_code_name(enum err_code code);

#endif
