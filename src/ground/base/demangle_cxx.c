// Names of C++ ("Itanium C++ ABI", 5.1): a tree of nodes, then its text. Parameters of the function itself are left out, as a backtrace says where it is; so
// are expressions in template arguments, whose names stay as they are. A substitution is an edge to a node that is there, so a short name may stand for a
// text of exponential length: nodes, depth and steps of writing are bounded.
#include "base_int.h"
#include "demangle.h"

enum { NODES_MAX = 600, MAX_DEPTH = 64, STEPS_MAX = 4000 };

enum kind { TEXT, NEST, TEMPLATE, LIST, POINTER, QUALIFIED, FUNCTION, ARRAY, MEMBER, PREFIXED };
typedef uint16_t node_idx;  // 0: none
struct node {
	uint8_t kind;
	node_idx a, b;
	struct slice text;  // TEXT; POINTER and QUALIFIED: what stands behind; ARRAY: the size; PREFIXED: what stands before
};
struct cxx {
	struct slice s;
	size_t at;
	unsigned depth, n_nodes, n_subs, steps;
	bool failed;
	node_idx template_args;  // that T_ means
	struct node nodes[NODES_MAX];
	node_idx subs[NODES_MAX];
};

static uint8_t peek_at(const struct cxx *d, size_t ahead)
{
	return d->at + ahead < d->s.len ? d->s.ptr[d->at + ahead] : 0;
}

static uint8_t peek(const struct cxx *d)
{
	return peek_at(d, 0);
}

static bool take(struct cxx *d, const char *text)
{
	size_t n = strlen(text);
	bool yes = slice_starts_with(slice_sub(d->s, d->at, SIZE_MAX), slice_of(text, n));
	d->at += yes ? n : 0;
	return yes;
}

static node_idx fail(struct cxx *d)
{
	d->failed = true;
	return 0;
}

static node_idx node(struct cxx *d, enum kind kind, node_idx a, node_idx b, struct slice text)
{
	if (d->failed || d->n_nodes + 1 >= NODES_MAX)
		return fail(d);
	d->nodes[++d->n_nodes] = (struct node){.kind = (uint8_t)kind, .a = a, .b = b, .text = text};
	return (node_idx)d->n_nodes;
}

static node_idx text(struct cxx *d, const char *literal)
{
	return node(d, TEXT, 0, 0, slice_str(literal));
}

// What may be substituted from here on.
static node_idx remember(struct cxx *d, node_idx n)
{
	if (d->failed || d->n_subs == NODES_MAX)
		return fail(d);
	d->subs[d->n_subs++] = n;
	return n;
}

