// Components by their content: a file decoded and compiled, and the images taken of it. All versions of all apps that serve the same bytes have one, for as long
// as any of them is there: a thousand apps of fifty components are fifty of these.
//
// 1. A component is immutable but for its images, which the lock guards, as it does the list and the counts.
// 2. What is the same is told by the cache's key: content, build, processor, features. Where there is no cache every version has its own.
// 3. Nobody waits for another who loads the same: who comes second finds it in the list and lets his own go.
// 4. Who comes with a file that is known (tier_bytes_know) and whose content somebody has doesn't read it.
#include "component.h"
#include "sys/sys.h"

static struct sys_mutex lock = SYS_MUTEX;
static struct serve_component *list;

// ---- the file ------------------------------------------------------------------------------------------------------------------------

bool serve_check_sha256(const char *path, struct slice file, const char *pinned, struct err *e)
{
	char text[65];
	tier_sha256(file, text);
	if (strcasecmp(text, pinned) == 0)
		return true;
	err_set(e, ERR_INVALID, "'%s' is not the component that was pinned: its sha256 is %s", path, text);
	return err_hint(e, "the one that was pinned is %s", pinned);
}

// What a manifest pins.
static bool check_hash(const struct serve_service_config *c, struct slice file, struct err *e)
{
	return !c->sha256 || serve_check_sha256(c->path, file, c->sha256, e);
}

// ---- decoding and compiling ----------------------------------------------------------------------------------------------------------

// A core module alone is compiled as a component's would be.
static bool decode(struct serve_component *k, uint32_t features, const struct wasm_module *const **ret_modules, struct err *e)
{
	if (wasm_is_module(k->file) && !comp_module_has_world(k->file)) {
		struct wasm_module *m;
		const struct wasm_module **modules = ARENA_ARRAY(&k->arena, const struct wasm_module *, 1);
		if (!modules)
			return err_nomem(e);
		if (!wasm_decode(&k->arena, k->file, features, 0, &m, e))
			return false;
		modules[0] = m;
		k->n_modules = 1;
		*ret_modules = modules;
		return true;
	}
	struct comp_options options = COMP_OPTIONS_DEFAULT;
	options.core_features = features;
	if (!comp_decode(&k->arena, k->file, &options, &k->comp, e))
		return false;
	k->n_modules = k->comp->nmodules;
	const struct wasm_module **modules = ARENA_ARRAY(&k->arena, const struct wasm_module *, k->n_modules);
	if (!modules)
		return err_nomem(e);
	for (uint32_t i = 0; i < k->n_modules; i++)
		modules[i] = k->comp->modules[i].wasm;
	*ret_modules = modules;
	return true;
}

static bool decode_modules(struct serve_component *k, uint32_t features, const struct wasm_module *const **ret, struct err *e)
{
	if (!decode(k, features, ret, e))
		return false;
	k->modules = ARENA_ARRAY(&k->arena, struct vm_module *, k->n_modules + 1);
	return k->modules || err_nomem(e);
}

// What was decoded and compiled before is only looked at as far as it is needed to run.
static bool load_known(struct serve_component *k, struct tier_file *cached, uint32_t features, const struct wasm_module *const **ret)
{
	if (tier_file_has_code(cached) && decode_modules(k, features | WASM_DECODE_KNOWN, ret, NULL) &&
		tier_file_load(cached, *ret, k->n_modules, k->modules, &k->tier))
		return true;
	arena_clear(&k->arena);
	k->comp = NULL;
	k->modules = NULL;
	return false;
}

static bool compile(struct serve_component *k, struct tier_file *cached, const struct wasm_module *const *modules, struct err *e)
{
	return tier_file_compile(cached, modules, k->n_modules, k->modules, &k->tier, e);
}

// What was done while the file was hashed: decoded, and compiled, unless it turned out that this is known.
struct early {
	const struct wasm_module *const *modules;  // NULL: nothing was
	bool is_compiled;
};

static bool load_early(struct serve_component *k, struct tier_file *cached, uint32_t features, struct early *ret, struct err *e)
{
	struct err why;
	err_clear(&why);
	ret->is_compiled = decode_modules(k, features, &ret->modules, &why) && compile(k, cached, ret->modules, &why);
	if (why.code == ERR_NONE)
		return true;
	if (e)
		*e = why;
	return false;
}

static bool load_modules(struct serve_component *k, struct tier_file *cached, uint32_t features, struct early *was, struct err *e)
{
	if (was->is_compiled)
		return true;
	if (was->modules ? tier_file_load(cached, was->modules, k->n_modules, k->modules, &k->tier) : load_known(k, cached, features, &was->modules))
		return true;
	return (was->modules || decode_modules(k, features, &was->modules, e)) && compile(k, cached, was->modules, e);
}

