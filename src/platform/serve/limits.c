// Defaults of limits.def, and what a call may spend.
#include "serve_int.h"

void serve_limits_default(struct serve_config *c, bool server)
{
#define SERVE_LIMIT(scope, field, flag, unit, commands, server_default, run_default, help) c->scope.limits.field = server ? (server_default) : (run_default);
#include "app/limits.def"
#undef SERVE_LIMIT
}

struct vm_budget serve__budget(const struct serve_service_limits *l, uint64_t now_ns)
{
	return (struct vm_budget){l->cpu ? l->cpu : UINT64_MAX, l->deadline ? sat_add_u64(now_ns, l->deadline) : UINT64_MAX};
}
