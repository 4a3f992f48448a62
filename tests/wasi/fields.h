// What tests of wasi:http/types share: a puppet, its fields, and what lies where the last call put it.
#ifndef TESTS_WASI_FIELDS_H
#define TESTS_WASI_FIELDS_H

#include "served.h"

#define TYPES_ "wasi:http/types"
#define NEW_FIELDS "[constructor]fields"
#define APPEND "[method]fields.append"
#define SET "[method]fields.set"
#define DELETE "[method]fields.delete"
#define GET "[method]fields.get"
#define ENTRIES "[method]fields.entries"
#define FROM_LIST "[static]fields.from-list"
#define NEW_REQUEST "[constructor]outgoing-request"
#define SET_SCHEME "[method]outgoing-request.set-scheme"
#define SET_METHOD "[method]outgoing-request.set-method"
#define SET_PATH "[method]outgoing-request.set-path-with-query"
#define SET_AUTHORITY "[method]outgoing-request.set-authority"

static struct puppet p;

__attribute__((unused)) static bool is_err(void)
{
	return puppet_peek(&p, PUPPET_RESULT) != 0;
}

__attribute__((unused)) static uint32_t new_fields(void)
{
	return (uint32_t)CALL0(&p, NEW_FIELDS);
}

// result<_, header-error> fits a register: ok is 0, else 1 and the case.
__attribute__((unused)) static void append(uint32_t fields, struct slice name, struct slice value)
{
	CALL(&p, APPEND, fields, puppet_poke(&p, 0, name), name.len, puppet_poke(&p, 8192, value), value.len);
}

__attribute__((unused)) static bool text_is(uint32_t at, const char *want)
{
	uint32_t from = puppet_word(&p, at), n = puppet_word(&p, at + 4);
	bool same = n == strlen(want);
	for (uint32_t i = 0; same && i < n; i++)
		same = puppet_peek(&p, from + i) == (uint8_t)want[i];
	return same;
}

// The entry of that index of a list of them at PUPPET_RESULT.
__attribute__((unused)) static bool entry_is(struct puppet *q, uint32_t index, const char *name, const char *value)
{
	uint32_t at = puppet_word(q, PUPPET_RESULT) + index * 16;
	const char *const texts[] = {name, value};
	for (uint32_t k = 0; k < 2; k++) {
		uint32_t from = puppet_word(q, at + 8 * k), n = puppet_word(q, at + 8 * k + 4);
		if (n != strlen(texts[k]))
			return false;
		for (uint32_t i = 0; i < n; i++)
			if (puppet_peek(q, from + i) != (uint8_t)texts[k][i])
				return false;
	}
	return true;
}

// How many there are; the one of that index is compared.
__attribute__((unused)) static uint32_t entries(uint32_t fields, uint32_t index, const char *name, const char *value)
{
	CALL(&p, ENTRIES, fields);
	uint32_t n = puppet_word(&p, PUPPET_RESULT + 4);
	assert_true(index >= n || entry_is(&p, index, name, value));
	return n;
}

#endif
