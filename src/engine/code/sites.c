// Reading a function's stream of sites. Signal handlers do, so it must not take long whatever a module looks like: a stream of more than SITES_LONG bytes
// gets an index of every SITES_STEP bytes or so when the code is published, and is entered by bisection. Ordinary functions have a few dozen bytes.
#include "code_int.h"

enum { SITES_LONG = 32768, SITES_STEP = 512 };

// What is known before a site's row is read: where it is, the pc and the offset in the body before its differences; and its own pc.
struct code__mark {
	uint32_t at, before, offset, pc;
};
// The marks of one function.
struct code__long {
	uint32_t func, first, n;
};

uint64_t code__read_leb(const uint8_t **p, const uint8_t *end)
{
	uint64_t v = 0;
	for (unsigned shift = 0; *p < end && shift < 64; shift += 7) {
		uint8_t b = *(*p)++;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			break;
	}
	return v;
}

// Adds the row's differences to *r; rows of kinds that nobody knows here are skipped by their length.
void code__read_row(const uint8_t **p, const uint8_t *end, struct code__row *r)
{
	uint64_t head = code__read_leb(p, end), zigzag = code__read_leb(p, end);
	r->kind = head & 1 ? (*p < end ? *(*p)++ : TRAP_NONE) : TRAP_MEMORY_OUT_OF_BOUNDS;
	r->pc += (uint32_t)(head >> 1);
	r->offset += (uint32_t)(zigzag >> 1) ^ -(uint32_t)(zigzag & 1);
	if (r->kind >= CODE_SITE_MORE) {
		uint64_t len = code__read_leb(p, end);
		r->more = *p;
		*p = len < (uint64_t)(end - *p) ? *p + len : end;
	}
}

const uint8_t *code__sites_end(const struct code_object *o, uint32_t func)
{
	return o->sites + (func + 1 < o->nfuncs ? o->funcs[func + 1].sites : o->sites_size);
}

static bool is_long(const struct code_object *o, uint32_t func)
{
	return code__sites_end(o, func) - (o->sites + o->funcs[func].sites) > SITES_LONG;
}

// ---- the index ----------------------------------------------------------------------------------------------------
static uint32_t mark(const struct code_object *o, uint32_t func, struct code__mark *marks)
{
	const uint8_t *p = o->sites + o->funcs[func].sites, *end = code__sites_end(o, func), *next = p;
	struct code__row r = {0};
	uint32_t n = 0;
	while (p < end) {
		struct code__row before = r;
		const uint8_t *at = p;
		code__read_row(&p, end, &r);
		if (at < next || r.kind >= CODE_SITE_MORE)
			continue;
		marks[n++] = (struct code__mark){.at = (uint32_t)(at - o->sites), .before = before.pc, .offset = before.offset, .pc = r.pc};
		next = at + SITES_STEP;
	}
	return n;
}

bool code__sites_index(struct code_object *o)
{
	uint32_t nlong = 0, nmarks = 0;
	for (uint32_t f = 0; f < o->nfuncs; f++) {
		if (is_long(o, f)) {
			nlong++;
			nmarks += (uint32_t)((code__sites_end(o, f) - (o->sites + o->funcs[f].sites)) / SITES_STEP) + 1;
		}
	}
	if (!nlong)
		return true;
	o->longs = mem_alloc(nlong * sizeof *o->longs);
	o->marks = mem_alloc(nmarks * sizeof *o->marks);
	if (!o->longs || !o->marks)
		return false;
	nmarks = 0;
	for (uint32_t f = 0; f < o->nfuncs; f++) {
		if (!is_long(o, f))
			continue;
		struct code__long *l = &o->longs[o->nlongs++];
		*l = (struct code__long){.func = f, .first = nmarks, .n = mark(o, f, o->marks + nmarks)};
		nmarks += l->n;
	}
	return true;
}

// ---- looking up ---------------------------------------------------------------------------------------------------
// The last mark of the function whose row is at or before pc; NULL: begin with the stream.
static const struct code__mark *mark_before(const struct code_object *o, uint32_t func, uint32_t pc)
{
	uint32_t low = 0, high = o->nlongs;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (o->longs[mid].func < func)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == o->nlongs || o->longs[low].func != func)
		return NULL;
	const struct code__mark *marks = o->marks + o->longs[low].first;
	uint32_t n = o->longs[low].n, first = 0;
	while (first < n) {
		uint32_t mid = first + (n - first) / 2;
		if (marks[mid].pc <= pc)
			first = mid + 1;
		else
			n = mid;
	}
	return first ? &marks[first - 1] : NULL;
}

bool code__site_before(const struct code_object *o, uint32_t func, uint32_t pc, struct code__site *ret)
{
	const struct code__mark *m = mark_before(o, func, pc);
	const uint8_t *p = o->sites + (m ? m->at : o->funcs[func].sites), *end = code__sites_end(o, func);
	struct code__row r = {.pc = m ? m->before : 0, .offset = m ? m->offset : 0};
	bool any = false;
	while (p < end) {
		code__read_row(&p, end, &r);
		if (r.pc > pc)
			break;
		if (r.kind >= CODE_SITE_MORE)
			continue;
		*ret = (struct code__site){.pc = r.pc, .offset = r.offset, .trap = (enum trap)r.kind};
		any = true;
	}
	return any;
}
