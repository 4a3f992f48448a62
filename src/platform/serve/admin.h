// The admin address (admin.c): /healthz, /readyz, /metrics.
#ifndef TENON_SERVE_ADMIN_H
#define TENON_SERVE_ADMIN_H

#include "http/http.h"
#include "loop/loop.h"
#include "sys/sys.h"

struct answer;
struct serve_process;

struct serve_admin {
	struct http_address address;  // len 0: it has none
	const char *path;             // of a socket in the file system
	struct sys_socket_file file;
	bool bound, runs;             // the path is there; the thread runs
	char handed_path[SYS_SOCKET_PATH_MAX + 2];
	struct loop *loop;
	struct http_gate *gate;
	struct http_server *http;
	struct sys_thread thread;
	struct loop_remote quit;
	struct answer *pages;         // of metrics that are being sent (admin.c)
	unsigned n_pages;
};
// From here on it answers, until it is stopped. `handed`: a socket for it that was handed over, which is taken over; -1: none. Without an address nothing happens.
NODISCARD bool serve__admin_start(struct serve_process *p, const char *address, int handed, struct err *e);
void serve__admin_stop(struct serve_process *p);
void serve__admin_print(const struct serve_process *p, struct buf *b);

#endif
