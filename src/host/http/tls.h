// TLS as a transport under a connection (tls.c).
#ifndef TENON_HTTP_TLS_H
#define TENON_HTTP_TLS_H

#include "http_int.h"

// Takes the descriptor over, also when it fails. `host`: whom the certificate of a server that we ask must vouch for; NULL: we are the server. The transport
// stays where it is while it is open.
NODISCARD bool http__transport_open_tls(struct http_transport *t, struct loop *l, int fd, struct http_tls *of, const char *host,
	void (*fn)(struct loop_io *io, uint32_t ready), struct err *e);
// Of one that asks and has not begun its handshake: HTTP/1.1 only.
void http__transport_offer_h1(struct http_transport *t);

#endif
