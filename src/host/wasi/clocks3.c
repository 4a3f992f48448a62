// wasi:clocks@0.3, wasi:random@0.3: another face of what clocks.c and random.c have.
#include "sys/sys.h"
#include "wasi_int.h"
#include "wasi_provider.h"

// ---- monotonic-clock -------------------------------------------------------------------------------------------------------------------

enum seam_result wasi_clocks3_monotonic_clock_now(struct seam_call *c, uint64_t *ret)
{
	*ret = sys_now_ns();
	return SEAM_OK;
}

enum seam_result wasi_clocks3_monotonic_clock_get_resolution(struct seam_call *c, uint64_t *ret)
{
	*ret = 1;
	return SEAM_OK;
}

enum seam_result wasi_clocks3_monotonic_clock_wait_until(struct seam_call *c, const struct wasi_clocks3_monotonic_clock_wait_until_args *args)
{
	return seam_sleep_until(c, args->when);
}

enum seam_result wasi_clocks3_monotonic_clock_wait_for(struct seam_call *c, const struct wasi_clocks3_monotonic_clock_wait_for_args *args)
{
	return args->how_long ? seam_sleep_until(c, sat_add_u64(sys_now_ns(), args->how_long)) : SEAM_OK;
}

// ---- system-clock ----------------------------------------------------------------------------------------------------------------------

enum seam_result wasi_clocks3_system_clock_now(struct seam_call *c, struct wasi_clocks3_system_clock_instant *ret)
{
	uint64_t ns = sys_wall_ns();
	*ret = (struct wasi_clocks3_system_clock_instant){(int64_t)(ns / 1000000000u), (uint32_t)(ns % 1000000000u)};
	return SEAM_OK;
}

enum seam_result wasi_clocks3_system_clock_get_resolution(struct seam_call *c, uint64_t *ret)
{
	*ret = 1;
	return SEAM_OK;
}

// ---- timezone: guests live in UTC -------------------------------------------------------------------------------------------------------

enum seam_result wasi_clocks3_timezone_iana_id(struct seam_call *c, struct wasi_option_string *ret)
{
	ret->is_some = true;
	return seam_string(c, SLICE_LIT("Etc/UTC"), &ret->some) ? SEAM_OK : SEAM_TRAP;
}

enum seam_result wasi_clocks3_timezone_utc_offset(struct seam_call *c, const struct wasi_clocks3_timezone_utc_offset_args *args, struct wasi_option_s64 *ret)
{
	*ret = (struct wasi_option_s64){true, 0};
	return SEAM_OK;
}

enum seam_result wasi_clocks3_timezone_to_debug_string(struct seam_call *c, struct wit_string *ret)
{
	return seam_string(c, SLICE_LIT("UTC"), ret) ? SEAM_OK : SEAM_TRAP;
}

// ---- random: as many bytes as were asked for, up to what one call may have ---------------------------------------------------------------

static enum seam_result random_bytes(struct seam_call *c, uint64_t max, struct wit_list *ret)
{
	return wasi__random_bytes(c, min_u64(max, WASI_RANDOM_MAX), ret);
}

enum seam_result wasi_random3_random_get_random_bytes(struct seam_call *c, const struct wasi_random3_random_get_random_bytes_args *args, struct wit_list *ret)
{
	return random_bytes(c, args->max_len, ret);
}

enum seam_result wasi_random3_random_get_random_u64(struct seam_call *c, uint64_t *ret)
{
	return wasi__random_words(c, ret, 1);
}

enum seam_result wasi_random3_insecure_get_insecure_random_bytes(struct seam_call *c,
	const struct wasi_random3_insecure_get_insecure_random_bytes_args *args, struct wit_list *ret)
{
	return random_bytes(c, args->max_len, ret);
}

enum seam_result wasi_random3_insecure_get_insecure_random_u64(struct seam_call *c, uint64_t *ret)
{
	return wasi__random_words(c, ret, 1);
}

enum seam_result wasi_random3_insecure_seed_get_insecure_seed(struct seam_call *c, struct wasi_tuple2_u64_u64 *ret)
{
	return wasi_random_insecure_seed_insecure_seed(c, ret);
}
