// What the provider keeps for one instance.
#include "socket_int.h"

static void *state_new(struct seam_provider *p, struct canon_instance *i)
{
	struct wasi_state *s = SEAM_MEM_NEW(i, struct wasi_state);
	if (s)
		*s = (struct wasi_state){.wasi = CONTAINER_OF(p, struct wasi, seam), .instance = i};
	return s;
}

static void state_reset(struct seam_provider *p, struct canon_instance *i, void *state)
{
	struct wasi_state *s = state;
	wasi__log_clear(s);
	s->has_seed = false;
	wasi__preview1_close(s->preview1);
	s->preview1 = NULL;
	wasi__sockets_clear(s->sockets);
}

static void state_free(struct seam_provider *p, struct canon_instance *i, void *state)
{
	struct wasi_state *s = state;
	state_reset(p, i, state);
	wasi__sockets_free(s->sockets);
	seam_mem_free(s->fs);
	wasi__stdio_keep(s->wasi->stdio);
	seam_mem_free(s);
}

static const char *state_keeps(const struct seam_provider *p, const void *state)
{
	const struct wasi_state *s = state;
	return s->preview1 && !wasi__preview1_is_fresh(s->preview1) ? "descriptor of preview 1" : NULL;
}

static void task_end(struct seam_provider *p, struct canon_instance *i, struct seam_task *task, void *state)
{
	wasi__log_end(state, task);
}

const struct seam_provider_ops wasi__provider_ops = {
	.name = "wasi",
	.instance_new = state_new,
	.instance_reset = state_reset,
	.instance_free = state_free,
	.instance_keeps = state_keeps,
	.task_end = task_end,
};
