// keys.def and limits.def as tables.
#include "app_int.h"

#define app_root app  // the struct of the table `root`

enum {
#define TABLE(table, ...) FIRST_##table, BEFORE_##table = FIRST_##table - 1,
#define KEY(table, field, ...) ROW_##table##_##field,
#include "keys.def"
	N_KEYS
};

#define REQUIRED APP__REQUIRED
#define TEMPLATE APP__TEMPLATE
#define SECRET APP__TEMPLATE | APP__SECRET
#define URL APP__TEMPLATE | APP__URL
#define LITERAL APP__LITERAL
#define ONE APP__ONE
#define NONE APP__NONE
#define ZERO APP__ZERO
#define TEXT(format) APP__TEXT, APP__FORMAT_##format, NULL
#define TEXTS(format) APP__TEXTS, APP__FORMAT_##format, NULL
#define PAIRS(format) APP__PAIRS, APP__FORMAT_##format, NULL
#define WORD(words) APP__WORD, 0, words
#define BOOL APP__BOOL, 0, NULL
#define COUNT APP__COUNT, 0, NULL
#define TIME APP__TIME, 0, NULL
#define SIZE APP__SIZE, 0, NULL
#define PERCENT APP__PERCENT, 0, NULL
#define LIMITS(whose) APP__LIMITS_OF, APP__WHOSE_##whose, NULL
#define ARRAY(table) APP__ARRAY, APP__##table, NULL
#define TABLES(table) APP__TABLES, APP__##table, NULL
#define PROFILES APP__PROFILES, APP__root, NULL
#define SUB(table) APP__TABLE, APP__##table, NULL

#define TABLE(...)
#define KEY(table, field, name, type, fallback, flags, help) ROW(table, field, name, type, fallback, flags, help)
#define ROW(table, field, name, type, of, words, fallback, flags, help) {name, type, of, flags, offsetof(struct app_##table, field), words, fallback, help},
static const struct app__key keys[] = {
#include "keys.def"
};
_Static_assert(ARRAY_LEN(keys) == N_KEYS, "a row each");

static const struct {
	const char *heading, *shorthand, *help;
	uint32_t first;
	size_t size;
} tables[] = {
#define TABLE(table, heading, shorthand, help) {heading, shorthand, help, FIRST_##table, sizeof(struct app_##table)},
#define KEY(...)
#include "keys.def"
};

struct app__rows app__rows(enum app__table table)
{
	uint32_t end = table + 1 < APP__N_TABLES ? tables[table + 1].first : N_KEYS, first = tables[table].first;
	return (struct app__rows){tables[table].heading, tables[table].shorthand, tables[table].help, keys + first, end - first, tables[table].size};
}

const struct app__key *app__key_find(enum app__table table, struct slice name)
{
	struct app__rows r = app__rows(table);
	for (uint32_t i = 0; i < r.n; i++)
		if (slice_eq_str(name, r.keys[i].name))
			return &r.keys[i];
	return NULL;
}
