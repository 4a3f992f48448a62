// What is known of places, and how it is written.
//
// The lock guards everything but `modules` and `component`. Nobody waits for another process while he holds it: who asks says so by `asking`, and others go
// without those lines meanwhile.
#include "symbols_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "sys/sys.h"

enum { PLACES_MAX = 1000, TEXT_MAX = 1 << 20, LINE_MAX_BYTES = 3000, SHARE = 9 };

// A place that was asked for: what stands before its frame's line, and behind it.
struct place {
	struct slice inlined, behind;
};
struct module {
	const struct vm_module *vm;
	struct slice name;
	bool named;  // `name` is what was found
	bool has_dwarf;
	struct wasm_names names;
};
struct symbols {
	struct slice component;
	struct module *modules;
	uint32_t n;
	struct sys_mutex lock;
	struct arena arena;
	struct map by_place;  // {module, address} → index in `places`
	VEC(struct place)
	places;
	bool asking;
	uint64_t not_before_ns;  // nobody asks
};
struct key {
	uint32_t module, address;
};

static bool may_ask;  // this program answers when it is started so

void symbols_main(int argc, char **argv)
{
	if (argc > 0 && strcmp(argv[0], SYMBOLS__ARGV0) == 0)
		exit(symbols__answer(argc, argv));
	may_ask = true;
}

struct symbols *symbols_new(struct vm_module *const *modules, uint32_t n, struct slice component)
{
	struct symbols *s = mem_zalloc(sizeof *s);
	struct module *list = s ? mem_zalloc((n + 1) * sizeof *list) : NULL;
	if (!list) {
		mem_free(s);
		return NULL;
	}
	for (uint32_t i = 0; i < n; i++)
		list[i] = (struct module){.vm = modules[i], .has_dwarf = symbols__has_dwarf(modules[i]->m)};
	*s = (struct symbols){.component = component, .modules = list, .n = n};
	sys_mutex_init(&s->lock);
	arena_init(&s->arena, TEXT_MAX);
	map_init(&s->by_place, &s->arena);
	return s;
}

void symbols_free(struct symbols *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->n; i++)
		wasm_names_release(&s->modules[i].names);
	arena_release(&s->arena);
	sys_mutex_release(&s->lock);
	mem_free(s->modules);
	mem_free(s);
}

// ---- places ----------------------------------------------------------------------------------------------------------------------------

static struct module *module_of(struct symbols *s, const struct vm_trap_frame *f)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (s->modules[i].vm == f->module)
			return &s->modules[i];
	return NULL;
}

// false: it has no line, and none is to be asked for.
static bool key_of(struct symbols *s, const struct vm_trap_frame *f, struct key *ret)
{
	const struct module *m = module_of(s, f);
	if (!m || !m->has_dwarf || !symbols__address(m->vm->m, f->offset, &ret->address))
		return false;
	ret->module = (uint32_t)(m - s->modules);
	return true;
}

static const struct place *find(const struct symbols *s, const struct key *k)
{
	uintptr_t i;
	return map_get(&s->by_place, slice_of(k, sizeof *k), &i) ? &s->places.ptr[i] : NULL;
}

static bool has_more(struct symbols *s, const struct vm_frames *frames)
{
	struct key k;
	for (uint32_t i = 0; i < frames->n; i++)
		if (key_of(s, &frames->list[i], &k) && !find(s, &k))
			return true;
	return false;
}

bool symbols_has_more(struct symbols *s, const struct vm_frames *frames)
{
	if (!may_ask)
		return false;
	sys_mutex_lock(&s->lock);
	bool yes = !s->asking && s->places.len < PLACES_MAX && has_more(s, frames) && sys_now_ns() >= s->not_before_ns;
	sys_mutex_unlock(&s->lock);
	return yes;
}

// ---- asking ----------------------------------------------------------------------------------------------------------------------------

// One module's part of a question.
struct question {
	struct key keys[VM_BACKTRACE_MAX];
	uint32_t n;
};

static void collect(struct symbols *s, const struct vm_frames *frames, uint32_t module, struct question *q)
{
	struct key k;
	q->n = 0;
	for (uint32_t i = 0; i < frames->n; i++) {
		bool there = !key_of(s, &frames->list[i], &k) || k.module != module || find(s, &k);
		for (uint32_t j = 0; j < q->n; j++)
			there = there || q->keys[j].address == k.address;
		if (!there)
			q->keys[q->n++] = k;
	}
}

static bool take_field(struct slice *line, struct slice *ret)
{
	size_t at = slice_find(*line, '\t');
	*ret = slice_sub(*line, 0, at);
	bool has = at < line->len;
	*line = has ? slice_sub(*line, at + 1, SIZE_MAX) : slice_of(NULL, 0);
	return has;
}

// A line of the answer, as symbols_int.h has it.
struct answer {
	uint64_t index, line, column;
	struct slice file, name;
};

static bool read_answer(struct slice line, struct answer *ret)
{
	struct slice index, row, column;
	if (!take_field(&line, &index) || !take_field(&line, &row) || !take_field(&line, &column) || !take_field(&line, &ret->file))
		return false;
	ret->name = line;
	return slice_parse_u64(index, VM_BACKTRACE_MAX, &ret->index) && slice_parse_u64(row, UINT32_MAX, &ret->line) &&
		slice_parse_u64(column, UINT32_MAX, &ret->column);
}

// On one line, whatever the name is.
static void put_name(struct buf *out, struct slice name)
{
	struct buf readable = {.max = 2 * DEMANGLE_MAX};
	demangle(&readable, name);
	buf_put_printable(out, buf_view(&readable), "");
	buf_release(&readable);
}

