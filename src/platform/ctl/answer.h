// A request at the control socket: its route's parameters, its body, its answer. On the thread of ctl alone.
#ifndef TENON_CTL_ANSWER_H
#define TENON_CTL_ANSWER_H

#include "base/json.h"
#include "http/http.h"
#include "loop/loop.h"

struct ctl;
struct ctl__upload;

enum { CTL_PARAMS_MAX = 4, CTL_BODY_MAX = 1 << 20, CTL_FILE_MAX = 1 << 30, CTL_ANSWER_MAX = 64 << 20, CTL_REQUEST_MEMORY = 16 << 20 };

struct ctl_request {
	struct ctl *ctl;
	struct http_exchange *x;
	struct arena arena;
	struct slice params[CTL_PARAMS_MAX];  // of the path, decoded, in their order
	struct slice query;
	struct json *body;                    // NULL: there was none
	struct buf in, out;
	size_t sent;
	struct ctl__upload *upload;  // its body is no JSON, but goes there
	bool head_sent, ends;                 // ends: nothing comes behind what is in `out`
	void (*on_body)(struct ctl_request *r);
	// Of one that waits, in the list of ctl: something has changed, or (`timer`, timed_out) it has waited long enough. It may answer.
	void (*look)(struct ctl_request *r);
	// Of a stream, likewise, once all that it had has left: puts what there is into r->out. It doesn't answer.
	void (*fill)(struct ctl_request *r);
	struct ctl_request *next, **prev;     // prev NULL: it doesn't wait
	struct loop_timer timer;
	struct loop *loop;
	uint64_t cursor;       // what of a stream it has
	bool timed_out;
	bool follows;          // a stream that goes on as long as its client does
};

// From here on it owns the exchange. NULL: there is no memory, the exchange was answered.
struct ctl_request *ctl__request_new(struct ctl *ctl, struct loop *l, struct http_exchange *x);
// Reads the body (JSON, CTL_BODY_MAX bytes at most; of an upload CTL_FILE_MAX bytes) and calls on_body once it is there; what is wrong with it is answered.
void ctl__request_read(struct ctl_request *r, void (*on_body)(struct ctl_request *r));
// What came of it for an upload was written.
void ctl__request_go_on(void *request);
// The value of a name in the query, decoded; false: it has none.
bool ctl__request_query(struct ctl_request *r, const char *name, struct slice *ret);
// The same of one that is true or false: another value is USAGE, without one *ret stays.
NODISCARD bool ctl__request_flag(struct ctl_request *r, const char *name, bool *ret, struct err *e);
// A field of the head; empty: there is none.
struct slice ctl__request_field(const struct ctl_request *r, const char *name);
// %XX decoded; false: it is no such text.
NODISCARD bool ctl__decode(struct arena *a, struct slice text, struct slice *ret);

// ---- its answer, once. The request is over then ------------------------------------------------------------------------------------------
// What is in r->out, as JSON.
void ctl__answer(struct ctl_request *r, unsigned status);
// {"error": {code, message, where?, hint?}}
void ctl__answer_error(struct ctl_request *r, unsigned status, const struct err *e);
// The status by the code of *e.
void ctl__answer_failed(struct ctl_request *r, const struct err *e);
void ctl__answer_not_found(struct ctl_request *r, const char *what, struct slice name);
void ctl__put_error(struct buf *b, const struct err *e);

// ---- or one that goes on: what is in r->out leaves, then what fill() puts there, until r->ends --------------------------------------------------
void ctl__stream(struct ctl_request *r, const char *type, void (*fill)(struct ctl_request *r));
// Of any that waits: something has changed.
void ctl__request_look(struct ctl_request *r);

#endif
