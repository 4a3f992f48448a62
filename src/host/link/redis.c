// Redis: a store over the connections of transport.h, RESP2. One operation is one command at a time; where one needs several (CHECK, LIST), each is begun when
// the one before is answered.
//
// 1. Names are TENANT/APP/BUCKET/KEY, counters ASCII decimal as INCRBY keeps them, times to live Redis' own.
// 2. A version is the SHA-1 of the value, made by the server: comparing and setting is one script, so that it needs no connection of its own. Two equal
//    values have one version.
// 3. What Redis answers before it does anything (LOADING and the like) has not been sent.
#include "redis.h"
#include "link_int.h"
#include "transport.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PLAIN "-_.:"
enum { SEPARATOR = '/',
	SCAN_MIN = 100,
	SCAN_MAX = 1000,
	DATABASES_MAX = 1 << 20 };

struct redis_store {
	struct link_store s;
	struct link_server server;
	char database[12];  // empty: 0
};
struct redis_call {
	struct link_call c;
	struct redis_call *next;  // spare
	struct redis_part *part;
	struct link_op *op;
	uint64_t scan;            // where SCAN goes on
	uint32_t step;            // of CHECK
	uint32_t recalls;         // of the part, when it began
	bool cluster;
};
struct redis_part {
	struct link_part p;
	struct link_pool pool;
	struct redis_call *spare;
	struct buf name;
	struct arena names;
	VEC(struct link_key)
	keys;
	uint32_t scan_count;
	uint32_t recalls;
};
struct redis_wire {
	struct link_wire w;
	struct redis_replies replies;
	uint32_t greetings;       // answers that are still to come
};

static struct redis_store *store_of(const struct redis_part *p)
{
	return CONTAINER_OF(p->p.store, struct redis_store, s);
}

static struct redis_wire *wire_of(struct link_wire *w)
{
	return CONTAINER_OF(w, struct redis_wire, w);
}

// ---- commands --------------------------------------------------------------------------------------------------------------------

static void put_count(struct buf *b, unsigned n)
{
	buf_printf(b, "*%u\r\n", n);
}

static void put_arg(struct buf *b, struct slice s)
{
	buf_printf(b, "$%zu\r\n", s.len);
	buf_put_slice(b, s);
	buf_put(b, "\r\n", 2);
}

static void put_text(struct buf *b, const char *text)
{
	put_arg(b, slice_str(text));
}

static void put_number(struct buf *b, int64_t n)
{
	char text[24];
	int len = snprintf(text, sizeof text, "%lld", (long long)n);
	put_arg(b, slice_of(text, (size_t)len));
}

// In p->name until the next one.
static struct slice name_of(struct redis_part *p, const struct link_op *op)
{
	buf_clear(&p->name);
	link__name_put(&p->name, p->p.store, op->bucket, op->key, PLAIN, SEPARATOR);
	return buf_view(&p->name);
}

static const char script_get[] = "local v=redis.call('GET',KEYS[1]) if not v then return {v} end "
								 "return {v,redis.call('PTTL',KEYS[1]),redis.sha1hex(v)}";
static const char script_swap[] = "local v=redis.call('GET',KEYS[1]) if (v and redis.sha1hex(v) or '')~=ARGV[1] then return 0 end "
								  "if ARGV[3]=='0' then redis.call('SET',KEYS[1],ARGV[2]) else redis.call('SET',KEYS[1],ARGV[2],'PX',ARGV[3]) end return 1";

static void put_script(struct buf *b, const char *script, struct slice key, unsigned args)
{
	put_count(b, 4 + args);
	put_text(b, "EVAL");
	put_text(b, script);
	put_text(b, "1");
	put_arg(b, key);
}

static bool is_absent(const struct link_version *v)
{
	return !(v->words[0] | v->words[1] | v->words[2]);
}

// The 40 digits of a SHA-1, the last 8 of them with a bit that no version of a key that is there lacks.
static void put_version(struct buf *b, const struct link_version *v)
{
	char text[48];
	snprintf(text, sizeof text, "%016llx%016llx%08x", (unsigned long long)v->words[0], (unsigned long long)v->words[1], (uint32_t)v->words[2]);
	put_text(b, is_absent(v) ? "" : text);
}

