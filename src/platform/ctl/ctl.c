// Who is looked at when something has changed, and which app a name is: what the other files stand on.
#include "ctl_int.h"

void ctl__look_at_all(struct loop_remote *m)
{
	struct ctl *ctl = CONTAINER_OF(m, struct ctl, changed);
	struct ctl_request *next;
	__atomic_store_n(&ctl->change_is_posted, false, __ATOMIC_RELEASE);
	for (struct ctl_request *r = ctl->waiting; r; r = next) {
		next = r->next;
		ctl__request_look(r);
	}
}

void ctl__changed(struct ctl *ctl)
{
	if (!__atomic_exchange_n(&ctl->change_is_posted, true, __ATOMIC_ACQ_REL))
		loop_post_remote(ctl->loop, &ctl->changed);
}

static void on_timer(struct loop_timer *t)
{
	struct ctl_request *r = CONTAINER_OF(t, struct ctl_request, timer);
	r->timed_out = true;
	ctl__request_look(r);
}

bool ctl__wait(struct ctl_request *r, uint64_t ns)
{
	struct ctl *ctl = r->ctl;
	if (ctl->n_waiting >= CTL_REQUESTS_WAIT || (r->follows && ctl->n_following >= CTL_STREAMS_GO_ON))
		return false;
	ctl->n_waiting++;
	ctl->n_following += r->follows;
	r->next = ctl->waiting;
	r->prev = &ctl->waiting;
	if (r->next)
		r->next->prev = &r->next;
	ctl->waiting = r;
	r->timer.fn = on_timer;
	if (ns != UINT64_MAX)
		loop_timer_set(ctl->loop, &r->timer, sat_add_u64(loop_now_fresh_ns(ctl->loop), ns));
	return true;
}

struct ctl_app *ctl__app_find(struct ctl *ctl, struct slice name)
{
	for (uint32_t i = 0; i < ctl->n_apps; i++)
		if (!ctl->apps[i]->gone && slice_eq_str(name, ctl->apps[i]->name))
			return ctl->apps[i];
	return NULL;
}

void ctl__app_leave(struct ctl_app *app)
{
	if (!app->hidden || app->gone || app->running || app->waiting)
		return;
	app->gone = true;
	app->state = NULL;
	app->config->ops->left(app->config->user);
}

bool ctl__stream_begin(struct ctl_request *r)
{
	struct slice after = ctl__request_field(r, "last-event-id");
	bool follow = true;
	struct err e;
	err_clear(&e);
	if ((after.len || ctl__request_query(r, "after", &after)) && !slice_parse_u64(after, UINT64_MAX - 1, &r->cursor))
		err_set(&e, ERR_USAGE, "an event's id is a number");
	if (e.code != ERR_NONE || !ctl__request_flag(r, "follow", &follow, &e)) {
		ctl__answer_error(r, 400, &e);
		return false;
	}
	if (!follow)
		r->params[1] = SLICE_LIT("ends");
	r->follows = !r->params[1].len;
	if (ctl__wait(r, UINT64_MAX))
		return true;
	err_set(&e, ERR_LIMIT, "%d clients follow what happens here already", CTL_STREAMS_GO_ON);
	err_hint(&e, "end one of them, or ask with ?follow=false");
	ctl__answer_error(r, 429, &e);
	return false;
}
