// Maps of frames: rows of a function's stream of sites that say where in its frame references to objects lie at a call.
#include "code_int.h"

static bool put_leb(struct buf *out, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		if (!buf_put_byte(out, (uint8_t)(v | 0x80)))
			return false;
	return buf_put_byte(out, (uint8_t)v);
}

bool code_sites_put_leb(struct code_sites *s, uint32_t v)
{
	return put_leb(s->out, v);
}

bool code_sites_put_row(struct code_sites *s, uint32_t pc, unsigned kind, uint32_t len)
{
	bool ok = put_leb(s->out, (uint64_t)(pc - s->pc) << 1 | 1) && buf_put_byte(s->out, 0) && buf_put_byte(s->out, (uint8_t)kind) && put_leb(s->out, len);
	s->pc = pc;
	return ok;
}

static bool add_place(struct code_map *m, int32_t place)
{
	if (m->n == m->cap) {
		uint32_t cap = m->cap ? m->cap * 2 : 64;
		int32_t *places = mem_realloc(m->places, cap * sizeof *places);
		if (!places)
			return false;
		m->places = places;
		m->cap = cap;
	}
	m->places[m->n++] = place;
	return true;
}

// `nhomes`: places that are not of the list.
static bool read_map(const uint8_t *p, const uint8_t *end, unsigned kind, uint32_t *nhomes, struct code_map *m)
{
	if (kind == CODE_SITE_HOMES) {
		while (p < end) {
			uint64_t zigzag = code__read_leb(&p, end);
			if (!add_place(m, (int32_t)((uint32_t)(zigzag >> 1) ^ -(uint32_t)(zigzag & 1))))
				return false;
		}
		*nhomes = m->n;
		return true;
	}
	uint64_t keep = code__read_leb(&p, end);
	m->n = *nhomes + (uint32_t)min_u64(keep, m->n - *nhomes);
	while (p < end) {
		int32_t before = m->n > *nhomes ? m->places[m->n - 1] : 0;
		if (!add_place(m, before - (int32_t)code__read_leb(&p, end)))
			return false;
	}
	return true;
}

bool code_object_map(const struct code_object *o, const void *pc, struct code_map *ret)
{
	uint32_t index, at, nhomes = 0;
	struct code__row r = {0};
	const struct code_func *f = code__func_at(o, pc, &index);
	ret->n = ret->read = 0;
	if (!f)
		return true;
	at = (uint32_t)((const uint8_t *)pc - o->text) - f->offset;
	for (const uint8_t *begin = o->sites + f->sites, *p = begin, *end = code__sites_end(o, index); p < end;) {
		code__read_row(&p, end, &r);
		ret->read = (uint32_t)(p - begin);
		if (r.pc > at)
			break;
		if ((r.kind == CODE_SITE_HOMES || r.kind == CODE_SITE_SLOTS) && !read_map(r.more, p, r.kind, &nhomes, ret))
			return false;
	}
	return true;
}
