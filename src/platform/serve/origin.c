// Who a request is from, and what it was asked for, where a proxy that is trusted passes it on: Forwarded (RFC 7239), else X-Forwarded-For, -Proto, -Host.
//
// Proxies add to the right. From there on each address that is trusted itself is passed over, and the first other one is the client's; a list that can't be
// read further ends at the last address that could.
#include "serve_int.h"

#include "sys/sys.h"

enum { HOPS_MAX = 64 };

// ---- who is trusted ----------------------------------------------------------------------------------------------------------------------

bool serve__trust_parse(struct arena *a, const struct serve_listener_config *c, struct serve_trust *ret, struct err *e)
{
	*ret = (struct serve_trust){.n = c->trust_proxy.len};
	struct seam_net_rule *list = ARENA_ARRAY(a, struct seam_net_rule, ret->n);
	ret->ranges = list;
	if (!list)
		return err_nomem(e);
	for (uint32_t i = 0; i < ret->n; i++)
		if (!seam_net_rule_parse(a, slice_str(c->trust_proxy.ptr[i]), &list[i], e) || list[i].kind != SEAM_NET_RANGE || list[i].port || list[i].scheme != SEAM_NET_ANY) {
			err_clear(e);
			err_set(e, ERR_USAGE, "trust_proxy: '%.100s' is no address and no range", c->trust_proxy.ptr[i]);
			return err_hint(e, "as 10.0.0.0/8 or 2001:db8::/32");
		}
	return true;
}

static bool in_range(const struct seam_net_rule *r, const uint8_t ip[16])
{
	unsigned bytes = r->bits / 8, bits = r->bits % 8;
	return memcmp(r->range, ip, bytes) == 0 && (bits == 0 || (r->range[bytes] ^ ip[bytes]) >> (8 - bits) == 0);
}

static bool is_trusted(const struct serve_trust *t, const struct http_address *a)
{
	struct sys_address address = {.len = a->len};
	uint8_t ip[16];
	if (a->len == 0)
		return false;
	memcpy(address.bytes, a->bytes, sizeof address.bytes);
	sys_address_ip(&address, ip);
	for (uint32_t i = 0; i < t->n; i++)
		if (in_range(&t->ranges[i], ip))
			return true;
	return false;
}

// ---- lists -------------------------------------------------------------------------------------------------------------------------------

