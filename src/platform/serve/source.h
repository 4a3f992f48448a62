// The bytes of a component's file as they were when it was read, whatever becomes of the file.
#ifndef TENON_SERVE_SOURCE_H
#define TENON_SERVE_SOURCE_H

#include "serve.h"
#include "tier/tier.h"
#include "wasm/wasm.h"

struct serve_source;
// Opens it. Whoever has the result has a reference. From any thread, as all of these.
NODISCARD bool serve__source_open(const struct serve_service_config *c, struct serve_source **ret, struct err *e);
// What it holds, once and whole: from the cache, or read. ERR_ENV, with a hint: it was written to meanwhile.
NODISCARD bool serve__source_read(struct serve_source *s, struct err *e);
struct slice serve__source_bytes(const struct serve_source *s);  // at one address as long as it lives; empty: they were not read
// Until it is read: what the file held when it had what it is known by. Then: what the bytes hash to. TIER_KEY_SIZE bytes; NULL: nobody knows.
const uint8_t *serve__source_content(const struct serve_source *s);
void serve__source_hashes_to(struct serve_source *s, const uint8_t content[TIER_KEY_SIZE]);
// Behind the first answer: the cache keeps what was read, and the bytes become a copy in sealed memory, but the contents of the modules' code sections, which nobody
// reads any more, become zero. Without memory for a copy they stay.
void serve__source_keep(struct serve_source *s, const struct wasm_module *const *modules, uint32_t n);
// Instead of that: somebody else has these bytes; only what the file hashes to is remembered.
void serve__source_note(const struct serve_source *s);
// Nobody reads much of it from here on: what is mapped of a large file is read in again where it is wanted.
void serve__source_rests(const struct serve_source *s);
bool serve__source_is_kept(const struct serve_source *s);  // it is such a copy
void serve__source_unref(struct serve_source *s);

#endif
