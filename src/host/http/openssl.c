// Loads OpenSSL: the version that we were built against, as the dynamic linker finds it.
#define OPENSSL_BY_NAME
#include "openssl.h"
#include "sys/sys.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define LIBRARY "libssl.so." TEXT(OPENSSL_SHLIB_VERSION)

struct http__openssl http__openssl;

bool http__openssl_load(struct err *e)
{
	static const char *const names[] = {
#define NAME(name) #name,
		OPENSSL_FUNCTIONS(NAME)
#undef NAME
	};
	_Static_assert(sizeof http__openssl == sizeof names, "a pointer each");
	if (sys_library_load(LIBRARY, names, ARRAY_LEN(names), (void **)&http__openssl, e))
		return true;
	return err_hint(e, "TLS is OpenSSL's: Debian's package is libssl3, others' openssl or openssl-libs");
}
