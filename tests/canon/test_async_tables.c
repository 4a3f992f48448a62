// Random programs over streams, futures and waitable sets, each step beside a second, plain implementation of their rules. TABLE_STEPS=N for longer;
// TABLE_LOG=FILE writes what was done and answered, for fuzz/async_twin.py, which goes through it with the specification's own definitions.
// PROGRAM(test_async_tables, "canon tier cmocka", "")
#include "endpoints.h"

#include <stdio.h>

enum { HANDLES = 400, MOST = 1 << 28, PAGE = 65536, BLOCKED = -1 };

// ---- the twin: CanonicalABI "Waitable State", "Stream State", "Future State", written from their text -----------------------------------------------
enum kind { NONE, SET, END };
enum answer { COMPLETED, DROPPED, CANCELLED };
struct shared {
	bool is_future, dropped;
	int pending, refs;  // handle of the end that waits; 0: none
};
struct handle {
	enum kind kind;
	// An end.
	bool writes, is_copying, is_done;
	struct shared *shared;
	int set;
	bool has_event, fills;  // its event is there; its buffer may still be filled
	enum answer answer;
	uint32_t length, progress;
	// A set.
	int members;
};
static struct twin {
	struct handle h[HANDLES];
	unsigned n;  // that are used
} twin;

static void answers(struct handle *h, enum answer a)
{
	h->has_event = true;
	h->answer = a;
	h->fills = false;
}

static uint32_t deliver(struct handle *h, int index)
{
	struct shared *s = h->shared;
	if (h->fills && s->pending == index)
		s->pending = 0;
	h->has_event = h->fills = h->is_copying = false;
	h->is_done = h->answer == DROPPED || (s->is_future && h->answer == COMPLETED);
	return s->is_future ? h->answer : h->answer | h->progress << 4;
}

// Somebody comes with a buffer.
static void come(struct handle *h, int index)
{
	struct shared *s = h->shared;
	struct handle *p = s->pending ? &twin.h[s->pending] : NULL;
	h->is_copying = true;
	if (s->dropped) {
		answers(h, DROPPED);
	} else if (!p) {
		s->pending = index;
	} else if (p->length > p->progress) {
		uint32_t n = p->length - p->progress < h->length ? p->length - p->progress : h->length;
		p->progress += n;
		h->progress += n;
		if (n && s->is_future) {
			answers(p, COMPLETED);
			s->pending = 0;
		} else if (n) {
			answers(p, COMPLETED);
			p->fills = true;
		}
		answers(h, COMPLETED);
	} else if (h->writes && !h->length && !p->length) {
		answers(h, COMPLETED);
	} else {
		answers(p, COMPLETED);
		s->pending = index;
	}
}

static void forget(struct handle *h)
{
	if (h->shared && --h->shared->refs == 0)
		free(h->shared);
	*h = (struct handle){0};
	twin.n--;
}

static void twin_clear(void)
{
	for (int k = 0; k < HANDLES; k++)
		if (twin.h[k].kind)
			forget(&twin.h[k]);
}

static struct handle *end_of(int index, bool is_future, bool writes)
{
	struct handle *h = &twin.h[index];
	return h->kind == END && h->shared->is_future == is_future && h->writes == writes ? h : NULL;
}

static struct handle *find(int index, enum kind kind)
{
	return twin.h[index].kind == kind ? &twin.h[index] : NULL;
}

// What the operation answers; false: it traps. `made`: the handles that a new… gave.
static bool twin_new(bool is_future, uint64_t made)
{
	int r = (int)(uint32_t)made, w = (int)(made >> 32);
	if (r <= 0 || w <= 0 || r >= HANDLES || w >= HANDLES || r == w || twin.h[r].kind || twin.h[w].kind)
		fail_msg("handles %d and %d are not new", r, w);
	struct shared *s = calloc(1, sizeof *s);
	*s = (struct shared){.is_future = is_future, .refs = 2};
	twin.h[r] = (struct handle){.kind = END, .shared = s};
	twin.h[w] = (struct handle){.kind = END, .shared = s, .writes = true};
	twin.n += 2;
	return true;
}

