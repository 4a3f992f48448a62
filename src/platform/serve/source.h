// The bytes of a component's file as they were when it was loaded, whatever becomes of the file.
#ifndef TENON_SERVE_SOURCE_H
#define TENON_SERVE_SOURCE_H

#include "serve.h"
#include "wasm/wasm.h"

struct serve_source;
// Opens it. One to which nobody writes but who runs tenon is mapped; what another holds is read, or taken from the cache: nobody who writes to it changes these bytes.
// Whoever has the result has a reference. From any thread, as all of these.
NODISCARD bool serve__source_open(const struct serve_service_config *c, struct serve_source **ret, struct err *e);
struct slice serve__source_bytes(const struct serve_source *s);  // at one address as long as it lives
int serve__source_file(const struct serve_source *s);            // by which its content may be known, until it is kept; borrowed; -1: by none
const uint8_t *serve__source_content(const struct serve_source *s);  // what the bytes hash to, TIER_KEY_SIZE bytes; NULL: nobody knows
// A thread begins with the copy that serve__source_keep puts there, at once: while what was decoded is compiled.
void serve__source_copy_beside(struct serve_source *s, const struct wasm_module *const *modules, uint32_t n);
// From here on its bytes are its own, and the file is nobody's; but the contents of the modules' code sections, which nobody reads any more, become zero. At once,
// or (`later`) behind the first answer, until when the file must stay as it is. false: the file has changed since it was opened. Without memory for a copy the
// file goes on being used.
NODISCARD bool serve__source_keep(struct serve_source *s, const struct wasm_module *const *modules, uint32_t n, bool later, struct err *e);
// Nobody reads much of it from here on: what is mapped of it is read in again where it is wanted.
void serve__source_rests(const struct serve_source *s);
// false: its file has changed before it was kept, and its bytes are not what was loaded.
bool serve__source_is_sound(struct serve_source *s);
bool serve__source_is_kept(struct serve_source *s);  // for tests
void serve__source_unref(struct serve_source *s);

#endif
