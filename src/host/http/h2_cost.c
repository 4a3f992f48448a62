// What a peer may cost that brings nothing (L84): frames that do no work, and resets, whoever sends them.
//
// A peer has a level for each, which rises with what it sends, falls with time, and with each frame of use that we send it. Who comes to the top is sent away:
// ENHANCE_YOUR_CALM.
#include "h2.h"

enum { RESETS_MOST = 400, RESETS_A_SECOND = 50, NOISE_MOST = 2000, NOISE_A_SECOND = 200, BYTES_A_NOISE = 1024 };
#define SCALE UINT64_C(1000000)

static bool pay(struct h2_session *s, uint64_t *at_ns, uint64_t *level, uint64_t cost, uint64_t most, uint64_t a_second)
{
	uint64_t now = loop_now_ns(s->conn->server->loop), back = sat_mul_u64(now - *at_ns, a_second) / (SECOND / SCALE);
	*level -= min_u64(*level, back);
	*level += cost * SCALE;
	*at_ns = now;
	if (*level <= most * SCALE)
		return true;
	s->why = NGHTTP2_ENHANCE_YOUR_CALM;
	return false;
}

bool h2_cost_reset(struct h2_session *s)
{
	return pay(s, &s->resets.at_ns, &s->resets.level, 1, RESETS_MOST, RESETS_A_SECOND);
}

bool h2_cost_noise(struct h2_session *s)
{
	return pay(s, &s->noise.at_ns, &s->noise.level, 1, NOISE_MOST, NOISE_A_SECOND);
}

// RFC 9113, 6.3: nghttp2 does not look at priorities where they are not used.
static bool is_of_a_stream(struct h2_session *s, const uint8_t head[9])
{
	bool ok = head[5] & 0x7f || head[6] || head[7] || head[8];
	if (!ok)
		s->why = NGHTTP2_PROTOCOL_ERROR;
	return ok;
}

// What a frame that begins costs; nghttp2 does not tell of all of them.
static bool pay_frame(struct h2_session *s, const uint8_t head[9])
{
	size_t len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
	switch (head[3]) {
	case NGHTTP2_HEADERS:
		return true;
	case NGHTTP2_DATA:
		return len > 0 || head[4] & NGHTTP2_FLAG_END_STREAM || h2_cost_noise(s);
	case NGHTTP2_RST_STREAM:
		return h2_cost_reset(s);
	case NGHTTP2_PRIORITY:
		return is_of_a_stream(s, head) && h2_cost_noise(s);
	default:
		return h2_cost_noise(s);
	}
}

static void note_fields(struct h2_session *s, const uint8_t head[9])
{
	s->brings_fields = head[3] == NGHTTP2_HEADERS || head[3] == NGHTTP2_CONTINUATION;
	s->ends_fields = head[4] & NGHTTP2_FLAG_END_HEADERS;
}

bool h2_cost_awaits_fields(const struct h2_session *s)
{
	return s->brings_fields && !(s->ends_fields && s->skip == 0);
}

// Looks at the frames that begin in p[0..n).
bool h2_cost_frames(struct h2_session *s, const uint8_t *p, size_t n)
{
	while (n) {
		size_t skip = min_u64(s->skip, n);
		s->skip -= skip;
		p += skip;
		n -= skip;
		size_t take = min_u64(sizeof s->frame - s->frame_len, n);
		memcpy(s->frame + s->frame_len, p, take);
		s->frame_len += (uint32_t)take;
		p += take;
		n -= take;
		if (s->frame_len < sizeof s->frame)
			return true;
		s->frame_len = 0;
		s->skip = (size_t)s->frame[0] << 16 | (size_t)s->frame[1] << 8 | s->frame[2];
		note_fields(s, s->frame);
		if (!pay_frame(s, s->frame))
			return false;
	}
	return true;
}

// Something useful was sent. Who takes a long body gives windows back in pieces as he likes: HAProxy three times a frame.
void h2_cost_earn(struct h2_session *s, size_t bytes, bool whole)
{
	s->noise.level -= min_u64(s->noise.level, (2 + bytes / BYTES_A_NOISE) * SCALE);
	if (whole)
		s->resets.level -= min_u64(s->resets.level, SCALE);
}
