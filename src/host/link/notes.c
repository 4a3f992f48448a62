// The keys that were written while all are copied: each once, bounded.
#include "link_int.h"

enum { NOTES_MAX = 1000000, NOTES_BYTES = 64 << 20 };

void link__notes_init(struct link__notes *n)
{
	*n = (struct link__notes){0};
	arena_init(&n->arena, NOTES_BYTES);
	map_init(&n->map, &n->arena);
}

void link__notes_release(struct link__notes *n)
{
	arena_release(&n->arena);
	*n = (struct link__notes){0};
}

void link__notes_moved(struct link__notes *n)
{
	n->map.arena = &n->arena;
}

// The key of the map: which bytes are the bucket's tells its length, before them.
void link__notes_put(struct link__notes *n, struct slice bucket, struct slice key)
{
	uint64_t length = bucket.len;
	uint8_t short_text[512], *text = sizeof length + bucket.len + key.len <= sizeof short_text ? short_text : NULL;
	struct arena_mark mark = arena_mark(&n->arena);
	struct slice both = {NULL, sizeof length + bucket.len + key.len};
	bool no_memory = false;
	if (!text && !(text = arena_alloc(&n->arena, both.len, 1))) {
		n->is_full = true;
		return;
	}
	memcpy(text, &length, sizeof length);
	memcpy(text + sizeof length, bucket.ptr, bucket.len);
	if (key.len)
		memcpy(text + sizeof length + bucket.len, key.ptr, key.len);
	both.ptr = text;
	if (map_has(&n->map, both)) {
		arena_rewind(&n->arena, mark);
		return;
	}
	struct slice kept = both;
	if (text == short_text && !slice_dup(&n->arena, both, &kept)) {
		n->is_full = true;
		return;
	}
	struct link_key k = {slice_sub(kept, sizeof length, bucket.len), slice_sub(kept, sizeof length + bucket.len, SIZE_MAX)};
	if (!VEC_PUSH(&n->arena, &n->list, k, NOTES_MAX) || !map_insert(&n->map, kept, 0, &no_memory))
		n->is_full = true;
}
