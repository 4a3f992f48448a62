// Names of functions: what compilers write is made readable, and a module's section of names is read through an index: it gives for each function what a plain
// walk from the beginning gives.
//
// PROGRAM(fuzz_names, "symbols", "")
#include "symbols/symbols_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_name(const uint8_t *in, size_t n)
{
	struct buf out = {.max = 2 * DEMANGLE_MAX}, again = {.max = 2 * DEMANGLE_MAX};
	uint8_t *copy = mem_alloc(n + !n);  // exact, so that a sanitizer sees an overrun
	memcpy(copy, in, n);
	demangle(&out, slice_of(copy, n));
	demangle(&again, slice_of(copy, n));
	BUG_ON(out.failed || out.len > DEMANGLE_MAX || (n && !out.len) || !slice_eq(buf_view(&out), buf_view(&again)));
	buf_release(&out);
	buf_release(&again);
	mem_free(copy);
}

// The first list of functions that has any, as far as it is sound and ascends. Empty: it has no such function.
static struct slice find_plainly(struct slice section, uint32_t func)
{
	struct wasm_reader r = {section.ptr, section.ptr + section.len}, in;
	struct slice s, name;
	uint32_t count, at, previous = 0;
	while (r.p < r.end) {
		uint8_t id = *r.p++;
		if (!wasm_reader_bytes(&r, &s))
			break;
		in = (struct wasm_reader){s.ptr, s.ptr + s.len};
		if (id != 1 || !wasm_reader_u32(&in, &count) || count == 0)
			continue;
		uint32_t i = 0;
		for (; i < count && wasm_reader_u32(&in, &at) && wasm_reader_bytes(&in, &name) && utf8_is_valid(name) && (i == 0 || at > previous); i++) {
			if (at == func)
				return name;
			previous = at;
		}
		if (i)
			break;
	}
	return slice_of(NULL, 0);
}

static void read_section(const uint8_t *in, size_t n)
{
	uint8_t *copy = mem_alloc(n + !n);
	memcpy(copy, in, n);
	struct wasm_module m = {.name_section = slice_of(copy, n)};
	struct wasm_names names;
	wasm_names_make(&names, &m);
	for (uint32_t func = 0; func < 200; func++)
		BUG_ON(!slice_eq(wasm_names_find(&names, func), find_plainly(m.name_section, func)));
	(void)wasm_names_find(&names, UINT32_MAX);
	wasm_names_release(&names);
	(void)symbols__module_name(slice_of(copy, n), copy + n / 2);
	mem_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size && data[0] & 1)
		read_section(data + 1, size - 1);
	else if (size)
		read_name(data + 1, size - 1);
	return 0;
}
