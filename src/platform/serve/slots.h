// Inside of room serve: slots, and who is in them (slot.c, neighbours.c).
#ifndef TENON_SERVE_SLOTS_H
#define TENON_SERVE_SLOTS_H

#include "vm/vm.h"

struct err;
struct seam_task;
struct serve_inside;
struct serve_shard;
struct serve_slot;
struct serve_stock;
// Calls of one instance at once.
unsigned serve__max_tasks(const struct serve_service_config *c);
// With room for one request more, which is counted in. NULL: none is free and no other can be made; `e` says what is lacking, or stays as it is when
// there is only to wait for one to come back.
struct serve_slot *serve__slot_take(struct serve_shard *s, struct serve_stock *stock, struct err *e);
// Its instance is ready for the others: the steps that were left of its instantiation have run.
void serve__slot_started(struct serve_slot *slot, struct serve_shard *s);
// One of its requests is over. `clean`: the call returned.
void serve__slot_give(struct serve_slot *slot, struct serve_shard *s, bool clean);
// Before that: what the call ended by. Who goes away, or whose time is over, makes no later instance wait, as a failure of this one does.
void serve__slot_ended_by(struct serve_slot *slot, enum trap t);
// Policy keep: a call of the instance returned, whoever has it yet: there are no failures in a row.
void serve__slot_returned(struct serve_shard *s);
// A request that found no room in it for its handles: none comes before one of the others is over.
void serve__slot_give_back(struct serve_slot *slot, struct serve_shard *s);
// No further request comes to it.
void serve__slot_close(struct serve_slot *slot);
// One of its places is taken by what comes by no request.
void serve__slot_keep(struct serve_slot *slot);
// Its instance is dead, by none of the calls in it: they are ended.
void serve__slot_poison(struct serve_slot *slot);
// A call that has a place is in it; it has ended, `clean` or with the instance; its time is over, and it has neighbours.
void serve__slot_enter(struct serve_slot *slot, struct serve_inside *i, struct seam_task *task);
void serve__slot_leave(struct serve_slot *slot, struct serve_shard *s, struct serve_inside *i, bool clean);
void serve__slot_late(struct serve_slot *slot, struct serve_inside *i);
// Those without a request, but for those that are kept ready, and the last.
void serve__slots_trim(struct serve_shard *s);
// None of them is looked at any more.
void serve__slots_let_be(struct serve_shard *s);
// As many as are kept ready are there again, soon.
void serve__slots_refill(struct serve_shard *s);
// Those that are being emptied, at once.
void serve__slots_emptied(struct serve_shard *s);
// All that are free; those that are not go when their requests end, once the stock is of another version.
void serve__stock_discard(struct serve_stock *stock, struct serve_shard *s);

#endif
