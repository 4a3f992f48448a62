// Calls through links and requests that go out, as seam tells of them: counted for the component whose instance makes them, and kept beside the receipt of the
// request that they are made for. On the thread of both.
#include "relay.h"

#include "sys/sys.h"

// What is kept of one. A request that went out may end after the call that sent it.
struct watched {
	struct serve_shard *shard;  // of the component that calls; NULL: its image is being taken
	struct seam_task_id root;
	uint64_t began_ns;
	uint8_t trace[16];
	uint64_t span, parent;  // span 0: it is not sampled
};
_Static_assert(sizeof(struct watched) <= sizeof(struct seam_watched), "room for it");

// NULL: it runs for no request.
static const struct serve_trace *trace_of(const struct seam_task *t)
{
	const struct serve_request *c = t->request;
	const struct serve_names *names = t->names;
	return c ? &c->trace : names ? &names->trace
								 : NULL;
}

static uint64_t on_begin(struct seam_watch *w, const struct seam_task *t, const struct seam_instance *i, struct seam_watched *ret)
{
	const struct serve_slot *slot = i->owner;
	struct watched k = {.shard = slot ? slot->shard : NULL, .root = seam_task_root(UNCONST(t))->id, .began_ns = sys_now_ns()};
	const struct serve_trace *of = trace_of(t);
	if (UNLIKELY(of && of->is_there && of->self.sampled)) {
		memcpy(k.trace, of->self.trace, sizeof k.trace);
		k.span = serve__trace_id(CONTAINER_OF(w, struct serve_thread, watch));
		k.parent = t->span;
	}
	memcpy(ret, &k, sizeof k);
	return k.span;
}

static void on_context(struct seam_watch *w, const struct seam_task *t, const struct seam_watched *kept, struct slice *ret_parent, struct slice *ret_state)
{
	const struct serve_request *c = t->request;
	const struct serve_trace *of = trace_of(t);
	const struct serve_names *names = t->names;
	struct serve_thread *thread = CONTAINER_OF(w, struct serve_thread, watch);
	struct watched k;
	memcpy(&k, kept, sizeof k);
	*ret_parent = *ret_state = slice_of("", 0);
	if (!of || !of->is_there)
		return;  // of one that is not sampled others hear so
	*ret_parent = serve__trace_context(thread, of, k.span);
	if (of->has_parent)
		*ret_state = c ? serve__trace_state(http_exchange_request(c->x), thread->trace_state) : slice_str(names->trace_state);
}

static void trace(struct serve_thread *t, const struct watched *k, const struct seam_seen *seen, uint64_t took_ns)
{
	struct serve_trace of = {.self = {.span = k->span, .sampled = true}, .parent = k->parent};
	memcpy(of.self.trace, k->trace, sizeof of.self.trace);
	serve__trace_call(t, k->shard, &of, seen, took_ns);
}

// ---- meters ------------------------------------------------------------------------------------------------------------------------------

// NULL: memory is out, and nothing is counted.
static struct serve_link_meters *meters_of(struct serve_shard *s, const char *link)
{
	struct serve_link_meters **at = &s->links;
	for (unsigned n = 0; *at; at = &(*at)->next, n++) {
		if (strcmp((*at)->link, link) == 0)
			return *at;
		if (n == SERVE_LINKS_MAX - 1)
			link = SERVE_OTHER_LINKS;
	}
	struct serve_link_meters *m = mem_zalloc(sizeof *m);
	if (!m)
		return NULL;
	snprintf(m->link, sizeof m->link, "%s", link);
	__atomic_store_n(at, m, __ATOMIC_RELEASE);
	return m;
}

static void count(struct serve_shard *s, const struct seam_seen *seen, uint64_t took_ns)
{
	struct serve_link_meters *m = meters_of(s, seen->link ? seen->link : SERVE_NO_LINK);
	if (!m)
		return;
	serve__count(&m->outcomes[seen->outcome], 1);
	serve__count(&m->durations[serve__bucket(took_ns)], 1);
	serve__count(&m->duration_ns, took_ns);
}

void serve__watch_release(struct serve_shard *s)
{
	for (struct serve_link_meters *m = s->links, *next; m; m = next) {
		next = m->next;
		mem_free(m);
	}
	s->links = NULL;
}

static const struct serve_link_meters *links_of(const struct serve_service *s, unsigned thread)
{
	return __atomic_load_n(&s->shards[thread].links, __ATOMIC_ACQUIRE);
}

