// Names of functions and modules. Whatever is wrong with a section of names only means that there are no names from there on.
#include "symbols_int.h"

enum { MARK_EVERY = 64 };

// Where in the section each 64th name stands.
struct symbols__mark {
	uint32_t func, at;
};

static bool read_name(struct wasm_reader *r, struct slice *ret)
{
	return wasm_reader_bytes(r, ret) && utf8_is_valid(*ret);
}

static bool read_subsection(struct wasm_reader *r, uint8_t *ret_id, struct wasm_reader *ret)
{
	struct slice s;
	if (r->p == r->end)
		return false;
	*ret_id = *r->p++;
	if (!wasm_reader_bytes(r, &s))
		return false;
	*ret = (struct wasm_reader){s.ptr, s.ptr + s.len};
	return true;
}

// ---- functions -------------------------------------------------------------------------------------------------------------------------

// Indices ascend (appendix "Name Section" of the specification); what doesn't is no map of names.
static void index_functions(struct symbols__names *n, struct wasm_reader r)
{
	VEC(struct symbols__mark)
	marks = {0};
	const uint8_t *start = r.p;
	uint32_t count, func, previous = 0;
	struct slice name;
	if (!wasm_reader_u32(&r, &count))
		return;
	for (uint32_t i = 0; i < count; i++) {
		struct symbols__mark mark = {.at = (uint32_t)(r.p - start)};
		if (!wasm_reader_u32(&r, &func) || !read_name(&r, &name) || (i && func <= previous))
			break;
		mark.func = previous = func;
		if (i % MARK_EVERY == 0 && !VEC_PUSH(NULL, &marks, mark, UINT32_MAX))
			break;
		n->section = slice_of(start, (size_t)(r.p - start));  // what was seen to be sound
	}
	n->marks = marks.ptr;
	n->n = marks.len;
}

void symbols__names_make(struct symbols__names *n, const struct wasm_module *m)
{
	n->made = true;
	if (!m->name_section.len)
		return;
	struct slice s = slice_sub(m->name_section, 0, SYMBOLS__NAMES_MAX);
	struct wasm_reader r = {s.ptr, s.ptr + s.len}, in;
	uint8_t id;
	while (read_subsection(&r, &id, &in)) {
		if (id == 0 && !n->module.len && !read_name(&in, &n->module))
			n->module = slice_of(NULL, 0);
		else if (id == 1 && !n->marks)
			index_functions(n, in);
	}
}

void symbols__names_release(struct symbols__names *n)
{
	mem_free(n->marks);
}

struct slice symbols__names_find(const struct symbols__names *n, uint32_t func)
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

// ---- modules ---------------------------------------------------------------------------------------------------------------------------

// Subsection 1 of `component-name` is {sort, map of names}; the sort of core modules is 0x00 0x11.
static struct slice find_module_name(struct wasm_reader r, uint32_t index)
{
	uint8_t id;
	struct wasm_reader in;
	while (read_subsection(&r, &id, &in)) {
		uint32_t n, at;
		struct slice name;
		if (id != 1 || in.end - in.p < 2 || in.p[0] != 0x00 || in.p[1] != 0x11)
			continue;
		in.p += 2;
		if (!wasm_reader_u32(&in, &n))
			continue;
		while (n-- && wasm_reader_u32(&in, &at) && read_name(&in, &name))
			if (at == index)
				return name;
	}
	return slice_of(NULL, 0);
}

// The sections of one component definition: which of its core modules that is, and the names that it gives. Modules that it doesn't define but takes from
// elsewhere would be counted too, so where there is such a section its names are not taken.
static bool walk(struct wasm_reader r, const uint8_t *module, struct slice *ret)
{
	uint32_t n = 0, index = UINT32_MAX;
	bool may_have_others = false;
	struct wasm_reader in, names = {0};
	uint8_t id;
	r.p += 8;
	while (read_subsection(&r, &id, &in)) {
		struct slice name;
		if (id == 1) {
			index = in.p == module ? n : index;
			n++;
		} else if (id == 4 && module >= in.p && module < in.end) {
			return in.end - in.p >= 8 && walk(in, module, ret);
		} else if (id == 0 && read_name(&in, &name) && slice_eq_str(name, "component-name")) {
			names = in;
		} else if (id == 6) {
			may_have_others |= in.end - in.p > 2 && in.p[1] == 0x00 && in.p[2] == 0x11;
		}
	}
	if (index == UINT32_MAX || may_have_others || !names.p)
		return false;
	*ret = find_module_name(names, index);
	return true;
}

struct slice symbols__module_name(struct slice component, const uint8_t *module)
{
	struct slice name = {0};
	if (component.len < 8 || !wasm_is_component(component))
		return name;
	bool found = walk((struct wasm_reader){component.ptr, component.ptr + component.len}, module, &name);
	return found ? name : slice_of(NULL, 0);
}
