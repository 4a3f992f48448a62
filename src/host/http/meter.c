// How long a client is waited for while a body moves. A meter counts time only while we wait for the client: what an owner takes its time for is
// not the client's doing.
//
// The client has credit: it begins with the grace, goes down with the time that we wait, and each byte is worth the time that it may take at the
// least rate. More than CREDIT_GRACES graces are not kept, so that nobody lives long on what was quick once. When it is used up, it is too slow.
#include "http_int.h"

enum { CREDIT_GRACES = 4 };

void http__meter_start(struct http_meter *m, const struct http_limits *l)
{
	*m = (struct http_meter){.credit_ns = l->grace_ns};
}

void http__meter_wait(struct http_meter *m, uint64_t now_ns)
{
	if (!m->since_ns)
		m->since_ns = now_ns;
}

void http__meter_take(struct http_meter *m, const struct http_limits *l, uint64_t now_ns, uint64_t bytes)
{
	uint64_t most = sat_mul_u64(l->grace_ns, CREDIT_GRACES);
	if (m->since_ns) {
		uint64_t waited = now_ns - m->since_ns;
		m->waited_ns += waited;
		m->credit_ns -= min_u64(m->credit_ns, waited);
		m->since_ns = now_ns;
	}
	if (l->min_rate)
		m->credit_ns = min_u64(most, sat_add_u64(m->credit_ns, sat_mul_u64(bytes, SECOND) / l->min_rate));
}

void http__meter_stop(struct http_meter *m, const struct http_limits *l, uint64_t now_ns)
{
	http__meter_take(m, l, now_ns, 0);
	m->since_ns = 0;
}

uint64_t http__meter_deadline(const struct http_meter *m, const struct http_limits *l, uint64_t total_ns)
{
	uint64_t left = total_ns == HTTP_NO_LIMIT ? HTTP_NO_LIMIT : total_ns - min_u64(total_ns, m->waited_ns);
	if (!m->since_ns)
		return UINT64_MAX;
	return sat_add_u64(m->since_ns, l->min_rate ? min_u64(left, m->credit_ns) : left);
}