static bool read_version(struct slice digits, struct link_version *ret)
{
	*ret = (struct link_version){.words[2] = UINT64_C(1) << 32};
	for (size_t i = 0; i < digits.len && i < 40; i++) {
		uint8_t c = digits.ptr[i];
		uint64_t digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10u
																			   : 16;
		if (digit > 15)
			return false;
		if (i < 32)
			ret->words[i / 16] |= digit << (60 - 4 * (i % 16));
		else
			ret->words[2] |= digit << (28 - 4 * (i - 32));
	}
	return digits.len == 40;
}

static bool wants_more(const struct link_op *op)
{
	return op->wants_version || op->wants_ttl;
}

// Those of the names of the space (and the bucket), and nothing else: what SCAN takes for patterns is escaped.
static void put_pattern(struct redis_part *p, struct buf *b, const struct link_op *op)
{
	struct buf pattern = {0};
	buf_clear(&p->name);
	link__name_put_prefix(&p->name, p->p.store, op->all ? NULL : &op->bucket, PLAIN, SEPARATOR);
	for (size_t i = 0; i < p->name.len; i++) {
		if (strchr("*?[]\\^-", p->name.ptr[i]))
			buf_put_byte(&pattern, '\\');
		buf_put_byte(&pattern, p->name.ptr[i]);
	}
	buf_put_byte(&pattern, '*');
	b->failed |= pattern.failed;
	put_arg(b, buf_view(&pattern));
	buf_release(&pattern);
}

static void put_scan(struct redis_part *p, struct buf *b, const struct redis_call *r)
{
	char at[24];
	bool raw = p->p.store->n_parts == 0;
	snprintf(at, sizeof at, "%llu", (unsigned long long)r->scan);
	put_count(b, 6);
	put_text(b, "SCAN");
	put_text(b, at);
	put_text(b, raw ? "TYPE" : "MATCH");
	if (raw)
		put_text(b, "string");
	else
		put_pattern(p, b, r->op);
	put_text(b, "COUNT");
	put_number(b, (int64_t)min_u64(p->scan_count, max_u64(r->op->limit, 10)));
}

static const char *const asks[] = {"appendfsync", "proto-max-bulk-len"};

static void put_check(struct buf *b, uint32_t step)
{
	put_count(b, step ? 3 : 1);
	put_text(b, step ? "CONFIG" : "INFO");
	if (step) {
		put_text(b, "GET");
		put_text(b, asks[step - 1]);
	}
}

static void put_set(struct buf *b, struct slice name, const struct link_op *op)
{
	put_count(b, op->ttl_ms ? 5 : 3);
	put_text(b, "SET");
	put_arg(b, name);
	put_arg(b, op->value);
	if (op->ttl_ms) {
		put_text(b, "PX");
		put_number(b, (int64_t)op->ttl_ms);
	}
}

static void put_swap(struct buf *b, struct slice name, const struct link_op *op)
{
	put_script(b, script_swap, name, 3);
	put_version(b, &op->version);
	put_arg(b, op->value);
	put_number(b, (int64_t)op->ttl_ms);
}

static void put_simple(struct buf *b, const char *command, struct slice name)
{
	put_count(b, 2);
	put_text(b, command);
	put_arg(b, name);
}

static bool redis_write(struct link_wire *w, struct link_call *c)
{
	struct redis_call *r = CONTAINER_OF(c, struct redis_call, c);
	struct redis_part *p = r->part;
	const struct link_op *op = r->op;
	struct buf *b = &w->out;
	switch (op->kind) {
	case LINK_CHECK:
		put_check(b, r->step);
		break;
	case LINK_GET:
		if (wants_more(op))
			put_script(b, script_get, name_of(p, op), 0);
		else
			put_simple(b, "GET", name_of(p, op));
		break;
	case LINK_EXISTS:
		put_simple(b, "EXISTS", name_of(p, op));
		break;
	case LINK_SET:
		put_set(b, name_of(p, op), op);
		break;
	case LINK_DELETE:
		put_simple(b, "DEL", name_of(p, op));
		break;
	case LINK_INCREMENT:
		put_count(b, 3);
		put_text(b, "INCRBY");
		put_arg(b, name_of(p, op));
		put_number(b, op->delta);
		break;
	case LINK_SWAP:
		put_swap(b, name_of(p, op), op);
		break;
	case LINK_LIST:
		put_scan(p, b, r);
		break;
	case LINK_PURGE:  // nobody asks for it
		break;
	}
	b->failed |= p->name.failed;
	return true;
}

