// A component while it is written: which files are its own, and its builds.
#include <errno.h>
#include <unistd.h>

#include "dev.h"
#include "sys/sys.h"

// ---- files ---------------------------------------------------------------------------------------------------------------------------------------

static bool is_in(struct slice path, struct slice folder)
{
	return folder.len && slice_starts_with(path, folder) && (path.len == folder.len || path.ptr[folder.len] == '/');
}

// What the app itself writes beside its manifest: databases of its stores with what SQLite lays beside them, folders that guests write to, the access log.
static bool is_written_by_app(const struct dev *d, struct slice path, struct buf *b)
{
	const struct app *app = d->app;
	const char *log = d->c->config.process.access_log;
	char here[DEV_PATH];
	bool is = log && getcwd(here, sizeof here) && slice_eq(path, dev_path(b, here, slice_str(log)));
	for (uint32_t i = 0; !is && i < app->links.n; i++)
		is = app->links.list[i].path.text && slice_starts_with(path, dev_path(b, d->root, slice_str(app->links.list[i].path.text)));
	for (uint32_t i = 0; !is && i < app->components.n; i++)
		for (uint32_t k = 0; !is && k < app->components.list[i].files.n; k++) {
			const struct app_file *f = &app->components.list[i].files.list[k];
			is = f->write.value && f->host.text && is_in(path, dev_path(b, d->root, slice_str(f->host.text)));
		}
	return is;
}

static bool is_source(const struct dev *d, struct slice path, struct buf *b)
{
	for (uint32_t i = 0; i < d->app->components.n; i++)
		if (slice_eq(path, dev_path(b, d->root, slice_str(d->app->components.list[i].source.text))))
			return true;
	return false;
}

static bool fits(struct slice pattern, struct slice path, enum dev_change what)
{
	return what == DEV_BENEATH ? dev_glob_beneath(pattern, path) : dev_glob(pattern, path);
}

// Its own `watch`; without one all that lies beside the manifest.
static bool is_of(const struct dev *d, const struct dev_part *p, struct slice path, enum dev_change what, struct buf *b)
{
	const struct app_texts *w = &p->of->build.watch;
	bool is = !w->n && fits(dev_path(b, d->root, SLICE_LIT("**")), path, what);
	for (uint32_t i = 0; !is && i < w->n; i++)
		is = fits(dev_path(b, d->root, slice_str(w->list[i].text)), path, what);
	return is;
}

static bool is_any_building(const struct dev *d)
{
	for (uint32_t i = 0; i < d->n; i++)
		if (d->parts[i].is_building)
			return true;
	return false;
}

static bool is_output(const struct dev *d, struct slice path)
{
	for (uint32_t i = 0; i < d->n; i++)
		if (dev_paths_is_output(d->parts[i].paths, path))
			return true;
	return false;
}

static void on_change(void *ctx, struct slice path, enum dev_change what)
{
	struct dev *d = ctx;
	struct buf b = {.max = 2 * DEV_PATH};
	bool by_hand = !is_any_building(d);
	bool counts = by_hand ? what != DEV_MADE : !is_output(d, path);
	counts = counts && (!path.len || (!is_source(d, path, &b) && !is_written_by_app(d, path, &b)));
	for (uint32_t i = 0; counts && i < d->n; i++) {
		struct dev_part *p = &d->parts[i];
		if (!is_of(d, p, path, what, &b))
			continue;
		if (by_hand) {
			p->is_dirty = true;
			dev_paths_by_hand(p->paths, path);
		} else if (dev_paths_note(p->paths, path, what == DEV_MADE) && !p->is_building) {
			p->is_dirty = true;  // it needn't wait for the others' end
		}
	}
	buf_release(&b);
}

void dev_part_look(struct dev *d)
{
	struct err e = {0};
	if (!dev_watch_read(d->watch, on_change, d, &e))
		cli_print_error(&e);
}

