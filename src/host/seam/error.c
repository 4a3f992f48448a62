// What becomes of a call that nobody could answer, in a guest's own terms.
#include "seam_int.h"

static bool put_text(struct seam_call *c, const struct wit_type *t, uint8_t *at, struct slice text)
{
	if (!t)
		return true;
	if (t->kind == WIT_STRING)
		return seam_string(c, text, (struct wit_string *)(void *)at);
	return t->kind == WIT_OPTION;  // none
}

static bool put_case(struct seam_call *c, const struct wit_type *t, const char *name, uint8_t *at, struct slice text)
{
	for (uint32_t i = 0; i < t->n; i++) {
		if (!slice_eq_str(t->fields[i].name, name))
			continue;
		wit_discriminant_store(at, t->discriminant_size, i);
		return put_text(c, t->fields[i].type, at + t->payload64, text);
	}
	return false;
}

bool seam_put_error(struct seam_call *c, const char *const *cases, uint32_t n, struct slice text, void *ret)
{
	const struct wit_type *result = c->func->type->result;
	if (!result || result->kind != WIT_RESULT)
		return false;
	const struct wit_type *t = result->fields[1].type;
	uint8_t *at = (uint8_t *)ret + result->payload64;
	memset(ret, 0, result->size64);
	wit_discriminant_store(ret, result->discriminant_size, 1);
	if (!t || t->kind == WIT_STRING)
		return put_text(c, t, at, text);
	for (uint32_t i = 0; (t->kind == WIT_VARIANT || t->kind == WIT_ENUM) && i < n; i++)
		if (put_case(c, t, cases[i], at, text))
			return true;
	return false;
}