static struct slice trim(struct slice s)
{
	while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = slice_sub(s, 1, s.len);
	while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

// Takes what stands behind the last `separator` outside of quotes off the list.
static struct slice last_of(struct slice *list, uint8_t separator)
{
	size_t at = list->len;
	bool quoted = false;
	while (at > 0 && (quoted || list->ptr[at - 1] != separator)) {
		quoted ^= list->ptr[at - 1] == '"';
		at--;
	}
	struct slice last = slice_sub(*list, at, list->len);
	*list = slice_sub(*list, 0, at ? at - 1 : 0);
	return trim(last);
}

static struct slice unquoted(struct slice s)
{
	return s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"' ? slice_sub(s, 1, s.len - 2) : s;
}

// "192.0.2.1", "192.0.2.1:80", "[2001:db8::1]", "[2001:db8::1]:80", "2001:db8::1"; without a port it is 0. false: a name, or hidden.
static bool parse_node(struct slice s, struct http_address *ret)
{
	char text[80];
	struct err e = {0};
	bool six = s.len && s.ptr[0] != '[' && slice_find(s, ':') < s.len && slice_find(slice_sub(s, slice_find(s, ':') + 1, s.len), ':') < s.len - slice_find(s, ':') - 1;
	bool has_port = !six && s.len && s.ptr[s.len - 1] != ']' && slice_find(s, ':') < s.len;
	if (s.len == 0 || s.len > 64 || slice_starts_with(s, SLICE_LIT(":")))
		return false;
	int n = snprintf(text, sizeof text, six ? "[%.*s]:0" : has_port ? "%.*s"
																	: "%.*s:0",
		SLICE_ARGS(s));
	return http_address_parse(slice_of(text, (size_t)n), ret, &e) && !slice_starts_with(s, SLICE_LIT("localhost"));
}

// One element of Forwarded: its pairs.
struct element {
	struct slice node, proto, host;
};

static struct element parse_element(struct slice s)
{
	struct element e = {0};
	while (s.len) {
		struct slice pair = last_of(&s, ';');
		size_t eq = slice_find(pair, '=');
		struct slice name = trim(slice_sub(pair, 0, eq)), value = unquoted(trim(slice_sub(pair, eq + 1, pair.len)));
		if (http_name_eq(name, SLICE_LIT("for")))
			e.node = value;
		else if (http_name_eq(name, SLICE_LIT("proto")))
			e.proto = value;
		else if (http_name_eq(name, SLICE_LIT("host")))
			e.host = value;
	}
	return e;
}

static void take_proto(struct serve_origin *o, struct slice proto)
{
	if (http_name_eq(proto, SLICE_LIT("https")) || http_name_eq(proto, SLICE_LIT("http")))
		o->https = proto.len == 5;
}

static void take_host(struct serve_origin *o, struct slice host)
{
	if (host.len && http_authority_is_valid(host, NULL, NULL))
		o->authority = host;
}

// ---- the fields --------------------------------------------------------------------------------------------------------------------------

// Several fields of one name are one list; the first of `ret` is the nearest, which came last: a client sends as many before it as it likes. Returns how many
// there are.
static unsigned lists(const struct http_request *r, struct slice name, struct slice ret[HOPS_MAX])
{
	unsigned n = 0;
	for (uint32_t i = r->field_count; i-- > 0 && n < HOPS_MAX;)
		if (http_name_eq(r->fields[i].name, name))
			ret[n++] = r->fields[i].value;
	return n;
}

static void read_forwarded(const struct serve_trust *t, struct slice *list, unsigned n, struct serve_origin *o)
{
	unsigned hops = 0;
	for (unsigned i = 0; i < n; i++)
		for (struct slice rest = list[i]; rest.len && hops < HOPS_MAX; hops++) {
			struct element e = parse_element(last_of(&rest, ','));
			struct http_address a;
			bool known = parse_node(e.node, &a);
			if (e.proto.len)
				take_proto(o, e.proto);
			take_host(o, e.host);
			if (known)
				o->client = a;
			if (!known || !is_trusted(t, &a))
				return;
		}
}

static void read_list(const struct serve_trust *t, struct slice *list, unsigned n, struct serve_origin *o)
{
	unsigned hops = 0;
	for (unsigned i = 0; i < n; i++)
		for (struct slice rest = list[i]; rest.len && hops < HOPS_MAX; hops++) {
			struct http_address a;
			if (!parse_node(unquoted(last_of(&rest, ',')), &a))
				return;
			o->client = a;
			if (!is_trusted(t, &a))
				return;
		}
}

// That of the nearest proxy.
static struct slice nearest(const struct http_request *r, struct slice name, struct slice list[HOPS_MAX])
{
	unsigned n = lists(r, name, list);
	return n ? last_of(&list[0], ',') : slice_of(NULL, 0);
}

void serve__origin_of(const struct serve_trust *t, const struct http_request *r, struct serve_origin *ret)
{
	struct slice list[HOPS_MAX];
	*ret = (struct serve_origin){.client = r->peer, .https = r->https, .authority = r->authority};
	if (LIKELY(t->n == 0) || !is_trusted(t, &r->peer))
		return;
	unsigned n = lists(r, SLICE_LIT("forwarded"), list);
	if (n) {
		read_forwarded(t, list, n, ret);
		return;
	}
	n = lists(r, SLICE_LIT("x-forwarded-for"), list);
	read_list(t, list, n, ret);
	take_proto(ret, nearest(r, SLICE_LIT("x-forwarded-proto"), list));
	take_host(ret, nearest(r, SLICE_LIT("x-forwarded-host"), list));
}
