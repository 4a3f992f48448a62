// tenon check: what a component imports and exports, against what its manifest links, grants and calls. It is read, not run.
#include "check.h"
#include "up.h"
#include "wasi/wasi.h"

#include <errno.h>

#define MAX_COMPONENT ((size_t)1 << 30)

// ---- resources that imports share ------------------------------------------------------------------------------------------------------------

// The import that a resource was met in first. Interfaces that use another's resource name it by the same description.
static bool first_owner(struct map *owners, struct arena *a, const struct wit_resource *r, uint32_t import, uint32_t *ret, struct err *e)
{
	uintptr_t found = import, identity = (uintptr_t)r;
	struct slice key;
	bool nomem = false;
	if (map_get(owners, slice_of(&identity, sizeof identity), &found)) {
		*ret = (uint32_t)found;
		return true;
	}
	*ret = import;
	return (slice_dup(a, slice_of(&identity, sizeof identity), &key) && map_insert(owners, key, import, &nomem)) || err_nomem(e);
}

bool cli__app_imports(struct arena *a, const struct comp_component *comp, struct app_import **ret, struct err *e)
{
	struct app_import *list = ARENA_ARRAY(a, struct app_import, comp->nimports + 1);
	struct map owners;
	map_init(&owners, a);
	for (uint32_t i = 0; list && i < comp->nimports; i++) {
		const struct comp_extern *x = &comp->imports[i];
		uint32_t *shares = ARENA_ARRAY(a, uint32_t, x->n + 1);
		list[i] = (struct app_import){.name = x->name, .implements = x->implements, .shares = shares};
		if (!shares)
			return err_nomem(e);
		for (uint32_t k = 0; k < x->n; k++) {
			uint32_t owner = i;
			if (x->items[k].kind == COMP_EXTERN_TYPE && x->items[k].resource && !first_owner(&owners, a, x->items[k].resource, i, &owner, e))
				return false;
			if (owner != i)
				shares[list[i].n_shares++] = owner;
		}
	}
	*ret = list;
	return list || err_nomem(e);
}

// ---- imports -----------------------------------------------------------------------------------------------------------------------------------

static bool is_types_alone(const struct comp_extern *x)
{
	if (x->kind == COMP_EXTERN_TYPE)
		return true;
	for (uint32_t i = 0; i < x->n; i++)
		if (x->items[i].kind == COMP_EXTERN_FUNC)
			return false;
	return x->kind == COMP_EXTERN_INSTANCE;
}

static bool is_of(struct slice name, const char *const *of, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (slice_starts_with(name, slice_str(of[i])))
			return true;
	return false;
}

// What no link and no host stands behind. Interfaces that a spin.toml grants by key are there, and answer access-denied (contract, section 2).
static enum check_how without_link(const struct app *app, const struct comp_extern *x)
{
	static const char *const config[] = {"fermyon:spin/variables@2", "spin:variables/"}, *const spin[] = {"fermyon:spin/", "spin:", "wasi:keyvalue/"};
	return is_types_alone(x)                                               ? CHECK_TYPES
		: is_of(x->name, config, ARRAY_LEN(config))                        ? CHECK_CONFIG
		: app->format == APP_SPIN && is_of(x->name, spin, ARRAY_LEN(spin)) ? CHECK_DENIAL
																		   : CHECK_NOTHING;
}

// A row of `links` that no import is bound by; those of spin.toml are for whatever a component imports.
static void find_idle_row(const struct app *app, const struct app_binding *bound, uint32_t n, struct check_component *ret)
{
	const struct app_pairs *rows = &ret->component->links;
	for (uint32_t k = 0; k < rows->n && app->format != APP_SPIN && ret->why_not.code == ERR_NONE; k++) {
		bool used = false;
		for (uint32_t i = 0; i < n; i++)
			used |= bound[i].link != APP_NONE && bound[i].row == k;
		if (!used)
			err_set(&ret->why_not, ERR_LINK, "cannot link: the component imports nothing that '%s' is for", rows->list[k].name);
	}
}

