// A change of the store behind a link, while it is used (contract §3).
//
// A move is a list of phases, on the main thread. Each begins something (an operation, a pass over keys, a wish to all shards) and has ended when that has; then
// `next` says which follows. What goes wrong before publish leads to `back`: calls go on to the old store, and nothing changed. Phases belong to the steps that
// people are told (link_step_words).
//
// What must last is on the disk before publish (contract §4). Without a copy that is so before calls are held: whenever the process ends from then on, the next one
// has the new store, and what was acknowledged stays where it was written, as always without a copy. With one it is written while they are held: not before the
// last keys are there may a restart take the new store.
//
// Why a count stays exact: a write is noted when it is sent and when it is answered, from before the first key is read (P_NOTE waits for those that began
// before). Every noted key is copied again, for the last time when no call is under way and none can begin (P_LAST). A write that got no answer is noted when
// it is given up.
#include "move.h"
#include "sys/sys.h"

enum { ROUNDS_MAX = 20, TEXT_MAX = 512 };
static const uint64_t PAUSE_NS = 250 * MILLISECOND, LIMIT_NS = 600 * SECOND, ASK_NS = 5 * SECOND;

enum phase {
	P_CHECK,
	P_TARGET_MARKER,
	P_SOURCE_MARKER,
	P_NONCE_WRITE,
	P_NONCE_READ,
	P_NONCE_DROP,
	P_COUNT,
	P_COUNT_SOURCE,
	P_COMPARE,
	P_MARK_SOURCE,
	P_MARK_TARGET,
	P_WIPE,
	P_NOTE,
	P_COPY,
	P_ROUND,
	P_SUPERSEDE,
	P_HOLD,
	P_LAST,
	P_JOURNAL,
	P_PUBLISH,
	P_RELEASE,
	P_MARK_LIVE,
	P_OVER,
	P_BACK,
	P_REVIVE,
	P_FAILED,
};

struct link_move {
	struct link *link;           // that was asked for
	struct link **links;         // all that move: it, and those of its app that share the store
	unsigned n_links;
	uint64_t epoch;              // theirs once it is published
	struct link_move_config config;
	struct link_move_facts facts;
	struct loop *loop;
	struct arena arena;
	struct link_store *source, *target;
	struct link_target to;
	enum phase phase;
	bool is_undo, discard, is_cancelled, was_told;
	bool superseded;             // the source's marker says so
	uint64_t limit_ns;           // when it is too late to go on copying
	struct loop_job turn;
	struct loop_timer pause, limit;
	// one operation
	struct link_op op;
	bool op_is_out, journalled;
	uint8_t text[TEXT_MAX];      // that it brought
	size_t text_len;
	// markers
	struct link__marker mine;    // of the source
	bool has_marker, target_is_old;  // target_is_old: it holds data of the same id that is superseded or incomplete
	uint64_t nonce[2];
	struct link_store *probed;   // where the number is written: the target, then the source
	struct link__other *others;  // through which it is looked for
	uint32_t n_others, at_other;
	char marker_text[LINK__MARKER_MAX], nonce_key[48];
	// passes
	struct link__pass pass;
	struct link__notes *taken;   // by link and shard
	struct arena keys;           // of a round, in one list
	uint64_t round_ns, key_ns;   // when it began; measured time a key
	bool passes;
	struct err err;
};

const char *const link_step_words[LINK_N_STEPS] = {
#define STEP(name, word) word,
#include "steps.def"
#undef STEP
};

// ---- one operation ----------------------------------------------------------------------------------------------------------------------------

static void on_answered(struct link_op *op)
{
	struct link_move *m = CONTAINER_OF(op, struct link_move, op);
	m->op_is_out = false;
	m->text_len = 0;
	if (op->kind == LINK_GET && op->found && op->ret_value.len <= sizeof m->text) {
		m->text_len = op->ret_value.len;
		if (m->text_len)
			memcpy(m->text, op->ret_value.ptr, m->text_len);
	}
	loop_post(m->loop, &m->turn);
}