static void put_line(struct buf *b, const struct answer *a)
{
	if (!a->file.len || !a->line)
		return;
	buf_put_str(b, ", ");
	buf_put_printable(b, a->file, "");
	buf_printf(b, ":%llu", (unsigned long long)a->line);
	if (a->column)
		buf_printf(b, ":%llu", (unsigned long long)a->column);
}

// What the answer says of its place `index`, as text.
static void read_place(struct slice text, uint32_t index, struct buf *inlined, struct buf *behind)
{
	struct answer a;
	while (text.len) {
		size_t n = slice_find(text, '\n');
		struct slice line = slice_sub(text, 0, n);
		text = slice_sub(text, n + 1, SIZE_MAX);
		if (!read_answer(line, &a) || a.index != index)
			continue;
		if (!a.name.len) {
			put_line(behind, &a);
			return;
		}
		buf_put_str(inlined, "  at ");
		put_name(inlined, a.name);
		buf_put_str(inlined, ", inlined");
		put_line(inlined, &a);
		buf_put_byte(inlined, '\n');
	}
}

// Under the lock. What there is no room for is not kept, and then nothing further is.
static void keep(struct symbols *s, const struct key *k, struct slice text, uint32_t index)
{
	struct buf inlined = {.max = LINE_MAX_BYTES * SYMBOLS__INLINED_MAX}, behind = {.max = LINE_MAX_BYTES};
	struct place p = {0};
	struct slice key;
	bool nomem = false;
	read_place(text, index, &inlined, &behind);
	if (!slice_dup(&s->arena, slice_of(k, sizeof *k), &key) || (!inlined.failed && !slice_dup(&s->arena, buf_view(&inlined), &p.inlined)) ||
		(!behind.failed && !slice_dup(&s->arena, buf_view(&behind), &p.behind)) || !VEC_PUSH(&s->arena, &s->places, p, PLACES_MAX) ||
		!map_insert(&s->by_place, key, s->places.len - 1, &nomem))
		s->not_before_ns = UINT64_MAX;
	buf_release(&inlined);
	buf_release(&behind);
}

static void ask(struct symbols *s, uint32_t module, const struct question *q)
{
	struct buf answer = {.max = SYMBOLS__ANSWER_MAX};
	uint32_t addresses[VM_BACKTRACE_MAX];
	for (uint32_t i = 0; i < q->n; i++)
		addresses[i] = q->keys[i].address;
	// Without an answer these places have none: they are not asked for again.
	struct slice text = symbols__ask(s->modules[module].vm->m, addresses, q->n, &answer) ? buf_view(&answer) : slice_of(NULL, 0);
	sys_mutex_lock(&s->lock);
	for (uint32_t i = 0; i < q->n; i++)
		keep(s, &q->keys[i], text, i);
	sys_mutex_unlock(&s->lock);
	buf_release(&answer);
}

void symbols_find(struct symbols *s, const struct vm_frames *frames)
{
	struct question q;
	uint64_t began = sys_now_ns();
	if (!may_ask)
		return;
	sys_mutex_lock(&s->lock);
	bool mine = !s->asking && began >= s->not_before_ns;
	s->asking |= mine;
	sys_mutex_unlock(&s->lock);
	for (uint32_t i = 0; mine && i < s->n; i++) {
		sys_mutex_lock(&s->lock);
		collect(s, frames, i, &q);
		sys_mutex_unlock(&s->lock);
		if (q.n)
			ask(s, i, &q);
	}
	if (!mine)
		return;
	sys_mutex_lock(&s->lock);
	uint64_t now = sys_now_ns();
	s->not_before_ns = max_u64(s->not_before_ns, now + (now - began) * SHARE);
	s->asking = false;
	sys_mutex_unlock(&s->lock);
}

// ---- text ------------------------------------------------------------------------------------------------------------------------------

// Under the lock.
static void name_module(struct symbols *s, struct module *m)
{
	if (m->named)
		return;
	m->named = true;
	wasm_names_make(&m->names, m->vm->m);
	m->name = m->names.module.len ? m->names.module : symbols__module_name(s->component, m->vm->m->bytes.ptr);
}

static void put_frame(struct symbols *s, const struct vm_trap_frame *f, struct buf *out)
{
	struct module *m = module_of(s, f);
	struct slice name = {0};
	struct key k;
	const struct place *p = key_of(s, f, &k) ? find(s, &k) : NULL;
	if (p)
		buf_put_slice(out, p->inlined);
	buf_put_str(out, "  at ");
	if (m) {
		name_module(s, m);
		name = wasm_names_find(&m->names, f->func);
		if (s->n > 1 && m->name.len) {
			buf_put_printable(out, slice_sub(m->name, 0, 100), "");
			buf_put_byte(out, '!');
		}
	}
	if (name.len)
		put_name(out, name);
	else
		buf_printf(out, "func[%u]", f->func);
	buf_printf(out, " (offset 0x%x)", f->offset);
	if (p)
		buf_put_slice(out, p->behind);
	buf_put_byte(out, '\n');
}

void symbols_put(struct symbols *s, const struct vm_frames *frames, struct buf *out)
{
	if (frames->n && frames->address != UINT64_MAX)
		buf_printf(out, "  address 0x%llx\n", (unsigned long long)frames->address);
	sys_mutex_lock(&s->lock);
	for (uint32_t i = 0; i < frames->n; i++)
		put_frame(s, &frames->list[i], out);
	sys_mutex_unlock(&s->lock);
	if (frames->more)
		buf_put_str(out, "  ...\n");
}
