// Bindings are replaced while calls are parked in the old ones and guests hold handles of them: each call and each object ends where it began, and an old
// provider goes with its last. Test providers of wasi:io/poll and wasi:clocks/monotonic-clock.
// PROGRAM(test_bindings, "wasi threads tier cmocka", "")
#include <dirent.h>
#include <pthread.h>
#include <unistd.h>

#include "../canon/components.h"
#include "comp/test/build.h"
#include "wasi/wasi.h"

// ---- the provider -----------------------------------------------------------------------------------------------------------------------

struct test_provider {
	struct seam_provider seam;
	uint32_t number;
	uint32_t objects, states;  // atomic
};
struct object {
	struct test_provider *of;
};
struct state {
	struct test_provider *of;
	uint32_t calls;
};
static uint32_t opened, closed, most, strangers, resets;  // atomic

static void provider_close(struct seam_provider *seam)
{
	struct test_provider *p = CONTAINER_OF(seam, struct test_provider, seam);
	if (p->objects || p->states)
		__atomic_add_fetch(&strangers, 1, __ATOMIC_RELAXED);
	mem_free(p);
	__atomic_add_fetch(&closed, 1, __ATOMIC_RELAXED);
}

static void *state_new(struct seam_provider *seam, struct canon_instance *i)
{
	struct state *s = mem_zalloc(sizeof *s);
	BUG_ON(!s);
	s->of = CONTAINER_OF(seam, struct test_provider, seam);
	__atomic_add_fetch(&s->of->states, 1, __ATOMIC_RELAXED);
	return s;
}

static void state_reset(struct seam_provider *seam, struct canon_instance *i, void *state)
{
	((struct state *)state)->calls = 0;
	__atomic_add_fetch(&resets, 1, __ATOMIC_RELAXED);
}

static void state_free(struct seam_provider *seam, struct canon_instance *i, void *state)
{
	__atomic_sub_fetch(&((struct state *)state)->of->states, 1, __ATOMIC_RELAXED);
	mem_free(state);
}

static const struct seam_provider_ops provider_ops = {
	.name = "test", .close = provider_close, .instance_new = state_new, .instance_reset = state_reset, .instance_free = state_free};

static const struct seam_provider_ops taking_ops = {.name = "taking",
	.close = provider_close,
	.instance_new = state_new,
	.instance_reset = state_reset,
	.instance_free = state_free,
	.takes_others = true};

static struct test_provider *of_call(const struct seam_call *c)
{
	return CONTAINER_OF(c->binding->provider, struct test_provider, seam);
}

// What a call is given is its provider's own: state and objects.
static void look(struct seam_call *c, const struct object *o)
{
	struct state *s = seam_state(c);
	BUG_ON(!s);
	s->calls++;
	if (s->of != of_call(c) || (o && o->of != of_call(c)))
		__atomic_add_fetch(&strangers, 1, __ATOMIC_RELAXED);
}

static void object_drop(struct canon_instance *i, void *object)
{
	__atomic_sub_fetch(&((struct object *)object)->of->objects, 1, __ATOMIC_RELAXED);
	mem_free(object);
}

static bool object_remake(struct canon_instance *i, const void *from, void **ret)
{
	struct object *o = mem_zalloc(sizeof *o);
	BUG_ON(!o);
	*o = *(const struct object *)from;
	__atomic_add_fetch(&o->of->objects, 1, __ATOMIC_RELAXED);
	*ret = o;
	return true;
}

static const struct canon_resource_ops object_class = {&wasi_io_poll_pollable_resource.wit, "test.pollable", object_drop, object_remake};

static enum seam_result now(struct seam_call *c, uint64_t *ret)
{
	look(c, NULL);
	*ret = of_call(c)->number;
	return SEAM_OK;
}

