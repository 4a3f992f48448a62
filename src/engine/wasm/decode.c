// A module's sections, in order and to the byte (L59). What is in them is read by decode_types.c and decode_items.c.
#include "wasm_int.h"

static const uint8_t magic[4] = {0, 'a', 's', 'm'};
static const uint8_t version_module[4] = {1, 0, 0, 0}, version_component[4] = {0x0d, 0, 1, 0};
enum { PREAMBLE = 8 };

bool wasm_is_module(struct slice bytes)
{
	return bytes.len >= PREAMBLE && memcmp(bytes.ptr, magic, 4) == 0 && memcmp(bytes.ptr + 4, version_module, 4) == 0;
}

bool wasm_is_component(struct slice bytes)
{
	return bytes.len >= PREAMBLE && memcmp(bytes.ptr, magic, 4) == 0 && memcmp(bytes.ptr + 4, version_component, 4) == 0;
}

static bool read_preamble(struct wasm__cursor *c)
{
	size_t n = (size_t)(c->end - c->p);
	if (n < 4)
		return wasm__fail(c, c->p + n, ERR_MALFORMED, "unexpected end: %zu bytes are no module", n);
	if (memcmp(c->p, magic, 4) != 0) {
		wasm__fail(c, c->p, ERR_MALFORMED, "magic header not detected");
		return err_hint(c->e, "WebAssembly binaries begin with 00 61 73 6d; text (.wat) must be translated first");
	}
	if (n < PREAMBLE)
		return wasm__fail(c, c->p + n, ERR_MALFORMED, "unexpected end");
	if (memcmp(c->p + 4, version_component, 4) == 0) {
		wasm__fail(c, c->p + 4, ERR_MALFORMED, "unknown binary version: a component where a core module is expected");
		return false;
	}
	if (memcmp(c->p + 4, version_module, 4) != 0)
		return wasm__fail(c, c->p + 4, ERR_MALFORMED, "unknown binary version");
	c->p += PREAMBLE;
	return true;
}

// ORDER sections: `rank` is the place in the file; each at most once.
struct section {
	const char *name;
	uint8_t rank;
	uint32_t feature;
	bool (*read)(struct wasm__decoder *d);
};
static const struct section sections[] = {
	[1] = {"type", 1, 0, wasm__read_types},
	[2] = {"import", 2, 0, wasm__read_imports},
	[3] = {"function", 3, 0, wasm__read_functions},
	[4] = {"table", 4, 0, wasm__read_tables},
	[5] = {"memory", 5, 0, wasm__read_memories},
	[6] = {"global", 7, 0, wasm__read_globals},
	[7] = {"export", 8, 0, wasm__read_exports},
	[8] = {"start", 9, 0, wasm__read_start},
	[9] = {"element", 10, 0, wasm__read_elements},
	[10] = {"code", 12, 0, wasm__read_code},
	[11] = {"data", 13, 0, wasm__read_data},
	[12] = {"data count", 11, WASM_FEATURE_BULK_MEMORY, wasm__read_data_count},
	[13] = {"tag", 6, WASM_FEATURE_EXCEPTIONS, wasm__read_tags},
};

static bool read_custom(struct wasm__decoder *d)
{
	struct wasm_custom custom;
	if (!wasm__name(&d->c, &custom.name))
		return false;
	custom.bytes = slice_of(d->c.p, (size_t)(d->c.end - d->c.p));
	if (d->customs.len == LIMIT_CUSTOM_SECTIONS)
		return wasm__fail_limit(&d->c, d->c.p, "custom sections", LIMIT_CUSTOM_SECTIONS);
	if (!VEC_PUSH(d->a, &d->customs, custom, LIMIT_CUSTOM_SECTIONS))
		return err_nomem(d->c.e);
	if (slice_eq_str(custom.name, "name"))
		d->m->name_section = custom.bytes;
	return true;
}

