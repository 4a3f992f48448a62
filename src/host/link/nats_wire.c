// Connections to a NATS server: greeting, the stream behind a bucket, whose answer a message is.
//
//   INFO comes (TLS, where it is asked for) ──► CONNECT, SUB, PING ──► PONG ──► STREAM.INFO ──► (STREAM.CREATE ──►) ready
//
// 1. One subscription brings all answers: a request's inbox ends in its call's number. What a consumer delivers has the subject of the key: it comes by a
//    subscription of its own, whose number tells the call (nats.c).
// 2. A stream that is there must be what we would have made, where it matters: it is compared, never changed.
#include "nats_wire.h"

#include <stdio.h>

#include "sys/sys.h"

enum { API_STREAM_NOT_FOUND = 10059, API_NAME_IN_USE = 10058, SUBSCRIPTION = 1, PONGS_MAX = 10000 };

static struct nats_wire *wire_of(struct link_wire *w)
{
	return CONTAINER_OF(w, struct nats_wire, w);
}

static struct nats_part *part_of(const struct link_wire *w)
{
	return w->pool->user;
}

static struct nats_store *store_of(const struct link_wire *w)
{
	return CONTAINER_OF(part_of(w)->p.store, struct nats_store, s);
}

// ---- answers of the API ------------------------------------------------------------------------------------------------------------

const struct json *nats__answer(struct nats_part *p, struct slice text)
{
	struct json *v;
	arena_clear(&p->answer);
	return json_parse(&p->answer, text, &v, NULL) && v->kind == JSON_OBJECT ? v : NULL;
}

struct slice nats__answer_error(const struct json *answer, unsigned *ret_code)
{
	const struct json *error = json_member(answer, "error");
	*ret_code = 0;
	if (!answer || (error && error->kind != JSON_OBJECT)) {
		*ret_code = 1;
		return SLICE_LIT("it has answered something else");
	}
	if (!error)
		return (struct slice){0};
	*ret_code = (unsigned)min_u64(json_number(error, "err_code", json_number(error, "code", 1)), UINT32_MAX);
	return slice_sub(json_text(error, "description"), 0, 100);
}

// ---- requests --------------------------------------------------------------------------------------------------------------------

static void put_reply(struct nats_wire *x, uint64_t number)
{
	if (number != UINT64_MAX)
		buf_printf(&x->w.out, " %s.%llu", x->inbox, (unsigned long long)number);
}

bool nats__publish(struct nats_wire *x, struct slice subject, uint64_t number, struct slice headers, struct slice payload)
{
	struct buf *b = &x->w.out;
	if (headers.len + payload.len > x->max_payload)
		return false;
	buf_put_str(b, headers.len ? "HPUB " : "PUB ");
	buf_put_slice(b, subject);
	put_reply(x, number);
	if (headers.len)
		buf_printf(b, " %zu", headers.len);
	buf_printf(b, " %zu\r\n", headers.len + payload.len);
	buf_put_slice(b, headers);
	buf_put_slice(b, payload);
	buf_put(b, "\r\n", 2);
	return true;
}

// Of the greeting: answered to "INBOX.s".
static void ask_stream(struct nats_wire *x, const char *what, struct slice payload)
{
	buf_printf(&x->w.out, "PUB $JS.API.STREAM.%s.KV_%s %s.s %zu\r\n", what, store_of(&x->w)->bucket, x->inbox, payload.len);
	buf_put_slice(&x->w.out, payload);
	buf_put(&x->w.out, "\r\n", 2);
	link__wire_flush(&x->w);
}

// ---- greeting --------------------------------------------------------------------------------------------------------------------

static void put_member(struct buf *b, const char *name, struct slice value)
{
	buf_printf(b, ",\"%s\":", name);
	buf_put_json_string(b, value);
}

static void say_hello(struct nats_wire *x, bool tls)
{
	const struct link_target *t = &store_of(&x->w)->s.target;
	struct buf *b = &x->w.out;
	uint64_t random[2];
	sys_random(random, sizeof random);
	snprintf(x->inbox, sizeof x->inbox, "_INBOX.%016llx%llx", (unsigned long long)random[0], (unsigned long long)(random[1] >> 40));
	buf_printf(b, "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"lang\":\"c\",\"name\":\"tenon\",\"protocol\":1");
	put_member(b, "version", SLICE_LIT(TENON_VERSION));
	buf_printf(b, ",\"tls_required\":%s", tls ? "true" : "false");
	if (t->user.len) {
		put_member(b, "user", t->user);
		put_member(b, "pass", t->password);
	} else if (t->has_password) {
		put_member(b, "auth_token", t->password);
	}
	buf_printf(b, "}\r\nSUB %s.* %d\r\nPING\r\n", x->inbox, SUBSCRIPTION);
	x->state = NATS_AWAITS_PONG;
	link__wire_flush(&x->w);
}

