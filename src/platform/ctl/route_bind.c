// POST /v1/apps/{app}/components/{component}/links/{import}: one import is bound to another link, or to something that stands behind it alone (contract, section 3).
// That is a live change of the component's `links`, and of a link of its own where the target is none of the app's: the component is made anew beside what serves.
#include <stdio.h>
#include <stdlib.h>

#include "app/app.h"
#include "ctl_int.h"
#include "link/link.h"

struct bind {
	const char *component, *import, *target;
	bool copy, dry_run;
};

// The link that the import's row names now; NULL: it has no row.
static const char *link_now(const struct app *app, const struct app_component *c, const char *import)
{
	for (uint32_t i = 0; i < c->links.n; i++)
		if (strcmp(c->links.list[i].name, import) == 0)
			return app->links.list[c->link_of[i]].item.name;
	return NULL;
}

// ---- names -------------------------------------------------------------------------------------------------------------------------------------

enum { NAME_MAX_BYTES = 56 };

// "api-wasi-keyvalue": what links of this import's own are called, before a number.
static void name_of(const struct bind *b, char ret[64])
{
	char text[64];
	size_t n = 0;
	snprintf(text, sizeof text, "%.28s:%.28s", b->component, b->import);
	for (const char *c = text; *c && n < NAME_MAX_BYTES; c++) {
		bool is = (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9');
		if (is || (n && ret[n - 1] != '-'))
			ret[n++] = is ? *c : '-';
	}
	while (n && ret[n - 1] == '-')
		n--;
	ret[n] = 0;
}

static bool is_free(const struct app *app, const char *base, char ret[64])
{
	snprintf(ret, 64, "%s", base);
	for (unsigned i = 2; app_link_find(app, ret); i++) {
		if (i == 1000)
			return false;
		snprintf(ret, 64, "%.56s-%u", base, i);
	}
	return true;
}

// "BASE" or "BASE-2": what is_free makes of it.
static bool is_named_so(const char *link, const char *base)
{
	size_t n = strlen(base);
	return strncmp(link, base, n) == 0 && (!link[n] || (link[n] == '-' && link[n + 1] && strspn(link + n + 1, "0123456789") == strlen(link + n + 1)));
}

// A link that was made so, and not by the manifest, whatever that calls its own; and is nobody else's.
static bool is_own(struct ctl_op *op, const char *link, const char *base, bool *ret, struct err *e)
{
	const struct app *app = op->app->model->app;
	struct ctl__change plain;
	unsigned n = 0;
	*ret = false;
	if (!link || !is_named_so(link, base))
		return true;
	for (uint32_t i = 0; i < app->components.n; i++)
		for (uint32_t k = 0; k < app->components.list[i].links.n; k++)
			n += strcmp(app->links.list[app->components.list[i].link_of[k]].item.name, link) == 0;
	if (n != 1)
		return true;
	if (!ctl__change_load(op, slice_of("", 0), &plain, e))
		return false;
	*ret = !app_link_find(plain.model->app, link);
	ctl__change_end(op, &plain);
	return true;
}

// ---- a copy: the store moves, which is a change of its link --------------------------------------------------------------------------------------

static bool copy(struct ctl_op *op, const struct bind *b, const struct link_target *t, const char *link, struct err *e)
{
	const struct app *app = op->app->model->app;
	struct buf sharers = {.max = 600};
	struct slice *others = NULL;
	uint32_t n_others = 0;
	if (!link || t->kind != LINK_TARGET_STORE)
		return err_set(e, ERR_REFUSED, "--copy: there is no store to copy from, or none to copy to");
	if (!ctl__link_sharers(op, link, &others, &n_others, e))
		return false;
	for (uint32_t i = 0; i < app->components.n; i++) {
		const struct app_component *c = &app->components.list[i];
		for (uint32_t k = 0; k < c->links.n; k++)
			if (strcmp(app->links.list[c->link_of[k]].item.name, link) == 0 && (strcmp(c->item.name, b->component) != 0 || strcmp(c->links.list[k].name, b->import) != 0))
				buf_printf(&sharers, "%s%s:%s", sharers.len ? ", " : "", c->item.name, c->links.list[k].name);
	}
	for (uint32_t i = 0; i < n_others; i++)
		buf_printf(&sharers, "%s@%.*s", sharers.len ? ", " : "", SLICE_ARGS(others[i]));
	if (sharers.len) {
		err_set(e, ERR_REFUSED, "--copy: the store of @%s is also that of %.*s", link, SLICE_ARGS(buf_view(&sharers)));
		err_hint(e, "tenon link @%s TARGET --copy moves it for all of them", link);
	}
	bool shared = sharers.len > 0 || sharers.failed;
	buf_release(&sharers);
	return !shared && ctl__link_move(op, link, b->target, b->dry_run, e);
}

// ---- bound ---------------------------------------------------------------------------------------------------------------------------------------

static bool put_link(struct ctl_op *op, const char *name, const struct bind *b, const struct link_target *t, struct buf *text, struct err *e)
{
	if (t->kind == LINK_TARGET_STORE)
		return ctl__link_table(op, name, b->target, text, e);
	buf_printf(text, "[link.%s]\ntype = \"component\"\ncomponent = \"%.*s\"\n", name, SLICE_ARGS(t->name));
	return true;
}

static bool run(struct ctl_op *op, struct err *e)
{
	const struct bind *b = op->args;
	struct link_target t;
	if (!op->app->model)
		return ctl__is_stopped(op, e);
	const struct app *app = op->app->model->app;
	const struct app_component *c = app_component_find(app, b->component);
	if (!c)
		return app_no_component(app, b->component, e);
	if (!link_target_parse(&op->arena, slice_str(b->target), slice_of("", 0), &t, e))
		return false;
	const char *now = link_now(app, c, b->import);
	char base[64], name[64];
	name_of(b, base);
	if (b->copy)
		return copy(op, b, &t, now, e);
	snprintf(name, sizeof name, "%.*s", SLICE_ARGS(slice_sub(t.name, 0, 63)));
	if (t.kind == LINK_TARGET_LINK && !app_link_find(app, name))
		return app_no_link(app, name, e);
	if (t.kind == LINK_TARGET_LINK && now && strcmp(now, name) == 0)
		return err_set(e, ERR_REFUSED, "%s:%s is bound to @%s already", b->component, b->import, name);
	if (t.kind != LINK_TARGET_LINK && !is_free(app, base, name))
		return err_set(e, ERR_LIMIT, "no name is left for a link of %s:%s", b->component, b->import);
	struct buf text = {0};
	struct slice live = ctl_state_live(op->app->state);
	buf_printf(&text, "[component.%s.links]\n", b->component);
	buf_put_json_string(&text, slice_str(b->import));
	buf_printf(&text, " = \"%s\"\n", name);
	bool own = false, ok = t.kind == LINK_TARGET_LINK || put_link(op, name, b, &t, &text, e);
	ok = ok && (!text.failed || err_nomem(e)) && is_own(op, now, base, &own, e) && (!own || app_live_take(&op->arena, live, slice_of("", 0), "link", now, &live, e)) &&
		app_live_add(&op->arena, live, buf_view(&text), &live, e) && ctl__turn(op, &(struct ctl__aim){.live = live, .dry_run = b->dry_run}, e);
	buf_release(&text);
	return ok;
}

// ---- asked for -----------------------------------------------------------------------------------------------------------------------------------

static const char *text_of(struct arena *a, struct slice s)
{
	struct slice text;
	return slice_dup(a, s, &text) ? (const char *)text.ptr : NULL;
}

// Names of components have no character that a text must escape.
static bool is_word(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!((s.ptr[i] >= 'a' && s.ptr[i] <= 'z') || (s.ptr[i] >= '0' && s.ptr[i] <= '9') || s.ptr[i] == '-'))
			return false;
	return s.len > 0;
}

