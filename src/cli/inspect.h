// What `tenon inspect` finds out about a file, between its parts: inspect_facts.c walks the bytes, inspect_report.c
// and inspect_module.c tell it.
#ifndef TENON_CLI_INSPECT_H
#define TENON_CLI_INSPECT_H

#include "cli_int.h"
#include "comp/comp.h"
#include "wasm/wasm.h"

// Sections of one kind, taken together: of the component and those nested in it, or of all core modules. "core code", "import", "custom producers".
struct inspect_section {
	struct slice name;
	uint32_t n;
	uint64_t bytes;  // of contents
};
// What a `producers` section says; each once. Field: "language", "processed-by", "sdk" or what else was written.
struct inspect_producer {
	struct slice field, name, version;
};
struct inspect_grant {
	const char *flag, *argument;  // "--env", "K=V"
	struct slice interface;       // that asks for it
	const char *line;             // of a manifest's component, that gives it; NULL: none
	bool is_accepted;             // by this program
};
struct inspect {
	struct arena *arena;
	struct slice bytes;
	bool is_read_once;  // they came from a pipe
	const struct comp_component *comp;  // one of the two is NULL
	const struct wasm_module *module;
	VEC(struct inspect_section)
	sections;  // the largest first
	VEC(struct inspect_producer)
	producers;
	VEC(struct slice)
	languages;
	VEC(struct inspect_grant)
	grants;
	uint32_t n_modules;
	struct serve_served_by *served;  // by import
	bool can_run;
	struct err why_not;              // where it can't
	struct serve_image_facts image;  // where it can
};

// Sections, producers, languages; of bytes that were decoded. Custom sections that are not as they should be are passed over. Errors: NOMEM, LIMIT.
NODISCARD bool inspect_walk(struct inspect *x, struct err *e);
// Grants that it makes use of, as what the plan lowers.
NODISCARD bool inspect_grants(struct inspect *x, struct err *e);
// Comments of WIT ("// ") or of the text format (";; ").
void inspect_put_comments(struct buf *b, const struct inspect *x);
// docs/formats.md. `text`: the WIT, or the module in the text format.
void inspect_put_json(struct buf *b, const struct inspect *x, struct slice text);
// A core module's imports and exports in the text format.
void inspect_put_module(struct buf *b, const struct wasm_module *m);

#endif
