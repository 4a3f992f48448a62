// Files that others write to: what they held is kept in files of the cache's own, so that a warm start neither reads nor hashes them.
//
// 1. Bytes can change beneath times that stay (a mapping that was written to before): what such a file is known by says what it held when it was read, not what
//    it holds. So nothing is taken from it: who finds an entry has the bytes from there, all of them, and what they hash to.
// 2. An entry is the bytes, then a foot: whose it is, and the hash. One that came to another's name, or of another length, is none.
#include "tier_int.h"

struct foot {
	char magic[8];
	struct tier_key by_stat, content;
};
static const char foot_magic[8] = "TENONB1";

static bool read_foot(int fd, uint64_t size, const struct tier_key *by_stat, struct tier_bytes *ret)
{
	struct foot foot;
	if (sys_file.read(fd, &foot, sizeof foot, size, false) != sizeof foot || memcmp(foot.magic, foot_magic, sizeof foot_magic) != 0 ||
		memcmp(foot.by_stat.bytes, by_stat->bytes, TIER_KEY_SIZE) != 0)
		return false;
	memcpy(ret->content, foot.content.bytes, TIER_KEY_SIZE);
	return true;
}

int tier_bytes_find(int file, uint64_t size, struct tier_bytes *ret)
{
	struct tier__identity id;
	struct tier__entry entry;
	*ret = (struct tier_bytes){0};
	int cache = tier__cache_open(NULL), fd = -1;  // why there is none is said by who looks for code
	if (cache < 0)
		return -1;
	if (tier__identity_of(file, size, &id)) {
		memcpy(ret->by_stat, id.by_stat.bytes, TIER_KEY_SIZE);
		ret->settled = id.settled;
		fd = tier__cache_get(cache, &id.by_stat, "bytes", &entry);
	}
	if (fd >= 0 && (entry.size != size + sizeof(struct foot) || !read_foot(fd, size, &id.by_stat, ret))) {
		sys_close(fd);
		fd = -1;
		tier__cache_remove(cache, &id.by_stat, "bytes");
	}
	sys_close(cache);
	return fd;
}

struct keep {
	struct tier__job job;
	struct tier_key by_stat;
	struct slice bytes;
	void (*done)(void *arg);
	void *arg;
};

static void keep_drop(struct tier__job *job)
{
	struct keep *k = CONTAINER_OF(job, struct keep, job);
	k->done(k->arg);
	mem_free(k);
}

static bool write_bytes(int fd, void *arg)
{
	const struct keep *k = arg;
	struct foot foot = {.by_stat = k->by_stat};
	memcpy(foot.magic, foot_magic, sizeof foot_magic);
	tier__key_of(k->bytes, &foot.content);
	return sys_write_at(fd, k->bytes.ptr, k->bytes.len, 0) == 0 && sys_write_at(fd, &foot, sizeof foot, k->bytes.len) == 0;
}

static void keep(struct tier__job *job)
{
	struct keep *k = CONTAINER_OF(job, struct keep, job);
	int cache = tier__cache_open(NULL);
	if (cache >= 0) {
		tier__cache_put(cache, &k->by_stat, "bytes", write_bytes, k, TIER__CACHE_MAX);
		sys_close(cache);
	}
	keep_drop(job);
}

void tier_bytes_keep(const struct tier_bytes *of, struct slice bytes, void (*done)(void *arg), void *arg)
{
	struct keep *k = of->settled ? mem_zalloc(sizeof *k) : NULL;
	if (!k) {
		done(arg);
		return;
	}
	*k = (struct keep){.job = {.fn = keep, .drop = keep_drop, .must = true, .bytes = bytes.len}, .bytes = bytes, .done = done, .arg = arg};
	memcpy(k->by_stat.bytes, of->by_stat, TIER_KEY_SIZE);
	tier__behind(&k->job);
}
