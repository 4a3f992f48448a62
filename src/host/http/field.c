// Characters and names of HTTP: the one validator of everything that is written (L82) and of what is read. RFC 9110 5.1, 5.5, 5.6.2.
#include "http_int.h"

#define IS_ALPHA(c) (((c) >= 'a' && (c) <= 'z') || ((c) >= 'A' && (c) <= 'Z'))
#define IS_DIGIT(c) ((c) >= '0' && (c) <= '9')
#define IS_HEX(c) (IS_DIGIT(c) || ((c) >= 'a' && (c) <= 'f') || ((c) >= 'A' && (c) <= 'F'))
#define IS_TOKEN(c)                                                                                                                   \
	(IS_ALPHA(c) || IS_DIGIT(c) || (c) == '!' || (c) == '#' || (c) == '$' || (c) == '%' || (c) == '&' || (c) == '\'' || (c) == '*' || \
		(c) == '+' || (c) == '-' || (c) == '.' || (c) == '^' || (c) == '_' || (c) == '`' || (c) == '|' || (c) == '~')
#define IS_TARGET(c) ((c) > 0x20 && (c) < 0x7f && (c) != '#')
#define IS_AUTHORITY(c)                                                                                                              \
	(IS_ALPHA(c) || IS_DIGIT(c) || (c) == '-' || (c) == '.' || (c) == '_' || (c) == '~' || (c) == '%' || (c) == '!' || (c) == '$' || \
		(c) == '&' || (c) == '\'' || (c) == '(' || (c) == ')' || (c) == '*' || (c) == '+' || (c) == ',' || (c) == ';' || (c) == '=')
#define CH(c) (IS_TOKEN(c) ? CH_TOKEN : 0) | (IS_TARGET(c) ? CH_TARGET : 0) | (IS_AUTHORITY(c) ? CH_AUTHORITY : 0) | (IS_HEX(c) ? CH_HEX : 0)
#define CH4(c) CH(c), CH((c) + 1), CH((c) + 2), CH((c) + 3)
#define CH16(c) CH4(c), CH4((c) + 4), CH4((c) + 8), CH4((c) + 12)
#define CH64(c) CH16(c), CH16((c) + 16), CH16((c) + 32), CH16((c) + 48)
const uint8_t http__char[256] = {CH64(0), CH64(64), CH64(128), CH64(192)};

static bool all_of(struct slice s, uint8_t bit)
{
	uint8_t all = bit;
	for (size_t i = 0; i < s.len; i++)
		all &= http__char[s.ptr[i]];
	return all != 0;
}

bool http_field_name_is_valid(struct slice name)
{
	return name.len > 0 && name.len <= HTTP_HEAD_MAX && all_of(name, CH_TOKEN);
}

bool http_method_is_valid(struct slice method)
{
	return http_field_name_is_valid(method);
}

// Bytes below 0x20, or equal to 0x7f, have their upper bit set; above the first of them more may be told than there are.
static inline uint64_t controls(const uint8_t *p)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), high = ones * 0x80;
	uint64_t v;
	memcpy(&v, p, 8);
	uint64_t del = v ^ ones * 0x7f;
	return ((v - ones * 0x20) & ~v & high) | ((del - ones) & ~del & high);
}

const uint8_t *http__value_end(const uint8_t *p, const uint8_t *end)
{
	for (;;) {
		while (end - p >= 8) {
			uint64_t found = controls(p);
			if (found) {
				p += __builtin_ctzll(found) / 8;
				break;
			}
			p += 8;
		}
		if (p == end || (*p < 0x20 && *p != '\t') || *p == 0x7f)
			return p;
		p++;
	}
}

bool http_field_value_is_valid(struct slice v)
{
	if (v.len == 0)
		return true;
	if (v.len > HTTP_HEAD_MAX || v.ptr[0] == ' ' || v.ptr[0] == '\t' || v.ptr[v.len - 1] == ' ' || v.ptr[v.len - 1] == '\t')
		return false;
	const uint8_t *end = v.ptr + v.len, *p = v.ptr;
	for (; end - p > 8 && !controls(p); p += 8)
		;
	if (v.len >= 8 && end - p <= 8 && !controls(end - 8))
		return true;
	return http__value_end(p, end) == end;
}

static inline uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

