// The process's part: stores, shared by all links of the same type, address and namespace, and what each thread has of them.
//
// A store: open (link__store_open) → closing (link__store_unref, the last) → its parts closed, each on its thread → left by threads of its own (link_store_ops.leave)
// → freed, on the main thread. A thread that ends closes its parts itself (link_thread_close).
#include "link_int.h"
#include "sys/sys.h"

// On the main thread.
static void reap(struct loop_remote *r)
{
	struct link_host *h = CONTAINER_OF(r, struct link_host, reap);
	spinlock_lock(&h->lock);
	struct link__body *dead = h->dead;
	h->dead = NULL;
	h->reaping = false;
	spinlock_unlock(&h->lock);
	while (dead) {
		struct link__body *b = dead;
		dead = b->next;
		b->free(b);
	}
}

void link__bury(struct link_host *h, struct link__body *b)
{
	spinlock_lock(&h->lock);
	b->next = h->dead;
	h->dead = b;
	bool post = !h->reaping;
	h->reaping = true;
	spinlock_unlock(&h->lock);
	if (post)
		loop_post_remote(h->loops[0], &h->reap);
}

bool link_host_open(const struct link_host_config *c, struct link_host **ret, struct err *e)
{
	struct link_host *h = mem_zalloc(sizeof *h + c->n_loops * sizeof *h->loops);
	if (!h)
		return err_nomem(e);
	h->threads = c->threads;
	h->memory_bytes = c->memory_bytes ? c->memory_bytes : UINT64_MAX;
	h->names = c->names;
	__atomic_store_n(&h->tls, c->tls, __ATOMIC_RELEASE);
	sys_random(&h->nonce, sizeof h->nonce);
	sys_random(&h->process, sizeof h->process);
	h->began_ms = sys_wall_ns() / MILLISECOND;
	h->n_loops = c->n_loops;
	h->reap.fn = reap;
	memcpy(h->loops, c->loops, c->n_loops * sizeof *h->loops);
	*ret = h;
	return true;
}

bool link_host_give_tls(struct link_host *h, struct http_tls *tls)
{
	struct http_tls *none = NULL;
	return __atomic_compare_exchange_n(&h->tls, &none, tls, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE);
}

// ---- parts --------------------------------------------------------------------------------------------------------------------------------

struct link_part *link__part(struct link_store *s, unsigned thread, struct err *e)
{
	struct link_part *p = s->by_thread[thread];
	if (p)
		return p;
	const struct link_store_ops *ops = s->provider->ops;
	if (!(p = mem_zalloc(ops->part_size))) {
		err_nomem(e);
		return NULL;
	}
	p->store = s;
	p->loop = s->host->loops[thread];
	p->thread = thread;
	if (ops->part_open && !ops->part_open(p, e)) {
		mem_free(p);
		return NULL;
	}
	spinlock_lock(&s->host->lock);
	s->by_thread[thread] = p;
	spinlock_unlock(&s->host->lock);
	return p;
}

// On its thread.
static void close_part(struct link_part *p)
{
	struct link_store *s = p->store;
	spinlock_lock(&s->host->lock);
	s->by_thread[p->thread] = NULL;
	spinlock_unlock(&s->host->lock);
	if (s->provider->ops->part_close)
		s->provider->ops->part_close(p);
}

// ---- stores -------------------------------------------------------------------------------------------------------------------------------

// One place is one store, whoever asks for it; who else may have written its address in another way tells the marker.
static bool is_same(const struct link_target *a, const struct link_target *b)
{
	return a->provider == b->provider && slice_eq(a->name, b->name) && slice_eq(a->path, b->path) && slice_eq(a->host, b->host) && a->port == b->port &&
		slice_eq(a->user, b->user) && a->has_password == b->has_password && slice_eq(a->password, b->password) && a->tls == b->tls;
}

bool link__is_one_file(const struct link_store *a, const struct link_store *b)
{
	uint64_t inode = __atomic_load_n(&a->inode, __ATOMIC_ACQUIRE);
	return inode && inode == __atomic_load_n(&b->inode, __ATOMIC_ACQUIRE) &&
		__atomic_load_n(&a->device, __ATOMIC_RELAXED) == __atomic_load_n(&b->device, __ATOMIC_RELAXED);
}

static bool copy_target(struct arena *a, const struct link_target *from, struct link_target *ret)
{
	*ret = *from;
	return slice_dup(a, from->text, &ret->text) && slice_dup(a, from->name, &ret->name) && slice_dup(a, from->path, &ret->path) &&
		slice_dup(a, from->host, &ret->host) && slice_dup(a, from->user, &ret->user) && slice_dup(a, from->password, &ret->password);
}

static void free_store(struct link_store *s)
{
	struct link_host *h = s->host;
	spinlock_lock(&h->lock);
	struct link_store **at = &h->stores;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	spinlock_unlock(&h->lock);
	if (s->provider->ops->close)
		s->provider->ops->close(s);
	struct arena arena = s->arena;
	mem_free(s);
	arena_release(&arena);
}

static void on_left(struct loop_remote *r)
{
	free_store(CONTAINER_OF(r, struct link_store, left));
}

void link__store_left(struct link_store *s)
{
	loop_post_remote(s->host->loops[0], &s->left);
}

