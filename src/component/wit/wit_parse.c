// WIT text into a tree of items. The grammar is that of WIT.md; each function has its production above it. Nothing is looked up here.
#include "wit_ast.h"

struct parser {
	struct wit_ast *ast;
	struct arena *a;
	struct wit_lexer lexer;
	struct wit_token tok, prev;
	struct err *e;
	uint32_t file;
};

static struct wit_pos here(const struct parser *p)
{
	return (struct wit_pos){p->file, p->tok.offset};
}

static bool next(struct parser *p)
{
	p->prev = p->tok;
	return wit__lex(&p->lexer, &p->tok, p->e);
}

static bool nomem(struct parser *p)
{
	return err_nomem(p->e);
}

static bool is_char(const struct parser *p, char c)
{
	return p->tok.kind == TOKEN_CHAR && p->tok.ch == c;
}

static bool is_word(const struct parser *p, const char *word)
{
	return p->tok.kind == TOKEN_ID && !p->tok.is_escaped && slice_eq_str(p->tok.text, word);
}

static bool expected(struct parser *p, const char *what)
{
	struct slice found = slice_sub(p->lexer.text, p->tok.offset, p->tok.end - p->tok.offset);
	if (p->tok.kind == TOKEN_END)
		return wit__err_at(p->ast, p->e, ERR_MALFORMED, here(p), "expected %s, found the end of the text", what);
	if (found.len > 40)
		found.len = 40;
	return wit__err_at(p->ast, p->e, ERR_MALFORMED, here(p), "expected %s, found `%.*s`", what, SLICE_ARGS(found));
}

static bool take_char(struct parser *p, char c)
{
	char what[] = {'`', c, '`', 0};
	return is_char(p, c) ? next(p) : expected(p, what);
}

// Takes the character if it is there.
static bool skip_char(struct parser *p, char c, bool *ret_there)
{
	*ret_there = is_char(p, c);
	return !*ret_there || next(p);
}

static bool take_word(struct parser *p, const char *word)
{
	return is_word(p, word) ? next(p) : expected(p, word);
}

static bool take_id(struct parser *p, const char *what, struct slice *ret)
{
	if (p->tok.kind != TOKEN_ID)
		return expected(p, what);
	if (!p->tok.is_escaped && wit__is_keyword(p->tok.text)) {
		expected(p, what);
		return err_hint(p->e, "`%.*s` is a keyword; write `%%%.*s` to use it as a name", SLICE_ARGS(p->tok.text), SLICE_ARGS(p->tok.text));
	}
	*ret = p->tok.text;
	return next(p);
}

// '@' version, the '@' being the current token.
static bool take_version(struct parser *p, struct wit_version *ret)
{
	return wit__lex_version(&p->lexer, ret, p->e) && next(p);
}

// ---- types ----

static bool parse_type(struct parser *p, unsigned depth, struct ast_type **ret);

// '<' ty (',' ty)* ','? '>' with at most `max` types; `_` where `hole`.
static bool parse_args(struct parser *p, struct ast_type *t, unsigned depth, uint32_t max, bool hole)
{
	VEC(struct ast_type *)
	args = {0};
	if (!take_char(p, '<'))
		return false;
	while (!is_char(p, '>') || args.len == 0) {
		struct ast_type *arg = NULL;
		if (hole && args.len == 0 && is_word(p, "_")) {
			if (!next(p))
				return false;
		} else if (t->kind == WIT_LIST && args.len == 1) {
			if (p->tok.kind != TOKEN_INTEGER)
				return expected(p, "the length of a fixed-length list");
			if (!slice_parse_u64(p->tok.text, UINT64_MAX, &t->n))
				return expected(p, "a number below 2^64");
			t->kind = WIT_FIXED_LIST;
			if (!next(p))
				return false;
			break;
		} else if (!parse_type(p, depth + 1, &arg)) {
			return false;
		}
		if (args.len >= max)
			return expected(p, "`>`");
		if (!VEC_PUSH(p->a, &args, arg, WIT_MAX_ITEMS))
			return nomem(p);
		bool comma;
		if (!skip_char(p, ',', &comma))
			return false;
		if (!comma)
			break;
	}
	t->args = args.ptr;
	t->n_args = args.len;
	return take_char(p, '>');
}