static void ask(struct link_move *m, struct link_store *s, enum link_kind kind, struct slice key, struct slice value)
{
	m->op = (struct link_op){.kind = kind, .bucket = slice_of("", 0), .key = key, .value = value, .done = on_answered};
	m->op.deadline_ns = loop_now_fresh_ns(m->loop) + ASK_NS;
	m->op_is_out = true;
	link__store_submit(s, 0, &m->op);
}

static bool fail(struct link_move *m, enum err_code code, const char *what, const char *why)
{
	err_set(&m->err, code, "%s: %s", what, why);
	return false;
}

// Of the operation that has ended.
static bool was_ok(struct link_move *m, const char *what)
{
	return m->op.code == LINK_OK || fail(m, ERR_ENV, what, m->op.ret_text);
}

static struct slice print_marker(struct link_move *m, enum link__state state, uint64_t epoch)
{
	struct link__marker x = m->mine;
	x.state = state;
	x.epoch = epoch;
	x.process = m->link->host->process;
	x.at_ms = sys_wall_ns() / MILLISECOND;
	return slice_of(m->marker_text, link__marker_print(&x, m->marker_text));
}

// ---- what each phase begins -------------------------------------------------------------------------------------------------------------------

static void begin_pass(struct link_move *m, enum link__job job, struct link_store *from, struct link_store *to, const struct link_key *keys, uint32_t n, bool lists)
{
	m->pass.loop = m->loop;
	m->pass.turn = &m->turn;
	link__pass_begin(&m->pass, job, from, to, keys, n, lists);
	m->passes = true;
}

// Of all shards of all links. The target: of the epoch that comes with it.
static void wish(struct link_move *m, bool noting, bool holding, struct link_store *store)
{
	for (unsigned i = 0; i < m->n_links; i++)
		link__wish(m->links[i],
			(struct link__wish){.noting = noting, .holding = holding, .store = store, .epoch = store == m->target ? m->epoch : m->links[i]->epoch});
}

static bool wish_is_there(const struct link_move *m)
{
	for (unsigned i = 0; i < m->n_links; i++)
		if (!link__is_there(m->links[i]))
			return false;
	return true;
}

// What the shard has noted since the last time.
static void take_notes(struct link_shard *s, struct link__notes *to)
{
	struct link__notes fresh;
	link__notes_init(&fresh);
	link__notes_release(to);
	spinlock_lock(&s->lock);
	*to = s->notes;
	s->notes = fresh;
	link__notes_moved(&s->notes);
	spinlock_unlock(&s->lock);
	link__notes_moved(to);
}

static unsigned n_shards(const struct link_move *m)
{
	return m->n_links * m->link->n_shards;
}

static struct link_shard *shard(const struct link_move *m, unsigned i)
{
	return &m->links[i / m->link->n_shards]->shards[i % m->link->n_shards];
}

// The keys that were noted since the last time, in one list: one that several wrote is in it more than once.
static void begin_round(struct link_move *m)
{
	uint32_t n = 0, k = 0;
	for (unsigned i = 0; i < n_shards(m); i++) {
		take_notes(shard(m, i), &m->taken[i]);
		n += m->taken[i].list.len;
		if (m->taken[i].is_full)
			fail(m, ERR_LIMIT, "copy", "more keys change than can be kept account of");
	}
	arena_clear(&m->keys);
	struct link_key *list = ARENA_ARRAY(&m->keys, struct link_key, (size_t)n + 1);
	if (!list) {
		err_nomem(&m->err);
		return;
	}
	for (unsigned i = 0; i < n_shards(m); i++)
		for (uint32_t j = 0; j < m->taken[i].list.len; j++)
			list[k++] = m->taken[i].list.ptr[j];
	m->facts.noted = n;
	m->round_ns = loop_now_fresh_ns(m->loop);
	begin_pass(m, LINK__COPY, m->source, m->target, list, n, false);
}

