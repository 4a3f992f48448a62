// Providers are counted, with the reason.
#include "seam_int.h"

void seam_provider_init(struct seam_provider *p, const struct seam_provider_ops *ops)
{
	*p = (struct seam_provider){.ops = ops, .refs = 1, .held[SEAM_HELD_BY_MAKER] = 1};
}

void seam__provider_ref(struct seam_provider *p, enum seam_reason why)
{
	__atomic_fetch_add(&p->held[why], 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&p->refs, 1, __ATOMIC_RELAXED);
}

void seam_provider_unref(struct seam_provider *p, enum seam_reason why)
{
	BUG_ON(__atomic_fetch_sub(&p->held[why], 1, __ATOMIC_RELAXED) == 0);
	if (__atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL) == 0 && p->ops->close)
		p->ops->close(p);
}
