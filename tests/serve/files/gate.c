// A component on both sides of a link of wasi:http/outgoing-handler: what asks, and what stands between. The path says what each does, /BETWEEN/ASKS?PORT: the request
// goes to 127.0.0.1:PORT. Without bindings, so that it can do what they would not. Built by (gate.wit beside it, with wit/deps as its deps):
//   clang-19 --target=wasm32 -Oz -nostdlib -ffreestanding -fno-builtin -c gate.c -o gate.o
//   wasm-ld-19 --no-entry --strip-all --export-dynamic gate.o -o core.wasm
//   wasm-tools component embed WIT core.wasm -o core.wasm; wasm-tools component new core.wasm -o gate.wasm; wasm-tools strip -a gate.wasm -o gate.wasm
#include <stddef.h>
#include <stdint.h>

typedef int32_t handle;
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))
#define HTTP "wasi:http/types@0.2.12"
#define STREAMS "wasi:io/streams@0.2.12"

// Results lie in memory: a byte that says which case, then the payload.
struct text {
	uint8_t *at;
	uint32_t n;
};
struct some {  // option<string>, result<own>
	uint8_t tag;
	union {
		struct text text;
		handle own;
	};
};
struct sent {  // result<own<future-incoming-response>, error-code>
	uint8_t is_err;
	union {
		uint64_t align;
		handle future;
		uint8_t code;
	};
	uint8_t rest[64];
};

IMPORT("wasi:http/outgoing-handler@0.2.12", "handle")
void handle_out(handle request, int has_options, handle options, struct sent *ret);
IMPORT(HTTP, "[constructor]fields")
handle fields_new(void);
IMPORT(HTTP, "[method]fields.clone")
handle fields_clone(handle);
IMPORT(HTTP, "[resource-drop]fields")
void fields_drop(handle);
IMPORT(HTTP, "[constructor]outgoing-request")
handle request_new(handle fields);
IMPORT(HTTP, "[resource-drop]outgoing-request")
void request_drop(handle);
IMPORT(HTTP, "[method]outgoing-request.headers")
handle request_headers(handle);
IMPORT(HTTP, "[method]outgoing-request.body")
void request_body(handle, struct some *ret);
IMPORT(HTTP, "[method]outgoing-request.path-with-query")
void request_path(handle, struct some *ret);
IMPORT(HTTP, "[method]outgoing-request.authority")
void request_authority(handle, struct some *ret);
IMPORT(HTTP, "[method]outgoing-request.set-method")
int set_method(handle, int tag, const void *at, uint32_t n);
IMPORT(HTTP, "[method]outgoing-request.set-scheme")
int set_scheme(handle, int some, int tag, const void *at, uint32_t n);
IMPORT(HTTP, "[method]outgoing-request.set-authority")
int set_authority(handle, int some, const void *at, uint32_t n);
IMPORT(HTTP, "[method]outgoing-request.set-path-with-query")
int set_path(handle, int some, const void *at, uint32_t n);
IMPORT(HTTP, "[method]outgoing-body.write")
void body_write(handle, struct some *ret);
IMPORT(HTTP, "[static]outgoing-body.finish")
void body_finish(handle, int has_trailers, handle trailers, void *ret);
IMPORT(HTTP, "[resource-drop]outgoing-body")
void body_drop(handle);
IMPORT(HTTP, "[method]future-incoming-response.subscribe")
handle future_subscribe(handle);
IMPORT(HTTP, "[method]future-incoming-response.get")
void future_get(handle, void *ret);
IMPORT(HTTP, "[resource-drop]future-incoming-response")
void future_drop(handle);
IMPORT(HTTP, "[method]incoming-response.status")
int response_status(handle);
IMPORT(HTTP, "[method]incoming-response.consume")
void response_consume(handle, struct some *ret);
IMPORT(HTTP, "[resource-drop]incoming-response")
void response_drop(handle);
IMPORT(HTTP, "[method]incoming-body.stream")
void body_stream(handle, struct some *ret);
IMPORT(HTTP, "[method]incoming-request.path-with-query")
void incoming_path(handle, struct some *ret);
IMPORT(HTTP, "[constructor]outgoing-response")
handle answer_new(handle fields);
IMPORT(HTTP, "[method]outgoing-response.set-status-code")
int answer_status(handle, int);
IMPORT(HTTP, "[method]outgoing-response.body")
void answer_body(handle, struct some *ret);
IMPORT(HTTP, "[static]response-outparam.set")
void outparam_set(handle, int is_err, handle answer, int, int64_t, int, int, int, int);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush")
void stream_write(handle, const void *at, uint32_t n, void *ret);
IMPORT(STREAMS, "[method]input-stream.blocking-read")
void stream_read(handle, uint64_t n, void *ret);
IMPORT(STREAMS, "[resource-drop]output-stream")
void output_drop(handle);
IMPORT("wasi:io/poll@0.2.12", "[method]pollable.block")
void block(handle);
IMPORT("wasi:io/poll@0.2.12", "[resource-drop]pollable")
void pollable_drop(handle);
IMPORT("wasi:clocks/monotonic-clock@0.2.12", "subscribe-duration")
handle after(uint64_t ns);

