// Requests and responses on their way out.
//
//   contents flow ─their stream ends─► contents over ─┐
//   trailers asked for ─the future has a value─► there ─┴─► the body is finished, or cut where the value is an error ─► told
//   the wire is lost, the instance goes, the owner ends it ─► told, at once
#include "http3_int.h"
#include "wasi_provider.h"

struct wasi_http3_sending {
	struct wasi_http3_sending **of;  // where the owner has it; NULL: nobody
	struct canon_instance *instance;
	struct wasi_http_body *body;     // out; NULL: the head has not gone yet
	uint32_t contents;               // not yet taken; 0
	struct wasi_http_body *came;     // instead, of a message that is passed on whole: its body
	struct wasi_sink *sink;          // NULL: the contents are over
	struct wasi_reader reader;       // of the trailers
	struct wasi_http3_trailers trailers;
	bool has_trailers;               // that is known
	bool ended;
	struct wasi_promise *sent;
	void (*idle)(void *ctx);
	void *ctx;
};

// The cases of both generations are the same, and so are their values.
struct wasi_http3_types_error_code wasi__http3_error(const struct wasi_error *why)
{
	struct wasi_http_types_error_code from = wasi__http_error(why);
	struct wasi_http3_types_error_code code;
	_Static_assert(sizeof from == sizeof code, "one layout");
	_Static_assert((int)WASI_HTTP3_TYPES_ERROR_CODE_INTERNAL_ERROR == (int)WASI_HTTP_TYPES_ERROR_CODE_INTERNAL_ERROR, "one list");
	memcpy(&code, &from, sizeof code);
	return code;
}

void wasi__http3_tell_sent(struct wasi_promise **sent, const struct wasi_error *why)
{
	struct wasi_result_void_http3_types_error_code value = {.is_err = why != NULL};
	if (why)
		value.err = wasi__http3_error(why);
	wasi__promise_resolve(sent, &value, sizeof value);
}

void wasi__http3_leave_sent(struct wasi_promise **sent, const struct canon_instance *gone)
{
	struct wasi_promise *p = *sent;
	if (p && p->end.instance != gone)
		wasi__http3_tell_sent(sent, &(struct wasi_error){.http_code = WASI_HTTP_TYPES_ERROR_CODE_INTERNAL_ERROR});
	else if (p)
		p->of = NULL;
	*sent = NULL;
}

// ---- its end -----------------------------------------------------------------------------------------------------------------------------

static void sending_free(struct wasi_http3_sending *s)
{
	if (s->of)
		*s->of = NULL;
	wasi__http3_leave_sent(&s->sent, s->instance);
	if (s->contents)
		canon_end_drop_number(s->instance, s->contents);
	wasi__body_unref(s->came);
	wasi__body_unref(s->body);
	wasi__fields_unref(s->trailers.fields);
	seam_mem_free(s);
}

static struct wasi_error wire_error(const struct wasi_http3_sending *s)
{
	return wasi__body_error(s->body->flow);
}

// It is not as long as its head said.
static struct wasi_error size_error(const struct wasi_http_body *b)
{
	return (struct wasi_error){
		.http_code = b->of_request ? WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_BODY_SIZE : WASI_HTTP_TYPES_ERROR_CODE_HTTP_RESPONSE_BODY_SIZE,
		.http_has_number = true,
		.http_number = b->written,
	};
}

// Of one whose parts are over, or dropped here. `sent` may be the instance's end away, and is asked for last.
static void end(struct wasi_http3_sending *s, bool is_gone, const struct wasi_error *why)
{
	if (s->ended)
		return;
	s->ended = true;
	struct wasi_sink *sink = s->sink;
	s->sink = NULL;
	wasi__sink_free(sink);
	wasi__reader_drop(&s->reader);
	if (!is_gone)
		wasi__http3_tell_sent(&s->sent, why);
	sending_free(s);
}

void wasi__http3_sending_leave(struct wasi_http3_sending *s)
{
	if (s)
		s->of = NULL;
}