// '<' id '>' of own and borrow
static bool parse_handle(struct parser *p, struct ast_type *t)
{
	return take_char(p, '<') && take_id(p, "the name of a resource", &t->name) && take_char(p, '>');
}

static bool type_kind_of(struct slice s, enum wit_kind *ret)
{
	for (unsigned k = 0; k < WIT_N_KINDS; k++) {
		if (k == WIT_RECORD || k == WIT_VARIANT || k == WIT_ENUM || k == WIT_FLAGS || k == WIT_FIXED_LIST)
			continue;
		if (slice_eq_str(s, wit_kind_name(k))) {
			*ret = k;
			return true;
		}
	}
	return false;
}

static bool parse_generic(struct parser *p, struct ast_type *t, unsigned depth)
{
	switch (t->kind) {
	case WIT_OWN:
	case WIT_BORROW:
		return parse_handle(p, t);
	case WIT_TUPLE:
		return parse_args(p, t, depth, WIT_MAX_ITEMS, false);
	case WIT_LIST:
	case WIT_OPTION:
		return parse_args(p, t, depth, 1, false);
	case WIT_MAP:
		return parse_args(p, t, depth, 2, false) && (t->n_args == 2 || expected(p, "`map<key, value>`"));
	case WIT_RESULT:
		return !is_char(p, '<') || parse_args(p, t, depth, 2, true);
	case WIT_STREAM:
	case WIT_FUTURE:
		return !is_char(p, '<') || parse_args(p, t, depth, 1, false);
	default:
		return true;
	}
}

// ty ::= 'u8' | … | tuple | list | option | result | map | handle | future | stream | id
static bool parse_type(struct parser *p, unsigned depth, struct ast_type **ret)
{
	if (depth > WIT_MAX_DEPTH)
		return wit__err_at(p->ast, p->e, ERR_LIMIT, here(p), "type nesting is too deep: more than %u levels", WIT_MAX_DEPTH);
	struct ast_type *t = ARENA_NEW(p->a, struct ast_type);
	if (!t)
		return nomem(p);
	if (p->tok.kind != TOKEN_ID)
		return expected(p, "a type");
	*ret = t;
	t->pos = here(p);
	if (!p->tok.is_escaped && type_kind_of(p->tok.text, &t->kind)) {
		bool is_map_name = t->kind == WIT_MAP && p->lexer.at < p->lexer.text.len && p->lexer.text.ptr[p->lexer.at] != '<';
		if (!is_map_name)
			return next(p) && parse_generic(p, t, depth);
	}
	t->is_name = true;
	return take_id(p, "a type", &t->name);
}

// ---- lists of members ----

// open ( id (':' ty | '(' ty ')')? ) , … close: fields, cases, labels, parameters, after `open` was taken
enum member_form { FORM_TYPED, FORM_CASE, FORM_LABEL };

static bool parse_members(struct parser *p, enum member_form form, char close, struct ast_member **ret, uint32_t *ret_n)
{
	VEC(struct ast_member)
	list = {0};
	while (!is_char(p, close)) {
		struct ast_member m = {.pos = here(p)};
		bool there = false;
		if (!take_id(p, "a name", &m.name))
			return false;
		if (form == FORM_TYPED && !(take_char(p, ':') && parse_type(p, 0, &m.type)))
			return false;
		if (form == FORM_CASE && !skip_char(p, '(', &there))
			return false;
		if (there && !(parse_type(p, 0, &m.type) && take_char(p, ')')))
			return false;
		if (!VEC_PUSH(p->a, &list, m, WIT_MAX_ITEMS))
			return nomem(p);
		if (!skip_char(p, ',', &there))
			return false;
		if (!there)
			break;
	}
	*ret = list.ptr;
	*ret_n = list.len;
	return take_char(p, close);
}

// func-type ::= 'async'? 'func' '(' named-type-list ')' ( '->' ty )?; `keyword`: false for a constructor
static bool parse_func(struct parser *p, bool keyword, struct ast_func **ret)
{
	struct ast_func *f = ARENA_NEW(p->a, struct ast_func);
	if (!f)
		return nomem(p);
	*ret = f;
	if (keyword && is_word(p, "async")) {
		f->is_async = true;
		if (!next(p))
			return false;
	}
	if (keyword && !take_word(p, "func"))
		return false;
	if (!take_char(p, '(') || !parse_members(p, FORM_TYPED, ')', &f->params, &f->n_params))
		return false;
	if (p->tok.kind != TOKEN_ARROW)
		return true;
	return next(p) && parse_type(p, 0, &f->result);
}

