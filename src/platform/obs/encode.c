// OTLP as protobuf (opentelemetry/proto/{common,resource,trace,collector/trace}/v1): what is written is these messages and fields alone. A message's length stands
// before it: each is made in a buffer of its own first.
#include "obs_int.h"
#include "sys/sys.h"

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };  // wire types

static void put_varint(struct buf *b, uint64_t n)
{
	for (; n >= 0x80; n >>= 7)
		buf_put_byte(b, (uint8_t)(n | 0x80));
	buf_put_byte(b, (uint8_t)n);
}

static void put_number(struct buf *b, unsigned field, uint64_t n)
{
	put_varint(b, field << 3 | VARINT);
	put_varint(b, n);
}

static void put_fixed(struct buf *b, unsigned field, uint64_t n, unsigned bytes)
{
	put_varint(b, field << 3 | (bytes == 8 ? FIXED64 : FIXED32));
	for (unsigned i = 0; i < bytes; i++)
		buf_put_byte(b, (uint8_t)(n >> 8 * i));
}

static void put_bytes(struct buf *b, unsigned field, struct slice s)
{
	put_varint(b, field << 3 | BYTES);
	put_varint(b, s.len);
	buf_put_slice(b, s);
}

static void put_text(struct buf *b, unsigned field, struct slice s)
{
	if (s.len)
		put_bytes(b, field, s);
}

// The message is in `b` and cleared.
static void put_message(struct buf *to, unsigned field, struct buf *b)
{
	put_bytes(to, field, buf_view(b));
	to->failed |= b->failed;
	buf_clear(b);
}

struct buffers {
	struct buf value, pair, span, scope, resource, spans;  // each made of those before it
};

// KeyValue: key = 1, value = 2; AnyValue: string_value = 1, int_value = 3.
static void put_pair(struct buffers *w, struct buf *to, unsigned field, const char *key, struct slice text, uint64_t number, bool is_number)
{
	if (is_number)
		put_number(&w->value, 3, number);
	else
		put_bytes(&w->value, 1, text);
	put_text(&w->pair, 1, slice_str(key));
	put_message(&w->pair, 2, &w->value);
	put_message(to, field, &w->pair);
}

static struct slice text_of(const struct obs_span *s, struct obs_text t)
{
	return slice_of(s->text + t.at, t.len);
}

static void put_id(struct buf *b, unsigned field, uint64_t id)
{
	uint8_t bytes[8];
	for (unsigned i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(id >> (56 - 8 * i));
	put_bytes(b, field, slice_of(bytes, 8));
}

enum { STATUS_ERROR = 2, FLAG_SAMPLED = 1 };

// Span: trace_id = 1, span_id = 2, trace_state = 3, parent_span_id = 4, name = 5, kind = 6, start and end = 7 and 8, attributes = 9, status = 15, flags = 16;
// Status: code = 3.
static void put_span(struct buffers *w, const struct obs_span *s)
{
	struct buf *b = &w->span;
	put_bytes(b, 1, slice_of(s->self.trace, sizeof s->self.trace));
	put_id(b, 2, s->self.span);
	put_text(b, 3, text_of(s, s->state));
	if (s->parent)
		put_id(b, 4, s->parent);
	put_text(b, 5, text_of(s, s->name));
	put_number(b, 6, s->kind);
	put_fixed(b, 7, s->start_ns, 8);
	put_fixed(b, 8, s->end_ns, 8);
	for (unsigned i = 0; i < s->n_facts; i++)
		put_pair(w, b, 9, s->facts[i].name, text_of(s, s->facts[i].text), s->facts[i].number, s->facts[i].is_number);
	if (s->is_error) {
		put_number(&w->value, 3, STATUS_ERROR);
		put_message(b, 15, &w->value);
	}
	put_fixed(b, 16, FLAG_SAMPLED, 4);
	put_message(&w->scope, 2, b);
}

// ResourceSpans: resource = 1, scope_spans = 2; Resource: attributes = 1; ScopeSpans: scope = 1, spans = 2; InstrumentationScope: name = 1, version = 2.
static void put_service(struct buffers *w, struct slice service, const char *version, struct buf *to)
{
	put_pair(w, &w->resource, 1, "service.name", service, 0, false);
	put_pair(w, &w->resource, 1, "service.namespace", SLICE_LIT("default"), 0, false);
	put_pair(w, &w->resource, 1, "process.pid", slice_of("", 0), (uint64_t)sys_process_id(), true);
	put_message(&w->spans, 1, &w->resource);
	put_message(&w->spans, 2, &w->scope);
	put_message(to, 1, &w->spans);
	put_text(&w->value, 1, SLICE_LIT("tenon"));
	put_text(&w->value, 2, slice_str(version));
	put_message(&w->scope, 1, &w->value);  // of the next one
}

void obs__encode(const struct obs_span *const *list, uint32_t n, const char *version, struct buf *b)
{
	struct buffers w = {0};
	put_text(&w.value, 1, SLICE_LIT("tenon"));
	put_text(&w.value, 2, slice_str(version));
	put_message(&w.scope, 1, &w.value);
	for (uint32_t i = 0; i < n; i++) {
		struct slice service = text_of(list[i], list[i]->service);
		bool is_new = true;
		for (uint32_t k = 0; is_new && k < i; k++)
			is_new = !slice_eq(text_of(list[k], list[k]->service), service);
		for (uint32_t k = i; is_new && k < n; k++)
			if (slice_eq(text_of(list[k], list[k]->service), service))
				put_span(&w, list[k]);
		if (is_new)
			put_service(&w, service, version, b);
	}
	struct buf *all[] = {&w.value, &w.pair, &w.span, &w.scope, &w.resource, &w.spans};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		buf_release(all[i]);
}
