// Lists (nats_list.c). On the part's thread.
#ifndef TENON_LINK_NATS_LIST_H
#define TENON_LINK_NATS_LIST_H

#include "nats_call.h"

// What a list asks now. false: too large for the server.
bool nats__list_write_consume(struct nats_wire *x, struct nats_call *k);
bool nats__list_write_fetch(struct nats_wire *x, struct nats_call *k);
// What has come for it.
void nats__list_take_consumer(struct link_wire *w, struct nats_call *k, const struct nats_message *m);
void nats__list_take_fetched(struct link_wire *w, struct nats_call *k, const struct nats_message *m);
// While it fetches: nobody wants it any more.
void nats__list_cancel(struct link_wire *w, struct nats_call *k);

#endif
