// wasi:sockets/ip-name-lookup: names are looked up by the system's resolver, on a thread of the pool for names. Which ones may be is what --net says of
// names; what is an address already asks nobody.
#include "sockets_int.h"

#include <ctype.h>
#include <errno.h>

enum { NAME_MAX_LEN = 253 };

struct question {
	char name[NAME_MAX_LEN + 1];
	int n;  // of found, or -errno
	struct sys_address found[WASI_ADDRESSES];
};
struct lookup {
	struct wasi_sockets *of;
	uint32_t refs;
	struct question *asked;  // while it is under way
	struct wasi_event event;
	int why;     // 0 or -errno
	uint32_t n, at;
	struct sys_endpoint found[WASI_ADDRESSES];
};

static void run(void *data)
{
	struct question *q = data;
	q->n = sys_net.resolve(q->name, 0, false, q->found, WASI_ADDRESSES);
}

static const struct seam_chore_ops question_ops = {.run = run};

static void lookup_unref(void *p)
{
	struct lookup *l = p;
	if (--l->refs)
		return;
	if (l->asked) {
		l->of->n_lookups--;
		seam_chore_let_go(l->asked, false);
	}
	seam_mem_free(l);
}

void wasi_sockets_ip_name_lookup_resolve_address_stream_drop(struct canon_instance *i, void *object)
{
	lookup_unref(object);
}

// ---- names -----------------------------------------------------------------------------------------------------------------------------

// A name, or an address (of IPv6 perhaps in brackets), in lower case, without the dot at its end. false: it is neither.
static bool take_name(struct slice text, char into[NAME_MAX_LEN + 1])
{
	bool bracket = text.len > 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']';
	struct sys_address a;
	if (bracket)
		text = slice_sub(text, 1, text.len - 2);
	else if (text.len > 1 && text.ptr[text.len - 1] == '.')
		text.len--;
	if (text.len == 0 || text.len > NAME_MAX_LEN)
		return false;
	bool named = text.ptr[0] != '.';
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i];
		named &= isalnum(c) || c == '-' || c == '_' || (c == '.' && (i == 0 || text.ptr[i - 1] != '.'));
		into[i] = (char)tolower(c);
	}
	into[text.len] = 0;
	if (sys_address_parse(into, 0, &a))
		return !bracket || slice_find(slice_str(into), ':') < text.len;
	return named && !bracket;
}

// What is not ASCII, by IDNA (UTS 46, nontransitional), as a name server knows it. libidn2 does it, where it is there; it is loaded for the first such name.
// 0 or -errno.
static int to_ascii(struct slice text, char into[NAME_MAX_LEN + 1])
{
	enum { NFC_INPUT = 1, NONTRANSITIONAL = 8, MOST = 4 * NAME_MAX_LEN };
	static const char *const names[] = {"idn2_free", "idn2_lookup_u8"};
	static struct {
		void (*free)(void *p);
		int (*lookup)(const uint8_t *name, uint8_t **ret, int flags);
	} idn2;
	static bool missing;  // atomic: it is not looked for again
	char utf8[MOST + 1];
	uint8_t *ascii;
	struct err e = {0};
	if (text.len > MOST || slice_find(text, 0) < text.len || __atomic_load_n(&missing, __ATOMIC_RELAXED))
		return -EINVAL;
	if (!sys_library_load("libidn2.so.0", names, ARRAY_LEN(names), (void **)&idn2, &e)) {
		__atomic_store_n(&missing, true, __ATOMIC_RELAXED);
		return -EINVAL;
	}
	memcpy(utf8, text.ptr, text.len);
	utf8[text.len] = 0;
	if (idn2.lookup((const uint8_t *)utf8, &ascii, NFC_INPUT | NONTRANSITIONAL) != 0)
		return -EINVAL;
	size_t len = strlen((const char *)ascii);
	bool fits = len <= NAME_MAX_LEN;
	if (fits)
		memcpy(into, ascii, len + 1);
	idn2.free(ascii);
	return fits ? 0 : -EINVAL;
}

static bool is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] & 0x80)
			return false;
	return true;
}

// ---- asking ----------------------------------------------------------------------------------------------------------------------------

// What stands for an address of IPv4 is that.
static struct sys_endpoint address_of(const struct sys_address *a)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct sys_endpoint p, v4 = {0};
	sys_endpoint_of(a, &p);
	if (!p.v6 || memcmp(p.ip, mapped, sizeof mapped) != 0)
		return p;
	memcpy(v4.ip, p.ip + 12, 4);
	return v4;
}

static void take_found(struct lookup *l, const struct sys_address *found, int n)
{
	l->why = n < 0 ? n : n == 0 ? -ENOENT
								: 0;
	for (int i = 0; i < n; i++) {
		struct sys_endpoint p = address_of(&found[i]);
		bool known = false;
		for (uint32_t k = 0; k < l->n; k++)  // one for each kind of socket
			known |= l->found[k].v6 == p.v6 && memcmp(l->found[k].ip, p.ip, sizeof p.ip) == 0;
		if (!known)
			l->found[l->n++] = p;
	}
}

static void on_found(void *data, void *ctx)
{
	struct lookup *l = ctx;
	struct question *q = data;
	take_found(l, q->found, q->n);
	if (l->n)
		wasi__sockets_learn(l->of, q->name, q->found, (uint32_t)q->n);
	l->of->n_lookups--;
	l->asked = NULL;
	seam_chore_free(q);
	wasi__event_fire(&l->event);
}

