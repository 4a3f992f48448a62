// tenon top: what components, and the links that they call, do from one look to the next. A table of at most 78 columns.
#include "ask.h"
#include "commands.h"
#include "sys/sys.h"

enum { ROWS_MAX = 200 };

// What is counted from the start, of one component of one process, or of what it calls through a link.
struct row {
	uint64_t pid;
	char app[64], component[64], link[64];  // link: empty of the component itself
	uint64_t requests, errors, total_us, cpu_ms, in_flight, queued, instances, memory;
};
struct look {
	uint64_t ns;
	struct row rows[ROWS_MAX];
	uint32_t n;
};

static void copy(char *to, size_t size, struct slice text)
{
	snprintf(to, size, "%.*s", (int)min_u64(text.len, size - 1), (const char *)text.ptr);
}

// "1.234" seconds as milliseconds.
static uint64_t ms_of(const struct json *o, const char *name)
{
	const struct json *m = json_member(o, name);
	uint64_t ms = 0;
	for (size_t i = 0; m && m->kind == JSON_NUMBER && i < m->text.len; i++)
		if (m->text.ptr[i] != '.')
			ms = ms * 10 + (m->text.ptr[i] - '0');
	return ms;
}

static void add_link(struct look *l, uint64_t pid, const struct json *app, const struct json *component, const struct json *f)
{
	if (l->n == ROWS_MAX)
		return;
	struct row *r = &l->rows[l->n++];
	*r = (struct row){.pid = pid, .requests = json_number(f, "calls", 0), .errors = json_number(f, "errors", 0), .total_us = json_number(f, "total_us", 0)};
	copy(r->app, sizeof r->app, json_text(app, "app"));
	copy(r->component, sizeof r->component, json_text(component, "component"));
	copy(r->link, sizeof r->link, json_text(f, "link"));
}

static void add_component(struct look *l, uint64_t pid, const struct json *app, const struct json *f)
{
	if (l->n == ROWS_MAX)
		return;
	struct row *r = &l->rows[l->n++];
	*r = (struct row){.pid = pid,
		.requests = json_number(f, "requests", 0),
		.errors = json_number(f, "errors", 0),
		.total_us = json_number(f, "total_us", 0),
		.cpu_ms = ms_of(f, "cpu"),
		.in_flight = json_number(f, "in_flight", 0),
		.queued = json_number(f, "queued", 0),
		.instances = json_number(f, "instances", 0),
		.memory = json_number(f, "memory_peak", 0)};
	copy(r->app, sizeof r->app, json_text(app, "app"));
	copy(r->component, sizeof r->component, json_text(f, "component"));
	for (const struct json *k = json_member(f, "links") ? json_member(f, "links")->first : NULL; k; k = k->next)
		add_link(l, pid, app, f, k);
}

static bool take_look(struct cli *c, struct look *l, struct err *e)
{
	struct ask_tenon *all;
	uint32_t n;
	struct arena_mark mark = arena_mark(&c->arena);
	if (!cli__ask_all(c, &all, &n, e))
		return false;
	l->ns = sys_now_ns();
	l->n = 0;
	for (uint32_t i = 0; i < n; i++)
		for (const struct json *a = json_member(all[i].status, "apps")->first; a; a = a->next) {
			const struct json *components = c->args.len && !slice_eq_str(json_text(a, "app"), c->args.ptr[0]) ? NULL : json_member(a, "components");
			for (const struct json *f = components ? components->first : NULL; f; f = f->next)
				add_component(l, json_number(all[i].status, "pid", 0), a, f);
		}
	arena_rewind(&c->arena, mark);
	return true;
}

static const struct row *same(const struct look *l, const struct row *r)
{
	for (uint32_t i = 0; i < l->n; i++)
		if (l->rows[i].pid == r->pid && strcmp(l->rows[i].app, r->app) == 0 && strcmp(l->rows[i].component, r->component) == 0 &&
			strcmp(l->rows[i].link, r->link) == 0)
			return &l->rows[i];
	return NULL;
}

