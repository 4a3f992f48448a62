// A guest that does anything with everything: functions of wasi called at random, with handles of the right type and of wrong ones, strings and lists of
// any length, while requests come, end and are given up by their clients. Asked is that the host stands, that nothing is left when the guest is gone (with
// ASan), and that nothing is allocated during its calls that no account knows of. Every run does the same; WASI_CHAOS=N takes N other runs.
// PROGRAM(test_wasi_chaos, "wasi tier cmocka", "")
#include <errno.h>

#include "../accounts/allocations.h"
#include "served.h"
#include "sys/sys.h"

enum { EPISODES = 60, STEPS = 150, HANDLES = 64 };
enum { AT_HANDLES = PUPPET_ARGS + 2048, AT_PAIRS = PUPPET_ARGS + 4096 };

static struct puppet p;
static struct wasi_http_call call;
static bool call_is_open;
static uint64_t seed;
static uint64_t n_ok, n_trapped, n_killed;

// What was allocated during a call, by us or a library, and is on no account: nothing.
static uint64_t n_uncharged, uncharged_bytes;
static bool watching;

static void on_alloc(size_t size)
{
	n_uncharged++;
	uncharged_bytes += size;
}

static void on_library_alloc(size_t size)
{
	if (watching)
		on_alloc(size);
}

static uint32_t any(uint32_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % below;
}

// ---- what the guest holds --------------------------------------------------------------------------------------------------------------------
static struct {
	const struct wit_resource *resource;
	uint32_t handle;
} held[HANDLES];
static uint32_t n_held;

static void hold(const struct wit_resource *r, uint32_t handle)
{
	uint32_t at = n_held < HANDLES ? n_held++ : any(HANDLES);
	held[at].resource = r;
	held[at].handle = handle;
}

static uint32_t some_handle(const struct wit_resource *r)
{
	if (any(500) == 0)
		return any(3) ? any(50) : UINT32_MAX - any(3);
	for (int tries = 0; tries < 200 && n_held; tries++) {
		uint32_t k = any(n_held);
		if (held[k].resource == r)
			return held[k].handle;
	}
	return n_held && any(20) == 0 ? held[any(n_held)].handle : 0;
}

static bool has_handle(const struct wit_resource *r)
{
	for (uint32_t k = 0; k < n_held; k++)
		if (held[k].resource == r)
			return true;
	return false;
}

static void forget(uint32_t handle)
{
	for (uint32_t k = n_held; k-- > 0;)
		if (held[k].handle == handle)
			held[k] = held[--n_held];
}

// ---- arguments -------------------------------------------------------------------------------------------------------------------------------

static uint64_t some_number(void)
{
	static const uint64_t edges[] = {0, 1, 2, 200, 4096, 4097, 65536, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX};
	return any(4) ? any(300) : edges[any(ARRAY_LEN(edges))];
}

static uint32_t some_length(void)
{
	return any(10) ? any(20) : any(10) ? any(10000)
									   : (uint32_t)some_number();
}

static void flat_args(const struct wit_type *t, uint64_t **at)
{
	uint64_t *start = *at;
	switch (t->kind) {
	case WIT_OWN:
	case WIT_BORROW:
		*(*at)++ = some_handle(t->resource);
		return;
	case WIT_LIST:
		if (t->elem->kind != WIT_U8 && any(50)) {  // what lies there is such a list: handles of pollables, or pairs of address and length
			*(*at)++ = t->elem->kind == WIT_BORROW ? AT_HANDLES : AT_PAIRS;
			*(*at)++ = t->elem->kind == WIT_BORROW ? 1 + any(3) : any(4);
			return;
		}
		*(*at)++ = PUPPET_ARGS + any(64) * 4;
		*(*at)++ = some_length();
		return;
	case WIT_STRING:
		*(*at)++ = any(50) ? PUPPET_ARGS + any(64) * 4 : any(UINT32_MAX);
		*(*at)++ = some_length();
		return;
	case WIT_RECORD:
	case WIT_TUPLE:
		for (uint32_t i = 0; i < t->n; i++)
			flat_args(t->fields[i].type, at);
		return;
	case WIT_VARIANT:
	case WIT_ENUM:
	case WIT_OPTION:
	case WIT_RESULT: {
		uint32_t k = any(200) ? any(t->n) : (uint32_t)some_number();
		if (k < t->n && t->fields[k].type && t->fields[k].type->kind == WIT_OWN && !has_handle(t->fields[k].type->resource))
			k = (k + 1) % t->n;
		*(*at)++ = k;
		if (k < t->n && t->fields[k].type)
			flat_args(t->fields[k].type, at);
		while (*at < start + t->n_flat)
			*(*at)++ = 0;
		return;
	}
	default:
		*(*at)++ = t->kind == WIT_BOOL ? any(2) : t->kind == WIT_U16 ? 100 + any(600)
																	 : some_number();
	}
}

