#include "wasi_host.h"
#include "wasi_int.h"

bool wasi_register(struct seam_registry *r, struct err *e)
{
	return seam_registry_add(r, wasi_host_interfaces, ARRAY_LEN(wasi_host_interfaces), e);
}
