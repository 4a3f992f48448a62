// tenon check: what was found out, for people and for programs.
#include "check.h"

static const char *const rules[] = {"", "ns:pkg", "ns:pkg/iface", "ns:pkg/iface@version", "label"};
static const char *const link_types[] = {"memory", "file", "redis", "nats", "http", "component"};

static void put_plain(struct buf *b, const char *text)
{
	buf_put_printable(b, slice_str(text), "");
}

// Where a link leads: never a secret, never a password.
static void put_target(struct buf *b, const struct app_link *k)
{
	struct buf shown = {0};
	app_put_text(&shown, k->url.raw ? &k->url : k->path.raw ? &k->path
			: k->component.raw                              ? &k->component
			: k->hosts.n                                    ? &k->hosts.list[0]
															: NULL);
	buf_put_printable(b, buf_view(&shown), "");
	buf_release(&shown);
}

static void put_answer(struct buf *b, const struct app_route *r)
{
	if (r->component.text)
		buf_printf(b, "component %s", r->component.text);
	else if (r->fixed.item.is_given)
		buf_printf(b, "static %u", (unsigned)r->fixed.status.value);
	else
		buf_printf(b, "redirect %u ", (unsigned)r->redirect.status.value);
	if (r->redirect.item.is_given)
		put_plain(b, r->redirect.to.text);
}

// ---- for people --------------------------------------------------------------------------------------------------------------------------------

static void text_triggers(struct buf *b, const struct app *app)
{
	const struct app_triggers *t = &app->triggers;
	for (uint32_t i = 0; i < t->http.n; i++) {
		const struct app_route *r = &t->http.list[i];
		buf_printf(b, "  http     %-12s ", r->item.name);
		for (uint32_t k = 0; k < r->methods.n; k++)
			buf_printf(b, "%s%s%s", k ? "," : "", r->methods.list[k].text, k + 1 == r->methods.n ? " " : "");
		buf_put_str(b, r->host.text ? r->host.text : "");
		put_plain(b, r->is_private.value ? "(private)" : r->route.raw);
		buf_put_str(b, " -> ");
		put_answer(b, r);
		buf_put_byte(b, '\n');
	}
	for (uint32_t i = 0; i < t->cron.n; i++)
		buf_printf(b, "  cron     %-12s %s (%s) -> component %s\n", t->cron.list[i].item.name, t->cron.list[i].schedule.text, t->cron.list[i].timezone.text,
			t->cron.list[i].component.text);
	for (uint32_t i = 0; i < t->start.n; i++)
		buf_printf(b, "  start    %-12s -> component %s\n", t->start.list[i].item.name, t->start.list[i].component.text);
	for (uint32_t i = 0; i < t->command.n; i++)
		buf_printf(b, "  command  %-12s -> component %s\n", t->command.list[i].item.name, t->command.list[i].component.text);
}

static void text_links(struct buf *b, const struct app *app)
{
	for (uint32_t i = 0; i < app->links.n; i++) {
		const struct app_link *k = &app->links.list[i];
		buf_printf(b, "  link     %-12s %s ", k->item.name, link_types[k->type.value]);
		put_target(b, k);
		buf_put_byte(b, '\n');
	}
}

static void text_imports(struct buf *b, const struct app *app, const struct check_component *c)
{
	for (uint32_t i = 0; i < c->imports.len; i++) {
		const struct check_import *x = &c->imports.ptr[i];
		if (x->how == CHECK_TYPES)
			continue;
		buf_put_str(b, "    ");
		buf_put_printable(b, x->name, "");
		if (x->how == CHECK_LINK)
			buf_printf(b, ": link %s, by %s\n", app->links.list[x->binding.link].item.name, rules[x->binding.rule]);
		else if (x->how == CHECK_HOST)
			buf_printf(b, ": %s, as %s\n", x->provider, x->interface);
		else if (x->how == CHECK_CONFIG)
			buf_put_str(b, ": config\n");
		else
			buf_put_str(b, x->how == CHECK_DENIAL ? ": not granted, answers access-denied\n" : ": nothing\n");
	}
	for (uint32_t i = 0; i < c->denied.len; i++) {
		buf_put_str(b, "    ");
		buf_put_printable(b, c->denied.ptr[i].interface, "");
		buf_printf(b, " is given nothing; %s would\n", c->denied.ptr[i].line);
	}
}

void check_put_text(struct buf *b, const struct app *app, const struct check_component *list)
{
	buf_printf(b, "app %s%s", app->about.name.text, app->about.version.text ? " " : "");
	put_plain(b, app->about.version.text ? app->about.version.text : "");
	buf_printf(b, ", by %s%s%s\n", app->path, app->profile ? ", profile " : "", app->profile ? app->profile : "");
	text_triggers(b, app);
	text_links(b, app);
	for (uint32_t i = 0; i < app->components.n; i++) {
		buf_printf(b, "  component %s: ", app->components.list[i].item.name);
		put_plain(b, app->components.list[i].path);
		buf_put_str(b, list[i].is_module ? ", a preview 1 module\n" : !list[i].is_read ? ", can't be read\n"
				: list[i].imports.len                                                  ? "\n"
																					   : ", imports nothing\n");
		text_imports(b, app, &list[i]);
	}
	for (uint32_t i = 0; i < app->notes.n; i++) {
		buf_put_str(b, "note: ");
		put_plain(b, app->notes.list[i].text);
		buf_printf(b, " (%s:%u:%u)\n", app->path, app->notes.list[i].at.line, app->notes.list[i].at.col);
	}
}

// ---- for programs ------------------------------------------------------------------------------------------------------------------------------

static void put_field(struct buf *b, const char *key, const char *value)
{
	buf_printf(b, "%s:", key);
	if (value)
		buf_put_json_string(b, slice_str(value));
	else
		buf_put_str(b, "null");
}

