// Random bytes: the kernel's, and of a generator that the kernel keys (fast key erasure).
//
// 1. What was given is wiped, and each refill has a key that the one before made: who reads the memory later learns nothing of what was given.
// 2. Its state lies on a page of its own that a child finds zeroed and a core dump leaves out. It is host memory: no image of a guest holds it.
// 3. Its key is the kernel's again after REKEY_BYTES and after REKEY_NS: a machine that was copied goes apart that soon.
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

#include "sys.h"

enum { PIECE = CHACHA_BLOCKS - CHACHA_KEY, REKEY_BYTES = 1 << 16 };
#define REKEY_NS 1000000000ull

// Zero is one without a key.
struct sys_generator {
	uint8_t key[CHACHA_KEY], bytes[PIECE];
	size_t left;        // the last so many of `bytes` were not given yet
	uint64_t made;      // bytes by this key and those it made
	uint64_t keyed_ns;  // CLOCK_MONOTONIC_COARSE; 0: it has no key
};

static bool from_kernel(void *into, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t got = getrandom((uint8_t *)into + at, n - at, 0);
		if (got < 0 && errno != EINTR)
			return false;
		at += got > 0 ? (size_t)got : 0;
	}
	return true;
}

void sys_random(void *into, size_t n)
{
	bool ok = from_kernel(into, n);
	BUG_ON(!ok);
}

struct sys_generator *sys_generator_new(void)
{
	_Static_assert(sizeof(struct sys_generator) <= SYS_PAGE, "on one page");
	struct sys_generator *g = sys_map_anonymous(SYS_PAGE);
	if (g && (madvise(g, SYS_PAGE, MADV_WIPEONFORK) < 0 || madvise(g, SYS_PAGE, MADV_DONTDUMP) < 0)) {
		sys_unmap(g, SYS_PAGE);
		g = NULL;
	}
	return g;
}

void sys_generator_free(struct sys_generator *g)
{
	if (!g)
		return;
	explicit_bzero(g, sizeof *g);
	sys_unmap(g, SYS_PAGE);
}

static uint64_t coarse_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec + 1;
}

// Lets go of what is left of a key that is too old.
static bool rekey(struct sys_generator *g)
{
	uint64_t now = coarse_ns();
	if (g->keyed_ns && g->made < REKEY_BYTES && now - g->keyed_ns < REKEY_NS)
		return true;
	explicit_bzero(g, sizeof *g);
	if (!from_kernel(g->key, sizeof g->key))
		return false;
	g->keyed_ns = now;
	return true;
}

static void refill(struct sys_generator *g)
{
	uint8_t blocks[CHACHA_BLOCKS];
	chacha_blocks(g->key, 0, blocks);
	memcpy(g->key, blocks, sizeof g->key);
	memcpy(g->bytes, blocks + sizeof g->key, sizeof g->bytes);
	explicit_bzero(blocks, sizeof blocks);
	g->left = sizeof g->bytes;
	g->made += sizeof g->bytes;
}

bool sys_generator_take(struct sys_generator *g, void *into, size_t n)
{
	if (!g || n > SYS_GENERATOR_MAX)
		return from_kernel(into, n);
	if (!rekey(g))
		return false;
	for (uint8_t *to = into; n;) {
		if (!g->left)
			refill(g);
		size_t k = n < g->left ? n : g->left;
		uint8_t *from = g->bytes + sizeof g->bytes - g->left;
		memcpy(to, from, k);
		memset(from, 0, k);
		g->left -= k;
		to += k;
		n -= k;
	}
	return true;
}
