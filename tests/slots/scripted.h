// An HTTP component that does what scripts of a test tell it, served within the test's process. It asks a provider of the test's for its next step
// (wasi:random/insecure, whose random u64 is the step), and a script may let that call wait. The guest has no shadow stack: its calls may interleave.
#ifndef TESTS_SLOTS_SCRIPTED_H
#define TESTS_SLOTS_SCRIPTED_H

#include "../engine/guest.h"
#include "../wasi/imports_text.h"
#include "serve/test/harness.h"

// ---- the guest ---------------------------------------------------------------------------------------------------------------------------------

// What it does next: the low byte of the number; PRINT has four bytes of text in the upper half, SUBSCRIBE milliseconds, ANSWER a status in bits 8 to 23.
enum { ANSWER, TRAP, SPIN, PRINT, SUBSCRIBE, BLOCK, DROP, RETURN, EXIT };
#define STATUS(n) (ANSWER | (uint64_t)(n) << 8)
#define SUBSCRIBE_TO(ms) (SUBSCRIBE | (uint64_t)(ms) << 32)
#define TEXT(a, b, c, d) (PRINT | (uint64_t)(a) << 32 | (uint64_t)(b) << 40 | (uint64_t)(c) << 48 | (uint64_t)(d) << 56)
// The call that gives the step waits until the test wakes it.
#define WAITS (UINT64_C(1) << 24)

static const char *const scripted_imports[][2] = {
	{"wasi:random/insecure", "get-insecure-random-u64"},
	{"wasi:http/types", "[constructor]fields"},
	{"wasi:http/types", "[constructor]outgoing-response"},
	{"wasi:http/types", "[method]outgoing-response.set-status-code"},
	{"wasi:http/types", "[static]response-outparam.set"},
	{"wasi:cli/stdout", "get-stdout"},
	{"wasi:io/streams", "[method]output-stream.blocking-write-and-flush"},
	{"wasi:clocks/monotonic-clock", "subscribe-duration"},
	{"wasi:io/poll", "[method]pollable.block"},
	{"wasi:cli/exit", "exit"},
};
enum { F_STEP, F_FIELDS, F_RESPONSE, F_SET_STATUS, F_SET, F_STDOUT, F_WRITE, F_SUBSCRIBE, F_BLOCK, F_EXIT };

#define SCRIPTED_MEMORY                                                                                \
	MODULE TYPES "[ 01 60 04 7f 7f 7f 7f 01 7f ] " FUNCS "[ 01 00 ] " MEMORIES "[ 01 00 01 ] " EXPORTS \
				 "[ 02 'm' 02 00 'r' 00 00 ] " CODE "[ 01 [ 00 i32.const #4096 end ] ] "

static uint32_t drop_of(const struct puppet_maker *m, const struct seam_resource *r)
{
	uint32_t i = 0;
	while (m->resources[i].resource != r)
		i++;
	return m->n_funcs + i;
}

// handle(request, response-out): local 2 is the step, 3 and 4 are i32s; global 0 is the pollable.
static void body_text(const struct puppet_maker *m, struct buf *out)
{
	struct puppet_flat set = flat_of(m->funcs[F_SET]->type);
	say(out, "[ 02 01 7e 02 7f loop 40 call #%u local.tee #2 i32.wrap_i64 i32.const #255 i32.and local.set #3 ", F_STEP);
	say(out, "local.get #3 i32.eqz if 40 call #%u call #%u local.tee #4 local.get #2 i32.wrap_i64 i32.const #8 i32.shr_u i32.const #65535 i32.and call #%u drop ",
		F_FIELDS, F_RESPONSE, F_SET_STATUS);
	say(out, "local.get #1 i32.const #0 local.get #4 ");
	for (uint32_t k = 3; k < set.n; k++)
		say(out, set.params[k] == WIT_CORE_I32 ? "i32.const #0 " : "i64.const #0 ");
	say(out, "call #%u return end ", F_SET);
	say(out, "local.get #3 i32.const #%u i32.eq if 40 unreachable end ", TRAP);
	say(out, "local.get #3 i32.const #%u i32.eq if 40 loop 40 br 00 end end ", SPIN);
	say(out, "local.get #3 i32.const #%u i32.eq if 40 i32.const #1024 local.get #2 i64.const #32 i64.shr_u i32.wrap_i64 i32.store 02 00 call #%u local.tee #4 ", PRINT,
		F_STDOUT);
	say(out, "i32.const #1024 i32.const #4 i32.const #2048 call #%u local.get #4 call #%u end ", F_WRITE, drop_of(m, &wasi_io_streams_output_stream_resource));
	say(out, "local.get #3 i32.const #%u i32.eq if 40 local.get #2 i64.const #32 i64.shr_u i64.const #1000000 i64.mul call #%u global.set #0 end ", SUBSCRIBE, F_SUBSCRIBE);
	say(out, "local.get #3 i32.const #%u i32.eq if 40 global.get #0 call #%u end ", BLOCK, F_BLOCK);
	say(out, "local.get #3 i32.const #%u i32.eq if 40 global.get #0 call #%u end ", DROP, drop_of(m, &wasi_io_poll_pollable_resource));
	say(out, "local.get #3 i32.const #%u i32.eq if 40 return end ", RETURN);
	say(out, "local.get #3 i32.const #%u i32.eq if 40 i32.const #0 call #%u end br 00 end end ] ", EXIT, F_EXIT);
}

