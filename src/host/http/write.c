// What a connection sends: one buffer in order, flushed at once where the kernel takes it. At most half a window of earlier answers of a
// pipeline, a head, a window, trailers and the framing of one write wait in it, so its largest block is enough (a static assert says so).
#include "http_int.h"

#include <errno.h>

_Static_assert(BLOCK_OUT >= HTTP_WINDOW / 2 + HTTP_HEAD_MAX + 1024 + HTTP_WINDOW + HTTP_HEAD_MAX / 2 + 8192,
	"an output block holds earlier answers, a head, a window and trailers");

// n bytes at the end of the output, not counted yet. NULL: memory is out; the connection is closed.
uint8_t *http__out_reserve(struct http_conn *c, size_t n)
{
	struct http_server *s = c->server;
	size_t pending = http__conn_pending(c);
	if (c->state == CONN_DEAD)
		return NULL;
	if (c->out && c->out->cap - c->out_len >= n)
		return c->out->data + c->out_len;
	if (c->out && c->out->cap - pending >= n) {
		memmove(c->out->data, c->out->data + c->out_start, pending);
	} else {
		struct block *b = pending + n <= BLOCK_OUT ? http__block_get(s, pending + n) : NULL;
		if (!b) {
			http__conn_close(c, HTTP_CANCEL_NOMEM);
			return NULL;
		}
		if (c->out)
			memcpy(b->data, c->out->data + c->out_start, pending);
		http__block_put(s, c->out);
		c->out = b;
	}
	c->out_start = 0;
	c->out_len = pending;
	return c->out->data + c->out_len;
}

bool http__out_put(struct http_conn *c, const void *data, size_t n)
{
	uint8_t *to = http__out_reserve(c, n);
	if (!to)
		return false;
	memcpy(to, data, n);
	c->out_len += n;
	return true;
}

// The kernel took n bytes of what was offered.
static bool sent(struct http_conn *c, int64_t n)
{
	struct http_counters *k = &c->server->counters;
	k->send_calls++;
	if (n < 0 && n != -EAGAIN) {
		http__conn_close(c, HTTP_CANCEL_PEER);
		return false;
	}
	if (n > 0) {
		k->bytes_out += (uint64_t)n;
		struct http_exchange *x = c->x;
		if (x && x->head_waits && (size_t)n <= x->head_before)
			x->head_before -= (size_t)n;
		else if (x)
			x->head_waits = false;
	}
	return true;
}

// What the client has taken since we looked last, of what was offered meanwhile. The kernel holds megabytes and tells of room only when much of it is
// free: it is asked what is left.
static void look_at_queue(struct http_conn *c, uint64_t offered)
{
	const struct http_limits *l = &c->server->config.limits;
	uint64_t now = loop_now_ns(c->server->loop), left = sys_out_queue(c->io.fd), there = c->out_queue + offered;
	uint64_t took = c->taking.since_ns && there > left ? there - left : 0;
	if (took || !c->taking.since_ns)
		c->took_ns = now;
	http__meter_wait(&c->taking, now);
	http__meter_take(&c->taking, l, now, took);
	c->out_queue = left;
	c->write_deadline = min_u64(sat_add_u64(c->took_ns, l->write_ns), http__meter_deadline(&c->taking, l, HTTP_NO_LIMIT));
	http__conn_arm(c);
}

void http__out_look(struct http_conn *c)
{
	look_at_queue(c, 0);
}

static void block_writes(struct http_conn *c, int64_t sent_now)
{
	c->write_blocked = true;
	look_at_queue(c, sent_now > 0 ? (uint64_t)sent_now : 0);
	http__conn_update_interest(c);
}

static bool all_sent(struct http_conn *c)
{
	http__block_put(c->server, c->out);
	c->out = NULL;
	c->out_start = c->out_len = 0;
	if (UNLIKELY(c->taking.since_ns))
		http__meter_stop(&c->taking, &c->server->config.limits, loop_now_ns(c->server->loop));
	c->write_deadline = UINT64_MAX;
	if (c->state == CONN_CLOSING)
		http__conn_finish_close(c);
	return c->state != CONN_DEAD;
}