static enum seam_result subscribe(struct seam_call *c, const struct wasi_clocks_monotonic_clock_subscribe_duration_args *args, uint32_t *ret)
{
	struct object *o = mem_zalloc(sizeof *o);
	BUG_ON(!o);
	look(c, NULL);
	o->of = of_call(c);
	__atomic_add_fetch(&o->of->objects, 1, __ATOMIC_RELAXED);
	if (seam_resource_new(c, &object_class, o, ret))
		return SEAM_OK;
	object_drop(NULL, o);
	return SEAM_TRAP;
}

// Parks for a while, now and then longer.
static enum seam_result block(struct seam_call *c, const struct wasi_io_poll_pollable_block_args *args)
{
	struct object *o = seam_resource_get(c, &wasi_io_poll_pollable_resource, args->self);
	struct seam_park park;
	look(c, o);
	uint64_t ms = c->task->n_calls % 7 ? 1 : 20;
	seam_park_init(&park);
	enum seam_result r = seam_park_until(c, &park, loop_now_fresh_ns(c->task->loop) + ms * 1000000, NULL);
	look(c, seam_resource_get(c, &wasi_io_poll_pollable_resource, args->self));
	return r;
}

static enum seam_result poll(struct seam_call *c, const struct wasi_io_poll_poll_args *args, struct wit_list *ret)
{
	uint32_t *ready = SEAM_ARRAY(c, uint32_t, args->in.len + 1);
	if (!ready)
		return SEAM_TRAP;
	for (uint32_t i = 0; i < args->in.len; i++) {
		look(c, seam_resource_get(c, &wasi_io_poll_pollable_resource, ((const uint32_t *)args->in.ptr)[i]));
		ready[i] = i;
	}
	*ret = (struct wit_list){ready, args->in.len};
	return SEAM_OK;
}

// ---- things: an interface whose provider is also given what others made ------------------------------------------------------------------

static struct arena types;
static const struct seam_interface things_interface;
static const struct seam_resource thing = {.wit.name = SLICE_LIT("thing"), .interface = &things_interface};
static const struct seam_resource *const thing_resources[] = {&thing};
static const struct canon_resource_ops thing_class = {&thing.wit, "test.thing", object_drop, object_remake};
static uint32_t used[4], n_used;  // of each call of `use`: its provider

static enum seam_result make_thing(const void *ops, struct seam_call *c, const void *args, void *ret)
{
	struct object *o = mem_zalloc(sizeof *o);
	BUG_ON(!o);
	look(c, NULL);
	o->of = of_call(c);
	__atomic_add_fetch(&o->of->objects, 1, __ATOMIC_RELAXED);
	BUG_ON(!seam_resource_new(c, &thing_class, o, ret));
	return SEAM_OK;
}

static enum seam_result use_thing(const void *ops, struct seam_call *c, const void *args, void *ret)
{
	const uint32_t *reps = args;
	look(c, seam_resource_get(c, &thing, reps[0]));
	BUG_ON(!seam_resource_get(c, &wasi_io_poll_pollable_resource, reps[1]));
	used[n_used++] = of_call(c)->number;
	return SEAM_OK;
}

static enum seam_result join_things(const void *ops, struct seam_call *c, const void *args, void *ret)
{
	const uint32_t *reps = args;
	look(c, seam_resource_get(c, &thing, reps[0]));
	look(c, seam_resource_get(c, &thing, reps[1]));
	return SEAM_OK;
}

static struct seam_func thing_funcs[] = {{.name = "make", .call = make_thing, .ret_size = 4},
	{.name = "use", .call = use_thing, .args_size = 8},
	{.name = "join", .call = join_things, .args_size = 8}};
static void *const thing_ops[] = {thing_funcs, thing_funcs, thing_funcs};  // served
static const struct seam_interface things_interface = {
	.name = "demo:kept/things", .funcs = thing_funcs, .n_funcs = ARRAY_LEN(thing_funcs), .resources = thing_resources, .n_resources = 1};

