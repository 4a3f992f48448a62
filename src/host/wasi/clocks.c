// wasi:clocks. Times are loop times: nanoseconds of CLOCK_MONOTONIC (W9, W20, L78: nothing overflows, 0 and the past are ready at once).
#include <time.h>

#include "sys/sys.h"
#include "wasi_int.h"
#include "wasi_provider.h"

enum seam_result wasi_clocks_monotonic_clock_now(struct seam_call *c, uint64_t *ret)
{
	*ret = sys_now_ns();
	return SEAM_OK;
}

enum seam_result wasi_clocks_monotonic_clock_resolution(struct seam_call *c, uint64_t *ret)
{
	*ret = 1;
	return SEAM_OK;
}

static enum seam_result pollable_at(struct seam_call *c, uint64_t when_ns, uint32_t *ret)
{
	return wasi__pollable_new(c, (struct wasi_pollable){.when_ns = when_ns}, ret) ? SEAM_OK : SEAM_TRAP;
}

enum seam_result wasi_clocks_monotonic_clock_subscribe_instant(struct seam_call *c, const struct wasi_clocks_monotonic_clock_subscribe_instant_args *args,
	uint32_t *ret)
{
	return pollable_at(c, args->when, ret);
}

enum seam_result wasi_clocks_monotonic_clock_subscribe_duration(struct seam_call *c,
	const struct wasi_clocks_monotonic_clock_subscribe_duration_args *args, uint32_t *ret)
{
	return pollable_at(c, args->when ? sat_add_u64(sys_now_ns(), args->when) : 0, ret);
}

enum seam_result wasi_clocks_wall_clock_now(struct seam_call *c, struct wasi_clocks_wall_clock_datetime *ret)
{
	uint64_t ns = sys_wall_ns();
	*ret = (struct wasi_clocks_wall_clock_datetime){ns / 1000000000u, (uint32_t)(ns % 1000000000u)};
	return SEAM_OK;
}

enum seam_result wasi_clocks_wall_clock_resolution(struct seam_call *c, struct wasi_clocks_wall_clock_datetime *ret)
{
	*ret = (struct wasi_clocks_wall_clock_datetime){0, 1};
	return SEAM_OK;
}

// Guests live in UTC.
enum seam_result wasi_clocks_timezone_display(struct seam_call *c, const struct wasi_clocks_timezone_display_args *args,
	struct wasi_clocks_timezone_timezone_display *ret)
{
	return seam_string(c, SLICE_LIT("UTC"), &ret->name) ? SEAM_OK : SEAM_TRAP;
}

enum seam_result wasi_clocks_timezone_utc_offset(struct seam_call *c, const struct wasi_clocks_timezone_utc_offset_args *args, int32_t *ret)
{
	*ret = 0;
	return SEAM_OK;
}