// Handles that the guest got: in the result itself, or as what an ok or some holds.
static void keep_result(const struct wit_type *t)
{
	if (!t)
		return;
	if (t->kind == WIT_OWN)
		hold(t->resource, p.ret.word);
	uint32_t k = t->kind == WIT_OPTION ? 1 : 0;
	if ((t->kind == WIT_RESULT || t->kind == WIT_OPTION) && t->fields[k].type && t->fields[k].type->kind == WIT_OWN &&
		puppet_peek(&p, PUPPET_RESULT) == k)
		hold(t->fields[k].type->resource, puppet_word(&p, PUPPET_RESULT + t->payload32));
}

static void take_owned(const struct wit_type *t, const uint64_t *flat)
{
	for (uint32_t i = 0; i < t->n; i++) {
		if (t->fields[i].type->kind == WIT_OWN)
			forget((uint32_t)*flat);
		flat += t->fields[i].type->n_flat;
	}
}

// ---- steps -----------------------------------------------------------------------------------------------------------------------------------

static void end_call(void)
{
	if (call_is_open)
		wasi_http_end(&call, any(2), 500);
	call_is_open = false;
	for (uint32_t k = n_held; k-- > 0;)  // most guests know that it is over
		if (held[k].resource == &wasi_http_types_incoming_request_resource.wit && any(10))
			held[k] = held[--n_held];
}

static void new_call(void)
{
	static const char *const requests[] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nt: v\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\nhello", "HEAD /x?y HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n"};
	const char *text = requests[any(ARRAY_LEN(requests))];
	struct wasi_http_args args;
	end_call();
	new_client();
	send_request(text);
	call = (struct wasi_http_call){.wasi = &p.wasi};
	if (!wasi_http_begin(&call, p.instance, arrived, &args)) {
		http_exchange_release(arrived);
		return;
	}
	call_is_open = true;
	hold(&wasi_http_types_incoming_request_resource.wit, puppet_adopt(&p, &wasi_http_types_incoming_request_resource, args.request));
	hold(&wasi_http_types_response_outparam_resource.wit, puppet_adopt(&p, &wasi_http_types_response_outparam_resource, args.outparam));
}

// A call that waits is ended after some turns of the loop.
static bool run_or_kill(void)
{
	tell_of_allocations(on_alloc);
	n_uncharged = uncharged_bytes = 0;
	watching = true;
	puppet_begin(&p);
	watching = false;
	tell_of_allocations(NULL);
	if (n_uncharged)
		fail_msg("%llu allocations of %llu bytes that no account knows of", (unsigned long long)n_uncharged, (unsigned long long)uncharged_bytes);
	for (int i = 0; i < 3 && !p.done; i++)
		loop_run_once(loop, 0);
	if (!p.done && any(4) == 0 && client >= 0) {
		close(client);
		client = -1;
		for (int i = 0; i < 5 && !p.done; i++)
			loop_run_once(loop, 0);
	}
	if (!p.done) {
		seam_task_kill(p.task, TRAP_KILLED);
		n_killed++;
	}
	for (int i = 0; i < 10000 && !p.done; i++)
		loop_run_once(loop, MILLISECOND);
	assert_true(p.done);
	return p.ok;
}