static void describe_things(void)
{
	const struct wit_type *own, *self, *pollable;
	BUG_ON(!wit_type_own(&types, &thing.wit, &own, NULL) || !wit_type_borrow(&types, &thing.wit, &self, NULL));
	BUG_ON(!wit_type_borrow(&types, &wasi_io_poll_pollable_resource.wit, &pollable, NULL));
	const struct wit_member use[] = {{SLICE_LIT("t"), self}, {SLICE_LIT("p"), pollable}}, join[] = {{SLICE_LIT("a"), self}, {SLICE_LIT("b"), self}};
	BUG_ON(!wit_func_type_make(&types, NULL, 0, own, false, &thing_funcs[0].type, NULL));
	BUG_ON(!wit_func_type_make(&types, use, 2, NULL, false, &thing_funcs[1].type, NULL));
	BUG_ON(!wit_func_type_make(&types, join, 2, NULL, false, &thing_funcs[2].type, NULL));
}

static struct test_provider *base;  // of the other interfaces, whoever has things; NULL: the same

static const struct wasi_clocks_monotonic_clock_ops clock_ops = {.now = now, .subscribe_duration = subscribe};
static const struct wasi_io_poll_ops poll_ops = {.pollable_block = block, .poll = poll};

// A registry that offers a fresh provider, which nobody else holds.
static void offer_new(struct seam_registry *r, struct test_provider **ret)
{
	struct test_provider *p = mem_zalloc(sizeof *p);
	BUG_ON(!p);
	seam_provider_init(&p->seam, base ? &taking_ops : &provider_ops);
	p->number = __atomic_add_fetch(&opened, 1, __ATOMIC_RELAXED);
	struct seam_provider *others = base ? &base->seam : &p->seam;
	const struct seam_offer list[] = {{NULL, &wasi_clocks_monotonic_clock_interface, &clock_ops, others},
		{NULL, &wasi_io_poll_interface, &poll_ops, others},
		{NULL, &things_interface, thing_ops, &p->seam}};
	*r = (struct seam_registry){0};
	BUG_ON(!seam_registry_add(r, list, ARRAY_LEN(list), NULL));
	seam_provider_unref(&p->seam, SEAM_HELD_BY_MAKER);
	if (ret)
		*ret = p;
}

static void publish_new(struct seam_link *l, struct test_provider **ret)
{
	struct seam_registry r;
	struct seam_table *t;
	struct err e = {0};
	offer_new(&r, ret);
	if (!seam_table_new(l, &r, &t, &e))
		fail_msg("%s", e.text);
	assert_true(seam_link_publish(l, t));
	seam_registry_release(&r);
	uint32_t alive = __atomic_load_n(&opened, __ATOMIC_RELAXED) - __atomic_load_n(&closed, __ATOMIC_RELAXED);
	if (alive > most)
		most = alive;
}

// ---- the guest --------------------------------------------------------------------------------------------------------------------------

// Imports block, subscribe, now, drop and poll as core functions 1 to 5; exports what a core module does with them as wasi:cli/run.
#define POLL_TYPE                                                                                                                      \
	TYPE "[ 01 42 08 04 00 'pollable' 03 01 01 68 00 01 40 01 'self' 01 01 00 04 00 '[method]pollable.block' 01 02 01 70 01 01 70 79 " \
		 "01 40 01 'in' 03 00 04 04 00 'poll' 01 05 ] "
#define CLOCK_TYPE                                                                                                                                \
	TYPE "[ 01 42 07 02 03 02 01 01 04 00 'pollable' 03 00 00 01 69 01 01 40 01 'when' 77 00 02 04 00 'subscribe-duration' 01 03 01 40 00 00 77 " \
		 "04 00 'now' 01 04 ] "
#define MEMORY_MODULE \
	MODULE "01 [ 01 60 04 7f 7f 7f 7f 01 7f ] 03 [ 01 00 ] 05 [ 01 00 01 ] 07 [ 02 'm' 02 00 'r' 00 00 ] 0a [ 01 [ 00 i32.const #1024 end ] ] "
