// What every file of the room says and refers with: errors and notes with their place, texts in the arena, paths, components by name.
#include "app_int.h"

#include <stdarg.h>

// ---- errors and texts --------------------------------------------------------------------------------------------------------------------------

bool app__at(struct app__load *l, struct app_place at)
{
	if (!l->e || at.line == 0)
		return false;
	l->e->line = at.line;
	l->e->col = at.col;
	return err_note(l->e, "%s:%u:%u", at.in == APP_IN_LIVE ? "live changes" : l->app->path, at.line, at.col);
}

bool app__fail(struct app__load *l, struct app_place at, const char *fmt, ...)
{
	char text[sizeof l->e->text];
	va_list args;
	if (!l->e)
		return false;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	err_set(l->e, ERR_USAGE, "%s", text);
	return app__at(l, at);
}

char *app__copy(struct app__load *l, struct slice s)
{
	struct slice copy;
	if (slice_dup(l->arena, s, &copy))
		return UNCONST(copy.ptr);
	err_nomem(l->e);
	return NULL;
}

static char *format_text(struct app__load *l, const char *fmt, va_list args)
{
	va_list again;
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	char *text = n < 0 ? NULL : arena_alloc(l->arena, (size_t)n + 1, 1);
	if (text)
		vsnprintf(text, (size_t)n + 1, fmt, args);
	else
		err_nomem(l->e);
	return text;
}

char *app__format_text(struct app__load *l, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	char *text = format_text(l, fmt, args);
	va_end(args);
	return text;
}

bool app__note(struct app__load *l, struct app_place at, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	const char *text = format_text(l, fmt, args);
	va_end(args);
	struct app_note note = {at, text};
	if (!text)
		return false;
	if (!VEC_PUSH(l->arena, &l->notes, note, UINT32_MAX))
		return err_nomem(l->e);
	l->app->notes.list = l->notes.ptr;
	l->app->notes.n = l->notes.len;
	return true;
}

// ---- references and paths ----------------------------------------------------------------------------------------------------------------------

bool app__resolve_path(struct app__load *l, const struct app_text *t, const char **ret)
{
	if (!t->text)
		return true;
	*ret = t->text[0] == '/' ? t->text : app__format_text(l, "%s%s", l->app->folder, t->text);
	return *ret != NULL;
}

static const char *component_at(const void *list, uint32_t i)
{
	return ((const struct app_component *)list)[i].item.name;
}

bool app__find_component(struct app__load *l, const struct app_text *name, uint32_t *ret)
{
	uintptr_t i;
	*ret = APP_NONE;
	if (!name->text)
		return true;
	if (map_get(&l->components, slice_str(name->text), &i)) {
		*ret = (uint32_t)i;
		return true;
	}
	app__fail(l, name->at, "there is no component '%s'", name->text);
	if (l->e && l->app->components.n)
		err_hint(l->e, "the nearest one is '%s'", app__nearest(slice_str(name->text), component_at, l->app->components.list, l->app->components.n));
	return false;
}
