// WIT text as it is written, between parser and resolver. Everything lies in the parser's arena; slices point into the sources.
#ifndef TENON_WIT_AST_H
#define TENON_WIT_AST_H

#include "wit_int.h"

#define WIT_MAX_TEXT (16u << 20)    // bytes of one file
#define WIT_MAX_ITEMS (1u << 20)    // members of one list
#define WIT_MAX_PACKAGES (1u << 14)

struct wit_pos {
	uint32_t file, offset;
};

struct ast_type {
	enum wit_kind kind;
	bool is_name;           // `name` is a type of the scope; kind is unset
	struct wit_pos pos;
	struct slice name;      // also of own, borrow
	struct ast_type **args;  // elements; NULL entries: `_`
	uint32_t n_args;
	uint64_t n;             // fixed list
};

struct ast_member {
	struct slice name;
	struct ast_type *type;
	struct wit_pos pos;
};

struct ast_func {
	struct ast_member *params;
	uint32_t n_params;
	struct ast_type *result;
	bool is_async;
};

// `id`, `ns:pkg/id@version`; without id in a package's own name.
struct ast_path {
	struct slice ns, package, name;
	struct wit_version version;
	struct wit_pos pos;
};

struct ast_rename {
	struct slice name, as;
	struct wit_pos pos;
};

enum ast_kind {
	AST_ALIAS,
	AST_RECORD,
	AST_VARIANT,
	AST_ENUM,
	AST_FLAGS,
	AST_RESOURCE,
	AST_USE,
	AST_FUNC,
	AST_METHOD,
	AST_STATIC,
	AST_CONSTRUCTOR,
	AST_IMPORT,
	AST_EXPORT,
	AST_INCLUDE,
	AST_INTERFACE,
	AST_WORLD,
	AST_TOP_USE,
};

struct ast_item {
	enum ast_kind kind;
	struct slice name, docs;
	struct wit_pos pos;
	struct wit_gate gate;
	struct ast_type *type;       // alias
	struct ast_member *members;  // record, variant, enum, flags
	struct ast_func *func;       // functions; import and export of one
	struct ast_item *items;      // body of resource, interface, world; interface in line
	struct ast_rename *renames;  // use, include
	struct ast_path path;        // use, include, import, export, top use
	uint32_t n_members, n_items, n_renames;
	bool has_body, has_path;
};

// The items of a file, or of `package x { … }` in one.
struct ast_block {
	struct ast_path package;  // ns is empty: none is named
	struct slice docs;
	struct ast_item *items;
	uint32_t n_items;
	uint32_t group;
	bool is_nested;
};

struct wit_ast {
	struct arena *arena;
	const struct wit_source *sources;
	struct ast_block *blocks;
	uint32_t n_blocks, cap_blocks;
};

// Adds the blocks of one source.
NODISCARD bool wit__parse(struct wit_ast *ast, uint32_t file, struct err *e);
// Sets an error at a place, with the file as its context.
bool wit__err_at(const struct wit_ast *ast, struct err *e, enum err_code code, struct wit_pos pos, const char *fmt, ...) PRINTF_LIKE(5, 6);
// Adds the place to an error without one.
bool wit__err_place(const struct wit_ast *ast, struct err *e, struct wit_pos pos);

// ---- lexer ----

enum wit_token_kind {
	TOKEN_END,
	TOKEN_ID,        // text without '%'
	TOKEN_INTEGER,
	TOKEN_STRING,    // text between the quotes
	TOKEN_ARROW,
	TOKEN_CHAR,      // an operator of one character
};
struct wit_token {
	enum wit_token_kind kind;
	struct slice text;
	uint32_t offset, end;
	bool is_escaped;  // id with '%'
	char ch;
	uint32_t docs_from, docs_to;  // range of the documentation comments before it
};
struct wit_lexer {
	const struct wit_ast *ast;
	uint32_t file;
	struct slice text;
	uint32_t at;
};
// UTF-8, no control characters and no characters that mislead the reader.
NODISCARD bool wit__lex_check(const struct wit_ast *ast, uint32_t file, struct err *e);
NODISCARD bool wit__lex(struct wit_lexer *l, struct wit_token *ret, struct err *e);
// A semver right at the cursor; a '.' that does not continue it stays.
NODISCARD bool wit__lex_version(struct wit_lexer *l, struct wit_version *ret, struct err *e);
// Lines of the documentation comments in a range, without their marks.
NODISCARD bool wit__docs(struct arena *a, struct slice text, uint32_t from, uint32_t to, struct slice *ret, struct err *e);

#endif
