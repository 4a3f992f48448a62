// wasi:random: all of it from the kernel or a generator that it keys, exactly as many bytes as were asked for (W4).
#include "wasi_int.h"
#include "wasi_provider.h"

enum { RANDOM_PIECE = 64 << 10 };  // bytes between two looks at the time

bool wasi__random_fill(struct seam_call *c, void *into, size_t n)
{
	return seam_random(c->task->of, into, n);
}

enum seam_result wasi__random_bytes(struct seam_call *c, uint64_t n, struct wit_list *ret)
{
	if (n > WASI_RANDOM_MAX)
		return seam_trap(c, "%llu random bytes in one call; %u at most", (unsigned long long)n, WASI_RANDOM_MAX);
	uint8_t *bytes = seam_alloc(c, n, 1);
	if (!bytes)
		return SEAM_TRAP;
	for (uint64_t at = 0; at < n; at += RANDOM_PIECE) {
		if (!wasi__random_fill(c, bytes + at, min_u64(n - at, RANDOM_PIECE)))
			return seam_trap(c, "the system gives no random bytes");
		enum seam_result r = seam_work(c, VM_WORK_LOOK);
		if (r != SEAM_OK)
			return r;
	}
	*ret = (struct wit_list){bytes, n};
	return SEAM_OK;
}

enum seam_result wasi__random_words(struct seam_call *c, uint64_t *ret, size_t n)
{
	return wasi__random_fill(c, ret, n * sizeof *ret) ? SEAM_OK : seam_trap(c, "the system gives no random bytes");
}

enum seam_result wasi_random_random_get_random_bytes(struct seam_call *c, const struct wasi_random_random_get_random_bytes_args *args, struct wit_list *ret)
{
	return wasi__random_bytes(c, args->len, ret);
}

enum seam_result wasi_random_random_get_random_u64(struct seam_call *c, uint64_t *ret)
{
	return wasi__random_words(c, ret, 1);
}

enum seam_result wasi_random_insecure_get_insecure_random_bytes(struct seam_call *c,
	const struct wasi_random_insecure_get_insecure_random_bytes_args *args, struct wit_list *ret)
{
	return wasi__random_bytes(c, args->len, ret);
}

enum seam_result wasi_random_insecure_get_insecure_random_u64(struct seam_call *c, uint64_t *ret)
{
	return wasi__random_words(c, ret, 1);
}

// The same for the life of the instance: it stands for a value that is imported.
enum seam_result wasi_random_insecure_seed_insecure_seed(struct seam_call *c, struct wasi_tuple2_u64_u64 *ret)
{
	struct wasi_state *s = seam_state(c);
	if (!s)
		return seam_no_memory(c);
	if (!s->has_seed && wasi__random_words(c, s->seed, ARRAY_LEN(s->seed)) != SEAM_OK)
		return SEAM_TRAP;
	s->has_seed = true;
	*ret = (struct wasi_tuple2_u64_u64){s->seed[0], s->seed[1]};
	return SEAM_OK;
}