// A head is about to leave while the client waits for 100 Continue: if the body may still be read it goes before, since after the head it would
// be part of the answer's body. The client of an answer whose owner is through with it gets none.
static bool put_late_continue(struct http_conn *c)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct http_exchange *x = c->x;
	if (LIKELY(!x || !x->must_continue) || !x->head_given || !x->head_waits || !x->owned || x->discarded)
		return true;
	x->must_continue = false;
	c->server->counters.continues++;
	size_t n = sizeof text - 1, behind = http__conn_pending(c) - x->head_before;
	uint8_t *end = http__out_reserve(c, n);
	if (!end)
		return false;
	memmove(end - behind + n, end - behind, behind);
	memcpy(end - behind, text, n);
	x->head_before += n;
	c->out_len += n;
	return true;
}

bool http__out_flush(struct http_conn *c)
{
	if (c->state == CONN_DEAD)
		return false;
	if (http__conn_pending(c) == 0 || c->write_blocked)
		return true;
	if (!put_late_continue(c))
		return false;
	size_t pending = http__conn_pending(c);
	struct iovec v = {c->out->data + c->out_start, pending};
	int64_t n = sys_net.sendv(c->io.fd, &v, 1);
	if (!sent(c, n))
		return false;
	c->out_start += n > 0 ? (size_t)n : 0;
	if (http__conn_pending(c) == 0)
		return all_sent(c);
	block_writes(c, n);
	return true;
}

bool http__out_gather(struct http_conn *c, const struct iovec *parts, int count)
{
	struct iovec v[8];
	int m = 0;
	BUG_ON(count > 7 || c->write_blocked);
	if (!put_late_continue(c))
		return false;
	size_t pending = http__conn_pending(c), left;
	if (pending)
		v[m++] = (struct iovec){c->out->data + c->out_start, pending};
	for (int i = 0; i < count; i++)
		v[m++] = parts[i];
	int64_t n = sys_net.sendv(c->io.fd, v, m);
	if (!sent(c, n))
		return false;
	left = n > 0 ? (size_t)n : 0;
	size_t own = min_u64(left, pending);
	c->out_start += own;
	left -= own;
	for (int i = 0; i < count; i++) {
		size_t skip = min_u64(left, parts[i].iov_len);
		left -= skip;
		if (parts[i].iov_len > skip && !http__out_put(c, (const uint8_t *)parts[i].iov_base + skip, parts[i].iov_len - skip))
			return false;
	}
	if (http__conn_pending(c) == 0)
		return all_sent(c);
	block_writes(c, n);
	return true;
}

bool http__out_error(struct http_conn *c, unsigned status, const char *detail, unsigned retry_after, bool no_body)
{
	char body[256], head[512];
	int n = snprintf(body, sizeof body, "%u %s%s%s\n", status, http_status_reason(status), detail ? ": " : "", detail ? detail : "");
	int m = snprintf(head, sizeof head, "HTTP/1.1 %u %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n", status,
		http_status_reason(status), n);
	if (retry_after)
		m += snprintf(head + m, sizeof head - (size_t)m, "Retry-After: %u\r\n", retry_after);
	if (!http__out_put(c, head, (size_t)m))
		return false;
	struct slice date = http__date(c->server);
	if (!c->server->config.no_date && !http__out_put(c, date.ptr, date.len))
		return false;
	return http__out_put(c, "\r\n", 2) && (no_body || http__out_put(c, body, (size_t)n));
}

void http__conn_send_continue(struct http_conn *c)
{
	c->server->counters.continues++;
	if (http__out_put(c, "HTTP/1.1 100 Continue\r\n\r\n", 25))
		http__out_flush(c);
}
