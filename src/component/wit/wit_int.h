// What the files of room wit share.
#ifndef TENON_WIT_INT_H
#define TENON_WIT_INT_H

#include "wit.h"

// The version with the reason for a refusal in `e` (wording of the semver specification's readers).
NODISCARD bool wit__version_parse(struct slice s, bool allow_canonical, struct wit_version *ret, struct err *e);
// Order of semver, build metadata ignored.
int wit__version_compare(const struct wit_version *a, const struct wit_version *b);
// Kebab-case: words of one case each, joined by '-'.
bool wit__label_is_valid(struct slice s);
// Words of the namespace and package of an interface name: kebab-case, lower case only.
bool wit__words_are_valid(struct slice s);
// Words that WIT text reserves.
bool wit__is_keyword(struct slice s);
// Names of a scope differ in more than case; `what`: "record field name", `previous`: "field name". `get(ctx, i)` is the i-th name.
NODISCARD bool wit__labels_check(const struct wit_member *members, uint32_t n, const char *what, const char *previous, struct err *e);
// Words that WAVE reserves.
bool wit__wave_is_keyword(struct slice s);
// Says that WAVE has no form for values of the type; false.
bool wit__no_form(const struct wit_type *t, struct err *e);
// Lower case of ASCII letters.
static inline uint8_t wit__lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

#endif
