// Between the two files of the TOML reader: toml.c has keys, headers and tables, toml_value.c strings, numbers, arrays and inline tables.
#ifndef TENON_APP_TOML_INT_H
#define TENON_APP_TOML_INT_H

#include "toml.h"

struct toml_reader {
	struct arena *arena;
	const char *name;
	const uint8_t *start, *p, *end;
	const uint8_t *seen;  // of which the place is known: places are asked for from front to back
	struct app_place seen_at;
	uint32_t sections, section;  // how many there were; of the header that lines belong to now
	uint32_t depth;              // of that header's table
	struct err *e;
};
struct toml_key {
	struct slice parts[APP_MAX_DEPTH];
	struct app_place at[APP_MAX_DEPTH];
	uint32_t n;
};

struct app_place toml__place(struct toml_reader *r, const uint8_t *p);
bool toml__fail(struct toml_reader *r, const uint8_t *at, const char *fmt, ...) PRINTF_LIKE(3, 4);
struct toml *toml__new(struct toml_reader *r, enum toml_kind kind, const uint8_t *at);
// Spaces and tabs.
void toml__skip_blanks(struct toml_reader *r);
// Those, newlines and comments.
NODISCARD bool toml__skip_lines(struct toml_reader *r);
// At a quote: the string's content, decoded. Multi-line ones where `lines` says so.
NODISCARD bool toml__string(struct toml_reader *r, bool lines, struct slice *ret);
// A key, with dots, at p; stops behind it and the blanks that follow.
NODISCARD bool toml__key(struct toml_reader *r, struct toml_key *ret);
// Puts the value at the key beneath `table`, creating tables for all parts but the last.
NODISCARD bool toml__put(struct toml_reader *r, struct toml *table, uint32_t section, const struct toml_key *key, struct toml *value);
NODISCARD bool toml__value(struct toml_reader *r, uint32_t depth, struct toml **ret);

#endif
