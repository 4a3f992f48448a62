// What stands behind the imports of a component that runs, what another version of it imports besides, and which line of a manifest would grant what is denied.
#include <stdlib.h>

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

static struct slice path_of(struct slice name)
{
	return slice_sub(name, 0, slice_find(name, '@'));
}

struct grant {
	const char *interface, *func, *flag, *line;
};

// What nothing gives by itself. NULL: there is nothing to grant.
static const struct grant *grant_of(const struct serve_version *v, const struct comp_import *i)
{
	static const struct grant rows[] = {
#define GRANT(interface, func, flag, argument, line) {interface, func, flag, line},
#include "app/grants.def"
#undef GRANT
	};
	for (size_t k = 0; k < ARRAY_LEN(rows); k++)
		if (slice_eq_str(path_of(i->name), rows[k].interface) && asks_for(&v->deployment.comp->plan, i, rows[k].func))
			return &rows[k];
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
		const struct grant *g = b->link ? NULL : grant_of(l->version, i);
		bool granted = g && is_granted(&l->version->deployment.grants, g->flag);
		f.line = g && !granted ? g->line : NULL;
		f.flag = f.line ? g->flag : NULL;
		f.grant = granted ? g->flag : NULL;
		f.is_denied = strcmp(f.provider, "denied") == 0;
	}
	if (f.is_denied) {
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

// ---- another version ---------------------------------------------------------------------------------------------------------------------

static int compare(const void *a, const void *b)
{
	return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

struct more {
	struct look look;
	struct slice *before;  // sorted
	uint32_t n;
};

static void tell_more(void *user, const struct comp_import *i, const struct seam_binding *b)
{
	struct more *m = user;
	struct slice path = path_of(i->name);
	if ((i->n_funcs || i->n_resources) && (m->n == 0 || !bsearch(&path, m->before, m->n, sizeof path, compare)))
		tell(&m->look, i, b);
}

bool serve_imports_more(const struct serve_service *s, const struct serve_version *v, void (*fn)(void *user, const struct serve_import_facts *f), void *user,
	struct err *e)
{
	struct more m = {.look = {.version = v, .fn = fn, .user = user, .line = {.max = 1024}}};
	if (!serve_service_is_there(s))
		return true;
	const struct comp_plan *p = &s->version->deployment.comp->plan;
	m.before = mem_alloc(max_u64(p->nimports, 1) * sizeof *m.before);
	if (!m.before)
		return err_nomem(e);
	for (; m.n < p->nimports; m.n++)
		m.before[m.n] = path_of(p->imports[m.n].name);
	qsort(m.before, m.n, sizeof *m.before, compare);
	seam_link_bindings(v->deployment.link, tell_more, &m);
	buf_release(&m.look.line);
	mem_free(m.before);
	return true;
}