static const struct serve_link_meters *next_of(const struct serve_link_meters *m)
{
	return __atomic_load_n(&m->next, __ATOMIC_ACQUIRE);
}

static const struct serve_link_meters *find(const struct serve_link_meters *m, const char *link)
{
	while (m && strcmp(m->link, link) != 0)
		m = next_of(m);
	return m;
}

// The i-th of those that no thread before has.
static const char *nth(const struct serve_service *s, unsigned i)
{
	for (unsigned t = 0; t < s->process->n_threads; t++)
		for (const struct serve_link_meters *m = links_of(s, t); m; m = next_of(m)) {
			bool is_new = true;
			for (unsigned before = 0; is_new && before < t; before++)
				is_new = !find(links_of(s, before), m->link);
			if (is_new && i-- == 0)
				return m->link;
		}
	return NULL;
}

static void add(uint64_t *to, const uint64_t *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

bool serve__link_sum(const struct serve_service *s, unsigned i, struct serve_link_meters *ret)
{
	const char *link = nth(s, i);
	*ret = (struct serve_link_meters){0};
	if (!link)
		return false;
	snprintf(ret->link, sizeof ret->link, "%s", link);
	for (unsigned t = 0; t < s->process->n_threads; t++) {
		const struct serve_link_meters *m = find(links_of(s, t), link);
		if (!m)
			continue;
		add(ret->outcomes, m->outcomes, SERVE_OUTCOMES);
		add(ret->durations, m->durations, SERVE_BUCKETS);
		add(&ret->duration_ns, &m->duration_ns, 1);
	}
	return true;
}

// ---- receipts ----------------------------------------------------------------------------------------------------------------------------

// What there is room for, behind `at` bytes of a text that is zero there. Returns where it ends. Each call is kept: printf would be half of what a store in memory costs.
static size_t put_text(char *to, size_t size, size_t at, struct slice text)
{
	size_t n = min_u64(text.len, size - 1 - at);
	memcpy(to + at, text.ptr, n);
	return at + n;
}

static void keep(struct serve_receipts *to, uint64_t request, uint64_t started_ns, const struct watched *k, const struct seam_seen *seen, uint64_t took_ns)
{
	struct serve_receipt_call r = {.request = request,
		.after_ns = k->began_ns > started_ns ? k->began_ns - started_ns : 0,
		.took_ns = took_ns,
		.outcome = serve__outcomes[seen->outcome],
		.status = seen->status};
	if (!to)
		return;
	(void)put_text(r.component, sizeof r.component, 0, slice_str(k->shard ? k->shard->service->name : ""));
	(void)put_text(r.link, sizeof r.link, 0, slice_str(seen->link ? seen->link : ""));
	size_t n = put_text(r.call, sizeof r.call, 0, seen->is_request ? seen->func : seen->interface);
	n = put_text(r.call, sizeof r.call, n, seen->is_request ? SLICE_LIT(" ") : SLICE_LIT("#"));
	(void)put_text(r.call, sizeof r.call, n, seen->is_request ? seen->interface : seen->func);
	serve__receipt_call_keep(to, &r);
}

// Of the request that it is made for, here or on another thread, whose receipt is written after all of its rows.
static void on_end(struct seam_watch *w, const struct seam_watched *kept, const struct seam_seen *seen)
{
	struct watched k;
	memcpy(&k, kept, sizeof k);
	uint64_t took_ns = sys_now_ns() - k.began_ns;
	struct serve_thread *t = CONTAINER_OF(w, struct serve_thread, watch);
	const struct seam_task *root = seam_task_find(t->tasks, k.root);
	struct serve_request *c = root ? root->request : NULL;
	struct serve_names *names = root && !c ? UNCONST(root->names) : NULL;  // what is counted there is this thread's
	if (k.shard)
		count(k.shard, seen, took_ns);
	if (UNLIKELY(k.span && k.shard))
		trace(t, &k, seen, took_ns);
	if (c) {
		c->link_ns += took_ns;
		if (c->link_calls++ < SERVE_RECEIPT_CALLS)
			keep(t->receipts, c->id, c->started_ns, &k, seen, took_ns);
	} else if (names && names->id) {
		names->link_ns += took_ns;
		if (names->link_calls++ < SERVE_RECEIPT_CALLS)
			keep(t->receipts, names->id, names->started_ns, &k, seen, took_ns);
	}
}

void serve__watch_init(struct seam_watch *w)
{
	*w = (struct seam_watch){.begin = on_begin, .end = on_end, .context = on_context};
}