#define GUEST(module)                                                                                                                                 \
	COMPONENT POLL_TYPE IMPORT "[ 01 00 'wasi:io/poll@0.2.0' 05 00 ] " ALIAS "[ 01 03 00 00 'pollable' ] " CLOCK_TYPE IMPORT                          \
							   "[ 01 00 'wasi:clocks/monotonic-clock@0.2.0' 05 02 ] " ALIAS                                                           \
							   "[ 04 01 00 00 '[method]pollable.block' 01 00 01 'subscribe-duration' 01 00 01 'now' 01 00 00 'poll' ] " CORE_MODULE   \
							   "[ " MEMORY_MODULE "] " CORE_INSTANCE "[ 01 00 00 00 ] " ALIAS "[ 02 00 02 01 00 'm' 00 00 01 00 'r' ] " CANON         \
							   "[ 05 01 00 00 00 01 00 01 00 01 00 02 00 03 01 01 00 03 02 03 00 04 00 ] " CORE_MODULE "[ " module "] " CORE_INSTANCE \
							   "[ 02 01 05 'block' 00 01 'sub' 00 02 'now' 00 03 'drop' 00 04 'poll' 00 05 00 01 01 'h' 12 01 ] " ALIAS               \
							   "[ 01 00 00 01 02 'run' ] " TYPE "[ 02 6a 00 00 40 00 00 03 ] " CANON "[ 01 00 00 06 00 04 ] " INSTANCE                \
							   "[ 01 01 01 00 'run' 01 04 ] " EXPORT "[ 01 00 'wasi:cli/run@0.2.0' 05 02 00 ] "
#define CORE(more, body)                                                                              \
	MODULE "01 [ 06 60 01 7f 00 60 01 7e 01 7f 60 00 01 7e 60 00 01 7f 60 03 7f 7f 7f 00 60 00 00 ] " \
		   "02 [ 05 'h' 'block' 00 00 'h' 'sub' 00 01 'h' 'now' 00 02 'h' 'drop' 00 00 'h' 'poll' 00 04 ] " more "0a [ " body "] "
// Two handles, one made before a wait and one after it; calls with and without; one is left to the reset.
#define USES                                                                                                                                 \
	"[ 01 02 7f i64.const #0 call #1 local.set #0 local.get #0 call #0 call #2 drop i64.const #0 call #1 local.set #1 local.get #1 call #0 " \
	"local.get #0 call #0 local.get #0 call #3 local.get #1 call #0 call #2 drop i32.const #0 end ] "
#define USER GUEST(CORE("03 [ 01 03 ] 07 [ 01 'run' 00 05 ] ", "01 " USES))
// A handle that is made while it starts; run waits for it.
#define STARTER                                                                                     \
	GUEST(CORE("03 [ 02 03 05 ] 06 [ 01 7f 01 i32.const #0 end ] 07 [ 01 'run' 00 05 ] 08 [ 06 ] ", \
		"02 [ 00 global.get #0 call #0 i32.const #0 end ] [ 00 i64.const #0 call #1 global.set #0 end ] "))

// Imports block, sub, make, use and join; a thing is made before and after a wait, and a pollable before it.
#define THINGS_TYPE                                                                                                                                 \
	TYPE "[ 01 42 0b 02 03 02 01 01 04 00 'thing' 03 01 01 69 01 01 40 00 00 02 04 00 'make' 01 03 01 68 01 01 68 00 01 40 02 't' 04 'p' 05 01 00 " \
		 "04 00 'use' 01 06 01 40 02 'a' 04 'b' 04 01 00 04 00 'join' 01 07 ] "
