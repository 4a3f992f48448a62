// The account of a store: its memories and tables, and what else is charged to it.
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