static void on_pause_over(struct loop_timer *t)
{
	struct link_move *m = CONTAINER_OF(t, struct link_move, pause);
	char text[120];
	uint64_t in_flight = 0;
	for (unsigned i = 0; i < m->n_links; i++) {
		struct link_facts f;
		link_tell(m->links[i], &f);
		in_flight += f.in_flight;
	}
	if (m->phase == P_HOLD)
		snprintf(text, sizeof text, "%llu calls were still in flight after the longest pause", (unsigned long long)in_flight);
	else
		snprintf(text, sizeof text, "%llu keys were not copied within the longest pause", (unsigned long long)m->facts.noted);
	if (m->phase == P_HOLD || m->phase == P_LAST)
		fail(m, ERR_ENV, "hold", text);
	loop_post(m->loop, &m->turn);
}

static void begin(struct link_move *m)
{
	struct slice key = LINK__MARKER_KEY, none = slice_of("", 0);
	struct slice nonce = slice_of(m->nonce_key, strlen(m->nonce_key));
	switch (m->phase) {
	case P_CHECK:
		ask(m, m->target, LINK_CHECK, none, none);
		break;
	case P_TARGET_MARKER:
		ask(m, m->target, LINK_GET, key, none);
		break;
	case P_SOURCE_MARKER:
		ask(m, m->source, LINK_GET, key, none);
		break;
	case P_NONCE_WRITE:
		ask(m, m->probed, LINK_SET, nonce, slice_of(m->nonce, sizeof m->nonce));
		break;
	case P_NONCE_READ:
		ask(m, m->others[m->at_other].store, LINK_GET, nonce, none);
		break;
	case P_NONCE_DROP:
		ask(m, m->probed, LINK_DELETE, nonce, none);
		break;
	case P_COUNT:
		begin_pass(m, LINK__COUNT, m->target, m->target, NULL, 0, true);
		break;
	case P_COUNT_SOURCE:
		begin_pass(m, LINK__COUNT, m->source, m->source, NULL, 0, true);
		break;
	case P_COMPARE:
		begin_pass(m, LINK__COMPARE, m->source, m->target, NULL, 0, true);
		break;
	case P_MARK_SOURCE:
	case P_REVIVE:
		ask(m, m->source, LINK_SET, key, print_marker(m, LINK__LIVE, m->link->epoch));
		break;
	case P_MARK_TARGET:
		ask(m, m->target, LINK_SET, key, print_marker(m, LINK__INCOMPLETE, m->link->epoch));
		break;
	case P_WIPE:
		begin_pass(m, LINK__WIPE, m->target, m->target, NULL, 0, true);
		break;
	case P_NOTE:
		wish(m, true, false, m->source);
		break;
	case P_COPY:
		begin_pass(m, LINK__COPY, m->source, m->target, NULL, 0, true);
		break;
	case P_ROUND:
	case P_LAST:
		begin_round(m);
		break;
	case P_SUPERSEDE:
		ask(m, m->source, LINK_SET, key, print_marker(m, LINK__SUPERSEDED, m->epoch));
		m->superseded = true;
		break;
	case P_HOLD:
		m->pause.fn = on_pause_over;
		loop_timer_set(m->loop, &m->pause, loop_now_fresh_ns(m->loop) + m->config.max_pause_ns);
		wish(m, m->config.copy, true, m->source);
		break;
	case P_JOURNAL:
		if (m->config.journal)
			m->config.journal(m->config.ctx, m);
		else
			link_move_journalled(m, &(struct err){0});
		break;
	case P_PUBLISH:
		wish(m, false, true, m->target);
		break;
	case P_RELEASE:
		wish(m, false, false, m->target);
		break;
	case P_MARK_LIVE:
		ask(m, m->target, LINK_SET, key, print_marker(m, LINK__LIVE, m->link->epoch));
		break;
	case P_BACK:
		wish(m, false, false, m->source);
		break;
	case P_OVER:
	case P_FAILED:
		break;
	}
}

// ---- what each phase found ----------------------------------------------------------------------------------------------------------------------