static _Alignas(16) uint8_t heap[1 << 20];
static uint32_t used;
EXPORT("cabi_realloc")
void *cabi_realloc(void *old, size_t had, size_t align, size_t n)
{
	uint8_t *at = heap + (used = (used + 15) & ~15u);
	if (n > sizeof heap - used)
		__builtin_trap();
	used += n;
	for (size_t i = 0; i < had; i++)
		at[i] = ((uint8_t *)old)[i];
	return at;
}

static int begins(struct text t, const char *with)
{
	uint32_t i = 0;
	while (with[i] && i < t.n && t.at[i] == (uint8_t)with[i])
		i++;
	return !with[i];
}

static uint32_t length(const char *s)
{
	uint32_t n = 0;
	while (s[n])
		n++;
	return n;
}

// ---- what stands between ---------------------------------------------------------------------------------------------------------------------

enum { OWN = 3, DENIED = 15 };  // OWN: of what it does with what it was given; no trap and no failure of the link looks so
static handle held, kept;
static struct sent result;

static struct sent *fails(uint8_t code)
{
	result.is_err = 1;
	result.code = code;
	for (size_t i = 0; i < sizeof result.rest; i++)
		result.rest[i] = 0;
	return &result;
}

static void wait_for(handle future)
{
	handle ready = future_subscribe(future);
	block(ready);
	pollable_drop(ready);
}

static void sleep_ms(uint64_t ms)
{
	handle ready = after(ms * 1000000);
	block(ready);
	pollable_drop(ready);
}

static void say(handle body, const char *text)
{
	struct some stream;
	uint8_t ret[16];
	body_write(body, &stream);
	stream_write(stream.own, text, length(text), ret);
	output_drop(stream.own);
	_Alignas(8) uint8_t done[64];
	body_finish(body, 0, 0, done);
}

static handle like(handle request)
{
	struct some text;
	handle theirs = request_headers(request), made = request_new(fields_clone(theirs));
	fields_drop(theirs);
	set_scheme(made, 1, 0, 0, 0);
	request_authority(request, &text);
	set_authority(made, 1, text.text.at, text.text.n);
	request_path(request, &text);
	set_path(made, 1, text.text.at, text.text.n);
	return made;
}

static struct sent *pass(handle request, int has_options, handle options)
{
	handle_out(request, has_options, options, &result);
	return &result;
}

EXPORT("wasi:http/outgoing-handler@0.2.12#handle")
struct sent *between(handle request, int has_options, handle options)
{
	struct some path;
	request_path(request, &path);
	if (begins(path.text, "/deny/")) {
		request_drop(request);
		return fails(DENIED);
	}
	if (begins(path.text, "/drop/"))
		return fails(OWN);  // and its handle stays with nobody who knows it
	if (begins(path.text, "/hold/")) {
		held = request;
		return fails(OWN);
	}
	if (begins(path.text, "/late/") && held) {
		handle first = held;
		held = 0;
		request_drop(request);
		return pass(first, 0, 0);
	}
	if (begins(path.text, "/trap/"))
		__builtin_trap();
	if (begins(path.text, "/after/")) {  // it has passed it on
		pass(request, has_options, options);
		__builtin_trap();
	}
	while (begins(path.text, "/spin/"))
		;
	if (begins(path.text, "/slow/"))
		sleep_ms(400);
	if (begins(path.text, "/watch/")) {
		pass(request, has_options, options);
		future_subscribe(result.future);
		return &result;
	}
	if (begins(path.text, "/keep/") || begins(path.text, "/forget/")) {
		pass(request, has_options, options);
		if (begins(path.text, "/keep/"))
			kept = result.future;
		else
			future_drop(result.future);
		return fails(OWN);
	}
	if (begins(path.text, "/ask/")) {  // another one first
		pass(like(request), 0, 0);
		wait_for(result.future);
		future_drop(result.future);
	}
	if (begins(path.text, "/own/")) {
		struct some body;
		handle made = like(request);
		set_method(made, 2, 0, 0);
		request_body(made, &body);
		request_drop(request);
		pass(made, 0, 0);
		say(body.own, "from between");
		return &result;
	}
	return pass(request, has_options, options);
}

