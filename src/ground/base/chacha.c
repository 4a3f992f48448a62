#include "chacha.h"

#include <string.h>

#include "util.h"

enum { WORDS = 16, BLOCKS = 4, DOUBLE_ROUNDS = 10 };
typedef uint32_t lanes __attribute__((vector_size(BLOCKS * sizeof(uint32_t))));  // the same word of each of the blocks

static lanes rotate(lanes x, unsigned n)
{
	return x << n | x >> (32 - n);
}

static void quarter_round(lanes s[WORDS], unsigned a, unsigned b, unsigned c, unsigned d)
{
	s[a] += s[b];
	s[d] = rotate(s[d] ^ s[a], 16);
	s[c] += s[d];
	s[b] = rotate(s[b] ^ s[c], 12);
	s[a] += s[b];
	s[d] = rotate(s[d] ^ s[a], 8);
	s[c] += s[d];
	s[b] = rotate(s[b] ^ s[c], 7);
}

static void double_round(lanes s[WORDS])
{
	for (unsigned i = 0; i < 4; i++)
		quarter_round(s, i, 4 + i, 8 + i, 12 + i);
	for (unsigned i = 0; i < 4; i++)
		quarter_round(s, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
}

static void begin(const uint8_t key[CHACHA_KEY], uint64_t counter, lanes ret[WORDS])
{
	uint32_t words[WORDS] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};  // "expand 32-byte k"
	memcpy(&words[4], key, CHACHA_KEY);
	for (unsigned w = 0; w < WORDS; w++)
		ret[w] = (lanes){words[w], words[w], words[w], words[w]};
	explicit_bzero(words, sizeof words);
	for (unsigned b = 0; b < BLOCKS; b++) {
		ret[12][b] = (uint32_t)(counter + b);
		ret[13][b] = (uint32_t)((counter + b) >> 32);
	}
}

void chacha_blocks(const uint8_t key[CHACHA_KEY], uint64_t counter, uint8_t ret[CHACHA_BLOCKS])
{
	lanes first[WORDS], s[WORDS];
	begin(key, counter, first);
	memcpy(s, first, sizeof s);
	for (unsigned i = 0; i < DOUBLE_ROUNDS; i++)
		double_round(s);
	for (unsigned w = 0; w < WORDS; w++) {
		s[w] += first[w];
		for (unsigned b = 0; b < BLOCKS; b++) {
			uint32_t word = s[w][b];
			memcpy(ret + (b * WORDS + w) * sizeof word, &word, sizeof word);
		}
	}
	// The key, and what the next one may be, would stay on a stack that lasts.
	explicit_bzero(first, sizeof first);
	explicit_bzero(s, sizeof s);
}