static enum phase checked(struct link_move *m)
{
	uint32_t missing = 0;
	for (unsigned i = 0; i < m->n_links; i++)
		missing |= m->links[i]->needs & ~m->op.ret_caps;
	if (m->op.code != LINK_OK) {
		err_set(&m->err, ERR_ENV, "check: %.*s: %s", SLICE_ARGS(m->target->target.text), m->op.ret_text);
		err_hint(&m->err, "the target must answer before anything is moved: is it there, at this address and with this password? Nothing was changed");
		return P_BACK;
	}
	if (missing) {
		fail(m, ERR_ENV, "check", "the target lacks what components need of this link");
		return P_BACK;
	}
	return P_TARGET_MARKER;
}

static enum phase read_target_marker(struct link_move *m)
{
	struct link__marker x;
	m->has_marker = link__marker_parse(slice_of(m->text, m->text_len), &x);
	if (m->has_marker)
		m->mine = x;  // looked at when the source's is known
	return was_ok(m, "probe") ? P_SOURCE_MARKER : P_BACK;
}

// The store in force can't be asked. What takes nothing along leaves it all the same: whoever lost a store must be able to go elsewhere.
static enum phase source_is_gone(struct link_move *m)
{
	char text[200];
	if (!m->config.copy && !m->discard) {
		m->facts.source_is_gone = true;
		sys_random(m->mine.id, sizeof m->mine.id);
		return P_COUNT;  // that both are one can't be seen, nor can who else has changed it
	}
	snprintf(text, sizeof text, "the store in force: %s", m->op.ret_text);
	fail(m, ERR_ENV, "probe", text);
	err_hint(&m->err, "without --copy it is left as it is");
	return P_BACK;
}

static enum phase probe(struct link_move *m, struct link_store *s)
{
	link__others_free(m->others, m->n_others);
	m->others = NULL;
	m->n_others = m->at_other = 0;
	m->probed = s;
	if (!link__others(m->link, s, s == m->target ? m->source : NULL, &m->others, &m->n_others)) {
		err_nomem(&m->err);
		return P_BACK;
	}
	return m->n_others ? P_NONCE_WRITE : P_COUNT;
}

static enum phase read_source_marker(struct link_move *m)
{
	struct link__marker theirs = m->mine, x;
	struct link_host *h = m->link->host;
	bool there = link__marker_parse(slice_of(m->text, m->text_len), &x);
	if (m->op.code != LINK_OK)
		return source_is_gone(m);
	if (there && x.process != h->process && x.at_ms > h->began_ms) {
		fail(m, ERR_ENV, "probe", "another process has changed this store since this one was started");
		return P_BACK;
	}
	if (there)
		m->mine = x;
	else
		sys_random(m->mine.id, sizeof m->mine.id);
	m->target_is_old = m->has_marker && theirs.state != LINK__LIVE && theirs.id[0] == m->mine.id[0] && theirs.id[1] == m->mine.id[1];
	sys_random(m->nonce, sizeof m->nonce);
	snprintf(m->nonce_key, sizeof m->nonce_key, "nonce-%016llx%016llx", (unsigned long long)m->nonce[0], (unsigned long long)m->nonce[1]);
	return probe(m, m->target);
}

// By the number that was written: two addresses may lead to one store.
static void look_at_other(struct link_move *m)
{
	const struct link__other *o = &m->others[m->at_other];
	bool of_target = m->probed == m->target, counts = m->config.copy || (!of_target && !o->is_of_app);
	char text[200];
	if (o->store == m->source && was_ok(m, "probe") && m->op.found) {
		fail(m, ERR_ENV, "probe", "the target is the store that is in force");
	} else if (o->store != m->source && m->op.code == LINK_OK && m->op.found && counts) {
		snprintf(text, sizeof text, "the %s is used by %s as well, by another address", of_target ? "target" : "store", o->name);
		fail(m, ERR_ENV, "probe", text);
		err_hint(&m->err, "where links have one address for it, those of an app move together");
	}
}

static enum phase read_nonce(struct link_move *m)
{
	look_at_other(m);
	return m->err.code == ERR_NONE && ++m->at_other < m->n_others ? P_NONCE_READ : P_NONCE_DROP;  // that also when it failed
}