static struct bind *read_ask(struct ctl_request *r, struct ctl_op *op, struct err *e)
{
	struct bind *b = ARENA_NEW(&op->arena, struct bind);
	struct buf what = {0};
	if (!json_text(r->body, "target").len || !is_word(r->params[1])) {
		err_set(e, ERR_USAGE, is_word(r->params[1]) ? "target is @NAME, component:NAME, or a store" : "the app has no such component");
		return NULL;
	}
	if (!b)
		return NULL;
	*b = (struct bind){text_of(&op->arena, r->params[1]), text_of(&op->arena, r->params[2]), text_of(&op->arena, json_text(r->body, "target")), json_is_true(r->body, "copy"),
		json_is_true(r->body, "dry_run")};
	if (!b->component || !b->import || !b->target)
		return NULL;
	struct link_target t;
	if (!link_target_parse(&op->arena, slice_str(b->target), slice_of("", 0), &t, e))
		return NULL;
	buf_printf(&what, "link %s:%.64s %.*s%s", b->component, b->import, SLICE_ARGS(t.text), b->copy ? " --copy" : "");
	op->what = text_of(&op->arena, buf_view(&what));
	op->target = text_of(&op->arena, t.text);
	buf_release(&what);
	return op->what && op->target ? b : NULL;
}

void ctl__route_bind(struct ctl_request *r)
{
	static const struct ctl_member members[] = {{"target", CTL_TEXT}, {"copy", CTL_FLAG}, {"dry_run", CTL_FLAG}, {NULL, CTL_ANY}};
	struct ctl_op *op = ctl__body_has_only(r, members) ? ctl__op_of(r) : NULL;
	struct err e = {0};
	if (!op)
		return;
	struct bind *b = read_ask(r, op, &e);
	if (b) {
		op->args = b;
		op->run = run;
		ctl__op_ask(r, op, op->what);
		return;
	}
	if (e.code == ERR_NONE)
		err_nomem(&e);
	ctl__op_free(op);
	ctl__answer_failed(r, &e);
}
