// What the system says as wasi:sockets' error-code.
#include <errno.h>

#include "socket_int.h"
#include "wasi_host.h"

static const struct {
	int errnum;
	uint8_t code;
	const char *text;
} codes[] = {
#define CODE(name, errnum) {errnum, WASI_SOCKETS_NETWORK_ERROR_CODE_##name, #errnum}
	CODE(UNKNOWN, 0),
	CODE(ACCESS_DENIED, EACCES),
	CODE(ACCESS_DENIED, EPERM),
	CODE(NOT_SUPPORTED, EOPNOTSUPP),
	CODE(NOT_SUPPORTED, ENOPROTOOPT),
	CODE(NOT_SUPPORTED, EPROTONOSUPPORT),
	CODE(NOT_SUPPORTED, EAFNOSUPPORT),
	CODE(INVALID_ARGUMENT, EINVAL),
	CODE(OUT_OF_MEMORY, ENOMEM),
	CODE(OUT_OF_MEMORY, ENOBUFS),
	CODE(TIMEOUT, ETIMEDOUT),
	CODE(CONCURRENCY_CONFLICT, EALREADY),
	CODE(NOT_IN_PROGRESS, ESRCH),
	CODE(WOULD_BLOCK, EAGAIN),
	CODE(INVALID_STATE, EISCONN),
	CODE(INVALID_STATE, ENOTCONN),
	CODE(INVALID_STATE, EDESTADDRREQ),
	CODE(NEW_SOCKET_LIMIT, EMFILE),
	CODE(NEW_SOCKET_LIMIT, ENFILE),
	CODE(ADDRESS_NOT_BINDABLE, EADDRNOTAVAIL),
	CODE(ADDRESS_IN_USE, EADDRINUSE),
	CODE(REMOTE_UNREACHABLE, EHOSTUNREACH),
	CODE(REMOTE_UNREACHABLE, EHOSTDOWN),
	CODE(REMOTE_UNREACHABLE, ENETUNREACH),
	CODE(REMOTE_UNREACHABLE, ENETDOWN),
	CODE(REMOTE_UNREACHABLE, ENONET),
	CODE(CONNECTION_REFUSED, ECONNREFUSED),
	CODE(CONNECTION_RESET, ECONNRESET),
	CODE(CONNECTION_RESET, EPIPE),
	CODE(CONNECTION_ABORTED, ECONNABORTED),
	CODE(DATAGRAM_TOO_LARGE, EMSGSIZE),
#undef CODE
};

// The first row stands for what is not there.
static size_t find(int errnum)
{
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (codes[i].errnum == errnum)
			return i;
	return 0;
}

uint8_t wasi__socket_code(int errnum)
{
	return codes[find(errnum)].code;
}

struct wasi_error wasi__socket_error(int errnum)
{
	size_t i = find(errnum);
	return (struct wasi_error){.text = i ? codes[i].text : "unknown", .of_sockets = true, .socket_code = codes[i].code};
}