// May it go well?
static bool is_sensible(const struct seam_func *f)
{
	for (uint32_t i = 0; i < f->type->params.n; i++) {
		const struct wit_type *t = f->type->params.fields[i].type;
		if (t->kind == WIT_LIST && t->elem->kind == WIT_BORROW)
			t = t->elem;
		if ((t->kind == WIT_OWN || t->kind == WIT_BORROW) && !has_handle(t->resource))
			return false;
	}
	if (strncmp(f->name, "[method]incoming-request", 24) == 0)
		return call_is_open;
	return strncmp(f->name, "exit", 4) != 0 && strncmp(f->name, "[method]output-stream.write", 27) != 0;
}

static void poke(uint32_t at, const void *bytes, size_t n)
{
	puppet_poke(&p, at - PUPPET_ARGS, slice_of(bytes, n));
}

// The only way to write without a wait: ask how much first.
static bool check_and_write(void)
{
	uint32_t stream = some_handle(&wasi_io_streams_output_stream_resource.wit);
	if (!has_handle(&wasi_io_streams_output_stream_resource.wit))
		return true;
	puppet_set(&p, "[method]output-stream.check-write", (const uint64_t[]){stream}, 1);
	if (!run_or_kill())
		return false;
	if (puppet_peek(&p, PUPPET_RESULT) != 0)
		return true;
	uint32_t permitted = puppet_word(&p, PUPPET_RESULT + 8);
	if (any(2))
		puppet_set(&p, "[method]output-stream.write", (const uint64_t[]){stream, PUPPET_HEAP, any(10) ? permitted / (1 + any(20)) : permitted}, 3);
	else
		puppet_set(&p, "[method]output-stream.write-zeroes", (const uint64_t[]){stream, any(50) ? permitted : permitted + 1ull}, 2);
	return run_or_kill();
}

static bool call_something(void)
{
	uint32_t k = any(p.maker.n_funcs);
	const struct seam_func *f = p.maker.funcs[k];
	const struct wit_type *params = &f->type->params;
	if (!is_sensible(f) && any(500))
		return true;
	if (params->n && params->fields[0].type->kind == WIT_LIST && params->fields[0].type->elem->kind == WIT_BORROW)
		for (uint32_t i = 0; i < 3; i++) {
			uint32_t handle = some_handle(params->fields[0].type->elem->resource);
			poke(AT_HANDLES + 4 * i, &handle, sizeof handle);
		}
	char name[16];
	uint64_t flat[256], *at = flat;
	for (uint32_t i = 0; i < params->n; i++)
		flat_args(params->fields[i].type, &at);
	snprintf(name, sizeof name, "f%u", k);
	p.func = puppet_export(&p, name);
	struct puppet_flat core = flat_of(f->type);
	memset(p.args, 0, sizeof p.args);
	if (params->n_flat > WIT_MAX_FLAT)
		p.args[0] = PUPPET_ARGS;
	else
		memcpy(p.args, flat, (size_t)params->n_flat * sizeof *flat);
	if (core.spills)
		p.args[core.n - 1] = PUPPET_RESULT;
	if (!run_or_kill())
		return false;
	if (params->n_flat <= WIT_MAX_FLAT)
		take_owned(params, flat);
	keep_result(f->type->result);
	return true;
}

static bool step(void)
{
	char answer[4096];
	switch (any(40)) {
	case 0:
		new_call();
		return true;
	case 1:
		end_call();
		return true;
	case 2:
		if (client >= 0 && any(3) == 0) {
			close(client);
			client = -1;
		}
		return true;
	case 3:
		if (client >= 0)
			while (read(client, answer, sizeof answer) > 0)
				;
		loop_run_once(loop, 0);
		return true;
	case 4:
	case 5:
		if (n_held) {
			uint32_t k = any(n_held);
			for (uint32_t i = 0; i < p.maker.n_resources; i++)
				if (&p.maker.resources[i].resource->wit == held[k].resource) {
					puppet_set(&p, puppet_of("drop", &p, p.maker.resources[i].resource), (const uint64_t[]){held[k].handle}, 1);
					forget(held[k].handle);
					return run_or_kill();
				}
		}
		return true;
	case 6:
	case 7:
	case 8:
		return check_and_write();
	case 9:
		puppet_poke(&p, any(256), SLICE_LIT("x-name"));
		return true;
	default:
		return call_something();
	}
}

