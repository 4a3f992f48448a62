// The account of a store: its memories and tables, what stands for the rest of what it has, and what else is charged to it.
#include "vm_int.h"

bool vm__charge(struct vm_store *st, uint64_t bytes)
{
	if (!account_charge(&st->account, bytes))
		return false;
	st->own_used += bytes;
	return true;
}

void vm__uncharge(struct vm_store *st, uint64_t bytes)
{
	account_uncharge(&st->account, bytes);
	st->own_used -= bytes;
}

static uint64_t charged_of(uint64_t records)
{
	enum { FREE = 1 << 20 };
	return records > FREE ? records - FREE : 0;
}

// Not of what an image restores: a reset leaves them, and a store that is attached to the image has made its own.
bool vm_store_charge_records(struct vm_store *st, uint64_t bytes, struct err *e)
{
	uint64_t sum = sat_add_u64(st->records, bytes);
	if (account_charge(&st->account, charged_of(sum) - charged_of(st->records))) {
		st->records = sum;
		return true;
	}
	err_set(e, ERR_LIMIT, "memory limit exceeded: what stands for functions, globals and instances, %llu bytes, does not fit in the instance's %llu",
		(unsigned long long)sum, (unsigned long long)st->limits.memory);
	return err_hint(e, "raise the limit (--memory)");
}

struct account *vm_store_account(struct vm_store *st)
{
	return &st->account;
}

uint64_t vm_store_memory_used(const struct vm_store *st)
{
	return st->account.used;
}

uint64_t vm_store_memory_peak(const struct vm_store *st)
{
	return st->account.peak;
}
