// Lines to stdout, stderr and a file that never hold up who says them: a pipe that nobody reads, a terminal that is stopped, a disk that is full.
//
// 1. A line goes into a buffer of fixed size, whole or not at all. Those that find no room, or that the descriptor does not take, are counted; the count
//    is said on stderr as soon as there is room again, of the others once a second.
// 2. A thread of its own writes, and may block there. It is started when there is something to write, and ends after a while without. Where no thread
//    is to be had, who says a line writes what the descriptor takes at once; the rest waits for the next line.
// 3. The buffer has two halves: lines are appended to one while the thread writes the other. They change places under the lock.
// 4. Before serve__writers_start, and so in all commands but servers, who says a line writes it.
#include <time.h>

#include "serve_int.h"
#include "sys/sys.h"

enum { HALF = 1 << 20, NOTE_MAX = 256, STACK = 256 << 10 };
#define IDLE (SECOND / 10)

struct writer {
	int fd;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool running;   // there is a thread
	bool writing;   // it is within a write
	unsigned half;  // that lines are appended to
	size_t len;     // of what is in it
	uint64_t lost;  // lines, not yet said
	uint64_t said_ns;
	uint64_t lost_ever;
};
static struct writer writers[SERVE_STREAMS];
// Beside them: each would be a page apart else, of which every start touches the first. All zero: megabytes would stand in the program's file.
static uint8_t halves[SERVE_STREAMS][2][HALF];
static bool started;
static void (*say_lost)(struct buf *b, enum serve_stream of, uint64_t lines);

static uint64_t count_lines(const uint8_t *data, size_t len)
{
	uint64_t n = 0;
	for (size_t i = 0; i < len; i++)
		n += data[i] == '\n';
	return n;
}

static void set_going(struct writer *w);

static uint8_t *half_of(const struct writer *w)
{
	return halves[w - writers][w->half];
}

static void lose(struct writer *w, uint64_t lines)
{
	w->lost += lines;
	serve__count(&w->lost_ever, lines);
}

static bool append(struct writer *w, struct slice text)
{
	if (text.len > HALF - w->len)
		return false;
	memcpy(half_of(w) + w->len, text.ptr, text.len);
	w->len += text.len;
	return true;
}

// Under the lock of w; that of stderr's comes after any other.
static void tell_lost(struct writer *w, bool now)
{
	struct writer *to = &writers[SERVE_STDERR];
	struct buf b = {.max = NOTE_MAX};
	if (!w->lost || (w != to && !now && w->said_ns && sys_now_ns() < w->said_ns + SECOND))
		return;
	say_lost(&b, (enum serve_stream)(w - writers), w->lost);
	if (w != to)
		pthread_mutex_lock(&to->lock);
	if (!b.failed && append(to, buf_view(&b))) {
		w->lost = 0;
		w->said_ns = sys_now_ns();
		if (w != to)
			set_going(to);
	}
	if (w != to)
		pthread_mutex_unlock(&to->lock);
	buf_release(&b);
}

static void wait_until(struct writer *w, uint64_t at_ns)
{
	struct timespec at = {.tv_sec = (time_t)(at_ns / SECOND), .tv_nsec = (long)(at_ns % SECOND)};
	pthread_cond_timedwait(&w->changed, &w->lock, &at);
}

static bool has_more(struct writer *w)
{
	for (uint64_t end = sys_now_ns() + IDLE; w->len == 0 && sys_now_ns() < end;)
		wait_until(w, end);
	return w->len != 0;
}

static void *write_main(void *arg)
{
	struct writer *w = arg;
	pthread_mutex_lock(&w->lock);
	while (has_more(w)) {
		const uint8_t *data = half_of(w);
		size_t len = w->len;
		w->half ^= 1;
		w->len = 0;
		w->writing = true;
		pthread_mutex_unlock(&w->lock);
		bool ok = sys_write_all(w->fd, data, len);
		pthread_mutex_lock(&w->lock);
		w->writing = false;
		if (ok)
			tell_lost(w, false);
		else
			lose(w, count_lines(data, len));
		pthread_cond_broadcast(&w->changed);
	}
	w->running = false;
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

// Under the lock: what there is will be written.
static void set_going(struct writer *w)
{
	if (!w->running)
		w->running = sys_thread_start(write_main, w, STACK) == 0;
	if (w->running) {
		pthread_cond_broadcast(&w->changed);
		return;
	}
	uint8_t *data = half_of(w);
	size_t n = sys_write_some(w->fd, data, w->len);
	memmove(data, data + n, w->len - n);
	w->len -= n;
}

void serve__write_line(enum serve_stream stream, struct slice line)
{
	struct writer *w = &writers[stream];
	if (!started) {
		if (!sys_write_all(stream == SERVE_ACCESS ? w->fd : stream == SERVE_STDERR ? 2
																				   : 1,
				line.ptr, line.len))
			lose(w, 1);  // there is nobody to tell
		return;
	}
	pthread_mutex_lock(&w->lock);
	tell_lost(w, false);
	if (!append(w, line))
		lose(w, 1);
	set_going(w);
	pthread_mutex_unlock(&w->lock);
}

uint64_t serve__writer_lost(enum serve_stream stream)
{
	return __atomic_load_n(&writers[stream].lost_ever, __ATOMIC_RELAXED);
}

void serve__writers_start(void (*say)(struct buf *b, enum serve_stream of, uint64_t lines))
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	for (unsigned i = 0; i < ARRAY_LEN(writers) && !started; i++) {
		pthread_mutex_init(&writers[i].lock, NULL);
		pthread_cond_init(&writers[i].changed, &attr);
	}
	pthread_condattr_destroy(&attr);
	writers[SERVE_STDOUT].fd = 1;
	writers[SERVE_STDERR].fd = 2;
	say_lost = say;
	started = true;
}

bool serve__writer_open(enum serve_stream stream, int fd, struct err *e)
{
	struct writer *w = &writers[stream];
	if (!w->fd) {
		w->fd = fd;
		return true;
	}
	int why = sys_replace(w->fd, fd);
	return why == 0 || err_set_errno(e, -why, "dup");
}

// Stderr last: it tells of the others.
void serve__writers_flush(uint64_t at_most_ns)
{
	for (unsigned i = 0; i < ARRAY_LEN(writers) && started; i++) {
		struct writer *w = &writers[i];
		uint64_t end = sys_now_ns() + at_most_ns;
		pthread_mutex_lock(&w->lock);
		if (w->len)
			set_going(w);
		while ((w->len || w->writing) && w->running && sys_now_ns() < end)
			wait_until(w, end);
		tell_lost(w, true);
		pthread_mutex_unlock(&w->lock);
	}
}