static enum phase wrote_nonce(struct link_move *m)
{
	if (m->probed == m->source && m->op.code != LINK_OK)
		return P_COUNT;  // it may be left all the same
	return was_ok(m, "probe") ? P_NONCE_READ : P_BACK;
}

static enum phase dropped_nonce(struct link_move *m)
{
	bool ok = m->err.code == ERR_NONE && (m->probed == m->source || was_ok(m, "probe"));
	return !ok ? P_BACK : m->probed == m->target ? probe(m, m->source)
												 : P_COUNT;
}

static enum phase counted(struct link_move *m)
{
	m->facts.target_keys = m->pass.n_done;
	if (m->config.copy && m->pass.n_done && !m->target_is_old && !m->config.replace) {
		char text[100];
		snprintf(text, sizeof text, "the target holds %llu keys", (unsigned long long)m->pass.n_done);
		fail(m, ERR_ENV, "probe", text);
		err_hint(&m->err, "--replace deletes them");
		return P_BACK;
	}
	if (m->config.dry_run)
		return m->facts.source_is_gone ? P_OVER : P_COUNT_SOURCE;
	return m->discard ? P_COMPARE : m->config.copy ? P_MARK_SOURCE
												   : P_JOURNAL;
}

static enum phase rounded(struct link_move *m)
{
	uint64_t now = loop_now_fresh_ns(m->loop), noted = 0;
	m->facts.rounds++;
	if (m->facts.noted)
		m->key_ns = max_u64((now - m->round_ns) / m->facts.noted, 1000);
	for (unsigned i = 0; i < n_shards(m); i++) {
		struct link_shard *s = shard(m, i);
		spinlock_lock(&s->lock);
		noted += s->notes.list.len;
		spinlock_unlock(&s->lock);
	}
	if (sat_mul_u64(noted, m->key_ns) < m->config.max_pause_ns / 2)
		return P_SUPERSEDE;
	if (m->facts.rounds < ROUNDS_MAX)
		return P_ROUND;
	fail(m, ERR_ENV, "rounds", "the keys that change are more than can be copied within the longest pause");
	return P_BACK;
}

// Too late to go back from here on.
static enum phase may_publish(struct link_move *m)
{
	loop_timer_cancel(m->loop, &m->pause);
	if (m->is_cancelled || (m->config.publish && !m->config.publish(m->config.ctx))) {
		err_set(&m->err, ERR_ENV, "cancelled");
		return P_BACK;
	}
	return P_PUBLISH;
}

static void publish(struct link_move *m)
{
	m->facts.epoch = m->epoch;
	for (unsigned i = 0; i < m->n_links; i++) {
		struct link *l = m->links[i];
		l->store = m->target;
		l->epoch = m->epoch;
		l->pool = m->config.pool ? m->config.pool : l->pool;
		link__store_ref(l->store);
		link__set_past(l, (struct link__past){.store = m->source, .was_copy = m->config.copy});  // the link's reference of before
		link__shadow_end(l);
	}
	link__store_pool(m->target);
	link__store_pool(m->source);
	m->source = NULL;
}

static void measure_pause(struct link_move *m)
{
	for (unsigned i = 0; i < n_shards(m); i++)
		m->facts.pause_ns = max_u64(m->facts.pause_ns, __atomic_load_n(&shard(m, i)->pause_ns, __ATOMIC_RELAXED));
}

// The store in force says of itself what is not so any more: whoever could take it for a target later is to know. Nothing else comes of it.
static enum phase marked(struct link_move *m, const char *still, enum phase then)
{
	if (m->op.code != LINK_OK)
		snprintf(m->facts.unmarked, sizeof m->facts.unmarked, "the marker of the store in force still says \"%s\": %.120s", still, m->op.ret_text);
	return then;
}

