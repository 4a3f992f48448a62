// A component file and what it is given, made ready: decoded, validated, compiled, linked. Once a load.
#include "serve_int.h"
#include "sys/sys.h"

enum { MAX_TOLD = 6 };

// The places of a trap are looked up for each deployment by itself: who asks too often has none of its own left.
static bool open_symbols(struct serve_deployment *d, struct err *e)
{
	d->symbols = symbols_new(d->modules, d->n_modules, d->component->file);
	return d->symbols || err_nomem(e);
}

bool serve__deployment_compile(struct serve_deployment *d, const struct serve_service_config *c, const struct serve_process_config *p, struct err *e)
{
	*d = (struct serve_deployment){.config = c, .process = p};
	arena_init(&d->arena, 0);
	bool ok = serve__component_load(c, &d->cached, &d->component, e);
	if (d->cached && tier_file_cache_error(d->cached)->code != ERR_NONE)
		serve__log(p, SERVE_LOG_WARN, "%s", tier_file_cache_error(d->cached)->text);
	if (!ok)
		return false;
	d->comp = d->component->comp;
	d->modules = d->component->modules;
	d->n_modules = d->component->n_modules;
	d->canon = d->component->canon;
	return open_symbols(d, e);
}

static bool pairs(struct arena *a, const struct serve_pair *from, uint32_t n, const struct seam_pair **ret)
{
	struct seam_pair *list = ARENA_ARRAY(a, struct seam_pair, n);
	for (uint32_t i = 0; list && i < n; i++)
		list[i] = (struct seam_pair){slice_str(from[i].name), slice_str(from[i].value)};
	*ret = list;
	return list != NULL;
}

static bool strings(struct arena *a, const char *const *from, uint32_t n, const struct slice **ret)
{
	struct slice *list = ARENA_ARRAY(a, struct slice, n);
	for (uint32_t i = 0; list && i < n; i++)
		list[i] = slice_str(from[i]);
	*ret = list;
	return list != NULL;
}

static bool rules(struct arena *a, const char *const *from, uint32_t n, const struct seam_net_rule **ret, struct err *e)
{
	struct seam_net_rule *list = ARENA_ARRAY(a, struct seam_net_rule, n);
	if (!list)
		return err_nomem(e);
	for (uint32_t i = 0; i < n; i++)
		if (!seam_net_rule_parse(a, slice_str(from[i]), &list[i], e))
			return false;
	*ret = list;
	return true;
}

// Opened once: what is called so later is another one.
static bool open_folder(struct seam_folder *f, const struct serve_folder *from, struct err *e)
{
	int fd = sys_open_folder(from->host);
	if (fd < 0) {
		err_set_errno(e, -fd, "cannot open the folder '%s'", from->host);
		return err_hint(e, "--dir HOST[::GUEST][:ro] gives a folder that is there");
	}
	*f = (struct seam_folder){slice_str(from->guest), fd, from->read_only, sys_file.is_local(fd)};
	return true;
}

static bool open_folders(struct serve_deployment *d, struct err *e)
{
	const struct serve_service_config *c = d->config;
	struct seam_folder *list = ARENA_ARRAY(&d->arena, struct seam_folder, c->folders.len);
	if (!list)
		return err_nomem(e);
	d->grants.folders = list;
	for (; d->grants.n_folders < c->folders.len; d->grants.n_folders++)
		if (!open_folder(&list[d->grants.n_folders], &c->folders.ptr[d->grants.n_folders], e))
			return false;
	return true;
}

static bool fill_grants(struct serve_deployment *d, struct err *e)
{
	const struct serve_service_config *c = d->config;
	struct seam_grants *g = &d->grants;
	if (!pairs(&d->arena, c->env.ptr, c->env.len, &g->env) || !pairs(&d->arena, c->settings.ptr, c->settings.len, &g->settings) ||
		!strings(&d->arena, c->args.ptr, c->args.len, &g->args))
		return err_nomem(e);
	if (!rules(&d->arena, c->nets.ptr, c->nets.len, &g->nets, e) || !rules(&d->arena, c->private_ranges.ptr, c->private_ranges.len, &g->private_ranges, e))
		return false;
	g->n_env = c->env.len;
	g->n_settings = c->settings.len;
	g->n_nets = c->nets.len;
	g->private_nets = c->private_nets;
	g->n_private_ranges = c->private_ranges.len;
	g->n_args = c->args.len;
	g->listens = c->listens.ptr;
	g->n_listens = c->listens.len;
	g->max_sockets = c->limits.open_sockets;
	g->max_files = c->limits.open_files;
	g->max_file_size = c->limits.file_size;
	g->log_denial = serve__log_denial;
	g->log_ctx = d;
	return open_folders(d, e);
}

// What https needs is read where some rule lets it out.
static bool open_tls(struct serve_deployment *d, struct err *e)
{
	bool wanted = d->config->asks_https;
	for (uint32_t i = 0; i < d->grants.n_nets; i++)
		wanted |= d->grants.nets[i].scheme == SEAM_NET_ANY || d->grants.nets[i].scheme == SEAM_NET_HTTPS;
	if (!wanted && !d->config->ca)
		return true;
	if (!http_tls_client_new(d->config->ca, &d->tls, e))
		return false;
	d->wasi.tls = d->tls;
	return true;
}