// ---- paths, gates ----

// *to becomes `to sep part`. Each step copies what was there, so that a name may have so many parts and no more.
static bool append_part(struct parser *p, struct slice *to, char sep, struct slice part)
{
	uint32_t n = 0;
	for (size_t i = 0; i < to->len; i++)
		n += to->ptr[i] == (uint8_t)sep;
	if (n >= WIT_MAX_DEPTH)
		return wit__err_at(p->ast, p->e, ERR_LIMIT, here(p), "a name of a package has more than %u parts", WIT_MAX_DEPTH);
	uint8_t *text = arena_alloc(p->a, to->len + 1 + part.len, 1);
	if (!text)
		return nomem(p);
	memcpy(text, to->ptr, to->len);
	text[to->len] = (uint8_t)sep;
	memcpy(text + to->len + 1, part.ptr, part.len);
	*to = slice_of(text, to->len + 1 + part.len);
	return true;
}

// ( id ':' )+ id, of which the first is in path->ns: the last one is the package, those before it are its namespace.
static bool parse_package_name(struct parser *p, struct ast_path *path)
{
	if (!take_char(p, ':') || !take_id(p, "the name of a package", &path->package))
		return false;
	while (is_char(p, ':'))
		if (!append_part(p, &path->ns, ':', path->package) || !next(p) || !take_id(p, "the name of a package", &path->package))
			return false;
	return true;
}

// use-path ::= id | ( id ':' )+ id ( '/' id )+ ('@' version)?
static bool parse_path(struct parser *p, struct ast_path *ret)
{
	struct ast_path path = {.pos = here(p)};
	if (!take_id(p, "the name of an interface or world", &path.name))
		return false;
	if (is_char(p, ':')) {
		path.ns = path.name;
		if (!parse_package_name(p, &path) || !take_char(p, '/') || !take_id(p, "the name of an interface or world", &path.name))
			return false;
		while (is_char(p, '/'))
			if (!append_part(p, &path.package, '/', path.name) || !next(p) || !take_id(p, "the name of an interface or world", &path.name))
				return false;
		if (is_char(p, '@') && !take_version(p, &path.version))
			return false;
	}
	*ret = path;
	return true;
}

static bool parse_gate_item(struct parser *p, struct wit_gate *g)
{
	struct wit_pos pos = here(p);
	struct slice word;
	if (!take_char(p, '@') || p->tok.kind != TOKEN_ID)
		return expected(p, "`since`, `unstable` or `deprecated`");
	word = p->tok.text;
	if (!next(p) || !take_char(p, '('))
		return false;
	if (slice_eq_str(word, "unstable")) {
		if (!take_word(p, "feature") || !take_char(p, '=') || !take_id(p, "the name of a feature", &g->unstable))
			return false;
	} else if (slice_eq_str(word, "since") || slice_eq_str(word, "deprecated")) {
		struct wit_version v;
		if (!take_word(p, "version") || !is_char(p, '='))
			return expected(p, "`version = …`");
		if (!take_version(p, &v))
			return false;
		*(slice_eq_str(word, "since") ? &g->since : &g->deprecated) = v.text;
	} else if (slice_eq_str(word, "external-id")) {
		if (p->tok.kind != TOKEN_STRING)
			return expected(p, "a string");
		if (!next(p))
			return false;
	} else {
		wit__err_at(p->ast, p->e, ERR_MALFORMED, pos, "unknown gate `@%.*s`", SLICE_ARGS(word));
		return err_hint(p->e, "there are @since(version = …), @unstable(feature = …), @deprecated(version = …)");
	}
	if (!take_char(p, ')'))
		return false;
	if (g->since.len && g->unstable.len)
		return wit__err_at(p->ast, p->e, ERR_MALFORMED, pos, "an item is either `@since` or `@unstable`, not both");
	return true;
}

static bool parse_gates(struct parser *p, struct wit_gate *g)
{
	while (is_char(p, '@'))
		if (!parse_gate_item(p, g))
			return false;
	return true;
}