static enum phase next(struct link_move *m)
{
	switch (m->phase) {
	case P_CHECK:
		return checked(m);
	case P_TARGET_MARKER:
		return read_target_marker(m);
	case P_SOURCE_MARKER:
		return read_source_marker(m);
	case P_NONCE_WRITE:
		return wrote_nonce(m);
	case P_NONCE_READ:
		return read_nonce(m);
	case P_NONCE_DROP:
		return dropped_nonce(m);
	case P_COUNT:
		return counted(m);
	case P_COUNT_SOURCE:
		m->facts.source_keys = m->pass.n_done;
		return P_OVER;
	case P_COMPARE:
		m->facts.discarded = m->pass.n_different;
		return P_JOURNAL;
	case P_MARK_SOURCE:
		return was_ok(m, "note") ? P_MARK_TARGET : P_BACK;
	case P_MARK_TARGET:
		return !was_ok(m, "note") ? P_BACK : m->facts.target_keys ? P_WIPE
																  : P_NOTE;
	case P_WIPE:
		return P_NOTE;
	case P_NOTE:
		return P_COPY;
	case P_COPY:
		m->facts.keys = m->pass.n_done;
		return P_ROUND;
	case P_ROUND:
		return rounded(m);
	case P_SUPERSEDE:
		return was_ok(m, "rounds") ? P_HOLD : P_BACK;
	case P_JOURNAL:
		return m->config.copy ? may_publish(m) : P_HOLD;
	case P_HOLD:
		return m->config.copy ? P_LAST : may_publish(m);
	case P_LAST:
		return P_JOURNAL;
	case P_PUBLISH:
		publish(m);
		return P_RELEASE;
	case P_RELEASE:
		measure_pause(m);
		return m->config.copy ? P_MARK_LIVE : P_OVER;
	case P_BACK:
		return m->superseded ? P_REVIVE : P_FAILED;
	case P_REVIVE:
		return marked(m, "superseded", P_FAILED);
	case P_MARK_LIVE:
		return marked(m, "incomplete", P_OVER);
	default:
		return P_OVER;
	}
}

// ---- the whole ----------------------------------------------------------------------------------------------------------------------------------

static enum link_step step_of(enum phase p)
{
	static const enum link_step steps[] = {
		[P_CHECK] = LINK_STEP_CHECK,
		[P_TARGET_MARKER] = LINK_STEP_PROBE,
		[P_SOURCE_MARKER] = LINK_STEP_PROBE,
		[P_NONCE_WRITE] = LINK_STEP_PROBE,
		[P_NONCE_READ] = LINK_STEP_PROBE,
		[P_NONCE_DROP] = LINK_STEP_PROBE,
		[P_COUNT] = LINK_STEP_PROBE,
		[P_COUNT_SOURCE] = LINK_STEP_PROBE,
		[P_COMPARE] = LINK_STEP_PROBE,
		[P_MARK_SOURCE] = LINK_STEP_NOTE,
		[P_MARK_TARGET] = LINK_STEP_NOTE,
		[P_WIPE] = LINK_STEP_NOTE,
		[P_NOTE] = LINK_STEP_NOTE,
		[P_COPY] = LINK_STEP_COPY,
		[P_ROUND] = LINK_STEP_ROUNDS,
		[P_SUPERSEDE] = LINK_STEP_ROUNDS,
		[P_HOLD] = LINK_STEP_HOLD,
		[P_LAST] = LINK_STEP_HOLD,
		[P_JOURNAL] = LINK_STEP_HOLD,
		[P_PUBLISH] = LINK_STEP_PUBLISH,
		[P_RELEASE] = LINK_STEP_RELEASE,
		[P_MARK_LIVE] = LINK_STEP_DRAIN,
	};
	return steps[p];
}

static void enter(struct link_move *m, enum phase p)
{
	m->phase = p;
	m->passes = false;
	if (p < P_OVER && (!m->was_told || step_of(p) != m->facts.step)) {
		m->was_told = true;
		m->facts.step = step_of(p);
		if (m->config.on_step)
			m->config.on_step(m->config.ctx, &m->facts);
	}
	begin(m);
}

static bool is_wish(enum phase p)
{
	return p == P_NOTE || p == P_HOLD || p == P_PUBLISH || p == P_RELEASE || p == P_BACK;
}

