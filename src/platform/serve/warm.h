// Images and what is done before they are taken. (version.c, warm.c)
#ifndef TENON_SERVE_WARM_H
#define TENON_SERVE_WARM_H

#include "serve_int.h"

// What a component that was loaded answers requests with.
NODISCARD bool serve__version_find_handler(struct serve_version *v, struct err *e);
// Takes the image on the task's fiber, of image_seam. false: the guest trapped (*ret_warms: not while it was instantiated), or `e`.
NODISCARD bool serve__image_take(struct serve_version *v, const struct serve_thread *t, struct seam_task *task, struct canon_trap *trap, bool *ret_warms,
	struct err *e);
const char *serve__image_stage(bool warms);
// Lets an instance answer the requests of config->warm, on the task's fiber. false: the guest trapped, or `e`.
NODISCARD bool serve__warm(struct serve_version *v, struct canon_instance *i, struct seam_task *task, struct canon_trap *trap, struct err *e);
// Whether an instance of the image that was taken then answers the first of them again; else it would serve nothing.
NODISCARD bool serve__warm_try(struct serve_version *v, const struct serve_thread *t, struct seam_task *task, struct canon_trap *trap, struct err *e);

#endif