static void json_routes(struct buf *b, const struct app *app)
{
	buf_put_str(b, ",\"routes\":[");
	for (uint32_t i = 0; i < app->triggers.http.n; i++) {
		const struct app_route *r = &app->triggers.http.list[i];
		put_field(b, i ? ",{\"id\"" : "{\"id\"", r->item.name);
		put_field(b, ",\"route\"", r->route.raw);
		put_field(b, ",\"host\"", r->host.text);
		buf_put_str(b, ",\"methods\":[");
		for (uint32_t k = 0; k < r->methods.n; k++)
			buf_put_str(b, k ? "," : ""), buf_put_json_string(b, slice_str(r->methods.list[k].text));
		buf_put_str(b, "]");
		put_field(b, ",\"component\"", r->component.text);
		buf_printf(b, ",\"private\":%s}", r->is_private.value ? "true" : "false");
	}
	buf_put_byte(b, ']');
}

static void json_triggers(struct buf *b, const struct app *app)
{
	const struct app_triggers *t = &app->triggers;
	buf_put_str(b, ",\"triggers\":[");
	for (uint32_t i = 0; i < t->cron.n; i++) {
		put_field(b, i ? ",{\"kind\":\"cron\",\"id\"" : "{\"kind\":\"cron\",\"id\"", t->cron.list[i].item.name);
		put_field(b, ",\"schedule\"", t->cron.list[i].schedule.text);
		put_field(b, ",\"component\"", t->cron.list[i].component.text);
		buf_put_byte(b, '}');
	}
	for (uint32_t i = 0; i < t->start.n; i++) {
		put_field(b, t->cron.n + i ? ",{\"kind\":\"start\",\"id\"" : "{\"kind\":\"start\",\"id\"", t->start.list[i].item.name);
		put_field(b, ",\"component\"", t->start.list[i].component.text);
		buf_put_byte(b, '}');
	}
	for (uint32_t i = 0; i < t->command.n; i++) {
		put_field(b, t->cron.n + t->start.n + i ? ",{\"kind\":\"command\",\"id\"" : "{\"kind\":\"command\",\"id\"", t->command.list[i].item.name);
		put_field(b, ",\"component\"", t->command.list[i].component.text);
		buf_put_byte(b, '}');
	}
	buf_put_byte(b, ']');
}

static void json_links(struct buf *b, const struct app *app)
{
	buf_put_str(b, ",\"links\":[");
	for (uint32_t i = 0; i < app->links.n; i++) {
		const struct app_link *k = &app->links.list[i];
		struct buf target = {0};
		put_target(&target, k);
		put_field(b, i ? ",{\"name\"" : "{\"name\"", k->item.name);
		put_field(b, ",\"type\"", link_types[k->type.value]);
		buf_put_str(b, ",\"target\":");
		buf_put_json_string(b, buf_view(&target));
		buf_put_byte(b, '}');
		buf_release(&target);
	}
	buf_put_byte(b, ']');
}

static void json_imports(struct buf *b, const struct app *app, const struct check_component *c)
{
	static const char *const how[] = {"link", "host", "config", "denial", "nothing", "types"};
	buf_put_str(b, ",\"imports\":[");
	for (uint32_t i = 0; i < c->imports.len; i++) {
		const struct check_import *x = &c->imports.ptr[i];
		buf_put_str(b, i ? ",{\"name\":" : "{\"name\":");
		buf_put_json_string(b, x->name);
		put_field(b, ",\"bound\"", how[x->how]);
		put_field(b, ",\"link\"", x->how == CHECK_LINK ? app->links.list[x->binding.link].item.name : NULL);
		put_field(b, ",\"rule\"", x->how == CHECK_LINK ? rules[x->binding.rule] : NULL);
		put_field(b, ",\"as\"", x->how == CHECK_HOST ? x->interface : NULL);
		buf_put_byte(b, '}');
	}
	buf_put_str(b, "],\"denied\":[");
	for (uint32_t i = 0; i < c->denied.len; i++) {
		buf_put_str(b, i ? ",{\"interface\":" : "{\"interface\":");
		buf_put_json_string(b, c->denied.ptr[i].interface);
		put_field(b, ",\"line\"", c->denied.ptr[i].line);
		buf_put_byte(b, '}');
	}
	buf_put_byte(b, ']');
}

void check_put_json(struct buf *b, const struct app *app, const struct check_component *list)
{
	put_field(b, "{\"format\":\"tenon.check/1\",\"app\"", app->about.name.text);
	put_field(b, ",\"version\"", app->about.version.text);
	put_field(b, ",\"manifest\"", app->path);
	put_field(b, ",\"profile\"", app->profile);
	json_routes(b, app);
	json_triggers(b, app);
	json_links(b, app);
	buf_put_str(b, ",\"components\":[");
	for (uint32_t i = 0; i < app->components.n; i++) {
		put_field(b, i ? ",{\"name\"" : "{\"name\"", app->components.list[i].item.name);
		put_field(b, ",\"path\"", app->components.list[i].path);
		put_field(b, ",\"error\"", list[i].why_not.code != ERR_NONE ? list[i].why_not.text : NULL);
		json_imports(b, app, &list[i]);
		buf_put_byte(b, '}');
	}
	buf_put_str(b, "],\"notes\":[");
	for (uint32_t i = 0; i < app->notes.n; i++) {
		put_field(b, i ? ",{\"text\"" : "{\"text\"", app->notes.list[i].text);
		buf_printf(b, ",\"line\":%u,\"column\":%u}", app->notes.list[i].at.line, app->notes.list[i].at.col);
	}
	buf_put_str(b, "]}\n");
}