// What it began has ended.
static bool has_ended(struct link_move *m)
{
	if (m->passes) {
		bool is_over = link__pass_go(&m->pass);
		if (is_over && m->pass.err.code != ERR_NONE)
			err_set(&m->err, m->pass.err.code, "%s: %s", link_step_words[m->facts.step], m->pass.err.text);
		m->passes = !is_over;
		return is_over;
	}
	if (m->phase == P_JOURNAL)
		return m->journalled;
	return is_wish(m->phase) ? wish_is_there(m) : !m->op_is_out;
}

// Stops what is under way, where that may be stopped. true: it goes back.
static bool must_go_back(struct link_move *m)
{
	bool may = m->phase < P_PUBLISH && m->phase != P_JOURNAL;  // what is being written is waited for
	if (may && m->is_cancelled)
		err_set(&m->err, ERR_ENV, "cancelled");
	if (may && m->limit_ns && loop_now_fresh_ns(m->loop) >= m->limit_ns)
		err_set(&m->err, ERR_ENV, "the time for this change is up: --limit");
	if (!may || m->err.code == ERR_NONE || m->phase == P_NONCE_READ || m->phase == P_NONCE_DROP)
		return false;
	if (m->passes)
		link__pass_stop(&m->pass);
	if (m->op_is_out)
		link__cancel(&m->op);
	m->passes = m->op_is_out = false;
	return true;
}

// As if there had been no move; another one of them may begin from here on.
static void let_links_go(struct link_move *m)
{
	for (unsigned i = 0; i < m->n_links; i++) {
		m->links[i]->changed = NULL;
		m->links[i]->move = NULL;
	}
	for (unsigned i = 0; i < n_shards(m); i++) {
		struct link_shard *s = shard(m, i);
		link__notes_release(&m->taken[i]);
		spinlock_lock(&s->lock);
		link__notes_release(&s->notes);
		link__notes_init(&s->notes);
		spinlock_unlock(&s->lock);
	}
}

static void free_move(struct link_move *m)
{
	link__others_free(m->others, m->n_others);
	struct arena arena = m->arena;  // where the list of links lies
	link__store_unref(m->target);
	arena_release(&m->keys);
	for (unsigned i = 0; i < m->n_links; i++)
		link__unref(m->links[i]);
	mem_free(m);
	arena_release(&arena);
}

static void finish(struct link_move *m)
{
	loop_timer_cancel(m->loop, &m->pause);
	loop_timer_cancel(m->loop, &m->limit);
	loop_job_cancel(&m->turn);
	let_links_go(m);
	m->config.done(m->config.ctx, &m->facts, &m->err);
	free_move(m);
}

static void go(struct link_move *m)
{
	for (;;) {
		if (must_go_back(m))
			enter(m, P_BACK);
		if (!has_ended(m))
			return;
		enter(m, m->err.code != ERR_NONE && m->phase < P_PUBLISH && m->phase != P_NONCE_READ && m->phase != P_NONCE_DROP ? P_BACK : next(m));
		if (m->phase == P_OVER || m->phase == P_FAILED) {
			finish(m);
			return;
		}
	}
}

static void on_turn(struct loop_job *j)
{
	go(CONTAINER_OF(j, struct link_move, turn));
}

// Whatever is waited for.
static void on_limit(struct loop_timer *t)
{
	go(CONTAINER_OF(t, struct link_move, limit));
}

static void on_changed(struct link *l)
{
	go(l->move);
}

// ---- begun, and ended -----------------------------------------------------------------------------------------------------------------------------

// Fills in who moves.
static bool find_links(struct link_move *m, struct err *e)
{
	struct link *l = m->link;
	unsigned n = 1;
	for (const struct link *x = l->host->first_link; x; x = x->next_link)
		n += link__moves_along(x, l, &m->config);
	m->links = ARENA_ARRAY(&m->arena, struct link *, n);
	m->taken = ARENA_ARRAY(&m->arena, struct link__notes, (size_t)n * l->n_shards);
	if (!m->links || !m->taken)
		return err_nomem(e);
	m->links[m->n_links++] = l;
	for (struct link *x = l->host->first_link; x; x = x->next_link)
		if (link__moves_along(x, l, &m->config))
			m->links[m->n_links++] = x;
	for (unsigned i = 0; i < m->n_links; i++) {
		if (m->links[i]->move)
			return err_set(e, ERR_ENV, "a change of this link is under way");
		m->epoch = max_u64(m->epoch, m->links[i]->epoch + 1);
	}
	for (unsigned i = 0; i < n_shards(m); i++)
		link__notes_init(&m->taken[i]);
	return true;
}