static bool read_section(struct wasm__decoder *d, struct wasm__cursor *file, uint8_t *rank)
{
	const uint8_t *at = file->p;
	uint8_t id;
	uint32_t size;
	if (!wasm__byte(file, &id))
		return false;
	const struct section *s = id < ARRAY_LEN(sections) && id ? &sections[id] : NULL;
	if (id && !s)
		return wasm__fail(file, at, ERR_MALFORMED, "malformed section id %u", id);
	if (s && (d->features & s->feature) != s->feature)
		return wasm__fail_feature(file, at, s->feature, "malformed section id");
	const uint8_t *at_size = file->p;
	if (!wasm__u32(file, &size))
		return false;
	if (size > (size_t)(file->end - file->p))
		return wasm__fail(file, at_size, ERR_MALFORMED,
			"unexpected end: length out of bounds: section of %u bytes, %zu are left", size, (size_t)(file->end - file->p));
	d->c = *file;
	d->c.end = file->p + size;
	file->p += size;
	if (!s)
		return read_custom(d);
	if (s->rank <= *rank)
		return wasm__fail(file, at, ERR_MALFORMED, "unexpected content after last section: %s section %s", s->name, s->rank == *rank ? "twice" : "out of order");
	*rank = s->rank;
	if (!s->read(d))
		return err_note(file->e, "%s section", s->name);
	if (d->c.p != d->c.end)
		return wasm__fail(&d->c, d->c.p, ERR_MALFORMED, "section size mismatch: %zu bytes are left in the %s section", (size_t)(d->c.end - d->c.p), s->name);
	return true;
}

// What can be seen only at the end.
static bool check_counts(struct wasm__decoder *d, const struct wasm__cursor *file)
{
	struct wasm_module *m = d->m;
	if (m->nfuncs - m->nimported_funcs != d->nbodies)
		return wasm__fail(file, file->p, ERR_MALFORMED,
			"function and code section have inconsistent lengths: %u functions, %u bodies", m->nfuncs - m->nimported_funcs, d->nbodies);
	if (m->has_data_count && d->data_count != m->ndata)
		return wasm__fail(file, file->p, ERR_MALFORMED, "data count and data section have inconsistent lengths: %u and %u", d->data_count, m->ndata);
	return true;
}

static bool read_module(struct wasm__decoder *d, struct wasm__cursor *file)
{
	if (!read_preamble(file))
		return false;
	uint8_t rank = 0;
	while (file->p != file->end)
		if (!read_section(d, file, &rank))
			return false;
	if (!check_counts(d, file))
		return false;
	d->m->customs = d->customs.ptr;
	d->m->ncustoms = d->customs.len;
	return true;
}

bool wasm_decode(struct arena *a, struct slice bytes, uint32_t features, uint64_t base_offset, struct wasm_module **ret, struct err *e)
{
	if (bytes.len > LIMIT_MODULE_SIZE)
		return err_set(e, ERR_LIMIT, "module of %zu bytes: at most %d are supported", bytes.len, LIMIT_MODULE_SIZE);
	struct wasm_module *m = ARENA_NEW(a, struct wasm_module);
	struct wasm__decoder *d = mem_zalloc(sizeof(*d));
	if (!m || !d) {
		mem_free(d);
		return err_nomem(e);
	}
	m->arena = a;
	m->bytes = bytes;
	m->features = features;
	m->base_offset = base_offset;
	d->m = m;
	d->a = a;
	d->features = features;
	static const uint8_t nothing[1];
	const uint8_t *start = bytes.ptr ? bytes.ptr : nothing;
	struct wasm__cursor file = {start, start + bytes.len, start, base_offset, e};
	bool ok = read_module(d, &file);
	mem_free(d);
	if (ok)
		*ret = m;
	return ok;
}

bool wasm_validate(const struct wasm_module *m, struct err *e)
{
	struct wasm_scratch *s = wasm_scratch_new();
	if (!s)
		return err_nomem(e);
	bool ok = true;
	struct wasm_func_info info;
	for (uint32_t i = m->nimported_funcs; ok && i < m->nfuncs; i++)
		ok = wasm_validate_func(m, i, s, &info, e);
	wasm_scratch_free(s);
	return ok;
}

const struct wasm_export *wasm_module_find_export(const struct wasm_module *m, struct slice name)
{
	if (!m->nexports)
		return NULL;
	for (uint64_t h = map_hash(name);; h++) {
		uint32_t at = *slots_at(&m->export_names, h);
		if (!at || slice_eq(m->exports[at - 1].name, name))
			return at ? &m->exports[at - 1] : NULL;
	}
}