void wasi__http3_sending_end(struct wasi_http3_sending *s, const struct wasi_error *why)
{
	if (s)
		end(s, false, why);
}

// With its instance. Where its answer is another's by now it is cut: that must not wait for what will not come.
static void is_gone(struct wasi_http3_sending *s)
{
	const struct wasi_http_flow *f = s->body ? s->body->flow : NULL;
	if (f && f->in && f->in->instance != s->instance)
		wasi__body_abandon(s->body);
	end(s, true, NULL);
}

static void look(struct wasi_http3_sending *s)
{
	if (!s->body || s->sink || !s->has_trailers)
		return;
	if (s->trailers.is_err) {
		wasi__body_abandon(s->body);
		end(s, false, &(struct wasi_error){.http_code = s->trailers.code});
		return;
	}
	struct wasi_error why = {0};
	switch (wasi__body_finish(s->body, s->trailers.fields)) {
	case WASI_FINISH_OK:
		end(s, false, NULL);
		return;
	case WASI_FINISH_SIZE:
		why = size_error(s->body);
		break;
	case WASI_FINISH_CLOSED:
		why = wire_error(s);
		break;
	}
	end(s, false, &why);
}

// ---- contents ------------------------------------------------------------------------------------------------------------------------------

static void contents_over(void *of, enum wasi_over how, const struct wasi_error *why)
{
	struct wasi_http3_sending *s = of;
	s->sink = NULL;
	if (how == WASI_OVER_GONE) {
		is_gone(s);
		return;
	}
	if (how == WASI_OVER_END) {
		if (s->came) {
			s->trailers = wasi__http3_trailers_of(s->came);
			s->has_trailers = true;
		}
		look(s);
		return;
	}
	struct wasi_error error = how == WASI_OVER_FAILED ? *why : wire_error(s);
	wasi__body_abandon(s->body);
	end(s, false, &error);
}

static void came_over(void *of, enum wasi_over how, const struct wasi_error *why)
{
	if (how == WASI_OVER_FAILED)
		((struct wasi_http_body *)of)->ended = false;  // its trailers are the error
	wasi__body_unref(of);
}

static void contents_idle(void *of)
{
	struct wasi_http3_sending *s = of;
	if (s->idle)
		s->idle(s->ctx);
}

// As a stream, of a body that came.
static bool stream_of(struct wasi_http3_sending *s)
{
	wasi__body_ref(s->came);
	if (wasi__source_new(s->instance, wasi__body_input(s->came), came_over, s->came, &s->contents))
		return true;
	wasi__body_unref(s->came);
	return false;
}

bool wasi__http3_sending_start(struct wasi_http3_sending *s, struct wasi_http_body *body, struct seam_task *task)
{
	s->body = body;
	if (s->came && !stream_of(s))
		return false;
	if (s->contents) {
		if (!wasi__sink_new(s->instance, s->contents, wasi__body_output(body), contents_over, s, &s->sink))
			return false;
		s->contents = 0;
		s->sink->idle = contents_idle;
		wasi__sink_start(s->sink, task);
	} else {
		look(s);
	}
	return true;
}

// ---- trailers ------------------------------------------------------------------------------------------------------------------------------

// What a promise had, of another instance perhaps.
static void take_over(struct wasi_http3_sending *s, const void *value)
{
	memcpy(&s->trailers, value, sizeof s->trailers);
	if (wasi__fields_move(&s->trailers.fields, s->instance))
		return;
	wasi__fields_unref(s->trailers.fields);
	s->trailers = (struct wasi_http3_trailers){.is_err = true, .code = WASI_HTTP3_TYPES_ERROR_CODE_INTERNAL_ERROR};
}