// ---- what asks -----------------------------------------------------------------------------------------------------------------------------------

static void answer(handle out, int status, const uint8_t *at, uint32_t n)
{
	struct some body, stream;
	uint8_t ret[16];
	handle made = answer_new(fields_new());
	answer_status(made, status);
	answer_body(made, &body);
	outparam_set(out, 0, made, 0, 0, 0, 0, 0, 0);
	body_write(body.own, &stream);
	if (n)
		stream_write(stream.own, at, n, ret);
	output_drop(stream.own);
	_Alignas(8) uint8_t done[64];
	body_finish(body.own, 0, 0, done);
}

static void answer_text(handle out, int status, const char *text)
{
	answer(out, status, (const uint8_t *)text, length(text));
}

// The answer's first piece is ours; without one, why.
static void pass_back(handle out, handle future)
{
	struct some body, stream;
	struct {
		uint8_t is_err;
		struct text text;
	} piece;
	struct {
		uint8_t some;
		uint64_t outer[1];
		struct sent inner;
	} got;
	// option<result<result<own, error-code>>>: 0, 8 and 16
	wait_for(future);
	future_get(future, &got);
	const uint8_t *at = (const uint8_t *)&got;
	if (at[16]) {
		answer_text(out, 502, "lost");
		return;
	}
	handle response = *(const handle *)(const void *)(at + 24);
	int status = response_status(response);
	response_consume(response, &body);
	body_stream(body.own, &stream);
	stream_read(stream.own, 4096, &piece);
	answer(out, status, piece.text.at, piece.is_err ? 0 : piece.text.n);
}

EXPORT("wasi:http/incoming-handler@0.2.12#handle")
void asks(handle incoming, handle out)
{
	struct some path, body = {0};
	uint32_t port = 0, slash = 1;
	incoming_path(incoming, &path);
	while (path.text.at[port] != '?')
		port++;
	while (path.text.at[slash] != '/')
		slash++;
	struct text how = {path.text.at + slash, port - slash};
	uint8_t authority[32] = "127.0.0.1:";
	uint32_t n = 10;
	while (++port < path.text.n)
		authority[n++] = path.text.at[port];

	handle request = request_new(fields_new());
	set_method(request, 2, 0, 0);
	set_scheme(request, 1, 0, 0, 0);
	set_authority(request, 1, authority, n);
	set_path(request, 1, path.text.at, path.text.n);
	if (!begins(how, "/plain"))
		request_body(request, &body);
	if (begins(how, "/early"))
		say(body.own, "from who asks");
	if (begins(how, "/lost"))
		body_drop(body.own);
	struct sent sent;
	handle_out(request, 0, 0, &sent);
	if (begins(how, "/leave"))
		__builtin_trap();
	if (sent.is_err) {
		uint8_t code[] = "error 00";
		code[6] = '0' + sent.code / 10;
		code[7] = '0' + sent.code % 10;
		if (begins(how, "/later"))
			say(body.own, "to nobody");
		if (begins(how, "/wait"))
			sleep_ms(60000);
		answer(out, 502, code, 8);
		return;
	}
	if (begins(how, "/quit")) {
		future_drop(sent.future);
		answer_text(out, 200, "quit");
		return;
	}
	if (begins(how, "/later"))
		say(body.own, "from who asks");
	pass_back(out, sent.future);
}
