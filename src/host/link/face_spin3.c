// spin:key-value@3.0.0 and spin:variables@3.0.0: those of Spin's world 2, whose functions are async; keys come as a stream.
#include "face.h"

LINK__FACE_ERROR(spin3_key_value, SPIN3_KEY_VALUE_ERROR)
LINK__FACE_BUCKET(spin3_key_value, spin3_key_value_store, spin3_key_value_error)

// ---- key-value ------------------------------------------------------------------------------------------------------------------------------

enum seam_result spin3_key_value_store_open(struct seam_call *c, const struct spin3_key_value_store_open_args *args,
	struct wasi_result_own_spin3_key_value_store_spin3_key_value_error *ret)
{
	struct link__answer answer = {0};
	enum seam_result r = link__face_open(c, args->label, &spin3_key_value_store_class, &ret->ok, &answer);
	if (answer.fault == LINK__NO_STORE)
		answer.fault = LINK__DENIED;  // a label that the manifest doesn't give the component, as Spin has it
	LINK__FAULT(spin3_key_value, ret, &answer);
	return r;
}

// ---- keys as a stream: a page is asked for when the guest waits for keys and none is left --------------------------------------------------------

struct listing {
	struct canon_end keys, outcome;
	unsigned n_ends;      // of those two, that are there
	struct canon_instance *instance;
	struct link_shard *shard;
	struct loop_job job;
	struct link_op op;
	bool asks, is_last, told;
	uint64_t epoch, cursor;
	struct wit_string *page;  // one block of the instance's
	uint32_t n, next;
	bool failed;
	char text[160];       // why
	uint8_t bucket[];
};

// One of the ends is no more.
static void listing_unref(struct listing *l)
{
	if (--l->n_ends)
		return;
	link__unref(l->shard->link);
	seam_mem_free(l);
}

static void stop_asking(struct listing *l)
{
	if (l->asks)
		link__cancel(&l->op);
	l->asks = false;
	loop_job_cancel(&l->job);
	seam_mem_free(l->page);
	l->page = NULL;
}

static void keys_end(struct listing *l)
{
	stop_asking(l);
	canon_end_drop(&l->keys);
	if (l->outcome.shared)
		canon_end_resolve(&l->outcome);
	listing_unref(l);
}

static void fail(struct listing *l, const char *text)
{
	snprintf(l->text, sizeof l->text, "%s", text);
	l->failed = l->is_last = true;
	l->n = 0;
}

static void keep_page(struct listing *l)
{
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < l->op.n_ret_keys; i++)
		bytes += sizeof *l->page + l->op.ret_keys[i].key.len;
	seam_mem_free(l->page);
	l->next = l->n = 0;
	l->page = bytes ? seam_mem_alloc(l->instance, bytes) : NULL;
	if (bytes && !l->page) {
		fail(l, "no memory for a page of keys");
		return;
	}
	uint8_t *text = bytes ? (uint8_t *)(l->page + l->op.n_ret_keys) : NULL;
	for (uint32_t i = 0; i < l->op.n_ret_keys; i++) {
		struct slice key = l->op.ret_keys[i].key;
		if (!utf8_is_valid(key)) {
			fail(l, "the store has a key that is not UTF-8, which a list can't have");
			return;
		}
		l->page[l->n++] = (struct wit_string){text, key.len};
		if (key.len)
			memcpy(text, key.ptr, key.len);
		text += key.len;
	}
}

static void on_page(struct link_op *op)
{
	struct listing *l = CONTAINER_OF(op, struct listing, op);
	l->asks = false;
	if (op->code == LINK_OK) {
		l->cursor = op->ret_cursor;
		l->is_last = !op->ret_cursor;
		keep_page(l);
	} else {
		fail(l, op->code == LINK_STALE ? "the store was changed for another while its keys were read" : op->ret_text);
	}
	if (l->n || l->is_last)
		loop_post(l->shard->loop, &l->job);
	else
		loop_post_slow(l->shard->loop, &l->job);  // others come before the next page: there may be many without a key
}

