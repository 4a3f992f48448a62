// When the cron triggers of an app ran last (ctl_state_crons and the like are in ctl.h).
#ifndef TENON_CTL_CRON_H
#define TENON_CTL_CRON_H

#include "ctl.h"
#include "serve/serve.h"
#include "sys/sys.h"

struct ctl__crons;
// What the file beside the journal says, where there is one. Of an app that `is_stopped` nothing is remembered. ENV.
NODISCARD bool ctl__crons_read(struct ctl_state *s, bool is_stopped, struct err *e);
// NULL does nothing. What is not written yet is, where it can be.
void ctl__crons_close(struct ctl__crons *c);
// Who is told of what can't be written, also of what could not be before; NULL: nobody any more.
void ctl__crons_tell(const struct ctl_state *s, const struct serve_process *p);

#endif
