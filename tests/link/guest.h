// A puppet (tests/wasi/puppet.h) whose imports are linked, in this thread.
#ifndef TESTS_LINK_GUEST_H
#define TESTS_LINK_GUEST_H

#include "link_faces.h"
#define PUPPET_ROWS link_faces
#include "../wasi/puppet.h"
#include "link/link.h"

static struct loop *loop;
static struct loop_pool *threads;
static struct link_host *host;
static struct arena guest_arena;
static struct link *guest_link;

static const struct slice *guest_buckets;  // of links that are opened now
static uint32_t guest_n_buckets;

static struct link *open_link(const char *name, const char *target, const char *space)
{
	struct link_target t;
	struct err e = {0};
	struct link *l = NULL;
	struct slice s = slice_str(space);
	struct link_config c = {.app = SLICE_LIT("shop"), .name = slice_str(name), .target = &t, .space = space ? &s : NULL};
	c.buckets = guest_buckets;
	c.n_buckets = guest_n_buckets;
	if (!link_target_parse(&guest_arena, slice_str(target), SLICE_LIT("/tmp"), &t, &e) || !link_new(host, &c, &l, &e))
		fail_msg("%s", e.text);
	return l;
}

static void settle(void)
{
	for (int i = 0; i < 10; i++)
		loop_run_once(loop, 0);
}

static void open_host(uint64_t memory)
{
	struct err e = {0};
	const struct link_host_config c = {.loops = &loop, .n_loops = 1, .threads = threads, .memory_bytes = memory};
	if (!link_host_open(&c, &host, &e))
		fail_msg("%s", e.text);
}

static void close_host(void)
{
	settle();
	link_thread_close(host, loop);
	link_host_close(host);
	host = NULL;
}

static bool offer_links(struct puppet *p, struct err *e)
{
	struct link_row rows[] = {{SLICE_LIT("wasi:keyvalue"), guest_link}, {SLICE_LIT("fermyon:spin/key-value"), guest_link}};
	struct seam_offer *list;
	uint32_t n;
	bool spin = slice_starts_with(slice_str(p->maker.of[0]->name), SLICE_LIT("fermyon:"));
	return link_offers(&guest_arena, p->loaded.comp, &rows[spin], guest_link ? 1 : 0, !guest_link, &list, &n, e) &&
		seam_registry_add(&p->registry, list, n, e);
}

// ---- what a result says: at PUPPET_RESULT ---------------------------------------------------------------------------------------------------

__attribute__((unused)) static uint32_t word_at(struct puppet *p, uint32_t at)
{
	return puppet_word(p, PUPPET_RESULT + at);
}

// A string or list of the guest's memory.
static const char *text_at(struct puppet *p, uint32_t at)
{
	static char text[512];
	uint32_t from = word_at(p, at), n = word_at(p, at + 4);
	assert_true(n < sizeof text);
	for (uint32_t i = 0; i < n; i++)
		text[i] = (char)puppet_peek(p, from + i);
	text[n] = 0;
	return text;
}

static void is_ok(struct puppet *p, uint32_t error_at)
{
	if (puppet_peek(p, PUPPET_RESULT))
		fail_msg("failed: %u %s", puppet_peek(p, PUPPET_RESULT + error_at), text_at(p, error_at + 4));
}

static int setup(void **s)
{
	struct err e = {0};
	if (!vm_process_init(&e) || !vm_shard_new(&shard, &e) || !loop_new(&loop, &e) || !loop_pool_new(&threads, 4, 1000, &e))
		fail_msg("%s", e.text);
	arena_init(&guest_arena, 0);
	return 0;
}

static int teardown(void **s)
{
	loop_pool_free(threads);
	vm_shard_free(shard);
	loop_free(loop);
	arena_release(&guest_arena);
	return 0;
}

#endif
