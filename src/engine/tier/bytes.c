// What files held, in files of the cache's own: who loads one never has the file itself beneath him, to which somebody may write at any time, or which he cuts short.
//
// 1. Bytes can change beneath times that stay (a mapping that was written to before): what a file is known by says what it held when it was read, not what
//    it holds. So nothing is taken from it: who finds an entry has the bytes from there, all of them, and what they hash to.
// 2. An entry is the bytes, then a foot: what they hash to, by which it is called. One that came to another's name, or of another length, is none; nor is one that
//    is damaged, which is looked at once for each file written, as of all entries (cache.c), by a hash that takes a tenth of the other's time.
// 3. Copies of a file have one entry, and each says what it hashes to (cache.c, identity).
#include "tier_int.h"

struct foot {
	char magic[8];
	struct tier_key content;
	struct hash128 damage;  // of the bytes
};
static const char foot_magic[8] = "TENONB3";

static bool read_foot(int fd, uint64_t size, const struct tier_key *content, struct foot *ret)
{
	return sys_file.read(fd, ret, sizeof *ret, size, false) == sizeof *ret && memcmp(ret->magic, foot_magic, sizeof foot_magic) == 0 &&
		memcmp(&ret->content, content, sizeof ret->content) == 0;
}

bool tier_bytes_know(int file, uint64_t size, struct tier_bytes *ret)
{
	struct tier__identity id;
	struct tier_key content;
	*ret = (struct tier_bytes){0};
	int cache = tier__cache_open(NULL);  // why there is none is said by who looks for code
	if (cache < 0)
		return false;
	bool known = tier__identity_find(cache, file, size, &id, &content);
	sys_close(cache);
	memcpy(ret->by_stat, id.by_stat.bytes, TIER_KEY_SIZE);
	ret->settled = id.settled;
	if (known)
		memcpy(ret->content, content.bytes, TIER_KEY_SIZE);
	return known;
}

// Once.
static bool is_undamaged(int cache, int fd, uint64_t size, const struct foot *foot, const struct tier__entry *entry)
{
	void *p = entry->checked ? NULL : sys_map_shared_read(fd, size);
	if (!p)
		return entry->checked;
	struct hash128 found = hash_128(slice_of(p, size));
	sys_unmap(p, size);
	bool is = memcmp(&found, &foot->damage, sizeof found) == 0;
	if (is)
		tier__cache_note_checked(cache, &foot->content, "bytes", entry);
	return is;
}

// Those of the cache's files that aren't these bytes are removed.
static int open_entry(int cache, const struct tier_key *content, uint64_t size)
{
	struct tier__entry entry;
	struct foot foot;
	int fd = tier__cache_get(cache, content, "bytes", &entry);
	if (fd < 0 || (entry.size == size + sizeof foot && read_foot(fd, size, content, &foot) && is_undamaged(cache, fd, size, &foot, &entry)))
		return fd;
	sys_close(fd);
	tier__cache_remove(cache, content, "bytes");
	return -1;
}

static struct tier_key content_of(const struct tier_bytes *of)
{
	struct tier_key content;
	memcpy(content.bytes, of->content, TIER_KEY_SIZE);
	return content;
}

int tier_bytes_open(const struct tier_bytes *of, uint64_t size)
{
	struct tier_key content = content_of(of);
	int cache = tier__cache_open(NULL), fd = cache < 0 ? -1 : open_entry(cache, &content, size);
	sys_close(cache);
	return fd;
}

struct keep {
	struct tier__job job;
	struct tier__identity id;
	struct tier_key content;
	struct slice bytes;
	void (*done)(void *arg);
	void *arg;
};

static void keep_drop(struct tier__job *job)
{
	struct keep *k = CONTAINER_OF(job, struct keep, job);
	if (k->done)
		k->done(k->arg);
	mem_free(k);
}

static bool write_bytes(int fd, void *arg)
{
	const struct keep *k = arg;
	struct foot foot = {.content = k->content, .damage = hash_128(k->bytes)};
	memcpy(foot.magic, foot_magic, sizeof foot_magic);
	return sys_write_at(fd, k->bytes.ptr, k->bytes.len, 0) == 0 && sys_write_at(fd, &foot, sizeof foot, k->bytes.len) == 0;
}

static void keep(struct tier__job *job)
{
	struct keep *k = CONTAINER_OF(job, struct keep, job);
	int cache = tier__cache_open(NULL), there = cache < 0 || !k->bytes.len ? -1 : open_entry(cache, &k->content, k->bytes.len);
	if (cache >= 0 && there < 0 && k->bytes.len)
		tier__cache_put(cache, &k->content, "bytes", write_bytes, k, TIER__CACHE_MAX);
	if (cache >= 0)
		tier__identity_keep(cache, &k->id, &k->content);
	sys_close(there);
	sys_close(cache);
	keep_drop(job);
}

void tier_bytes_keep(const struct tier_bytes *of, struct slice bytes, void (*done)(void *arg), void *arg)
{
	struct keep *k = of->settled ? mem_zalloc(sizeof *k) : NULL;
	if (!k) {
		if (done)
			done(arg);
		return;
	}
	*k = (struct keep){.job = {.fn = keep, .drop = keep_drop, .must = true, .bytes = bytes.len}, .content = content_of(of), .bytes = bytes, .done = done, .arg = arg};
	memcpy(k->id.by_stat.bytes, of->by_stat, TIER_KEY_SIZE);
	k->id.settled = true;
	tier__identity_remember(&k->id, &k->content);
	tier__behind(&k->job);
}