static bool twin_copy(int index, bool is_future, bool writes, uint32_t ptr, uint32_t n, int64_t *ret)
{
	struct handle *h = end_of(index, is_future, writes);
	if (!h || h->is_copying || h->is_done || n >= MOST || (n && (uint64_t)ptr + n > PAGE))
		return false;
	h->length = n;
	h->progress = 0;
	come(h, index);
	*ret = h->has_event ? deliver(h, index) : BLOCKED;
	return true;
}

static bool twin_cancel(int index, bool is_future, bool writes, int64_t *ret)
{
	struct handle *h = end_of(index, is_future, writes);
	if (!h || !h->is_copying)
		return false;
	if (!h->has_event) {
		h->shared->pending = 0;
		answers(h, CANCELLED);
	} else if (h->answer == COMPLETED && !is_future) {
		h->answer = CANCELLED;
	}
	*ret = deliver(h, index);
	return true;
}

static bool twin_drop(int index, bool is_future, bool writes)
{
	struct handle *h = end_of(index, is_future, writes);
	if (!h || h->is_copying || (is_future && writes && !h->is_done))
		return false;
	struct shared *s = h->shared;
	if (h->set)
		twin.h[h->set].members--;
	if (!s->dropped && s->pending) {
		answers(&twin.h[s->pending], DROPPED);
		s->pending = 0;
	}
	s->dropped = true;
	forget(h);
	return true;
}

static bool twin_join(int index, int set)
{
	struct handle *h = find(index, END);
	if (!h || (set && !find(set, SET)))
		return false;
	if (h->set)
		twin.h[h->set].members--;
	h->set = set;
	if (set)
		twin.h[set].members++;
	return true;
}

static bool twin_poll(int set, uint32_t ptr, uint64_t code, uint32_t index, uint32_t payload)
{
	if (!find(set, SET) || (ptr & 3) || (uint64_t)ptr + 8 > PAGE)
		return false;
	if (!code) {
		for (int k = 1; k < HANDLES; k++)
			if (twin.h[k].kind == END && twin.h[k].set == set && twin.h[k].has_event)
				fail_msg("set %d has no event, handle %d has", set, k);
		return index == 0 && payload == 0;
	}
	struct handle *h = index < HANDLES ? &twin.h[index] : NULL;
	if (!h || h->kind != END || h->set != set || !h->has_event)
		fail_msg("handle %u of set %d has no event", index, set);
	assert_int_equal(code, 2 + 2 * h->shared->is_future + h->writes);
	assert_int_equal(payload, deliver(h, (int)index));
	return true;
}

// ---- the program ------------------------------------------------------------------------------------------------------------------------------------
static struct subject subject;
static struct vm_shard *shard;
static uint64_t seed = 88172645463325252u;
static FILE *log_file;

static uint32_t any(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16) % n;
}

static struct canon_instance *instance(void)
{
	static const struct canon_host host;
	struct canon_instance *i = NULL;
	struct canon_trap trap;
	struct err e = {0};
	assert_true(canon_instance_new(shard, subject.l.canon, &host, NULL, NULL, &i, &e));
	assert_true(canon_instance_initialize(i, 0, canon_component_steps(subject.l.canon), NULL, &trap));
	return i;
}

// A handle that is likely to be what is wanted.
static int some(enum kind kind, int is_future, int writes)
{
	for (int tries = 0; tries < 40 && any(60); tries++) {
		int k = 1 + (int)any(HANDLES - 1);
		const struct handle *h = &twin.h[k];
		if (h->kind == kind && (kind != END || ((is_future < 0 || h->shared->is_future == is_future) && (writes < 0 || h->writes == writes))))
			return k;
	}
	return (int)any(HANDLES);
}

