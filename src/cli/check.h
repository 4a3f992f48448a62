// What `tenon check` finds out about an app, between its parts: check_facts.c reads the components, check_report.c tells it.
#ifndef TENON_CLI_CHECK_H
#define TENON_CLI_CHECK_H

#include "inspect.h"

// What an import is bound to.
enum check_how {
	CHECK_LINK,     // a link of the manifest
	CHECK_HOST,     // what tenon serves itself
	CHECK_CONFIG,   // the component's `config`, as variables of Spin
	CHECK_DENIAL,   // of Spin's world, not granted: access-denied
	CHECK_NOTHING,  // cannot link
	CHECK_TYPES     // types alone need nobody
};
struct check_import {
	struct slice name, implements;
	enum check_how how;
	struct app_binding binding;           // CHECK_LINK
	const char *provider, *interface;     // CHECK_HOST
};
// What a component may ask for and isn't granted, and the line that would grant it.
struct check_denied {
	struct slice interface;
	const char *line;
};
struct check_component {
	const struct app_component *component;
	struct err why_not;  // it can't be read or linked: code ERR_NONE where it can
	bool is_module;      // a preview 1 module
	bool is_read;        // else why_not says why
	VEC(struct check_import)
	imports;
	VEC(struct check_denied)
	denied;
};

// Reads the component's file and decodes it; what is wrong with it is why_not. Errors: NOMEM.
NODISCARD bool check_component(struct cli *c, const struct app *app, const struct app_component *component, struct check_component *ret, struct err *e);
// For people, and for programs (docs/formats.md).
void check_put_text(struct buf *b, const struct app *app, const struct check_component *list);
void check_put_json(struct buf *b, const struct app *app, const struct check_component *list);

#endif
