// Key-value for guests: arguments are measured, the operation goes through the link, the fiber parks until it is answered, the answer is copied into the call's
// arena.
#include "face.h"

// ---- one operation --------------------------------------------------------------------------------------------------------------------------

// On the fiber's stack, or in its arena.
struct asked {
	struct link_op op;
	struct seam_call *c;
	struct seam_park *park;
	uint32_t *under_way;  // of several
	bool is_over, no_memory;
	struct slice value;   // of GET, kept
	struct wit_list keys;  // of LIST, kept
	uint32_t index;
};

static void keep_keys(struct asked *a)
{
	const struct link_op *op = &a->op;
	struct wit_string *list = SEAM_ARRAY(a->c, struct wit_string, op->n_ret_keys);
	a->no_memory = !list;
	for (uint32_t i = 0; list && i < op->n_ret_keys; i++)
		if (!seam_string(a->c, op->ret_keys[i].key, &list[i])) {
			a->no_memory = true;
			return;
		}
	a->keys = (struct wit_list){list, op->n_ret_keys};
}

// What is answered is the store's: it is copied here.
static void on_done(struct link_op *op)
{
	struct asked *a = CONTAINER_OF(op, struct asked, op);
	a->is_over = true;
	if (op->code == LINK_OK && op->kind == LINK_GET && op->found) {
		struct wit_string v;
		a->no_memory = !seam_string(a->c, op->ret_value, &v);
		a->value = slice_of(v.ptr, a->no_memory ? 0 : v.len);
	}
	if (op->code == LINK_OK && op->kind == LINK_LIST)
		keep_keys(a);
	if (a->under_way)
		(*a->under_way)--;
	seam_wake(a->park);
}

static void prepare(struct asked *a, struct seam_call *c, const struct link__bucket *b, struct seam_park *park)
{
	a->c = c;
	a->park = park;
	a->op.bucket = b->name;
	a->op.memory = canon_instance_pool(c->canon);
	a->op.deadline_ns = sat_add_u64(loop_now_ns(b->shard->loop), b->shard->link->deadline_ns);
	a->op.done = on_done;
}

static enum seam_result run(struct asked *a, struct seam_call *c, const struct link__bucket *b)
{
	struct seam_park park;
	seam_park_init(&park);
	prepare(a, c, b, &park);
	link__submit(b->shard, &a->op);
	enum seam_result r = a->is_over ? SEAM_OK : seam_park(c, &park);
	if (r != SEAM_OK)
		link__cancel(&a->op);
	return r == SEAM_OK && a->no_memory ? SEAM_TRAP : r;
}

// ---- what is answered -----------------------------------------------------------------------------------------------------------------------

static enum seam_result other(struct seam_call *c, struct link__answer *answer, const char *text)
{
	answer->fault = LINK__OTHER;
	return seam_string(c, slice_str(text), &answer->text) ? SEAM_OK : SEAM_TRAP;
}

static enum seam_result tell(struct seam_call *c, const struct asked *a, struct link__answer *answer)
{
	if (a->op.code == LINK_OK)
		return SEAM_OK;
	return other(c, answer, a->op.ret_text);
}

// A key or value that is too long is refused unread. *ret_ok: it is not.
static enum seam_result measure(struct seam_call *c, const struct link__bucket *b, size_t key, size_t value, struct link__answer *answer, bool *ret_ok)
{
	const struct link_provider *p = b->shard->store->provider;
	uint64_t max_key = min_u64(p->max_key, LINK_KEY_MAX), max_value = min_u64(p->max_value, LINK_VALUE_MAX);
	char text[160];
	*ret_ok = key <= max_key && value <= max_value;
	if (*ret_ok)
		return seam_work(c, key + value + VM_WORK_ITEM);
	if (key > max_key)
		snprintf(text, sizeof text, "the key has %zu bytes, at most %llu are taken", key, (unsigned long long)max_key);
	else
		snprintf(text, sizeof text, "the value has %zu bytes, at most %llu are taken", value, (unsigned long long)max_value);
	return other(c, answer, text);
}

// Asks one key. Not SEAM_OK, or a fault in *answer: it is not to be looked at.
static enum seam_result ask(struct seam_call *c, const struct link__bucket *b, struct asked *a, struct link__answer *answer)
{
	bool ok;
	enum seam_result r = measure(c, b, a->op.key.len, a->op.value.len, answer, &ok);
	if (r != SEAM_OK || !ok)
		return r;
	r = run(a, c, b);
	return r == SEAM_OK ? tell(c, a, answer) : r;
}

// ---- buckets --------------------------------------------------------------------------------------------------------------------------------

struct state {
	struct link_shard *shard;
};

