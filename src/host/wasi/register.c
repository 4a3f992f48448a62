#include "sys/sys.h"
#include "wasi_int.h"
#include "wasi_provider.h"

void wasi_init(struct wasi *w, const struct wasi_log *log)
{
	static uint64_t last;
	*w = (struct wasi){.log = log, .id = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED)};
	seam_provider_init(&w->seam, &wasi__provider_ops);
}

enum { THREADS = 16, QUEUED = 1000 };

bool wasi_process_open(struct wasi_process *p, struct err *e)
{
	*p = (struct wasi_process){.max_files = sys_raise_descriptors() / 2};
	sys_random(p->secret, sizeof p->secret);
	sys_beneath_ask();
	return loop_pool_new(&p->threads, THREADS, QUEUED, e);
}

void wasi_process_close(struct wasi_process *p)
{
	loop_pool_free(p->threads);
	p->threads = NULL;
}

bool wasi_register(struct wasi *w, struct seam_registry *r, struct err *e)
{
	struct seam_offer list[ARRAY_LEN(wasi_provider)];
	for (size_t i = 0; i < ARRAY_LEN(wasi_provider); i++)
		list[i] = (struct seam_offer){NULL, wasi_provider[i].interface, wasi_provider[i].ops, &w->seam};
	r->core = wasi__preview1_core(w);
	return seam_registry_add(r, list, ARRAY_LEN(list), e);
}
