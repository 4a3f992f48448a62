// Components by their content: what depends on the bytes alone, one for all versions of all apps that serve the same.
#ifndef TENON_SERVE_COMPONENT_H
#define TENON_SERVE_COMPONENT_H

#include "canon/canon.h"
#include "comp/comp.h"
#include "serve.h"
#include "source.h"
#include "tier/tier.h"
#include "vm/vm.h"

struct serve_component_image {
	struct vm_image *vm;  // counted; NULL: none
	bool sealed;          // never a file of the cache
	size_t variant_size, extra_size;
	uint8_t variant[64], extra[256];  // what it depends on besides; what canon keeps with it
};
struct serve_component {
	struct serve_source *source;
	struct slice file;              // its bytes
	struct comp_component *comp;    // NULL: a core module
	struct vm_module **modules;
	uint32_t n_modules;
	struct canon_component *canon;  // NULL: a core module, or it can't be linked
	struct tier_stats tier;
	struct arena arena;
	bool compiles;  // any thread: behind the first answer, what was not called
	// Under the lock of component.c.
	struct serve_component *next;
	bool in_list;
	uint32_t refs, n_images;
	uint8_t key[TIER_KEY_SIZE];
	struct serve_component_image images[4];  // the last that were pure, by turns
};
// From any thread. *ret holds a reference; *ret_cached (also where it fails; NULL: it came not so far) is closed by the caller.
NODISCARD bool serve__component_load(const struct serve_service_config *c, struct tier_file **ret_cached, struct serve_component **ret, struct err *e);
void serve__component_unref(struct serve_component *k);
// Instances that are made now are to get other code later (canon_slot_relink). From any thread.
bool serve__component_compiles(const struct serve_component *k);
// An image of it that equals what would be taken or loaded; ret->vm is counted for the caller. false: there is none. `sealed`: as tier_file_load_image.
bool serve__component_image(struct serve_component *k, struct slice variant, bool sealed, struct serve_component_image *ret);
void serve__component_keep_image(struct serve_component *k, struct slice variant, bool sealed, struct vm_image *vm, struct slice extra);

#endif
