// TOML 1.0 as a tree that keeps the place of each key and value. Linear in the text; bounded depth.
#ifndef TENON_APP_TOML_H
#define TENON_APP_TOML_H

#include "app.h"

enum toml_kind { TOML_STRING, TOML_INTEGER, TOML_FLOAT, TOML_BOOL, TOML_DATETIME, TOML_ARRAY, TOML_TABLE };
// How a table or array came to be, which says what may be added to it.
enum toml_made {
	TOML_IMPLICIT,  // above a [header.of.it]
	TOML_HEADER,    // [header]
	TOML_DOTTED,    // by keys with dots, under the header `section`
	TOML_FROZEN,    // in a value: nothing is added
	TOML_ELEMENTS,  // the array of [[headers]]
	TOML_REMOVED,   // by what was laid over (merge.c)
};
struct toml {
	uint8_t kind, made;
	bool truth;
	uint32_t section;
	struct slice key;             // in a table
	struct app_place key_at, at;
	struct slice text;            // STRING; of other values: as written
	int64_t integer;
	double real;
	struct toml *first, *last, *next;
	uint32_t n;
	struct map *by_key;           // of a table with many; NULL
};

// `name`: of the source, in errors. The strings of the tree lie in the arena or in the text.
NODISCARD bool toml_parse(struct arena *a, struct slice text, enum app_in in, const char *name, struct toml **ret, struct err *e);
struct toml *toml_get(const struct toml *table, struct slice key);
struct toml *toml_get_str(const struct toml *table, const char *key);
// At the end of a table (whose key is not there yet) or array. false: memory is out.
NODISCARD bool toml_append(struct arena *a, struct toml *to, struct toml *child);
// "a string", with its article.
const char *toml_kind_name(const struct toml *t);
// A string as TOML writes it, on one line.
void toml_put_string(struct buf *b, struct slice s);
// A key: bare where it can be.
void toml_put_key(struct buf *b, struct slice s);

#endif