#define THINGS(body)                                                                                                                                                                                                        \
	COMPONENT POLL_TYPE IMPORT                                                                                                                                                                                              \
		"[ 01 00 'wasi:io/poll@0.2.0' 05 00 ] " ALIAS "[ 01 03 00 00 'pollable' ] " CLOCK_TYPE IMPORT "[ 01 00 'wasi:clocks/monotonic-clock@0.2.0' 05 02 ] " THINGS_TYPE IMPORT "[ 01 00 'demo:kept/things' 05 03 ] " ALIAS \
		"[ 05 01 00 00 '[method]pollable.block' 01 00 01 'subscribe-duration' 01 00 02 'make' 01 00 02 'use' 01 00 02 'join' ] " CANON                                                                                      \
		"[ 05 01 00 00 00 01 00 01 00 01 00 02 00 01 00 03 00 01 00 04 00 ] " CORE_MODULE                                                                                                                                   \
		"[ " MODULE "01 [ 04 60 01 7f 00 60 01 7e 01 7f 60 00 01 7f 60 02 7f 7f 00 ] 02 [ 05 'h' 'block' 00 00 'h' 'sub' 00 01 'h' 'make' 00 02 'h' 'use' 00 03 "                                                           \
		"'h' 'join' 00 03 ] 03 [ 01 02 ] 07 [ 01 'run' 00 05 ] 0a [ 01 [ 01 03 7f call #2 local.set #0 i64.const #0 call #1 local.tee #2 call #0 "                                                                          \
		"call #2 local.set #1 " body "i32.const #0 end ] ] ] " CORE_INSTANCE                                                                                                                                                \
		"[ 02 01 05 'block' 00 00 'sub' 00 01 'make' 00 02 'use' 00 03 'join' 00 04 00 00 01 'h' 12 00 ] " ALIAS "[ 01 00 00 01 01 'run' ] " TYPE                                                                           \
		"[ 02 6a 00 00 40 00 00 04 ] " CANON "[ 01 00 00 05 00 05 ] " INSTANCE "[ 01 01 01 00 'run' 01 05 ] " EXPORT                                                                                                        \
		"[ 01 00 'wasi:cli/run@0.2.0' 05 03 00 ] "
#define USE(what) "local.get " what " local.get #2 call #3 "

struct service {
	struct buf bytes;
	struct loaded l;
	struct seam_link *link;
	struct wasi_cli_run_exports run;
	struct canon_limits limits;
	struct seam_grants grants;
	struct canon_image *image;
	struct seam_instance image_seam;
};

struct shard {
	struct service *service;
	struct loop *loop;
	struct vm_shard *vm;
	uint32_t live, calls, failed;
	const uint32_t *stop;  // atomic
	struct seam_tasks *tasks;
	struct seam_task *task;
	struct canon_trap trap;
	struct err e;
	bool ok;
};

static void shard_open(struct shard *s, struct service *v)
{
	struct err e = {0};
	*s = (struct shard){.service = v};
	if (!loop_new(&s->loop, &e) || !vm_shard_new(&s->vm, &e) || !seam_tasks_new(s->loop, s->vm, &s->tasks, &e))
		fail_msg("%s", e.text);
}

static void shard_close(struct shard *s)
{
	seam_tasks_free(s->tasks);
	vm_shard_free(s->vm);
	loop_free(s->loop);
}

static void image_main(void *arg)
{
	struct shard *s = arg;
	struct service *v = s->service;
	s->ok = canon_image_new(s->vm, v->l.canon, seam_link_host(v->link), &v->limits, CANON_INIT_ONCE, &v->image_seam, &s->task->canon, &v->image, &s->trap, &s->e);
}

static void load(struct service *v, const char *text, struct shard *s)
{
	struct seam_registry r;
	struct err e = {0};
	*v = (struct service){0};
	canon_limits_default(&v->limits);
	build_text(&v->bytes, text);
	if (!load_component(&v->l, buf_view(&v->bytes), &e))
		fail_msg("%s at 0x%llx (%s)", e.text, (unsigned long long)e.offset, e.where);
	offer_new(&r, NULL);
	if (!seam_link_new(&r, v->l.comp, &v->link, &e) || !wasi_cli_run_bind(v->l.comp, v->link, &v->run, &e))
		fail_msg("%s (%s)", e.text, e.where);
	seam_registry_release(&r);
	shard_open(s, v);
	seam_instance_init(&v->image_seam, s->loop, &v->grants, NULL);
	s->task = seam_task_new(s->tasks, NULL);
	if (!seam_task_run_to_end(s->task, image_main, s, VM_BUDGET_NONE, NULL) || !s->ok)
		fail_msg("%s %s", s->e.text, s->trap.text);
	seam_task_free(s->task);
}

