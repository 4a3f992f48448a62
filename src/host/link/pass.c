// A pass over keys: LINK__LANES of them under way at once.
//
// 1. Stores answer on this thread, perhaps within submit: an answer only notes what came and posts the turn; all that is begun is begun in link__pass_go.
// 2. Keys lie in the page that they came with, which stays until all its lanes are idle. The next page is fetched meanwhile.
// 3. Values that wait in lanes are bounded (HELD), but for the one that is being read.
// 4. A wipe asks a store that can (LINK_PURGE) to drop all that is older than its marker, which stays. Whatever comes of that, what is there then is deleted key
//    by key: nothing, or all where the store refuses, or what others write meanwhile.
#include "move.h"

enum { PAGE = 256, TURN = 256, HELD = 64 << 20 };
static const uint64_t DEADLINE_NS = 10 * SECOND, PURGE_NS = 120 * SECOND;

void link__pass_begin(struct link__pass *p, enum link__job job, struct link_store *from, struct link_store *to, const struct link_key *keys, uint32_t n, bool lists)
{
	struct loop_job *turn = p->turn;
	struct loop *loop = p->loop;
	*p = (struct link__pass){.job = job, .from = from, .to = to, .loop = loop, .turn = turn, .keys = keys, .n = n, .lists = lists};
	p->list_is_over = !lists;
	p->purge = job == LINK__WIPE && to->provider->ops->purges ? LINK__PURGE_ASKS : LINK__NO_PURGE;
	arena_init(&p->pages[0], 0);
	arena_init(&p->pages[1], 0);
}

static void fail(struct link__pass *p, const struct link_key *key, const char *what)
{
	struct buf b = {.max = 600};
	if (key) {
		buf_put_str(&b, "key '");
		buf_put_printable(&b, slice_sub(key->key, 0, 60), "");
	}
	if (key && !slice_eq_str(key->bucket, "default")) {
		buf_put_str(&b, "' of bucket '");
		buf_put_printable(&b, slice_sub(key->bucket, 0, 60), "");
	}
	err_set(&p->err, ERR_ENV, key ? "%.*s': %s" : "%.*s%s", SLICE_ARGS(buf_view(&b)), what);
	buf_release(&b);
}

// ---- pages ------------------------------------------------------------------------------------------------------------------------------------

static void on_listed(struct link_op *op)
{
	struct link__pass *p = CONTAINER_OF(op, struct link__pass, list);
	struct arena *a = &p->pages[p->page ^ 1];
	p->list_is_out = false;
	p->list_is_answered = true;
	loop_post(p->loop, p->turn);
	if (op->code != LINK_OK) {
		fail(p, NULL, op->ret_text);
		return;
	}
	arena_clear(a);
	struct link_key *list = ARENA_ARRAY(a, struct link_key, op->n_ret_keys + 1);
	p->next_keys = list;
	p->n_next = 0;
	for (uint32_t i = 0; list && i < op->n_ret_keys; i++) {
		struct link_key *k = &list[p->n_next];
		if (!op->ret_keys[i].bucket.len)
			continue;
		if (!slice_dup(a, op->ret_keys[i].bucket, &k->bucket) || !slice_dup(a, op->ret_keys[i].key, &k->key))
			list = NULL;
		p->n_next++;
	}
	if (!list)
		err_nomem(&p->err);
	p->cursor = op->ret_cursor;
	p->list_is_over = op->ret_cursor == 0;
}

static void fetch_page(struct link__pass *p)
{
	p->list = (struct link_op){.kind = LINK_LIST, .cursor = p->cursor, .limit = PAGE, .all = true, .done = on_listed};
	p->list.deadline_ns = loop_now_fresh_ns(p->loop) + DEADLINE_NS;
	p->list_is_out = true;
	link__store_submit(p->from, 0, &p->list);
}

// ---- a purge ----------------------------------------------------------------------------------------------------------------------------------

static void on_purge(struct link_op *op)
{
	struct link__pass *p = CONTAINER_OF(op, struct link__pass, list);
	p->list_is_out = false;
	p->purge = op->kind == LINK_GET && op->code == LINK_OK && op->found ? LINK__PURGES : LINK__NO_PURGE;
	p->marked = op->ret_version;
	loop_post(p->loop, p->turn);
}

static void purge(struct link__pass *p)
{
	bool asks = p->purge == LINK__PURGE_ASKS;
	p->list = (struct link_op){.kind = asks ? LINK_GET : LINK_PURGE, .bucket = slice_of("", 0), .key = LINK__MARKER_KEY, .done = on_purge};
	p->list.wants_version = asks;
	p->list.version = p->marked;
	p->list.deadline_ns = loop_now_fresh_ns(p->loop) + (asks ? DEADLINE_NS : PURGE_NS);
	p->list_is_out = true;
	link__store_submit(p->to, 0, &p->list);
}

// ---- lanes ------------------------------------------------------------------------------------------------------------------------------------

static void on_answered(struct link_op *op)
{
	struct link__lane *l = CONTAINER_OF(op, struct link__lane, op);
	struct link__pass *p = l->pass;
	l->is_answered = true;
	loop_post(p->loop, p->turn);
	if (op->code != LINK_OK) {
		fail(p, &l->key, op->ret_text);
		return;
	}
	if (l->stage == LINK__READS_OTHER)
		p->n_different += op->found != l->found || (l->found && !slice_eq(op->ret_value, slice_of(l->value, l->len)));
	if (l->stage != LINK__READS)
		return;
	l->found = op->found;
	l->len = op->found ? op->ret_value.len : 0;
	l->ttl_ms = op->ret_ttl_ms;
	if (l->len && !(l->value = mem_alloc(l->len)))
		err_nomem(&p->err);
	else if (l->len)
		memcpy(l->value, op->ret_value.ptr, l->len);
	p->held_bytes += l->len;
}

