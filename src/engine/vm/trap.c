// Traps: what is noted of one when it happens, in a signal handler too (no lock, no allocation), and what is known of it afterwards.
// The walk over frame pointers stays on the stack that runs and goes upwards only (L38).
#include "vm_int.h"

#include <stdarg.h>
#include <stdio.h>

#define WALK_MAX 4096  // frames looked at, host's included

static bool frame_add(struct vm_shard *s, uint64_t pc)
{
	struct vm_trap_info *info = &s->info;
	struct code_place place;
	const struct code_object *code = code_find((const void *)(uintptr_t)pc);
	if (!code || !code_object_place(code, (const void *)(uintptr_t)pc, &place))
		return true;
	if (info->frames.n == VM_BACKTRACE_MAX) {
		info->frames.more = true;
		return false;
	}
	info->frames.list[info->frames.n] = (struct vm_trap_frame){.func = place.func, .offset = place.offset};
	s->frame_code[info->frames.n++] = code;
	return true;
}

uint64_t vm__return_of(uint64_t pc, uint64_t frame, uint64_t high)
{
	const uint64_t *at = (const uint64_t *)frame;
	struct code_frame f;
	if (at[1] != (uintptr_t)vm__tail_return)
		return at[1];
	const struct code_object *code = code_find((const void *)(uintptr_t)pc);
	if (!code || !code_object_frame(code, (const void *)(uintptr_t)pc, &f) || frame + 8 * (4 + code_frame_cells(f.frame)) > high)
		return at[1];
	return at[3 + code_frame_cells(f.frame)];
}

void vm__trap_note(struct vm_shard *s, enum trap t, uint64_t pc, uint64_t frame, uint64_t address)
{
	struct vm_trap_info *info = &s->info;
	uintptr_t low, high;
	info->trap = t;
	info->frames.address = address;
	info->frames.n = 0;
	info->frames.more = false;
	info->message[0] = 0;
	if (s->message_trap == t)
		memcpy(info->message, s->message, sizeof info->message);
	s->message_trap = TRAP_NONE;
	s->pending = TRAP_NONE;
	if (pc && !frame_add(s, pc))
		return;
	vm__stack_bounds(s, &low, &high);
	for (int i = 0; i < WALK_MAX && frame >= low && frame % 8 == 0 && frame + 16 <= high; i++) {
		uint64_t next = ((const uint64_t *)frame)[0], ret = vm__return_of(pc, frame, high);
		if (ret && !frame_add(s, ret - 1))
			return;
		if (next <= frame)
			return;
		frame = next;
		pc = ret - 1;
	}
}

// From vm__raise (guest code) and from vm__host_stub (ctx is a struct vm__host's).
struct abi_exec *vm__trap_raised(struct abi_vmctx *ctx, uint32_t trap, uint64_t pc, uint64_t frame)
{
	struct abi_exec *exec = ctx->exec;
	struct vm_shard *s = exec->shard;
	exec->trap = trap;
	exec->trap_pc = pc;
	// A host function that hands on what its own vm_call returned keeps the first report.
	if (ctx->instance || s->pending != trap)
		vm__trap_note(s, trap, pc ? pc - 1 : 0, frame, UINT64_MAX);
	return exec;
}

enum trap vm__trap_finish(struct vm_store *st, enum trap t)
{
	struct vm_shard *s = st->shard;
	for (uint32_t i = 0; i < s->info.frames.n; i++) {
		for (struct vm_instance *inst = st->instances; inst && !s->info.frames.list[i].module; inst = inst->next)
			if (inst->code == code_object_whole(s->frame_code[i]))
				s->info.frames.list[i].module = inst->mod;
	}
	s->pending = t;
	if (!st->limits.survives_traps)
		st->poisoned = true;
	return t;
}

// ---- for people --------------------------------------------------------------------------------------------------
const struct vm_trap_info *vm_trap_info(const struct vm_shard *s)
{
	return &s->info;
}

enum trap vm_trapf(struct vm_shard *s, enum trap t, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vsnprintf(s->message, sizeof s->message, fmt, args);
	va_end(args);
	s->message_trap = t;
	s->pending = TRAP_NONE;
	return t;
}
