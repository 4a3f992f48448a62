// Asks a server for several paths at once, and streams what came of each as it comes: GET /HOST:PORT/PATH/PATH/PATH.
#include "stream.h"

#include <stdlib.h>
#include <string.h>

typedef wasi_http_types_future_result_option_own_trailers_error_code_writer_t trailers_writer;

enum { FETCHES_MAX = 8, PATH_MAX = 200 };
struct fetch {
	uint32_t call;  // 0: it has returned
	char path[PATH_MAX + 2];
	wasi_http_client_result_own_response_error_code_t answer;
};
// One request. The text only grows while it is written: a write that waits keeps its place in it.
struct task {
	stream_waitable_set_t set;
	wasi_http_types_stream_u8_writer_t body;
	wasi_http_types_result_option_own_trailers_error_code_t none;  // what every trailers future says
	uint32_t futures;   // that wait for their reader
	uint32_t n, left;   // fetches; those not answered
	bool writes, closed;
	size_t at, len;
	struct fetch fetches[FETCHES_MAX];
	char text[(FETCHES_MAX + 1) * (PATH_MAX + 40)];
};

static void add(struct task *t, const char *text)
{
	size_t n = strlen(text);
	memcpy(t->text + t->len, text, n);
	t->len += n;
}

static void write_trailers(struct task *t, trailers_writer w)
{
	if (wasi_http_types_future_result_option_own_trailers_error_code_write(w, &t->none) == STREAM_WAITABLE_STATUS_BLOCKED) {
		stream_waitable_join(w, t->set);
		t->futures++;
	} else {
		wasi_http_types_future_result_option_own_trailers_error_code_drop_writable(w);
	}
}

// ---- the answer ----------------------------------------------------------------------------------------------------------------------------

static void begin_answer(struct task *t)
{
	wasi_http_types_tuple2_own_response_future_result_void_error_code_t made;
	wasi_http_types_stream_u8_t reader = wasi_http_types_stream_u8_new(&t->body);
	trailers_writer trailers;
	wasi_http_types_static_response_new(wasi_http_types_constructor_fields(), &reader,
		wasi_http_types_future_result_option_own_trailers_error_code_new(&trailers), &made);
	wasi_http_types_future_result_void_error_code_drop_readable(made.f1);
	exports_wasi_http_handler_result_own_response_error_code_t ok = {.val.ok = made.f0};
	exports_wasi_http_handler_handle_return(ok);
	write_trailers(t, trailers);
}

static void wrote(struct task *t, uint32_t status)
{
	t->at += status >> 4;
	if ((status & 0xf) == STREAM_WAITABLE_DROPPED)  // nobody reads any more
		t->at = t->len = 0;
}

// As much as the client takes; the end when all has been said.
static void write(struct task *t)
{
	while (!t->closed && !t->writes && t->at < t->len) {
		uint32_t status = wasi_http_types_stream_u8_write(t->body, (uint8_t *)t->text + t->at, t->len - t->at);
		t->writes = status == STREAM_WAITABLE_STATUS_BLOCKED;
		if (t->writes)
			stream_waitable_join(t->body, t->set);
		else
			wrote(t, status);
	}
	if (!t->closed && !t->writes && !t->left) {
		wasi_http_types_stream_u8_drop_writable(t->body);
		t->closed = true;
	}
}

// ---- the fetches ---------------------------------------------------------------------------------------------------------------------------

static void fetched(struct task *t, struct fetch *f)
{
	char status[] = ": 000\n";
	f->call = 0;
	t->left--;
	add(t, f->path);
	if (f->answer.is_err) {
		add(t, ": no answer\n");
		return;
	}
	uint16_t code = wasi_http_types_method_response_get_status_code(wasi_http_types_borrow_response(f->answer.val.ok));
	for (int i = 4; i > 1; i--, code /= 10)
		status[i] = (char)('0' + code % 10);
	add(t, status);
	wasi_http_types_response_drop_own(f->answer.val.ok);
}

