// Handlers of exceptions: from a pc to the innermost region of its function, and what a region handles. Reads are kept within the function's words whatever
// they say.
#include "code_int.h"

bool code_object_frame(const struct code_object *o, const void *pc, struct code_frame *ret)
{
	uint32_t index;
	const struct code_func *f = code__func_at(o, pc, &index);
	if (!f)
		return false;
	uint32_t end = index + 1 < o->nfuncs ? o->funcs[index + 1].handlers : o->nhandlers;
	*ret = (struct code_frame){.text = o->text + f->offset, .pc = (uint32_t)((const uint8_t *)pc - o->text) - f->offset, .frame = f->frame};
	const uint32_t *w = o->handlers + f->handlers;
	if (end - f->handlers < 2)
		return true;
	uint64_t left = end - f->handlers - 2, edges = 2ull * w[0], regions = 3ull * w[1];
	if (edges > left || regions > left - edges)
		return true;
	ret->nedges = w[0];
	ret->nregions = w[1];
	ret->nclauses = (uint32_t)((left - edges - regions) / 3);
	ret->edges = w + 2;
	ret->regions = ret->edges + edges;
	ret->clauses = ret->regions + regions;
	return true;
}

// The last edge at or before pc.
uint32_t code_frame_region(const struct code_frame *f)
{
	uint32_t low = 0, high = f->nedges;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (f->edges[2 * mid] <= f->pc)
			low = mid + 1;
		else
			high = mid;
	}
	return low ? f->edges[2 * (low - 1) + 1] : 0;
}

uint32_t code_frame_clauses(const struct code_frame *f, uint32_t region, const uint32_t **ret_clauses, uint32_t *ret_n)
{
	*ret_n = 0;
	if (!region || region > f->nregions)
		return 0;
	const uint32_t *r = f->regions + 3 * (region - 1);
	if (r[1] <= f->nclauses && r[2] <= f->nclauses - r[1]) {
		*ret_clauses = f->clauses + 3 * (size_t)r[1];
		*ret_n = r[2];
	}
	return r[0] < region ? r[0] : 0;
}
