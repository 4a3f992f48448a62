// TOML: what is read has its places in the text, and is written so that it reads the same.
// PROGRAM(fuzz_toml, "app", "")
#include "app/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(struct buf *b, const struct toml *t)
{
	switch (t->kind) {
	case TOML_STRING:
		toml_put_string(b, t->text);
		break;
	case TOML_ARRAY:
	case TOML_TABLE:
		buf_put_byte(b, t->kind == TOML_ARRAY ? '[' : '{');
		for (const struct toml *x = t->first; x; x = x->next) {
			if (t->kind == TOML_TABLE) {
				toml_put_key(b, x->key);
				buf_put_byte(b, '=');
			}
			put(b, x);
			buf_put_str(b, x->next ? "," : "");
		}
		buf_put_byte(b, t->kind == TOML_ARRAY ? ']' : '}');
		break;
	default:
		buf_put_slice(b, t->text);
	}
}

static void put_document(struct buf *b, const struct toml *root)
{
	for (const struct toml *x = root->first; x; x = x->next) {
		toml_put_key(b, x->key);
		buf_put_byte(b, '=');
		put(b, x);
		buf_put_byte(b, '\n');
	}
}

static void check_places(const struct toml *t)
{
	for (const struct toml *x = t->first; x; x = x->next) {
		if (x->at.line == 0 || x->at.col == 0 || (t->kind == TOML_TABLE && toml_get(t, x->key) != x))
			abort();
		check_places(x);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct toml *root, *again;
	struct err e = {0};
	struct buf first = {0}, second = {0};
	arena_init(&a, 512 << 20);
	if (size && toml_parse(&a, slice_of(data, size), APP_IN_MANIFEST, "x", &root, &e)) {
		check_places(root);
		put_document(&first, root);
		// A table in braces begins a level that a header's doesn't: what is close to the bound may be beyond it then.
		if (first.len && first.len <= APP_MAX_SOURCE) {
			if (!toml_parse(&a, buf_view(&first), APP_IN_MANIFEST, "y", &again, &e))
				abort();
			put_document(&second, again);
			if (!slice_eq(buf_view(&first), buf_view(&second)))
				abort();
		}
	} else if (size && (e.line == 0 || e.text[0] == 0) && e.code != ERR_NOMEM) {
		abort();
	}
	buf_release(&first);
	buf_release(&second);
	arena_release(&a);
	return 0;
}
