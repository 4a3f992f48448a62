#include "slice.h"

bool slice_dup(struct arena *a, struct slice s, struct slice *ret)
{
	uint8_t *p = arena_alloc(a, s.len + 1, 1);
	if (!p)
		return false;
	if (s.len)
		memcpy(p, s.ptr, s.len);
	p[s.len] = 0;
	*ret = slice_of(p, s.len);
	return true;
}

bool texts_dup(struct arena *a, const char *const *from, uint32_t n, const char ***ret)
{
	*ret = ARENA_ARRAY(a, const char *, n + 1);
	for (uint32_t i = 0; *ret && i < n; i++) {
		struct slice copy;
		if (!slice_dup(a, slice_str(from[i]), &copy))
			return false;
		(*ret)[i] = (const char *)copy.ptr;
	}
	return *ret != NULL;
}

bool slice_parse_u64(struct slice s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;
	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return false;
		if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, s.ptr[i] - '0', &v) || v > max)
			return false;
	}
	*ret = v;
	return true;
}
