// Time zones: files of the system's database (RFC 8536), and the rule at their end by which they go on.
#include <ctype.h>

#include "trigger.h"

enum { MAX_FILE = 1 << 20, MAX_TIMES = 10000, DAY = 86400 };

// When local time changes in a year: month, week and weekday; a day from 1 without 29 February; a day from 0.
struct rule_date {
	enum { BY_WEEKDAY, BY_DAY, BY_DAY_OF_ALL } by;
	int month, week, day;
	int32_t second;  // of the local day
};
struct serve_zone {
	uint32_t n;         // of changes
	int64_t *at;
	int32_t *offset;    // from then on
	int32_t first;      // before all of them
	bool has_rule, has_summer;  // behind them; else the last holds
	int32_t winter, summer;
	struct rule_date to_summer, to_winter;
};

// ---- days --------------------------------------------------------------------------------------------------------------------------------------

static bool is_leap(int64_t y)
{
	return y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
}

// Of 1 January, since 1970.
static int64_t first_day(int64_t y)
{
	int64_t before = y - 1;
	return 365 * (y - 1970) + (before / 4 - 1969 / 4) - (before / 100 - 1969 / 100) + (before / 400 - 1969 / 400);
}

static int64_t year_of(int64_t seconds)
{
	int64_t y = 1970 + seconds / (DAY * INT64_C(365));
	while (first_day(y) * DAY > seconds)
		y--;
	while (first_day(y + 1) * DAY <= seconds)
		y++;
	return y;
}

static int64_t day_of(const struct rule_date *d, int64_t y)
{
	static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
	int64_t first = first_day(y);
	if (d->by == BY_DAY_OF_ALL)
		return first + d->day;
	if (d->by == BY_DAY)
		return first + d->day - 1 + (is_leap(y) && d->day >= 60);
	int64_t begins = first + before[d->month - 1] + (is_leap(y) && d->month > 2);
	int64_t ends = first + before[d->month] + (is_leap(y) && d->month > 1);
	int64_t weekday = ((begins + 4) % 7 + 7) % 7;  // 1 January 1970 was a Thursday
	int64_t day = begins + (d->day - weekday + 7) % 7 + (d->week - 1) * INT64_C(7);
	return day >= ends ? day - 7 : day;
}

// ---- the rule ------------------------------------------------------------------------------------------------------------------------------------

static bool take_number(const char **s, int most, int *ret)
{
	int n = 0;
	if (!isdigit((unsigned char)**s))
		return false;
	for (; isdigit((unsigned char)**s); (*s)++) {
		n = n * 10 + (**s - '0');
		if (n > most)
			return false;
	}
	*ret = n;
	return true;
}

// "[+-]hh[:mm[:ss]]"
static bool take_time(const char **s, int32_t *ret)
{
	int sign = 1, part[3] = {0};
	if (**s == '+' || **s == '-')
		sign = *(*s)++ == '-' ? -1 : 1;
	if (!take_number(s, 167, &part[0]))
		return false;
	for (int i = 1; i < 3 && **s == ':'; i++) {
		(*s)++;
		if (!take_number(s, 59, &part[i]))
			return false;
	}
	*ret = sign * (part[0] * 3600 + part[1] * 60 + part[2]);
	return true;
}

// "CET" or "<+0330>"
static bool take_name(const char **s)
{
	const char *from = *s;
	if (**s == '<') {
		const char *end = strchr(*s, '>');
		*s = end ? end + 1 : *s;
	} else {
		while (isalpha((unsigned char)**s))
			(*s)++;
	}
	return *s != from;
}

static bool take_date(const char **s, struct rule_date *ret)
{
	*ret = (struct rule_date){.second = 7200};
	if (*(*s)++ != ',')
		return false;
	if (**s == 'M') {
		(*s)++;
		if (!take_number(s, 12, &ret->month) || *(*s)++ != '.' || !take_number(s, 5, &ret->week) || *(*s)++ != '.' || !take_number(s, 6, &ret->day) ||
			ret->month == 0 || ret->week == 0)
			return false;
	} else {
		ret->by = **s == 'J' ? BY_DAY : BY_DAY_OF_ALL;
		*s += **s == 'J';
		if (!take_number(s, 365, &ret->day))
			return false;
	}
	if (**s != '/')
		return true;
	(*s)++;
	return take_time(s, &ret->second);
}

// A POSIX TZ: "CET-1CEST,M3.5.0,M10.5.0/3". Hours there are west of Greenwich.
static bool parse_rule(struct serve_zone *z, const char *s)
{
	int32_t west;
	if (!take_name(&s) || !take_time(&s, &west))
		return false;
	z->winter = -west;
	z->has_rule = true;
	if (!*s)
		return true;
	z->has_summer = true;
	z->summer = z->winter + 3600;
	if (!take_name(&s))
		return false;
	if (*s != ',') {
		if (!take_time(&s, &west))
			return false;
		z->summer = -west;
	}
	return take_date(&s, &z->to_summer) && take_date(&s, &z->to_winter) && !*s;
}

// Of a time behind all changes that the file lists.
static struct serve_span by_rule(const struct serve_zone *z, int64_t at)
{
	struct serve_span s = {INT64_MIN, INT64_MAX, z->winter, z->winter};
	if (!z->has_summer)
		return s;
	int64_t y = year_of(at + z->winter);
	for (int64_t k = y - 1; k <= y + 1; k++) {
		int64_t up = day_of(&z->to_summer, k) * DAY + z->to_summer.second - z->winter, down = day_of(&z->to_winter, k) * DAY + z->to_winter.second - z->summer;
		const struct serve_span both[] = {{up, 0, z->summer, z->winter}, {down, 0, z->winter, z->summer}};
		for (int i = 0; i < 2; i++) {
			if (both[i].from <= at && both[i].from > s.from)
				s = (struct serve_span){both[i].from, s.until, both[i].offset, both[i].before};
			if (both[i].from > at && both[i].from < s.until)
				s.until = both[i].from;
		}
	}
	return s;
}

