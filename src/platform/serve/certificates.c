// The certificates of sites: read at the start, on SIGHUP, and when their files have changed. On thread 0.
#include "serve_int.h"

#define LOOK_AGAIN (5 * SECOND)

bool serve__certificates_open(const struct serve_listener_config *c, struct http_tls **ret, struct err *e)
{
	uint32_t n = c->certs.len;
	if (n != c->keys.len) {
		err_set(e, ERR_USAGE, "%u certificates and %u keys", n, c->keys.len);
		return err_hint(e, "each --tls-cert has its --tls-key, in the same order");
	}
	if (n == 0)
		return true;
	struct http_tls_pair *pairs = mem_alloc(n * sizeof *pairs);
	if (!pairs)
		return err_nomem(e);
	for (uint32_t i = 0; i < n; i++)
		pairs[i] = (struct http_tls_pair){c->certs.ptr[i], c->keys.ptr[i]};
	bool ok = http_tls_server_new(pairs, n, ret, e);
	mem_free(pairs);
	return ok;
}

static void reload(const struct serve_process *p, struct http_tls *tls)
{
	struct err e = {0};
	if (http_tls_reload(tls, &e))
		serve__log(p->config, SERVE_LOG_INFO, "the certificates were read again");
	else
		serve__log(p->config, SERVE_LOG_ERROR, "the certificates stay as they were: %s", e.text);
}

bool serve__certificates_reload(struct serve_process *p, bool if_changed)
{
	bool any = false;
	for (unsigned i = 0; i < p->n_sites; i++) {
		struct http_tls *tls = p->sites[i].wire ? p->sites[i].wire->tls : NULL;
		any |= tls != NULL;
		if (tls && (!if_changed || http_tls_has_changed(tls)))
			reload(p, tls);
	}
	return any;
}

static void look(struct loop_timer *t)
{
	struct serve_process *p = CONTAINER_OF(t, struct serve_process, certificates);
	if (serve__certificates_reload(p, true))
		loop_timer_set(p->threads[0].loop, t, sat_add_u64(loop_now_ns(p->threads[0].loop), LOOK_AGAIN));
}

void serve__certificates_watch(struct serve_process *p)
{
	p->certificates.fn = look;
	loop_timer_set(p->threads[0].loop, &p->certificates, sat_add_u64(loop_now_ns(p->threads[0].loop), LOOK_AGAIN));
}
