// What is done between an instance's start and its image: requests are answered once (--init warm=PATH,…), so that what a guest does at its first request
// only is done in every instance.
//
// The requests come from no client and go one after the other on the fiber that takes the image; each has the budget of a request.
#include "warm.h"

struct warming {
	struct serve_version *version;
	struct canon_instance *instance;
	struct seam_task *task;
	struct wasi_http_call http;
	struct wasi_http_args args;
	struct wasi_result_own_http3_types_response_http3_types_error_code response;  // of a handler of 0.3
	struct arena arena;
};

static void on_returned(struct canon_task *t)
{
	struct warming *w = CONTAINER_OF(t, struct seam_task, canon)->owner;
	wasi_http3_respond(&w->http, w->task, &w->response, w->version->handler_3.handle.func->type->result->fields[1].type);
}

static bool handle(struct warming *w, struct canon_trap *trap)
{
	const struct serve_version *v = w->version;
	if (!v->is_3)
		return wasi_http_incoming_handler_call_handle(w->task, w->instance, &v->handler, w->args.request, w->args.outparam, &w->arena, trap);
	if (!wasi_http3_handler_call_handle(w->task, w->instance, &v->handler_3, w->args.request, &w->response, &w->arena, on_returned, trap))
		return false;
	if (wasi_http3_wait(&w->http, w->task, 0) == SEAM_OK)
		return true;
	trap->trap = w->task->kill_trap;
	snprintf(trap->text, sizeof trap->text, "%s", trap_text(trap->trap));
	return false;
}

static bool refuse(const char *path, const struct wasi_http_call *h, bool cut, struct err *e)
{
	if (h->head_set && !h->set_error && cut)
		err_set(e, ERR_INVALID, "GET %s, which is to warm the image, was not answered to its end", path);
	else if (h->head_set && !h->set_error)
		err_set(e, ERR_INVALID, "GET %s, which is to warm the image, was answered with %u", path, h->status);
	else
		err_set(e, ERR_INVALID, "GET %s, which is to warm the image, was not answered", path);
	return err_hint(e, "name paths that the component answers with less than 400 (--init warm=PATH)");
}

// Takes the exchange over.
static bool answer(struct warming *w, struct http_exchange *x, const char *path, struct canon_trap *trap, struct err *e)
{
	struct wasi_http_call *h = &w->http;
	*h = (struct wasi_http_call){.wasi = &w->version->deployment.wasi};
	if (!(w->version->is_3 ? wasi_http3_begin : wasi_http_begin)(h, w->instance, x, &w->args)) {
		http_exchange_release(x);
		return err_nomem(e);
	}
	bool ok = handle(w, trap);
	wasi_http_answer(h, ok, 500);
	bool cut = http_exchange_is_cancelled(x, NULL, NULL), good = h->head_set && !h->set_error && h->status < 400 && !cut;
	wasi_http_end(h, ok, 500);
	return ok && (good || refuse(path, h, cut, e));
}

static bool answer_some(struct warming *w, struct http_server *s, uint32_t n, struct canon_trap *trap, struct err *e)
{
	const struct serve_service_config *c = w->version->config;
	for (uint32_t i = 0; i < n; i++) {
		struct http_exchange *x = http_server_ask(s, slice_str(c->warm.ptr[i]));
		if (!x)
			return err_nomem(e);
		seam_task_set_budget(w->task, serve__budget(&c->limits, loop_now_fresh_ns(w->task->loop)));
		bool ok = answer(w, x, c->warm.ptr[i], trap, e);
		arena_clear(&w->arena);
		if (!ok)
			return false;
	}
	return true;
}

// The first n of them.
static bool ask(struct serve_version *v, struct canon_instance *i, struct seam_task *task, uint32_t n, struct canon_trap *trap, struct err *e)
{
	struct warming w = {.version = v, .instance = i, .task = task};
	struct http_server_config config = {.limits = http_limits_default};
	struct http_server *s;
	if (!http_server_new(task->loop, &config, &s, e))
		return false;
	arena_init(&w.arena, v->config->limits.memory);
	void *owner = task->owner;
	task->owner = &w;
	bool ok = answer_some(&w, s, n, trap, e);
	task->owner = owner;
	arena_release(&w.arena);
	http_server_free(s);
	return ok;
}

bool serve__warm(struct serve_version *v, struct canon_instance *i, struct seam_task *task, struct canon_trap *trap, struct err *e)
{
	if (!v->answers)
		return err_set(e, ERR_INVALID, "the component answers no requests that could warm its image");
	return ask(v, i, task, v->config->warm.len, trap, e);
}

bool serve__warm_try(struct serve_version *v, const struct serve_thread *t, struct seam_task *task, struct canon_trap *trap, struct err *e)
{
	struct seam_instance seam;
	struct canon_instance *i;
	seam_instance_init(&seam, t->loop, &v->deployment.grants, NULL);
	seam.http = t->http;
	if (!canon_slot_new(t->vm, v->image, &seam, &i, e))
		return false;
	struct err found = {0};
	bool ok = ask(v, i, task, 1, trap, &found);
	seam_instance_task_end(&seam, task);
	canon_instance_free(i);
	if (ok)
		return true;
	err_set(e, ERR_INVALID, "the component answers a first request and no second one: its image can't be warmed (%s)", trap->trap ? trap->text : found.text);
	return err_hint(e, "leave --init warm away; such a component serves one request an instance");
}
