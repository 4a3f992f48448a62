// Search for words in a text, by first byte and compare.
#include "kernel.h"

enum { SIZE = 1 << 20 };
static char text[SIZE];

static int32_t count(const char *word, int32_t len)
{
	int32_t found = 0;
	for (int32_t i = 0; i + len <= SIZE; i++) {
		if (text[i] != word[0])
			continue;
		int32_t j = 1;
		while (j < len && text[i + j] == word[j])
			j++;
		found += j == len;
	}
	return found;
}

EXPORT int64_t run(int32_t n)
{
	int64_t found = 0;
	uint32_t seed = 7;
	for (int32_t i = 0; i < SIZE; i++)
		text[i] = (char)('a' + next_random(&seed) % 6);
	for (int32_t round = 0; round < n; round++)
		found += count("abba", 4) + count("fade", 4) + count("decade", 6) + count("ab", 2);
	return found;
}
