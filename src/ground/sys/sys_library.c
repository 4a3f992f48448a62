// Libraries that are loaded only by who needs them.
#include "sys.h"

#include <dlfcn.h>
#include <pthread.h>

bool sys_library_load(const char *library, const char *const *names, size_t n, void **functions, struct err *e)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	bool ok = true;
	pthread_mutex_lock(&lock);
	void *handle = functions[n - 1] ? NULL : dlopen(library, RTLD_NOW | RTLD_LOCAL);
	if (!functions[n - 1] && !handle)
		ok = err_set(e, ERR_ENV, "cannot load %s: %s", library, dlerror());
	for (size_t i = 0; ok && handle && i < n; i++) {
		functions[i] = dlsym(handle, names[i]);
		if (!functions[i])
			ok = err_set(e, ERR_ENV, "%s has no %s", library, names[i]);
	}
	pthread_mutex_unlock(&lock);
	return ok;
}