static void print_row(const struct row *r, const struct row *before, uint64_t ns, bool json)
{
	double s = (double)ns / 1e9, requests = (double)(r->requests - before->requests), errors = (double)(r->errors - before->errors);
	double mean = requests > 0 && r->total_us > before->total_us ? (double)(r->total_us - before->total_us) / requests / 1000 : 0;
	double cpu = (double)(r->cpu_ms - before->cpu_ms) / 10 / s;
	char name[80];
	snprintf(name, sizeof name, r->link[0] == '(' ? "  %s" : "  @%s", r->link);
	if (json && r->link[0])
		printf("{\"pid\":%llu,\"app\":\"%s\",\"component\":\"%s\",\"link\":\"%s\",\"calls_per_second\":%.1f,\"errors_per_second\":%.1f,\"mean_ms\":%.3f}\n",
			(unsigned long long)r->pid, r->app, r->component, r->link, requests / s, errors / s, mean);
	else if (r->link[0])
		printf("%-12s %-16.16s %8.1f %7.1f %8.2f\n", "", name, requests / s, errors / s, mean);
	else if (json)
		printf("{\"pid\":%llu,\"app\":\"%s\",\"component\":\"%s\",\"requests_per_second\":%.1f,\"errors_per_second\":%.1f,\"mean_ms\":%.3f,\"cpu_percent\":%.1f,"
			   "\"in_flight\":%llu,\"queued\":%llu,\"instances\":%llu,\"memory_peak\":%llu}\n",
			(unsigned long long)r->pid, r->app, r->component, requests / s, errors / s, mean, cpu, (unsigned long long)r->in_flight,
			(unsigned long long)r->queued, (unsigned long long)r->instances, (unsigned long long)r->memory);
	else
		printf("%-12.12s %-16.16s %8.1f %7.1f %8.2f %6.1f %5llu %9.1f\n", r->app, r->component, requests / s, errors / s, mean, cpu, (unsigned long long)r->in_flight,
			(double)r->memory / MIB);
}

static void print_look(const struct look *now, const struct look *before, bool json, bool clears)
{
	if (clears)
		printf("\033[H\033[2J");
	if (!json)
		printf("%-12s %-16s %8s %7s %8s %6s %5s %9s\n", "app", "component", "req/s", "err/s", "mean ms", "CPU %", "now", "peak MiB");
	for (uint32_t i = 0; i < now->n; i++) {
		static const struct row none;  // a link that was not called before
		const struct row *b = same(before, &now->rows[i]);
		if (!b && now->rows[i].link[0])
			b = &none;
		if (b)
			print_row(&now->rows[i], b, now->ns - before->ns, json);
	}
	fflush(stdout);
}

static void wake(void *arg)
{
}

static void wait_a_second(void)
{
	struct sys_mutex m = SYS_MUTEX;
	struct sys_cond c;
	uint64_t until = sys_now_ns() + SECOND;
	if (!sys_cond_init(&c))
		return;
	sys_mutex_lock(&m);
	while (sys_cond_wait_until(&c, &m, until))
		;
	sys_mutex_unlock(&m);
	sys_cond_release(&c);
}

// On a terminal until it is interrupted, else one look.
int cli__command_top(struct cli *c, struct err *e)
{
	bool live = sys_is_terminal(1);
	struct look *looks = ARENA_ARRAY(&c->arena, struct look, 2);
	const struct json *app;
	struct ask_tenon t;
	if (!looks)
		err_nomem(e);
	if (e->code != ERR_NONE || (c->args.len && !cli__ask_app(c, c->args.ptr[0], &t, &app, e)))
		return err_exit_status(e->code);
	const bool *stop = live ? sys_stop_begin(wake, NULL) : NULL;
	bool ok = take_look(c, &looks[0], e);
	for (unsigned i = 1; ok && !(stop && *stop); i++) {
		wait_a_second();
		ok = !(stop && *stop) && take_look(c, &looks[i % 2], e);
		if (ok)
			print_look(&looks[i % 2], &looks[(i + 1) % 2], c->config.process.json, live && !c->config.process.json);
		if (!live)
			break;
	}
	if (live) {
		err_clear(e);
		sys_stop_end();
	}
	return err_exit_status(e->code);
}
