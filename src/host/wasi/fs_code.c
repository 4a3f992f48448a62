// What the system says as wasi:filesystem's error-code.
#include <errno.h>

#include "wasi_host.h"
#include "wasi_int.h"

static const struct {
	int errnum;
	uint8_t code;
	const char *text;
} codes[] = {
#define CODE(name, errnum) {errnum, WASI_FILESYSTEM_TYPES_ERROR_CODE_##name, #errnum}
	CODE(ACCESS, EACCES),
	CODE(WOULD_BLOCK, EAGAIN),
	CODE(ALREADY, EALREADY),
	CODE(BAD_DESCRIPTOR, EBADF),
	CODE(BUSY, EBUSY),
	CODE(DEADLOCK, EDEADLK),
	CODE(QUOTA, EDQUOT),
	CODE(EXIST, EEXIST),
	CODE(FILE_TOO_LARGE, EFBIG),
	CODE(ILLEGAL_BYTE_SEQUENCE, EILSEQ),
	CODE(IN_PROGRESS, EINPROGRESS),
	CODE(INTERRUPTED, EINTR),
	CODE(INVALID, EINVAL),
	CODE(IO, EIO),
	CODE(IS_DIRECTORY, EISDIR),
	CODE(LOOP, ELOOP),
	CODE(TOO_MANY_LINKS, EMLINK),
	CODE(MESSAGE_SIZE, EMSGSIZE),
	CODE(NAME_TOO_LONG, ENAMETOOLONG),
	CODE(NO_DEVICE, ENODEV),
	CODE(NO_ENTRY, ENOENT),
	CODE(NO_LOCK, ENOLCK),
	CODE(INSUFFICIENT_MEMORY, ENOMEM),
	CODE(INSUFFICIENT_SPACE, ENOSPC),
	CODE(NOT_DIRECTORY, ENOTDIR),
	CODE(NOT_EMPTY, ENOTEMPTY),
	CODE(NOT_RECOVERABLE, ENOTRECOVERABLE),
	CODE(UNSUPPORTED, EOPNOTSUPP),
	CODE(NO_TTY, ENOTTY),
	CODE(NO_SUCH_DEVICE, ENXIO),
	CODE(OVERFLOW, EOVERFLOW),
	CODE(NOT_PERMITTED, EPERM),
	CODE(PIPE, EPIPE),
	CODE(READ_ONLY, EROFS),
	CODE(INVALID_SEEK, ESPIPE),
	CODE(TEXT_FILE_BUSY, ETXTBSY),
	CODE(CROSS_DEVICE, EXDEV),
	// without a code of their own
	CODE(UNSUPPORTED, ENOSYS),
	CODE(INSUFFICIENT_MEMORY, EMFILE),
	CODE(INSUFFICIENT_MEMORY, ENFILE),
#undef CODE
};

// EIO stands for what is not there.
static size_t find(int errnum)
{
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (codes[i].errnum == errnum)
			return i;
	return find(EIO);
}

uint8_t wasi__file_code(int errnum)
{
	return codes[find(errnum)].code;
}

struct wasi_error wasi__file_error(int errnum)
{
	size_t i = find(errnum);
	return (struct wasi_error){.text = codes[i].text, .of_files = true, .file_code = codes[i].code};
}