static void ask(struct listing *l)
{
	struct slice bucket = l->op.bucket;
	l->asks = true;
	l->op = (struct link_op){.kind = LINK_LIST, .bucket = bucket, .cursor = l->cursor, .limit = LINK__PAGE, .epoch = l->epoch, .done = on_page};
	l->op.memory = canon_instance_pool(l->instance);
	l->op.deadline_ns = sat_add_u64(loop_now_ns(l->shard->loop), l->shard->link->deadline_ns);
	link__submit(l->shard, &l->op);
}

static void listing_run(struct listing *l)
{
	uint8_t *none;
	size_t room;
	if (canon_end_is_over(&l->keys)) {  // who left has had what it wanted
		keys_end(l);
		return;
	}
	if (l->asks || !canon_end_room(&l->keys, &none, &room))
		return;
	if (l->next == l->n && l->is_last)
		keys_end(l);
	else if (l->next == l->n)
		ask(l);
	else if (room)
		canon_end_offer(&l->keys, min_u64(room, l->n - l->next));
	else
		canon_end_move(&l->keys, 0);
}

static void on_job(struct loop_job *j)
{
	listing_run(CONTAINER_OF(j, struct listing, job));
}

static void keys_changed(struct canon_end *e)
{
	listing_run(CONTAINER_OF(e, struct listing, keys));
}

static bool keys_value(struct canon_end *e, struct canon_task *t, void *native)
{
	struct listing *l = CONTAINER_OF(e, struct listing, keys);
	*(struct wit_string *)native = l->page[l->next++];
	return true;
}

static void keys_gone(struct canon_end *e)
{
	struct listing *l = CONTAINER_OF(e, struct listing, keys);
	stop_asking(l);
	listing_unref(l);
}

static bool outcome_value(struct canon_end *e, struct canon_task *t, void *native)
{
	struct listing *l = CONTAINER_OF(e, struct listing, outcome);
	struct wasi_result_void_spin3_key_value_error result = {.is_err = l->failed};
	struct link__answer answer = {LINK__OTHER, {(const uint8_t *)l->text, strlen(l->text)}};
	if (l->failed)
		result.err = link__error_spin3_key_value(&answer);
	*(struct wasi_result_void_spin3_key_value_error *)native = result;
	l->told = true;
	return true;
}

static void outcome_changed(struct canon_end *e)
{
	struct listing *l = CONTAINER_OF(e, struct listing, outcome);
	if (!l->told && !canon_end_is_over(e))
		return;
	canon_end_drop(e);
	listing_unref(l);
}

static void outcome_gone(struct canon_end *e)
{
	listing_unref(CONTAINER_OF(e, struct listing, outcome));
}

enum seam_result spin3_key_value_store_get_keys(struct seam_call *c, const struct spin3_key_value_store_get_keys_args *args,
	struct wasi_tuple2_stream_string_future_result_void_spin3_key_value_error *ret)
{
	static const struct canon_end_ops keys = {keys_changed, keys_value, keys_gone}, outcome = {outcome_changed, outcome_value, outcome_gone};
	const struct wit_type *tuple = c->func->type->result;
	const struct link__bucket *b = link__bucket_spin3_key_value(c, args->self);
	struct listing *l = seam_mem_zalloc(c->canon, sizeof *l + b->name.len);
	if (!l)
		return seam_no_memory(c);
	if (b->name.len)
		memcpy(l->bucket, b->name.ptr, b->name.len);
	l->op.bucket = slice_of(l->bucket, b->name.len);
	l->instance = c->canon;
	l->shard = b->shard;
	l->epoch = b->shard->epoch;
	l->job.fn = on_job;
	if (!canon_end_new(c->canon, tuple->fields[1].type, &outcome, &l->outcome, &ret->f1)) {
		seam_mem_free(l);
		return seam_no_memory(c);
	}
	link__ref(l->shard->link);
	l->n_ends = 1;
	if (canon_end_new(c->canon, tuple->fields[0].type, &keys, &l->keys, &ret->f0)) {
		l->n_ends = 2;
		return SEAM_OK;
	}
	canon_end_drop_number(c->canon, ret->f1);
	return seam_no_memory(c);
}

// ---- variables ------------------------------------------------------------------------------------------------------------------------------

LINK__FACE_VARIABLES(spin3_variables, SPIN3_VARIABLES_ERROR)
