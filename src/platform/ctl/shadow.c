// Targets that reads of links are asked of, too, as they were given: what --promote takes. Within the lock.
#include "ctl_int.h"

void ctl__shadow_set(struct ctl_app *app, const char *link, const char *target)
{
	struct ctl__shadow **at = &app->shadows;
	while (*at && strcmp((*at)->link, link) != 0)
		at = &(*at)->next;
	struct ctl__shadow *old = *at, *x = target ? mem_zalloc(sizeof *x + strlen(link) + strlen(target) + 2) : NULL;
	if (x) {
		x->link = (char *)(x + 1);
		x->target = x->link + strlen(link) + 1;
		memcpy(x->link, link, strlen(link));
		memcpy(x->target, target, strlen(target));
	}
	if (old)
		*at = old->next;
	if (x) {
		x->next = app->shadows;
		app->shadows = x;
	}
	mem_free(old);
}
