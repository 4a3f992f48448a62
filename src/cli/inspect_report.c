// tenon inspect: what was found out, for people (comments above the WIT, so that all of it is WIT) and for programs (docs/formats.md).
#include "inspect.h"

// ---- for people ----------------------------------------------------------------------------------------------------------------------

static void put_size(struct buf *b, uint64_t bytes)
{
	if (bytes < 1024)
		buf_printf(b, "%llu bytes", (unsigned long long)bytes);
	else if (bytes < MIB)
		buf_printf(b, "%.1f KiB", (double)bytes / 1024);
	else
		buf_printf(b, "%.1f MiB", (double)bytes / (double)MIB);
}

// What a file says, on one line and in letters that mislead nobody.
static void put_plain(struct buf *b, struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		buf_printf(b, s.ptr[i] >= 0x20 && s.ptr[i] < 0x7f ? "%c" : "\\x%02x", s.ptr[i]);
}

static void put_plain_text(struct buf *b, const char *text)
{
	put_plain(b, slice_str(text));
}

static void put_sizes(struct buf *b, const char *mark, const struct inspect *x)
{
	for (uint32_t i = 0; i < x->sections.len; i++) {
		buf_printf(b, i ? ", " : "%s sizes: ", mark);
		put_plain(b, x->sections.ptr[i].name);
		buf_put_byte(b, ' ');
		put_size(b, x->sections.ptr[i].bytes);
	}
	buf_put_str(b, x->sections.len ? "\n" : "");
}

static void put_makers(struct buf *b, const char *mark, const struct inspect *x)
{
	for (uint32_t i = 0; i < x->languages.len; i++) {
		buf_printf(b, i ? ", " : "%s languages: ", mark);
		put_plain(b, x->languages.ptr[i]);
	}
	buf_put_str(b, x->languages.len ? "\n" : "");
	for (uint32_t i = 0; i < x->producers.len; i++) {
		const struct inspect_producer *p = &x->producers.ptr[i];
		buf_printf(b, i ? ", " : "%s producers: ", mark);
		put_plain(b, p->name);
		buf_put_str(b, p->version.len ? " " : "");
		put_plain(b, p->version);
	}
	buf_put_str(b, x->producers.len ? "\n" : "");
}

static void put_can_run(struct buf *b, const char *mark, const struct inspect *x)
{
	if (!x->can_run) {
		buf_printf(b, "%s can't be run here: ", mark);
		put_plain_text(b, x->why_not.text);
		if (x->why_not.offset != ERR_NO_OFFSET)
			buf_printf(b, " (at byte 0x%llx)", (unsigned long long)x->why_not.offset);
		buf_put_byte(b, '\n');
	} else if (x->comp) {
		const struct serve_image_facts *i = &x->image;
		buf_printf(b, "%s image: ", mark);
		put_size(b, i->bytes);
		if (i->warmed)
			buf_printf(b, ", after %u request%s: every instance has what the component drew, read and kept until then (seeds of its hashes, caches, secrets)\n", i->warmed,
				i->warmed == 1 ? "" : "s");
		else if (i->once)
			buf_put_str(b, ", of the whole instantiation: every instance has what the component drew and read meanwhile (seeds of its hashes, secrets)\n");
		else if (i->after < i->of)
			buf_printf(b, ", taken after step %u of %u of instantiation: %s\n", i->after, i->of, i->why);
		else
			buf_put_str(b, ", of the whole instantiation\n");
	}
}

static void put_needs(struct buf *b, const struct comp_component *c)
{
	for (uint32_t i = 0; i < c->nneeds; i++) {
		buf_printf(b, i ? ", " : "// features: ");
		buf_printf(b, "%s (%s, at byte 0x%llx)", comp_feature_name(c->needs[i].feature), c->needs[i].what, (unsigned long long)c->needs[i].offset);
	}
	buf_put_str(b, c->nneeds ? "\n" : "");
}