static bool got_trailers(struct wasi_reader *r, struct canon_task *t, void *value, bool is_ours)
{
	struct wasi_http3_sending *s = CONTAINER_OF(r, struct wasi_http3_sending, reader);
	const struct wasi_result_option_own_http3_types_fields_http3_types_error_code *v = value;
	s->has_trailers = true;
	if (is_ours)
		take_over(s, value);
	else if (v->is_err)
		s->trailers = (struct wasi_http3_trailers){.is_err = true, .code = v->err.tag};
	else if (v->ok.is_some)
		s->trailers.fields = canon_host_resource_take(s->instance, &wasi_http3_types_fields_resource.wit, v->ok.some);
	if (s->trailers.fields)
		wasi__fields_trim(s->trailers.fields);
	return true;
}

static void trailers_over(struct wasi_reader *r, bool has)
{
	struct wasi_http3_sending *s = CONTAINER_OF(r, struct wasi_http3_sending, reader);
	if (has)
		look(s);
	else
		is_gone(s);
}

bool wasi__http3_sending_new(struct wasi_http3_message *m, struct canon_task *t, struct wasi_http3_sending **of, bool *ret_trap)
{
	static const struct wasi_reader_ops ops = {got_trailers, trailers_over};
	_Static_assert(sizeof(struct wasi_result_option_own_http3_types_fields_http3_types_error_code) <= WASI_READER_MAX, "it is read");
	struct wasi_http3_sending *s = SEAM_MEM_NEW(m->instance, struct wasi_http3_sending);
	*ret_trap = false;
	if (!s)
		return false;
	s->instance = m->instance;
	s->contents = m->contents;
	s->came = m->in;
	s->sent = m->sent;
	if (s->sent)
		s->sent->of = &s->sent;
	m->contents = 0;
	m->in = NULL;
	m->sent = NULL;
	uint32_t number = m->trailers;
	m->trailers = 0;
	if (!number || wasi__reader_take(m->instance, t, number, &ops, &s->reader)) {
		s->of = of;
		*of = s;
		return true;
	}
	*ret_trap = true;
	sending_free(s);
	return false;
}

bool wasi__http3_sending_is_empty(const struct wasi_http3_sending *s)
{
	return !s->contents && !s->came && s->has_trailers && !s->trailers.is_err && !s->trailers.fields;
}

void wasi__http3_sending_watch(struct wasi_http3_sending *s, void (*idle)(void *ctx), void *ctx)
{
	s->idle = idle;
	s->ctx = ctx;
}

bool wasi__http3_sending_waits_for_guest(const struct wasi_http3_sending *s)
{
	return s->sink ? wasi__sink_waits_for_guest(s->sink) : !s->has_trailers && !canon_end_is_joined(&s->reader.end);
}

// ---- how a body was liked -------------------------------------------------------------------------------------------------------------------

struct liked {
	struct wasi_reader reader;
	struct canon_instance *instance;
	struct wasi_promise *sent;  // of who made it; NULL: nobody asks
};

static bool got_liked(struct wasi_reader *r, struct canon_task *t, void *value, bool is_ours)
{
	struct liked *l = CONTAINER_OF(r, struct liked, reader);
	struct wasi_result_void_http3_types_error_code v;
	memcpy(&v, value, sizeof v);
	wasi__http3_tell_sent(&l->sent, v.is_err ? &(struct wasi_error){.http_code = v.err.tag} : NULL);
	return true;
}

static void liked_over(struct wasi_reader *r, bool has)
{
	struct liked *l = CONTAINER_OF(r, struct liked, reader);
	wasi__http3_leave_sent(&l->sent, l->instance);
	seam_mem_free(l);
}

bool wasi__http3_liked(struct seam_call *c, uint32_t res, struct wasi_promise **sent)
{
	static const struct wasi_reader_ops ops = {got_liked, liked_over};
	struct liked *l = SEAM_MEM_NEW(c->canon, struct liked);
	if (!l) {
		seam_no_memory(c);
		return false;
	}
	l->instance = c->canon;
	l->sent = *sent;
	*sent = NULL;
	if (l->sent)
		l->sent->of = &l->sent;
	if (wasi__reader_take(c->canon, c->thread, res, &ops, &l->reader))
		return true;
	liked_over(&l->reader, false);
	return false;
}
