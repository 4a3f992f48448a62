// Inside of room serve: lines that hold nobody up (writer.c).
#ifndef TENON_SERVE_WRITER_H
#define TENON_SERVE_WRITER_H

#include "base/base.h"

// ---- writer: lines to stdout, stderr and a file that hold nobody up ---------------------------------------------------------------------
enum serve_stream { SERVE_STDOUT, SERVE_ACCESS, SERVE_STDERR, SERVE_STREAMS };
// From here on, from any thread; `say` makes the line that tells how many were lost.
void serve__writers_start(void (*say)(struct buf *b, enum serve_stream of, uint64_t lines));
// What SERVE_ACCESS is written to from here on. Takes the descriptor over.
NODISCARD bool serve__writer_open(enum serve_stream stream, int fd, struct err *e);
// Lines that were lost so far.
uint64_t serve__writer_lost(enum serve_stream stream);
// `line` with its newline.
void serve__write_line(enum serve_stream stream, struct slice line);
// Waits until all is written, at most so long: before the process ends.
void serve__writers_flush(uint64_t at_most_ns);

#endif
