// limits.def as a table of the room.
#include "app_int.h"

#define NS 't'
#define BYTES 'b'
#define COUNT 'n'

static const struct app__limit_row rows[] = {
#define SERVE_LIMIT(scope, field, flag, unit, ...) [APP_LIMIT_##field] = {flag, unit, APP__WHOSE_##scope},
#include "limits.def"
#undef SERVE_LIMIT
	[APP_LIMIT_tree_memory] = {"tree-memory", 'b', APP__WHOSE_service},
};
_Static_assert(ARRAY_LEN(rows) == APP_LIMITS, "a row each");

const struct app__limit_row *app__limit_row(enum app_limit_kind kind)
{
	return &rows[kind];
}

bool app__limit_find(struct slice flag, enum app_limit_kind *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (slice_eq_str(flag, rows[i].flag)) {
			*ret = (enum app_limit_kind)i;
			return true;
		}
	return false;
}

bool app__limit_in_range(enum app_limit_kind kind, uint64_t value, uint64_t *ret_least, uint64_t *ret_most)
{
	static const struct {
		enum app_limit_kind kind;
		uint64_t least, most;
	} ranges[] = {
#define SERVE_LIMIT(...)
#define SERVE_RANGE(scope, field, least, most) {APP_LIMIT_##field, least, most},
#include "limits.def"
#undef SERVE_LIMIT
	};
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		if (ranges[i].kind == kind && (value < ranges[i].least || value > ranges[i].most)) {
			*ret_least = ranges[i].least;
			*ret_most = ranges[i].most;
			return false;
		}
	return true;
}

bool app__limit_fits(enum app_limit_kind kind, enum app__whose whose)
{
	if (whose == APP__WHOSE_route)  // those of a call
		return kind == APP_LIMIT_cpu || kind == APP_LIMIT_deadline || kind == APP_LIMIT_linger;
	return rows[kind].whose == whose;
}
