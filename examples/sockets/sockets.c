// Sockets of WASI 0.3 that speak to each other: each line of stdout is a thing that was looked at, and whether it was right.
#include "sockets.h"

#include <stdlib.h>
#include <string.h>

#define TCP(name) wasi_sockets_types_method_tcp_socket_##name
#define UDP(name) wasi_sockets_types_method_udp_socket_##name
#define CODE(name) WASI_SOCKETS_TYPES_ERROR_CODE_##name
typedef wasi_sockets_types_own_tcp_socket_t tcp;
typedef wasi_sockets_types_own_udp_socket_t udp;
typedef wasi_sockets_types_ip_socket_address_t address;
typedef wasi_sockets_types_error_code_t error;
typedef wasi_sockets_types_result_void_error_code_t result;
enum { IPV4 = 0 };
#define T(s) wasi_sockets_types_borrow_tcp_socket(s)
#define U(s) wasi_sockets_types_borrow_udp_socket(s)

// ---- waiting -------------------------------------------------------------------------------------------------------------------------------

static uint32_t event_of(uint32_t waitable)
{
	sockets_event_t event;
	sockets_waitable_set_t set = sockets_waitable_set_new();
	sockets_waitable_join(waitable, set);
	sockets_waitable_set_wait(set, &event);
	sockets_waitable_join(waitable, 0);
	sockets_waitable_set_drop(set);
	return event.code;
}

static uint32_t copied(uint32_t waitable, uint32_t status)
{
	return status == SOCKETS_WAITABLE_STATUS_BLOCKED ? event_of(waitable) : status;
}

static void called(sockets_subtask_status_t status)
{
	uint32_t code = SOCKETS_SUBTASK_STATE(status);
	while (code != SOCKETS_SUBTASK_RETURNED)
		code = event_of(SOCKETS_SUBTASK_HANDLE(status));
	if (SOCKETS_SUBTASK_STATE(status) != SOCKETS_SUBTASK_RETURNED)
		sockets_subtask_drop(SOCKETS_SUBTASK_HANDLE(status));
}

// ---- telling -------------------------------------------------------------------------------------------------------------------------------

static wasi_cli_stdout_stream_u8_writer_t out;

static void put(const char *text)
{
	for (size_t n = strlen(text); n;) {
		uint32_t status = copied(out, wasi_cli_stdout_stream_u8_write(out, (const uint8_t *)text, n));
		text += SOCKETS_WAITABLE_COUNT(status);
		n -= SOCKETS_WAITABLE_COUNT(status);
	}
}

static void look(const char *what, bool is_right)
{
	put(is_right ? "ok " : "WRONG ");
	put(what);
	put("\n");
}

// ---- TCP -----------------------------------------------------------------------------------------------------------------------------------

static const address any_port = {.tag = WASI_SOCKETS_TYPES_IP_SOCKET_ADDRESS_IPV4, .val.ipv4 = {0, {127, 0, 0, 1}}};

static tcp tcp_new(void)
{
	tcp s;
	error e;
	if (!wasi_sockets_types_static_tcp_socket_create(IPV4, &s, &e))
		__builtin_trap();
	return s;
}

static result connect_to(tcp s, address to)
{
	wasi_sockets_types_method_tcp_socket_connect_args_t args = {T(s), to};
	result r;
	called(TCP(connect)(&args, &r));
	return r;
}

static result ended(wasi_sockets_types_future_result_void_error_code_t f)
{
	result r;
	copied(f, wasi_sockets_types_future_result_void_error_code_read(f, &r));
	wasi_sockets_types_future_result_void_error_code_drop_readable(f);
	return r;
}

static result send_text(tcp s, const char *text)
{
	wasi_sockets_types_stream_u8_writer_t to;
	wasi_sockets_types_stream_u8_t reader = wasi_sockets_types_stream_u8_new(&to);
	wasi_sockets_types_future_result_void_error_code_t end = TCP(send)(T(s), reader);
	copied(to, wasi_sockets_types_stream_u8_write(to, (const uint8_t *)text, strlen(text)));
	wasi_sockets_types_stream_u8_drop_writable(to);
	return ended(end);
}

// To its end.
static result receive_text(tcp s, char *into, size_t size, size_t *ret_n)
{
	wasi_sockets_types_tuple2_stream_u8_future_result_void_error_code_t r;
	uint32_t status;
	TCP(receive)(T(s), &r);
	*ret_n = 0;
	do {
		status = copied(r.f0, wasi_sockets_types_stream_u8_read(r.f0, (uint8_t *)into + *ret_n, size - *ret_n));
		*ret_n += SOCKETS_WAITABLE_COUNT(status);
	} while (SOCKETS_WAITABLE_STATE(status) == SOCKETS_WAITABLE_COMPLETED && *ret_n < size);
	wasi_sockets_types_stream_u8_drop_readable(r.f0);
	return ended(r.f1);
}

