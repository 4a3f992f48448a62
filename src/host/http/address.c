// Numeric addresses to listen on, as text and back. No name but "localhost" is looked up: a server's address must not hang on DNS.
#include "http_int.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static bool bad_address(struct err *e, struct slice text, const char *why)
{
	err_set(e, ERR_USAGE, "'%.*s' is no address to listen on: %s", SLICE_ARGS(slice_sub(text, 0, 100)), why);
	return err_hint(e, "write HOST:PORT with a numeric host, as 127.0.0.1:3000, [::1]:3000 or :3000 (all interfaces), or unix:PATH");
}

bool http_address_parse(struct slice text, struct http_address *ret, struct err *e)
{
	size_t colon = text.len;
	while (colon > 0 && text.ptr[colon - 1] != ':')
		colon--;
	if (colon == 0)
		return bad_address(e, text, "it has no port");
	struct slice host = slice_sub(text, 0, colon - 1), port = slice_sub(text, colon, text.len);
	uint64_t number;
	if (!slice_parse_u64(port, 65535, &number))
		return bad_address(e, text, "the port is no number from 0 to 65535");
	char name[INET6_ADDRSTRLEN + 1] = {0};
	bool six = host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
	if (six)
		host = slice_sub(host, 1, host.len - 2);
	else if (slice_eq_str(host, "localhost"))
		host = SLICE_LIT("127.0.0.1");
	else if (host.len == 0)
		host = SLICE_LIT("::");
	if (host.len >= sizeof name)
		return bad_address(e, text, "the host is not numeric");
	memcpy(name, host.ptr, host.len);
	struct http_address a = {.all = slice_eq_str(host, "::")};
	if (six || a.all) {
		struct sockaddr_in6 *in = (void *)a.bytes;
		in->sin6_family = AF_INET6;
		in->sin6_port = htons((uint16_t)number);
		a.len = sizeof *in;
		if (inet_pton(AF_INET6, name, &in->sin6_addr) != 1)
			return bad_address(e, text, "the host is no IPv6 address");
		if (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr))
			return bad_address(e, text, "it is one of IPv4: write it without ::ffff: and brackets");
	} else {
		struct sockaddr_in *in = (void *)a.bytes;
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)number);
		a.len = sizeof *in;
		if (inet_pton(AF_INET, name, &in->sin_addr) != 1)
			return bad_address(e, text, "the host is not numeric");
	}
	*ret = a;
	return true;
}

bool http__address_key(const struct http_address *a, uint8_t key[16])
{
	uint16_t family;
	memcpy(&family, a->bytes, sizeof family);
	if (a->len >= sizeof(struct sockaddr_in) && family == AF_INET) {
		memcpy(key, a->bytes + offsetof(struct sockaddr_in, sin_addr), 4);
		return true;
	}
	if (a->len != sizeof(struct sockaddr_in6) || family != AF_INET6)
		return false;
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	const uint8_t *ip = a->bytes + offsetof(struct sockaddr_in6, sin6_addr);
	if (memcmp(ip, mapped, sizeof mapped) == 0)
		memcpy(key, ip + 12, 4);
	else
		memcpy(key + 4, ip, 8);  // a network of 64 bits is one client's
	return true;
}

bool http__address_to_v4(struct http_address *a)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(http_address_port(a))};
	if (sys_has_ipv6())
		return false;
	*a = (struct http_address){.len = sizeof in};
	memcpy(a->bytes, &in, sizeof in);
	return true;
}

uint16_t http_address_port(const struct http_address *a)
{
	uint16_t port;  // at the same place in both
	memcpy(&port, a->bytes + offsetof(struct sockaddr_in, sin_port), sizeof port);
	return a->len ? ntohs(port) : 0;
}

void http_address_print(const struct http_address *a, char *out, size_t cap)
{
	char name[INET6_ADDRSTRLEN] = "";
	uint16_t family;
	memcpy(&family, a->bytes, sizeof family);
	if (a->len == sizeof(struct sockaddr_in6) && family == AF_INET6) {
		const uint8_t *addr = a->bytes + offsetof(struct sockaddr_in6, sin6_addr);
		bool mapped = IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)(const void *)addr);  // a peer that came by IPv4
		inet_ntop(mapped ? AF_INET : AF_INET6, mapped ? addr + 12 : addr, name, sizeof name);
		snprintf(out, cap, mapped ? "%s:%u" : "[%s]:%u", name, http_address_port(a));
	} else if (a->len >= sizeof(struct sockaddr_in) && family == AF_INET) {
		inet_ntop(AF_INET, a->bytes + offsetof(struct sockaddr_in, sin_addr), name, sizeof name);
		snprintf(out, cap, "%s:%u", name, http_address_port(a));
	} else {
		snprintf(out, cap, a->len && family == AF_UNIX ? "unix" : "unknown");
	}
}
