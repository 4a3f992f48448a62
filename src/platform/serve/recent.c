// Receipts of the last requests of each thread, for who asks a running server. Nobody who serves waits for who reads.
//
// A receipt is written by its thread alone, word by word, with its number before and behind; who reads one that is being written sees two different
// numbers and leaves it out.
#include "serve_int.h"
#include "sys/sys.h"

enum { RECEIPTS = 1024,
	WORDS = sizeof(struct serve_receipt) / 8,
	CALL_WORDS = sizeof(struct serve_receipt_call) / 8,
	CALLS = 4096,
	LINES = 2048,
	LINES_BYTES = 1 << 20 };

_Static_assert(sizeof(struct serve_receipt) % 8 == 0 && sizeof(struct serve_receipt_call) % 8 == 0, "whole words");

struct serve_receipts {
	uint64_t next;  // number of the next, from 0
	struct {
		uint64_t number;  // 2 × its number + 1 while it is written, + 2 then
		uint64_t words[WORDS];
	} ring[RECEIPTS];
	uint64_t next_call;
	struct {
		uint64_t number;  // likewise
		uint64_t words[CALL_WORDS];
	} calls[CALLS];
};

// `at`: the number that stands before what is written.
static void put_words(uint64_t *at, uint64_t *to, uint64_t number, const void *from, size_t n)
{
	__atomic_store_n(at, 2 * number + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	for (size_t i = 0; i < n; i++) {
		uint64_t word;
		memcpy(&word, (const uint8_t *)from + i * sizeof word, sizeof word);
		__atomic_store_n(&to[i], word, __ATOMIC_RELAXED);
	}
	__atomic_store_n(at, 2 * number + 2, __ATOMIC_RELEASE);
}

// false: another one is there, or it is being written.
static bool take_words(const uint64_t *at, const uint64_t *from, uint64_t number, uint64_t *to, size_t n)
{
	if (__atomic_load_n(at, __ATOMIC_ACQUIRE) != 2 * number + 2)
		return false;
	for (size_t i = 0; i < n; i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(at, __ATOMIC_RELAXED) == 2 * number + 2;
}

static void copy_text(char *to, size_t size, struct slice text)
{
	struct slice s = serve__cut(text, size - 1);
	memcpy(to, s.ptr, s.len);
	memset(to + s.len, 0, size - s.len);
}

static void fill(struct serve_receipt *r, const struct serve_request *c, unsigned status, uint64_t took_ns)
{
	const struct http_request *q = http_exchange_request(c->x);
	const struct serve_service *s = c->shard->service;
	*r = (struct serve_receipt){.id = c->id,
		.time_ns = sys_wall_ns(),
		.outcome = serve__outcome(c),
		.status = status,
		.shard = c->shard->index,
		.wall_ns = took_ns,
		.cpu_ns = c->task ? c->task->cpu_ns : 0,
		.wait_ns = c->task ? c->task->wait_ns : 0,
		.host_calls = c->task ? c->task->n_calls : 0,
		.memory_peak = c->slot ? vm_store_memory_peak(canon_instance_store(c->slot->canon)) : 0,
		.link_calls = c->link_calls,
		.link_ns = c->link_ns,
		.release = c->release,
		.version = c->slot ? c->slot->version->number : 0,
		.instance = c->slot ? c->slot->number : 0,
		.uses = c->slot ? c->slot->served + 1 : 0};
	copy_text(r->app, sizeof r->app, slice_str(s->app));
	copy_text(r->component, sizeof r->component, slice_str(s->name));
	copy_text(r->method, sizeof r->method, q->method);
	copy_text(r->path, sizeof r->path, serve__path_of(q->target));
	if (c->routed.routing) {
		const struct serve_route_config *route = c->routed.route->config;
		copy_text(r->route, sizeof r->route, slice_str(route->id ? route->id : route->pattern));
	}
}

void serve__receipt_keep(const struct serve_request *c, unsigned status, uint64_t took_ns)
{
	struct serve_receipts *t = c->shard->thread->receipts;
	struct serve_receipt r;
	if (!t)
		return;
	fill(&r, c, status, took_ns);
	uint64_t number = t->next;
	__auto_type at = &t->ring[number % RECEIPTS];
	put_words(&at->number, at->words, number, &r, WORDS);
	__atomic_store_n(&t->next, number + 1, __ATOMIC_RELEASE);
}

static bool read_one(const struct serve_receipts *t, uint64_t number, struct serve_receipt *ret)
{
	const __auto_type at = &t->ring[number % RECEIPTS];
	union {
		struct serve_receipt receipt;
		uint64_t words[WORDS];
	} r;
	if (!take_words(&at->number, at->words, number, r.words, WORDS))
		return false;
	*ret = r.receipt;
	return true;
}

void serve_app_release(const struct serve_process *p, const char *app, uint64_t number)
{
	for (unsigned i = 0, n = serve__have(&p->n_services); i < n; i++)
		if (strcmp(p->services[i]->app, app) == 0)
			__atomic_store_n(&p->services[i]->of->release, number, __ATOMIC_RELAXED);
}

void serve_receipts(const struct serve_process *p, void (*fn)(void *user, const struct serve_receipt *r), void *user)
{
	for (unsigned i = 0; i < p->n_threads; i++) {
		const struct serve_receipts *t = p->threads[i].receipts;
		uint64_t next = t ? __atomic_load_n(&t->next, __ATOMIC_ACQUIRE) : 0;
		for (uint64_t n = next > RECEIPTS ? next - RECEIPTS : 0; n < next; n++) {
			struct serve_receipt r;
			if (read_one(t, n, &r))
				fn(user, &r);
		}
	}
}

const char *const serve__outcomes[SERVE_OUTCOMES] = {
	[SEAM_WENT_WELL] = "ok", [SEAM_WENT_WRONG] = "error", [SEAM_TRAPPED] = "trap", [SEAM_ENDED] = "ended"};

// ---- calls of them -------------------------------------------------------------------------------------------------------------------------------

void serve__receipt_call_keep(struct serve_receipts *t, const struct serve_receipt_call *c)
{
	uint64_t number = t->next_call;
	__auto_type at = &t->calls[number % CALLS];
	put_words(&at->number, at->words, number, c, CALL_WORDS);
	__atomic_store_n(&t->next_call, number + 1, __ATOMIC_RELEASE);
}

void serve_receipt_calls(const struct serve_process *p, void (*fn)(void *user, const struct serve_receipt_call *c), void *user)
{
	for (unsigned i = 0; i < p->n_threads; i++) {
		const struct serve_receipts *t = p->threads[i].receipts;
		uint64_t next = t ? __atomic_load_n(&t->next_call, __ATOMIC_ACQUIRE) : 0;
		for (uint64_t n = next > CALLS ? next - CALLS : 0; n < next; n++) {
			union {
				struct serve_receipt_call call;
				uint64_t words[CALL_WORDS];
			} r;
			if (take_words(&t->calls[n % CALLS].number, t->calls[n % CALLS].words, n, r.words, CALL_WORDS))
				fn(user, &r.call);
		}
	}
}

bool serve__receipts_open(struct serve_thread *t)
{
	t->receipts = sys_map_anonymous(sizeof *t->receipts);
	return t->receipts != NULL;
}

void serve__receipts_close(struct serve_thread *t)
{
	BUG_ON(t->receipts && sys_unmap(t->receipts, sizeof *t->receipts) != 0);
	t->receipts = NULL;
}
