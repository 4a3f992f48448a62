// Strings in three encodings. CanonicalABI: load_string_from_range, store_string_into_range and what they call, under the same names.
//
// 1. A native string between components keeps the encoding it was lifted from in the upper bits of its length, in code units: CANON_UTF8, CANON_UTF16,
//    CANON_LATIN1 (from latin1+utf16 without the tag), CANON_LATIN1_UTF16 (with the tag: it is UTF-16). The encoding decides which reallocs the
//    callee sees (C28, C29). For host code it is UTF-8 and the upper bits are zero.
// 2. The source was validated when it was lifted. It may lie in guest memory that a realloc of the same component has changed since: decoding
//    checks again and no write goes beyond what was allocated (L60).
#include "canon_int.h"

struct source {
	struct canon__cx *cx;
	const uint8_t *p;
	size_t units, i;
	size_t look;        // where to tell how much was done
	bool ended;         // the call was ended meanwhile
	unsigned encoding;  // as native
};
enum { PIECE = 4096 };  // characters at a time

// false: the end, or (i < units) malformed, or the call is to end.
static bool next(struct source *s, uint32_t *ret)
{
	if (s->i >= s->units)
		return false;
	if (UNLIKELY(s->i >= s->look)) {
		s->look = s->i + PIECE;
		if (!canon__work(s->cx, PIECE * VM_WORK_ITEM / 2)) {
			s->ended = true;
			return false;
		}
	}
	unsigned n = 1;
	switch (s->encoding) {
	case CANON_UTF8:
		n = utf8_decode(slice_of(s->p + s->i, s->units - s->i), ret);
		break;
	case CANON_LATIN1:
		*ret = s->p[s->i];
		break;
	default:
		n = utf16_decode(s->p + 2 * s->i, s->units - s->i, ret);
		break;
	}
	s->i += n;
	return n != 0;
}

static bool at_end(const struct source *s)
{
	return s->i >= s->units;
}

// Why next stopped before the end.
static bool malformed(const struct source *s)
{
	return !s->ended && canon__fail(s->cx, TRAP_CANON, s->encoding == CANON_UTF8 ? "invalid utf-8 in a string" : "unpaired surrogate in a utf-16 string");
}

// ---- lifting ----

static bool to_native(struct canon__cx *cx, struct source *s, struct wit_string *dst)
{
	uint32_t c;
	uint8_t bytes[4];
	size_t len = 0;
	if (s->units > cx->arena->max)  // each is a byte at least: it is not read to its end for nothing
		return canon__no_room(cx, "a string", s->units);
	while (next(s, &c))
		len += utf8_encode(c, bytes);
	if (!at_end(s))
		return malformed(s);
	uint8_t *out = arena_alloc(cx->arena, len ? len : 1, 1);
	if (!out)
		return canon__no_room(cx, "a string", len);
	*dst = (struct wit_string){out, len};
	for (s->i = s->look = 0; next(s, &c);)
		out += utf8_encode(c, out);
	return at_end(s) || malformed(s);
}

// utf8_is_valid in pieces: one that ends within a character goes on with it.
static bool is_valid_utf8(struct source *s)
{
	for (size_t at = 0; at < s->units;) {
		size_t n = utf8_valid_prefix(slice_of(s->p + at, min_u64(s->units - at, VM_WORK_LOOK)));
		s->ended = !canon__work(s->cx, n);
		if (n == 0 || s->ended)
			return false;
		at += n;
	}
	return true;
}

static bool is_valid(struct source *s)
{
	if (s->encoding == CANON_LATIN1)
		return true;
	if (s->encoding == CANON_UTF8)
		return is_valid_utf8(s);
	uint32_t c;
	while (next(s, &c)) {
	}
	bool ok = at_end(s);
	s->i = s->look = 0;
	return ok;
}

bool canon__load_string_from_range(struct canon__cx *cx, uint64_t ptr, uint64_t tagged_code_units, struct wit_string *dst)
{
	struct source s = {.cx = cx, .units = tagged_code_units, .encoding = cx->encoding};
	if (cx->encoding == CANON_LATIN1_UTF16) {
		if (tagged_code_units & canon__utf16_tag(cx->wide))
			s.units = tagged_code_units ^ canon__utf16_tag(cx->wide);
		else
			s.encoding = CANON_LATIN1;
	}
	uint64_t bytes = sat_mul_u64(s.units, s.encoding == CANON_UTF16 || s.encoding == CANON_LATIN1_UTF16 ? 2 : 1);
	if (bytes > MAX_STRING_BYTE_LENGTH)
		return canon__fail(cx, TRAP_CANON, "string is too long: %llu bytes", (unsigned long long)bytes);
	if (cx->encoding != CANON_UTF8 && (ptr & 1))
		return canon__fail(cx, TRAP_CANON, "string pointer 0x%llx is not aligned to 2", (unsigned long long)ptr);
	if (!canon__in_memory(cx, ptr, bytes))
		return canon__fail(cx, TRAP_CANON, "string pointer/length out of bounds of memory: 0x%llx, %llu", (unsigned long long)ptr, (unsigned long long)bytes);
	s.p = canon__at(cx, ptr);
	if (!cx->between && s.encoding != CANON_UTF8)
		return to_native(cx, &s, dst);
	// What may change is copied first: what was checked is what is used.
	if (cx->copy && bytes) {
		uint8_t *copy = arena_alloc(cx->arena, bytes, 2);
		if (!copy)
			return canon__no_room(cx, "a string", bytes);
		if (!canon__copy(cx, copy, s.p, bytes))
			return false;
		s.p = copy;
	}
	if (!is_valid(&s))
		return malformed(&s);
	*dst = (struct wit_string){s.p, s.units | (size_t)s.encoding << CANON_STRING_SHIFT};
	return true;
}

