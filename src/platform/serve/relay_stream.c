// Streams and futures between a component and who calls it. Each holds its guest, and so the version that it began with, until both ends are gone: a link or a
// version that changes meanwhile changes nothing for it.
#include "relay.h"

static struct relay_stream *stream_of(struct canon_joint *j)
{
	return CONTAINER_OF(j, struct relay_stream, joint);
}

static void post(struct canon_joint *j)
{
	struct relay_stream *s = stream_of(j);
	loop_post(s->guest->shard->loop, &s->run);
}

static void on_run(struct loop_job *job)
{
	canon_joint_run(&CONTAINER_OF(job, struct relay_stream, run)->joint);
}

static void over(struct canon_joint *j)
{
	struct relay_stream *s = stream_of(j);
	loop_job_cancel(&s->run);
	if (s->seat)
		seam_seat_let_go(s->outer, s->seat);
	serve__relay_let_one_go(s->guest);
	pool_free(s);
}

// Its slot takes no further call, and those in it end.
static void poison(const struct canon_instance *dead)
{
	const struct seam_instance *s = canon_instance_user(dead);
	struct serve_slot *slot = s->owner;
	if (!slot)
		return;
	serve__slot_poison(slot);
	if (!slot->guest)
		return;
	slot->guest->dead = true;
	serve__relay_look_at(slot->guest);
}

static void failed(struct canon_joint *j, const struct canon_instance *dead, const char *why)
{
	if (dead)
		poison(dead);
	const struct serve_service *service = stream_of(j)->guest->relay->service;
	serve__log(service->process->config, SERVE_LOG_WARN, "a stream or future between component %s of %s and who calls it: %s", service->name, service->app, why);
}

const char serve__relay_in_use[] = "a handle of it is passed on while what was made of it is still in use";
const char *const serve__relay_errors[SERVE_RELAY_ERRORS] = {"other", "internal-error", "internal", "unexpected", "unknown", "io"};

// `why` is static.
static bool stands_in(struct canon_joint *j UNUSED, const struct wit_type *elem, const char *why, void *native)
{
	struct slice text = slice_str(why);
	return seam_error_value(elem, serve__relay_errors, SERVE_RELAY_ERRORS, (struct wit_string){text.ptr, text.len}, native);
}

// ---- handles, streams and futures in what passes ---------------------------------------------------------------------------------------------------

struct element {
	struct relay_stream *stream;
	const char *why;  // it can't pass
};

static void pass_stream(struct element *e, const struct wit_type *t, uint32_t *number)
{
	const struct canon_joint *j = &e->stream->joint;
	const char *why;
	if (e->why) {
		canon_end_drop_number(j->from.instance, *number);
		*number = 0;
	} else if (!serve__relay_stream(e->stream->guest, j->from.instance, j->to.instance, t, e->stream->of, number, &why)) {
		e->why = why;
	}
}

// An object of the host's goes along, by the interface that it is of.
static bool move(struct element *e, const struct seam_resource *of, uint32_t *rep)
{
	struct canon_instance *from = e->stream->joint.from.instance, *to = e->stream->joint.to.instance;
	uint32_t given = *rep;
	*rep = 0;
	BUG_ON(of->carries);  // none of those is passed by a stream
	if (e->why) {
		canon_host_resource_drop(from, given);
		return true;
	}
	enum canon_move how = seam_resource_move(from, of, given, to, NULL, rep);
	if (how == CANON_MOVE_IN_USE)
		e->why = serve__relay_in_use;
	else if (how == CANON_MOVE_NO_ROOM)
		e->why = canon_handles_full(to);
	return true;
}

// An object of the guest's becomes a handle of the caller's; 0 where it does not.
static bool give_out(void *ctx, const struct wit_type *t, uint32_t *rep)
{
	struct element *e = ctx;
	struct relay_stream *s = e->stream;
	if (serve__relay_is_stream(t)) {
		pass_stream(e, t, rep);
		return true;
	}
	if (serve__relay_is_imported(t))
		return move(e, seam_imported(s->of, t->resource), rep);
	struct relay_handle *h = serve__relay_handle_new(s->guest, t, *rep);
	*rep = 0;
	if (h && !e->why && seam_seat_give(s->outer, s->seat, serve__relay_class(s->guest->relay, t), h, rep))
		return true;
	if (!e->why)
		e->why = h ? canon_handles_full(s->outer) : "the host is out of memory";
	if (h)
		serve__relay_drop(h);
	else
		serve__relay_lose(s->guest);
	return true;
}

