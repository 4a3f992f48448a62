// What somebody has of something that is bounded: bytes of an instance's memories, tables and host objects together.
#ifndef TENON_BASE_ACCOUNT_H
#define TENON_BASE_ACCOUNT_H

#include "util.h"

struct account {
	uint64_t used, limit, peak;
};

// false: over the limit, nothing is charged.
NODISCARD static inline bool account_charge(struct account *a, uint64_t n)
{
	if (UNLIKELY(a->used > a->limit || n > a->limit - a->used))
		return false;
	a->used += n;
	if (a->used > a->peak)
		a->peak = a->used;
	return true;
}

static inline void account_uncharge(struct account *a, uint64_t n)
{
	BUG_ON(n > a->used);
	a->used -= n;
}

#endif
