// Grants of the network: rules of --net, and what an address is. A name is granted by how it is written, an address by what it is, after the name was
// looked up: a name that leads to this machine or to a private network reaches it only where that was said (L85, U8).
#include <ctype.h>

#include "seam.h"
#include "sys/sys.h"

enum { NAME_MAX_LEN = 253 };

static bool bad_rule(struct err *e, struct slice text, const char *why)
{
	err_set(e, ERR_USAGE, "'%.*s' is no part of the network: %s", SLICE_ARGS(slice_sub(text, 0, 100)), why);
	return err_hint(e, "[SCHEME://]HOST[:PORT] with a name, *.domain, an address, a range (10.0.0.0/8) or all, as https://api.example.com or tcp://127.0.0.1:8080");
}

// ---- addresses -------------------------------------------------------------------------------------------------------------------

enum class {
	NET_PUBLIC,
	NET_LOOPBACK,
	NET_LINK_LOCAL,
	NET_PRIVATE,
	NET_SPECIAL,  // multicast, documentation, what leads somewhere else: only by its address
};

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

static bool has_prefix(const uint8_t address[16], const uint8_t *prefix, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;
	return memcmp(address, prefix, whole) == 0 && (rest == 0 || (address[whole] ^ prefix[whole]) >> (8 - rest) == 0);
}

struct range {
	uint8_t bytes[16];
	uint8_t bits;
	enum class is;
};

// IANA's registries of special-purpose addresses. The first that fits.
static enum class class_of_v4(const uint8_t ip[4]) {
	static const struct range ranges[] = {
		{{127}, 8, NET_LOOPBACK},
		{{0}, 8, NET_LOOPBACK},  // 0.0.0.0 connects to this machine
		{{169, 254}, 16, NET_LINK_LOCAL},
		{{10}, 8, NET_PRIVATE},
		{{172, 16}, 12, NET_PRIVATE},
		{{192, 168}, 16, NET_PRIVATE},
		{{100, 64}, 10, NET_PRIVATE},
		{{192, 0, 0}, 24, NET_PRIVATE},
		{{198, 18}, 15, NET_PRIVATE},
		{{192, 0, 2}, 24, NET_SPECIAL},
		{{198, 51, 100}, 24, NET_SPECIAL},
		{{203, 0, 113}, 24, NET_SPECIAL},
		{{224}, 4, NET_SPECIAL},
		{{240}, 4, NET_SPECIAL},
	};
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) if (has_prefix(ip, ranges[i].bytes, ranges[i].bits)) return ranges[i].is;
	return NET_PUBLIC;
}

// Where an address of IPv6 leads to one of IPv4, its first byte; 0: it does not (or has it at no fixed place).
static size_t embedded_v4(const uint8_t ip[16])
{
	static const struct {
		uint8_t bytes[16], bits, at;
	} forms[] = {
		{{[10] = 0xff, [11] = 0xff}, 96, 12},         // mapped: ::ffff:a.b.c.d
		{{[8] = 0xff, [9] = 0xff}, 96, 12},           // translated: ::ffff:0:a.b.c.d
		{{0x00, 0x64, 0xff, 0x9b}, 96, 12},           // NAT64
		{{0x20, 0x02}, 16, 2},                        // 6to4
		{{0}, 96, 12},                      // compatible: ::a.b.c.d, but not ::1
	};
	for (size_t i = 0; i < ARRAY_LEN(forms); i++)
		if (has_prefix(ip, forms[i].bytes, forms[i].bits) && (i + 1 < ARRAY_LEN(forms) || ip[12]))
			return forms[i].at;
	return 0;
}

