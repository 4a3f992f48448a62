// Streams and futures in the result of `run --invoke`: what comes by them is kept until the call has ended, and printed then.
#include "serve_int.h"

enum { AT_ONCE = 256 };

// The readable end of one, until it is over, and what came: n native values of `cap` that there is room for.
struct serve_tap {
	struct serve_taps *of;
	struct canon_end end;
	const struct wit_type *type;
	uint8_t *values;
	size_t n, cap;
};

static bool fails(struct serve_taps *s, const char *why)
{
	s->failed = s->failed ? s->failed : why;
	return false;
}

static size_t size_of(const struct serve_tap *t)
{
	return t->type->elem ? t->type->elem->size64 : 0;
}

static bool reserve(struct serve_tap *t, size_t n)
{
	size_t cap = t->cap ? t->cap : 16;
	while (cap < t->n + n)
		cap *= 2;
	if (size_of(t) && cap != t->cap) {
		uint8_t *values = pool_realloc(canon_instance_pool(t->of->instance), t->values, cap * size_of(t));
		if (!values)
			return fails(t->of, "no memory for what a stream brings: the instance's limit is reached (--memory)");
		t->values = values;
	}
	t->cap = cap;
	t->of->left -= n;
	return true;
}

// n more have come; those that hold streams and futures themselves are looked into.
static bool keep(struct serve_tap *t, size_t n)
{
	size_t from = t->n;
	t->n += n;
	for (size_t i = from; size_of(t) && i < t->n; i++)
		if (!serve__taps_take(t->of, t->type->elem, t->values + i * size_of(t)))
			return false;
	return true;
}

// What waits there. false: no more is wanted.
static bool take_some(struct serve_tap *t)
{
	uint8_t *at;
	size_t room;
	struct serve_taps *s = t->of;
	struct canon_task *running = canon_instance_running(s->instance);
	while (canon_end_room(&t->end, &at, &room)) {
		size_t n = min_u64(min_u64(room, AT_ONCE), s->left);
		if (!room) {
			canon_end_move(&t->end, 0);
			return true;
		}
		if (!n) {
			s->cut = true;
			return false;
		}
		if (!reserve(t, n))
			return false;
		if (!canon_end_take_values(&t->end, running ? running : s->task, n, t->values + t->n * size_of(t)))
			return fails(s, "what came by a stream is no value of its type");
		if (!keep(t, n))
			return false;
		if (n == room)
			return true;
	}
	return true;
}

static void drain(struct serve_tap *t)
{
	bool wants = take_some(t);
	if (t->end.shared && (!wants || canon_end_is_over(&t->end)))
		canon_end_drop(&t->end);
}

static void changed(struct canon_end *e)
{
	struct serve_tap *t = CONTAINER_OF(e, struct serve_tap, end);
	if (t->type->kind == WIT_STREAM)
		drain(t);
	else if (t->n || canon_end_is_over(e))
		canon_end_drop(e);
}

// Of a future.
static bool value(struct canon_end *e, struct canon_task *task, void *native)
{
	struct serve_tap *t = CONTAINER_OF(e, struct serve_tap, end);
	if (!reserve(t, 1))
		return canon_task_trap(task, "%s", t->of->failed), false;
	if (size_of(t))
		memcpy(t->values, native, size_of(t));
	return keep(t, 1) || (canon_task_trap(task, "%s", t->of->failed), false);
}

static void gone(struct canon_end *e UNUSED)
{
}

// Its native value becomes the tap's number.
static bool tap(struct serve_taps *s, const struct wit_type *type, uint32_t *number)
{
	static const struct canon_end_ops ops = {.changed = changed, .value = value, .gone = gone, .is_passive = true};
	struct serve_tap *t = arena_zalloc(s->values, sizeof *t, _Alignof(struct serve_tap));
	if (!t || !s->left || !canon_end_take(s->instance, *number, &ops, &t->end) || !VEC_PUSH(s->values, &s->taps, t, SERVE_PRINTED_MAX))
		return fails(s, "too many streams and futures in the result");
	t->of = s;
	t->type = type;
	t->end.arena = s->values;
	*number = s->taps.len - 1;
	s->left--;
	if (canon_end_peer(&t->end)) {
		canon_end_drop(&t->end);
		return fails(s, "the result has a stream that the component was given by the host: it can't be printed");
	}
	if (type->kind == WIT_STREAM)
		drain(t);
	else if (!canon_end_fetch(&t->end, s->task))
		return fails(s, "what came by a future is no value of its type");
	return !s->failed;
}

static uint32_t case_of(const struct wit_type *t, const uint8_t *v)
{
	uint32_t n = 0;
	memcpy(&n, v, t->discriminant_size);
	return n;
}

static bool take_list(struct serve_taps *s, const struct wit_type *elem, uint8_t *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!serve__taps_take(s, elem, at + i * elem->size64))
			return false;
	return true;
}

bool serve__taps_take(struct serve_taps *s, const struct wit_type *t, void *native)
{
	uint8_t *v = native;
	if (!(t->flags & WIT_HAS_STREAM))
		return true;
	if (t->kind == WIT_STREAM || t->kind == WIT_FUTURE)
		return tap(s, t, native);
	if (wit_kind_is_list(t->kind))
		return take_list(s, t->elem, UNCONST(((struct wit_list *)native)->ptr), ((struct wit_list *)native)->len);
	if (t->kind == WIT_FIXED_LIST)
		return take_list(s, t->elem, v, t->n);
	if (wit_kind_is_variant(t->kind)) {
		const struct wit_field *f = &t->fields[case_of(t, v)];
		return !f->type || serve__taps_take(s, f->type, v + t->payload64);
	}
	for (uint32_t i = 0; wit_kind_is_record(t->kind) && i < t->n; i++)
		if (!serve__taps_take(s, t->fields[i].type, v + t->fields[i].offset64))
			return false;
	return true;
}

void serve__taps_init(struct serve_taps *s, struct canon_instance *i, struct canon_task *task, struct arena *values)
{
	*s = (struct serve_taps){.instance = i, .task = task, .values = values, .left = SERVE_PRINTED_MAX};
}

void serve__taps_release(struct serve_taps *s)
{
	for (uint32_t i = 0; i < s->taps.len; i++) {
		struct serve_tap *t = s->taps.ptr[i];
		if (t->end.shared)
			canon_end_drop(&t->end);
		pool_free(t->values);
	}
	s->taps.len = 0;
}

bool serve__taps_contents(void *ctx, const struct wit_type *type, uint32_t number, const void **ret, size_t *ret_n, struct err *e)
{
	const struct serve_taps *s = ctx;
	const struct serve_tap *t = s->taps.ptr[number];
	*ret = t->values;
	*ret_n = t->n;
	if (type->kind == WIT_STREAM && t->end.shared && !canon_end_is_over(&t->end))
		return err_set(e, ERR_TRAP, "the call has ended, and a stream of its result has not");
	return type->kind == WIT_STREAM || t->n || err_set(e, ERR_TRAP, "the call has ended, and a future of its result has no value");
}
