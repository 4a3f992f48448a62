// What a store says of itself: "tenon-store 1 ID STATE EPOCH PROCESS AT".
#include "move.h"

static const char *const states[] = {"live", "incomplete", "superseded"};

size_t link__marker_print(const struct link__marker *m, char ret[LINK__MARKER_MAX])
{
	int n = snprintf(ret, LINK__MARKER_MAX, "tenon-store 1 %llu %llu %s %llu %llu %llu", (unsigned long long)m->id[0], (unsigned long long)m->id[1], states[m->state],
		(unsigned long long)m->epoch, (unsigned long long)m->process, (unsigned long long)m->at_ms);
	return (size_t)n;
}

static struct slice take_word(struct slice *rest)
{
	struct slice word = slice_sub(*rest, 0, slice_find(*rest, ' '));
	*rest = slice_sub(*rest, word.len + 1, SIZE_MAX);
	return word;
}

static bool take_number(struct slice *rest, uint64_t *ret)
{
	return slice_parse_u64(take_word(rest), UINT64_MAX, ret);
}

bool link__marker_parse(struct slice text, struct link__marker *ret)
{
	*ret = (struct link__marker){0};
	if (!slice_eq_str(take_word(&text), "tenon-store") || !slice_eq_str(take_word(&text), "1") || !take_number(&text, &ret->id[0]) || !take_number(&text, &ret->id[1]))
		return false;
	struct slice state = take_word(&text);
	unsigned i = 0;
	while (i < ARRAY_LEN(states) && !slice_eq_str(state, states[i]))
		i++;
	ret->state = (enum link__state)i;
	return i < ARRAY_LEN(states) && take_number(&text, &ret->epoch) && take_number(&text, &ret->process) && take_number(&text, &ret->at_ms) && !text.len;
}