static bool load(struct serve_component *k, struct tier_file *cached, uint32_t features, struct early *was, struct err *e)
{
	if (!load_modules(k, cached, features, was, e))
		return false;
	serve__source_keep(k->source, was->modules, k->n_modules);
	tier_file_write(cached);
	return !k->comp || k->comp->plan.unlinkable || canon_component_new(k->comp, k->modules, &k->canon, e);
}

static void component_free(struct serve_component *k)
{
	for (unsigned i = 0; i < ARRAY_LEN(k->images); i++)
		vm_image_unref(k->images[i].vm);
	canon_component_free(k->canon);
	for (uint32_t i = 0; k->modules && i < k->n_modules; i++)
		vm_module_unref(k->modules[i]);
	arena_release(&k->arena);
	serve__source_unref(k->source);
	mem_free(k);
}

// Takes the source over, also when it fails.
static struct serve_component *component_new(struct serve_source *source, struct err *e)
{
	struct serve_component *k = mem_zalloc(sizeof *k);
	if (!k) {
		err_nomem(e);
		return NULL;
	}
	k->refs = 1;
	k->source = source;
	k->file = serve__source_bytes(source);
	arena_init(&k->arena, 0);
	return k;
}

// ---- the list ------------------------------------------------------------------------------------------------------------------------

// Under the lock, as find.
static void leave_list(struct serve_component *k)
{
	struct serve_component **at = &list;
	if (!k->in_list)
		return;
	while (*at != k)
		at = &(*at)->next;
	*at = k->next;
	k->in_list = false;
}

static struct serve_component *find(const uint8_t key[TIER_KEY_SIZE])
{
	struct serve_component *k = list;
	while (k && memcmp(k->key, key, TIER_KEY_SIZE) != 0)
		k = k->next;
	return k;
}

// Counted for the caller.
static struct serve_component *find_loaded(const uint8_t key[TIER_KEY_SIZE])
{
	sys_mutex_lock(&lock);
	struct serve_component *k = find(key);
	if (k)
		k->refs++;
	sys_mutex_unlock(&lock);
	return k;
}

// Returns it, or the one that another thread has put there meanwhile, counted for the caller.
static struct serve_component *put(struct serve_component *k, const uint8_t key[TIER_KEY_SIZE])
{
	sys_mutex_lock(&lock);
	struct serve_component *there = find(key);
	if (there) {
		there->refs++;
	} else {
		memcpy(k->key, key, TIER_KEY_SIZE);
		k->in_list = true;
		k->next = list;
		list = k;
	}
	sys_mutex_unlock(&lock);
	return there ? there : k;
}

static bool is_wanted(void *arg)
{
	struct serve_component *k = arg;
	sys_mutex_lock(&lock);
	bool yes = k->refs > 1;
	sys_mutex_unlock(&lock);
	return yes;
}

bool serve__component_compiles(const struct serve_component *k)
{
	return __atomic_load_n(&k->compiles, __ATOMIC_ACQUIRE);
}

static void release(void *arg)
{
	struct serve_component *k = arg;
	__atomic_store_n(&k->compiles, false, __ATOMIC_RELEASE);
	serve__source_rests(k->source);
	serve__component_unref(k);
}

// What was not called when it was loaded is compiled behind, and holds the component until then.
static void compile_rest(struct serve_component *k, struct tier_file *cached)
{
	__atomic_store_n(&k->compiles, true, __ATOMIC_RELEASE);
	struct tier_owner owner = {.arg = k, .is_wanted = is_wanted, .release = release};
	sys_mutex_lock(&lock);
	k->refs++;
	sys_mutex_unlock(&lock);
	tier_file_compile_rest(cached, k->modules, &owner);
}

// By the thread that hashes.
static bool is_loaded(const uint8_t *key)
{
	sys_mutex_lock(&lock);
	bool is = find(key);
	sys_mutex_unlock(&lock);
	return is;
}