static int begin(struct lookup *l, const char *name)
{
	struct wasi_sockets *of = l->of;
	struct wasi_process *p = of->wasi->process;
	if (of->n_lookups >= WASI_LOOKUPS)
		return -EAGAIN;
	struct question *q = seam_chore_new(of->memory, of->wasi->id, sizeof *q, &question_ops);
	if (!q)
		return -ENOMEM;
	snprintf(q->name, sizeof q->name, "%s", name);
	if (!seam_chore_begin(q, p->names ? p->names : p->threads, of->loop, on_found, l)) {
		seam_chore_free(q);
		return -EAGAIN;
	}
	l->asked = q;
	of->n_lookups++;
	return 0;
}

static int ask(struct seam_call *c, struct lookup *l, struct slice text)
{
	struct sys_address found[WASI_ADDRESSES];
	char name[NAME_MAX_LEN + 1], ascii[NAME_MAX_LEN + 1];
	if (!is_ascii(text)) {
		if (to_ascii(text, ascii) != 0)
			return -EINVAL;
		text = slice_str(ascii);
	}
	if (!take_name(text, name))
		return -EINVAL;
	if (sys_address_parse(name, 0, &found[0])) {
		take_found(l, found, 1);
		return 0;
	}
	if (!seam_net_may_look_up(l->of->grants, slice_str(name))) {
		char what[NAME_MAX_LEN + 32], flag[NAME_MAX_LEN + 32];
		snprintf(what, sizeof what, "looking up %s", name);
		snprintf(flag, sizeof flag, "--net tcp://%s", name);
		seam_deny(c, SEAM_DENY_LOOK_UP, what, flag);
		return -EACCES;
	}
	return begin(l, name);
}

// As this interface has it.
static uint8_t code_of(int why)
{
	switch (why) {
	case -EINVAL:
	case -ENOMEM:
		return wasi__socket_code(-why);
	case -ENOENT:
		return WASI_SOCKETS_NETWORK_ERROR_CODE_NAME_UNRESOLVABLE;
	case -EAGAIN:
		return WASI_SOCKETS_NETWORK_ERROR_CODE_TEMPORARY_RESOLVER_FAILURE;
	default:
		return WASI_SOCKETS_NETWORK_ERROR_CODE_PERMANENT_RESOLVER_FAILURE;
	}
}

static struct lookup *lookup_new(struct seam_call *c)
{
	struct wasi_sockets *of = wasi__sockets_of(c);
	struct lookup *l = of ? SEAM_MEM_NEW(c->canon, struct lookup) : NULL;
	if (!l) {
		seam_no_memory(c);
		return NULL;
	}
	l->of = of;
	l->refs = 1;
	return l;
}

enum seam_result wasi__sockets_resolve(struct seam_call *c, struct slice name, struct sys_endpoint *found, int *ret_n)
{
	struct lookup *l = lookup_new(c);
	enum seam_result r = SEAM_OK;
	if (!l)
		return SEAM_TRAP;
	l->why = ask(c, l, name);
	while (l->asked && r == SEAM_OK)
		r = wasi__event_wait(c, &l->event);
	*ret_n = l->why ? l->why : (int)l->n;
	memcpy(found, l->found, l->n * sizeof *found);
	lookup_unref(l);
	return r;
}

enum seam_result wasi_sockets_ip_name_lookup_resolve_addresses(struct seam_call *c, const struct wasi_sockets_ip_name_lookup_resolve_addresses_args *args,
	struct wasi_result_own_sockets_ip_name_lookup_resolve_address_stream_sockets_network_error_code *ret)
{
	struct lookup *l = lookup_new(c);
	if (!l)
		return SEAM_TRAP;
	int why = ask(c, l, seam_slice(args->name));
	ret->is_err = why != 0;
	ret->err = ret->is_err ? code_of(why) : 0;
	if (!why && seam_resource_new(c, &wasi_sockets_ip_name_lookup_resolve_address_stream_class, l, &ret->ok))
		return SEAM_OK;
	lookup_unref(l);
	return why ? SEAM_OK : SEAM_TRAP;
}

// ---- the answer ------------------------------------------------------------------------------------------------------------------------

enum seam_result wasi_sockets_ip_name_lookup_resolve_address_stream_resolve_next_address(struct seam_call *c,
	const struct wasi_sockets_ip_name_lookup_resolve_address_stream_resolve_next_address_args *args,
	struct wasi_result_option_sockets_network_ip_address_sockets_network_error_code *ret)
{
	struct lookup *l = seam_resource_get(c, &wasi_sockets_ip_name_lookup_resolve_address_stream_resource, args->self);
	ret->is_err = l->asked || l->why;
	if (ret->is_err) {
		ret->err = l->asked ? WASI_SOCKETS_NETWORK_ERROR_CODE_WOULD_BLOCK : code_of(l->why);
		return SEAM_OK;
	}
	ret->ok.is_some = l->at < l->n;
	if (ret->ok.is_some)
		wasi__ip_give(&l->found[l->at++], &ret->ok.some);
	return SEAM_OK;
}

static bool is_answered(const struct wasi_pollable *p, uint64_t now_ns)
{
	return !((const struct lookup *)p->of)->asked;
}

enum seam_result wasi_sockets_ip_name_lookup_resolve_address_stream_subscribe(struct seam_call *c,
	const struct wasi_sockets_ip_name_lookup_resolve_address_stream_subscribe_args *args, uint32_t *ret)
{
	struct lookup *l = seam_resource_get(c, &wasi_sockets_ip_name_lookup_resolve_address_stream_resource, args->self);
	struct wasi_pollable p = {is_answered, &l->event, l, lookup_unref, UINT64_MAX};
	l->refs++;
	return wasi__pollable_new(c, p, ret) ? SEAM_OK : SEAM_TRAP;
}
