// WIT text into tokens (WIT.md, "Lexical structure").
#include <stdarg.h>

#include "wit_ast.h"

bool wit__err_place(const struct wit_ast *ast, struct err *e, struct wit_pos pos)
{
	if (!e)
		return false;
	const struct wit_source *s = &ast->sources[pos.file];
	uint32_t line = 1, col = 1;
	for (uint32_t i = 0; i < pos.offset && i < s->text.len; i++) {
		if (s->text.ptr[i] == '\n') {
			line++;
			col = 1;
		} else if ((s->text.ptr[i] & 0xc0) != 0x80) {
			col++;
		}
	}
	e->line = line;
	e->col = col;
	return s->path.len ? err_note(e, "%.*s:%u:%u", SLICE_ARGS(s->path), line, col) : false;
}

bool wit__err_at(const struct wit_ast *ast, struct err *e, enum err_code code, struct wit_pos pos, const char *fmt, ...)
{
	char text[sizeof(e->text)];
	va_list args;
	if (!e)
		return false;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	err_set(e, code, "%s", text);
	return wit__err_place(ast, e, pos);
}

static bool lex_err(const struct wit_lexer *l, struct err *e, uint32_t offset, const char *what)
{
	return wit__err_at(l->ast, e, ERR_MALFORMED, (struct wit_pos){l->file, offset}, "%s", what);
}

