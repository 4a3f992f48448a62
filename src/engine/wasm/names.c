// What functions are called: the section "name".
#include "wasm_int.h"

#include <stdio.h>

// Subsection 1 of the section `name`: function index → name. Whatever is wrong with it means only that there is no name.
static bool find_func_name(const struct wasm_module *m, uint32_t func, struct slice *ret)
{
	struct wasm__cursor c = {m->name_section.ptr, m->name_section.ptr + m->name_section.len, m->bytes.ptr, 0, NULL};
	while (c.p != c.end) {
		uint8_t id;
		uint32_t size, n, index;
		if (!wasm__byte(&c, &id) || !wasm__u32(&c, &size) || size > (size_t)(c.end - c.p))
			return false;
		if (id != 1) {
			c.p += size;
			continue;
		}
		c.end = c.p + size;
		if (!wasm__u32(&c, &n))
			return false;
		for (; n; n--) {
			if (!wasm__u32(&c, &index) || !wasm__name(&c, ret))
				return false;
			if (index == func)
				return true;
		}
		return false;
	}
	return false;
}

void wasm_module_func_name(const struct wasm_module *m, uint32_t func, char *buf, size_t size)
{
	struct slice name;
	if (m->name_section.len && find_func_name(m, func, &name) && name.len)
		snprintf(buf, size, "%.*s", (int)min_u64(name.len, 1024), (const char *)name.ptr);
	else
		snprintf(buf, size, "func[%u]", func);
}