// ---- allocating in the guest ----

bool canon__reallocate(struct canon__cx *cx, uint64_t old, uint64_t old_size, uint32_t align, uint64_t size, uint64_t *ret)
{
	if (size > REALLOC_I32_MAX)
		return canon__fail(cx, TRAP_CANON, "%llu bytes are more than a guest can allocate", (unsigned long long)size);
	if (!cx->reallocate(cx, old, old_size, align, size, ret))
		return false;
	if (!canon__is_aligned(*ret, align))
		return canon__fail(cx, TRAP_CANON, "realloc returned 0x%llx, which is not aligned to %u", (unsigned long long)*ret, align);
	if (!canon__in_memory(cx, *ret, size))
		return canon__fail(cx, TRAP_CANON, "realloc returned 0x%llx, out of bounds of memory for %llu bytes", (unsigned long long)*ret, (unsigned long long)size);
	return true;
}

bool canon__allocate(struct canon__cx *cx, uint32_t align, uint64_t size, uint64_t *ret)
{
	return canon__reallocate(cx, 0, 0, align, size, ret);
}

// ---- storing ----

static bool store_string_copy(struct canon__cx *cx, struct source *s, uint32_t dst_code_unit_size, uint32_t dst_alignment, uint64_t *ptr, uint64_t *units)
{
	uint64_t bytes = s->units * (uint64_t)dst_code_unit_size;
	if (!canon__allocate(cx, dst_alignment, bytes, ptr))
		return false;
	uint8_t *out = canon__at(cx, *ptr);
	if (s->encoding == CANON_LATIN1 && dst_code_unit_size == 2) {
		for (size_t i = 0; i < s->units; i++) {
			if (i % PIECE == 0 && !canon__work(cx, PIECE))
				return false;
			out[2 * i] = s->p[i];
			out[2 * i + 1] = 0;
		}
	} else if (!canon__copy(cx, out, s->p, bytes)) {
		return false;
	}
	*units = s->units;
	return true;
}

// Writes the rest of `s` as UTF-8 from offset `at_byte` of an allocation of `cap` bytes. *ret: bytes in all.
static bool put_utf8(struct canon__cx *cx, struct source *s, uint64_t ptr, uint64_t at_byte, uint64_t cap, uint64_t *ret)
{
	uint32_t c;
	uint8_t bytes[4];
	uint8_t *out = canon__at(cx, ptr);
	while (next(s, &c)) {
		unsigned n = utf8_encode(c, bytes);
		if (n > cap - at_byte)
			return malformed(s);
		memcpy(out + at_byte, bytes, n);
		at_byte += n;
	}
	*ret = at_byte;
	return at_end(s) || malformed(s);
}

static bool put_utf16(struct canon__cx *cx, struct source *s, uint64_t ptr, uint64_t at_byte, uint64_t cap, uint64_t *ret)
{
	uint32_t c;
	uint8_t bytes[4];
	uint8_t *out = canon__at(cx, ptr);
	while (next(s, &c)) {
		unsigned n = 2 * utf16_encode(c, bytes);
		if (n > cap - at_byte)
			return malformed(s);
		memcpy(out + at_byte, bytes, n);
		at_byte += n;
	}
	*ret = at_byte;
	return at_end(s) || malformed(s);
}

static bool store_string_to_utf8(struct canon__cx *cx, struct source *s, uint64_t worst_case_size, uint64_t *ptr, uint64_t *units)
{
	if (!canon__allocate(cx, 1, s->units, ptr))
		return false;
	uint8_t *out = canon__at(cx, *ptr);
	uint64_t done = 0;
	while (!at_end(s)) {
		size_t before = s->i;
		uint32_t c;
		if (!next(s, &c))
			return malformed(s);
		if (c < 0x80) {
			out[done++] = (uint8_t)c;
			continue;
		}
		s->i = before;
		if (!canon__reallocate(cx, *ptr, s->units, 1, worst_case_size, ptr) || !put_utf8(cx, s, *ptr, done, worst_case_size, &done))
			return false;
		if (worst_case_size > done && !canon__reallocate(cx, *ptr, worst_case_size, 1, done, ptr))
			return false;
		break;
	}
	*units = done;
	return true;
}