// ---- answers ---------------------------------------------------------------------------------------------------------------------

static struct slice text_of(const redisReply *a)
{
	bool has = a && (a->type == REDIS_REPLY_STRING || a->type == REDIS_REPLY_STATUS || a->type == REDIS_REPLY_ERROR);
	return has ? slice_of(a->str, (size_t)a->len) : (struct slice){0};
}

static void give_up(struct redis_call *r)
{
	r->op = NULL;
	r->next = r->part->spare;
	r->part->spare = r;
}

static void finish(struct redis_call *r, enum link_code code)
{
	struct link_op *op = r->op;
	give_up(r);
	link_op_done(op, code);
}

static void refuse(struct redis_call *r, struct slice text)
{
	static const char *const nothing_done[] = {"LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY"};
	struct link_op *op = r->op;
	enum link_code code = LINK_REFUSED;
	for (size_t i = 0; i < ARRAY_LEN(nothing_done); i++)
		if (slice_starts_with(text, slice_str(nothing_done[i])))
			code = LINK_UNSENT;
	bool counts = op->kind == LINK_INCREMENT && slice_starts_with(text, SLICE_LIT("ERR "));
	give_up(r);
	if (slice_starts_with(text, SLICE_LIT("MOVED ")) || slice_starts_with(text, SLICE_LIT("ASK ")))
		link_op_fail(op, LINK_REFUSED, "the server is part of a Redis cluster, which is not served");
	else if (counts)
		link_op_fail(op, code, "the value is no number in decimal, or the sum is out of range (%.*s)", SLICE_ARGS(slice_sub(text, 4, 100)));
	else
		link_op_fail(op, code, "the server: %.*s", SLICE_ARGS(slice_sub(text, 0, 140)));
}

static void surprise(struct redis_call *r)
{
	struct link_op *op = r->op;
	give_up(r);
	link_op_fail(op, LINK_UNKNOWN, "the server has answered something else");
}

static void take_got(struct redis_call *r, const redisReply *a)
{
	struct link_op *op = r->op;
	const redisReply *value = a;
	if (wants_more(op)) {
		if (a->type != REDIS_REPLY_ARRAY || a->elements == 0) {
			surprise(r);
			return;
		}
		value = a->element[0];
		if (a->elements == 3 && a->element[1]->type == REDIS_REPLY_INTEGER) {
			int64_t left = a->element[1]->integer;
			op->ret_ttl_ms = left == -1 ? 0 : max_u64((uint64_t)(left < 1 ? 1 : left), 1);
			if (!read_version(text_of(a->element[2]), &op->ret_version)) {
				surprise(r);
				return;
			}
		}
	}
	op->found = value->type == REDIS_REPLY_STRING;
	op->ret_value = text_of(value);
	if (value->type == REDIS_REPLY_ERROR)
		refuse(r, text_of(value));
	else if (op->found || value->type == REDIS_REPLY_NIL)
		finish(r, LINK_OK);
	else
		surprise(r);
}

static void take_number(struct redis_call *r, const redisReply *a)
{
	struct link_op *op = r->op;
	if (a->type != REDIS_REPLY_INTEGER) {
		surprise(r);
		return;
	}
	op->found = a->integer != 0;
	op->ret_number = a->integer;
	finish(r, op->kind == LINK_SWAP && !op->found ? LINK_STALE : LINK_OK);
}

// ---- lists -----------------------------------------------------------------------------------------------------------------------

static bool take_names(struct redis_part *p, const redisReply *names)
{
	size_t bytes = 0;
	arena_clear(&p->names);
	p->keys.len = 0;
	for (size_t i = 0; i < names->elements; i++) {
		struct slice name = text_of(names->element[i]);
		struct link_key key;
		bytes += name.len;
		enum link__parsed r = link__name_parse(&p->names, p->p.store, name, PLAIN, SEPARATOR, &key);
		if (r == LINK__NAME_NO_MEMORY || (r == LINK__NAME && !VEC_PUSH(NULL, &p->keys, key, REDIS_ITEMS_MAX)))
			return false;
	}
	// The next page is to have as much as a page may: keys may be long.
	p->scan_count = bytes > LINK_PAGE_BYTES / 4 ? SCAN_MIN : (uint32_t)min_u64(p->scan_count * 2, SCAN_MAX);
	return true;
}

