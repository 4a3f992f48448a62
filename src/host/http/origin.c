// Origins of requests that go out: whose connections there are, and who waits to hear what is spoken on them.
//
// 1. While a connection by TLS is begun nobody knows whether it will take one request or many. Others of its origin wait for it, as many as it would take;
//    when it is known, they look for a connection again.
// 2. An origin whose server chose HTTP/1.1 is waited for no more, nor is one waited for twice whose connection failed.
#include "client.h"

static struct http_origin **bucket(struct http_client *cl, uint64_t tenant, const char *host, uint16_t port)
{
	uint64_t h = hash_u64(slice_str(host)) ^ map_hash_word(tenant ^ ((uint64_t)port << 48));
	return &cl->origins[h % ORIGIN_BUCKETS];
}

struct http_origin *http__origin_get(struct http_client *cl, uint64_t tenant, bool https, const char *host, uint16_t port)
{
	struct http_origin **list = bucket(cl, tenant, host, port), *o = *list;
	while (o && !(o->tenant == tenant && o->port == port && o->https == https && strcmp(o->host, host) == 0))
		o = o->next;
	if (o)
		return http__origin_ref(o);
	o = mem_zalloc(sizeof *o);
	if (!o)
		return NULL;
	*o = (struct http_origin){.client = cl, .refs = 1, .tenant = tenant, .https = https, .port = port, .streams = STREAMS_MOST, .next = *list, .prev = list};
	snprintf(o->host, sizeof o->host, "%s", host);
	if (o->next)
		o->next->prev = &o->next;
	*list = o;
	return o;
}

struct http_origin *http__origin_ref(struct http_origin *o)
{
	o->refs++;
	return o;
}

void http__origin_unref(struct http_origin *o)
{
	if (!o || --o->refs)
		return;
	if (o->prev)
		*o->prev = o->next;
	if (o->next)
		o->next->prev = o->prev;
	mem_free(o);
}

void http__origins_forget(struct http_client *cl)
{
	for (size_t i = 0; i < ORIGIN_BUCKETS; i++)
		for (struct http_origin *o = cl->origins[i], *next; o; o = next) {
			next = o->next;
			o->next = NULL;
			o->prev = NULL;
		}
}

void http__origin_begin_dial(struct http_origin *o)
{
	o->dialing++;
}

void http__origin_end_dial(struct http_origin *o, bool failed)
{
	o->dialing--;
	while (o->waiters) {
		struct http_outgoing *r = o->waiters;
		r->alone |= failed;
		http__origin_wait_no_more(r);
		loop_post(o->client->loop, &r->start);
	}
}

bool http__origin_wait(struct http_outgoing *r)
{
	struct http_origin *o = r->origin;
	if (r->alone || o->is_h1 || o->waiting >= (uint64_t)o->dialing * (o->streams - 1))
		return false;
	o->waiting++;
	r->wait_next = o->waiters;
	r->wait_prev = &o->waiters;
	if (r->wait_next)
		r->wait_next->wait_prev = &r->wait_next;
	o->waiters = r;
	return true;
}

void http__origin_wait_no_more(struct http_outgoing *r)
{
	if (!r->wait_prev)
		return;
	*r->wait_prev = r->wait_next;
	if (r->wait_next)
		r->wait_next->wait_prev = r->wait_prev;
	r->wait_prev = NULL;
	r->origin->waiting--;
	loop_timer_cancel(r->origin->client->loop, &r->connect.timer);
}