static void put_served(struct buf *b, const struct inspect *x)
{
	uint32_t n_core = x->comp->plan.ncore_funcs;
	buf_put_str(b, x->comp->nimports || n_core ? "// imports, and what serves them:\n" : "");
	if (n_core)
		buf_printf(b, "//   wasi_snapshot_preview1, %u core function%s: wasi\n", n_core, n_core == 1 ? "" : "s");
	for (uint32_t i = 0; i < x->comp->nimports; i++) {
		const struct serve_served_by *s = &x->served[i];
		buf_put_str(b, "//   ");
		put_plain(b, x->comp->imports[i].name);
		if (s->provider)
			buf_printf(b, ": %s, as %s\n", s->provider, s->interface);
		else
			buf_put_str(b, x->comp->imports[i].kind == COMP_EXTERN_TYPE ? ": a type\n" : ": nothing\n");
	}
	buf_put_str(b, x->grants.len ? "// grants that it asks for:\n" : "");
	for (uint32_t i = 0; i < x->grants.len; i++) {
		const struct inspect_grant *g = &x->grants.ptr[i];
		buf_printf(b, "//   --%s %s%s, by ", g->flag, g->argument, g->is_accepted ? "" : " (not accepted yet)");
		put_plain(b, g->interface);
		buf_put_byte(b, '\n');
	}
}

// How a function that is exported is called.
static const char *call_kind(const struct inspect *x, const struct comp_export_func *f)
{
	const struct comp_plan *plan = &x->comp->plan;
	if (f->func.kind != COMP_FUNC_LIFT)
		return "of an import";
	const struct comp_lift *l = &plan->lifts[f->func.index];
	return l->options.is_async ? (l->options.callback.kind == COMP_CORE_NONE ? "async stackful" : "async callback") : "sync";
}

// So many from the first on are of one interface.
static uint32_t same_interface(const struct comp_plan *plan, uint32_t first)
{
	uint32_t n = 1;
	while (first + n < plan->nexport_funcs && slice_eq(plan->export_funcs[first + n].interface, plan->export_funcs[first].interface))
		n++;
	return n;
}

static bool same_kind(const struct inspect *x, const struct comp_export_func *list, uint32_t n)
{
	bool same = list[0].interface.len;
	for (uint32_t i = 1; i < n; i++)
		same &= strcmp(call_kind(x, &list[0]), call_kind(x, &list[i])) == 0;
	return same;
}

// An interface whose functions are of one kind is a line, else each function.
static void put_exports(struct buf *b, const struct inspect *x)
{
	const struct comp_plan *plan = &x->comp->plan;
	buf_put_str(b, plan->nexport_funcs ? "// exports, and how they are called:\n" : "");
	for (uint32_t i = 0, n; i < plan->nexport_funcs; i += n) {
		const struct comp_export_func *list = &plan->export_funcs[i];
		n = same_interface(plan, i);
		bool same = same_kind(x, list, n);
		for (uint32_t k = 0; k < (same ? 1 : n); k++) {
			buf_put_str(b, "//   ");
			put_plain(b, list[k].interface);
			buf_put_str(b, !same && list[k].interface.len ? " " : "");
			put_plain(b, same ? slice_of("", 0) : list[k].name);
			buf_printf(b, ": %s\n", call_kind(x, &list[k]));
		}
	}
}

void inspect_put_comments(struct buf *b, const struct inspect *x)
{
	const char *mark = x->comp ? "//" : ";;";
	buf_printf(b, "%s %s, ", mark, !x->comp ? "core module" : x->comp->is_module ? "core module with a world, served as a component"
																				 : "component");
	put_size(b, x->bytes.len);
	if (x->comp)
		buf_printf(b, ", core modules: %u", x->n_modules);
	buf_put_byte(b, '\n');
	put_makers(b, mark, x);
	put_sizes(b, mark, x);
	if (x->comp)
		put_needs(b, x->comp);
	put_can_run(b, mark, x);
	if (x->comp)
		put_served(b, x);
	if (x->comp)
		put_exports(b, x);
	buf_put_byte(b, '\n');
}

