// The artifact and its bytes. Little-endian, parts in this order: header, functions, sites, each aligned to 8, then the text at a multiple of a page
// from the beginning, so that bytes that lie at a page of a file can be mapped and run from there.
#include "code_int.h"

#include "sys/sys.h"

#define MAGIC 0x65646f636e6f6e74ull  // "tnoncode"
#define VERSION 5u

struct header {
	uint64_t magic;
	uint32_t version, cpu, flags, first_func;
	uint64_t build;  // of this program: the compiler and the layout of vmctx change with it
	uint64_t nfuncs, text_size, sites_size, nhandlers;
};

// Changes with every build of this file and with the contract's sizes; the cache's key has the program's own identity as well.
static uint64_t build_id(void)
{
	static const char stamp[] = __DATE__ " " __TIME__;
	uint64_t sizes[] = {sizeof(struct abi_vmctx), sizeof(struct abi_exec), ABI_LIBCALL_COUNT, TRAP_COUNT, WASM_OP_COUNT};
	return hash_u64(slice_of(stamp, sizeof stamp - 1)) ^ hash_u64(slice_of(sizes, sizeof sizes));
}

void code_artifact_release(struct code_artifact *a)
{
	if (!a)
		return;
	if (!a->borrowed) {
		mem_free(a->text);
		mem_free(a->funcs);
		mem_free(a->sites);
		mem_free(a->handlers);
	}
	*a = (struct code_artifact){0};
}

static bool put_aligned(struct buf *out, const void *data, size_t size)
{
	static const uint8_t zero[8];
	return buf_put(out, data, size) && buf_put(out, zero, -size & 7);
}

bool code_artifact_to_bytes(const struct code_artifact *a, struct buf *out)
{
	struct header h = {
		.magic = MAGIC,
		.version = VERSION,
		.cpu = a->cpu,
		.flags = a->flags,
		.first_func = a->first_func,
		.build = build_id(),
		.nfuncs = a->nfuncs,
		.text_size = a->text_size,
		.sites_size = a->sites_size,
		.nhandlers = a->nhandlers,
	};
	_Static_assert(sizeof h % 8 == 0 && sizeof(struct code_func) % 8 == 0, "parts are aligned");
	size_t begin = out->len;
	if (!buf_put(out, &h, sizeof h) || !put_aligned(out, a->funcs, a->nfuncs * sizeof *a->funcs) || !put_aligned(out, a->sites, a->sites_size) ||
		!put_aligned(out, a->handlers, a->nhandlers * sizeof *a->handlers))
		return false;
	size_t gap = -(out->len - begin) & (SYS_PAGE - 1);
	if (!buf_reserve(out, gap))
		return false;
	memset(out->ptr + out->len, 0, gap);
	out->len += gap;
	return put_aligned(out, a->text, a->text_size);
}

static bool take(struct slice *s, uint64_t size, const void **ret)
{
	uint64_t padded = align_up_u64(size, 8);
	if (padded < size || padded > s->len)
		return false;
	*ret = s->ptr;
	s->ptr += padded;
	s->len -= padded;
	return true;
}

static bool funcs_are_sound(const struct code_func *f, uint64_t n, const struct header *h)
{
	uint64_t text = 0, sites = 0, handlers = 0;
	for (uint64_t i = 0; i < n; i++) {
		if (f[i].offset < text || f[i].offset > h->text_size || f[i].size > h->text_size - f[i].offset || f[i].sites < sites || f[i].sites > h->sites_size ||
			f[i].handlers < handlers || f[i].handlers > h->nhandlers)
			return false;
		text = (uint64_t)f[i].offset + f[i].size;
		sites = f[i].sites;
		handlers = f[i].handlers;
	}
	return true;
}

bool code_artifact_from_bytes(struct slice bytes, struct code_artifact *ret, struct err *e)
{
	struct header h;
	uint32_t cpu;
	const void *funcs, *text, *sites, *handlers, *gap;
	const uint8_t *begin = bytes.ptr;
	if (bytes.len < sizeof h)
		return err_set(e, ERR_ENV, "compiled code is cut short");
	memcpy(&h, bytes.ptr, sizeof h);
	bytes = slice_sub(bytes, sizeof h, SIZE_MAX);
	if (h.magic != MAGIC || h.version != VERSION || h.build != build_id())
		return err_set(e, ERR_ENV, "compiled code is of another build");
	if (!code_cpu_detect(&cpu) || h.cpu & ~cpu)
		return err_set(e, ERR_ENV, "compiled code is for another processor");
	if (h.nfuncs > UINT32_MAX / sizeof(struct code_func) || h.text_size > CODE_REACH || h.sites_size > UINT32_MAX || h.nhandlers > UINT32_MAX / sizeof(uint32_t) ||
		!take(&bytes, h.nfuncs * sizeof(struct code_func), &funcs) || !take(&bytes, h.sites_size, &sites) ||
		!take(&bytes, h.nhandlers * sizeof(uint32_t), &handlers) ||
		!take(&bytes, -(uint64_t)(bytes.ptr - begin) & (SYS_PAGE - 1), &gap) || !take(&bytes, h.text_size, &text) || bytes.len ||
		!funcs_are_sound(funcs, h.nfuncs, &h))
		return err_set(e, ERR_ENV, "compiled code is damaged");
	*ret = (struct code_artifact){
		.text = (uint8_t *)(uintptr_t)text,
		.text_size = h.text_size,
		.first_func = h.first_func,
		.nfuncs = (uint32_t)h.nfuncs,
		.funcs = (struct code_func *)(uintptr_t)funcs,
		.sites = (uint8_t *)(uintptr_t)sites,
		.sites_size = h.sites_size,
		.handlers = (uint32_t *)(uintptr_t)handlers,
		.nhandlers = (uint32_t)h.nhandlers,
		.cpu = h.cpu,
		.flags = h.flags,
		.borrowed = true,
	};
	return true;
}
