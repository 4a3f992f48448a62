// Room obs: spans of traces, sent to a collector by OTLP/HTTP (opentelemetry.io/docs/specs/otlp, protobuf), and W3C Trace Context (www.w3.org/TR/trace-context).
//
// Invariants:
//  1. Who sends a span never waits: it is copied into a ring of his thread's own; where that is full it is lost, and counted.
//  2. One thread takes them out, makes requests of them, and sends one at a time, by a client and a loop of its own.
#ifndef TENON_OBS_H
#define TENON_OBS_H

#include "base/base.h"

struct loop_pool;

// ---- W3C Trace Context ----------------------------------------------------------------------------------------------------------------------
struct obs_context {
	uint8_t trace[16];  // not all zero
	uint64_t span;      // not 0
	bool sampled;
};
// A field traceparent. false: it is none, or of a version that nobody may know (ff).
bool obs_context_parse(struct slice text, struct obs_context *ret);
enum { OBS_PARENT_LEN = 55 };
// As version 00, without a zero at its end.
void obs_context_print(const struct obs_context *c, char ret[OBS_PARENT_LEN]);

// ---- spans --------------------------------------------------------------------------------------------------------------------------------------
enum obs_kind { OBS_INTERNAL = 1, OBS_SERVER = 2, OBS_CLIENT = 3 };  // as OTLP numbers them
enum { OBS_FACTS_MAX = 14, OBS_TEXT_MAX = 1024 };
struct obs_text {
	uint16_t at, len;  // in obs_span.text
};
struct obs_fact {
	const char *name;  // static
	bool is_number;
	struct obs_text text;
	uint64_t number;
};
// Filled by the functions below; texts that find no room, and facts, are cut or left out.
struct obs_span {
	struct obs_context self;
	uint64_t parent;            // 0: it is a trace's first
	uint64_t start_ns, end_ns;  // since 1970
	enum obs_kind kind;
	bool is_error;
	struct obs_text service, name, state;
	uint16_t n_facts, len;
	struct obs_fact facts[OBS_FACTS_MAX];
	char text[OBS_TEXT_MAX];  // last: as much of it is copied as there is
};
// `service`: whose it is. `took_ns` before now.
void obs_span_init(struct obs_span *s, const struct obs_context *self, uint64_t parent, enum obs_kind kind, struct slice service, struct slice name, uint64_t took_ns);
void obs_span_state(struct obs_span *s, struct slice state);  // W3C tracestate
void obs_span_text(struct obs_span *s, const char *name, struct slice text);
void obs_span_number(struct obs_span *s, const char *name, uint64_t n);

// ---- sent -----------------------------------------------------------------------------------------------------------------------------------------
struct obs;
struct obs_config {
	const char *url;          // obs_check_url
	const char *version;      // of this program
	struct loop_pool *names;  // that looks names up; outlives it
	unsigned threads;         // that send spans
	void (*warn)(void *ctx, const char *text);  // from its own thread, not often
	void *ctx;
};
// "http://HOST[:PORT][/PATH]", also https; without a path /v1/traces is meant. ERR_USAGE.
NODISCARD bool obs_check_url(const char *url, struct err *e);
// Strings are borrowed until it is closed. Whether anybody is there is not asked.
NODISCARD bool obs_open(const struct obs_config *c, struct obs **ret, struct err *e);
// On the thread of that number, or in its place once it is over.
void obs_send(struct obs *o, unsigned thread, const struct obs_span *s);
// Spans so far that a collector took, that found no room, that no collector took. Any thread.
struct obs_counts {
	uint64_t sent, lost, failed;
};
struct obs_counts obs_counts(const struct obs *o);
// What is there is sent first, for at most so long. NULL does nothing.
void obs_close(struct obs *o, uint64_t at_most_ns);

#endif
