// Framing of a request body: Content-Length or chunked, RFC 9112 sections 6 and 7.1. A state machine over bytes: pieces make no difference.
//
// Limits (L81): at most 16 hex digits in a chunk size; at most 256 bytes of extensions in a chunk, and over the whole body no more than 16 KiB
// plus one byte for each byte of data.
#include "h1.h"

enum { DIGITS_MAX = 16, EXT_MAX = 256, EXT_FREE = 16384 };

void h1_body_init(struct h1_body *b, bool chunked, uint64_t length)
{
	*b = (struct h1_body){.state = chunked ? H1_BODY_SIZE_FIRST : length ? H1_BODY_LENGTH
																		 : H1_BODY_DONE,
		.left = chunked ? 0 : length};
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum h1_body_state on_digit(struct h1_body *b, uint8_t c)
{
	int v = hex_value(c);
	if (v >= 0) {
		if (++b->digits > DIGITS_MAX)
			return H1_BODY_BAD;
		b->left = b->left << 4 | (uint64_t)v;  // 16 digits fit 64 bits
		return H1_BODY_SIZE;
	}
	if (b->digits == 0)
		return H1_BODY_BAD;
	if (c == '\r')
		return H1_BODY_SIZE_LF;
	if (c == ';')
		return H1_BODY_EXT;
	return c == ' ' || c == '\t' ? H1_BODY_BWS : H1_BODY_BAD;
}

static bool count_ext(struct h1_body *b)
{
	b->overhead++;
	return ++b->ext <= EXT_MAX && b->overhead <= sat_add_u64(b->total, EXT_FREE);
}

static enum h1_body_state on_ext(struct h1_body *b, uint8_t c)
{
	if (c == '\r')
		return H1_BODY_SIZE_LF;
	if ((c < 0x20 && c != '\t') || c == 0x7f || !count_ext(b))
		return H1_BODY_BAD;
	return H1_BODY_EXT;
}

static enum h1_body_state on_bws(struct h1_body *b, uint8_t c)
{
	if (!count_ext(b))
		return H1_BODY_BAD;
	if (c == ';')
		return H1_BODY_EXT;
	return c == ' ' || c == '\t' ? H1_BODY_BWS : H1_BODY_BAD;
}

static enum h1_body_state on_size_end(struct h1_body *b, uint8_t c)
{
	if (c != '\n')
		return H1_BODY_BAD;
	return b->left ? H1_BODY_DATA : H1_BODY_TRAILERS;
}

static enum h1_body_state on_data_end(struct h1_body *b, uint8_t c)
{
	b->digits = 0;
	b->ext = 0;
	return c == '\n' ? H1_BODY_SIZE_FIRST : H1_BODY_BAD;
}

size_t h1_body_frame(struct h1_body *b, const uint8_t *p, size_t len)
{
	size_t i = 0;
	for (; i < len; i++) {
		uint8_t c = p[i];
		switch (b->state) {
		case H1_BODY_SIZE_FIRST:
		case H1_BODY_SIZE:
			b->state = on_digit(b, c);
			break;
		case H1_BODY_BWS:
			b->state = on_bws(b, c);
			break;
		case H1_BODY_EXT:
			b->state = on_ext(b, c);
			break;
		case H1_BODY_SIZE_LF:
			b->state = on_size_end(b, c);
			break;
		case H1_BODY_DATA_CR:
			b->state = c == '\r' ? H1_BODY_DATA_LF : H1_BODY_BAD;
			break;
		case H1_BODY_DATA_LF:
			b->state = on_data_end(b, c);
			break;
		case H1_BODY_LENGTH:
		case H1_BODY_DATA:
		case H1_BODY_TRAILERS:
		case H1_BODY_DONE:
		case H1_BODY_BAD:
			return i;
		}
	}
	return i;
}

void h1_body_take(struct h1_body *b, size_t n)
{
	BUG_ON(n > b->left || !h1_body_in_data(b));
	b->left -= n;
	b->total += n;
	if (b->left == 0)
		b->state = b->state == H1_BODY_LENGTH ? H1_BODY_DONE : H1_BODY_DATA_CR;
}
