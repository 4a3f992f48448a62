// Increments (nats_count.c). On the part's thread.
#ifndef TENON_LINK_NATS_COUNT_H
#define TENON_LINK_NATS_COUNT_H

#include "nats_call.h"

void nats__count_begin(struct nats_call *k);
// Puts what is to be asked of the holder's counter now. false: too large for the server.
bool nats__count_write(struct nats_wire *x, struct nats_call *k);
// What the server has answered.
void nats__count_take(struct nats_call *k, const struct nats_message *m);
// Nothing was written, and this is the end of it.
void nats__count_not_sent(struct nats_call *k, enum link_code code, const char *why);
// The write came to this end.
void nats__count_not_written(struct nats_call *k, enum link_code code, const char *why);
// The operation is the caller's at once; true: it may have been written.
bool nats__count_cancel(struct nats_call *k);
// Those that wait for a counter are answered LINK_RECALLED.
void nats__count_recall(struct nats_part *p);
void nats__count_close(struct nats_part *p);

#endif
