// Days and times of seconds since 1970.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/base.h"

static void known_times_are_told(void **state)
{
	struct utc t = utc_of(0);
	assert_true(t.year == 1970 && t.month == 1 && t.day == 1 && t.hour == 0 && t.minute == 0 && t.second == 0);
	assert_string_equal(utc_weekday_name(t.weekday), "Thu");
	t = utc_of(784111777);  // RFC 9110, section 5.6.7
	assert_true(t.year == 1994 && t.month == 11 && t.day == 6 && t.hour == 8 && t.minute == 49 && t.second == 37);
	assert_string_equal(utc_weekday_name(t.weekday), "Sun");
	assert_string_equal(utc_month_name(t.month), "Nov");
	t = utc_of(-1);
	assert_true(t.year == 1969 && t.month == 12 && t.day == 31 && t.hour == 23 && t.minute == 59 && t.second == 59);
}

static void each_day_is_as_the_c_library_has_it(void **state)
{
	for (int64_t day = -800000; day < 800000; day++) {  // the years -221 to 4160
		time_t at = day * 86400 + (day * 7919 % 86400 + 86400) % 86400;
		struct tm tm;
		struct utc t = utc_of(at);
		gmtime_r(&at, &tm);
		assert_true(t.year == tm.tm_year + 1900 && t.month == (unsigned)tm.tm_mon + 1 && t.day == (unsigned)tm.tm_mday);
		assert_true(t.weekday == (unsigned)tm.tm_wday && t.hour == (unsigned)tm.tm_hour && t.minute == (unsigned)tm.tm_min && t.second == (unsigned)tm.tm_sec);
	}
}

static void names_are_those_of_the_c_locale(void **state)
{
	char text[8];
	struct tm tm = {0};
	for (unsigned i = 0; i < 12; i++) {
		tm.tm_mon = (int)i;
		strftime(text, sizeof text, "%b", &tm);
		assert_string_equal(utc_month_name(i + 1), text);
	}
	for (unsigned i = 0; i < 7; i++) {
		tm.tm_wday = (int)i;
		strftime(text, sizeof text, "%a", &tm);
		assert_string_equal(utc_weekday_name(i), text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_times_are_told),
		cmocka_unit_test(each_day_is_as_the_c_library_has_it),
		cmocka_unit_test(names_are_those_of_the_c_locale),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
