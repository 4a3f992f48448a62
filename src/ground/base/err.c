#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool set(struct err *e, enum err_code code, uint64_t offset, uint32_t line, uint32_t col, const char *fmt, va_list args)
{
	if (!e || e->code != ERR_NONE)
		return false;
	*e = (struct err){.code = code, .offset = offset, .line = line, .col = col};
	vsnprintf(e->text, sizeof e->text, fmt, args);
	return false;
}

#define WITH_ARGS(last, ...)  \
	do {                      \
		va_list args;         \
		va_start(args, last); \
		__VA_ARGS__;          \
		va_end(args);         \
	} while (0)

bool err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
	WITH_ARGS(fmt, set(e, code, ERR_NO_OFFSET, 0, 0, fmt, args));
	return false;
}

bool err_set_at(struct err *e, enum err_code code, uint64_t offset, const char *fmt, ...)
{
	WITH_ARGS(fmt, set(e, code, offset, 0, 0, fmt, args));
	return false;
}

bool err_set_errno(struct err *e, int errnum, const char *fmt, ...)
{
	char what[200];
	WITH_ARGS(fmt, vsnprintf(what, sizeof what, fmt, args));
	return err_set(e, ERR_ENV, "%s: %s", what, strerror(errnum));
}

bool err_nomem(struct err *e)
{
	return err_set(e, ERR_NOMEM, "out of memory");
}

bool err_note(struct err *e, const char *fmt, ...)
{
	if (!e)
		return false;
	size_t at = strlen(e->where);
	if (at && at + 3 < sizeof e->where) {
		memcpy(e->where + at, ", ", 3);
		at += 2;
	}
	WITH_ARGS(fmt, vsnprintf(e->where + at, sizeof e->where - at, fmt, args));
	return false;
}

bool err_hint(struct err *e, const char *fmt, ...)
{
	if (e && !e->hint[0])
		WITH_ARGS(fmt, vsnprintf(e->hint, sizeof e->hint, fmt, args));
	return false;
}

// The texts are not wiped: callers on a request's way clear one each time.
void err_clear(struct err *e)
{
	e->code = ERR_NONE;
	e->offset = ERR_NO_OFFSET;
	e->line = e->col = 0;
	e->text[0] = e->where[0] = e->hint[0] = 0;
}

static const struct {
	const char *name;
	int exit;
} codes[] = {
#define ERROR(name, exit, text) {text, exit},
#include "errors.def"
#undef ERROR
};

int err_exit_status(enum err_code code)
{
	return codes[code].exit;
}

const char *err_code_name(enum err_code code)
{
	return codes[code].name;
}