static void take_page(struct redis_call *r, const redisReply *a)
{
	struct redis_part *p = r->part;
	struct link_op *op = r->op;
	bool fits = a->type == REDIS_REPLY_ARRAY && a->elements == 2 && a->element[1]->type == REDIS_REPLY_ARRAY;
	if (!fits || !slice_parse_u64(text_of(a->element[0]), UINT64_MAX, &r->scan)) {
		surprise(r);
		return;
	}
	if (!take_names(p, a->element[1])) {
		give_up(r);
		link_op_fail(op, LINK_REFUSED, "memory is out");
		return;
	}
	if (p->keys.len == 0 && r->scan && r->recalls == p->recalls) {  // else who waits for all to end is not to wait for the whole database
		link__pool_call(&p->pool, &r->c);
		return;
	}
	op->ret_keys = p->keys.ptr;
	op->n_ret_keys = p->keys.len;
	op->ret_cursor = r->scan;
	finish(r, LINK_OK);
}

// ---- what the server is ----------------------------------------------------------------------------------------------------------

// The rest of the line of INFO that begins so.
static struct slice info_line(struct slice info, const char *name)
{
	size_t n = strlen(name);
	while (info.len) {
		size_t end = slice_find(info, '\n');
		struct slice line = slice_sub(info, 0, end);
		if (line.len && line.ptr[line.len - 1] == '\r')
			line.len--;
		if (slice_starts_with(line, slice_of(name, n)))
			return slice_sub(line, n, SIZE_MAX);
		info = slice_sub(info, end + 1, SIZE_MAX);
	}
	return (struct slice){0};
}

