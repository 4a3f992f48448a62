// Times, sizes and shares as people write them; and the most similar of known names.
#include "app_int.h"

struct unit {
	const char *suffix;
	uint64_t factor;
};

static const struct unit *units_of(char unit)
{
	static const struct unit times[] = {{"ns", 1}, {"us", 1000}, {"ms", MILLISECOND}, {"s", SECOND}, {"m", 60 * SECOND}, {"h", 3600 * SECOND}, {NULL, 0}};
	static const struct unit sizes[] = {{"KiB", KIB}, {"MiB", MIB}, {"GiB", GIB}, {"K", KIB}, {"M", MIB}, {"G", GIB}, {"B", 1}, {"", 1}, {NULL, 0}};
	static const struct unit shares[] = {{"%", 100}, {NULL, 0}}, counts[] = {{"", 1}, {NULL, 0}};
	return unit == 't' ? times : unit == 'b' ? sizes
		: unit == '%'                        ? shares
											 : counts;
}

static size_t digits_at(struct slice s, size_t at)
{
	size_t n = 0;
	while (at + n < s.len && s.ptr[at + n] >= '0' && s.ptr[at + n] <= '9')
		n++;
	return n;
}

// What stands behind the point, of a unit: exact to the unit's parts, what is finer is cut.
static uint64_t part(struct slice fraction, uint64_t factor)
{
	uint64_t sum = 0;
	unsigned __int128 scale = factor;
	unsigned __int128 divisor = 1;
	for (size_t i = 0; i < fraction.len && i < 18; i++) {
		divisor *= 10;
		sum += (uint64_t)(scale * (unsigned)(fraction.ptr[i] - '0') / divisor);
	}
	return sum;
}

bool app_quantity(struct slice s, char unit, bool allow_none, uint64_t *ret, const char **ret_why)
{
	size_t whole = digits_at(s, 0), point = whole < s.len && s.ptr[whole] == '.' && unit != 'n', after = point ? digits_at(s, whole + 1) : 0;
	struct slice suffix = slice_sub(s, whole + point + after, s.len);
	uint64_t n;
	*ret_why = unit == 't' ? allow_none ? "a time with its unit: 500ms, 1.5s, 2m; or none" : "a time with its unit: 500ms, 1.5s, 2m"
		: unit == 'b'      ? allow_none ? "a size: 65536, 64KiB, 256MiB; or none" : "a size: 65536, 64KiB, 256MiB"
		: unit == '%'      ? allow_none ? "a share: 1%, 0.5%; or none" : "a share: 1%, 0.5%"
		: allow_none       ? "a number, or none"
						   : "a number";
	if (allow_none && slice_eq_str(s, "none")) {
		*ret = 0;
		return true;
	}
	if (whole == 0 || (point && after == 0) || !slice_parse_u64(slice_sub(s, 0, whole), UINT64_MAX, &n))
		return false;
	for (const struct unit *u = units_of(unit); u->suffix; u++)
		if (slice_eq_str(suffix, u->suffix)) {
			uint64_t v = sat_add_u64(sat_mul_u64(n, u->factor), part(slice_sub(s, whole + 1, after), u->factor));
			if (v == 0 && allow_none)
				*ret_why = "more than nothing; none means no limit";
			if (v == 0 || (unit == '%' && v > 10000))
				return false;
			*ret = v;
			return true;
		}
	return false;
}

#define MAX_NAME 64

// Letters to change, add, take out or swap with the next (optimal string alignment), of the first MAX_NAME.
static unsigned distance(struct slice a, struct slice b)
{
	unsigned rows[3][MAX_NAME + 1];
	size_t na = min_u64(a.len, MAX_NAME), nb = min_u64(b.len, MAX_NAME);
	for (size_t j = 0; j <= nb; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++) {
		unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *twice = rows[(i + 1) % 3];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned best = above[j - 1] + (a.ptr[i - 1] != b.ptr[j - 1]);
			best = (unsigned)min_u64(best, min_u64(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1])
				best = (unsigned)min_u64(best, twice[j - 2] + 1);
			row[j] = best;
		}
	}
	return rows[na % 3][nb];
}

const char *app__nearest(struct slice name, const char *(*at)(const void *list, uint32_t i), const void *list, uint32_t n)
{
	const char *best = NULL;
	unsigned least = UINT32_MAX;
	for (uint32_t i = 0; i < n; i++) {
		unsigned d = distance(name, slice_str(at(list, i)));
		if (d < least) {
			least = d;
			best = at(list, i);
		}
	}
	return best;
}
