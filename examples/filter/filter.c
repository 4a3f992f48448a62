// Stands between an app and its store, and is wasi:keyvalue to the one as the store is to it. Keys are in small letters, and those that begin with '_' are nobody's
// business. Neither the app nor the store knows.
#include "filter.h"

#include <string.h>

struct exports_wasi_keyvalue_store_bucket_t {
	wasi_keyvalue_store_own_bucket_t of;  // of the store beneath
};
struct exports_wasi_keyvalue_atomics_cas_t {
	wasi_keyvalue_atomics_own_cas_t of;
};

// Errors of both sides are written alike, and are types of their own.
static bool pass_on(const wasi_keyvalue_store_error_t *from, exports_wasi_keyvalue_store_error_t *to)
{
	memcpy(to, from, sizeof *to);
	return false;
}

static bool is_hidden(const filter_string_t *key)
{
	return key->len && key->ptr[0] == '_';
}

// As the store has it. false: nobody's business.
static bool fold(filter_string_t *key, exports_wasi_keyvalue_store_error_t *err)
{
	err->tag = EXPORTS_WASI_KEYVALUE_STORE_ERROR_ACCESS_DENIED;
	if (is_hidden(key))
		return false;
	for (size_t i = 0; i < key->len; i++)
		if (key->ptr[i] >= 'A' && key->ptr[i] <= 'Z')
			key->ptr[i] += 'a' - 'A';
	return true;
}

static wasi_keyvalue_store_borrow_bucket_t beneath(exports_wasi_keyvalue_store_borrow_bucket_t b)
{
	return wasi_keyvalue_store_borrow_bucket(b->of);
}

// ---- wasi:keyvalue/store -----------------------------------------------------------------------------------------------------------------------

bool exports_wasi_keyvalue_store_open(filter_string_t *identifier, exports_wasi_keyvalue_store_own_bucket_t *ret, exports_wasi_keyvalue_store_error_t *err)
{
	wasi_keyvalue_store_own_bucket_t of;
	wasi_keyvalue_store_error_t e;
	if (!wasi_keyvalue_store_open(identifier, &of, &e))
		return pass_on(&e, err);
	exports_wasi_keyvalue_store_bucket_t *b = malloc(sizeof *b);
	b->of = of;
	*ret = exports_wasi_keyvalue_store_bucket_new(b);
	return true;
}

void exports_wasi_keyvalue_store_bucket_destructor(exports_wasi_keyvalue_store_bucket_t *b)
{
	wasi_keyvalue_store_bucket_drop_own(b->of);
	free(b);
}

bool exports_wasi_keyvalue_store_method_bucket_get(exports_wasi_keyvalue_store_borrow_bucket_t self, filter_string_t *key, filter_option_list_u8_t *ret,
	exports_wasi_keyvalue_store_error_t *err)
{
	wasi_keyvalue_store_error_t e;
	return fold(key, err) && (wasi_keyvalue_store_method_bucket_get(beneath(self), key, ret, &e) || pass_on(&e, err));
}

bool exports_wasi_keyvalue_store_method_bucket_set(exports_wasi_keyvalue_store_borrow_bucket_t self, filter_string_t *key, filter_list_u8_t *value,
	exports_wasi_keyvalue_store_error_t *err)
{
	wasi_keyvalue_store_error_t e;
	return fold(key, err) && (wasi_keyvalue_store_method_bucket_set(beneath(self), key, value, &e) || pass_on(&e, err));
}

bool exports_wasi_keyvalue_store_method_bucket_delete(exports_wasi_keyvalue_store_borrow_bucket_t self, filter_string_t *key,
	exports_wasi_keyvalue_store_error_t *err)
{
	wasi_keyvalue_store_error_t e;
	return fold(key, err) && (wasi_keyvalue_store_method_bucket_delete(beneath(self), key, &e) || pass_on(&e, err));
}

bool exports_wasi_keyvalue_store_method_bucket_exists(exports_wasi_keyvalue_store_borrow_bucket_t self, filter_string_t *key, bool *ret,
	exports_wasi_keyvalue_store_error_t *err)
{
	wasi_keyvalue_store_error_t e;
	return fold(key, err) && (wasi_keyvalue_store_method_bucket_exists(beneath(self), key, ret, &e) || pass_on(&e, err));
}

