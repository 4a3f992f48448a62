// Schedules and time zones: what comes next, through the days on which a zone has 23 or 25 hours.
#include "app/app.h"
#include "serve/trigger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

// A file without changes, which goes on by the rule.
static struct serve_zone *zone_of(const char *rule)
{
	static const uint8_t empty[] = {'T', 'Z', 'i', 'f', '2', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		1, 0, 0, 0, 4};
	struct buf b = {0};
	for (int part = 0; part < 2; part++) {
		buf_put_slice(&b, slice_of(empty, sizeof empty));
		buf_put_slice(&b, slice_of("\0\0\0\0\0\0UTC", 10));
	}
	buf_printf(&b, "\n%s\n", rule);
	struct serve_zone *z = serve__zone_parse(buf_view(&b));
	buf_release(&b);
	return z;
}

static int64_t days(int64_t y, unsigned m, unsigned d)
{
	y -= m <= 2;
	int64_t era = y / 400, yoe = y - era * 400, doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

// Of UTC.
static int64_t at(int64_t y, unsigned m, unsigned d, int h, int min, int s)
{
	return days(y, m, d) * 86400 + h * 3600 + min * 60 + s;
}

static struct app_schedule every(void)
{
	return (struct app_schedule){1, (UINT64_C(1) << 60) - 1, (1u << 24) - 1, 0xfffffffe, 0x1ffe, 0x7f, false};
}

static struct app_schedule daily(unsigned hour, unsigned minute)
{
	struct app_schedule s = every();
	s.hours = 1u << hour;
	s.minutes = UINT64_C(1) << minute;
	return s;
}

static void the_next_time_lies_behind_the_one_that_is_given(void **state)
{
	struct serve_zone *z = zone_of("UTC0");
	struct app_schedule s = every();
	assert_int_equal(serve__cron_next(&s, z, at(2026, 3, 1, 12, 0, 0)), at(2026, 3, 1, 12, 1, 0));
	assert_int_equal(serve__cron_next(&s, z, at(2026, 3, 1, 11, 59, 59)), at(2026, 3, 1, 12, 0, 0));
	s.seconds = (UINT64_C(1) << 60) - 1;
	assert_int_equal(serve__cron_next(&s, z, at(2026, 12, 31, 23, 59, 59)), at(2027, 1, 1, 0, 0, 0));
	s = daily(3, 30);
	assert_int_equal(serve__cron_next(&s, z, at(2026, 3, 1, 3, 30, 0)), at(2026, 3, 2, 3, 30, 0));
	serve__zone_close(z);
}

static void days_are_by_the_month_or_by_the_week(void **state)
{
	struct serve_zone *z = zone_of("UTC0");
	struct app_schedule s = daily(0, 0);
	s.days = 1u << 29;
	s.months = 1u << 2;
	assert_int_equal(serve__cron_next(&s, z, at(2026, 3, 1, 0, 0, 0)), at(2028, 2, 29, 0, 0, 0));
	assert_int_equal(serve__cron_next(&s, z, at(2096, 3, 1, 0, 0, 0)), at(2104, 2, 29, 0, 0, 0));  // 2100 is no leap year
	s = daily(0, 0);
	s.weekdays = 1 << 1;
	assert_int_equal(serve__cron_next(&s, z, at(2026, 11, 29, 12, 0, 0)), at(2026, 11, 30, 0, 0, 0));  // a Monday
	s.days = 1u << 13;
	assert_int_equal(serve__cron_next(&s, z, at(2026, 11, 29, 12, 0, 0)), at(2027, 9, 13, 0, 0, 0));  // a 13th that is a Monday
	s.either_day = true;
	assert_int_equal(serve__cron_next(&s, z, at(2026, 12, 8, 0, 0, 0)), at(2026, 12, 13, 0, 0, 0));
	assert_int_equal(serve__cron_next(&s, z, at(2026, 12, 13, 0, 0, 0)), at(2026, 12, 14, 0, 0, 0));
	serve__zone_close(z);
}

static void a_zone_is_hours_away(void **state)
{
	struct serve_zone *z = zone_of("<+0530>-5:30");
	struct app_schedule s = daily(9, 0);
	assert_int_equal(serve__cron_next(&s, z, at(2026, 6, 1, 0, 0, 0)), at(2026, 6, 1, 3, 30, 0));
	serve__zone_close(z);
	z = zone_of("EST5EDT,M3.2.0,M11.1.0");
	assert_int_equal(serve__cron_next(&s, z, at(2026, 1, 15, 0, 0, 0)), at(2026, 1, 15, 14, 0, 0));
	assert_int_equal(serve__cron_next(&s, z, at(2026, 7, 15, 0, 0, 0)), at(2026, 7, 15, 13, 0, 0));
	serve__zone_close(z);
}

#define BERLIN "CET-1CEST,M3.5.0,M10.5.0/3"

static void an_hour_that_is_left_out_is_made_up_for_behind_the_gap(void **state)
{
	struct serve_zone *z = zone_of(BERLIN);
	struct app_schedule s = daily(2, 30);
	assert_int_equal(serve__cron_next(&s, z, at(2026, 3, 28, 12, 0, 0)), at(2026, 3, 29, 1, 0, 0));  // 03:00 summer time
	assert_int_equal(serve__cron_next(&s, z, at(2026, 3, 29, 1, 0, 0)), at(2026, 3, 30, 0, 30, 0));
	s = every();  // no hour is named: nothing is made up for
	s.minutes = UINT64_C(1) << 30;
	assert_int_equal(serve__cron_next(&s, z, at(2026, 3, 29, 0, 30, 0)), at(2026, 3, 29, 1, 30, 0));
	serve__zone_close(z);
}

static void an_hour_that_comes_twice_counts_once_where_it_is_named(void **state)
{
	struct serve_zone *z = zone_of(BERLIN);
	struct app_schedule s = daily(2, 30);
	assert_int_equal(serve__cron_next(&s, z, at(2026, 10, 24, 12, 0, 0)), at(2026, 10, 25, 0, 30, 0));
	assert_int_equal(serve__cron_next(&s, z, at(2026, 10, 25, 0, 30, 0)), at(2026, 10, 26, 1, 30, 0));
	s = every();
	s.minutes = UINT64_C(1) << 30;
	assert_int_equal(serve__cron_next(&s, z, at(2026, 10, 25, 0, 30, 0)), at(2026, 10, 25, 1, 30, 0));
	serve__zone_close(z);
}

static void no_midnight_is_passed_over_on_a_short_day(void **state)
{
	struct serve_zone *z = zone_of(BERLIN);
	struct app_schedule s = daily(0, 15);
	assert_int_equal(serve__cron_next(&s, z, at(2026, 3, 28, 23, 15, 0)), at(2026, 3, 29, 22, 15, 0));
	assert_int_equal(serve__cron_next(&s, z, at(2026, 10, 24, 22, 15, 0)), at(2026, 10, 25, 23, 15, 0));
	serve__zone_close(z);
}

static void rules_have_many_forms(void **state)
{
	static const char *const good[] = {"UTC0", "<-03>3", "NZST-12NZDT,M9.5.0,M4.1.0/3", "IST-1GMT0,M10.5.0,M3.5.0/1", "XXX3YYY2,J60/0,J300/-1:30", "AAA0BBB,0/0,364/167"};
	static const char *const bad[] = {"UTC", "0", "CET-1CEST,M13.1.0,M10.5.0", "CET-1CEST,M3.0.0,M10.5.0", "CET-1CEST,M3.5.0", "CET-1CEST,M3.5.0,M10.5.0x", "CET-200",
		"<CET-1", "CET-1:99"};
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct serve_zone *z = zone_of(good[i]);
		assert_non_null(z);
		serve__zone_close(z);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_null(zone_of(bad[i]));
}

static void half_a_file_is_none(void **state)
{
	uint8_t bytes[400] = "TZif2";
	for (size_t n = 0; n <= sizeof bytes; n++) {
		memset(bytes + 20, n % 7 ? 0xff : 0, 24);
		assert_null(serve__zone_parse(slice_of(bytes, n)));
	}
}

static void the_systems_database_is_read(void **state)
{
	struct serve_zone *z;
	struct err e = {0};
	if (!serve__zone_open("Europe/Berlin", &z, &e))
		skip();
	struct serve_span s = serve__zone_at(z, at(2026, 7, 1, 0, 0, 0));
	assert_int_equal(s.offset, 7200);
	assert_int_equal(s.until, at(2026, 10, 25, 1, 0, 0));
	assert_int_equal(s.before, 3600);
	assert_int_equal(serve__zone_at(z, at(1990, 1, 1, 0, 0, 0)).offset, 3600);
	assert_int_equal(serve__zone_at(z, at(2061, 7, 1, 0, 0, 0)).offset, 7200);
	serve__zone_close(z);
	assert_false(serve__zone_open("../../../etc/passwd", &z, &e));
	assert_int_equal(e.code, ERR_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_next_time_lies_behind_the_one_that_is_given),
		cmocka_unit_test(days_are_by_the_month_or_by_the_week),
		cmocka_unit_test(a_zone_is_hours_away),
		cmocka_unit_test(an_hour_that_is_left_out_is_made_up_for_behind_the_gap),
		cmocka_unit_test(an_hour_that_comes_twice_counts_once_where_it_is_named),
		cmocka_unit_test(no_midnight_is_passed_over_on_a_short_day),
		cmocka_unit_test(rules_have_many_forms),
		cmocka_unit_test(half_a_file_is_none),
		cmocka_unit_test(the_systems_database_is_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
