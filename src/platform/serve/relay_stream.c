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

const char *const serve__relay_errors[SERVE_RELAY_ERRORS] = {"other", "internal-error", "internal", "unexpected", "unknown", "io"};

// `why` is static.
static bool stands_in(struct canon_joint *j UNUSED, const struct wit_type *elem, const char *why, void *native)
{
	struct slice text = slice_str(why);
	return seam_error_value(elem, serve__relay_errors, SERVE_RELAY_ERRORS, (struct wit_string){text.ptr, text.len}, native);
}

bool serve__relay_stream(struct relay_guest *g, struct canon_instance *from, struct canon_instance *to, const struct wit_type *type, uint32_t *number,
	const char **ret_why)
{
	static const struct canon_joint_ops ops = {post, over, failed, stands_in};
	struct relay_stream *s = pool_zalloc(canon_instance_pool(to), sizeof *s);  // who takes it pays; with its instance it is over
	uint32_t given = *number;
	*number = 0;
	if (!s) {
		*ret_why = "the instance's limit is reached (--memory)";
		canon_end_drop_number(from, given);
		return false;
	}
	s->guest = g;
	s->run.fn = on_run;
	g->handles++;
	if (canon_joint_new(&s->joint, &ops, from, given, to, type, number, ret_why))
		return true;
	g->handles--;
	pool_free(s);
	return false;
}