bool http_name_eq(struct slice a, struct slice b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.ptr[i]) != lower(b.ptr[i]))
			return false;
	return true;
}

static const struct forbidden {
	struct slice name;
	bool trailer_only;
} forbidden[] = {
#define FORBIDDEN(text, only) {{(const uint8_t *)(text), sizeof(text) - 1}, only},
#include "forbidden.def"
#undef FORBIDDEN
};

// Lengths of the names that a guest may not set: most others are dismissed by theirs.
static const uint32_t forbidden_lengths = 0
#define FORBIDDEN(text, only) | (only ? 0 : 1u << (sizeof(text) - 1))
#include "forbidden.def"
#undef FORBIDDEN
	;

bool http_field_is_forbidden(struct slice name)
{
	if (name.len >= 32 || !(forbidden_lengths >> name.len & 1))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
		if (!forbidden[i].trailer_only && http_name_eq(name, forbidden[i].name))
			return true;
	return false;
}

bool http__is_trailer_forbidden(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
		if (http_name_eq(name, forbidden[i].name))
			return true;
	return false;
}

bool http_length_parse(struct slice value, uint64_t *ret)
{
	return slice_parse_u64(value, UINT64_MAX - 1, ret);
}

const char *http__status_reason(unsigned status)
{
	switch (status) {
#define STATUS(code, reason) \
	case code:               \
		return reason;
#include "status.def"
#undef STATUS
	default:
		return "";
	}
}

// "[" hex digits, colons and dots "]": what is an address exactly is the router's business, but nothing else may be in there.
static size_t bracket_len(struct slice s)
{
	for (size_t i = 1; i < s.len; i++) {
		if (s.ptr[i] == ']')
			return i > 2 ? i + 1 : 0;
		if (!(http__char[s.ptr[i]] & CH_HEX) && s.ptr[i] != ':' && s.ptr[i] != '.')
			return 0;
	}
	return 0;
}

static bool percents_are_whole(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] == '%' && (s.len - i < 3 || !(http__char[s.ptr[i + 1]] & CH_HEX) || !(http__char[s.ptr[i + 2]] & CH_HEX)))
			return false;
	return true;
}

bool http_authority_is_valid(struct slice a, struct slice *ret_host, struct slice *ret_port)
{
	size_t host = 0;
	struct slice port = {0};
	uint64_t number;
	if (a.len > 0 && a.ptr[0] == '[') {
		host = bracket_len(a);
		if (host == 0)
			return false;
	} else {
		bool percents = false;
		for (; host < a.len && http__char[a.ptr[host]] & CH_AUTHORITY; host++)
			percents |= a.ptr[host] == '%';
		if (percents && !percents_are_whole(slice_of(a.ptr, host)))
			return false;
	}
	if (host < a.len) {
		if (a.ptr[host] != ':' || host == 0)
			return false;
		port = slice_of(a.ptr + host + 1, a.len - host - 1);
		if (port.len > 0 && (port.len > 5 || !slice_parse_u64(port, 65535, &number)))
			return false;
	}
	if (ret_host)
		*ret_host = slice_of(a.ptr, host);
	if (ret_port)
		*ret_port = port;
	return true;
}

bool http_target_is_valid(struct slice t)
{
	return t.len > 0 && t.len <= HTTP_HEAD_MAX && t.ptr[0] == '/' && all_of(t, CH_TARGET);
}

bool http_authority_split(struct slice authority, bool https, char ret_host[HTTP_HOST_MAX + 1], uint16_t *ret_port)
{
	struct slice host, port;
	uint64_t number = https ? 443 : 80;
	if (!http_authority_is_valid(authority, &host, &port))
		return false;
	if (host.len >= 2 && host.ptr[0] == '[')
		host = slice_sub(host, 1, host.len - 2);
	if (host.len > 1 && host.ptr[host.len - 1] == '.')
		host.len--;
	if (port.len && (!slice_parse_u64(port, 65535, &number) || number == 0))
		return false;
	if (host.len == 0 || host.len > HTTP_HOST_MAX || memchr(host.ptr, '%', host.len))
		return false;
	memset(ret_host, 0, HTTP_HOST_MAX + 1);
	for (size_t i = 0; i < host.len; i++)
		ret_host[i] = (char)lower(host.ptr[i]);
	*ret_port = (uint16_t)number;
	return true;
}
