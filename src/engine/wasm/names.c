// What functions and modules are called: the section "name", through an index. Whatever is wrong with it only means that there are no names from there on.
#include "wasm_int.h"

#include <stdio.h>

enum { MARK_EVERY = 64 };
#define NAMES_MAX ((size_t)64 << 20)  // bytes of the section that are looked at

// Where in the section each 64th name stands.
struct wasm_name_mark {
	uint32_t func, at;
};

// Indices ascend (appendix "Name Section" of the specification); what doesn't is no map of names.
static void index_functions(struct wasm_names *n, struct wasm_reader r)
{
	VEC(struct wasm_name_mark)
	marks = {0};
	const uint8_t *start = r.p;
	uint32_t count, func, previous = 0;
	struct slice name;
	if (!wasm_reader_u32(&r, &count))
		return;
	for (uint32_t i = 0; i < count; i++) {
		struct wasm_name_mark mark = {.at = (uint32_t)(r.p - start)};
		if (!wasm_reader_u32(&r, &func) || !wasm_reader_name(&r, &name) || (i && func <= previous))
			break;
		mark.func = previous = func;
		if (i % MARK_EVERY == 0 && !VEC_PUSH(NULL, &marks, mark, UINT32_MAX))
			break;
		n->section = slice_of(start, (size_t)(r.p - start));  // what was seen to be sound
	}
	n->marks = marks.ptr;
	n->n = marks.len;
}

void wasm_names_make(struct wasm_names *n, const struct wasm_module *m)
{
	*n = (struct wasm_names){0};
	if (!m->name_section.len)
		return;
	struct slice s = slice_sub(m->name_section, 0, NAMES_MAX);
	struct wasm_reader r = {s.ptr, s.ptr + s.len}, in;
	uint8_t id;
	while (wasm_reader_section(&r, &id, &in)) {
		if (id == 0 && !n->module.len && !wasm_reader_name(&in, &n->module))
			n->module = slice_of(NULL, 0);
		else if (id == 1 && !n->marks)
			index_functions(n, in);
	}
}

void wasm_names_release(struct wasm_names *n)
{
	mem_free(n->marks);
}

struct slice wasm_names_find(const struct wasm_names *n, uint32_t func)
{
	uint32_t low = 0, high = n->n;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (n->marks[mid].func <= func)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0)
		return slice_of(NULL, 0);
	struct wasm_reader r = {n->section.ptr + n->marks[low - 1].at, n->section.ptr + n->section.len};
	uint32_t at;
	struct slice name;
	// All of them were sound when the index was made: they are passed by whatever their length is, since a trap's place costs its guest nothing.
	while (wasm_reader_u32(&r, &at) && wasm_reader_bytes(&r, &name) && at <= func)
		if (at == func)
			return name;
	return slice_of(NULL, 0);
}

void wasm_names_put(const struct wasm_names *n, uint32_t func, char *buf, size_t size)
{
	struct slice name = wasm_names_find(n, func);
	if (name.len)
		snprintf(buf, size, "%.*s", (int)min_u64(name.len, 1024), (const char *)name.ptr);
	else
		snprintf(buf, size, "func[%u]", func);
}