// What the link is can't stand behind the import.
static bool fits_link(const struct app_link *l, const struct comp_extern *x, struct err *why_not)
{
	struct wasi_http_link out = {0};
	struct seam_offer offer = {0};
	struct slice name = x->implements.len ? x->implements : x->name;
	if (is_types_alone(x) || l->type.value == APP_LINK_COMPONENT)
		return true;
	return app_link_is_store(l) ? link_store_serves(name, slice_str(l->item.name), why_not) : wasi_http_link_offer(&out, name, &offer, why_not);
}

static bool bind_imports(struct cli *c, const struct app *app, const struct comp_component *comp, struct check_component *ret, struct err *e)
{
	struct serve_served_by *served = ARENA_ARRAY(&c->arena, struct serve_served_by, comp->nimports + 1);
	struct app_binding *bound = ARENA_ARRAY(&c->arena, struct app_binding, comp->nimports + 1);
	struct app_import *imports;
	if (!served || !bound)
		return err_nomem(e);
	if (!cli__app_imports(&c->arena, comp, &imports, e) || !serve_describe_imports(comp, served, e))
		return false;
	if (!app_bind(app, ret->component, imports, comp->nimports, bound, &ret->why_not))
		return true;
	for (uint32_t i = 0; i < comp->nimports; i++) {
		struct check_import x = {.name = imports[i].name, .implements = imports[i].implements, .binding = bound[i]};
		x.provider = served[i].provider;
		x.interface = served[i].interface;
		x.how = bound[i].link != APP_NONE ? CHECK_LINK : served[i].provider ? CHECK_HOST
																			: without_link(app, &comp->imports[i]);
		if (!VEC_PUSH(&c->arena, &ret->imports, x, UINT32_MAX))
			return err_nomem(e);
		if (x.how == CHECK_LINK && ret->why_not.code == ERR_NONE && app->format != APP_SPIN)
			(void)fits_link(&app->links.list[x.binding.link], &comp->imports[i], &ret->why_not);
		if (x.how == CHECK_NOTHING && ret->why_not.code == ERR_NONE) {
			err_set(&ret->why_not, ERR_LINK, "cannot link: nothing stands behind the import %.*s", SLICE_ARGS(x.name));
			err_hint(&ret->why_not, "[component.%s] links = { \"%.*s\" = \"NAME\" }, and [link.NAME]", ret->component->item.name,
				(int)slice_find(x.name, '@'), (const char *)x.name.ptr);
		}
	}
	find_idle_row(app, bound, comp->nimports, ret);
	return true;
}

// ---- grants ------------------------------------------------------------------------------------------------------------------------------------

static bool is_granted(const struct app_component *c, const char *flag)
{
	return strcmp(flag, "net") == 0 ? c->network.n > 0 : strcmp(flag, "dir") == 0 ? c->files.n > 0
		: strcmp(flag, "env") == 0                                                ? c->env.n > 0
																				  : c->config.n > 0;
}

static bool is_linked(const struct check_component *c, struct slice interface)
{
	for (uint32_t i = 0; i < c->imports.len; i++)
		if (c->imports.ptr[i].how == CHECK_LINK && slice_eq(c->imports.ptr[i].name, interface))
			return true;
	return false;
}

static bool find_denied(struct cli *c, const struct app *app, const struct comp_component *comp, struct check_component *ret, struct err *e)
{
	struct inspect x = {.arena = &c->arena, .comp = comp};
	if (!inspect_grants(&x, e))
		return false;
	for (uint32_t i = 0; i < x.grants.len; i++) {
		const struct inspect_grant *g = &x.grants.ptr[i];
		struct check_denied d = {g->interface, app_grant_line(app, g->flag, g->line)};
		if (!g->line || is_granted(ret->component, g->flag) || is_linked(ret, g->interface))
			continue;
		if (!VEC_PUSH(&c->arena, &ret->denied, d, UINT32_MAX))
			return err_nomem(e);
	}
	return true;
}

// ---- exports -----------------------------------------------------------------------------------------------------------------------------------