struct serve_span serve__zone_at(const struct serve_zone *z, int64_t at)
{
	uint32_t low = 0, high = z->n;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (z->at[mid] <= at)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == z->n && z->has_rule) {
		struct serve_span s = by_rule(z, at);
		int64_t last = z->n ? z->at[z->n - 1] : INT64_MIN;
		if (s.from > last)
			return s;
		return (struct serve_span){last, s.until, s.offset, z->n > 1 ? z->offset[z->n - 2] : z->first};
	}
	return (struct serve_span){low ? z->at[low - 1] : INT64_MIN, low < z->n ? z->at[low] : INT64_MAX, low ? z->offset[low - 1] : z->first,
		low > 1 ? z->offset[low - 2] : z->first};
}

// ---- the file ------------------------------------------------------------------------------------------------------------------------------------

static uint64_t big_endian(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

// Counts of a header, at its place 20: isutc, isstd, leap, times, types, chars. 0: it is none.
static size_t header(struct slice s, uint32_t n[6])
{
	if (s.len < 44 || memcmp(s.ptr, "TZif", 4) != 0)
		return 0;
	for (unsigned i = 0; i < 6; i++) {
		n[i] = (uint32_t)big_endian(s.ptr + 20 + i * 4, 4);
		if (n[i] > MAX_TIMES)
			return 0;
	}
	return 44;
}

static size_t body_size(const uint32_t n[6], size_t time_size)
{
	return n[3] * time_size + n[3] + n[4] * (size_t)6 + n[5] + n[2] * (time_size + 4) + n[1] + n[0];
}

// Before the first change the first type holds.
static bool take_times(struct serve_zone *z, const uint8_t *p, const uint32_t n[6])
{
	const uint8_t *types = p + n[3] * (size_t)9;
	for (uint32_t i = 0; i < n[3]; i++) {
		uint8_t type = p[n[3] * (size_t)8 + i];
		if (type >= n[4])
			return false;
		z->at[i] = (int64_t)big_endian(p + i * (size_t)8, 8);
		z->offset[i] = (int32_t)big_endian(types + type * (size_t)6, 4);
		if (i && z->at[i] <= z->at[i - 1])
			return false;
	}
	z->n = n[3];
	z->first = n[4] ? (int32_t)big_endian(types, 4) : 0;
	return n[4] > 0;
}

// The second part, of 64 bits, and the rule in lines behind it.
static bool parse(struct serve_zone *z, struct slice s)
{
	uint32_t n[6];
	size_t at = header(s, n);
	char rule[128];
	if (!at || s.ptr[4] < '2' || s.len - at < body_size(n, 4))
		return false;
	s = slice_sub(s, at + body_size(n, 4), s.len);
	at = header(s, n);
	if (!at || s.len - at < body_size(n, 8))
		return false;
	z->at = mem_alloc((n[3] + 1) * sizeof *z->at);
	z->offset = mem_alloc((n[3] + 1) * sizeof *z->offset);
	if (!z->at || !z->offset || !take_times(z, s.ptr + at, n))
		return false;
	s = slice_sub(s, at + body_size(n, 8), s.len);
	if (s.len < 2 || s.ptr[0] != '\n')
		return false;
	s = slice_sub(s, 1, s.len);
	s = slice_sub(s, 0, slice_find(s, '\n'));
	if (s.len == 0)
		return true;
	if (s.len >= sizeof rule)
		return false;
	memcpy(rule, s.ptr, s.len);
	rule[s.len] = 0;
	return parse_rule(z, rule);
}

struct serve_zone *serve__zone_parse(struct slice bytes)
{
	struct serve_zone *z = mem_zalloc(sizeof *z);
	if (z && parse(z, bytes))
		return z;
	serve__zone_close(z);
	return NULL;
}

void serve__zone_close(struct serve_zone *z)
{
	if (!z)
		return;
	mem_free(z->at);
	mem_free(z->offset);
	mem_free(z);
}

static bool read_file(const char *name, struct buf *b, struct err *e)
{
	char path[300];
	snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
	FILE *f = strstr(name, "..") || strlen(name) > 200 ? NULL : fopen(path, "re");
	bool ok = f && buf_read(b, f, path, NULL);
	if (f)
		fclose(f);
	if (ok)
		return true;
	err_set(e, ERR_USAGE, "there is no time zone '%.80s'", name);
	return err_hint(e, "Europe/Berlin, America/New_York, UTC: those of /usr/share/zoneinfo (Debian: tzdata)");
}

bool serve__zone_open(const char *name, struct serve_zone **ret, struct err *e)
{
	struct buf b = {.max = MAX_FILE};
	if (strcmp(name, "UTC") == 0) {
		*ret = mem_zalloc(sizeof **ret);
		return *ret || err_nomem(e);
	}
	bool ok = read_file(name, &b, e);
	*ret = ok ? serve__zone_parse(buf_view(&b)) : NULL;
	buf_release(&b);
	if (*ret || !ok)
		return ok;
	return err_set(e, ERR_USAGE, "'%.80s' is no time zone, or one that can't be read", name);
}

bool serve_check_timezone(const char *name, struct err *e)
{
	struct serve_zone *z;
	bool ok = serve__zone_open(name, &z, e);
	serve__zone_close(ok ? z : NULL);
	return ok;
}
