// Days and times of seconds since 1970, by the Gregorian calendar. Unlike gmtime_r and strftime it reads no file: the C library looks for the zone first.
#ifndef TENON_BASE_UTC_H
#define TENON_BASE_UTC_H

#include <stdint.h>

struct utc {
	int64_t year;
	unsigned month, day, weekday;  // month and day from 1, weekday from 0: Sunday
	unsigned hour, minute, second;
};

struct utc utc_of(int64_t seconds);
// Of month 1 to 12, of weekday 0 to 6: "Jan", "Sun".
const char *utc_month_name(unsigned month);
const char *utc_weekday_name(unsigned weekday);

#endif
