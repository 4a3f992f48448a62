// What stands behind the imports of a component that runs, and which line of a manifest would grant what is denied.
#include "serve_int.h"
#include "sys/sys.h"

struct look {
	const struct serve_version *version;
	void (*fn)(void *user, const struct serve_import_facts *f);
	void *user;
	struct buf line;  // of the last
};

static bool is_granted(const struct seam_grants *g, const char *flag)
{
	return strcmp(flag, "net") == 0 ? g->n_nets > 0 : strcmp(flag, "dir") == 0 ? g->n_folders > 0
		: strcmp(flag, "env") == 0                                             ? g->n_env > 0
																			   : g->n_settings > 0;
}

static bool asks_for(const struct comp_plan *p, const struct comp_import *i, const char *func)
{
	for (uint32_t k = i->first_func; k < i->first_func + i->n_funcs; k++)
		if (p->host_funcs[k].used && (!func || slice_eq_str(p->host_funcs[k].name, func)))
			return true;
	return false;
}

// The host's own, of which nothing was granted. NULL: it was, or there is nothing to grant.
static const char *line_of(const struct serve_version *v, const struct comp_import *i)
{
	static const struct {
		const char *interface, *func, *flag, *line;
	} rows[] = {
#define GRANT(interface, func, flag, argument, line) {interface, func, flag, line},
#include "app/grants.def"
#undef GRANT
	};
	struct slice path = slice_sub(i->name, 0, slice_find(i->name, '@'));
	for (size_t k = 0; k < ARRAY_LEN(rows); k++)
		if (slice_eq_str(path, rows[k].interface) && asks_for(&v->deployment.comp->plan, i, rows[k].func) && !is_granted(&v->deployment.grants, rows[k].flag))
			return rows[k].line;
	return NULL;
}

static void tell(void *user, const struct comp_import *i, const struct seam_binding *b)
{
	struct look *l = user;
	struct serve_import_facts f = {.import = i->name};
	if (b->interface && (i->n_funcs || i->n_resources)) {
		f.interface = b->interface->name;
		f.provider = b->provider->ops->name;
		f.link = b->link;
		f.rule = b->rule;
		f.line = b->link ? NULL : line_of(l->version, i);
	}
	if (f.provider && strcmp(f.provider, "denied") == 0) {
		buf_clear(&l->line);
		buf_printf(&l->line, "links = { \"%.*s\" = \"LINK\" }%c", (int)slice_find(i->name, '@'), (const char *)i->name.ptr, 0);
		f.line = l->line.failed ? NULL : (const char *)l->line.ptr;
	}
	l->fn(l->user, &f);
}

bool serve_imports(struct serve_process *p, const char *app, const char *component, void (*fn)(void *user, const struct serve_import_facts *f), void *user)
{
	struct serve_service *s = serve__phase(p) == SERVE_STARTING ? NULL : serve_service_find(p, app, component);
	struct look l = {.fn = fn, .user = user, .line = {.max = 1024}};
	pthread_mutex_lock(&p->relays);
	struct serve_version *v = s ? s->version : NULL;
	if (v)
		serve__version_ref(v, VERSION_IN_LOG);
	pthread_mutex_unlock(&p->relays);
	if (!v)
		return false;
	l.version = v;
	seam_link_bindings(v->deployment.link, tell, &l);
	buf_release(&l.line);
	serve__version_unref(v, VERSION_IN_LOG);
	return true;
}