static void fill_limits(struct serve_deployment *d)
{
	const struct serve_service_limits *l = &d->config->limits;
	canon_limits_default(&d->limits);
	d->limits.memory_bytes = l->memory;
	d->limits.table_elements = l->table_elements;
	d->limits.stack = l->stack;
	d->limits.handles = (uint32_t)min_u64(l->handles ? l->handles : UINT32_MAX, UINT32_MAX);
	d->limits.call_depth = (uint32_t)min_u64(l->call_depth ? l->call_depth : UINT32_MAX, UINT32_MAX);
	d->log = (struct wasi_log){.line = serve__log_guest,
		.message = serve__log_message,
		.least = serve__log_least(d->process->log_level),
		.listens = serve__log_listens,
		.ctx = UNCONST(d->process),
		.max_bytes = l->log_bytes};
}

static bool may_link(const struct serve_deployment *d, struct err *e)
{
	return d->canon || err_set(e, ERR_LINK, "cannot link: %s", d->comp->plan.unlinkable);
}

bool serve__deployment_load(struct serve_deployment *d, const struct serve_service_config *c, const struct serve_process_config *p, struct err *e)
{
	if (!serve__deployment_compile(d, c, p, e))
		return false;
	if (!d->comp) {
		err_set(e, ERR_INVALID, "'%s' is a core module, not a component", c->path);
		return err_hint(e, "make a component of it: wasm-tools component new %s -o component.wasm", c->path);
	}
	fill_limits(d);
	wasi_init(&d->wasi, &d->log);
	d->wasi.quota = c->quota;
	struct seam_offer *offers = NULL;
	uint32_t n = 0;
	if (c->offer && !c->offer(c, &d->arena, d->comp, &offers, &n, e))
		return false;
	for (uint32_t i = 0; i < n; i++)
		offers[i].provider = offers[i].provider ? offers[i].provider : &d->wasi.seam;
	return may_link(d, e) && seam_registry_add(&d->registry, offers, n, e) &&
		seam_registry_add(&d->registry, c->offers, c->n_offers, e) &&
		wasi_register(&d->wasi, &d->registry, e) && seam_link_new(&d->registry, d->comp, &d->link, e) && fill_grants(d, e) && open_tls(d, e);
}

bool serve__deployment_load_module(struct serve_deployment *d, const struct serve_service_config *c, const struct serve_process_config *p, struct err *e)
{
	if (!serve__deployment_compile(d, c, p, e))
		return false;
	if (d->comp) {  // told apart by who opened the file before
		err_set(e, ERR_ENV, "'%s' was written over while it was loaded", c->path);
		return err_hint(e, "load it again when it is whole");
	}
	fill_limits(d);
	wasi_init(&d->wasi, &d->log);
	return fill_grants(d, e) && open_tls(d, e);
}

void serve__deployment_release(struct serve_deployment *d)
{
	seam_link_free(d->link);
	seam_registry_release(&d->registry);
	if (d->wasi.seam.ops)
		seam_provider_unref(&d->wasi.seam, SEAM_HELD_BY_MAKER);
	http_tls_free(d->tls);
	for (uint32_t i = 0; i < d->grants.n_folders; i++)
		sys_close(d->grants.folders[i].fd);
	symbols_free(d->symbols);
	tier_file_close(d->cached);
	arena_release(&d->arena);
	serve__component_unref(d->component);
}

// "add, wasi:cli/run@0.2.0#run": what --invoke can call; else what is exported at all. false: nothing.
static bool put_exports(struct buf *b, const struct comp_component *c)
{
	uint32_t n = c->plan.nexport_funcs ? c->plan.nexport_funcs : c->nexports;
	for (uint32_t i = 0; i < n && i < MAX_TOLD; i++) {
		const struct comp_export_func *f = c->plan.nexport_funcs ? &c->plan.export_funcs[i] : NULL;
		buf_put_str(b, i ? ", " : "");
		if (f && f->interface.len)
			buf_printf(b, "%.*s#", SLICE_ARGS(f->interface));
		buf_put_slice(b, f ? f->name : c->exports[i].name);
	}
	if (n > MAX_TOLD)
		buf_put_str(b, ", …");
	return n > 0;
}

bool serve__hint_exports(const struct serve_deployment *d, struct err *e)
{
	struct buf names = {.max = 1024};
	if (seam_export_is_there(d->comp, &wasi_cli_run_interface) || seam_export_is_there(d->comp, &wasi_cli3_run_interface))
		err_hint(e, "it is a command: tenon run %s", d->config->path);
	else if (seam_export_is_there(d->comp, &wasi_http_incoming_handler_interface) || seam_export_is_there(d->comp, &wasi_http3_handler_interface))
		err_hint(e, "it answers requests: tenon serve %s", d->config->path);
	else if (!put_exports(&names, d->comp))
		err_hint(e, "it exports nothing; serve wants " WASI_HTTP_HANDLER ", run wants wasi:cli/run");
	else if (d->comp->plan.nexport_funcs)
		err_hint(e, "tenon run %s --invoke 'f(1)' calls what it exports: %.*s", d->config->path, SLICE_ARGS(buf_view(&names)));
	else
		err_hint(e, "it exports no function, but %.*s", SLICE_ARGS(buf_view(&names)));
	buf_release(&names);
	return false;
}

bool serve_compile(const struct serve_config *c, struct err *e)
{
	struct serve_deployment d = {0};
	struct serve_service_config service = c->service;
	service.compiles_all = true;
	bool ok = vm_process_init(e) && serve__deployment_compile(&d, &service, &c->process, e);
	if (ok)
		serve__log(&c->process, SERVE_LOG_INFO, "%llu bytes of code compiled to %llu in %.1f ms%s", (unsigned long long)d.component->tier.code_bytes,
			(unsigned long long)d.component->tier.native_bytes, (double)d.component->tier.compile_ns / 1e6, d.component->tier.from_cache ? " (from the cache)" : "");
	serve__deployment_release(&d);
	return ok;
}
