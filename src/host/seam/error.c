// What becomes of a call that nobody could answer, in a guest's own terms.
#include "seam_int.h"

static bool put_text(const struct wit_type *t, uint8_t *at, struct wit_string text)
{
	if (!t)
		return true;
	if (t->kind != WIT_STRING)
		return t->kind == WIT_OPTION;  // none
	if (at)
		memcpy(at, &text, sizeof text);
	return true;
}

static bool put_case(const struct wit_type *t, const char *name, uint8_t *at, struct wit_string text)
{
	for (uint32_t i = 0; i < t->n; i++) {
		if (!slice_eq_str(t->fields[i].name, name))
			continue;
		if (at)
			wit_discriminant_store(at, t->discriminant_size, i);
		return put_text(t->fields[i].type, at ? at + t->payload64 : NULL, text);
	}
	return false;
}

bool seam_error_value(const struct wit_type *result, const char *const *cases, uint32_t n, struct wit_string text, void *ret)
{
	if (!result || result->kind != WIT_RESULT)
		return false;
	const struct wit_type *t = result->fields[1].type;
	uint8_t *at = ret ? (uint8_t *)ret + result->payload64 : NULL;
	if (ret) {
		memset(ret, 0, result->size64);
		wit_discriminant_store(ret, result->discriminant_size, 1);
	}
	if (!t || t->kind == WIT_STRING)
		return put_text(t, at, text);
	for (uint32_t i = 0; (t->kind == WIT_VARIANT || t->kind == WIT_ENUM) && i < n; i++)
		if (put_case(t, cases[i], at, text))
			return true;
	return false;
}

bool seam_put_error(struct seam_call *c, const char *const *cases, uint32_t n, struct slice text, void *ret)
{
	struct wit_string copy;
	return seam_error_value(c->func->type->result, cases, n, (struct wit_string){0}, NULL) && seam_string(c, text, &copy) &&
		seam_error_value(c->func->type->result, cases, n, copy, ret);
}
