// Sockets: objects and what is done with them, without types of WIT. wasi:sockets is a face of it, and preview 1.
//
// 1. Nothing here waits: what is not at hand is -EAGAIN, and `event` fires when it may be. The descriptor is watched only while somebody asked.
// 2. What is connected to, sent to and taken from is within the grants, as an address: a name grants the addresses that the guest itself was given for it,
//    in the order in which it asked. Nothing is looked up twice.
// 3. What a stream took is sent also when all handles are gone, for LEAVE_NS at the most, while the instance lives.
// 4. Functions that return int give 0 or -errno.
#ifndef TENON_WASI_SOCKET_INT_H
#define TENON_WASI_SOCKET_INT_H

#include "sys/sys.h"
#include "wasi_int.h"

enum {
	WASI_KNOWN_NAMES = 64,
	WASI_KNOWN_PEERS = 64,
	WASI_ADDRESSES = 64,   // of one name
	WASI_LOOKUPS = 64,     // of one instance at once
	WASI_BACKLOG = 128,
};

// A name that was looked up, and where it leads.
struct wasi_known {
	char name[256];  // lower case, without a dot at its end; with a zero
	uint32_t n;
	uint8_t ips[][16];
};
// What the sockets of one guest have in common.
struct wasi_sockets {
	struct wasi *wasi;
	struct pool *memory;
	struct seam_grants *grants;
	struct loop *loop;
	uint64_t n_open;
	uint32_t n_lookups;
	struct wasi_known *known[WASI_KNOWN_NAMES];  // the next one takes the place of the oldest
	uint32_t next_known;
	struct wasi_socket *leaving;  // without handles, with bytes to send
};
// NULL: no memory.
struct wasi_sockets *wasi__sockets_new(struct wasi *w, struct pool *memory, struct seam_grants *grants, struct loop *loop);
// As if it had just been made. All handles are gone.
void wasi__sockets_clear(struct wasi_sockets *of);
void wasi__sockets_free(struct wasi_sockets *of);

// Streams: WASI_SOCKET_NEW → BINDING → BOUND → LISTEN_STARTED → LISTENING, or NEW or BOUND → CONNECTING → CONNECTED or FAILED.
// Datagrams: NEW → BINDING → BOUND.
enum wasi_socket_state {
	WASI_SOCKET_NEW,
	WASI_SOCKET_BINDING,
	WASI_SOCKET_BOUND,
	WASI_SOCKET_LISTEN_STARTED,
	WASI_SOCKET_LISTENING,
	WASI_SOCKET_CONNECTING,
	WASI_SOCKET_CONNECTED,
	WASI_SOCKET_FAILED,
};
struct wasi_socket {
	struct wasi_sockets *of;
	uint32_t refs;
	int fd;
	bool v6, datagrams;
	bool handed;           // over to us: others keep what `fd` stands for open
	uint8_t state;
	bool has_place;        // among the connections of its app
	int backlog;
	struct loop_io io;
	struct wasi_event event;
	// Of a connection.
	uint8_t *in;           // what was received and not taken: [in_from, in_to)
	size_t in_from, in_to;
	struct wasi_pending out;  // what was taken and not sent
	int in_error, out_error;      // an errno that was not told yet
	bool in_over, out_over, ends; // ends: after what is in `out`
	bool receives, sends;         // of 0.3: its stream was taken
	struct wasi_socket *next, **prev;  // of those that leave
	struct loop_timer leave;
	// Of datagrams.
	bool hears_all;        // bound to what was given for listening
	bool connected;
	struct sys_endpoint local, remote;
	struct sys_endpoint *peers;   // who may be answered: the last ones that were heard
	uint32_t n_peers, next_peer;
	uint32_t streams;      // of datagrams, that are open
	int error;             // told by the next receive
};
// -EMFILE: the instance, or all guests, have as many as they may; -EACCES: nothing is granted.
int wasi__socket_new(struct wasi_sockets *of, bool v6, bool datagrams, struct wasi_socket **ret);
// A descriptor, which is taken over also when it fails. -EMFILE, -ENOMEM.
int wasi__socket_take(struct wasi_sockets *of, int fd, bool v6, bool datagrams, enum wasi_socket_state state, struct wasi_socket **ret);
struct wasi_socket *wasi__socket_ref(struct wasi_socket *s);
void wasi__socket_unref(void *s);
// Is it readable, or writable, now? If not `event` fires when it is.
bool wasi__socket_is_ready(struct wasi_socket *s, bool write);

// The grants at an address. `what`: for the log, "connecting" or the like.
bool wasi__socket_may_reach(const struct wasi_sockets *of, bool datagrams, const struct sys_endpoint *to);
void wasi__socket_deny(struct wasi_sockets *of, enum seam_deny kind, const char *what, bool datagrams, const struct sys_endpoint *at);
void wasi__sockets_learn(struct wasi_sockets *of, const char *name, const struct sys_address *found, uint32_t n);

int wasi__socket_bind(struct wasi_socket *s, const struct sys_endpoint *at);
int wasi__socket_connect(struct wasi_socket *s, const struct sys_endpoint *to);
// -EAGAIN: not yet.
int wasi__socket_connected(struct wasi_socket *s);
int wasi__socket_listen(struct wasi_socket *s);
int wasi__socket_accept(struct wasi_socket *s, struct wasi_socket **ret);
void wasi__socket_shutdown(struct wasi_socket *s, bool receive, bool send);
// Streams of a connection, with a reference each. NULL: no memory.
struct wasi_input *wasi__socket_input(struct wasi_socket *s);
struct wasi_output *wasi__socket_output(struct wasi_socket *s);
// The same whose end is that of the direction.
struct wasi_input *wasi__socket_whole_input(struct wasi_socket *s);
struct wasi_output *wasi__socket_whole_output(struct wasi_socket *s);
// What is not sent of it is lost, for this -errno.
void wasi__socket_lost(struct wasi_socket *s, int why);
// Sends what goes at once; the rest is left.
struct slice wasi__socket_put(struct wasi_socket *s, struct slice data);
// Sends what was taken. true: all of it has gone, or never will.
bool wasi__socket_push(struct wasi_socket *s);
// Of its family, with a port, somebody.
bool wasi__socket_is_destination(const struct wasi_socket *s, const struct sys_endpoint *p);

bool wasi__socket_is_same(const struct sys_endpoint *a, const struct sys_endpoint *b);

// ---- datagrams (socket_datagram.c) -----------------------------------------------------------------------------------------------------
// NULL: to nobody any more.
int wasi__socket_associate(struct wasi_socket *s, const struct sys_endpoint *with);
// The next one that it may hear, into `into`; what is longer is cut. Its length, or -errno.
int64_t wasi__socket_receive(struct wasi_socket *s, void *into, size_t max, struct sys_endpoint *ret_from);
// NULL: to whom it is associated with.
int wasi__socket_send(struct wasi_socket *s, struct slice data, const struct sys_endpoint *to);
bool wasi__socket_hears(struct wasi_socket *s);

// ---- what the system says (socket_code.c) --------------------------------------------------------------------------------------------------
// WASI_SOCKETS_NETWORK_ERROR_CODE_* of an errno.
uint8_t wasi__socket_code(int errnum);
struct wasi_error wasi__socket_error(int errnum);

#endif
