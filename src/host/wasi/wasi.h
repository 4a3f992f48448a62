// Room wasi: WASI 0.2 as host functions over seam. One file an interface; the state that one instance has on the host side is made at its
// first call and dropped when the slot is reset.
//
// What was not granted links and denies at the call, as each interface says (design §7).
#ifndef TENON_WASI_H
#define TENON_WASI_H

#include "base/base.h"
#include "http/http.h"
#include "seam/seam.h"
#include "wasi_host.h"

struct wasi_log;
// The provider of the interfaces of wasi:*@0.2, with what it needs for the instances of one deployment. Its maker must outlive them all.
struct wasi {
	struct seam_provider seam;
	const struct wasi_log *log;  // borrowed; NULL: nothing that guests print goes anywhere
};
void wasi_init(struct wasi *w, const struct wasi_log *log);
// Offers all of them.
NODISCARD bool wasi_register(struct wasi *w, struct seam_registry *r, struct err *e);

// Is this a function of wasi_snapshot_preview1, of this type? ERR_LINK otherwise.
bool wasi_preview1_check(struct slice name, const struct wasm_func_type *type, struct err *e);

// ---- what guests print ------------------------------------------------------------------------------------------------------------
// Where lines of a guest's stdout (1) and stderr (2) go when the process's own streams are not granted (grants->stdio): without their
// newline, control characters escaped, cut at 4 KiB. `task` is the call that printed it.
struct wasi_log {
	void (*line)(void *ctx, struct seam_task *task, int fd, struct slice text);
	void *ctx;
	uint64_t max_bytes;  // a call; 0: none. What is over is dropped, and said once.
};

// ---- wasi:http/incoming-handler -----------------------------------------------------------------------------------------------------
// Name of the export that serve calls, in any 0.2.x.
#define WASI_HTTP_HANDLER "wasi:http/incoming-handler"

// One request on its way through a guest. Embedded in serve's call; lives until the exchange is released.
struct wasi_http_call {
	struct wasi *wasi;
	struct http_exchange *x;  // NULL once it is gone
	bool head_set;            // response-outparam.set was called
	bool set_error;           // with an error: answered by the host
	struct slice error;       // its code as WIT names it; empty: the host could not send what was set
	bool finished;            // the body was finished cleanly
	bool cancelled;           // the client is gone, or serve ended it
	struct wasi_http_body *in, *out;       // bodies that are open, wasi's
	struct wasi_http_request *request;     // handles that are open, wasi's
	struct wasi_http_outparam *outparam;
	struct wasi_fields *headers;           // of the request, once asked for
	void (*on_head)(struct wasi_http_call *c);      // the head was set: the deadline is met; may be NULL
	void (*on_finished)(struct wasi_http_call *c);  // the body was finished: what runs on lingers; may be NULL
	void (*on_cancel)(struct wasi_http_call *c);    // the client is gone; may be NULL
	unsigned status;
};
// What `handle` is called with, as host resources of the instance: own<incoming-request>, own<response-outparam>.
struct wasi_http_args {
	uint32_t request, outparam;
};
// The caller has zeroed *c and set `wasi` and its on_* callbacks. Takes the exchange's owner callbacks for itself; c->on_cancel is called after wasi has noted it.
// false: too many handles, or memory is out: answer 503.
NODISCARD bool wasi_http_begin(struct wasi_http_call *c, struct canon_instance *i, struct http_exchange *x, struct wasi_http_args *ret);
// The export has returned (or trapped: `clean` false). What was not set is answered with `status_if_unset` (500, 503, 504); what was begun and not
// finished is aborted; then the exchange is released. The instance may be reset afterwards.
void wasi_http_end(struct wasi_http_call *c, bool clean, unsigned status_if_unset);

#endif