bool exports_wasi_keyvalue_store_method_bucket_list_keys(exports_wasi_keyvalue_store_borrow_bucket_t self, filter_string_t *maybe_cursor,
	exports_wasi_keyvalue_store_key_response_t *ret, exports_wasi_keyvalue_store_error_t *err)
{
	wasi_keyvalue_store_error_t e;
	wasi_keyvalue_store_key_response_t page;
	if (!wasi_keyvalue_store_method_bucket_list_keys(beneath(self), maybe_cursor, &page, &e))
		return pass_on(&e, err);
	size_t n = 0;
	for (size_t i = 0; i < page.keys.len; i++)
		if (!is_hidden(&page.keys.ptr[i]))
			page.keys.ptr[n++] = page.keys.ptr[i];
	page.keys.len = n;
	memcpy(ret, &page, sizeof *ret);
	return true;
}

// ---- wasi:keyvalue/atomics ---------------------------------------------------------------------------------------------------------------------

bool exports_wasi_keyvalue_atomics_increment(exports_wasi_keyvalue_atomics_borrow_bucket_t bucket, filter_string_t *key, int64_t delta, int64_t *ret,
	exports_wasi_keyvalue_atomics_error_t *err)
{
	wasi_keyvalue_store_error_t e;
	return fold(key, err) && (wasi_keyvalue_atomics_increment(beneath(bucket), key, delta, ret, &e) || pass_on(&e, err));
}

static exports_wasi_keyvalue_atomics_own_cas_t wrap(wasi_keyvalue_atomics_own_cas_t of)
{
	exports_wasi_keyvalue_atomics_cas_t *c = malloc(sizeof *c);
	c->of = of;
	return exports_wasi_keyvalue_atomics_cas_new(c);
}

bool exports_wasi_keyvalue_atomics_static_cas_new(exports_wasi_keyvalue_atomics_borrow_bucket_t bucket, filter_string_t *key,
	exports_wasi_keyvalue_atomics_own_cas_t *ret, exports_wasi_keyvalue_atomics_error_t *err)
{
	wasi_keyvalue_store_error_t e;
	wasi_keyvalue_atomics_own_cas_t of;
	if (!fold(key, err) || (!wasi_keyvalue_atomics_static_cas_new(beneath(bucket), key, &of, &e) && !pass_on(&e, err)))
		return false;
	*ret = wrap(of);
	return true;
}

void exports_wasi_keyvalue_atomics_cas_destructor(exports_wasi_keyvalue_atomics_cas_t *c)
{
	if (c->of.__handle)
		wasi_keyvalue_atomics_cas_drop_own(c->of);
	free(c);
}

bool exports_wasi_keyvalue_atomics_method_cas_current(exports_wasi_keyvalue_atomics_borrow_cas_t self, filter_option_list_u8_t *ret,
	exports_wasi_keyvalue_atomics_error_t *err)
{
	wasi_keyvalue_store_error_t e;
	return wasi_keyvalue_atomics_method_cas_current(wasi_keyvalue_atomics_borrow_cas(self->of), ret, &e) || pass_on(&e, err);
}

bool exports_wasi_keyvalue_atomics_swap(exports_wasi_keyvalue_atomics_own_cas_t cas, filter_list_u8_t *value, exports_wasi_keyvalue_atomics_cas_error_t *err)
{
	wasi_keyvalue_atomics_cas_error_t e;
	exports_wasi_keyvalue_atomics_cas_t *mine = exports_wasi_keyvalue_atomics_cas_rep(cas);
	bool ok = wasi_keyvalue_atomics_swap(mine->of, value, &e);  // takes what is beneath
	mine->of.__handle = 0;
	exports_wasi_keyvalue_atomics_cas_drop_own(cas);
	if (ok)
		return true;
	err->tag = e.tag;
	if (e.tag == WASI_KEYVALUE_ATOMICS_CAS_ERROR_CAS_FAILED)
		err->val.cas_failed = wrap(e.val.cas_failed);
	else
		pass_on(&e.val.store_error, &err->val.store_error);
	return false;
}
