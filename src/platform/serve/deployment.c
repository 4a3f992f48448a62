// A component file and what it is given, made ready: decoded, validated, compiled, linked. Once a load.
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "serve_int.h"

// The descriptor stays open: the file is known by it.
static bool map_file(const char *path, struct slice *ret, int *ret_fd, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set_errno(e, errno, "cannot open '%s'", path);
	struct stat st;
	void *p = MAP_FAILED;
	bool ok = fstat(fd, &st) == 0;
	if (ok && st.st_size)
		p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (!ok || (st.st_size && p == MAP_FAILED)) {
		err_set_errno(e, errno, "cannot read '%s'", path);
		close(fd);
		return false;
	}
	*ret = st.st_size ? slice_of(p, (size_t)st.st_size) : slice_of("", 0);
	*ret_fd = fd;
	return true;
}

// A core module alone is compiled as a component's would be; only `compile` gets here with one.
// `how`: 0 or WASM_DECODE_KNOWN.
static bool decode(struct serve_deployment *d, uint32_t how, const struct wasm_module *const **ret_modules, struct err *e)
{
	if (wasm_is_module(d->file)) {
		struct wasm_module *m;
		const struct wasm_module **list = ARENA_ARRAY(&d->arena, const struct wasm_module *, 1);
		if (!list)
			return err_nomem(e);
		if (!wasm_decode(&d->arena, d->file, WASM_FEATURES_DEFAULT | how, 0, &m, e))
			return false;
		list[0] = m;
		d->n_modules = 1;
		*ret_modules = list;
		return true;
	}
	struct comp_options options = COMP_OPTIONS_DEFAULT;
	options.core_features |= how;
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

bool serve__deployment_compile(struct serve_deployment *d, const struct serve_service_config *c, const struct serve_process_config *p, struct err *e)
{
	*d = (struct serve_deployment){.config = c, .process = p};
	arena_init(&d->arena, 0);
	const struct wasm_module *const *modules;
	int fd;
	if (!map_file(c->path, &d->file, &fd, e))
		return false;
	struct tier_options options = {.no_cache = c->no_cache, .poison_upper = c->poison_upper};
	bool ok = tier_file_open(d->file, fd, &options, &d->cached, e);
	close(fd);
	if (!ok)
		return false;
	if (tier_file_cache_error(d->cached)->code != ERR_NONE)
		serve__log(p, SERVE_LOG_WARN, "%s", tier_file_cache_error(d->cached)->text);
	if (load_known(d))
		return true;
	if (!decode_modules(d, 0, &modules, e) || !tier_file_compile(d->cached, modules, d->n_modules, d->modules, &d->tier, e))
		return err_note(e, "'%s'", c->path);
	return true;
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

static bool fill_grants(struct serve_deployment *d, struct err *e)
{
	const struct serve_service_config *c = d->config;
	struct seam_grants *g = &d->grants;
	if (!pairs(&d->arena, c->env.ptr, c->env.len, &g->env) || !strings(&d->arena, c->args.ptr, c->args.len, &g->args))
		return err_nomem(e);
	g->n_env = c->env.len;
	g->n_args = c->args.len;
	g->log_denial = serve__log_denial;
	g->log_ctx = UNCONST(d->process);
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
	d->log = (struct wasi_log){.line = serve__log_guest, .ctx = UNCONST(d->process), .max_bytes = l->log_bytes};
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
	return canon_component_new(d->comp, d->modules, &d->canon, e) && wasi_register(&d->wasi, &d->registry, e) &&
		seam_link_new(&d->registry, d->comp, &d->link, e) && fill_grants(d, e);
}

void serve__deployment_release(struct serve_deployment *d)
{
	seam_link_free(d->link);
	seam_registry_release(&d->registry);
	if (d->wasi.seam.ops)
		seam_provider_unref(&d->wasi.seam, SEAM_HELD_BY_MAKER);
	canon_component_free(d->canon);
	for (uint32_t i = 0; d->modules && i < d->n_modules; i++)
		vm_module_unref(d->modules[i]);
	tier_file_close(d->cached);
	arena_release(&d->arena);
	if (d->file.len)
		munmap(UNCONST(d->file.ptr), d->file.len);
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