// A large file is decoded and compiled while it is hashed, until somebody turns out to have it.
static struct serve_component *load_shared(struct serve_source *source, struct tier_file *cached, uint32_t features, struct err *e)
{
	uint8_t key[TIER_KEY_SIZE];
	struct early early = {0};
	struct serve_component *new = component_new(source, e);
	if (!new) {
		(void)tier_file_key(cached, key);  // until then somebody reads the source's bytes
		serve__source_unref(source);
		return NULL;
	}
	bool ok = !tier_file_hashes(cached) || load_early(new, cached, features, &early, e);
	bool has_key = tier_file_key(cached, key);  // in any case: until then somebody reads the source's bytes
	if (has_key)
		serve__source_hashes_to(source, tier_file_content(cached));
	struct serve_component *there = ok && has_key ? find_loaded(key) : NULL;
	if (there)
		serve__source_note(source);
	if (!there && ok && load(new, cached, features, &early, e))
		there = has_key ? put(new, key) : new;
	if (there == new) {
		compile_rest(new, cached);
	} else {
		tier_file_forget_compiled(cached);  // a thread may be at functions of its modules still
		component_free(new);
	}
	return there;
}

static bool options_of(const struct serve_service_config *c, const struct serve_source *source, struct tier_options *ret)
{
	*ret = (struct tier_options){.no_cache = c->no_cache,
		.poison_upper = c->poison_upper,
		.lazy_from = c->compiles_all ? 0 : TIER_LAZY_FROM,
		.features = serve_features(c),
		.content = serve__source_content(source),
		.is_loaded = is_loaded};
	return ret->content;
}

// Somebody has what the file held when it had what it is known by: it isn't read. Counted for the caller.
static struct serve_component *find_unread(const struct serve_service_config *c, const struct serve_source *source, struct tier_file **ret_cached)
{
	struct tier_options options;
	uint8_t key[TIER_KEY_SIZE];
	struct tier_file *cached;
	if (c->sha256 || !options_of(c, source, &options) || !tier_file_open(SLICE_LIT(""), &options, &cached, NULL))
		return NULL;
	struct serve_component *k = tier_file_key(cached, key) ? find_loaded(key) : NULL;
	if (k)
		*ret_cached = cached;
	else
		tier_file_close(cached);
	return k;
}

// Takes the source over.
static struct serve_component *read_and_load(const struct serve_service_config *c, struct serve_source *source, struct tier_file **ret_cached, struct err *e)
{
	struct tier_options options;
	if (serve__source_read(source, e)) {
		struct slice file = serve__source_bytes(source);
		options_of(c, source, &options);
		if (check_hash(c, file, e) && tier_file_open(file, &options, ret_cached, e))
			return load_shared(source, *ret_cached, options.features, e);
	}
	serve__source_unref(source);
	return NULL;
}

bool serve__component_load(const struct serve_service_config *c, struct tier_file **ret_cached, struct serve_component **ret, struct err *e)
{
	struct serve_source *source;
	if (!serve__source_open(c, &source, e))
		return false;
	*ret = find_unread(c, source, ret_cached);
	if (*ret)
		serve__source_unref(source);
	else
		*ret = read_and_load(c, source, ret_cached, e);
	return *ret || err_note(e, "'%s'", c->path);
}

void serve__component_unref(struct serve_component *k)
{
	if (!k)
		return;
	sys_mutex_lock(&lock);
	bool last = --k->refs == 0;
	if (last)
		leave_list(k);
	sys_mutex_unlock(&lock);
	if (last)
		component_free(k);
}

// ---- images --------------------------------------------------------------------------------------------------------------------------

static bool is_of(const struct serve_component_image *i, struct slice variant, bool sealed)
{
	return i->vm && (i->sealed || !sealed) && slice_eq(slice_of(i->variant, i->variant_size), variant);
}

bool serve__component_image(struct serve_component *k, struct slice variant, bool sealed, struct serve_component_image *ret)
{
	bool found = false;
	sys_mutex_lock(&lock);
	for (unsigned i = 0; i < ARRAY_LEN(k->images) && !found; i++)
		if ((found = is_of(&k->images[i], variant, sealed))) {
			*ret = k->images[i];
			vm_image_ref(ret->vm);
		}
	sys_mutex_unlock(&lock);
	return found;
}

void serve__component_keep_image(struct serve_component *k, struct slice variant, bool sealed, struct vm_image *vm, struct slice extra)
{
	struct serve_component_image kept = {.vm = vm, .sealed = sealed};
	if (variant.len > sizeof kept.variant || extra.len > sizeof kept.extra)
		return;
	memcpy(kept.variant, variant.ptr, kept.variant_size = variant.len);
	memcpy(kept.extra, extra.ptr, kept.extra_size = extra.len);
	vm_image_ref(vm);
	sys_mutex_lock(&lock);
	struct serve_component_image *at = &k->images[k->n_images++ % ARRAY_LEN(k->images)];
	struct vm_image *before = at->vm;
	*at = kept;
	sys_mutex_unlock(&lock);
	vm_image_unref(before);
}