// Nobody but itself is there; names lead to it.
static int answer_for_all(const char *host, uint16_t port, bool numeric, struct sys_address *ret, uint32_t max)
{
	return sys_address_parse("127.0.0.9", port, ret) ? 1 : -EIO;
}

static void let_anything_be_done(const char *const *functions)
{
	struct seam_net_rule rules[2];
	struct seam_listen listens[2];
	struct wasi_process process;
	struct err e = {0};
	assert_true(seam_net_rule_parse(NULL, SLICE_LIT("127.0.0.9"), &rules[0], &e) && seam_net_rule_parse(NULL, SLICE_LIT("all"), &rules[1], &e));
	for (int udp = 0; udp < 2; udp++)
		assert_true(seam_listen_parse(SLICE_LIT("127.0.0.9:0"), udp, &listens[udp], &e));
	assert_true(wasi_process_open(&process, &e));
	sys_net.resolve = answer_for_all;
	const char *wanted = getenv("WASI_CHAOS");
	uint64_t runs = 1;
	assert_true(!wanted || slice_parse_u64(slice_str(wanted), 1000000, &runs));
	p = (struct puppet){.loop = loop, .grants = {.nets = rules, .n_nets = 2, .listens = listens, .n_listens = 2, .max_sockets = 100}};
	puppet_open(&p, functions);
	p.wasi.process = &process;
	for (uint64_t episode = 0; episode < runs * EPISODES; episode++) {
		seed = episode * 7919 + (wanted ? 1 : 0);
		n_held = 0;
		if (episode)
			puppet_restart(&p);
		for (uint32_t i = 0; i < 64; i++)
			poke(PUPPET_ARGS + i * 4, &"x-a/valuset4"[i % 8], 4);
		for (uint32_t i = 0; i < 16; i++)
			poke(AT_PAIRS + i * 8, (const uint32_t[]){PUPPET_ARGS + 4 * i, 1 + i % 4}, 8);
		new_call();
		bool ok = true;
		for (uint32_t i = 0; ok && i < STEPS; i++)
			ok = step();
		n_ok += ok;
		n_trapped += !ok;
		end_call();
		canon_instance_free(p.instance);
		p.instance = NULL;
		if (client >= 0)
			close(client);
		client = -1;
		for (int i = 0; i < 5; i++)
			loop_run_once(loop, 0);
	}
	puppet_close(&p);
	assert_int_equal(process.files.n, 0);
	wasi_process_close(&process);
	sys_net = sys_net_real;
	print_message("# %llu episodes to their end, %llu ended by a trap; %llu calls killed\n", (unsigned long long)n_ok, (unsigned long long)n_trapped,
		(unsigned long long)n_killed);
	assert_true(n_ok > 0 && n_trapped > 0);
}

static void a_guest_that_does_anything_leaves_the_host_standing(void **s)
{
	static const char *const functions[] = {"wasi:cli/environment", "*", "wasi:cli/exit", "*", "wasi:io/error", "*", "wasi:io/poll", "*", "wasi:io/streams", "*",
		"wasi:cli/stdin", "*", "wasi:cli/stdout", "*", "wasi:clocks/monotonic-clock", "*", "wasi:random/random", "*", "wasi:http/types", "*",
		"wasi:http/outgoing-handler", "*", NULL};
	let_anything_be_done(functions);
}

static void a_guest_that_does_anything_with_sockets_leaves_the_host_standing(void **s)
{
	static const char *const functions[] = {"wasi:io/error", "*", "wasi:io/poll", "*", "wasi:io/streams", "*", "wasi:clocks/monotonic-clock", "*",
		"wasi:sockets/network", "*", "wasi:sockets/instance-network", "*", "wasi:sockets/tcp", "*", "wasi:sockets/tcp-create-socket", "*", "wasi:sockets/udp", "*",
		"wasi:sockets/udp-create-socket", "*", "wasi:sockets/ip-name-lookup", "*", "wasi:config/store", "*", "wasi:logging/logging", "*", "wasi:http/types", "*",
		NULL};
	let_anything_be_done(functions);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_guest_that_does_anything_leaves_the_host_standing),
		cmocka_unit_test(a_guest_that_does_anything_with_sockets_leaves_the_host_standing),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
