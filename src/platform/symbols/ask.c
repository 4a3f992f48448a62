// Starts the process that reads DWARF, and takes what it says.
#include "symbols_int.h"

#include <stdio.h>

#include "sys/sys.h"

#define PATIENCE (2 * SECOND)

bool symbols__ask(const struct wasm_module *m, const uint32_t *addresses, uint32_t n, struct buf *ret)
{
	char size_text[24], texts[VM_BACKTRACE_MAX][12], name[] = SYMBOLS__ARGV0;
	char *argv[VM_BACKTRACE_MAX + 3] = {name, size_text};
	uint64_t size;
	struct sys_child child;
	BUG_ON(n > VM_BACKTRACE_MAX);
	int fd = symbols__image(m, &size);
	uint8_t *into = fd < 0 ? NULL : buf_reserve(ret, SYMBOLS__ANSWER_MAX);
	if (!into) {
		if (fd >= 0)
			sys_close(fd);
		return false;
	}
	snprintf(size_text, sizeof size_text, "%llu", (unsigned long long)size);
	for (uint32_t i = 0; i < n; i++) {
		snprintf(texts[i], sizeof texts[i], "%u", addresses[i]);
		argv[i + 2] = texts[i];
	}
	int r = sys_run_self(argv, fd, &child);
	sys_close(fd);
	if (r)
		return false;
	int64_t got = sys_child_read(&child, into, SYMBOLS__ANSWER_MAX, sys_now_ns() + PATIENCE);
	bool ended_well = sys_child_end(&child);
	ret->len += got > 0 ? (size_t)got : 0;
	return got >= 0 && ended_well;
}
