// Inside of tools/witgen: what its two files share.
#ifndef TOOLS_WITGEN_H
#define TOOLS_WITGEN_H

#include "wit/wit.h"

struct output {
	struct arena arena;
	struct buf types, protos, tables;  // of the header, of the header, of the C file
	struct buf provided, provides;     // of the provider's header and C file
	struct map names;                  // address of a type → its C name (text in the arena)
	struct map declared;               // C name → type: what is written already
	struct map described;              // C name → row of the type
	struct map texts, resources;       // → where it is in name_text; address → number
	struct buf type_rows, field_rows, func_rows, name_rows, resource_rows;
	uint32_t n_types, n_fields, n_funcs, n_text, n_resources;
	struct slice host_def;
	struct map rows;                   // its rows, "kind interface name" → 0 (1: used)
	struct buf interface_list;
	uint32_t n_interfaces;
};

_Noreturn void die(const char *text, struct slice what);
struct slice keep(struct output *o, struct buf *b);
struct slice named(struct output *o, const struct wit_package *p);
bool remember(struct map *m, struct slice key, const void *value, uintptr_t *ret_old);
void put_snake(struct buf *b, struct slice s, bool upper);
void put_member(struct buf *b, struct slice s);
void put_interface_name(struct output *o, struct buf *b, const struct wit_interface *x);
struct slice c_name(struct output *o, const struct wit_interface *x, struct slice name);
void name_it(struct output *o, const void *what, struct slice name);
bool has_struct(const struct wit_type *t);
void put_c_type(struct output *o, struct buf *b, const struct wit_type *t);
void put_comment(struct output *o, struct buf *b, const struct wit_type *t);
void declare_parts(struct output *o, const struct wit_type *t);
void declare_struct(struct output *o, const struct wit_type *t, struct slice name);
void declare_type(struct output *o, const struct wit_type *t);
void put_text(struct buf *b, struct slice s);
// The next row of functions.
void describe_func(struct output *o, const struct wit_func_type *f, struct slice name);
// What the rows need before, and the rows.
void put_types_head(struct output *o, struct buf *b);
void put_types(struct output *o, struct buf *b);

#endif