static void note(struct link_op *op, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void note(struct link_op *op, const char *fmt, ...)
{
	size_t len = strlen(op->ret_text);
	va_list args;
	va_start(args, fmt);
	vsnprintf(op->ret_text + len, sizeof op->ret_text - len, fmt, args);
	va_end(args);
}

static void take_info(struct redis_call *r, struct slice info)
{
	struct link_op *op = r->op;
	struct slice version = slice_sub(info_line(info, "redis_version:"), 0, 16), policy = slice_sub(info_line(info, "maxmemory_policy:"), 0, 20);
	r->cluster = slice_eq_str(info_line(info, "cluster_enabled:"), "1");
	note(op, "Redis %.*s", SLICE_ARGS(version));
	if (policy.len && !slice_eq_str(policy, "noeviction"))
		note(op, "; drops keys where memory is out (%.*s)", SLICE_ARGS(policy));
	if (slice_eq_str(info_line(info, "aof_enabled:"), "0"))
		note(op, "; appendonly no: a crash takes what came since the last snapshot");
}

// Of "CONFIG GET x": [x, value]. Who may not ask learns nothing.
static void take_setting(struct redis_call *r, const redisReply *a)
{
	struct link_op *op = r->op;
	struct slice value = a->type == REDIS_REPLY_ARRAY && a->elements == 2 ? slice_sub(text_of(a->element[1]), 0, 20) : (struct slice){0};
	uint64_t most;
	if (r->step == 1 && !strstr(op->ret_text, "appendonly")) {
		if (slice_eq_str(value, "everysec"))
			note(op, "; appendfsync everysec: a crash takes up to a second");
		else
			note(op, "; appendfsync %.*s", SLICE_ARGS(value.len ? value : SLICE_LIT("unknown")));
	}
	if (r->step == 2 && slice_parse_u64(value, UINT64_MAX, &most) && most < LINK_VALUE_MAX)
		note(op, "; values up to %llu bytes", (unsigned long long)most);
}

static void take_check(struct redis_call *r, const redisReply *a)
{
	struct link_op *op = r->op;
	if (r->step == 0 && a->type != REDIS_REPLY_ERROR)
		take_info(r, text_of(a));
	else if (r->step == 0)
		note(op, "a server that does not tell what it is (INFO)");
	else
		take_setting(r, a);
	if (r->cluster) {
		give_up(r);
		op->ret_text[0] = 0;
		link_op_fail(op, LINK_REFUSED, "the server is part of a Redis cluster, which is not served");
		return;
	}
	if (r->step++ < ARRAY_LEN(asks)) {
		link__pool_call(&r->part->pool, &r->c);
		return;
	}
	op->ret_caps = r->part->p.store->provider->caps;
	finish(r, LINK_OK);
}

static void take_answer(struct redis_call *r, const redisReply *a)
{
	if (a->type == REDIS_REPLY_ERROR && r->op->kind != LINK_CHECK) {
		refuse(r, text_of(a));
		return;
	}
	switch (r->op->kind) {
	case LINK_CHECK:
		take_check(r, a);
		break;
	case LINK_GET:
		take_got(r, a);
		break;
	case LINK_SET:
		if (a->type == REDIS_REPLY_STATUS)
			finish(r, LINK_OK);
		else
			surprise(r);
		break;
	case LINK_LIST:
		take_page(r, a);
		break;
	case LINK_PURGE:  // nobody asks for it
	case LINK_EXISTS:
	case LINK_DELETE:
	case LINK_INCREMENT:
	case LINK_SWAP:
		take_number(r, a);
		break;
	}
}

// ---- connections -----------------------------------------------------------------------------------------------------------------

static bool redis_greet(struct link_wire *w)
{
	struct redis_wire *x = wire_of(w);
	const struct link_pool *pool = w->pool;
	const struct redis_store *s = store_of(pool->user);
	const struct link_target *t = &s->s.target;
	if (!redis__replies_init(&x->replies, LINK_VALUE_MAX, 2 * LINK_VALUE_MAX))
		return false;
	if (t->has_password) {
		put_count(&w->out, t->user.len ? 3 : 2);
		put_text(&w->out, "AUTH");
		if (t->user.len)
			put_arg(&w->out, t->user);
		put_arg(&w->out, t->password);
		x->greetings++;
	}
	if (s->database[0]) {
		put_simple(&w->out, "SELECT", slice_str(s->database));
		x->greetings++;
	}
	put_count(&w->out, 1);
	put_text(&w->out, "PING");
	x->greetings++;
	link__wire_flush(w);
	return true;
}

// false: the wire has failed.
static bool take_greeting(struct redis_wire *x, const redisReply *a)
{
	static const char *const lasting[] = {"NOAUTH", "WRONGPASS", "NOPERM", "ERR"};
	struct slice text = text_of(a);
	bool refused = false;
	if (a->type == REDIS_REPLY_STATUS) {
		if (--x->greetings == 0)
			link__wire_greeted(&x->w);
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(lasting); i++)
		refused |= slice_starts_with(text, slice_str(lasting[i]));
	refused &= !slice_starts_with(text, SLICE_LIT("ERR max number of clients"));
	link__wire_fail(&x->w, refused, "the server refuses us: %.*s", SLICE_ARGS(slice_sub(text, 0, 120)));
	return false;
}

// false: the wire has failed.
static bool take_reply(struct redis_wire *x, const redisReply *a)
{
	bool any;
	if (x->greetings)
		return take_greeting(x, a);
	struct link_call *c = link__wire_next(&x->w, &any);
	if (!any) {
		link__wire_fail(&x->w, false, "the server says what nobody asked: %.*s", SLICE_ARGS(slice_sub(text_of(a), 0, 80)));
		return false;
	}
	link__wire_took(&x->w, x->w.first);
	if (c) {
		c->pool = NULL;
		take_answer(CONTAINER_OF(c, struct redis_call, c), a);
	}
	return true;
}

static bool redis_read(struct link_wire *w, struct slice bytes)
{
	struct redis_wire *x = wire_of(w);
	while (bytes.len) {
		redisReply *a;
		if (!redis__replies_next(&x->replies, &bytes, &a)) {
			link__wire_fail(w, false, "%s", x->replies.why);
			return false;
		}
		if (!a)
			break;
		bool ok = take_reply(x, a);
		freeReplyObject(a);
		if (!ok)
			return false;
	}
	return true;
}

static void redis_gone(struct link_wire *w)
{
	redis__replies_release(&wire_of(w)->replies);
}

static const struct link_protocol protocol = {
	.wire_size = sizeof(struct redis_wire),
	.greet = redis_greet,
	.write = redis_write,
	.read = redis_read,
	.gone = redis_gone,
	.in_order = true,
};

// ---- operations ------------------------------------------------------------------------------------------------------------------

static void on_end(struct link_call *c, enum link_call_end end, const char *why)
{
	static const enum link_code codes[] = {
		[CALL_NOT_SENT] = LINK_UNSENT, [CALL_RECALLED] = LINK_RECALLED, [CALL_TOO_LARGE] = LINK_REFUSED, [CALL_UNKNOWN] = LINK_UNKNOWN};
	struct redis_call *r = CONTAINER_OF(c, struct redis_call, c);
	struct link_op *op = r->op;
	give_up(r);
	link_op_fail(op, codes[end], "%s", why);
}

static void begin(struct redis_call *r)
{
	struct link_op *op = r->op;
	bool keyed = op->kind != LINK_CHECK && op->kind != LINK_LIST;
	r->scan = op->cursor;
	r->step = 0;
	r->cluster = false;
	r->recalls = r->part->recalls;
	r->c.done = on_end;
	r->c.deadline_ns = op->deadline_ns;
	r->c.reads = op->kind == LINK_CHECK || op->kind == LINK_GET || op->kind == LINK_EXISTS || op->kind == LINK_LIST;
	r->c.lane = keyed ? (uint32_t)hash_u64(op->key) % LANES : LANES;
	link__pool_call(&r->part->pool, &r->c);
}

static struct redis_part *part_of(struct link_part *p)
{
	return CONTAINER_OF(p, struct redis_part, p);
}

static void redis_submit(struct link_part *part, struct link_op *op)
{
	struct redis_part *p = part_of(part);
	struct redis_call *r = p->spare;
	if (UNLIKELY(link__name_is_own(part->store, op->bucket, op->key, SEPARATOR))) {
		link_op_fail(op, LINK_REFUSED, LINK__NAME_IS_OWN);
		return;
	}
	if (r)
		p->spare = r->next;
	else if (!(r = mem_zalloc(sizeof *r))) {
		link_op_fail(op, LINK_UNSENT, "memory is out");
		return;
	}
	r->part = p;
	r->op = op;
	op->of = r;
	begin(r);
}

static bool redis_cancel(struct link_part *part, struct link_op *op)
{
	struct redis_call *r = op->of;
	bool left = link__call_cancel(&r->c);
	give_up(r);
	return left;
}

static void redis_recall(struct link_part *part)
{
	part_of(part)->recalls++;
	link__pool_recall(&part_of(part)->pool);
}

static bool redis_part_open(struct link_part *part, struct err *e)
{
	struct redis_part *p = part_of(part);
	p->scan_count = SCAN_MIN;
	arena_init(&p->names, 0);
	link__pool_init(&p->pool, part->loop, part->store->host->names, &store_of(p)->server, &protocol, p);
	return true;
}

static void redis_part_close(struct link_part *part)
{
	struct redis_part *p = part_of(part);
	link__pool_release(&p->pool);
	while (p->spare) {
		struct redis_call *next = p->spare->next;
		mem_free(p->spare);
		p->spare = next;
	}
	buf_release(&p->name);
	arena_release(&p->names);
	VEC_FREE(&p->keys);
}

static bool redis_check(const struct link_target *t, struct err *e)
{
	uint64_t database;
	if (!t->path.len || slice_parse_u64(t->path, DATABASES_MAX, &database))
		return true;
	err_set(e, ERR_USAGE, "'%.*s' is no number of a database of Redis", SLICE_ARGS(slice_sub(t->path, 0, 60)));
	return err_hint(e, "redis://HOST[:PORT]/0");
}

static bool redis_open(struct link_store *store, struct err *e)
{
	struct redis_store *s = CONTAINER_OF(store, struct redis_store, s);
	uint64_t database = 0;
	if (slice_parse_u64(store->target.path, DATABASES_MAX, &database) && database)
		snprintf(s->database, sizeof s->database, "%llu", (unsigned long long)database);
	return link__server_init(&s->server, store, e);
}

static void redis_pool(struct link_store *store)
{
	__atomic_store_n(&CONTAINER_OF(store, struct redis_store, s)->server.wires, store->pool, __ATOMIC_RELAXED);
}

static void redis_close(struct link_store *store)
{
}

const struct link_store_ops link__redis_ops = {
	.store_size = sizeof(struct redis_store),
	.part_size = sizeof(struct redis_part),
	.check = redis_check,
	.open = redis_open,
	.close = redis_close,
	.part_open = redis_part_open,
	.part_close = redis_part_close,
	.submit = redis_submit,
	.cancel = redis_cancel,
	.recall = redis_recall,
	.pool = redis_pool,
};