static void core_text(const struct puppet_maker *m, struct buf *out)
{
	uint32_t n_imports = m->n_funcs + m->n_resources;
	say(out, CORE_MODULE "[ " MODULE TYPES "[ #%u ", n_imports + 1);
	for (uint32_t i = 0; i < n_imports; i++) {
		struct puppet_flat t = i < m->n_funcs ? flat_of(m->funcs[i]->type) : (struct puppet_flat){.params = {WIT_CORE_I32}, .n = 1};
		say(out, "60 #%u ", t.n);
		for (uint32_t k = 0; k < t.n; k++)
			say(out, "%02x ", t.params[k]);
		say(out, t.result ? "01 %02x " : "00 ", t.result);
	}
	say(out, "60 02 7f 7f 00 ] " IMPORTS "[ #%u 'a' 'm' 02 00 01 ", n_imports + 1);
	for (uint32_t i = 0; i < n_imports; i++)
		say(out, "'h' 'f%u' 00 #%u ", i, i);
	say(out, "] " FUNCS "[ 01 #%u ] " GLOBALS "[ 01 7f 01 i32.const #0 end ] " EXPORTS "[ 01 'handle' 00 #%u ] " CODE "[ 01 ", n_imports, n_imports);
	body_text(m, out);
	say(out, "] ] ");
}

static void scripted_text(struct puppet_maker *m, struct buf *out)
{
	uint32_t n_types = 0, n_instances = 0, instance_of[PUPPET_FUNCS], n_imports = m->n_funcs + m->n_resources;
	say(out, COMPONENT);
	imports_text(m, out, &n_types, &n_instances, instance_of);
	say(out, CORE_MODULE "[ " SCRIPTED_MEMORY "] " CORE_INSTANCE "[ 01 00 00 00 ] " ALIAS "[ 02 00 02 01 00 'm' 00 00 01 00 'r' ] " ALIAS "[ #%u ", m->n_funcs);
	for (uint32_t i = 0; i < m->n_funcs; i++)
		say(out, "01 00 #%u '%s' ", instance_of[i], m->funcs[i]->name);
	say(out, "] " CANON "[ #%u ", n_imports);
	for (uint32_t i = 0; i < m->n_funcs; i++)
		say(out, "01 00 #%u 02 03 00 04 00 ", i);
	for (uint32_t i = 0; i < m->n_resources; i++)
		say(out, "03 #%u ", m->resources[i].type);
	say(out, "] ");
	core_text(m, out);
	say(out, CORE_INSTANCE "[ 02 01 #%u ", n_imports);
	for (uint32_t i = 0; i < n_imports; i++)
		say(out, "'f%u' 00 #%u ", i, 1 + i);
	say(out, "00 01 02 'h' 12 01 'a' 12 00 ] " ALIAS "[ 01 00 00 01 02 'handle' ] " TYPE "[ 03 69 #%u 69 #%u 40 02 'request' #%u 'response-out' #%u 01 00 ] ",
		find_resource(m, &wasi_http_types_incoming_request_resource.wit)->type, find_resource(m, &wasi_http_types_response_outparam_resource.wit)->type, n_types,
		n_types + 1);
	say(out, CANON "[ 01 00 00 #%u 00 #%u ] " INSTANCE "[ 01 01 01 00 'handle' 01 #%u ] " EXPORT "[ 01 00 'wasi:http/incoming-handler@0.2.0' 05 #%u 00 ] ",
		1 + n_imports, n_types + 2, m->n_funcs, n_instances);
}

// ---- scripts -----------------------------------------------------------------------------------------------------------------------------------

enum { SCRIPTS = 1000, STEPS = 12 };
struct script {
	uint64_t steps[STEPS];
	unsigned at, waited;          // steps that it began, waits that it was through
	bool waits;
	struct seam_park park;
	struct seam_task *task;
	struct seam_instance *instance;
	uint64_t id;      // of its request
	enum seam_result last;        // of its last wait
	int client;
};
static struct script scripts[SCRIPTS];

// The request's path is the script's number.
static struct script *script_of(const struct seam_call *c)
{
	const struct serve_request *r = c->task->request;
	struct slice target = http_exchange_request(r->x)->target;
	unsigned n = 0;
	for (size_t i = 1; i < target.len; i++)
		n = 10 * n + (unsigned)(target.ptr[i] - '0');
	assert_true(n < SCRIPTS);
	scripts[n].id = r->id;
	return &scripts[n];
}

