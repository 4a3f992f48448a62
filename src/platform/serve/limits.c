// Defaults of limits.def.
#include "serve.h"

void serve_limits_default(struct serve_limits *l, bool server)
{
	*l = (struct serve_limits){
#define SERVE_LIMIT(field, flag, unit, server_default, run_default, help) .field = server ? (server_default) : (run_default),
#include "limits.def"
#undef SERVE_LIMIT
	};
}