static bool is(result r, uint8_t code)
{
	return r.is_err && r.val.err.tag == code;
}

static void options(tcp s)
{
	error e;
	uint8_t hops;
	uint64_t n;
	bool on;
	look("backlog of none", !TCP(set_listen_backlog_size)(T(s), 0, &e) && e.tag == CODE(INVALID_ARGUMENT));
	look("hop limit", TCP(set_hop_limit)(T(s), 42, &e) && TCP(get_hop_limit)(T(s), &hops, &e) && hops == 42);
	look("keep alive", TCP(set_keep_alive_enabled)(T(s), true, &e) && TCP(get_keep_alive_enabled)(T(s), &on, &e) && on);
	look("idle time", TCP(set_keep_alive_idle_time)(T(s), 5000000000u, &e) && TCP(get_keep_alive_idle_time)(T(s), &n, &e) && n == 5000000000u);
	look("no buffer", !TCP(set_send_buffer_size)(T(s), 0, &e) && e.tag == CODE(INVALID_ARGUMENT));
}

static void states(tcp s)
{
	error e;
	address at = any_port;
	look("no address yet", !TCP(get_local_address)(T(s), &at, &e) && e.tag == CODE(INVALID_STATE));
	look("bound", TCP(bind)(T(s), &(address){.tag = any_port.tag, .val = any_port.val}, &e));
	look("bound once", !TCP(bind)(T(s), &at, &e) && e.tag == CODE(INVALID_STATE));
	look("a port", TCP(get_local_address)(T(s), &at, &e) && at.val.ipv4.port);
	look("nobody there", !TCP(get_remote_address)(T(s), &at, &e) && e.tag == CODE(INVALID_STATE));
	look("nothing to send to", is(send_text(s, "x"), CODE(INVALID_STATE)));
	look("to no port", is(connect_to(s, any_port), CODE(INVALID_ARGUMENT)));
}

static void speak(tcp client, tcp server)
{
	char text[64];
	size_t n;
	error e;
	address at;
	look("who is there", TCP(get_remote_address)(T(server), &at, &e) && at.val.ipv4.port);
	look("sent", !send_text(client, "hello").is_err);
	look("sent once", is(send_text(client, "again"), CODE(INVALID_STATE)));
	look("received to the end", !receive_text(server, text, sizeof text, &n).is_err && n == 5 && memcmp(text, "hello", 5) == 0);
	look("received once", is(receive_text(server, text, sizeof text, &n), CODE(INVALID_STATE)) && n == 0);
	look("answered", !send_text(server, "good day").is_err);
	look("heard", !receive_text(client, text, sizeof text, &n).is_err && n == 8 && memcmp(text, "good day", 8) == 0);
}

static void streams(void)
{
	tcp listener = tcp_new(), client = tcp_new(), server, late = tcp_new();
	wasi_sockets_types_stream_own_tcp_socket_t connections;
	error e;
	address at;
	options(listener);
	states(listener);
	look("listens", TCP(listen)(T(listener), &connections, &e) && TCP(get_is_listening)(T(listener)));
	look("listens once", !TCP(listen)(T(listener), &connections, &e) && e.tag == CODE(INVALID_STATE));
	TCP(get_local_address)(T(listener), &at, &e);
	look("connected", !connect_to(client, at).is_err);
	look("connected once", is(connect_to(client, at), CODE(INVALID_STATE)));
	uint32_t status = copied(connections, wasi_sockets_types_stream_own_tcp_socket_read(connections, &server, 1));
	look("accepted", status == (SOCKETS_WAITABLE_COMPLETED | 1 << 4));
	speak(client, server);
	wasi_sockets_types_stream_own_tcp_socket_drop_readable(connections);
	wasi_sockets_types_tcp_socket_drop_own(listener);
	look("refused", is(connect_to(late, at), CODE(CONNECTION_REFUSED)));
	look("only to be dropped", is(connect_to(late, at), CODE(INVALID_STATE)));
	wasi_sockets_types_tcp_socket_drop_own(client);
	wasi_sockets_types_tcp_socket_drop_own(server);
	wasi_sockets_types_tcp_socket_drop_own(late);
}

// ---- UDP -----------------------------------------------------------------------------------------------------------------------------------

static result send_datagram(udp s, const void *bytes, size_t n, const address *to)
{
	wasi_sockets_types_method_udp_socket_send_args_t args = {.self = U(s), .data = {(uint8_t *)bytes, n}};
	result r;
	args.remote_address.is_some = to != NULL;
	if (to)
		args.remote_address.val = *to;
	called(UDP(send)(&args, &r));
	return r;
}