// false: the wire has failed.
static bool take_info(struct nats_wire *x, struct slice text)
{
	const struct json *info = nats__answer(part_of(&x->w), text);
	bool tls = store_of(&x->w)->s.target.tls || json_is_true(info, "tls_required");
	if (!info) {
		link__wire_fail(&x->w, false, "this is no server of NATS");
		return false;
	}
	snprintf(x->version, sizeof x->version, "%.*s", SLICE_ARGS(slice_sub(json_text(info, "version"), 0, 15)));
	x->max_payload = part_of(&x->w)->max_payload = json_number(info, "max_payload", 1 * MIB);
	if (x->state != NATS_AWAITS_INFO)
		return true;  // what it tells of its cluster meanwhile
	if (!json_is_true(info, "headers")) {
		link__wire_fail(&x->w, true, "a server of NATS without headers (%s)", x->version);
		return false;
	}
	if (tls && x->input.at < x->input.in.len) {  // whoever stands between could have put it there: it would count as what TLS brings
		link__wire_fail(&x->w, false, "the server says more in clear than its greeting");
		return false;
	}
	if (tls && !link__wire_start_tls(&x->w))
		return false;
	say_hello(x, tls);
	return true;
}

// What a bucket of ours is: NULL, or where the stream is something else.
static const char *differs(const struct json *config, const char *bucket)
{
	char subject[80];
	const struct json *subjects = json_member(config, "subjects");
	snprintf(subject, sizeof subject, "$KV.%s.>", bucket);
	if (!subjects || subjects->n != 1 || !slice_eq_str(subjects->first->text, subject))
		return "its subjects are others (a mirror, or no bucket)";
	if (!slice_eq_str(json_text(config, "retention"), "limits"))
		return "its retention is not \"limits\"";
	if (json_number(config, "max_msgs_per_subject", 0) != 1)
		return "it keeps a history (max_msgs_per_subject is not 1)";
	if (json_number(config, "max_age", 0) != 0)
		return "its keys end after a time (max_age)";
	bool bounded = json_number(config, "max_msgs", 0) || json_number(config, "max_bytes", 0);
	if (bounded && !slice_eq_str(json_text(config, "discard"), "new"))
		return "it drops keys where it is full (discard is not \"new\")";
	if (!json_is_true(config, "allow_direct"))
		return "it can't be read directly (allow_direct)";
	if (json_is_true(config, "no_ack") || json_is_true(config, "sealed"))
		return "it is not written to (no_ack, sealed)";
	return NULL;
}

static void create_stream(struct nats_wire *x)
{
	const char *bucket = store_of(&x->w)->bucket;
	struct buf b = {0};
	buf_printf(&b, "{\"name\":\"KV_%s\",\"subjects\":[\"$KV.%s.>\"],\"retention\":\"limits\",\"max_msgs_per_subject\":1,\"max_msgs\":-1,\"max_bytes\":-1,"
				   "\"max_age\":0,\"discard\":\"new\",\"storage\":\"file\",\"num_replicas\":1,\"allow_direct\":true,\"allow_rollup_hdrs\":true,\"deny_delete\":true}",
		bucket, bucket);
	x->state = NATS_AWAITS_CREATED;
	x->w.out.failed |= b.failed;
	ask_stream(x, "CREATE", buf_view(&b));
	buf_release(&b);
}