// An object that was given out comes back.
static bool take_in(void *ctx, const struct wit_type *t, uint32_t *rep)
{
	struct element *e = ctx;
	struct relay_stream *s = e->stream;
	if (serve__relay_is_stream(t)) {
		pass_stream(e, t, rep);
		return true;
	}
	if (serve__relay_is_imported(t))
		return move(e, seam_imported(s->of, t->resource), rep);
	struct relay_handle *h = canon_host_resource_take(s->outer, serve__relay_class(s->guest->relay, t)->type, *rep);
	*rep = h->rep;
	serve__relay_forget(h);
	return true;
}

static bool move_hosts(void *ctx, const struct wit_type *t, uint32_t *rep)
{
	return move(ctx, CONTAINER_OF(UNCONST(t->resource), struct seam_resource, wit), rep);
}

static bool is_of_the_guest(void *ctx, const struct wit_type *t, uint32_t *rep)
{
	const struct relay_stream *s = ctx;
	if (serve__relay_is_stream(t) || serve__relay_is_imported(t))
		return true;
	const struct relay_handle *h = canon_host_resource_get(s->outer, serve__relay_class(s->guest->relay, t)->type, *rep);
	return h && h->guest == s->guest;
}

static void close_value(struct canon_joint *j, void *native)
{
	struct relay_stream *s = stream_of(j);
	if (s->is_out || !s->of)
		serve__relay_close_outer(j->to.instance, j->elem, native);
	else if (!serve__relay_give_up(s->guest, j->elem, native))
		serve__relay_lose(s->guest);
}

static bool pass(struct canon_joint *j, void *native, const char **ret_why)
{
	struct relay_stream *s = stream_of(j);
	struct element e = {.stream = s};
	if (s->is_out || !s->of || seam_value_handles(j->elem, native, is_of_the_guest, s)) {
		seam_value_handles(j->elem, native, !s->of ? move_hosts : s->is_out ? give_out
																			: take_in,
			&e);
		if (e.why)
			close_value(j, native);
	} else {
		e.why = "it has a handle of another instance than the one that it goes to";
		serve__relay_close_outer(s->outer, j->elem, native);
	}
	*ret_why = e.why;
	return !e.why;
}

// ---- making one ------------------------------------------------------------------------------------------------------------------------------------

// Objects that come by it are put beside those that its calls give.
static bool may_give(struct relay_stream *s, const struct wit_type *type)
{
	if (!s->is_out || !s->of || !type->elem || !(type->elem->flags & WIT_HAS_HANDLE))
		return true;
	s->seat = seam_seat_hold(s->outer, &s->guest->relay->seam);
	return s->seat;
}

bool serve__relay_stream(struct relay_guest *g, struct canon_instance *from, struct canon_instance *to, const struct wit_type *type, const struct seam_interface *of,
	uint32_t *number, const char **ret_why)
{
	static const struct canon_joint_ops ops = {post, over, failed, stands_in, pass, close_value};
	struct relay_stream *s = pool_zalloc(canon_instance_pool(to), sizeof *s);  // who takes it pays; with its instance it is over
	uint32_t given = *number;
	*number = 0;
	if (s) {
		s->guest = g;
		s->is_out = from == g->slot->canon;
		s->of = of;
		s->outer = s->is_out ? to : from;
		s->run.fn = on_run;
	}
	if (!s || !may_give(s, type)) {
		*ret_why = "the instance's limit is reached (--memory)";
		canon_end_drop_number(from, given);
		pool_free(s);
		return false;
	}
	g->handles++;
	if (canon_joint_new(&s->joint, &ops, from, given, to, type, number, ret_why))
		return true;
	g->handles--;
	if (s->seat)
		seam_seat_let_go(s->outer, s->seat);
	pool_free(s);
	return false;
}