static void *state_new(struct seam_provider *p, struct canon_instance *i)
{
	struct link *l = CONTAINER_OF(p, struct link, seam);
	const struct seam_instance *s = canon_instance_user(i);
	struct state *state = SEAM_MEM_NEW(i, struct state);
	unsigned thread = 0;
	while (thread < l->n_shards && l->shards[thread].loop != s->loop)
		thread++;
	BUG_ON(thread == l->n_shards);
	if (state)
		state->shard = &l->shards[thread];
	return state;
}

static void state_reset(struct seam_provider *p, struct canon_instance *i, void *state)
{
}

static void state_free(struct seam_provider *p, struct canon_instance *i, void *state)
{
	seam_mem_free(state);
}

// Tables and offers of seam hold the link by it.
static void face_close(struct seam_provider *p)
{
	link__unref(CONTAINER_OF(p, struct link, seam));
}

const struct seam_provider_ops link__face_ops = {
	.name = "link", .close = face_close, .instance_new = state_new, .instance_reset = state_reset, .instance_free = state_free};

static bool has_bucket(const struct link *l, struct slice identifier)
{
	for (uint32_t i = 0; i < l->n_buckets; i++)
		if (slice_eq(l->buckets[i], identifier))
			return true;
	return false;
}

// Text of one block.
static struct slice put_after(uint8_t **at, struct slice s)
{
	struct slice ret = slice_of(*at, s.len);
	if (s.len)
		memcpy(*at, s.ptr, s.len);
	*at += s.len;
	return ret;
}

enum seam_result link__face_open(struct seam_call *c, struct wit_string identifier, const struct canon_resource_ops *of, uint32_t *ret,
	struct link__answer *answer)
{
	if (c->binding->provider == &link__denied) {
		seam_deny(c, SEAM_DENY_LINK, c->binding->interface->name, "a link");
		answer->fault = LINK__DENIED;
		return SEAM_OK;
	}
	struct state *state = seam_state(c);
	if (!state)
		return seam_no_memory(c);
	if (!has_bucket(state->shard->link, seam_slice(identifier))) {
		answer->fault = LINK__NO_STORE;
		return SEAM_OK;
	}
	struct slice name = state->shard->link->space.n_parts ? seam_slice(identifier) : LINK__RAW_BUCKET;
	struct link__bucket *b = seam_mem_alloc(c->canon, sizeof *b + name.len);
	if (!b)
		return seam_no_memory(c);
	uint8_t *text = (uint8_t *)(b + 1);
	*b = (struct link__bucket){state->shard, put_after(&text, name)};
	if (seam_resource_new(c, of, b, ret))
		return SEAM_OK;
	seam_mem_free(b);
	return SEAM_TRAP;
}

void link__bucket_free(void *bucket)
{
	seam_mem_free(bucket);
}

// ---- keys -----------------------------------------------------------------------------------------------------------------------------------

enum seam_result link__face_get(struct seam_call *c, const struct link__bucket *b, struct wit_string key, struct wasi_option_list_u8 *ret,
	struct link__answer *answer)
{
	struct asked a = {.op = {.kind = LINK_GET, .key = seam_slice(key)}};
	enum seam_result r = ask(c, b, &a, answer);
	if (r != SEAM_OK || answer->fault)
		return r;
	*ret = (struct wasi_option_list_u8){.is_some = a.op.found, .some = {a.value.ptr, a.value.len}};
	return seam_work(c, a.value.len);
}

enum seam_result link__face_set(struct seam_call *c, const struct link__bucket *b, struct wit_string key, struct wit_list value, struct link__answer *answer)
{
	struct asked a = {.op = {.kind = LINK_SET, .key = seam_slice(key), .value = seam_list_bytes(value)}};
	return ask(c, b, &a, answer);
}

enum seam_result link__face_delete(struct seam_call *c, const struct link__bucket *b, struct wit_string key, struct link__answer *answer)
{
	struct asked a = {.op = {.kind = LINK_DELETE, .key = seam_slice(key)}};
	return ask(c, b, &a, answer);
}

enum seam_result link__face_exists(struct seam_call *c, const struct link__bucket *b, struct wit_string key, bool *ret, struct link__answer *answer)
{
	struct asked a = {.op = {.kind = LINK_EXISTS, .key = seam_slice(key)}};
	enum seam_result r = ask(c, b, &a, answer);
	*ret = a.op.found;
	return r;
}

enum seam_result link__face_increment(struct seam_call *c, const struct link__bucket *b, struct wit_string key, int64_t delta, int64_t *ret,
	struct link__answer *answer)
{
	struct asked a = {.op = {.kind = LINK_INCREMENT, .key = seam_slice(key), .delta = delta}};
	enum seam_result r = ask(c, b, &a, answer);
	*ret = a.op.ret_number;
	return r;
}

