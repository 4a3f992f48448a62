// ChaCha20's key stream (RFC 8439, section 2.3; the counter has 64 bits, as its author has it), four blocks at once.
#ifndef TENON_BASE_CHACHA_H
#define TENON_BASE_CHACHA_H

#include <stdint.h>

enum { CHACHA_KEY = 32, CHACHA_BLOCKS = 4 * 64 };

// The blocks `counter` to `counter` + 3 of a key, with a nonce of zero.
void chacha_blocks(const uint8_t key[CHACHA_KEY], uint64_t counter, uint8_t ret[CHACHA_BLOCKS]);

#endif