// It is `m`'s from here on.
static void take_links(struct link_move *m)
{
	for (unsigned i = 0; i < m->n_links; i++) {
		link__ref(m->links[i]);
		m->links[i]->move = m;
		m->links[i]->changed = on_changed;
	}
}

static bool may_start(struct link_move *m, struct err *e)
{
	if (m->target == m->source)
		return err_set(e, ERR_ENV, "the target is the store that is in force");
	return find_links(m, e) && link__nobody_else(m->link, &m->config, m->target, e);
}

static bool start(struct link *l, const struct link_move_config *c, struct link_store *target, struct link_move **ret, struct err *e)
{
	struct link_move *m = mem_zalloc(sizeof *m);
	if (!m)
		return err_nomem(e);
	m->link = l;
	m->config = *c;
	m->config.max_pause_ns = c->max_pause_ns ? c->max_pause_ns : PAUSE_NS;
	m->loop = l->host->loops[0];
	m->turn.fn = on_turn;
	m->source = l->store;
	m->target = target;
	m->discard = c->discard && !c->copy;
	m->facts.epoch = l->epoch;
	m->key_ns = 2 * MILLISECOND;
	arena_init(&m->arena, 0);
	arena_init(&m->keys, 0);
	if (!may_start(m, e)) {
		arena_release(&m->arena);
		mem_free(m);
		return false;
	}
	m->limit_ns = sat_add_u64(loop_now_fresh_ns(m->loop), c->limit_ns ? c->limit_ns : LIMIT_NS);
	m->limit.fn = on_limit;
	loop_timer_set(m->loop, &m->limit, m->limit_ns);
	take_links(m);
	*ret = m;
	return true;
}

// Tells that it was opened, and goes on from the loop: not before whoever starts it knows of it.
static void set_out(struct link_move *m)
{
	m->was_told = true;
	m->facts.step = LINK_STEP_OPEN;
	if (m->config.on_step)
		m->config.on_step(m->config.ctx, &m->facts);
	enter(m, P_CHECK);
}

bool link_move_start(struct link *l, const struct link_move_config *c, struct link_move **ret, struct err *e)
{
	struct link__space space = l->space;
	struct link_store *target;
	if (c->target->kind != LINK_TARGET_STORE)
		return err_set(e, ERR_USAGE, "'%.*s' is no store", SLICE_ARGS(c->target->text));
	if (!link__store_open(l->host, c->target, &space, c->pool ? c->pool : l->pool, &target, e))
		return false;
	if (!start(l, c, target, ret, e)) {
		link__store_unref(target);
		return false;
	}
	set_out(*ret);
	return true;
}

bool link_undo_start(struct link *l, const struct link_move_config *c, bool discard, struct link_move **ret, struct err *e)
{
	struct link_move_config config = *c;
	if (!l->past.store)
		return err_set(e, ERR_ENV, "there is no change of this link to undo");
	config.copy = l->past.was_copy && !discard;
	config.replace = false;
	config.pool = 0;
	link__store_ref(l->past.store);
	if (!start(l, &config, l->past.store, ret, e)) {
		link__store_unref(l->past.store);
		return false;
	}
	(*ret)->is_undo = true;
	(*ret)->discard = discard && l->past.was_copy;
	set_out(*ret);
	return true;
}

void link_move_journalled(struct link_move *m, const struct err *e)
{
	m->journalled = true;
	if (e->code != ERR_NONE)
		m->err = *e;
	loop_post(m->loop, &m->turn);
}

bool link_move_cancel(struct link_move *m)
{
	if (m->phase >= P_PUBLISH)
		return false;
	m->is_cancelled = true;
	loop_post(m->loop, &m->turn);
	return true;
}
