// An app changes while it runs: what differs between two models (up_plan.c), made ready and put in force (up_live.c). On thread 0.
#ifndef TENON_CLI_UP_LIVE_H
#define TENON_CLI_UP_LIVE_H

#include "up.h"

// What configurations lie in: counted by those of versions, by the change that made it, and by the app whose routes lie in it. It holds the model that its texts
// are of, and the links that components in it are bound to.
struct up_batch {
	uint32_t refs;
	struct ctl_model *model;
	struct arena arena;
	VEC(struct up_link *)
	links;
};
// `m`: NULL: of an app that stops. NULL: memory is out.
struct up_batch *cli__up_batch_new(struct ctl_model *m);
void cli__up_batch_unref(struct up_batch *b);

// What is to be done, all in the batch's arena. Names are of the models.
struct up_plan {
	const char **load;             // components that come, or get another version
	const char **leave;            // that go
	const struct app_link **open;  // links that come, or are made anew
	const char **close;            // that go, or are made anew
	uint32_t n_load, n_leave, n_open, n_close;
	bool routes, http, calls, runs;  // runs: what else calls components
};
static inline bool cli__up_is_among(const char *const *names, uint32_t n, const char *name)
{
	for (uint32_t i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}
// ERR_REFUSED: something differs that isn't changed while it runs.
NODISCARD bool cli__up_plan(struct arena *a, const struct ctl_turn *t, struct up_plan *ret, struct err *e);

#endif