static bool receives(udp s, const char *text, address *ret_from)
{
	wasi_sockets_types_result_tuple2_list_u8_ip_socket_address_error_code_t r;
	called(UDP(receive)(U(s), &r));
	if (r.is_err)
		return false;
	*ret_from = r.val.ok.f1;
	return r.val.ok.f0.len == strlen(text) && memcmp(r.val.ok.f0.ptr, text, r.val.ok.f0.len) == 0;
}

static void datagrams(void)
{
	static uint8_t long_one[70000];
	udp a, b;
	error e;
	address of_a, of_b, from, bind_to = any_port;
	wasi_sockets_types_result_tuple2_list_u8_ip_socket_address_error_code_t r;
	if (!wasi_sockets_types_static_udp_socket_create(IPV4, &a, &e) || !wasi_sockets_types_static_udp_socket_create(IPV4, &b, &e))
		__builtin_trap();
	called(UDP(receive)(U(b), &r));
	look("hears nothing unbound", r.is_err && r.val.err.tag == CODE(INVALID_STATE));
	look("to nobody", is(send_datagram(b, "x", 1, NULL), CODE(INVALID_ARGUMENT)));
	look("bound", UDP(bind)(U(a), &bind_to, &e) && UDP(get_local_address)(U(a), &of_a, &e) && of_a.val.ipv4.port);
	look("sent from a port of its own", !send_datagram(b, "ping", 4, &of_a).is_err && UDP(get_local_address)(U(b), &of_b, &e));
	look("received", receives(a, "ping", &from) && from.val.ipv4.port == of_b.val.ipv4.port);
	look("associated", UDP(connect)(U(b), &of_a, &e) && UDP(get_remote_address)(U(b), &from, &e) && from.val.ipv4.port == of_a.val.ipv4.port);
	look("answered", !send_datagram(a, "pong", 4, &(address){.tag = of_b.tag, .val.ipv4 = {of_b.val.ipv4.port, {127, 0, 0, 1}}}).is_err && receives(b, "pong", &from));
	look("to whom it is associated with", !send_datagram(b, "", 0, NULL).is_err && receives(a, "", &from));
	look("too long", is(send_datagram(b, long_one, sizeof long_one, NULL), CODE(DATAGRAM_TOO_LARGE)));
	look("to nobody any more", UDP(disconnect)(U(b), &e) && !UDP(disconnect)(U(b), &e) && e.tag == CODE(INVALID_STATE));
	wasi_sockets_types_udp_socket_drop_own(a);
	wasi_sockets_types_udp_socket_drop_own(b);
}

// ---- names ---------------------------------------------------------------------------------------------------------------------------------

static void names(void)
{
	wasi_sockets_ip_name_lookup_result_list_ip_address_error_code_t r;
	called(wasi_sockets_ip_name_lookup_resolve_addresses((sockets_string_t){(uint8_t *)"127.0.0.1", 9}, &r));
	look("an address is itself", !r.is_err && r.val.ok.len == 1 && r.val.ok.ptr[0].val.ipv4.f0 == 127);
	called(wasi_sockets_ip_name_lookup_resolve_addresses((sockets_string_t){(uint8_t *)"example.org", 11}, &r));
	look("a name that is not granted", r.is_err && r.val.err.tag == WASI_SOCKETS_IP_NAME_LOOKUP_ERROR_CODE_ACCESS_DENIED);
	called(wasi_sockets_ip_name_lookup_resolve_addresses((sockets_string_t){(uint8_t *)"a..b", 4}, &r));
	look("no name", r.is_err && r.val.err.tag == WASI_SOCKETS_IP_NAME_LOOKUP_ERROR_CODE_INVALID_ARGUMENT);
}

sockets_callback_code_t exports_wasi_cli_run_run(void)
{
	exports_wasi_cli_run_result_void_void_t ok = {.is_err = false};
	wasi_cli_stdout_result_void_error_code_t told;
	wasi_cli_stdout_future_result_void_error_code_t end = wasi_cli_stdout_write_via_stream(wasi_cli_stdout_stream_u8_new(&out));
	streams();
	datagrams();
	names();
	wasi_cli_stdout_stream_u8_drop_writable(out);
	copied(end, wasi_cli_stdout_future_result_void_error_code_read(end, &told));
	exports_wasi_cli_run_run_return(ok);
	return SOCKETS_CALLBACK_CODE_EXIT;
}

sockets_callback_code_t exports_wasi_cli_run_run_callback(sockets_event_t *event)
{
	__builtin_trap();
}