static bool is_forbidden(uint32_t c)
{
	static const uint32_t deprecated[] = {0x149, 0x673, 0xf77, 0xf79, 0x17a3, 0x17a4, 0x17b4, 0x17b5};
	if ((c < 0x20 && c != '\n' && c != '\r' && c != '\t') || (c >= 0x7f && c < 0xa0))
		return true;
	if ((c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(deprecated); i++)
		if (c == deprecated[i])
			return true;
	return false;
}

bool wit__lex_check(const struct wit_ast *ast, uint32_t file, struct err *e)
{
	struct slice s = ast->sources[file].text;
	if (s.len > WIT_MAX_TEXT)
		return wit__err_at(ast, e, ERR_LIMIT, (struct wit_pos){file, 0}, "WIT text is longer than %u bytes", WIT_MAX_TEXT);
	for (uint32_t i = 0; i < s.len;) {
		uint32_t c = s.ptr[i];
		unsigned n = c < 0x80 ? 1 : utf8_decode(slice_sub(s, i, SIZE_MAX), &c);
		if (n == 0)
			return wit__err_at(ast, e, ERR_MALFORMED, (struct wit_pos){file, i}, "malformed UTF-8 encoding");
		if (is_forbidden(c))
			return wit__err_at(ast, e, ERR_MALFORMED, (struct wit_pos){file, i}, "control or misleading character U+%04X", c);
		i += n;
	}
	return true;
}

static uint8_t peek(const struct wit_lexer *l, uint32_t ahead)
{
	return (size_t)l->at + ahead < l->text.len ? l->text.ptr[l->at + ahead] : 0;
}

// To the end of a block comment at the cursor; they nest.
static bool skip_block(struct wit_lexer *l, struct err *e)
{
	uint32_t from = l->at, depth = 0;
	do {
		if (l->at >= l->text.len)
			return lex_err(l, e, from, "unterminated block comment");
		if (peek(l, 0) == '/' && peek(l, 1) == '*') {
			depth++;
			l->at += 2;
		} else if (peek(l, 0) == '*' && peek(l, 1) == '/') {
			depth--;
			l->at += 2;
		} else {
			l->at++;
		}
	} while (depth);
	return true;
}

static bool skip_space(struct wit_lexer *l, struct wit_token *t, struct err *e)
{
	t->docs_from = t->docs_to = 0;
	while (l->at < l->text.len) {
		uint8_t c = peek(l, 0);
		uint32_t from = l->at;
		bool is_doc;
		if (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
			l->at++;
			continue;
		}
		if (c != '/' || (peek(l, 1) != '/' && peek(l, 1) != '*'))
			break;
		is_doc = peek(l, 2) == peek(l, 1) && peek(l, 3) != '/';
		if (peek(l, 1) == '/') {
			while (l->at < l->text.len && peek(l, 0) != '\n')
				l->at++;
		} else if (!skip_block(l, e)) {
			return false;
		}
		if (is_doc) {
			t->docs_from = t->docs_to ? t->docs_from : from;
			t->docs_to = l->at;
		}
	}
	return true;
}

static bool is_id_char(uint8_t c)
{
	return (c >= '0' && c <= '9') || (wit__lower(c) >= 'a' && wit__lower(c) <= 'z') || c == '-' || c == '_';
}

static bool lex_id(struct wit_lexer *l, struct wit_token *t, struct err *e)
{
	t->kind = TOKEN_ID;
	if (peek(l, 0) == '%') {
		t->is_escaped = true;
		l->at++;
	}
	uint32_t from = l->at;
	while (l->at < l->text.len && is_id_char(peek(l, 0)))
		l->at++;
	// An arrow may follow without a space.
	if (peek(l, 0) == '>' && l->at > from && l->text.ptr[l->at - 1] == '-')
		l->at--;
	t->text = slice_sub(l->text, from, l->at - from);
	// `_` alone is the missing type of result<_, e>.
	if (slice_eq(t->text, SLICE_LIT("_")) && !t->is_escaped)
		return true;
	if (wit__label_is_valid(t->text))
		return true;
	wit__err_at(l->ast, e, ERR_MALFORMED, (struct wit_pos){l->file, t->offset}, "invalid identifier `%.*s`: not in kebab case", SLICE_ARGS(t->text));
	return err_hint(e, "words of lower-case letters and digits (acronyms in upper case), joined by '-', the first one begins with a letter");
}

static bool lex_string(struct wit_lexer *l, struct wit_token *t, struct err *e)
{
	l->at++;
	uint32_t from = l->at;
	while (l->at < l->text.len && peek(l, 0) != '"' && peek(l, 0) != '\n')
		l->at += peek(l, 0) == '\\' && l->at + 1 < l->text.len ? 2 : 1;
	if (peek(l, 0) != '"')
		return lex_err(l, e, t->offset, "unterminated string");
	t->kind = TOKEN_STRING;
	t->text = slice_sub(l->text, from, l->at - from);
	l->at++;
	return true;
}

bool wit__lex(struct wit_lexer *l, struct wit_token *t, struct err *e)
{
	memset(t, 0, sizeof(*t));
	if (!skip_space(l, t, e))
		return false;
	t->offset = l->at;
	uint8_t c = peek(l, 0);
	bool ok = true;
	if (l->at >= l->text.len) {
		t->kind = TOKEN_END;
	} else if (c >= '0' && c <= '9') {
		t->kind = TOKEN_INTEGER;
		while (peek(l, 0) >= '0' && peek(l, 0) <= '9')
			l->at++;
		t->text = slice_sub(l->text, t->offset, l->at - t->offset);
	} else if (c == '-' && peek(l, 1) == '>') {
		t->kind = TOKEN_ARROW;
		l->at += 2;
	} else if (c == '%' || (is_id_char(c) && c != '-')) {
		ok = lex_id(l, t, e);
	} else if (c == '"') {
		ok = lex_string(l, t, e);
	} else if (memchr("=,:;(){}<>*/.@", c, 14)) {
		t->kind = TOKEN_CHAR;
		t->ch = (char)c;
		l->at++;
	} else {
		uint32_t ch = c;
		unsigned n = utf8_decode(slice_sub(l->text, l->at, SIZE_MAX), &ch);
		return wit__err_at(l->ast, e, ERR_MALFORMED, (struct wit_pos){l->file, l->at}, "unexpected character '%.*s'", (int)(n ? n : 1),
			(const char *)l->text.ptr + l->at);
	}
	t->end = l->at;
	return ok;
}

bool wit__lex_version(struct wit_lexer *l, struct wit_version *ret, struct err *e)
{
	struct wit_token space;
	if (!skip_space(l, &space, e))
		return false;
	uint32_t from = l->at;
	for (; l->at < l->text.len; l->at++) {
		uint8_t c = peek(l, 0), next = peek(l, 1);
		bool id = is_id_char(c) && c != '_', next_id = is_id_char(next) && next != '_';
		// "->" after a version cannot be part of it, nor can the '.' of ".{".
		if ((c == '-' && next == '>') || (!id && c != '+' && !(c == '.' && next_id)))
			break;
	}
	struct slice s = slice_sub(l->text, from, l->at - from);
	return wit__version_parse(s, false, ret, e) || wit__err_place(l->ast, e, (struct wit_pos){l->file, from});
}

bool wit__is_keyword(struct slice s)
{
	static const char *const words[] = {"as", "async", "bool", "borrow", "char", "constructor", "enum", "export", "f32", "f64", "flags", "from", "func", "future",
		"import", "include", "interface", "list", "option", "own", "package", "record", "resource", "result", "s16", "s32",
		"s64", "s8", "static", "stream", "string", "tuple", "type", "u16", "u32", "u64", "u8", "use", "variant", "with", "world",
		"_"};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_eq_str(s, words[i]))
			return true;
	return false;
}