// ---- for programs --------------------------------------------------------------------------------------------------------------------

static void put_key_text(struct buf *b, const char *key, struct slice value)
{
	buf_printf(b, "%s:", key);
	buf_put_json_string(b, value);
}

static void json_sections(struct buf *b, const struct inspect *x)
{
	buf_put_str(b, ",\"sections\":[");
	for (uint32_t i = 0; i < x->sections.len; i++) {
		const struct inspect_section *s = &x->sections.ptr[i];
		put_key_text(b, i ? ",{\"name\"" : "{\"name\"", s->name);
		buf_printf(b, ",\"count\":%u,\"bytes\":%llu}", s->n, (unsigned long long)s->bytes);
	}
	buf_put_byte(b, ']');
}

static void json_makers(struct buf *b, const struct inspect *x)
{
	buf_put_str(b, ",\"producers\":[");
	for (uint32_t i = 0; i < x->producers.len; i++) {
		const struct inspect_producer *p = &x->producers.ptr[i];
		put_key_text(b, i ? ",{\"field\"" : "{\"field\"", p->field);
		put_key_text(b, ",\"name\"", p->name);
		put_key_text(b, ",\"version\"", p->version);
		buf_put_byte(b, '}');
	}
	buf_put_str(b, "],\"languages\":[");
	for (uint32_t i = 0; i < x->languages.len; i++) {
		buf_put_str(b, i ? "," : "");
		buf_put_json_string(b, x->languages.ptr[i]);
	}
	buf_put_byte(b, ']');
}

static void json_can_run(struct buf *b, const struct inspect *x)
{
	buf_printf(b, ",\"can_run\":%s,\"why_not\":", x->can_run ? "true" : "false");
	if (x->can_run) {
		buf_put_str(b, "null");
		return;
	}
	put_key_text(b, "{\"kind\"", slice_str(err_code_name(x->why_not.code)));
	put_key_text(b, ",\"text\"", slice_str(x->why_not.text));
	if (x->why_not.offset == ERR_NO_OFFSET)
		buf_put_str(b, ",\"offset\":null}");
	else
		buf_printf(b, ",\"offset\":%llu}", (unsigned long long)x->why_not.offset);
}

static void json_image(struct buf *b, const struct inspect *x)
{
	buf_put_str(b, ",\"image\":");
	if (!x->can_run) {
		buf_put_str(b, "null");
		return;
	}
	buf_printf(b, "{\"after\":%u,\"of\":%u,\"bytes\":%llu", x->image.after, x->image.of, (unsigned long long)x->image.bytes);
	put_key_text(b, ",\"why\"", slice_str(x->image.why));
	if (x->image.warmed)
		buf_printf(b, ",\"warmed\":%u", x->image.warmed);
	buf_put_byte(b, '}');
}

static const char *kind_name(const struct comp_extern *x)
{
	static const char *const names[] = {"module", "function", "value", "type", "component", "interface"};
	return names[x->kind];
}

static void json_functions(struct buf *b, const struct comp_extern *x)
{
	bool any = false;
	buf_put_str(b, ",\"functions\":[");
	for (uint32_t i = 0; i < (x->kind == COMP_EXTERN_FUNC ? 1 : x->n); i++) {
		const struct comp_extern *f = x->kind == COMP_EXTERN_FUNC ? x : &x->items[i];
		if (f->kind != COMP_EXTERN_FUNC)
			continue;
		buf_put_str(b, any ? "," : "");
		buf_put_json_string(b, f->name);
		any = true;
	}
	buf_put_byte(b, ']');
}

static void json_calls(struct buf *b, const struct inspect *x)
{
	const struct comp_plan *plan = &x->comp->plan;
	buf_put_str(b, ",\"calls\":[");
	for (uint32_t i = 0; i < plan->nexport_funcs; i++) {
		const struct comp_export_func *f = &plan->export_funcs[i];
		put_key_text(b, i ? ",{\"interface\"" : "{\"interface\"", f->interface);
		put_key_text(b, ",\"name\"", f->name);
		buf_printf(b, ",\"kind\":\"%s\"}", call_kind(x, f));
	}
	buf_put_byte(b, ']');
}