static enum class class_of_v6(const uint8_t ip[16]) {
	static const struct range ranges[] = {
		{{[15] = 1}, 128, NET_LOOPBACK},
		{{0}, 128, NET_LOOPBACK},
		{{0xfe, 0x80}, 10, NET_LINK_LOCAL},
		{{0xfe, 0xc0}, 10, NET_PRIVATE},
		{{0xfc}, 7, NET_PRIVATE},
		{{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, NET_PRIVATE},  // NAT64 of a network's own
		{{0xff}, 8, NET_SPECIAL},
		{{0x01}, 64, NET_SPECIAL},
		{{0x20, 0x01, 0x0d, 0xb8}, 32, NET_SPECIAL},
		{{0x20, 0x01}, 23, NET_SPECIAL},  // Teredo and the like: they lead somewhere else
		{{0x5f}, 16, NET_SPECIAL},
	};
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) if (has_prefix(ip, ranges[i].bytes, ranges[i].bits)) return ranges[i].is;
	size_t at = embedded_v4(ip);
	return at ? class_of_v4(ip + at) : NET_PUBLIC;
}

static enum class class_of(const uint8_t ip[16]) {
	return memcmp(ip, mapped, sizeof mapped) == 0 ? class_of_v4(ip + 12) : class_of_v6(ip);
}

// ---- a rule ----------------------------------------------------------------------------------------------------------------------

// A literal address, with or without a prefix length. false: it is none.
static bool parse_range(struct slice host, struct seam_net_rule *r)
{
	char text[64];
	size_t slash = slice_find(host, '/');
	struct slice bits = slice_sub(host, slash + 1, host.len);
	struct sys_address a;
	uint64_t n, most;
	if (slash >= sizeof text)
		return false;
	memcpy(text, host.ptr, slash);
	text[slash] = 0;
	if (!sys_address_parse(text, 0, &a))
		return false;
	bool v6 = sys_address_ip(&a, r->range);
	most = v6 ? 128 : 32;
	n = most;
	if (slash < host.len && !slice_parse_u64(bits, most, &n))
		return false;
	r->bits = (uint8_t)(v6 ? n : n + 96);
	for (unsigned i = r->bits; i < 128; i++)
		r->range[i / 8] &= (uint8_t)~(0x80 >> i % 8);
	r->kind = SEAM_NET_RANGE;
	return true;
}

static bool is_name(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!isalnum(s.ptr[i]) && s.ptr[i] != '-' && s.ptr[i] != '_' && s.ptr[i] != '.')
			return false;
	return s.len > 0 && s.len <= NAME_MAX_LEN && s.ptr[0] != '.' && s.ptr[s.len - 1] != '.';
}

static bool parse_host(struct arena *a, struct slice text, struct slice host, struct seam_net_rule *r, struct err *e)
{
	r->kind = SEAM_NET_NAME;
	if (slice_eq_str(host, "all") || slice_eq_str(host, "*")) {
		r->kind = SEAM_NET_ALL;
		return true;
	}
	if (host.len > 1 && host.ptr[host.len - 1] == '.')
		host.len--;
	if (slice_starts_with(host, SLICE_LIT("*."))) {
		r->kind = SEAM_NET_DOMAIN;
		host = slice_sub(host, 2, host.len);
	} else if (parse_range(host, r)) {
		return true;
	}
	if (!is_name(host))
		return bad_rule(e, text, "the host is no name, address or range");
	if (!slice_dup(a, host, &r->name))
		return err_nomem(e);
	for (size_t i = 0; i < r->name.len; i++)
		((uint8_t *)UNCONST(r->name.ptr))[i] = (uint8_t)tolower(r->name.ptr[i]);
	return true;
}