static uint32_t some_length(void)
{
	static const uint32_t lengths[] = {0, 0, 1, 2, 3, 7, 64, 4096};
	return any(2000) ? lengths[any(ARRAY_LEN(lengths))] : any(2) ? MOST
																 : PAGE;
}

struct step {
	enum endpoint op;
	uint32_t a, b, c;
	uint64_t result;
	enum trap trap;
	bool legal;
	int64_t expected;   // of those that answer
	uint32_t event[2];  // that a poll gave: index and payload
};

static void plan(struct step *s)
{
	s->op = any(LOAD);
	if (twin.n > HANDLES / 2 && (s->op == STREAM_NEW || s->op == FUTURE_NEW || s->op == SET_NEW))
		s->op = STREAM_DROP_READABLE + any(2);
	bool is_future = s->op >= FUTURE_NEW && s->op <= FUTURE_DROP_WRITABLE;
	unsigned k = is_future ? s->op - FUTURE_NEW : s->op;
	if (s->op <= FUTURE_DROP_WRITABLE)
		s->a = (uint32_t)some(END, is_future, k == STREAM_WRITE || k == STREAM_CANCEL_WRITE || k == STREAM_DROP_WRITABLE);
	else
		s->a = (uint32_t)some(s->op == JOIN ? END : SET, -1, -1);
	s->b = s->op == JOIN ? (any(3) ? (uint32_t)some(SET, -1, -1) : 0) : 16 * any(1024);
	if (any(1000) == 0)
		s->b |= 1;
	if (any(1000) == 0 && s->op != JOIN)
		s->b = PAGE - any(8);
	s->c = some_length();
}

static void expect(struct step *s, struct canon_instance *i)
{
	bool is_future = s->op >= FUTURE_NEW;
	int a = (int)s->a;
	s->expected = (int64_t)s->result;
	switch (s->op) {
	case STREAM_NEW:
	case FUTURE_NEW:
		s->legal = twin_new(is_future, s->result);
		break;
	case STREAM_READ:
	case STREAM_WRITE:
		s->legal = twin_copy(a, false, s->op == STREAM_WRITE, s->b, s->c, &s->expected);
		break;
	case FUTURE_READ:
	case FUTURE_WRITE:
		s->legal = twin_copy(a, true, s->op == FUTURE_WRITE, s->b, 1, &s->expected);
		break;
	case STREAM_CANCEL_READ:
	case STREAM_CANCEL_WRITE:
	case FUTURE_CANCEL_READ:
	case FUTURE_CANCEL_WRITE:
		s->legal = twin_cancel(a, is_future, s->op == STREAM_CANCEL_WRITE || s->op == FUTURE_CANCEL_WRITE, &s->expected);
		break;
	case STREAM_DROP_READABLE:
	case STREAM_DROP_WRITABLE:
	case FUTURE_DROP_READABLE:
	case FUTURE_DROP_WRITABLE:
		s->legal = twin_drop(a, is_future, s->op == STREAM_DROP_WRITABLE || s->op == FUTURE_DROP_WRITABLE);
		break;
	case SET_NEW:
		s->legal = s->result && s->result < HANDLES && !twin.h[s->result].kind;
		twin.h[s->result % HANDLES] = (struct handle){.kind = SET};
		twin.n++;
		break;
	case SET_POLL: {
		uint64_t index = 0, payload = 0;
		struct canon_trap trap;
		if (s->trap == TRAP_NONE && (endpoint_call(&subject, i, LOAD, s->b, 0, 0, &index, &trap) || endpoint_call(&subject, i, LOAD, s->b + 4, 0, 0, &payload, &trap)))
			fail_msg("%s", trap.text);
		s->event[0] = (uint32_t)index;
		s->event[1] = (uint32_t)payload;
		s->legal = twin_poll(a, s->b, s->result, s->event[0], s->event[1]);
		break;
	}
	case SET_DROP:
		s->legal = find(a, SET) && !find(a, SET)->members;
		if (s->legal)
			forget(&twin.h[a]);
		break;
	case JOIN:
		s->legal = twin_join(a, (int)s->b);
		break;
	default:
		break;
	}
}