static enum seam_result next_step(struct seam_call *c, uint64_t *ret)
{
	struct script *s = script_of(c);
	assert_true(s->at < STEPS);
	s->task = c->task;
	s->instance = c->instance;
	*ret = s->steps[s->at++];
	s->last = SEAM_OK;
	if (*ret & WAITS) {
		s->waits = true;
		seam_park_init(&s->park);
		s->last = seam_park(c, &s->park);
		s->waits = false;
		s->waited++;
		assert_ptr_equal(script_of(c), s);
		assert_ptr_equal(c->instance, s->instance);
	}
	*ret &= ~WAITS;
	return s->last;
}

static const struct wasi_random_insecure_ops scripted_ops = {.get_insecure_random_u64 = next_step};
static const struct seam_provider_ops scripted_provider_ops = {.name = "script"};
static struct seam_provider scripted_provider;
static const struct seam_offer scripted_offer = {NULL, &wasi_random_insecure_interface, &scripted_ops, &scripted_provider};

// ---- the server ----------------------------------------------------------------------------------------------------------------------------------

static char component_path[64];

static inline void write_component(void)
{
	static struct puppet_maker m;
	struct buf text = {0}, bytes = {0};
	for (size_t i = 0; i < ARRAY_LEN(scripted_imports); i++)
		puppet_want(&m, scripted_imports[i][0], scripted_imports[i][1]);
	need_resource(&m, &wasi_http_types_incoming_request_resource.wit);
	scripted_text(&m, &text);
	assert_true(buf_put_byte(&text, 0));
	build_text(&bytes, (const char *)text.ptr);
	snprintf(component_path, sizeof component_path, "/tmp/scripted-XXXXXX");
	int fd = mkstemp(component_path);
	assert_true(fd >= 0 && sys_write_all(fd, bytes.ptr, bytes.len));
	close(fd);
	buf_release(&text);
	buf_release(&bytes);
}

static inline void scripted_prepare(unsigned shards, unsigned max_tasks)
{
	prepare(shards);
	memset(scripts, 0, sizeof scripts);
	config.service.path = component_path;
	config.service.max_tasks = max_tasks;
	config.service.offers = &scripted_offer;
	config.service.n_offers = 1;
	config.process.limits.calls = 2 * SCRIPTS;
	config.service.limits.deadline = config.service.limits.cpu = 0;
}

static bool scripted_is_open;

static inline void scripted_open(unsigned max_tasks)
{
	struct err e;
	scripted_prepare(1, max_tasks);
	if (!(scripted_is_open = open_process(&e)))
		fail_msg("%s", e.text);
}

static inline void scripted_close(void)
{
	serve__process_close(&process);
	scripted_is_open = false;
}

static inline struct serve_shard *the_shard(void)
{
	return &process.services[0]->shards[0];
}

#define GO_ON_UNTIL(condition)                                           \
	do {                                                                 \
		for (unsigned turns = 0; turns < 20000 && !(condition); turns++) \
			go_round(1);                                                 \
		assert_true(condition);                                          \
	} while (0)

// The client's request is on its way. Steps that are not given are RETURN.
#define SEND(n, ...) send_request(n, (const uint64_t[]){__VA_ARGS__}, ARRAY_LEN(((const uint64_t[]){__VA_ARGS__})))
static inline struct script *send_request(unsigned n, const uint64_t *steps, size_t n_steps)
{
	struct script *s = &scripts[n];
	char text[128];
	*s = (struct script){.client = connect_to_it()};
	for (size_t i = 0; i < STEPS; i++)
		s->steps[i] = i < n_steps ? steps[i] : RETURN;
	int len = snprintf(text, sizeof text, "GET /%u HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", n);
	assert_true(s->client >= 0 && send(s->client, text, (size_t)len, MSG_NOSIGNAL) == len);
	return s;
}

// And waits in the host.
#define SEND_AND_WAIT(n, ...) send_and_wait(SEND(n, __VA_ARGS__))
static inline struct script *send_and_wait(struct script *s)
{
	GO_ON_UNTIL(s->waits);
	return s;
}

static inline void leave(struct script *s)
{
	close(s->client);
	s->client = -1;
}

// The status that the client gets.
static inline unsigned status_of(struct script *s)
{
	char text[512];
	ssize_t n = -1;
	for (unsigned turns = 0; turns < 20000 && n < 0; turns++) {
		n = recv(s->client, text, sizeof text, MSG_DONTWAIT);
		if (n < 0)
			go_round(1);
	}
	leave(s);
	return n > 12 ? (unsigned)strtoul(text + 9, NULL, 10) : 0;
}

#endif
