// Shared by the files of the room.
#ifndef TENON_CLI_INT_H
#define TENON_CLI_INT_H

#include "cli.h"

// kind: t time (nanoseconds), b bytes, n count. "none" is 0.
NODISCARD bool cli__parse_quantity(const char *value, char kind, uint64_t *ret, struct err *e);

#endif