// false: the wire has failed.
static bool take_stream(struct nats_wire *x, const struct nats_message *m)
{
	const char *why, *bucket = store_of(&x->w)->bucket;
	const struct json *answer = nats__answer(part_of(&x->w), m->payload);
	unsigned code;
	struct slice text = nats__answer_error(answer, &code);
	if (nats__status(m->headers) == 503) {
		link__wire_fail(&x->w, false, "no JetStream answers (a server without -js, or one that is starting)");
		return false;
	}
	if (code == API_STREAM_NOT_FOUND && x->state == NATS_AWAITS_STREAM) {
		create_stream(x);
		return true;
	}
	if (code == API_NAME_IN_USE && x->state == NATS_AWAITS_CREATED) {  // another one was first
		x->state = NATS_AWAITS_STREAM;
		ask_stream(x, "INFO", (struct slice){0});
		return true;
	}
	if (code) {
		link__wire_fail(&x->w, false, "bucket '%s': %.*s (%u)", bucket, SLICE_ARGS(text), code);
		return false;
	}
	if ((why = differs(json_member(answer, "config"), bucket))) {
		link__wire_fail(&x->w, true, "the stream KV_%s is no bucket of ours: %s", bucket, why);
		return false;
	}
	x->state = NATS_IS_READY;
	link__wire_greeted(&x->w);
	return true;
}

// ---- messages --------------------------------------------------------------------------------------------------------------------

// false: the wire has failed.
static bool take_delivered(struct nats_wire *x, const struct nats_message *m)
{
	uint64_t number;
	if (m->sid == SUBSCRIPTION) {
		struct slice token = nats__token(m->subject, -1);
		if (slice_eq_str(token, "s"))
			return x->state == NATS_IS_READY || x->state < NATS_AWAITS_STREAM || take_stream(x, m);
		if (!slice_parse_u64(token, UINT64_MAX, &number))
			return true;
	} else {
		number = m->sid - SUBSCRIPTION - 1;
	}
	struct link_call *c = link__wire_find(&x->w, number);
	if (c)
		part_of(&x->w)->take(x, c, m);
	return true;
}

static bool take_error(struct nats_wire *x, struct slice text)
{
	bool lasting = text.len > 14 && (slice_starts_with(text, SLICE_LIT("'Authorization")) || slice_starts_with(text, SLICE_LIT("'Authentication")));
	if (slice_starts_with(text, SLICE_LIT("'Permissions Violation")) && x->state == NATS_IS_READY) {
		part_of(&x->w)->denied(x, text);
		return true;
	}
	link__wire_fail(&x->w, lasting, "the server refuses us: %.*s", SLICE_ARGS(slice_sub(text, 0, 100)));
	return false;
}

// Of who asks and never reads not all answers are kept. false: the wire has failed.
static bool answer_ping(struct nats_wire *x)
{
	struct link_wire *w = &x->w;
	x->pongs = w->out.len == w->out_start ? 1 : x->pongs + 1;
	if (x->pongs > PONGS_MAX) {
		link__wire_fail(w, false, "the server asks (PING) and does not read what it is answered");
		return false;
	}
	buf_put_str(&w->out, "PONG\r\n");
	link__wire_flush(w);
	return true;
}

static bool take(struct nats_wire *x, const struct nats_message *m)
{
	switch (m->verb) {
	case NATS_INFO:
		return take_info(x, m->text);
	case NATS_PING:
		return answer_ping(x);
	case NATS_PONG:
		if (x->state == NATS_AWAITS_PONG) {
			x->state = NATS_AWAITS_STREAM;
			ask_stream(x, "INFO", (struct slice){0});
		}
		return true;
	case NATS_ERR:
		return take_error(x, m->text);
	case NATS_MSG:
		return take_delivered(x, m);
	case NATS_OK:
		break;
	}
	return true;
}

static bool nats_greet(struct link_wire *w)
{
	wire_of(w)->input.max_message = LINK_VALUE_MAX + 64 * KIB;
	return true;  // the server speaks first
}

static bool nats_read(struct link_wire *w, struct slice bytes)
{
	struct nats_wire *x = wire_of(w);
	struct nats_message m;
	bool any = false;
	bool ok = nats__input_put(&x->input, bytes);
	while (ok && (ok = nats__input_next(&x->input, &m, &any)) && any)
		if (!take(x, &m))
			return false;
	if (!ok)
		link__wire_fail(w, false, "%s", x->input.why);
	return ok;
}

static bool nats_write(struct link_wire *w, struct link_call *c)
{
	return part_of(w)->write(wire_of(w), c);
}

static void nats_gone(struct link_wire *w)
{
	nats__input_release(&wire_of(w)->input);
}

const struct link_protocol nats__protocol = {
	.wire_size = sizeof(struct nats_wire),
	.greet = nats_greet,
	.write = nats_write,
	.read = nats_read,
	.gone = nats_gone,
	.in_order = false,
};
