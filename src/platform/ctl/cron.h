// When the cron triggers of an app ran last (ctl_state_crons and the like are in ctl.h).
#ifndef TENON_CTL_CRON_H
#define TENON_CTL_CRON_H

#include "ctl.h"
#include "serve/serve.h"
#include "sys/sys.h"

struct ctl__crons;
// NULL does nothing. What is not written yet is.
void ctl__crons_close(struct ctl__crons *c);
// Who is told of what can't be written; NULL: nobody any more.
void ctl__crons_tell(const struct ctl_state *s, const struct serve_process *p);

#endif