static void json_externs(struct buf *b, const char *key, const struct comp_extern *list, uint32_t n, const struct serve_served_by *served)
{
	buf_printf(b, ",\"%s\":[", key);
	for (uint32_t i = 0; i < n; i++) {
		put_key_text(b, i ? ",{\"name\"" : "{\"name\"", list[i].name);
		buf_printf(b, ",\"kind\":\"%s\"", kind_name(&list[i]));
		if (list[i].implements.len)
			put_key_text(b, ",\"implements\"", list[i].implements);
		if (served && served[i].provider)
			buf_printf(b, ",\"served_by\":{\"provider\":\"%s\",\"interface\":\"%s\"}", served[i].provider, served[i].interface);
		else if (served)
			buf_put_str(b, ",\"served_by\":null");
		json_functions(b, &list[i]);
		buf_put_byte(b, '}');
	}
	buf_put_byte(b, ']');
}

static void json_component(struct buf *b, const struct inspect *x)
{
	const struct comp_component *c = x->comp;
	buf_printf(b, ",\"is_module\":%s,\"modules\":%u,\"features\":[", c->is_module ? "true" : "false", x->n_modules);
	for (uint32_t i = 0; i < c->nneeds; i++) {
		buf_printf(b, "%s{\"name\":\"%s\"", i ? "," : "", comp_feature_name(c->needs[i].feature));
		put_key_text(b, ",\"what\"", slice_str(c->needs[i].what));
		buf_printf(b, ",\"offset\":%llu}", (unsigned long long)c->needs[i].offset);
	}
	buf_put_byte(b, ']');
	json_image(b, x);
	json_externs(b, "imports", c->imports, c->nimports, x->served);
	json_externs(b, "exports", c->exports, c->nexports, NULL);
	json_calls(b, x);
	buf_put_str(b, ",\"grants\":[");
	for (uint32_t i = 0; i < x->grants.len; i++) {
		const struct inspect_grant *g = &x->grants.ptr[i];
		buf_printf(b, "%s{\"flag\":\"--%s\",\"argument\":\"%s\",\"accepted\":%s", i ? "," : "", g->flag, g->argument, g->is_accepted ? "true" : "false");
		put_key_text(b, ",\"interface\"", g->interface);
		buf_put_byte(b, '}');
	}
	buf_put_byte(b, ']');
}

static void json_module(struct buf *b, const struct wasm_module *m)
{
	static const char *const kinds[] = {"function", "table", "memory", "global", "tag"};
	buf_put_str(b, ",\"imports\":[");
	for (uint32_t i = 0; i < m->nimports; i++) {
		put_key_text(b, i ? ",{\"module\"" : "{\"module\"", m->imports[i].module);
		put_key_text(b, ",\"name\"", m->imports[i].name);
		buf_printf(b, ",\"kind\":\"%s\"}", kinds[m->imports[i].kind]);
	}
	buf_put_str(b, "],\"exports\":[");
	for (uint32_t i = 0; i < m->nexports; i++) {
		put_key_text(b, i ? ",{\"name\"" : "{\"name\"", m->exports[i].name);
		buf_printf(b, ",\"kind\":\"%s\"}", kinds[m->exports[i].kind]);
	}
	buf_put_byte(b, ']');
}

void inspect_put_json(struct buf *b, const struct inspect *x, struct slice text)
{
	buf_printf(b, "{\"format\":\"tenon.inspect/1\",\"kind\":\"%s\",\"bytes\":%llu", x->comp ? "component" : "module", (unsigned long long)x->bytes.len);
	json_sections(b, x);
	json_makers(b, x);
	json_can_run(b, x);
	if (x->comp)
		json_component(b, x);
	else
		json_module(b, x->module);
	put_key_text(b, x->comp ? ",\"wit\"" : ",\"wat\"", text);
	buf_put_str(b, "}\n");
}
