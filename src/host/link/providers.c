// The types of stores there are: providers.def.
#include "link_int.h"

#define PROVIDER(id, ...) extern const struct link_store_ops link__##id##_ops;
#include "providers.def"
#undef PROVIDER

const struct link_provider link_providers[] = {
#define PROVIDER(id, type, schemes, caps, max_key, max_value, port, path, by_user, keys, durability, consistency) \
	{type, schemes, caps, max_key, max_value, port, path, by_user, keys, durability, consistency, &link__##id##_ops},
#include "providers.def"
#undef PROVIDER
};
const unsigned link_n_providers = ARRAY_LEN(link_providers);