static void begin_fetch(struct task *t, struct fetch *f, const char *authority)
{
	wasi_http_types_tuple2_own_request_future_result_void_error_code_t made;
	stream_string_t to = {(uint8_t *)authority, strlen(authority)}, path = {(uint8_t *)f->path, strlen(f->path)};
	wasi_http_types_scheme_t http = {.tag = WASI_HTTP_TYPES_SCHEME_HTTP};
	trailers_writer trailers;
	wasi_http_types_static_request_new(wasi_http_types_constructor_fields(), NULL,
		wasi_http_types_future_result_option_own_trailers_error_code_new(&trailers), NULL, &made);
	wasi_http_types_borrow_request_t request = wasi_http_types_borrow_request(made.f0);
	wasi_http_types_future_result_void_error_code_drop_readable(made.f1);
	t->left++;
	if (!wasi_http_types_method_request_set_scheme(request, &http) || !wasi_http_types_method_request_set_authority(request, &to) ||
		!wasi_http_types_method_request_set_path_with_query(request, &path)) {
		wasi_http_types_request_drop_own(made.f0);
		f->answer.is_err = true;
		fetched(t, f);
	} else {
		uint32_t call = wasi_http_client_send(made.f0, &f->answer);
		if (STREAM_SUBTASK_STATE(call) == STREAM_SUBTASK_RETURNED)
			fetched(t, f);
		else
			stream_waitable_join(f->call = STREAM_SUBTASK_HANDLE(call), t->set);
	}
	write_trailers(t, trailers);
}

// NULL: there is none.
static char *find_slash(char *s)
{
	while (*s && *s != '/')
		s++;
	return *s ? s : NULL;
}

// "/HOST:PORT/a/b": what stands between slashes after the first is a path.
static void begin_fetches(struct task *t, char *path)
{
	char *authority = path + 1, *at = find_slash(authority);
	if (at)
		*at++ = 0;
	add(t, "asking\n");
	while (at && *at && t->n < FETCHES_MAX) {
		char *end = find_slash(at);
		size_t n = end ? (size_t)(end - at) : strlen(at);
		struct fetch *f = &t->fetches[t->n++];
		f->path[0] = '/';
		memcpy(f->path + 1, at, n < PATH_MAX ? n : PATH_MAX);
		begin_fetch(t, f, authority);
		at = end ? end + 1 : NULL;
	}
}

// ---- the machine ---------------------------------------------------------------------------------------------------------------------------

static stream_callback_code_t go_on(struct task *t)
{
	write(t);
	if (!t->closed || t->futures) {
		stream_context_set_0(t);
		return STREAM_CALLBACK_CODE_WAIT(t->set);
	}
	stream_waitable_set_drop(t->set);
	free(t);
	return STREAM_CALLBACK_CODE_EXIT;
}

stream_callback_code_t exports_wasi_http_handler_handle(exports_wasi_http_handler_own_request_t request)
{
	stream_string_t path = {0};
	struct task *t = malloc(sizeof *t);
	memset(t, 0, sizeof *t);
	t->set = stream_waitable_set_new();
	begin_answer(t);
	wasi_http_types_method_request_get_path_with_query(wasi_http_types_borrow_request(request), &path);
	char *text = malloc(path.len + 2);
	memcpy(text, path.ptr, path.len);
	text[path.len] = text[path.len + 1] = 0;
	begin_fetches(t, text);
	free(text);
	stream_string_free(&path);
	wasi_http_types_request_drop_own(request);
	return go_on(t);
}

stream_callback_code_t exports_wasi_http_handler_handle_callback(stream_event_t *event)
{
	struct task *t = stream_context_get_0();
	switch (event->event) {
	case STREAM_EVENT_SUBTASK:
		if (STREAM_SUBTASK_STATE(event->code) != STREAM_SUBTASK_RETURNED)
			break;
		stream_subtask_drop(event->waitable);
		for (uint32_t i = 0; i < t->n; i++)
			if (t->fetches[i].call == event->waitable)
				fetched(t, &t->fetches[i]);
		break;
	case STREAM_EVENT_STREAM_WRITE:
		stream_waitable_join(event->waitable, 0);
		t->writes = false;
		wrote(t, event->code);
		break;
	case STREAM_EVENT_FUTURE_WRITE:
		stream_waitable_join(event->waitable, 0);
		wasi_http_types_future_result_option_own_trailers_error_code_drop_writable(event->waitable);
		t->futures--;
		break;
	default:
		__builtin_trap();  // nobody cancels it and goes on
	}
	return go_on(t);
}