static bool enter(struct cxx *d)
{
	if (d->failed || d->depth == MAX_DEPTH || ++d->steps > STEPS_MAX)
		return fail(d);
	d->depth++;
	return true;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static size_t number(struct cxx *d)
{
	size_t v = 0;
	if (!is_digit(peek(d)))
		fail(d);
	while (is_digit(peek(d)) && v < 1000000)
		v = v * 10 + (size_t)(d->s.ptr[d->at++] - '0');
	return v;
}

// "_" is 0, "0_" 1, "1_" 2; of substitutions in base 36.
static size_t sequence(struct cxx *d, unsigned base)
{
	size_t v = 0;
	if (take(d, "_"))
		return 0;
	for (; !d->failed && peek(d) != '_'; d->at++) {
		uint8_t c = peek(d);
		if (!is_digit(c) && !(base == 36 && c >= 'A' && c <= 'Z'))
			return fail(d);
		v = min_u64(v * base + (size_t)(is_digit(c) ? c - '0' : c - 'A' + 10), 1000000);
	}
	d->at++;
	return v + 1;
}

static node_idx type(struct cxx *d);
static node_idx encoding(struct cxx *d);
static node_idx name(struct cxx *d);
static node_idx template_args(struct cxx *d);

// ---- names -----------------------------------------------------------------------------------------------------------------------------

static node_idx source_name(struct cxx *d)
{
	size_t n = number(d);
	struct slice s = slice_sub(d->s, d->at, n);
	if (s.len != n || n == 0)
		return fail(d);
	d->at += n;
	return slice_starts_with(s, SLICE_LIT("_GLOBAL__N")) ? text(d, "(anonymous namespace)") : node(d, TEXT, 0, 0, s);
}

static node_idx operator_name(struct cxx *d)
{
	static const char names[][2][14] = {{"nw", " new"}, {"na", " new[]"}, {"dl", " delete"}, {"da", " delete[]"}, {"ng", "-"}, {"ps", "+"}, {"ad", "&"}, {"de", "*"},
		{"co", "~"}, {"pl", "+"}, {"mi", "-"}, {"ml", "*"}, {"dv", "/"}, {"rm", "%"}, {"an", "&"}, {"or", "|"}, {"eo", "^"}, {"aS", "="}, {"pL", "+="}, {"mI", "-="},
		{"mL", "*="}, {"dV", "/="}, {"rM", "%="}, {"aN", "&="}, {"oR", "|="}, {"eO", "^="}, {"ls", "<<"}, {"rs", ">>"}, {"lS", "<<="}, {"rS", ">>="}, {"eq", "=="},
		{"ne", "!="}, {"lt", "<"}, {"gt", ">"}, {"le", "<="}, {"ge", ">="}, {"ss", "<=>"}, {"nt", "!"}, {"aa", "&&"}, {"oo", "||"}, {"pp", "++"}, {"mm", "--"},
		{"cm", ","}, {"pm", "->*"}, {"pt", "->"}, {"cl", "()"}, {"ix", "[]"}, {"qu", "?"}, {"aw", " co_await"}};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (take(d, names[i][0]))
			return node(d, PREFIXED, text(d, names[i][1]), 0, SLICE_LIT("operator"));
	if (take(d, "cv"))
		return node(d, PREFIXED, type(d), 0, SLICE_LIT("operator "));
	return take(d, "li") ? node(d, PREFIXED, source_name(d), 0, SLICE_LIT("operator\"\" ")) : fail(d);
}

// Parameters up to `end`; "v" alone is none.
static node_idx types_until(struct cxx *d, const char *end)
{
	node_idx first = 0, last = 0;
	if (peek(d) == 'v' && d->s.len - d->at > 1 && peek_at(d, 1) == (uint8_t)end[0])
		d->at++;
	while (!d->failed && !take(d, end)) {
		node_idx item = node(d, LIST, type(d), 0, slice_of(NULL, 0));
		if (d->failed)
			return 0;
		if (last)
			d->nodes[last].b = item;
		first = first ? first : item;
		last = item;
	}
	return first;
}

// Ul PARAMETERS E [N] _ / Ut [N] _
static node_idx unnamed(struct cxx *d)
{
	bool is_lambda = take(d, "Ul");
	if (!is_lambda && !take(d, "Ut"))
		return fail(d);
	if (is_lambda)
		types_until(d, "E");
	size_t n = sequence(d, 10);
	if (d->failed || n > 999)
		return fail(d);
	// A number of its own: "{lambda#1}" is the first.
	static const char digits[] = "0123456789";
	size_t at = n + 1;
	node_idx tail = text(d, "}");
	for (; at; at /= 10)
		tail = node(d, PREFIXED, tail, 0, slice_of(digits + at % 10, 1));
	return node(d, PREFIXED, tail, 0, is_lambda ? SLICE_LIT("{lambda#") : SLICE_LIT("{unnamed#"));
}

// Of `scope`, whose last part a constructor and a destructor are called after.
static node_idx unqualified(struct cxx *d, node_idx scope)
{
	node_idx n;
	uint8_t c = peek(d), c2 = peek_at(d, 1);
	take(d, "L");
	c = peek(d);
	c2 = peek_at(d, 1);
	if (is_digit(c)) {
		n = source_name(d);
	} else if (c == 'U') {
		n = unnamed(d);
	} else if ((c == 'C' || c == 'D') && (is_digit(c2) || (c == 'C' && c2 == 'I')) && scope) {
		node_idx last = scope;
		d->at += c2 == 'I' ? 3 : 2;
		if (c2 == 'I')
			type(d);
		while (d->nodes[last].kind == NEST || d->nodes[last].kind == TEMPLATE)
			last = d->nodes[last].kind == NEST ? d->nodes[last].b : d->nodes[last].a;
		n = c == 'C' ? last : node(d, PREFIXED, last, 0, SLICE_LIT("~"));
	} else {
		n = operator_name(d);
	}
	while (!d->failed && take(d, "B"))
		source_name(d);  // a tag of the library's ABI
	return n;
}

static node_idx standard(struct cxx *d)
{
	static const char *const names[][2] = {{"Sa", "std::allocator"}, {"Sb", "std::basic_string"}, {"Ss", "std::string"}, {"Si", "std::istream"}, {"So", "std::ostream"},
		{"Sd", "std::iostream"}, {"St", "std"}};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (take(d, names[i][0]))
			return text(d, names[i][1]);
	return 0;
}

static node_idx substitution(struct cxx *d)
{
	node_idx n = standard(d);
	if (n || d->failed || !take(d, "S"))
		return n ? n : fail(d);
	size_t i = sequence(d, 36);
	return !d->failed && i < d->n_subs ? d->subs[i] : fail(d);
}

static node_idx template_param(struct cxx *d)
{
	if (!take(d, "T"))
		return fail(d);
	size_t i = sequence(d, 10);
	node_idx at = d->template_args;
	for (; at && i; i--)
		at = d->nodes[at].b;
	return at ? d->nodes[at].a : text(d, "auto");
}

static node_idx nest(struct cxx *d, node_idx scope, node_idx n)
{
	return scope ? node(d, NEST, scope, n, slice_of(NULL, 0)) : n;
}

// N [qualifiers] PREFIX… E
static node_idx nested_name(struct cxx *d)
{
	node_idx n = 0;
	while (take(d, "r") || take(d, "V") || take(d, "K") || take(d, "R") || take(d, "O"))
		;
	while (!d->failed && !take(d, "E")) {
		uint8_t c = peek(d), c2 = peek_at(d, 1);
		bool is_known = c == 'S';
		if (c == 'S' && c2 == 't') {
			n = standard(d);
		} else if (c == 'S') {
			n = substitution(d);
		} else if (c == 'T' && !n) {
			n = template_param(d);
		} else if (c == 'I' && n) {
			node_idx args = template_args(d);
			n = node(d, TEMPLATE, n, args, slice_of(NULL, 0));
		} else if (c == 'M' && n) {
			d->at++;  // the initialiser that a lambda is in
			continue;
		} else {
			n = nest(d, n, unqualified(d, n));
		}
		if (!d->failed && !is_known && peek(d) != 'E')
			remember(d, n);
	}
	return n;
}

// Z ENCODING E: what is local to a function.
static node_idx local_name(struct cxx *d)
{
	node_idx function = encoding(d), n;
	if (!d->failed && peek(d) != 'E')
		types_until(d, "E");  // its parameters
	else
		take(d, "E");
	if (take(d, "s")) {
		n = text(d, "string literal");
	} else {
		if (take(d, "d"))  // in a default argument
			sequence(d, 10);
		n = name(d);
	}
	if (take(d, "_")) {  // which of them, if several have the name
		bool is_long = take(d, "_");
		number(d);
		if (is_long)
			take(d, "_");
	}
	return nest(d, function, n);
}

static node_idx name(struct cxx *d)
{
	node_idx n;
	if (!enter(d))
		return 0;
	bool is_known = false;
	if (take(d, "N")) {
		n = nested_name(d);
		is_known = true;
	} else if (take(d, "Z")) {
		n = local_name(d);
		is_known = true;
	} else if (peek(d) == 'S' && peek_at(d, 1) != 't') {
		n = substitution(d);
		is_known = true;
	} else {
		n = take(d, "St") ? nest(d, text(d, "std"), unqualified(d, 0)) : unqualified(d, 0);
	}
	if (!d->failed && peek(d) == 'I') {
		if (!is_known)
			remember(d, n);
		n = node(d, TEMPLATE, n, template_args(d), slice_of(NULL, 0));
	}
	d->depth--;
	return n;
}

// ---- types -----------------------------------------------------------------------------------------------------------------------------

static const char *builtin(struct cxx *d)
{
	static const char *const letters[26] = {"signed char", "bool", "char", "double", "long double", "float", "__float128", "unsigned char", "int", "unsigned int", NULL,
		"long", "unsigned long", "__int128", "unsigned __int128", NULL, NULL, NULL, "short", "unsigned short", NULL, "void", "wchar_t", "long long",
		"unsigned long long", "..."};
	static const char *const more[][2] = {{"Dn", "decltype(nullptr)"}, {"Da", "auto"}, {"Dc", "decltype(auto)"}, {"Di", "char32_t"}, {"Ds", "char16_t"}, {"Du", "char8_t"},
		{"Dh", "half"}};
	uint8_t c = peek(d);
	if (c >= 'a' && c <= 'z' && letters[c - 'a']) {
		d->at++;
		return letters[c - 'a'];
	}
	for (size_t i = 0; i < ARRAY_LEN(more); i++)
		if (take(d, more[i][0]))
			return more[i][1];
	return NULL;
}

// L TYPE VALUE E, L _Z ENCODING E
static node_idx literal(struct cxx *d)
{
	if (take(d, "_Z")) {
		node_idx n = encoding(d);
		if (peek(d) != 'E')
			types_until(d, "E");
		else
			take(d, "E");
		return n;
	}
	bool is_bool = peek(d) == 'b';
	type(d);
	bool negative = take(d, "n");
	struct slice rest = slice_sub(d->s, d->at, SIZE_MAX), value = slice_sub(rest, 0, slice_find(rest, 'E'));
	d->at += value.len;
	if (!take(d, "E"))
		return fail(d);
	if (is_bool)
		return text(d, slice_eq_str(value, "0") ? "false" : "true");
	return node(d, PREFIXED, node(d, TEXT, 0, 0, value), 0, negative ? SLICE_LIT("-") : SLICE_LIT(""));
}

static void append(struct cxx *d, node_idx *first, node_idx *last, node_idx item)
{
	node_idx n = node(d, LIST, item, 0, slice_of(NULL, 0));
	if (*last)
		d->nodes[*last].b = n;
	*first = *first ? *first : n;
	*last = n;
}

static void some_args(struct cxx *d, node_idx *first, node_idx *last)
{
	if (!enter(d))
		return;
	while (!d->failed && !take(d, "E")) {
		if (take(d, "J"))
			some_args(d, first, last);
		else if (take(d, "L"))
			append(d, first, last, literal(d));
		else if (peek(d) == 'X')
			fail(d);
		else
			append(d, first, last, type(d));
	}
	d->depth--;
}

static node_idx template_args(struct cxx *d)
{
	node_idx first = 0, last = 0;
	if (!take(d, "I"))
		return fail(d);
	some_args(d, &first, &last);
	d->template_args = first;
	return first;
}

// F [Y] RESULT PARAMETERS E
static node_idx function_type(struct cxx *d)
{
	take(d, "Y");
	node_idx result = type(d);
	node_idx params = types_until(d, "E");
	return node(d, FUNCTION, result, params, slice_of(NULL, 0));
}

static node_idx array_type(struct cxx *d)
{
	struct slice rest = slice_sub(d->s, d->at, SIZE_MAX), size = slice_sub(rest, 0, slice_find(rest, '_'));
	for (size_t i = 0; i < size.len; i++)
		if (!is_digit(size.ptr[i]))
			return fail(d);
	d->at += size.len;
	return take(d, "_") ? node(d, ARRAY, type(d), 0, size) : fail(d);
}

static node_idx compound(struct cxx *d)
{
	static const struct {
		const char *code, *text;
		enum kind kind;
	} rows[] = {{"P", "*", POINTER}, {"R", "&", POINTER}, {"O", "&&", POINTER}, {"rV", " volatile", QUALIFIED}, {"r", "", QUALIFIED}, {"VK", " const volatile", QUALIFIED},
		{"V", " volatile", QUALIFIED}, {"K", " const", QUALIFIED}, {"Dp", "...", QUALIFIED}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (take(d, rows[i].code))
			return remember(d, node(d, rows[i].kind, type(d), 0, slice_str(rows[i].text)));
	if (take(d, "F") || take(d, "DoF"))
		return remember(d, function_type(d));
	if (take(d, "A"))
		return remember(d, array_type(d));
	if (take(d, "M")) {
		node_idx class = type(d), member = type(d);
		return remember(d, node(d, MEMBER, member, class, slice_of(NULL, 0)));
	}
	return 0;
}

static node_idx type(struct cxx *d)
{
	if (!enter(d))
		return 0;
	node_idx n;
	const char *known = builtin(d);
	if (known) {
		n = text(d, known);
	} else if ((n = compound(d)) != 0 || d->failed) {
		;
	} else if (take(d, "u")) {
		n = remember(d, source_name(d));
	} else if (peek(d) == 'T') {
		n = remember(d, template_param(d));
		if (!d->failed && peek(d) == 'I')
			n = remember(d, node(d, TEMPLATE, n, template_args(d), slice_of(NULL, 0)));
	} else if (peek(d) == 'S' && peek_at(d, 1) != 't') {
		n = substitution(d);
		if (!d->failed && peek(d) == 'I')
			n = remember(d, node(d, TEMPLATE, n, template_args(d), slice_of(NULL, 0)));
	} else {
		node_idx args = d->template_args;
		n = remember(d, name(d));
		d->template_args = args;
	}
	d->depth--;
	return n;
}

// Parameters of a function are not read here.
static node_idx encoding(struct cxx *d)
{
	static const char *const specials[][2] = {{"TV", "vtable for "}, {"TT", "VTT for "}, {"TI", "typeinfo for "}, {"TS", "typeinfo name for "}};
	for (size_t i = 0; i < ARRAY_LEN(specials); i++)
		if (take(d, specials[i][0]))
			return node(d, PREFIXED, type(d), 0, slice_str(specials[i][1]));
	if (take(d, "GV"))
		return node(d, PREFIXED, name(d), 0, SLICE_LIT("guard variable for "));
	if (take(d, "Th")) {
		take(d, "n");
		number(d);
		return take(d, "_") ? node(d, PREFIXED, encoding(d), 0, SLICE_LIT("thunk to ")) : fail(d);
	}
	return name(d);
}

// ---- text ------------------------------------------------------------------------------------------------------------------------------

static void put_left(struct cxx *d, struct buf *out, node_idx i);
static void put_right(struct cxx *d, struct buf *out, node_idx i);

static void put_node(struct cxx *d, struct buf *out, node_idx i)
{
	put_left(d, out, i);
	put_right(d, out, i);
}

static void put_list(struct cxx *d, struct buf *out, node_idx i)
{
	for (bool first = true; i && !d->failed; i = d->nodes[i].b, first = false) {
		buf_put_str(out, first ? "" : ", ");
		put_node(d, out, d->nodes[i].a);
	}
}

static bool has_right(const struct cxx *d, node_idx i)
{
	return d->nodes[i].kind == FUNCTION || d->nodes[i].kind == ARRAY;
}

static void put_left(struct cxx *d, struct buf *out, node_idx i)
{
	const struct node *n = &d->nodes[i];
	if (!i || !enter(d) || out->failed) {
		fail(d);
		return;
	}
	switch ((enum kind)n->kind) {
	case TEXT:
		buf_put_slice(out, n->text);
		break;
	case NEST:
		put_node(d, out, n->a);
		buf_put_str(out, "::");
		put_node(d, out, n->b);
		break;
	case TEMPLATE:
		put_node(d, out, n->a);
		buf_put_str(out, out->len && out->ptr[out->len - 1] == '<' ? " <" : "<");
		put_list(d, out, n->b);
		buf_put_byte(out, '>');
		break;
	case LIST:
		put_list(d, out, i);
		break;
	case PREFIXED:
		buf_put_slice(out, n->text);
		put_node(d, out, n->a);
		break;
	case POINTER:
	case MEMBER:
		put_left(d, out, n->a);
		buf_put_str(out, has_right(d, n->a) ? d->nodes[n->a].kind == ARRAY ? " (" : "(" : n->kind == MEMBER ? " "
																											: "");
		if (n->kind == MEMBER) {
			put_node(d, out, n->b);
			buf_put_str(out, "::*");
		}
		buf_put_slice(out, n->text);
		break;
	case QUALIFIED:
		put_left(d, out, n->a);
		buf_put_slice(out, has_right(d, n->a) ? slice_of(NULL, 0) : n->text);
		break;
	case FUNCTION:
		put_left(d, out, n->a);
		buf_put_byte(out, ' ');
		break;
	case ARRAY:
		put_left(d, out, n->a);
		break;
	}
	d->depth--;
}

static void put_right(struct cxx *d, struct buf *out, node_idx i)
{
	const struct node *n = &d->nodes[i];
	if (!i || !enter(d) || out->failed) {
		fail(d);
		return;
	}
	if (n->kind == POINTER || n->kind == MEMBER) {
		buf_put_str(out, has_right(d, n->a) ? ")" : "");
		put_right(d, out, n->a);
	} else if (n->kind == QUALIFIED) {
		put_right(d, out, n->a);
		buf_put_slice(out, has_right(d, n->a) ? n->text : slice_of(NULL, 0));
	} else if (n->kind == FUNCTION) {
		buf_put_byte(out, '(');
		put_list(d, out, n->b);
		buf_put_byte(out, ')');
		put_right(d, out, n->a);
	} else if (n->kind == ARRAY) {
		buf_put_str(out, " [");
		buf_put_slice(out, n->text);
		buf_put_byte(out, ']');
		put_right(d, out, n->a);
	}
	d->depth--;
}

bool base__demangle_cxx(struct buf *out, struct slice mangled)
{
	if (!slice_starts_with(mangled, SLICE_LIT("_Z")) || mangled.len > DEMANGLE_MAX)
		return false;
	struct cxx *d = mem_zalloc(sizeof *d);
	if (!d)
		return false;
	d->s = slice_sub(mangled, 2, SIZE_MAX);
	node_idx n = encoding(d);
	d->steps = d->depth = 0;
	if (!d->failed)
		put_node(d, out, n);
	bool ok = !d->failed && !out->failed;
	mem_free(d);
	return ok;
}