// ---- lists ----------------------------------------------------------------------------------------------------------------------------------

// A store may have keys that no guest wrote: those of a raw space.
static enum seam_result check_keys(struct seam_call *c, struct wit_list keys, struct link__answer *answer)
{
	const struct wit_string *list = keys.ptr;
	for (size_t i = 0; i < keys.len; i++) {
		enum seam_result r = seam_work(c, list[i].len + VM_WORK_ITEM);
		if (r != SEAM_OK)
			return r;
		if (!utf8_is_valid(seam_slice(list[i])))
			return other(c, answer, "the store has a key that is not UTF-8, which a list can't have");
	}
	return SEAM_OK;
}

enum seam_result link__face_page(struct seam_call *c, const struct link__bucket *b, uint64_t epoch, uint64_t cursor, struct wit_list *ret, uint64_t *ret_cursor,
	struct link__answer *answer)
{
	enum seam_result r;
	do {  // an empty page is none
		struct asked a = {.op = {.kind = LINK_LIST, .cursor = cursor, .limit = LINK__PAGE, .epoch = epoch}};
		r = run(&a, c, b);
		if (r == SEAM_OK && a.op.code == LINK_STALE)
			return other(c, answer, "cursor expired");
		r = r == SEAM_OK ? tell(c, &a, answer) : r;
		if (r != SEAM_OK || answer->fault)
			return r;
		*ret = a.keys;
		cursor = a.op.ret_cursor;
		r = seam_work(c, (1 + (uint64_t)a.op.ret_looked) * VM_WORK_ITEM);  // also of those that are not in it
		r = r == SEAM_OK ? check_keys(c, a.keys, answer) : r;
	} while (r == SEAM_OK && !answer->fault && !ret->len && cursor);
	*ret_cursor = cursor;
	return r;
}

enum seam_result link__face_keys(struct seam_call *c, const struct link__bucket *b, struct wit_list *ret, struct link__answer *answer)
{
	VEC(struct wit_string)
	all = {0};
	uint64_t cursor = 0, epoch = b->shard->epoch, bytes = 0;
	do {
		struct wit_list page;
		enum seam_result r = link__face_page(c, b, epoch, cursor, &page, &cursor, answer);
		if (r != SEAM_OK || answer->fault)
			return r;
		for (size_t i = 0; i < page.len; i++) {
			const struct wit_string *key = (const struct wit_string *)page.ptr + i;
			bytes += key->len + sizeof *key;
			if (bytes > LINK__LIST_BYTES || !VEC_PUSH(seam_arena(c), &all, *key, UINT32_MAX))
				return other(c, answer, "the store has more keys than one answer may have");
		}
	} while (cursor);
	*ret = (struct wit_list){all.ptr, all.len};
	return SEAM_OK;
}

// ---- compare and swap -----------------------------------------------------------------------------------------------------------------------

static enum seam_result read_version(struct seam_call *c, struct link__cas *cas, struct asked *a, struct link__answer *answer)
{
	a->op = (struct link_op){.kind = LINK_GET, .key = cas->key, .wants_version = true};
	enum seam_result r = ask(c, &cas->bucket, a, answer);
	if (r != SEAM_OK || answer->fault)  // it stays at the version that it had
		return r;
	cas->epoch = a->op.answered_epoch;
	cas->version = a->op.found ? a->op.ret_version : (struct link_version){{0}};
	return SEAM_OK;
}

enum seam_result link__face_cas_new(struct seam_call *c, const struct link__bucket *b, struct slice key, const struct canon_resource_ops *of, uint32_t *ret,
	struct link__answer *answer)
{
	bool ok;
	enum seam_result r = measure(c, b, key.len, 0, answer, &ok);
	if (r != SEAM_OK || !ok)
		return r;
	struct link__cas *cas = seam_mem_zalloc(c->canon, sizeof *cas + b->name.len + key.len);
	if (!cas)
		return seam_no_memory(c);
	uint8_t *text = (uint8_t *)(cas + 1);
	cas->bucket = (struct link__bucket){b->shard, put_after(&text, b->name)};
	cas->key = put_after(&text, key);
	struct asked a = {0};
	r = read_version(c, cas, &a, answer);
	if (r == SEAM_OK && !answer->fault && seam_resource_new(c, of, cas, ret))
		return SEAM_OK;
	seam_mem_free(cas);
	return r == SEAM_OK && !answer->fault ? SEAM_TRAP : r;
}

void link__cas_free(void *cas)
{
	seam_mem_free(cas);
}

enum seam_result link__face_cas_current(struct seam_call *c, struct link__cas *cas, struct wasi_option_list_u8 *ret, struct link__answer *answer)
{
	struct asked a = {0};
	enum seam_result r = read_version(c, cas, &a, answer);
	if (r == SEAM_OK && !answer->fault)
		*ret = (struct wasi_option_list_u8){.is_some = a.op.found, .some = {a.value.ptr, a.value.len}};
	return r;
}