// Nobody has it any more.
static void leave_store(struct link_store *s)
{
	s->left.fn = on_left;
	if (!s->provider->ops->leave || !s->provider->ops->leave(s))
		free_store(s);
}

static struct link_store *find(struct link_host *h, const struct link_target *t, const struct link__space *space)
{
	struct link_store *s = h->stores;  // only the main thread changes the list
	while (s && (s->closing || s->refs == 0 || !is_same(&s->target, t) || !slice_eq(s->space, space->text)))
		s = s->next;
	return s;
}

static bool fill(struct link_store *s, const struct link_target *t, const struct link__space *space, struct err *e)
{
	s->by_thread = ARENA_ARRAY(&s->arena, struct link_part *, s->host->n_loops);
	s->n_parts = space->n_parts;
	bool ok = s->by_thread && copy_target(&s->arena, t, &s->target) && slice_dup(&s->arena, space->text, &s->space);
	for (unsigned i = 0; ok && i < space->n_parts; i++)
		ok = slice_dup(&s->arena, space->parts[i], &s->parts[i]);
	return ok || err_nomem(e);
}

void link__store_pool(struct link_store *s)
{
	uint32_t most = 0;
	for (const struct link *l = s->host->first_link; l; l = l->next_link)
		if (l->store == s)
			most = l->pool > most ? l->pool : most;
	if (!most || most == s->pool)
		return;
	s->pool = most;
	if (s->provider->ops->pool)
		s->provider->ops->pool(s);
}

bool link__store_open(struct link_host *h, const struct link_target *t, const struct link__space *space, uint32_t pool, struct link_store **ret, struct err *e)
{
	struct link_store *s = find(h, t, space);
	if (s) {
		s->refs++;
		*ret = s;
		return true;
	}
	if (!(s = mem_zalloc(t->provider->ops->store_size)))
		return err_nomem(e);
	s->provider = t->provider;
	s->host = h;
	s->refs = 1;
	s->pool = pool;
	arena_init(&s->arena, 0);
	if (!link_target_check(t, e) || !fill(s, t, space, e) || (t->provider->ops->open && !t->provider->ops->open(s, e))) {
		struct arena arena = s->arena;
		mem_free(s);
		arena_release(&arena);
		return false;
	}
	spinlock_lock(&h->lock);
	s->next = h->stores;
	h->stores = s;
	spinlock_unlock(&h->lock);
	*ret = s;
	return true;
}

void link__store_ref(struct link_store *s)
{
	s->refs++;
}

// On the main thread.
static void on_part_closed(struct loop_remote *r)
{
	struct link_part *p = CONTAINER_OF(r, struct link_part, remote);
	struct link_store *s = p->store;
	mem_free(p);
	if (--s->closing == 0)
		leave_store(s);
}

static void on_close_part(struct loop_remote *r)
{
	struct link_part *p = CONTAINER_OF(r, struct link_part, remote);
	close_part(p);
	p->remote.fn = on_part_closed;
	loop_post_remote(p->store->host->loops[0], &p->remote);
}

void link__store_unref(struct link_store *s)
{
	if (--s->refs)
		return;
	struct link_host *h = s->host;
	spinlock_lock(&h->lock);
	for (unsigned i = 0; i < h->n_loops; i++) {
		struct link_part *p = s->by_thread[i];
		if (!p)
			continue;
		s->closing++;
		p->remote.fn = on_close_part;
		loop_post_remote(p->loop, &p->remote);
	}
	spinlock_unlock(&h->lock);
	if (!s->closing)
		leave_store(s);
}

// What is wished of the shards of a thread that ends is the main thread's from now on: what lies in the list of a loop that
// has stopped is of no use there.
static void thread_ends(struct link_host *h, unsigned thread)
{
	spinlock_lock(&h->lock);
	for (struct link *l = h->first_link; l; l = l->next_link) {
		struct link_shard *s = &l->shards[thread];
		spinlock_lock(&s->lock);
		s->gone = true;
		s->part = NULL;
		bool again = s->posted && thread;
		spinlock_unlock(&s->lock);
		if (again)
			loop_post_remote(h->loops[0], &s->take_up);
	}
	spinlock_unlock(&h->lock);
}

void link_thread_close(struct link_host *h, struct loop *loop)
{
	unsigned thread = 0;
	while (thread < h->n_loops && h->loops[thread] != loop)
		thread++;
	BUG_ON(thread == h->n_loops);
	spinlock_lock(&h->lock);
	struct link *l = h->first_link;
	spinlock_unlock(&h->lock);
	for (; l; l = l->next_link)
		if (l->shards[thread].shadow_ops)
			l->shards[thread].shadow_ops->stop(&l->shards[thread]);
	for (;;) {
		struct link_part *p = NULL;
		spinlock_lock(&h->lock);
		for (struct link_store *s = h->stores; s && !p; s = s->next)
			p = s->by_thread[thread];
		spinlock_unlock(&h->lock);
		if (!p)
			break;
		close_part(p);
		mem_free(p);  // nobody waits for it: what is closing goes with the host
	}
	thread_ends(h, thread);
}

void link_host_close(struct link_host *h)
{
	if (!h)
		return;
	while (h->dead)  // what is freed may bury what it held
		reap(&h->reap);
	BUG_ON(h->links);
	while (h->stores)
		free_store(h->stores);
	mem_free(h);
}
