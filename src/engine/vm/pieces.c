// Long operations go in pieces. Between two of them others get their turn (nobody else is in the store meanwhile), and a call that may not go on
// ends there (L31): its instance is gone then, so that nobody sees half of an operation.
#include "vm_int.h"

// Between pieces, and at the end of each operation that can be long, or that a loop can be made of: else a guest could spend its time where nothing
// ends it.
enum trap vm__between_pieces(struct abi_vmctx *ctx)
{
	struct abi_exec *exec = ctx->exec;
	return UNLIKELY(__atomic_load_n(&exec->interrupt, __ATOMIC_RELAXED) != 0) ? vm__fiber_give_way(exec->shard) : TRAP_NONE;
}

// memmove in pieces, in the direction in which an overlap is not overwritten before it is read.
enum trap vm__move_pieces(struct abi_vmctx *ctx, uint8_t *to, const uint8_t *from, uint64_t n)
{
	bool backward = to > from && to < from + n;
	for (uint64_t done = 0; done < n;) {
		uint64_t len = min_u64(n - done, VM__PIECE), at = backward ? n - done - len : done;
		memmove(to + at, from + at, len);
		done += len;
		enum trap end = vm__between_pieces(ctx);
		if (end)
			return end;
	}
	return vm__between_pieces(ctx);
}

// Each piece by copies of what it has already, twice as much each time.
enum trap vm__fill_pieces(struct abi_vmctx *ctx, uint8_t *to, const void *value, uint32_t size, uint64_t n)
{
	while (n) {
		uint64_t some = min_u64(n, VM__PIECE_ELEMENTS), bytes = some * size;
		memcpy(to, value, size);
		for (uint64_t have = size; have < bytes; have *= 2)
			memcpy(to + have, to, min_u64(have, bytes - have));
		to += bytes;
		n -= some;
		enum trap end = vm__between_pieces(ctx);
		if (end)
			return end;
	}
	return vm__between_pieces(ctx);
}

bool vm__pace_slow(struct vm__pace *p)
{
	p->work = 0;
	if (UNLIKELY(__atomic_load_n(&p->shard->exec.interrupt, __ATOMIC_RELAXED)) && !p->stop)
		p->stop = vm__fiber_give_way(p->shard);
	return !p->stop;
}
