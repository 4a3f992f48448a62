// Which of two versions a request runs in.
#include "serve_int.h"

#include "sys/sys.h"

// A part of a cookie field: "a=1; v=2".
static struct slice cookie_of(struct slice field, struct slice name)
{
	while (field.len) {
		size_t end = slice_find(field, ';');
		struct slice pair = slice_sub(field, 0, end);
		while (pair.len && pair.ptr[0] == ' ')
			pair = slice_sub(pair, 1, pair.len);
		if (slice_starts_with(pair, name) && pair.len > name.len && pair.ptr[name.len] == '=')
			return slice_sub(pair, name.len + 1, pair.len);
		field = slice_sub(field, end + 1, field.len);
	}
	return slice_of(NULL, 0);
}

static struct slice sticky_of(const struct serve_choice *c, const struct http_request *r)
{
	for (uint32_t i = 0; i < r->field_count; i++) {
		struct slice value = r->fields[i].value;
		if (!http_name_eq(r->fields[i].name, c->header ? slice_str(c->header) : SLICE_LIT("cookie")))
			continue;
		if (!c->header)
			value = cookie_of(value, slice_str(c->cookie));
		if (value.len)
			return value;
	}
	return slice_of(NULL, 0);
}

// Among the values of a cookie, one that always leads to where its client is now.
static void set_cookie(struct serve_shard *s, bool tries, char *ret, size_t size)
{
	enum { LOOKS = 10000, COOKIE_DIGITS = 16 };
	const struct serve_choice *c = s->choice;
	const uint64_t seed[] = {sys_now_ns(), s->request_count, s->index};
	uint64_t value = hash_u64(slice_of(seed, sizeof seed));
	char text[COOKIE_DIGITS + 1];
	for (unsigned i = 0; i < LOOKS; i++, value++) {
		snprintf(text, sizeof text, "%016llx", (unsigned long long)value);
		if ((hash_u64(slice_of(text, COOKIE_DIGITS)) % 100 < c->percent) == tries)
			break;
	}
	if ((size_t)snprintf(ret, size, "%s=%s; Path=/; HttpOnly; SameSite=Lax", c->cookie, text) >= size)
		ret[0] = 0;  // of so long a name
}

// Of 100 requests exactly `percent`, spread evenly.
static bool take_turn(struct serve_shard *s)
{
	s->turn += s->choice->percent;
	if (s->turn < 100)
		return false;
	s->turn -= 100;
	return true;
}

// By turns, or who carries one value always the same.
bool serve__choice_tries(struct serve_shard *s, const struct http_request *r, char *ret_cookie, size_t size)
{
	const struct serve_choice *c = s->choice;
	ret_cookie[0] = 0;
	if (LIKELY(!s->tried))
		return false;
	struct slice sticky = c->cookie || c->header ? sticky_of(c, r) : slice_of(NULL, 0);
	if (sticky.len)
		return hash_u64(sticky) % 100 < c->percent;
	bool tries = take_turn(s);
	if (c->cookie)
		set_cookie(s, tries, ret_cookie, size);
	return tries;
}
