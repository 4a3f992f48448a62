// Where this machine's roots of trust are, for who wants to tell: they are looked up when a certificate is checked, not before.
#include <stdlib.h>

#include "http.h"
#include "openssl.h"
#include "sys/sys.h"

const char *http_tls_roots(struct err *e)
{
	if (!http__openssl_load(e))
		return NULL;
	const char *file = getenv(X509_get_default_cert_file_env()), *folder = getenv(X509_get_default_cert_dir_env());
	if (!file)
		file = X509_get_default_cert_file();
	if (sys_file_stamp(file))
		return file;
	if (!folder)
		folder = X509_get_default_cert_dir();
	int fd = sys_open_folder(folder);
	uint8_t entries[4096];
	int64_t n = fd < 0 ? 0 : sys_list(fd, entries, sizeof entries);
	size_t at = 0;
	bool any = false;
	struct sys_entry entry;
	while (n > 0 && sys_entry_next(slice_of(entries, (size_t)n), &at, &entry))
		any |= !slice_eq_str(entry.name, ".") && !slice_eq_str(entry.name, "..");
	if (fd >= 0)
		sys_close(fd);
	return any ? folder : NULL;
}