// Documentation before the current token and its gates.
static bool parse_head(struct parser *p, struct ast_item *it)
{
	if (!wit__docs(p->a, p->lexer.text, p->tok.docs_from, p->tok.docs_to, &it->docs, p->e))
		return false;
	if (!parse_gates(p, &it->gate))
		return false;
	it->pos = here(p);
	return true;
}

// '{' id ('as' id)? , … '}'
static bool parse_renames(struct parser *p, bool need_as, struct ast_item *it)
{
	VEC(struct ast_rename)
	list = {0};
	if (!take_char(p, '{'))
		return false;
	do {
		struct ast_rename r = {.pos = here(p)};
		bool there;
		if (!take_id(p, "a name", &r.name))
			return false;
		r.as = r.name;
		if (is_word(p, "as") || need_as)
			if (!take_word(p, "as") || !take_id(p, "a name", &r.as))
				return false;
		if (!VEC_PUSH(p->a, &list, r, WIT_MAX_ITEMS))
			return nomem(p);
		if (!skip_char(p, ',', &there))
			return false;
		if (!there)
			break;
	} while (!is_char(p, '}'));
	it->renames = list.ptr;
	it->n_renames = list.len;
	return take_char(p, '}');
}

// ---- items ----

// use-item ::= 'use' use-path '.' '{' use-names-list '}' ';'
static bool parse_use(struct parser *p, struct ast_item *it)
{
	it->kind = AST_USE;
	return next(p) && parse_path(p, &it->path) && take_char(p, '.') && parse_renames(p, false, it) && take_char(p, ';');
}

static bool parse_include(struct parser *p, struct ast_item *it)
{
	bool there;
	it->kind = AST_INCLUDE;
	if (!next(p) || !parse_path(p, &it->path))
		return false;
	if (!is_word(p, "with"))
		return take_char(p, ';');
	return next(p) && parse_renames(p, true, it) && skip_char(p, ';', &there);
}

// id ':' 'static'? func-type ';' | 'constructor' param-list ('->' ty)? ';'
static bool parse_method(struct parser *p, struct ast_item *it)
{
	if (is_word(p, "constructor")) {
		it->kind = AST_CONSTRUCTOR;
		return next(p) && parse_func(p, false, &it->func) && take_char(p, ';');
	}
	it->kind = AST_METHOD;
	if (!take_id(p, "the name of a function", &it->name) || !take_char(p, ':'))
		return false;
	if (is_word(p, "static")) {
		it->kind = AST_STATIC;
		if (!next(p))
			return false;
	}
	return parse_func(p, true, &it->func) && take_char(p, ';');
}

static bool parse_items(struct parser *p, bool (*parse_one)(struct parser *p, struct ast_item *it), struct ast_item **ret, uint32_t *ret_n)
{
	VEC(struct ast_item)
	list = {0};
	while (!is_char(p, '}')) {
		struct ast_item it = {0};
		if (!parse_head(p, &it) || !parse_one(p, &it))
			return false;
		if (!VEC_PUSH(p->a, &list, it, WIT_MAX_ITEMS))
			return nomem(p);
	}
	*ret = list.ptr;
	*ret_n = list.len;
	return next(p);
}

static bool parse_resource(struct parser *p, struct ast_item *it)
{
	bool there;
	it->kind = AST_RESOURCE;
	if (!next(p) || !take_id(p, "the name of a resource", &it->name) || !skip_char(p, ';', &there))
		return false;
	return there || (take_char(p, '{') && parse_items(p, parse_method, &it->items, &it->n_items));
}

// typedef-item; sets *ret_known to whether there is one
static bool parse_typedef(struct parser *p, struct ast_item *it, bool *ret_known)
{
	static const struct {
		const char *word;
		enum ast_kind kind;
		enum member_form form;
	} forms[] = {{"record", AST_RECORD, FORM_TYPED}, {"variant", AST_VARIANT, FORM_CASE}, {"enum", AST_ENUM, FORM_LABEL}, {"flags", AST_FLAGS, FORM_LABEL}};
	*ret_known = true;
	if (is_word(p, "resource"))
		return parse_resource(p, it);
	if (is_word(p, "type")) {
		it->kind = AST_ALIAS;
		return next(p) && take_id(p, "the name of a type", &it->name) && take_char(p, '=') && parse_type(p, 0, &it->type) && take_char(p, ';');
	}
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		if (!is_word(p, forms[i].word))
			continue;
		it->kind = forms[i].kind;
		return next(p) && take_id(p, "the name of a type", &it->name) && take_char(p, '{') &&
			parse_members(p, forms[i].form, '}', &it->members, &it->n_members);
	}
	*ret_known = false;
	return true;
}

