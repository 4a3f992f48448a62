// Reading the binary format's atoms. Wordings are the specification's.
#include "comp_int.h"

#include <stdio.h>

bool comp__full(struct dec *d)
{
	if (d->s.max && d->s.used >= d->s.max / 2)
		return FAIL(d, LIMIT, "the component needs more than %zu MiB to be decoded", d->s.max >> 20);
	return err_nomem(d->e);
}

bool comp__no_place(struct dec *d, uint32_t len)
{
	return len < COMP_MAX_SPACE ? comp__full(d) : FAIL(d, LIMIT, "the component has more than %u entries of one kind", COMP_MAX_SPACE);
}

bool comp__at(struct dec *d, uint64_t offset)
{
	if (!d->e)
		return false;
	if (d->e->offset == ERR_NO_OFFSET || d->e->code == ERR_NONE)
		d->e->offset = offset;
	if (d->e->code == ERR_LINK)
		d->e->code = ERR_INVALID;
	return false;
}

bool comp__steps(struct dec *d, uint64_t n)
{
	if (d->steps < n)
		return FAIL(d, LIMIT, "checking the component's types takes too many steps");
	d->steps -= n;
	return true;
}

static const struct {
	uint32_t feature;
	const char *name, *text, *hint;
} features[] = {
#define FEATURE(name, bit, text, off, hint) {COMP_FEATURE_##name, text, off, hint},
#include "features.def"
#undef FEATURE
};
_Static_assert(ARRAY_LEN(features) <= COMP_MAX_NEEDS && COMP_FEATURES_ALL == (1u << ARRAY_LEN(features)) - 1, "each feature has a bit and room");

static size_t feature_row(uint32_t feature)
{
	size_t i = 0;
	while (features[i].feature != feature)
		i++;
	return i;
}

const char *comp_feature_name(uint32_t feature)
{
	return features[feature_row(feature)].name;
}

static bool set_unsupported(struct err *e, uint32_t feature, uint64_t at, const char *what)
{
	size_t i = feature_row(feature);
	err_set_at(e, ERR_UNSUPPORTED, at, "%s is not supported: %s", what, features[i].text);
	return err_hint(e, "%s", features[i].hint);
}

bool comp__need(struct dec *d, uint32_t feature, uint64_t at, const char *what)
{
	struct comp_component *c = d->comp;
	if (!(d->opt->features & feature))
		return set_unsupported(d->e, feature, at, what);
	for (uint32_t i = 0; i < c->nneeds; i++)
		if (c->needs[i].feature == feature)
			return true;
	struct comp_need *n = &c->needs[c->nneeds++];
	n->feature = feature;
	n->offset = at;
	snprintf(n->what, sizeof n->what, "%s", what);
	return true;
}

bool comp_can_run(const struct comp_component *c, struct err *e)
{
	for (uint32_t i = 0; i < c->nneeds; i++)
		if (!(COMP_FEATURES_DEFAULT & c->needs[i].feature))
			return set_unsupported(e, c->needs[i].feature, c->needs[i].offset, c->needs[i].what);
	return true;
}

bool comp__need_core(struct dec *d, uint32_t feature, uint64_t at, const char *what)
{
	return d->opt->core_features & feature || FAIL_AT(d, UNSUPPORTED, at, "%s is not supported in core types of a component", what);
}

bool comp__u8(struct dec *d, uint8_t *ret)
{
	if (d->p == d->end)
		return FAIL(d, MALFORMED, "unexpected end-of-file");
	*ret = *d->p++;
	return true;
}

bool comp__u32(struct dec *d, uint32_t *ret)
{
	uint32_t v = 0;
	for (unsigned shift = 0; shift < 35; shift += 7) {
		if (d->p == d->end)
			return FAIL(d, MALFORMED, "unexpected end-of-file");
		uint8_t b = *d->p;
		if (shift == 28 && b > 0x0f)
			return FAIL(d, MALFORMED, b & 0x80 ? "integer representation too long" : "integer too large");
		d->p++;
		v |= (uint32_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			break;
	}
	*ret = v;
	return true;
}

bool comp__u64(struct dec *d, uint64_t *ret)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 70; shift += 7) {
		if (d->p == d->end)
			return FAIL(d, MALFORMED, "unexpected end-of-file");
		uint8_t b = *d->p;
		if (shift == 63 && b > 1)
			return FAIL(d, MALFORMED, b & 0x80 ? "integer representation too long" : "integer too large");
		d->p++;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			break;
	}
	*ret = v;
	return true;
}

