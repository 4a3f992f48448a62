// Host functions that no guest can reach yet: they take a handle of a resource that nothing makes while it is not granted. They exist so that every
// component links (W2), and trap should they ever be called.
#ifndef TENON_WASI_UNREACHED_H
#define TENON_WASI_UNREACHED_H

#include "wasi_int.h"
#include "wasi_provider.h"

#define UNREACHED(name, type)                                                             \
	enum seam_result name(struct seam_call *c, const struct name##_args *args, type *ret) \
	{                                                                                     \
		return seam_trap(c, "no such handle can exist");                                  \
	}
#define UNREACHED_VOID(name)                                                   \
	enum seam_result name(struct seam_call *c, const struct name##_args *args) \
	{                                                                          \
		return seam_trap(c, "no such handle can exist");                       \
	}
#define UNREACHED_DROP(name)                          \
	void name(struct canon_instance *i, void *object) \
	{                                                 \
	}
#define UNREACHED_REMAKE(name)                                          \
	bool name(struct canon_instance *i, const void *object, void **ret) \
	{                                                                   \
		return false;                                                   \
	}

#endif