// interface-definition ::= use-item | typedef-item | id ':' func-type ';'
static bool parse_interface_item(struct parser *p, struct ast_item *it)
{
	bool known;
	if (is_word(p, "use"))
		return parse_use(p, it);
	if (!parse_typedef(p, it, &known))
		return false;
	if (known)
		return true;
	it->kind = AST_FUNC;
	return take_id(p, "`use`, `type`, `record`, `variant`, `enum`, `flags`, `resource` or the name of a function", &it->name) && take_char(p, ':') &&
		parse_func(p, true, &it->func) && take_char(p, ';');
}

// Is the current id followed at once by ':' and another id that is no keyword? Then it begins a path (WIT.md, "Item: world").
static bool begins_path(const struct parser *p)
{
	struct slice t = p->lexer.text;
	uint32_t i = p->tok.end, from;
	if (i + 1 >= t.len || t.ptr[i] != ':')
		return false;
	from = ++i;
	while (i < t.len && ((wit__lower(t.ptr[i]) >= 'a' && wit__lower(t.ptr[i]) <= 'z') || t.ptr[i] == '-' || t.ptr[i] == '%' || (t.ptr[i] >= '0' && t.ptr[i] <= '9')))
		i++;
	return i > from && !wit__is_keyword(slice_sub(t, from, i - from));
}

// ('import' | 'export') ( id ':' ( func-type ';' | 'interface' '{' … '}' | use-path ';' ) | use-path ';' )
static bool parse_extern(struct parser *p, struct ast_item *it)
{
	it->kind = is_word(p, "import") ? AST_IMPORT : AST_EXPORT;
	if (!next(p))
		return false;
	it->pos = here(p);
	if (!begins_path(p)) {
		bool there;
		if (!take_id(p, "the name of an interface or function", &it->name) || !skip_char(p, ':', &there))
			return false;
		if (!there) {
			it->path = (struct ast_path){.name = it->name, .pos = it->pos};
			it->name = (struct slice){0};
			it->has_path = true;
			return take_char(p, ';');
		}
		if (is_word(p, "func") || is_word(p, "async"))
			return parse_func(p, true, &it->func) && take_char(p, ';');
		if (is_word(p, "interface")) {
			it->has_body = true;
			return next(p) && take_char(p, '{') && parse_items(p, parse_interface_item, &it->items, &it->n_items);
		}
	}
	it->has_path = true;
	return parse_path(p, &it->path) && take_char(p, ';');
}

static bool parse_world_item(struct parser *p, struct ast_item *it)
{
	bool known;
	if (is_word(p, "use"))
		return parse_use(p, it);
	if (is_word(p, "include"))
		return parse_include(p, it);
	if (is_word(p, "import") || is_word(p, "export"))
		return parse_extern(p, it);
	if (!parse_typedef(p, it, &known))
		return false;
	return known || expected(p, "`import`, `export`, `include`, `use` or a type definition");
}

// interface-item | world-item | toplevel-use-item
static bool parse_package_item(struct parser *p, struct ast_item *it)
{
	if (is_word(p, "interface")) {
		it->kind = AST_INTERFACE;
		return next(p) && take_id(p, "the name of an interface", &it->name) && take_char(p, '{') &&
			parse_items(p, parse_interface_item, &it->items, &it->n_items);
	}
	if (is_word(p, "world")) {
		it->kind = AST_WORLD;
		return next(p) && take_id(p, "the name of a world", &it->name) && take_char(p, '{') && parse_items(p, parse_world_item, &it->items, &it->n_items);
	}
	if (!is_word(p, "use"))
		return expected(p, "`interface`, `world`, `use` or `package`");
	it->kind = AST_TOP_USE;
	if (!next(p) || !parse_path(p, &it->path))
		return false;
	it->name = it->path.name;
	if (is_word(p, "as") && !(next(p) && take_id(p, "a name", &it->name)))
		return false;
	return take_char(p, ';');
}