bool comp__s33(struct dec *d, int64_t *ret)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 35; shift += 7) {
		if (d->p == d->end)
			return FAIL(d, MALFORMED, "unexpected end-of-file");
		uint8_t b = *d->p;
		if (shift == 28 && b & 0x80)
			return FAIL(d, MALFORMED, "integer representation too long");
		if (shift == 28 && (b & 0x70) != 0 && (b & 0x70) != 0x70)
			return FAIL(d, MALFORMED, "integer too large");
		d->p++;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80)) {
			if (b & 0x40)
				v |= ~UINT64_C(0) << (shift + 7);
			break;
		}
	}
	*ret = (int64_t)v;
	return true;
}

bool comp__count(struct dec *d, uint32_t *ret)
{
	if (!comp__u32(d, ret))
		return false;
	// Each element takes a byte at least (C3).
	if (*ret > (size_t)(d->end - d->p))
		return FAIL(d, MALFORMED, "unexpected end-of-file: %u elements in %zu bytes", *ret, (size_t)(d->end - d->p));
	return true;
}

bool comp__name(struct dec *d, struct slice *ret)
{
	uint32_t len;
	if (!comp__u32(d, &len))
		return false;
	if (len > (size_t)(d->end - d->p))
		return FAIL(d, MALFORMED, "unexpected end-of-file");
	struct slice s = slice_of(d->p, len);
	size_t good = utf8_valid_prefix(s);
	if (good != len) {
		d->p += good;
		return FAIL(d, MALFORMED, "malformed UTF-8 encoding");
	}
	if (len > 100000)
		return FAIL(d, LIMIT, "a name of %u bytes is longer than 100000", len);
	d->p += len;
	*ret = s;
	return true;
}

bool comp__bad_byte(struct dec *d, uint8_t byte, const char *what)
{
	return FAIL_AT(d, MALFORMED, comp__offset(d) - 1, "invalid leading byte (0x%x) for %s", byte, what);
}

bool comp__bool(struct dec *d, bool *ret)
{
	uint8_t b;
	if (!comp__u8(d, &b))
		return false;
	if (b > 1)
		return FAIL_AT(d, MALFORMED, comp__offset(d) - 1, "invalid boolean value (0x%x)", b);
	*ret = b;
	return true;
}

bool comp__byte_is(struct dec *d, uint8_t want, const char *what)
{
	uint8_t b;
	return comp__u8(d, &b) && (b == want || comp__bad_byte(d, b, what));
}

bool comp__core_sort(struct dec *d, uint8_t *ret)
{
	uint8_t b;
	if (!comp__u8(d, &b))
		return false;
	if (b <= 4)
		*ret = b;
	else if (b >= 0x10 && b <= 0x12)
		*ret = (uint8_t)(SORT_CORE_TYPE + b - 0x10);
	else
		return comp__bad_byte(d, b, "component external kind");
	return true;
}

bool comp__sort(struct dec *d, uint8_t *ret)
{
	uint8_t b;
	if (!comp__u8(d, &b))
		return false;
	if (b == 0)
		return comp__core_sort(d, ret);
	if (b > 5)
		return comp__bad_byte(d, b, "component external kind");
	*ret = (uint8_t)(SORT_FUNC + b - 1);
	if (*ret == SORT_VALUE)
		return FAIL_AT(d, UNSUPPORTED, comp__offset(d) - 1, "component values are not supported");
	return true;
}

const char *comp__sort_name(unsigned sort)
{
	static const char *const names[SORT_COUNT] = {"core func", "core table", "core memory", "core global", "core tag", "core type", "module",
		"core instance", "func", "value", "type", "component", "instance"};
	return sort < SORT_COUNT ? names[sort] : "?";
}
