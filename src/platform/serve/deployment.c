// A component file and what it is given, made ready: decoded, validated, compiled, linked. Once a load.
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "serve_int.h"
#include "sys/sys.h"

enum { MAX_TOLD = 6 };

// The descriptor stays open: the file is known by it.
static bool map_file(const struct serve_service_config *c, struct slice *ret, int *ret_fd, struct err *e)
{
	int fd = c->file ? c->file - 1 : open(c->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set_errno(e, errno, "cannot open '%s'", c->path);
	struct stat st;
	void *p = MAP_FAILED;
	bool ok = fstat(fd, &st) == 0;
	if (ok && st.st_size)
		p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (!ok || (st.st_size && p == MAP_FAILED)) {
		err_set_errno(e, errno, "cannot read '%s'", c->path);
		close(fd);
		return false;
	}
	*ret = st.st_size ? slice_of(p, (size_t)st.st_size) : slice_of("", 0);
	*ret_fd = fd;
	return true;
}

// A core module alone is compiled as a component's would be.
// `how`: 0 or WASM_DECODE_KNOWN.
static bool decode(struct serve_deployment *d, uint32_t how, const struct wasm_module *const **ret_modules, struct err *e)
{
	if (wasm_is_module(d->file)) {
		struct wasm_module *m;
		const struct wasm_module **list = ARENA_ARRAY(&d->arena, const struct wasm_module *, 1);
		if (!list)
			return err_nomem(e);
		if (!wasm_decode(&d->arena, d->file, serve_features(d->config) | how, 0, &m, e))
			return false;
		list[0] = m;
		d->n_modules = 1;
		*ret_modules = list;
		return true;
	}
	struct comp_options options = COMP_OPTIONS_DEFAULT;
	options.core_features = serve_features(d->config) | how;
	if (!comp_decode(&d->arena, d->file, &options, &d->comp, e))
		return false;
	d->n_modules = d->comp->nmodules;
	const struct wasm_module **list = ARENA_ARRAY(&d->arena, const struct wasm_module *, d->n_modules);
	if (!list)
		return err_nomem(e);
	for (uint32_t i = 0; i < d->n_modules; i++)
		list[i] = d->comp->modules[i].wasm;
	*ret_modules = list;
	return true;
}

static bool decode_modules(struct serve_deployment *d, uint32_t how, const struct wasm_module *const **ret, struct err *e)
{
	if (!decode(d, how, ret, e))
		return false;
	d->modules = ARENA_ARRAY(&d->arena, struct vm_module *, d->n_modules + 1);
	return d->modules || err_nomem(e);
}

// What was decoded and compiled before is only looked at as far as it is needed to run.
static bool load_known(struct serve_deployment *d)
{
	const struct wasm_module *const *modules;
	if (tier_file_has_code(d->cached) && decode_modules(d, WASM_DECODE_KNOWN, &modules, NULL) &&
		tier_file_load(d->cached, modules, d->n_modules, d->modules, &d->tier))
		return true;
	arena_clear(&d->arena);
	d->comp = NULL;
	d->modules = NULL;
	return false;
}

static bool open_symbols(struct serve_deployment *d, struct err *e)
{
	d->symbols = symbols_new(d->modules, d->n_modules, d->file);
	return d->symbols || err_nomem(e);
}

// What a manifest pins.
static bool check_hash(const struct serve_deployment *d, struct err *e)
{
	char text[65];
	if (!d->config->sha256)
		return true;
	tier_sha256(d->file, text);
	if (strcmp(text, d->config->sha256) == 0)
		return true;
	err_set(e, ERR_INVALID, "'%s' is not the component that was pinned: its sha256 is %s", d->config->path, text);
	return err_hint(e, "the one that was pinned is %s", d->config->sha256);
}

bool serve__deployment_compile(struct serve_deployment *d, const struct serve_service_config *c, const struct serve_process_config *p, struct err *e)
{
	*d = (struct serve_deployment){.config = c, .process = p};
	arena_init(&d->arena, 0);
	const struct wasm_module *const *modules;
	int fd;
	if (!map_file(c, &d->file, &fd, e))
		return false;
	if (!check_hash(d, e)) {
		close(fd);
		return false;
	}
	struct tier_options options = {.no_cache = c->no_cache, .poison_upper = c->poison_upper, .features = serve_features(c)};
	bool ok = tier_file_open(d->file, fd, &options, &d->cached, e);
	close(fd);
	if (!ok)
		return false;
	if (tier_file_cache_error(d->cached)->code != ERR_NONE)
		serve__log(p, SERVE_LOG_WARN, "%s", tier_file_cache_error(d->cached)->text);
	if (load_known(d))
		return open_symbols(d, e);
	if (!decode_modules(d, 0, &modules, e) || !tier_file_compile(d->cached, modules, d->n_modules, d->modules, &d->tier, e))
		return err_note(e, "'%s'", c->path);
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
	g->log_ctx = UNCONST(d->process);
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
	struct seam_offer *offers = NULL;
	uint32_t n = 0;
	if (c->offer && !c->offer(c, &d->arena, d->comp, &offers, &n, e))
		return false;
	for (uint32_t i = 0; i < n; i++)
		offers[i].provider = offers[i].provider ? offers[i].provider : &d->wasi.seam;
	return canon_component_new(d->comp, d->modules, &d->canon, e) && seam_registry_add(&d->registry, offers, n, e) &&
		seam_registry_add(&d->registry, c->offers, c->n_offers, e) &&
		wasi_register(&d->wasi, &d->registry, e) && seam_link_new(&d->registry, d->comp, &d->link, e) && fill_grants(d, e) && open_tls(d, e);
}

bool serve__deployment_load_module(struct serve_deployment *d, const struct serve_service_config *c, const struct serve_process_config *p, struct err *e)
{
	if (!serve__deployment_compile(d, c, p, e))
		return false;
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
	canon_component_free(d->canon);
	symbols_free(d->symbols);
	for (uint32_t i = 0; d->modules && i < d->n_modules; i++)
		vm_module_unref(d->modules[i]);
	tier_file_close(d->cached);
	arena_release(&d->arena);
	if (d->file.len)
		munmap(UNCONST(d->file.ptr), d->file.len);
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
	bool ok = vm_process_init(e) && serve__deployment_compile(&d, &c->service, &c->process, e);
	if (ok)
		serve__log(&c->process, SERVE_LOG_INFO, "%llu bytes of code compiled to %llu in %.1f ms%s", (unsigned long long)d.tier.code_bytes,
			(unsigned long long)d.tier.native_bytes, (double)d.tier.compile_ns / 1e6, d.tier.from_cache ? " (from the cache)" : "");
	serve__deployment_release(&d);
	return ok;
}