// Would it be legal, as the twin stands? Traps are rarer than they would be by chance: each costs an instance.
static bool is_wanted(const struct step *s)
{
	const struct handle *h = &twin.h[s->a % HANDLES];
	bool looks_right = s->op == STREAM_NEW || s->op == FUTURE_NEW || s->op == SET_NEW || h->kind == (s->op >= SET_NEW && s->op != JOIN ? SET : END);
	if (looks_right && s->op < SET_NEW && h->kind == END) {
		unsigned k = s->op >= FUTURE_NEW ? s->op - FUTURE_NEW : s->op;
		if (k == STREAM_READ || k == STREAM_WRITE)
			looks_right = !h->is_copying && !h->is_done;
		else if (k == STREAM_CANCEL_READ || k == STREAM_CANCEL_WRITE)
			looks_right = h->is_copying;
		else if (k == STREAM_DROP_READABLE || k == STREAM_DROP_WRITABLE)
			looks_right = !h->is_copying;
	}
	return looks_right || any(300) == 0;
}

static void random_programs_answer_as_the_twin_does(void **state UNUSED)
{
	const char *steps = getenv("TABLE_STEPS"), *log_name = getenv("TABLE_LOG");
	uint64_t n = steps ? strtoull(steps, NULL, 10) : 200000, traps = 0, done = 0;
	struct canon_instance *i = instance();
	log_file = log_name ? fopen(log_name, "w") : NULL;
	while (done < n) {
		struct step s = {0};
		struct canon_trap trap;
		plan(&s);
		if (!is_wanted(&s))
			continue;
		done++;
		s.trap = endpoint_call(&subject, i, s.op, s.a, s.b, s.c, &s.result, &trap);
		bool answers = s.op != STREAM_NEW && s.op != FUTURE_NEW && s.op != SET_NEW && s.op != SET_POLL;
		if (s.trap != TRAP_NONE && (s.op == STREAM_NEW || s.op == FUTURE_NEW || s.op == SET_NEW))
			fail_msg("%s: %s", endpoint_rows[s.op].name, trap.text);
		expect(&s, i);
		if (log_file)
			fprintf(log_file, "%s %u %u %u %s %llu %u %u\n", endpoint_rows[s.op].name, s.a, s.b, s.c, s.trap ? "trap" : "ok", (unsigned long long)s.result, s.event[0],
				s.event[1]);
		if (s.legal != (s.trap == TRAP_NONE))
			fail_msg("step %llu: %s(%u, %u, %u): %s, should %s", (unsigned long long)done, endpoint_rows[s.op].name, s.a, s.b, s.c,
				s.trap ? trap.text : "no trap", s.legal ? "not trap" : "trap");
		if (s.legal && answers && (uint32_t)s.expected != (uint32_t)s.result)
			fail_msg("step %llu: %s(%u, %u, %u) is 0x%x, should be 0x%x", (unsigned long long)done, endpoint_rows[s.op].name, s.a, s.b, s.c,
				(unsigned)s.result, (unsigned)s.expected);
		if (s.trap == TRAP_NONE)
			continue;
		traps++;
		twin_clear();
		canon_instance_free(i);
		i = instance();
	}
	canon_instance_free(i);
	twin_clear();
	if (log_file)
		fclose(log_file);
	print_message("%llu steps, %llu of them traps\n", (unsigned long long)done, (unsigned long long)traps);
	assert_true(traps > n / 1000);
}

int main(void)
{
	struct err e = {0};
	if (!vm_process_init(&e) || !vm_shard_new(&shard, &e))
		return 1;
	endpoints_load(&subject, ENDPOINTS_ALONE);
	const struct CMUnitTest tests[] = {cmocka_unit_test(random_programs_answer_as_the_twin_does)};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	subject_release(&subject);
	vm_shard_free(shard);
	return failed;
}