static bool store_utf8_to_utf16(struct canon__cx *cx, struct source *s, uint64_t *ptr, uint64_t *units)
{
	uint64_t worst_case_size = 2 * (uint64_t)s->units, len;
	if (!canon__allocate(cx, 2, worst_case_size, ptr) || !put_utf16(cx, s, *ptr, 0, worst_case_size, &len))
		return false;
	if (len < worst_case_size && !canon__reallocate(cx, *ptr, worst_case_size, 2, len, ptr))
		return false;
	*units = len / 2;
	return true;
}

static bool store_string_to_latin1_or_utf16(struct canon__cx *cx, struct source *s, uint64_t *ptr, uint64_t *units)
{
	if (!canon__allocate(cx, 2, s->units, ptr))
		return false;
	uint8_t *out = canon__at(cx, *ptr);
	uint64_t done = 0;
	while (!at_end(s)) {
		size_t before = s->i;
		uint32_t c;
		if (!next(s, &c))
			return malformed(s);
		if (c < 0x100) {
			out[done++] = (uint8_t)c;
			continue;
		}
		s->i = before;
		uint64_t worst_case_size = 2 * (uint64_t)s->units, len;
		if (!canon__reallocate(cx, *ptr, s->units, 2, worst_case_size, ptr))
			return false;
		out = canon__at(cx, *ptr);
		for (uint64_t j = done; j-- > 0;) {  // inflated in place, from the end
			if (j % PIECE == 0 && !canon__work(cx, PIECE))
				return false;
			out[2 * j] = out[j];
			out[2 * j + 1] = 0;
		}
		if (!put_utf16(cx, s, *ptr, 2 * done, worst_case_size, &len))
			return false;
		if (worst_case_size > len && !canon__reallocate(cx, *ptr, worst_case_size, 2, len, ptr))
			return false;
		*units = (len / 2) | canon__utf16_tag(cx->wide);
		return true;
	}
	if (done < s->units && !canon__reallocate(cx, *ptr, s->units, 2, done, ptr))
		return false;
	*units = done;
	return true;
}

static bool store_probably_utf16_to_latin1_or_utf16(struct canon__cx *cx, struct source *s, uint64_t *ptr, uint64_t *units)
{
	uint64_t src_byte_length = 2 * (uint64_t)s->units;
	if (!canon__allocate(cx, 2, src_byte_length, ptr))
		return false;
	uint8_t *out = canon__at(cx, *ptr);
	if (!canon__copy(cx, out, s->p, src_byte_length))
		return false;
	for (size_t i = 0; i < s->units; i++) {
		if (i % PIECE == 0 && !canon__work(cx, PIECE))
			return false;
		if (out[2 * i + 1]) {
			*units = s->units | canon__utf16_tag(cx->wide);
			return true;
		}
	}
	for (size_t i = 0; i < s->units; i++) {
		if (i % PIECE == 0 && !canon__work(cx, PIECE))
			return false;
		out[i] = out[2 * i];
	}
	*units = s->units;
	return canon__reallocate(cx, *ptr, src_byte_length, 1, s->units, ptr);
}

bool canon__store_string_into_range(struct canon__cx *cx, const struct wit_string *v, uint64_t *ptr, uint64_t *units)
{
	unsigned encoding = (unsigned)(v->len >> CANON_STRING_SHIFT);
	struct source s = {.cx = cx, .p = v->ptr, .units = v->len & ((UINT64_C(1) << CANON_STRING_SHIFT) - 1), .encoding = encoding};
	if (s.units > MAX_STRING_BYTE_LENGTH)
		return canon__fail(cx, TRAP_CANON, "string of %zu bytes is too long", s.units);
	switch (cx->encoding) {
	case CANON_UTF8:
		if (encoding == CANON_UTF8)
			return store_string_copy(cx, &s, 1, 1, ptr, units);
		return store_string_to_utf8(cx, &s, (uint64_t)s.units * (encoding == CANON_LATIN1 ? 2 : 3), ptr, units);
	case CANON_UTF16:
		if (encoding == CANON_UTF8)
			return store_utf8_to_utf16(cx, &s, ptr, units);
		return store_string_copy(cx, &s, 2, 2, ptr, units);
	default:
		if (encoding == CANON_LATIN1)
			return store_string_copy(cx, &s, 1, 2, ptr, units);
		if (encoding == CANON_LATIN1_UTF16)
			return store_probably_utf16_to_latin1_or_utf16(cx, &s, ptr, units);
		return store_string_to_latin1_or_utf16(cx, &s, ptr, units);
	}
}
