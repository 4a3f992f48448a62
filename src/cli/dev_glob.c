// Which files a pattern of build.watch means.
#include "dev.h"

static struct slice first_part(struct slice s)
{
	return slice_sub(s, 0, slice_find(s, '/'));
}

static struct slice behind(struct slice s, struct slice part)
{
	return slice_sub(s, min_u64(part.len + 1, s.len), SIZE_MAX);
}

static bool is_hidden(struct slice name)
{
	return name.len && name.ptr[0] == '.';
}

// Within a name: the last '*' that was met is tried with one character more.
static bool fits_name(struct slice p, struct slice s)
{
	size_t i = 0, k = 0, star = SIZE_MAX, from = 0;
	if (is_hidden(s) && !is_hidden(p))
		return false;
	while (k < s.len) {
		if (i < p.len && p.ptr[i] == '*') {
			star = i++;
			from = k;
		} else if (i < p.len && (p.ptr[i] == '?' || p.ptr[i] == s.ptr[k])) {
			i++;
			k++;
		} else if (star != SIZE_MAX) {
			i = star + 1;
			k = ++from;
		} else {
			return false;
		}
	}
	while (i < p.len && p.ptr[i] == '*')
		i++;
	return i == p.len;
}

// By parts, in the same way: the last "**" is tried with one part more.
bool dev_glob(struct slice p, struct slice s)
{
	struct slice star = {0}, from = {0};
	bool has_star = false;
	while (s.len) {
		struct slice part = first_part(p), name = first_part(s);
		if (slice_eq_str(part, "**")) {
			p = star = behind(p, part);
			from = s;
			has_star = true;
		} else if (p.len && fits_name(part, name)) {
			p = behind(p, part);
			s = behind(s, name);
		} else if (has_star && !is_hidden(first_part(from))) {
			from = behind(from, first_part(from));
			s = from;
			p = star;
		} else {
			return false;
		}
	}
	while (slice_eq_str(first_part(p), "**"))
		p = behind(p, first_part(p));
	return !p.len;
}

bool dev_glob_beneath(struct slice p, struct slice s)
{
	for (; s.len && !slice_eq_str(first_part(p), "**"); p = behind(p, first_part(p)), s = behind(s, first_part(s)))
		if (!p.len || !fits_name(first_part(p), first_part(s)))
			return false;
	return p.len > 0;
}

struct slice dev_path(struct buf *b, const char *folder, struct slice path)
{
	struct slice from[2] = {slice_str(path.len && path.ptr[0] == '/' ? "" : folder), path};
	buf_clear(b);
	for (size_t i = 0; i < ARRAY_LEN(from); i++)
		for (struct slice s = from[i]; s.len; s = behind(s, first_part(s))) {
			struct slice part = first_part(s);
			if (slice_eq_str(part, "..")) {
				while (b->len && b->ptr[--b->len] != '/')
					;
			} else if (part.len && !slice_eq_str(part, ".")) {
				buf_put_byte(b, '/');
				buf_put_slice(b, part);
			}
		}
	if (!b->len)
		buf_put_byte(b, '/');
	buf_put_byte(b, 0);
	return b->failed ? slice_of("", 0) : slice_of(b->ptr, b->len - 1);
}
