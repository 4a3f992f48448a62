// ChaCha20 beside the vectors of RFC 8439, appendix A.1 (those whose nonce is zero).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"

static void block_is(const uint8_t *block, const char *hex)
{
	char text[2 * 64 + 1];
	for (unsigned i = 0; i < 64; i++)
		snprintf(text + 2 * i, 3, "%02x", block[i]);
	assert_string_equal(text, hex);
}

static void blocks_are_those_of_the_rfc(void **state)
{
	uint8_t key[CHACHA_KEY] = {0}, got[CHACHA_BLOCKS];
	chacha_blocks(key, 0, got);
	block_is(got, "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586");
	block_is(got + 64, "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f");
	key[CHACHA_KEY - 1] = 1;
	chacha_blocks(key, 1, got);
	block_is(got, "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0");
	memset(key, 0, sizeof key);
	key[1] = 0xff;
	chacha_blocks(key, 2, got);
	block_is(got, "72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096");
}

static void the_counter_has_64_bits(void **state)
{
	uint8_t key[CHACHA_KEY] = {0}, across[CHACHA_BLOCKS], behind[CHACHA_BLOCKS];
	chacha_blocks(key, UINT32_MAX - 1, across);
	chacha_blocks(key, 1ull << 32, behind);
	assert_memory_equal(across + 2 * 64, behind, 2 * 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_are_those_of_the_rfc),
		cmocka_unit_test(the_counter_has_64_bits),
	};
	return cmocka_run_group_tests_name("base/chacha", tests, NULL, NULL);
}
