// Inside of room serve: the access log (access.c).
#ifndef TENON_SERVE_ACCESS_H
#define TENON_SERVE_ACCESS_H

#include "http/http.h"
#include "serve.h"

struct serve_request;

// ---- access: a line a request in a file, or on stdout ---------------------------------------------------------------------------------
NODISCARD bool serve__access_open(const struct serve_process_config *c, struct err *e);
// false: there is no file.
bool serve__access_reopen(const struct serve_process_config *c);
// A request that is over, its exchange not yet released. `status`: what it got, 499: its client left.
void serve__access_call(const struct serve_request *r, unsigned status);
// One that no service got.
void serve__access_answered(const struct serve_process_config *c, const struct http_exchange *x, unsigned status, uint64_t wall_ns);
// A head that never became one.
void serve__access_refused(const struct serve_process_config *c, const struct http_address *peer, unsigned status);

#endif
