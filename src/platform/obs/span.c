// Spans, as who sends them fills them in.
#include "obs.h"
#include "sys/sys.h"

// Texts are UTF-8 in what is sent: other bytes are question marks.
static struct obs_text put(struct obs_span *s, struct slice text)
{
	struct obs_text t = {s->len, (uint16_t)min_u64(text.len, (uint64_t)(OBS_TEXT_MAX - s->len))};
	while (t.len && t.len < text.len && (text.ptr[t.len] & 0xc0) == 0x80)
		t.len--;
	char *to = s->text + t.at;
	if (t.len)
		memcpy(to, text.ptr, t.len);
	for (uint16_t i = 0, is_text = utf8_is_valid(slice_of(to, t.len)); !is_text && i < t.len; i++)
		to[i] = (uint8_t)to[i] < 0x80 ? to[i] : '?';
	s->len = (uint16_t)(s->len + t.len);
	return t;
}

void obs_span_init(struct obs_span *s, const struct obs_context *self, uint64_t parent, enum obs_kind kind, struct slice service, struct slice name, uint64_t took_ns)
{
	uint64_t now = sys_wall_ns();
	s->self = *self;
	s->parent = parent;
	s->start_ns = now - min_u64(took_ns, now);
	s->end_ns = now;
	s->kind = kind;
	s->is_error = false;
	s->n_facts = s->len = 0;
	s->state = (struct obs_text){0};
	s->service = put(s, service);
	s->name = put(s, name);
}

void obs_span_state(struct obs_span *s, struct slice state)
{
	s->state = put(s, state);
}

void obs_span_text(struct obs_span *s, const char *name, struct slice text)
{
	if (s->n_facts < OBS_FACTS_MAX && text.len)
		s->facts[s->n_facts++] = (struct obs_fact){.name = name, .text = put(s, text)};
}

void obs_span_number(struct obs_span *s, const char *name, uint64_t n)
{
	if (s->n_facts < OBS_FACTS_MAX)
		s->facts[s->n_facts++] = (struct obs_fact){.name = name, .is_number = true, .number = n};
}