static bool parts_are_valid(struct slice s, char sep)
{
	struct slice part = slice_sub(s, 0, slice_find(s, (uint8_t)sep));
	for (; part.len < s.len; part = slice_sub(s, 0, slice_find(s, (uint8_t)sep))) {
		if (!wit__words_are_valid(part))
			return false;
		s = slice_sub(s, part.len + 1, SIZE_MAX);
	}
	return wit__words_are_valid(part);
}

// package-decl ::= 'package' ( id ':' )+ id ( '/' id )* ('@' version)?
static bool parse_package_decl(struct parser *p, struct ast_path *ret)
{
	struct ast_path path = {0};
	struct slice part;
	if (!next(p))
		return false;
	path.pos = here(p);
	if (!take_id(p, "the namespace of a package", &path.ns) || !parse_package_name(p, &path))
		return false;
	while (is_char(p, '/'))
		if (!next(p) || !take_id(p, "the name of a package", &part) || !append_part(p, &path.package, '/', part))
			return false;
	if (!parts_are_valid(path.ns, ':') || !parts_are_valid(path.package, '/'))
		return wit__err_at(p->ast, p->e, ERR_MALFORMED, path.pos, "names of packages are in lower case");
	if (is_char(p, '@') && !take_version(p, &path.version))
		return false;
	*ret = path;
	return true;
}

static bool add_block(struct parser *p, const struct ast_block *block)
{
	struct wit_ast *ast = p->ast;
	struct ast_block *slot = vec_add_raw(p->a, (void **)&ast->blocks, &ast->n_blocks, &ast->cap_blocks, sizeof(*slot), _Alignof(struct ast_block),
		WIT_MAX_PACKAGES);
	if (!slot)
		return wit__err_at(ast, p->e, ERR_LIMIT, here(p), "more than %u files and packages, or memory is out", WIT_MAX_PACKAGES);
	*slot = *block;
	return true;
}

// package-decl '{' package-items* '}', or package-decl ';' as the first thing of the file
static bool parse_package(struct parser *p, struct ast_block *file, bool is_first)
{
	struct ast_block b = {.group = file->group, .is_nested = true};
	struct wit_pos pos = here(p);
	if (!wit__docs(p->a, p->lexer.text, p->tok.docs_from, p->tok.docs_to, &b.docs, p->e) || !parse_package_decl(p, &b.package))
		return false;
	if (is_char(p, '{'))
		return next(p) && parse_items(p, parse_package_item, &b.items, &b.n_items) && add_block(p, &b);
	if (!is_first) {
		wit__err_at(p->ast, p->e, ERR_MALFORMED, pos, "`package …;` must come first in the file");
		return err_hint(p->e, "write `package a:b { … }` for a further package");
	}
	file->package = b.package;
	file->docs = b.docs;
	return take_char(p, ';');
}

// wit-file ::= (package-decl ';')? (package-items | nested-package-definition)*
static bool parse_file(struct parser *p)
{
	struct ast_block file = {.group = p->ast->sources[p->file].group};
	VEC(struct ast_item)
	items = {0};
	bool is_first = true;
	if (!next(p))
		return false;
	for (; p->tok.kind != TOKEN_END; is_first = false) {
		if (is_word(p, "package")) {
			if (!parse_package(p, &file, is_first))
				return false;
			continue;
		}
		struct ast_item it = {0};
		if (!parse_head(p, &it) || !parse_package_item(p, &it))
			return false;
		if (!VEC_PUSH(p->a, &items, it, WIT_MAX_ITEMS))
			return nomem(p);
	}
	file.items = items.ptr;
	file.n_items = items.len;
	if (file.package.ns.len == 0 && items.len == 0)
		return true;
	if (file.package.ns.len == 0)
		file.package.pos = (struct wit_pos){p->file, 0};
	return add_block(p, &file);
}

bool wit__parse(struct wit_ast *ast, uint32_t file, struct err *e)
{
	struct parser p = {.ast = ast, .a = ast->arena, .e = e, .file = file};
	if (!wit__lex_check(ast, file, e))
		return false;
	p.lexer = (struct wit_lexer){.ast = ast, .file = file, .text = ast->sources[file].text};
	return parse_file(&p);
}
