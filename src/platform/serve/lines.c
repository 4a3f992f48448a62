// The last lines of the log, for who asks a running server: a ring, bounded by number and bytes.
#include "serve_int.h"

enum { LINES = 2048, LINES_BYTES = 1 << 20 };

static struct {
	struct spinlock lock;
	bool on;
	uint64_t next;  // from 1
	uint32_t n;
	size_t bytes;
	struct buf ring[LINES];
	void (*told)(void *user);
	void *user;
} lines = {.next = 1};

// Within the lock; what it had is the caller's to release.
static struct buf take_oldest(void)
{
	struct buf *at = &lines.ring[(lines.next - lines.n) % LINES], old = *at;
	*at = (struct buf){0};
	lines.n--;
	lines.bytes -= old.len;
	return old;
}

void serve__line_keep(struct buf *b)
{
	bool kept = false;
	while (__atomic_load_n(&lines.on, __ATOMIC_RELAXED) && !b->failed && b->len <= LINES_BYTES && !kept) {
		struct buf old = {0};
		spinlock_lock(&lines.lock);
		if (lines.n == LINES || (lines.n && lines.bytes + b->len > LINES_BYTES)) {
			old = take_oldest();
		} else {
			lines.ring[lines.next++ % LINES] = *b;
			lines.n++;
			lines.bytes += b->len;
			kept = true;
			if (lines.told)
				lines.told(lines.user);  // within the lock: who listens may stop listening
		}
		spinlock_unlock(&lines.lock);
		buf_release(&old);
	}
	if (!kept)
		buf_release(b);
}

void serve_log_keep(void (*told)(void *user), void *user)
{
	spinlock_lock(&lines.lock);
	lines.told = told;
	lines.user = user;
	spinlock_unlock(&lines.lock);
	__atomic_store_n(&lines.on, told != NULL, __ATOMIC_RELAXED);
}

uint64_t serve_log_lines(uint64_t *after, uint32_t most, void (*fn)(void *user, uint64_t id, struct slice line), void *user)
{
	uint64_t lost = 0;
	spinlock_lock(&lines.lock);
	uint64_t first = lines.next - lines.n;
	if (*after && *after + 1 < first)
		lost = first - *after - 1;
	for (uint64_t id = max_u64(*after + 1, first); id < lines.next && most--; id++) {
		fn(user, id, buf_view(&lines.ring[id % LINES]));
		*after = id;
	}
	spinlock_unlock(&lines.lock);
	return lost;
}