// What stands behind the host: nothing, or its port. An address of IPv6 stands in brackets where a port follows.
static bool split_port(struct slice text, struct slice *host, struct seam_net_rule *r, struct err *e)
{
	size_t colons = 0, last = 0;
	uint64_t port;
	bool bracket = host->len && host->ptr[0] == '[';
	for (size_t i = 0; i < host->len; i++)
		if (host->ptr[i] == ':')
			colons++, last = i;
	if (bracket) {
		size_t end = slice_find(*host, ']');
		if (end == host->len || (end + 1 < host->len && host->ptr[end + 1] != ':'))
			return bad_rule(e, text, "the brackets are not closed before the port");
		if (slice_find(slice_sub(*host, 0, end), ':') == end)
			return bad_rule(e, text, "only an address of IPv6 stands in brackets");
		last = end + 1;
		colons = last < host->len;
	}
	if (colons == 1) {
		struct slice digits = slice_sub(*host, last + 1, host->len);
		if (!slice_eq_str(digits, "*") && (!slice_parse_u64(digits, 65535, &port) || port == 0))
			return bad_rule(e, text, "the port is no number from 1 to 65535");
		r->port = slice_eq_str(digits, "*") ? 0 : (uint16_t)port;
		host->len = last;
	}
	if (bracket)
		*host = slice_sub(*host, 1, host->len - 2);
	return true;
}

bool seam_net_rule_parse(struct arena *a, struct slice text, struct seam_net_rule *ret, struct err *e)
{
	static const char *const schemes[] = {[SEAM_NET_HTTP] = "http://", [SEAM_NET_HTTPS] = "https://", [SEAM_NET_TCP] = "tcp://", [SEAM_NET_UDP] = "udp://"};
	struct slice host = text;
	*ret = (struct seam_net_rule){0};
	for (size_t i = SEAM_NET_HTTP; i < ARRAY_LEN(schemes) && !ret->scheme; i++) {
		if (!slice_starts_with(host, slice_str(schemes[i])))
			continue;
		ret->scheme = (enum seam_net_scheme)i;
		host = slice_sub(host, strlen(schemes[i]), host.len);
	}
	for (size_t i = 0; i + 2 < host.len; i++)
		if (memcmp(host.ptr + i, "://", 3) == 0)
			return bad_rule(e, text, ret->scheme ? "it has two schemes" : "the schemes are http, https, tcp and udp");
	if (host.len && host.ptr[host.len - 1] == '/' && ret->scheme)
		host.len--;
	if (!split_port(text, &host, ret, e))
		return false;
	return parse_host(a, text, host, ret, e);
}

// ---- what is granted -------------------------------------------------------------------------------------------------------------

static bool names_host(const struct seam_net_rule *r, struct slice host)
{
	switch (r->kind) {
	case SEAM_NET_ALL:
		return true;
	case SEAM_NET_NAME:
		return slice_eq(host, r->name);
	case SEAM_NET_DOMAIN:
		return host.len > r->name.len + 1 && slice_ends_with(host, r->name) && host.ptr[host.len - r->name.len - 1] == '.';
	case SEAM_NET_RANGE:
		break;
	}
	return false;
}

static bool fits(const struct seam_net_rule *r, enum seam_net_scheme scheme, uint16_t port)
{
	return (r->scheme == SEAM_NET_ANY || r->scheme == scheme) && (r->port == 0 || r->port == port);
}

static bool is_address(struct slice host)
{
	struct seam_net_rule r;
	return slice_find(host, '/') == host.len && parse_range(host, &r);
}

bool seam_net_may_ask(const struct seam_grants *g, enum seam_net_scheme scheme, struct slice host, uint16_t port)
{
	for (uint32_t i = 0; g && i < g->n_nets; i++)
		if (fits(&g->nets[i], scheme, port) && (g->nets[i].kind == SEAM_NET_RANGE ? is_address(host) : names_host(&g->nets[i], host)))
			return true;
	return false;
}

// A range names what lies in it, also as the address of IPv4 that one of IPv6 leads to.
static bool contains(const struct seam_net_rule *r, const uint8_t ip[16])
{
	uint8_t inner[16];
	size_t at = embedded_v4(ip);
	if (has_prefix(ip, r->range, r->bits))
		return true;
	if (!at)
		return false;
	memcpy(inner, mapped, sizeof mapped);
	memcpy(inner + 12, ip + at, 4);
	return r->bits >= 96 && has_prefix(inner, r->range, r->bits);
}