static void unload(struct service *v)
{
	canon_image_free(v->image);
	seam_link_free(v->link);
	unload_component(&v->l);
	buf_release(&v->bytes);
}

// ---- slots: each calls run again and again ----------------------------------------------------------------------------------------------

struct slot {
	struct shard *shard;
	struct seam_instance seam;
	struct canon_instance *canon;
	struct seam_task *task;
	struct loop_job again;
	struct arena arena;
	struct canon_trap trap;
	bool ok;
};

static void slot_main(void *arg)
{
	struct slot *s = arg;
	struct wasi_result_void_void ret = {0};
	s->ok = canon_slot_is_ready(s->canon) || canon_slot_start(s->canon, &s->task->canon, &s->trap);
	s->ok = s->ok && wasi_cli_run_call_run(s->task, s->canon, &s->shard->service->run, &ret, &s->arena, &s->trap) && !ret.is_err;
}

static void slot_open(struct slot *s, struct shard *h)
{
	struct err e = {0};
	*s = (struct slot){.shard = h};
	arena_init(&s->arena, 0);
	seam_instance_init(&s->seam, h->loop, &h->service->grants, NULL);
	if (!canon_slot_new(h->vm, h->service->image, &s->seam, &s->canon, &e))
		fail_msg("%s", e.text);
}

static void slot_close(struct slot *s)
{
	canon_instance_free(s->canon);
	arena_release(&s->arena);
}

static void slot_done(struct seam_task *t)
{
	struct slot *s = t->owner;
	struct shard *h = s->shard;
	h->calls++;
	h->failed += !s->ok;
	seam_instance_task_end(&s->seam, t);
	seam_task_free(t);
	s->task = NULL;
	arena_clear(&s->arena);
	if (!s->ok || !canon_slot_reset(s->canon))
		fprintf(stderr, "# %s\n", s->trap.text);
	else if (!__atomic_load_n(h->stop, __ATOMIC_RELAXED))
		loop_post(h->loop, &s->again);
	if (!loop_job_is_queued(&s->again) && --h->live == 0)
		loop_stop(h->loop);
}

static void slot_again(struct loop_job *t)
{
	struct slot *s = CONTAINER_OF(t, struct slot, again);
	s->task = seam_task_new(s->shard->tasks, NULL);
	s->task->owner = s;
	BUG_ON(!seam_task_run(s->task, slot_main, s, VM_BUDGET_NONE, slot_done));
}

enum { SHARDS = 3, SLOTS = 8 };

static void *shard_main(void *arg)
{
	struct shard *h = arg;
	struct slot slots[SLOTS];
	const uint32_t *stop = h->stop;
	shard_open(h, h->service);
	h->stop = stop;
	h->live = SLOTS;
	for (int i = 0; i < SLOTS; i++) {
		slot_open(&slots[i], h);
		slots[i].again.fn = slot_again;
		loop_post(h->loop, &slots[i].again);
	}
	loop_run(h->loop);
	for (int i = 0; i < SLOTS; i++)
		slot_close(&slots[i]);
	shard_close(h);
	return NULL;
}