// One line of documentation: marks and one space off the front, white space off the end.
static void docs_line(struct buf *b, struct slice line, bool in_block)
{
	while (line.len && (line.ptr[0] == ' ' || line.ptr[0] == '\t'))
		line = slice_sub(line, 1, SIZE_MAX);
	if (in_block && line.len && line.ptr[0] == '*')
		line = slice_sub(line, 1, SIZE_MAX);
	if (line.len && line.ptr[0] == ' ')
		line = slice_sub(line, 1, SIZE_MAX);
	while (line.len && (line.ptr[line.len - 1] == ' ' || line.ptr[line.len - 1] == '\r' || line.ptr[line.len - 1] == '\t'))
		line.len--;
	if (b->len)
		buf_put_byte(b, '\n');
	buf_put_slice(b, line);
}

bool wit__docs(struct arena *a, struct slice text, uint32_t from, uint32_t to, struct slice *ret, struct err *e)
{
	struct buf b = {.max = WIT_MAX_TEXT * 2};
	struct slice s = slice_sub(text, from, to - from);
	*ret = (struct slice){0};
	if (!s.len)
		return true;
	while (s.len) {
		if (slice_starts_with(s, SLICE_LIT("/**")) && !slice_starts_with(s, SLICE_LIT("/**/"))) {
			size_t end = 3;
			while (end + 1 < s.len && !(s.ptr[end] == '*' && s.ptr[end + 1] == '/'))
				end++;
			struct slice body = slice_sub(s, 3, end - 3);
			while (body.len) {
				struct slice line = slice_sub(body, 0, slice_find(body, '\n'));
				docs_line(&b, line, true);
				body = slice_sub(body, line.len + 1, SIZE_MAX);
			}
			s = slice_sub(s, end + 2, SIZE_MAX);
		} else {
			struct slice line = slice_sub(s, 0, slice_find(s, '\n'));
			s = slice_sub(s, line.len + 1, SIZE_MAX);
			while (line.len && (line.ptr[0] == ' ' || line.ptr[0] == '\t'))
				line = slice_sub(line, 1, SIZE_MAX);
			if (slice_starts_with(line, SLICE_LIT("///")) && !slice_starts_with(line, SLICE_LIT("////")))
				docs_line(&b, slice_sub(line, 3, SIZE_MAX), false);
		}
	}
	// Empty lines at the end are none, as those at the beginning.
	while (b.len && b.ptr[b.len - 1] == '\n')
		b.len--;
	bool ok = !b.failed && slice_dup(a, buf_view(&b), ret);
	buf_release(&b);
	return ok || err_nomem(e);
}
