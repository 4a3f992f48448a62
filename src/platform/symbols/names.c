// Names that a component gives its modules. Whatever is wrong with a section of names only means that there are no names from there on.
#include "symbols_int.h"

// Subsection 1 of `component-name` is {sort, map of names}; the sort of core modules is 0x00 0x11.
static struct slice find_module_name(struct wasm_reader r, uint32_t index)
{
	uint8_t id;
	struct wasm_reader in;
	while (wasm_reader_section(&r, &id, &in)) {
		uint32_t n, at;
		struct slice name;
		if (id != 1 || in.end - in.p < 2 || in.p[0] != 0x00 || in.p[1] != 0x11)
			continue;
		in.p += 2;
		if (!wasm_reader_u32(&in, &n))
			continue;
		while (n-- && wasm_reader_u32(&in, &at) && wasm_reader_name(&in, &name))
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
	while (wasm_reader_section(&r, &id, &in)) {
		struct slice name;
		if (id == 1) {
			index = in.p == module ? n : index;
			n++;
		} else if (id == 4 && module >= in.p && module < in.end) {
			return in.end - in.p >= 8 && walk(in, module, ret);
		} else if (id == 0 && wasm_reader_name(&in, &name) && slice_eq_str(name, "component-name")) {
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