static void send(struct link__lane *l, struct link_store *s, enum link_kind kind)
{
	l->is_answered = false;
	l->op = (struct link_op){.kind = kind, .bucket = l->key.bucket, .key = l->key.key, .wants_ttl = true, .done = on_answered};
	l->op.deadline_ns = loop_now_fresh_ns(l->pass->loop) + DEADLINE_NS;
	if (kind == LINK_SET) {
		l->op.value = slice_of(l->value, l->len);
		l->op.ttl_ms = l->ttl_ms;
	}
	link__store_submit(s, 0, &l->op);
}

static void begin(struct link__pass *p, struct link__lane *l, struct link_key key)
{
	l->pass = p;
	l->key = key;
	p->busy++;
	l->stage = p->job == LINK__WIPE ? LINK__WRITES : LINK__READS;
	if (p->job == LINK__WIPE)
		send(l, p->to, LINK_DELETE);
	else
		send(l, p->from, LINK_GET);
}

static void end(struct link__lane *l)
{
	l->pass->busy--;
	l->pass->held_bytes -= l->len;
	mem_free(l->value);
	*l = (struct link__lane){0};
}

// What the target can't take stops the copy, naming the key (contract §3).
static bool can_take(struct link__pass *p, const struct link__lane *l)
{
	const struct link_provider *to = p->to->provider;
	char text[120];
	if (l->key.key.len > to->max_key || l->len > to->max_value) {
		bool key = l->key.key.len > to->max_key;
		snprintf(text, sizeof text, "%s of %zu bytes is too large for the target, which takes %llu", key ? "a key" : "its value", key ? l->key.key.len : l->len,
			(unsigned long long)(key ? to->max_key : to->max_value));
		fail(p, &l->key, text);
	}
	if (l->ttl_ms && !(to->caps & LINK_CAN_TTL))
		fail(p, &l->key, "it has a time to live, which the target does not keep");
	return p->err.code == ERR_NONE;
}

static void go_on(struct link__lane *l)
{
	struct link__pass *p = l->pass;
	if (l->stage != LINK__READS || p->err.code != ERR_NONE) {
		p->n_done += p->err.code == ERR_NONE;
		end(l);
	} else if (p->job == LINK__COMPARE) {
		l->stage = LINK__READS_OTHER;
		send(l, p->to, LINK_GET);
	} else if (l->found && !can_take(p, l)) {
		end(l);
	} else {
		l->stage = LINK__WRITES;
		send(l, p->to, l->found ? LINK_SET : LINK_DELETE);
	}
}

// ---- the pass ---------------------------------------------------------------------------------------------------------------------------------

static unsigned go_lanes(struct link__pass *p)
{
	unsigned n = 0;
	for (unsigned i = 0; i < LINK__LANES; i++) {
		struct link__lane *l = &p->lanes[i];
		if (l->stage != LINK__IDLE && l->is_answered) {
			go_on(l);
			n++;
		}
		if (l->stage == LINK__IDLE && p->at < p->n && p->err.code == ERR_NONE && p->held_bytes < HELD) {
			begin(p, l, p->keys[p->at++]);
			n++;
		}
	}
	return n;
}

static unsigned go_pages(struct link__pass *p)
{
	unsigned n = 0;
	if (p->purge != LINK__NO_PURGE) {
		if (p->list_is_out)
			return 0;
		purge(p);
		return 1;
	}
	if (p->list_is_answered && p->busy == 0 && p->at == p->n) {
		p->list_is_answered = false;
		p->page ^= 1;
		p->keys = p->next_keys;
		p->n = p->n_next;
		p->at = 0;
		n++;
	}
	if (p->job == LINK__COUNT) {
		p->n_done += p->n - p->at;
		p->at = p->n;
	}
	if (!p->list_is_out && !p->list_is_answered && !p->list_is_over) {
		fetch_page(p);
		n++;
	}
	return n;
}

bool link__pass_go(struct link__pass *p)
{
	unsigned n = 1;
	for (unsigned done = 0; n && done < TURN; done += n) {
		n = go_lanes(p);
		if (p->err.code == ERR_NONE)
			n += go_pages(p);
	}
	bool is_over = p->err.code != ERR_NONE || (p->busy == 0 && p->at == p->n && p->list_is_over && !p->list_is_out && !p->list_is_answered);
	if (is_over)
		link__pass_stop(p);
	else if (n)
		loop_post_slow(p->loop, p->turn);
	return is_over;
}

void link__pass_stop(struct link__pass *p)
{
	if (p->list_is_out)
		link__cancel(&p->list);
	p->list_is_out = false;
	for (unsigned i = 0; i < LINK__LANES; i++) {
		struct link__lane *l = &p->lanes[i];
		if (l->stage == LINK__IDLE)
			continue;
		if (!l->is_answered)
			link__cancel(&l->op);
		end(l);
	}
	arena_release(&p->pages[0]);
	arena_release(&p->pages[1]);
}