static bool is_private_named(const struct seam_grants *g, const uint8_t ip[16])
{
	for (uint32_t i = 0; i < g->n_private_ranges; i++)
		if (contains(&g->private_ranges[i], ip))
			return true;
	return false;
}

bool seam_net_may_connect(const struct seam_grants *g, enum seam_net_scheme scheme, struct slice host, uint16_t port, const uint8_t ip[16])
{
	enum class is = class_of(ip);
	for (uint32_t i = 0; g && i < g->n_nets; i++) {
		const struct seam_net_rule *r = &g->nets[i];
		if (!fits(r, scheme, port))
			continue;
		if (r->kind == SEAM_NET_RANGE && contains(r, ip))
			return true;
		if (!names_host(r, host))
			continue;
		bool itself = r->kind == SEAM_NET_NAME && slice_eq_str(r->name, "localhost") && is == NET_LOOPBACK;
		if (is == NET_PUBLIC || itself || (is != NET_SPECIAL && (g->private_nets || is_private_named(g, ip))))
			return true;
	}
	return false;
}

bool seam_net_may_look_up(const struct seam_grants *g, struct slice host)
{
	for (uint32_t i = 0; g && i < g->n_nets; i++) {
		const struct seam_net_rule *r = &g->nets[i];
		if ((fits(r, SEAM_NET_TCP, r->port) || fits(r, SEAM_NET_UDP, r->port)) && names_host(r, host))
			return true;
	}
	return false;
}

bool seam_net_may_reach(const struct seam_grants *g, enum seam_net_scheme scheme)
{
	for (uint32_t i = 0; g && i < g->n_nets; i++)
		if (fits(&g->nets[i], scheme, g->nets[i].port))
			return true;
	return false;
}

// ---- listening -------------------------------------------------------------------------------------------------------------------

bool seam_listen_parse(struct slice text, bool udp, struct seam_listen *ret, struct err *e)
{
	size_t colon = text.len;
	uint64_t port = 0;
	while (colon && text.ptr[colon - 1] != ':')
		colon--;
	struct slice host = slice_sub(text, 0, colon ? colon - 1 : 0), digits = slice_sub(text, colon, text.len);
	bool bracket = host.len > 1 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
	struct seam_net_rule r = {0};
	*ret = (struct seam_listen){.udp = udp, .any_ip = host.len == 0, .any_port = slice_eq_str(digits, "*")};
	bool ok = colon && (ret->any_port || slice_parse_u64(digits, 65535, &port));
	if (bracket)
		host = slice_sub(host, 1, host.len - 2);
	if (ok && host.len)
		ok = slice_find(host, '/') == host.len && parse_range(host, &r) && bracket == (slice_find(host, ':') < host.len);
	if (!ok) {
		err_set(e, ERR_USAGE, "'%.*s' is no address to listen on", SLICE_ARGS(slice_sub(text, 0, 100)));
		return err_hint(e, "127.0.0.1:7000 or [::1]:7000; :7000 is all addresses, port 0 any free one, * every port");
	}
	memcpy(ret->ip, r.range, sizeof ret->ip);
	ret->port = (uint16_t)port;
	return true;
}

// Of the same family, and not more than that.
static bool covers(const struct seam_listen *l, const uint8_t ip[16])
{
	static const uint8_t zeroes[16];
	bool v4 = memcmp(l->ip, mapped, sizeof mapped) == 0;
	if (l->any_ip || memcmp(l->ip, ip, 16) == 0)
		return true;
	if (v4 != (memcmp(ip, mapped, sizeof mapped) == 0))
		return false;
	return memcmp(l->ip + (v4 ? 12 : 0), zeroes, v4 ? 4 : 16) == 0;
}

bool seam_net_may_listen(const struct seam_grants *g, bool udp, uint16_t port, const uint8_t ip[16])
{
	for (uint32_t i = 0; g && i < g->n_listens; i++) {
		const struct seam_listen *l = &g->listens[i];
		if (l->udp == udp && (l->any_port || l->port == port) && covers(l, ip))
			return true;
	}
	return false;
}
