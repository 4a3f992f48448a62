// Times of cron: five fields (minute hour day month weekday), or six with seconds before them; lists, ranges and steps, names of months and days; @hourly and the like.
#include "app_int.h"

#include <ctype.h>

struct field {
	const char *what;
	unsigned least, most;
	const char *names;  // three letters each, from `least` on; NULL
};
static const struct field fields[] = {{"second", 0, 59, NULL}, {"minute", 0, 59, NULL}, {"hour", 0, 23, NULL}, {"day", 1, 31, NULL},
	{"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"}, {"weekday", 0, 7, "sunmontuewedthufrisat"}};

// A number or a name at *at.
static bool number(struct slice s, size_t *at, const struct field *f, unsigned *ret)
{
	size_t from = *at;
	uint64_t v;
	while (*at < s.len && isdigit(s.ptr[*at]))
		(*at)++;
	if (*at > from && slice_parse_u64(slice_sub(s, from, *at - from), f->most, &v) && v >= f->least) {
		*ret = (unsigned)v;
		return true;
	}
	if (!f->names || *at != from || s.len - from < 3)
		return false;
	char name[4] = {(char)tolower(s.ptr[from]), (char)tolower(s.ptr[from + 1]), (char)tolower(s.ptr[from + 2]), 0};
	const char *found = strstr(f->names, name);
	if (!found || (found - f->names) % 3 != 0)
		return false;
	*at += 3;
	*ret = f->least + (unsigned)(found - f->names) / 3;
	return true;
}

// "*", "5", "1-5", each with "/2" behind it.
static bool range(struct slice s, const struct field *f, uint64_t *bits)
{
	unsigned from = f->least, to = f->most, step = 1;
	size_t at = 0;
	bool is_one = false;
	if (s.len && s.ptr[0] == '*') {
		at = 1;
		to = f->names && f->least == 0 ? 6 : to;  // 7 is Sunday again
	} else {
		if (!number(s, &at, f, &from))
			return false;
		is_one = at == s.len || s.ptr[at] != '-';
		if (is_one)
			to = from;
		else if (at++, !number(s, &at, f, &to) || to < from)
			return false;
	}
	if (at < s.len && s.ptr[at] == '/') {
		uint64_t n;
		if (!slice_parse_u64(slice_sub(s, at + 1, s.len), 59, &n) || n == 0)
			return false;
		step = (unsigned)n;
		to = is_one ? f->most : to;
		at = s.len;
	}
	for (unsigned i = from; i <= to; i += step)
		*bits |= UINT64_C(1) << i;
	return at == s.len;
}

static bool parse_field(struct slice s, const struct field *f, uint64_t *ret)
{
	*ret = 0;
	for (;;) {
		size_t end = slice_find(s, ',');
		if (!range(slice_sub(s, 0, end), f, ret))
			return false;
		if (end == s.len)
			return true;
		s = slice_sub(s, end + 1, s.len);
	}
}

static struct slice next_word(struct slice *rest)
{
	size_t from = 0, end;
	while (from < rest->len && (rest->ptr[from] == ' ' || rest->ptr[from] == '\t'))
		from++;
	for (end = from; end < rest->len && rest->ptr[end] != ' ' && rest->ptr[end] != '\t';)
		end++;
	struct slice word = slice_sub(*rest, from, end - from);
	*rest = slice_sub(*rest, end, rest->len);
	return word;
}

static const char *written_out(const char *text)
{
	static const char *const names[][2] = {{"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"}, {"@weekly", "0 0 * * 0"},
		{"@daily", "0 0 * * *"}, {"@midnight", "0 0 * * *"}, {"@hourly", "0 * * * *"}};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(text, names[i][0]) == 0)
			return names[i][1];
	return text;
}

// February never has 30 days, and April never 31: such a schedule would wait for ever.
static bool ever_comes(const struct app_schedule *s)
{
	static const unsigned days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	if (s->either_day)
		return true;
	for (unsigned month = 1; month <= 12; month++)
		if (s->months >> month & 1 && s->days & ((UINT64_C(2) << days[month - 1]) - 1))
			return true;
	return false;
}

bool app__schedule(struct app__load *l, struct app_cron *c)
{
	struct slice rest = slice_str(written_out(c->schedule.text)), words[7];
	uint64_t bits[6] = {1};
	size_t n = 0;
	while (n < ARRAY_LEN(words) && (words[n] = next_word(&rest)).len)
		n++;
	if (n != 5 && n != 6) {
		app__fail(l, c->schedule.at, "a schedule has five fields, or six with the seconds first: '%.80s'", c->schedule.text);
		return l->e ? err_hint(l->e, "*/5 * * * *: every five minutes; minute hour day month weekday") : false;
	}
	for (size_t i = 0; i < n; i++) {
		const struct field *f = &fields[i + 6 - n];
		if (!parse_field(words[i], f, &bits[i + 6 - n])) {
			app__fail(l, c->schedule.at, "the %s of a schedule can't be '%.*s'", f->what, (int)min_u64(words[i].len, 64), (const char *)words[i].ptr);
			return l->e ? err_hint(l->e, "%u to %u%s, *, ranges with -, lists with commas, steps with /", f->least, f->most, f->names ? " or a name" : "") : false;
		}
	}
	bool any_day = words[n - 3].ptr[0] == '*', any_weekday = words[n - 1].ptr[0] == '*';
	c->when = (struct app_schedule){bits[0], bits[1], (uint32_t)bits[2], (uint32_t)bits[3], (uint16_t)bits[4], (uint8_t)((bits[5] | bits[5] >> 7) & 0x7f),
		!any_day && !any_weekday};
	return ever_comes(&c->when) || app__fail(l, c->schedule.at, "no month of the schedule '%.80s' has such a day", c->schedule.text);
}