static void wants(const struct comp_component *comp, struct check_component *ret, const char *trigger, const char *id, const char *const *any, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (comp_find_interface(comp, slice_str(any[i])))
			return;
	if (ret->why_not.code == ERR_NONE)
		err_set(&ret->why_not, ERR_LINK, "cannot link: component '%s' exports no %.*s, and trigger.%s '%s' calls it", ret->component->item.name,
			(int)strcspn(any[0], "@"), any[0], trigger, id);
}

static void check_exports(const struct app *app, const struct comp_component *comp, struct check_component *ret)
{
	static const char *const http[] = {"wasi:http/incoming-handler@0.2.0", "wasi:http/handler@0.3.0"}, *const run[] = {"wasi:cli/run@0.2.0", "wasi:cli/run@0.3.0"};
	const struct app_triggers *t = &app->triggers;
	uint32_t me = (uint32_t)(ret->component - app->components.list);
	for (uint32_t i = 0; i < t->http.n; i++)
		if (t->http.list[i].target == me && t->http.list[i].component.text)
			wants(comp, ret, "http", t->http.list[i].item.name, http, 2);
	for (uint32_t i = 0; i < t->cron.n; i++)
		if (t->cron.list[i].target == me)
			wants(comp, ret, "cron", t->cron.list[i].item.name, run, 2);
	for (uint32_t i = 0; i < t->start.n; i++)
		if (t->start.list[i].target == me)
			wants(comp, ret, "start", t->start.list[i].item.name, run, 2);
	for (uint32_t i = 0; i < t->command.n; i++)
		if (t->command.list[i].target == me)
			wants(comp, ret, "command", t->command.list[i].item.name, run, 2);
}

// Core functions that the host is to provide: it has those of preview 1.
static bool has_preview1(const struct comp_component *comp, struct err *why_not)
{
	for (uint32_t i = 0; i < comp->plan.ncore_funcs; i++)
		if (!wasi_preview1_check(comp->plan.core_funcs[i].name, wasm_interned_func_type(comp->plan.core_funcs[i].core_type), why_not))
			return false;
	return true;
}

// ---- the whole ---------------------------------------------------------------------------------------------------------------------------------

static bool read_component(struct cli *c, struct check_component *x, struct slice *ret)
{
	FILE *f = cli_open_component(x->component->path, &x->why_not);
	bool ok = f && cli__read_stream(f, x->component->path, MAX_COMPONENT, &c->arena, ret, &x->why_not) &&
		cli_check_head(x->component->path, *ret, true, &x->why_not);
	if (f)
		fclose(f);
	return ok;
}

// Folders that the manifest gives: `up` opens them.
static void look_at_folders(const struct app *app, struct check_component *x)
{
	for (uint32_t i = 0; i < x->component->files.n && x->why_not.code == ERR_NONE; i++)
		if (!cli__up_folder(app, &x->component->files.list[i], &x->why_not))
			return;
}

bool check_component(struct cli *c, const struct app *app, const struct app_component *component, struct check_component *ret, struct err *e)
{
	struct comp_component *comp;
	struct comp_options options = COMP_OPTIONS_DEFAULT;
	struct slice bytes;
	*ret = (struct check_component){.component = component};
	err_clear(&ret->why_not);
	options.features = COMP_FEATURES_ALL;
	if (!read_component(c, ret, &bytes))
		return true;
	if (component->sha256.text && !serve_check_sha256(component->path, bytes, component->sha256.text, &ret->why_not))
		return true;
	ret->is_module = wasm_is_module(bytes) && !comp_module_has_world(bytes);
	if (ret->is_module || !comp_decode(&c->arena, bytes, &options, &comp, &ret->why_not) || !comp_can_run(comp, &ret->why_not))
		return true;
	if (!has_preview1(comp, &ret->why_not))
		return true;
	ret->is_read = true;
	if (!bind_imports(c, app, comp, ret, e) || !find_denied(c, app, comp, ret, e))
		return false;
	check_exports(app, comp, ret);
	if (component->policy.value == APP_CONCURRENT && ret->why_not.code == ERR_NONE)
		(void)serve_check_concurrent(comp, &ret->why_not);
	look_at_folders(app, ret);
	return true;
}
