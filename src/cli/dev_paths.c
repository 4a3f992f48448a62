// Which files a build itself writes, where it writes where it is watched: else it would be built for ever.
//
//   changed in a build, and was not known ──► noted: built once more, for somebody may have saved it
//     in the next one it holds the same again, or it has changed in OFTEN of them ──► an output: its changes in a build are the build's
//       changed while nothing is built ──► noted, and by hand: more is asked for before it is an output again
//
// 1. What a build made and took away again counts for nothing. Names that are new each time (and what finds no room) make no more than OFTEN builds, until something
//    is changed by hand.
// 2. What becomes an output by its number of changes is built once more: the last of them may have been somebody's.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dev.h"

enum { PATHS_MAX = 1 << 16, OFTEN = 4, OFTEN_BY_HAND = 8, SAME_BY_HAND = 3, CONTENT = 1 << 20 };

struct path {
	struct slice text;
	uint64_t content;       // after the last build that it changed in; 0: it was not there
	uint32_t changes, same;  // builds that it changed in; those of them, in a row, after which it was the same as before
	bool is_seen, is_made;  // in this build
	bool is_by_hand, is_output;
};
struct dev_paths {
	struct arena arena;
	struct map by_text;
	VEC(struct path)
	list;
	VEC(uint32_t)
	seen;  // in this build
	uint32_t once_more;  // builds that changes in builds have made, since one by hand
	bool is_full;
};

static void forget(struct dev_paths *p)
{
	map_release(&p->by_text);
	map_init(&p->by_text, NULL);
	arena_clear(&p->arena);
	p->list.len = p->seen.len = 0;
	p->is_full = false;
}

bool dev_paths_new(struct dev_paths **ret, struct err *e)
{
	*ret = mem_zalloc(sizeof **ret);
	if (!*ret)
		return err_nomem(e);
	arena_init(&(*ret)->arena, 32 << 20);
	map_init(&(*ret)->by_text, NULL);
	return true;
}

void dev_paths_free(struct dev_paths *p)
{
	if (!p)
		return;
	map_release(&p->by_text);
	arena_release(&p->arena);
	VEC_FREE(&p->list);
	VEC_FREE(&p->seen);
	mem_free(p);
}

static struct path *find(const struct dev_paths *p, struct slice text)
{
	uintptr_t i;
	return map_get(&p->by_text, text, &i) ? &p->list.ptr[i] : NULL;
}

// NULL: there is no room.
static struct path *find_or_add(struct dev_paths *p, struct slice text)
{
	struct path *x = find(p, text), new = {0};
	bool nomem;
	if (x)
		return x;
	if (slice_dup(&p->arena, text, &new.text) && VEC_PUSH(NULL, &p->list, new, PATHS_MAX)) {
		if (map_insert(&p->by_text, new.text, p->list.len - 1, &nomem))
			return &p->list.ptr[p->list.len - 1];
		p->list.len--;
	}
	p->is_full = true;
	return NULL;
}

bool dev_paths_note(struct dev_paths *p, struct slice text, bool made)
{
	struct path *x = find_or_add(p, text);
	if (!x || x->is_seen)
		return false;
	if (!VEC_PUSH(NULL, &p->seen, (uint32_t)(x - p->list.ptr), PATHS_MAX)) {
		p->is_full = true;
		return false;
	}
	x->is_seen = true;
	x->is_made = made;
	return !made && !x->changes;
}

void dev_paths_by_hand(struct dev_paths *p, struct slice text)
{
	struct path *x = find_or_add(p, text);
	p->once_more = 0;
	if (x) {
		x->is_by_hand = true;
		x->is_output = false;
		x->changes = x->same = 0;
	}
}

bool dev_paths_is_output(const struct dev_paths *p, struct slice text)
{
	const struct path *x = find(p, text);
	return x && x->is_output;
}

// Of large files the length, the beginning and the end.
static uint64_t content_of(const char *path, uint8_t *room)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	uint64_t of[3] = {0};
	if (fd < 0 || fstat(fd, &st) != 0) {
		if (fd >= 0)
			close(fd);
		return dev_is_there(path) ? 1 : 0;
	}
	of[0] = (uint64_t)st.st_size;
	for (unsigned i = 0; S_ISREG(st.st_mode) && i < 2 && (!i || st.st_size > CONTENT); i++) {
		ssize_t n = pread(fd, room, CONTENT, i ? (st.st_size > 2 * CONTENT ? st.st_size - CONTENT : CONTENT) : 0);
		of[1 + i] = n > 0 ? hash_u64(slice_of(room, (size_t)n)) : 0;
	}
	close(fd);
	return hash_u64(slice_of(of, sizeof of)) | 2;
}

// true: it is built once more for it.
static bool settle_one(struct path *x, uint64_t content, bool may_be_new)
{
	bool is_same = x->changes && content == x->content, is_new = !x->changes && !x->is_by_hand && x->is_made;
	x->is_seen = false;
	if (is_new && !content)
		return false;
	x->changes++;
	x->same = is_same ? x->same + 1 : 0;
	x->content = content;
	if (x->same >= (x->is_by_hand ? SAME_BY_HAND : 1) || x->changes >= (x->is_by_hand ? OFTEN_BY_HAND : OFTEN)) {
		x->is_output = true;
		return !is_same;
	}
	return !is_new || may_be_new;
}

bool dev_paths_settle(struct dev_paths *p)
{
	bool may_be_new = p->once_more < OFTEN, again = false;
	uint8_t *room = p->seen.len ? mem_alloc(CONTENT) : NULL;
	for (uint32_t i = 0; i < p->seen.len; i++) {
		struct path *x = &p->list.ptr[p->seen.ptr[i]];
		again |= settle_one(x, room ? content_of((const char *)x->text.ptr, room) : 0, may_be_new);
	}
	mem_free(room);
	p->seen.len = 0;
	again = p->is_full ? may_be_new : again;
	p->once_more += again;
	if (p->is_full)
		forget(p);
	return again;
}