enum seam_result link__face_swap(struct seam_call *c, const struct link__cas *cas, struct wit_list value, bool *ret_stale, struct link__answer *answer)
{
	struct asked a = {.op = {.kind = LINK_SWAP, .key = cas->key, .value = seam_list_bytes(value), .version = cas->version, .epoch = cas->epoch}};
	bool ok;
	enum seam_result r = measure(c, &cas->bucket, 0, value.len, answer, &ok);
	if (r != SEAM_OK || !ok)
		return r;
	r = run(&a, c, &cas->bucket);
	*ret_stale = r == SEAM_OK && a.op.code == LINK_STALE;
	return r == SEAM_OK && !*ret_stale ? tell(c, &a, answer) : r;
}

// ---- many -----------------------------------------------------------------------------------------------------------------------------------

struct crowd {
	struct seam_call *c;
	const struct link__bucket *bucket;
	const struct link__many *of;
	struct link__answer *answer;
	struct asked *list;  // LINK__AT_ONCE_MAX, by turns
	uint32_t under_way, begun, taken;
	struct seam_park park;
	bool no_memory;
};

// Of the oldest, which is over.
static enum seam_result take_answer(struct crowd *w)
{
	struct asked *a = &w->list[w->taken++ % LINK__AT_ONCE_MAX];
	w->no_memory |= a->no_memory;
	if (w->of->found)
		w->of->found[a->index] = (struct wasi_option_list_u8){.is_some = a->op.found, .some = {a->value.ptr, a->value.len}};
	return w->answer->fault ? SEAM_OK : tell(w->c, a, w->answer);
}

static enum seam_result begin_next(struct crowd *w)
{
	const struct link__many *m = w->of;
	uint32_t i = w->begun;
	struct slice key = seam_slice(m->key(m->list, i)), value = m->value ? seam_list_bytes(m->value(m->list, i)) : slice_of(NULL, 0);
	bool ok;
	enum seam_result r = measure(w->c, w->bucket, key.len, value.len, w->answer, &ok);
	if (r != SEAM_OK || !ok)
		return r;
	struct asked *a = &w->list[i % LINK__AT_ONCE_MAX];
	*a = (struct asked){.op = {.kind = m->kind, .key = key, .value = value}, .under_way = &w->under_way, .index = i};
	prepare(a, w->c, w->bucket, &w->park);
	w->begun++;
	w->under_way++;
	link__submit(w->bucket->shard, &a->op);
	return SEAM_OK;
}

static enum seam_result wait_for_one(struct crowd *w)
{
	while (!w->list[w->taken % LINK__AT_ONCE_MAX].is_over) {
		seam_park_init(&w->park);
		enum seam_result r = seam_park(w->c, &w->park);
		if (r != SEAM_OK)
			return r;
	}
	return SEAM_OK;
}

static void give_up(struct crowd *w)
{
	for (; w->taken < w->begun; w->taken++)
		if (!w->list[w->taken % LINK__AT_ONCE_MAX].is_over)
			link__cancel(&w->list[w->taken % LINK__AT_ONCE_MAX].op);
}

enum seam_result link__face_many(struct seam_call *c, const struct link__bucket *b, const struct link__many *m, struct link__answer *answer)
{
	struct crowd w = {.c = c, .bucket = b, .of = m, .answer = answer};
	enum seam_result r = SEAM_OK;
	seam_park_init(&w.park);
	if (!(w.list = SEAM_ARRAY(c, struct asked, min_u64(m->n, LINK__AT_ONCE_MAX))))
		return SEAM_TRAP;
	while (r == SEAM_OK && (w.taken < w.begun || (w.begun < m->n && !answer->fault))) {
		bool may_begin = w.begun < m->n && !answer->fault && w.begun - w.taken < LINK__AT_ONCE_MAX;
		if (may_begin)
			r = begin_next(&w);
		else if ((r = wait_for_one(&w)) == SEAM_OK)
			r = take_answer(&w);
	}
	if (r != SEAM_OK)
		give_up(&w);
	return r == SEAM_OK && w.no_memory ? SEAM_TRAP : r;
}

struct wit_string link__key_at(const void *list, uint32_t i)
{
	return ((const struct wit_string *)list)[i];
}

struct wit_string link__pair_key(const void *list, uint32_t i)
{
	return ((const struct wasi_tuple2_string_list_u8 *)list)[i].f0;
}

struct wit_list link__pair_value(const void *list, uint32_t i)
{
	return ((const struct wasi_tuple2_string_list_u8 *)list)[i].f1;
}
