// JSON (RFC 8259) that others wrote: read strictly, whole, into an arena, which bounds its memory.
#ifndef TENON_BASE_JSON_H
#define TENON_BASE_JSON_H

#include "arena.h"
#include "buf.h"
#include "err.h"
#include "slice.h"

enum json_kind { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
	enum json_kind kind;
	struct slice name;   // of a member, decoded
	struct slice text;   // of a string, decoded; of a number, as it is written
	struct json *first;  // of an array or object
	struct json *next;   // of the same array or object
	uint32_t n;          // elements or members
};

// UTF-8 alone, no name twice in an object, at most 32 deep. Errors: MALFORMED with the offset, NOMEM.
NODISCARD bool json_parse(struct arena *a, struct slice text, struct json **ret, struct err *e);
// NULL: `o` is no object (or NULL), or has none of that name.
const struct json *json_member(const struct json *o, const char *name);
// The string of that name; empty where there is none.
struct slice json_text(const struct json *o, const char *name);
bool json_is_true(const struct json *o, const char *name);
// The whole number of that name, from 0 on; `otherwise` where there is none.
uint64_t json_number(const struct json *o, const char *name, uint64_t otherwise);
// As JSON again, on one line.
void json_put(struct buf *b, const struct json *v);

#endif
