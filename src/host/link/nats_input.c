// Messages of a NATS server from its bytes (nats.h).
#include "nats.h"

void nats__input_release(struct nats_input *n)
{
	buf_release(&n->in);
}

bool nats__input_put(struct nats_input *n, struct slice bytes)
{
	enum { KEPT = 65536 };
	if (n->at) {
		memmove(n->in.ptr, n->in.ptr + n->at, n->in.len - n->at);
		n->in.len -= n->at;
		n->looked -= n->at;
		n->at = 0;
	}
	if (n->in.len == 0 && n->in.cap > KEPT)
		buf_release(&n->in);
	if (buf_put_slice(&n->in, bytes))
		return true;
	n->why = "memory is out";
	return false;
}

static bool bad(struct nats_input *n, const char *why)
{
	n->why = why;
	return false;
}

// Takes the first word off the front of a line; empty: there is none.
static struct slice take_word(struct slice *line)
{
	size_t from = 0, end;
	while (from < line->len && (line->ptr[from] == ' ' || line->ptr[from] == '\t'))
		from++;
	for (end = from; end < line->len && line->ptr[end] != ' ' && line->ptr[end] != '\t'; end++)
		;
	struct slice word = slice_sub(*line, from, end - from);
	*line = slice_sub(*line, end, SIZE_MAX);
	return word;
}

static bool is_word(struct slice word, const char *upper)
{
	if (word.len != strlen(upper))
		return false;
	for (size_t i = 0; i < word.len; i++)
		if ((word.ptr[i] >= 'a' && word.ptr[i] <= 'z' ? word.ptr[i] - 32 : word.ptr[i]) != upper[i])
			return false;
	return true;
}

// "SUBJECT SID [REPLY] [HEADERS] ALL": the words behind MSG or HMSG. false: they are none.
static bool parse_message(struct slice line, bool has_headers, struct nats_message *ret, uint64_t *ret_headers, uint64_t *ret_all)
{
	struct slice words[6];
	unsigned n = 0, least = has_headers ? 4 : 3;
	do
		words[n] = take_word(&line);
	while (words[n].len && ++n < ARRAY_LEN(words));
	if (n < least || n > least + 1)
		return false;
	ret->subject = words[0];
	ret->reply = n > least ? words[2] : (struct slice){0};
	*ret_headers = 0;
	if (has_headers && !slice_parse_u64(words[n - 2], UINT32_MAX, ret_headers))
		return false;
	return slice_parse_u64(words[1], UINT64_MAX, &ret->sid) && slice_parse_u64(words[n - 1], UINT32_MAX, ret_all) && *ret_headers <= *ret_all;
}

// A line and what belongs to it: takes both if both are there.
static bool take_message(struct nats_input *n, struct slice line, size_t end, bool has_headers, struct nats_message *ret, bool *ret_any)
{
	uint64_t headers, all;
	if (!parse_message(line, has_headers, ret, &headers, &all))
		return bad(n, "a message's line is none");
	if (all > n->max_message)
		return bad(n, "a message is too large");
	if (n->in.len - end < all + 2)
		return true;
	const uint8_t *p = n->in.ptr + end;
	if (p[all] != '\r' || p[all + 1] != '\n')
		return bad(n, "a message does not end where it says");
	ret->headers = slice_of(p, headers);
	ret->payload = slice_of(p + headers, all - headers);
	n->at = n->looked = end + all + 2;
	*ret_any = true;
	return true;
}

bool nats__input_next(struct nats_input *n, struct nats_message *ret, bool *ret_any)
{
	static const struct {
		const char *word;
		enum nats_verb verb;
	} verbs[] = {{"INFO", NATS_INFO}, {"MSG", NATS_MSG}, {"HMSG", NATS_MSG}, {"PING", NATS_PING}, {"PONG", NATS_PONG}, {"+OK", NATS_OK}, {"-ERR", NATS_ERR}};
	*ret_any = false;
	*ret = (struct nats_message){0};
	struct slice rest = slice_sub(buf_view(&n->in), n->looked, SIZE_MAX);
	size_t newline = slice_find(rest, '\n'), end = n->looked + newline + 1;
	if (n->looked + newline - n->at > NATS_LINE_MAX)
		return bad(n, "a line is too long");
	if (newline == rest.len) {
		n->looked = n->in.len;
		return true;
	}
	n->looked = end - 1;  // where its message is not there yet, the newline is found again
	struct slice line = slice_of(n->in.ptr + n->at, end - 1 - n->at);
	if (line.len && line.ptr[line.len - 1] == '\r')
		line.len--;
	struct slice word = take_word(&line);
	size_t i = 0;
	while (i < ARRAY_LEN(verbs) && !is_word(word, verbs[i].word))
		i++;
	if (i == ARRAY_LEN(verbs))
		return bad(n, "these are no messages of NATS");
	ret->verb = verbs[i].verb;
	if (ret->verb == NATS_MSG)
		return take_message(n, line, end, word.len == 4, ret, ret_any);
	while (line.len && line.ptr[0] == ' ')
		line = slice_sub(line, 1, SIZE_MAX);
	ret->text = line;
	n->at = n->looked = end;
	*ret_any = true;
	return true;
}

// ---- headers, subjects -----------------------------------------------------------------------------------------------------------

static struct slice trim(struct slice s)
{
	while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = slice_sub(s, 1, SIZE_MAX);
	while (s.len && strchr(" \t\r", s.ptr[s.len - 1]) && s.ptr[s.len - 1])
		s.len--;
	return s;
}

static struct slice take_line(struct slice *rest)
{
	size_t n = slice_find(*rest, '\n');
	struct slice line = slice_sub(*rest, 0, n);
	*rest = slice_sub(*rest, n + 1, SIZE_MAX);
	return line;
}

unsigned nats__status(struct slice headers)
{
	struct slice line = take_line(&headers);
	uint64_t status;
	if (!slice_starts_with(line, SLICE_LIT("NATS/1.0")))
		return 0;
	line = trim(slice_sub(line, 8, SIZE_MAX));
	return slice_parse_u64(take_word(&line), 999, &status) ? (unsigned)status : 0;
}

struct slice nats__header(struct slice headers, const char *name)
{
	(void)take_line(&headers);
	while (headers.len) {
		struct slice line = take_line(&headers);
		size_t colon = slice_find(line, ':');
		if (colon < line.len && slice_eq_str(slice_sub(line, 0, colon), name))
			return trim(slice_sub(line, colon + 1, SIZE_MAX));
	}
	return (struct slice){0};
}

struct slice nats__token(struct slice subject, int i)
{
	int count = 1;
	for (size_t k = 0; k < subject.len; k++)
		count += subject.ptr[k] == '.';
	if (i < 0)
		i += count;
	if (i < 0 || i >= count)
		return (struct slice){0};
	while (i--)
		subject = slice_sub(subject, slice_find(subject, '.') + 1, SIZE_MAX);
	return slice_sub(subject, 0, slice_find(subject, '.'));
}