static unsigned descriptors(void)
{
	unsigned n = 0;
	DIR *d = opendir("/proc/self/fd");
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static void bindings_are_replaced_10000_times_under_load(void **state)
{
	static struct shard shards[SHARDS];
	pthread_t threads[SHARDS];
	struct service v;
	struct shard first;
	uint32_t stop = 0, calls = 0, failed = 0;
	load(&v, USER, &first);
	for (int i = 0; i < SHARDS; i++) {
		shards[i] = (struct shard){.service = &v, .stop = &stop};
		assert_int_equal(pthread_create(&threads[i], NULL, shard_main, &shards[i]), 0);
	}
	unsigned before = 0;
	for (int i = 0; i < 10000; i++) {
		if (i == 2000)  // the shards are there
			before = descriptors();
		publish_new(v.link, NULL);
		if (i % 4 == 0)  // so that all shards take part, on however few cores
			usleep(1000);
	}
	assert_in_range(descriptors(), before - 2, before + 2);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < SHARDS; i++) {
		pthread_join(threads[i], NULL);
		calls += shards[i].calls;
		failed += shards[i].failed;
		assert_true(shards[i].calls >= SLOTS);
	}
	assert_int_equal(failed, 0);
	assert_int_equal(strangers, 0);
	assert_int_equal(seam_link_tables(v.link), 1);
	assert_int_equal(opened - closed, 1);  // the one that is bound
	// At a time there are those with a call or a handle, at most two a slot, and what each shard has not taken up.
	assert_in_range(most, 2, SHARDS * (2 * SLOTS + 3) + 3);
	unload(&v);
	shard_close(&first);
	assert_int_equal(opened, closed);
	print_message("# %u calls, at most %u of %u providers at a time, %u resets of what they keep\n", calls, most, opened, resets);
}

// ---- one after the other ------------------------------------------------------------------------------------------------------------------

struct one {
	struct service v;
	struct shard first;
	struct slot slot;
	uint32_t stop;
};

static void one_open(struct one *o, const char *text)
{
	*o = (struct one){.stop = 1};
	load(&o->v, text, &o->first);
	o->first.stop = &o->stop;
	slot_open(&o->slot, &o->first);
	o->first.live = 1;
}

static void one_call(struct one *o)
{
	slot_again(&o->slot.again);
}

static void one_wait(struct one *o)
{
	o->first.live = 1;
	while (o->slot.task)
		loop_run_once(o->first.loop, UINT64_MAX);
	if (!o->slot.ok)
		fail_msg("%s", o->slot.trap.text);
}

static void one_close(struct one *o)
{
	slot_close(&o->slot);
	unload(&o->v);
	shard_close(&o->first);
	assert_int_equal(strangers, 0);
	assert_int_equal(opened, closed);
}

static void a_call_that_is_parked_ends_in_its_table_and_so_does_its_provider(void **state)
{
	struct one o;
	one_open(&o, USER);
	one_call(&o);
	uint32_t before = closed;
	publish_new(o.v.link, NULL);
	for (int i = 0; i < 100; i++)
		loop_run_once(o.first.loop, 0);
	assert_int_equal(closed, before);  // a call is parked in it
	one_wait(&o);
	assert_int_equal(closed, before + 1);
	assert_int_equal(seam_link_tables(o.v.link), 1);
	one_close(&o);
}

static void a_table_that_no_shard_took_up_is_passed_over(void **state)
{
	struct one o;
	struct test_provider *last;
	one_open(&o, USER);
	uint32_t before = closed;
	for (int i = 0; i < 10; i++)
		publish_new(o.v.link, &last);
	assert_int_equal(closed, before + 9);
	loop_run_once(o.first.loop, 0);
	assert_int_equal(closed, before + 10);
	assert_int_equal(last->seam.held[SEAM_HELD_BY_TABLE], 2);  // two bindings
	one_call(&o);
	one_wait(&o);
	one_close(&o);
}

static void objects_of_an_image_keep_their_provider_until_it_is_gone(void **state)
{
	struct one o;
	one_open(&o, STARTER);
	uint32_t before = closed;
	one_call(&o);
	one_wait(&o);
	publish_new(o.v.link, NULL);
	loop_run_once(o.first.loop, 0);
	for (int i = 0; i < 3; i++) {  // the handle goes to the provider that made it
		one_call(&o);
		one_wait(&o);
	}
	assert_int_equal(closed, before);
	struct slot other;
	slot_open(&other, &o.first);  // one that never saw the old table
	slot_close(&other);
	assert_int_equal(closed, before);
	slot_close(&o.slot);
	canon_image_free(o.v.image);
	assert_int_equal(closed, before + 1);
	o.v.image = NULL;
	seam_link_free(o.v.link);
	unload_component(&o.v.l);
	buf_release(&o.v.bytes);
	shard_close(&o.first);
	assert_int_equal(opened, closed);
	assert_int_equal(strangers, 0);
}