// From the beginning of a pattern what is no pattern: a folder, with '/' at its end but where it is "/".
static struct slice base_of(struct slice pattern)
{
	size_t end = 0;
	for (size_t i = 0; i < pattern.len && pattern.ptr[i] != '*' && pattern.ptr[i] != '?'; i++)
		end = pattern.ptr[i] == '/' ? i : end;
	return slice_sub(pattern, 0, end);
}

static bool watch_pattern(struct dev *d, const char *text, struct err *e)
{
	struct buf b = {.max = 2 * DEV_PATH};
	char base[DEV_PATH];
	struct slice pattern = dev_path(&b, d->root, slice_str(text)), folder = base_of(pattern), rest = slice_sub(pattern, folder.len + 1, SIZE_MAX);
	bool ok = pattern.len && folder.len < sizeof base;
	if (ok) {
		snprintf(base, sizeof base, "%.*s", SLICE_ARGS(folder.len ? folder : slice_of("/", 1)));
		ok = dev_watch_add(d->watch, base, slice_find(rest, '/') < rest.len || slice_eq_str(rest, "**"), e);
	} else {
		err_set(e, ERR_LIMIT, "a path of more than %d bytes", DEV_PATH);
	}
	buf_release(&b);
	return ok;
}

bool dev_part_watch(struct dev *d, const struct dev_part *p, struct err *e)
{
	const struct app_texts *w = &p->of->build.watch;
	bool ok = w->n || watch_pattern(d, "**", e);
	for (uint32_t i = 0; ok && i < w->n; i++)
		ok = watch_pattern(d, w->list[i].text, e);
	return ok || err_note(e, "build.watch of component %s", p->of->item.name);
}

// ---- builds --------------------------------------------------------------------------------------------------------------------------------------

bool dev_part_build(struct dev *d, struct dev_part *p, struct err *e)
{
	const char *argv[] = {"/bin/sh", "-c", p->of->build.command.text, NULL};
	(void)dev_paths_settle(p->paths);  // what has changed so far is built now
	p->is_dirty = false;
	p->began_ns = sys_now_ns();
	buf_clear(&p->said);
	p->left_out = 0;
	p->is_building = dev_start(argv, d->root, true, &p->build, e);
	return p->is_building || err_note(e, "build.command of component %s", p->of->item.name);
}

double dev_ms_since(uint64_t ns)
{
	return (double)(sys_now_ns() - ns) / 1e6;
}

static void print_said(const struct dev_part *p)
{
	struct buf b = {0};
	if (p->left_out)
		fprintf(stderr, "... the first %llu bytes are left out\n", (unsigned long long)p->left_out);
	buf_put_printable(&b, buf_view(&p->said), "\n\t\033");
	fwrite(b.ptr, 1, b.len, stderr);
	if (b.len && b.ptr[b.len - 1] != '\n')
		fputc('\n', stderr);
	buf_release(&b);
}

// What it said last is what counts.
static void cut(struct dev_part *p)
{
	size_t more = p->said.len > DEV_OUTPUT ? p->said.len - DEV_OUTPUT : 0;
	while (more && more < p->said.len && (p->said.ptr[more] & 0xc0) == 0x80)
		more++;  // not within a character
	if (more)
		memmove(p->said.ptr, p->said.ptr + more, p->said.len - more);
	p->said.len -= more;
	p->left_out += more;
}

bool dev_part_is_built(struct dev *d, struct dev_part *p)
{
	bool over = dev_has_ended(&p->build);
	dev_read(&p->build, &p->said, &p->left_out);
	if (!over)
		return false;
	int status = dev_reap(&p->build);
	cut(p);
	dev_part_look(d);  // what it changed, before it counts as ended
	p->is_building = false;
	for (uint32_t i = 0; i < d->n; i++)
		if (!d->parts[i].is_building)
			d->parts[i].is_dirty |= dev_paths_settle(d->parts[i].paths);
	p->was_built = true;
	p->has_failed = status != 0;
	if (p->has_failed) {
		fprintf(stderr, "%s: the build failed with %d after %.0f ms%s\n", p->of->item.name, status, dev_ms_since(p->began_ns), p->sha256[0] ? "; the last good version serves on" : "");
		print_said(p);
	}
	return true;
}
