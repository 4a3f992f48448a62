// W3C Trace Context, level 1: version "-" trace-id "-" parent-id "-" trace-flags, in lower-case hexadecimal. What a later version has behind that is passed over.
#include "obs.h"

static bool hex(uint8_t c, unsigned *ret)
{
	if (c >= '0' && c <= '9')
		*ret = c - '0';
	else if (c >= 'a' && c <= 'f')
		*ret = c - 'a' + 10u;
	else
		return false;
	return true;
}

static bool bytes_of(struct slice s, size_t at, uint8_t *ret, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned high, low;
		if (!hex(s.ptr[at + 2 * i], &high) || !hex(s.ptr[at + 2 * i + 1], &low))
			return false;
		ret[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

bool obs_context_parse(struct slice s, struct obs_context *ret)
{
	uint8_t version, flags, span[8], any = 0;
	*ret = (struct obs_context){0};
	if (s.len < OBS_PARENT_LEN || s.ptr[2] != '-' || s.ptr[35] != '-' || s.ptr[52] != '-' || !bytes_of(s, 0, &version, 1) || !bytes_of(s, 3, ret->trace, 16) ||
		!bytes_of(s, 36, span, 8) || !bytes_of(s, 53, &flags, 1))
		return false;
	if (version == 0xff || (s.len > OBS_PARENT_LEN && (version == 0 || s.ptr[OBS_PARENT_LEN] != '-')))
		return false;
	for (unsigned i = 0; i < 16; i++)
		any |= ret->trace[i];
	for (unsigned i = 0; i < 8; i++)
		ret->span = ret->span << 8 | span[i];
	ret->sampled = flags & 1;
	return any && ret->span;
}

void obs_context_print(const struct obs_context *c, char ret[OBS_PARENT_LEN])
{
	static const char digits[] = "0123456789abcdef";
	memcpy(ret, "00-", 3);
	for (unsigned i = 0; i < 16; i++) {
		ret[3 + 2 * i] = digits[c->trace[i] >> 4];
		ret[4 + 2 * i] = digits[c->trace[i] & 15];
	}
	ret[35] = '-';
	for (unsigned i = 0; i < 16; i++)
		ret[36 + i] = digits[c->span >> (60 - 4 * i) & 15];
	memcpy(ret + 52, c->sampled ? "-01" : "-00", 3);
}
