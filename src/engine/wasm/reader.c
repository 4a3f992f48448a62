// Reads sections that say nothing of what runs: names, producers. What is wrong with one is nobody's error: who reads it stops there.
#include "wasm.h"

bool wasm_reader_u32(struct wasm_reader *r, uint32_t *ret)
{
	uint32_t v = 0;
	for (unsigned shift = 0; shift < 35 && r->p < r->end; shift += 7) {
		uint8_t b = *r->p++;
		v |= (uint32_t)(b & 0x7f) << shift;
		if (!(b & 0x80)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

bool wasm_reader_bytes(struct wasm_reader *r, struct slice *ret)
{
	uint32_t n;
	if (!wasm_reader_u32(r, &n) || n > (size_t)(r->end - r->p))
		return false;
	*ret = slice_of(r->p, n);
	r->p += n;
	return true;
}

bool wasm_reader_name(struct wasm_reader *r, struct slice *ret)
{
	return wasm_reader_bytes(r, ret) && utf8_is_valid(*ret);
}

bool wasm_reader_section(struct wasm_reader *r, uint8_t *ret_id, struct wasm_reader *ret)
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
