// Maps: where in a frame references to objects lie at a call (code.h). None is in a register across one. Locals have theirs at home, always (the function's
// row); entries of the operand stack in their slots (a row where the list changed), or they are lazy copies of locals.
#include "baseline_int.h"

void baseline__map_homes(struct comp *c)
{
	uint32_t len = 0;
	for (unsigned pass = 0; pass < 2; pass++) {
		for (uint32_t k = 0; k < c->s->nused; k++) {
			const struct local *l = &c->locals[c->s->used[k]];
			int32_t cells = l->home / 8;
			uint32_t zigzag = (uint32_t)cells << 1 ^ (uint32_t)-(cells < 0);
			if (l->type != TYPE_OBJECT)
				continue;
			if (pass == 0)
				len += code_leb_size(zigzag);
			else if (!code_sites_put_leb(&c->sites, zigzag))
				c->failed = true;
		}
		if (!len)
			return;
		if (pass == 0 && !code_sites_put_row(&c->sites, 0, CODE_SITE_HOMES, len))
			c->failed = true;
	}
}

// Entries above the last one that the map has; lazy ones among them are looked at again at each call, so that they must be few.
enum { LAZY_FEW = 32 };

static uint32_t first_unmapped(const struct comp *c, uint32_t height)
{
	while (height && !c->stack[height - 1].mapped)
		height--;
	return height;
}

void baseline__map_prepare_slow(struct comp *c, uint32_t height)
{
	uint32_t first = first_unmapped(c, height);
	if (height - first <= LAZY_FEW)
		return;
	for (uint32_t i = c->sp; i-- > first;) {
		struct val *v = &c->stack[i];
		if (v->kind == K_LOCAL && v->type == TYPE_OBJECT && i < height)
			baseline__flush_refs(c, v->local);
	}
	baseline__spill_temps_below(c, height);
}

static uint32_t distance(struct comp *c, uint32_t height)
{
	return (c->slots_base + c->slot_size * (height + 1)) / 8;
}

void baseline__map_slow(struct comp *c, uint32_t height)
{
	uint32_t *map = c->s->map, n = c->s->nmap, first = first_unmapped(c, height), len;
	while (n && map[n - 1] >= first)
		n--;
	uint32_t keep = n, before = n ? distance(c, map[n - 1]) : 0, at = before;
	bool stays = true;
	len = code_leb_size(keep);
	for (uint32_t i = first; i < height; i++) {
		struct val *v = &c->stack[i];
		if (v->type == TYPE_OBJECT && v->kind == K_SLOT) {
			map[n++] = i;
			len += code_leb_size(distance(c, i) - at);
			at = distance(c, i);
		} else if (v->type == TYPE_OBJECT) {
			stays = false;
		}
		v->mapped = stays;
	}
	bool same = n == c->s->nmap && keep == n;
	c->s->nmap = n;
	if (same)
		return;
	bool ok = code_sites_put_row(&c->sites, c->sites.pc, CODE_SITE_SLOTS, len) && code_sites_put_leb(&c->sites, keep);
	for (uint32_t i = keep; i < n && ok; i++) {
		ok = code_sites_put_leb(&c->sites, distance(c, map[i]) - before);
		before = distance(c, map[i]);
	}
	if (!ok)
		c->failed = true;
}