static void what_a_provider_keeps_ends_without_a_reset(void **state)
{
	struct one o;
	struct test_provider *first, *second;
	one_open(&o, USER);
	publish_new(o.v.link, &first);
	loop_run_once(o.first.loop, 0);
	one_call(&o);
	publish_new(o.v.link, &second);
	uint32_t before = closed;
	while (o.slot.task && closed == before)
		loop_run_once(o.first.loop, UINT64_MAX);
	assert_non_null(o.slot.task);  // the call goes on, its handle of the first was dropped
	assert_int_equal(second->states, 1);
	one_wait(&o);
	one_close(&o);
}

static void what_shares_resources_has_one_provider(void **state)
{
	struct one o;
	struct seam_registry r = {0};
	struct seam_table *t;
	struct err e = {0};
	struct seam_provider two[2];
	static const struct seam_provider_ops ops = {.name = "half"};
	one_open(&o, USER);
	seam_provider_init(&two[0], &ops);
	seam_provider_init(&two[1], &ops);
	const struct seam_offer list[] = {
		{NULL, &wasi_clocks_monotonic_clock_interface, &clock_ops, &two[0]}, {NULL, &wasi_io_poll_interface, &poll_ops, &two[1]}};
	assert_true(seam_registry_add(&r, list, 2, &e));
	assert_false(seam_table_new(o.v.link, &r, &t, &e));
	assert_int_equal(e.code, ERR_LINK);
	assert_non_null(strstr(e.text, "share resources"));
	seam_registry_release(&r);
	assert_int_equal(two[0].refs + two[1].refs, 2);
	one_close(&o);
}

// Who has things is replaced between the two that are made.
static void things_open(struct one *o, const char *text)
{
	struct seam_registry r;
	offer_new(&r, &base);  // who has the pollables, now and later
	one_open(o, text);
	seam_registry_release(&r);
	n_used = 0;
	one_call(o);
	publish_new(o->v.link, NULL);
	o->first.live = 1;
	while (o->slot.task)
		loop_run_once(o->first.loop, UINT64_MAX);
}

static void things_close(struct one *o)
{
	one_close(o);
	base = NULL;
}

static void what_is_only_passed_on_does_not_say_whose_a_call_is(void **state)
{
	struct one o;
	things_open(&o, THINGS(USE("#0") USE("#1") USE("#0")));
	if (!o.slot.ok)
		fail_msg("%s", o.slot.trap.text);
	assert_int_equal(n_used, 3);
	assert_int_equal(used[1], used[0] + 1);
	assert_int_equal(used[2], used[0]);
	things_close(&o);
}

static void what_two_providers_made_does_not_come_into_one_call(void **state)
{
	struct one o;
	things_open(&o, THINGS("local.get #0 local.get #1 call #4 "));
	assert_false(o.slot.ok);
	assert_non_null(strstr(o.slot.trap.text, "the handles are of different providers"));
	things_close(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_that_is_parked_ends_in_its_table_and_so_does_its_provider),
		cmocka_unit_test(a_table_that_no_shard_took_up_is_passed_over),
		cmocka_unit_test(objects_of_an_image_keep_their_provider_until_it_is_gone),
		cmocka_unit_test(what_a_provider_keeps_ends_without_a_reset),
		cmocka_unit_test(what_shares_resources_has_one_provider),
		cmocka_unit_test(what_is_only_passed_on_does_not_say_whose_a_call_is),
		cmocka_unit_test(what_two_providers_made_does_not_come_into_one_call),
		cmocka_unit_test(bindings_are_replaced_10000_times_under_load),
	};
	struct err e = {0};
	if (!vm_process_init(&e))
		return 1;
	arena_init(&types, 0);
	describe_things();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	arena_release(&types);
	return failed;
}
