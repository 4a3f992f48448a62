// wasi:logging: messages with a level, into our log.
#include "wasi_int.h"
#include "wasi_provider.h"

enum seam_result wasi_logging_logging_log(struct seam_call *c, const struct wasi_logging_logging_log_args *args)
{
	const struct wasi *w = CONTAINER_OF(c->binding->provider, struct wasi, seam);
	wasi__log_message(w->log, c->task, args->level, seam_slice(args->context), seam_slice(args->message));
	return SEAM_OK;
}
