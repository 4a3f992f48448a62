// Lines to stdout and stderr that never hold up who says them: a pipe that nobody reads, a terminal that is stopped, a disk that is full.
//
// 1. A line goes into a buffer of fixed size, whole or not at all. Those that find no room, or that the descriptor does not take, are counted; the count
//    is said as soon as there is room again.
// 2. A thread of its own writes, and may block there. It is started when there is something to write, and ends after a while without; where no thread
//    is to be had, the buffer waits for the next line.
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
	void (*say_lost)(struct buf *b, uint64_t lines);
	uint8_t halves[2][HALF];
};
static struct writer writers[2] = {{.fd = 1}, {.fd = 2}};
static bool started;

static uint64_t count_lines(const uint8_t *data, size_t len)
{
	uint64_t n = 0;
	for (size_t i = 0; i < len; i++)
		n += data[i] == '\n';
	return n;
}

static bool append(struct writer *w, struct slice text)
{
	if (text.len > HALF - w->len)
		return false;
	memcpy(w->halves[w->half] + w->len, text.ptr, text.len);
	w->len += text.len;
	return true;
}

static void append_lost(struct writer *w)
{
	struct buf b = {.max = NOTE_MAX};
	if (w->lost && w->say_lost) {
		w->say_lost(&b, w->lost);
		if (!b.failed && append(w, buf_view(&b)))
			w->lost = 0;
	}
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
		const uint8_t *data = w->halves[w->half];
		size_t len = w->len;
		w->half ^= 1;
		w->len = 0;
		w->writing = true;
		pthread_mutex_unlock(&w->lock);
		bool ok = sys_write_all(w->fd, data, len);
		pthread_mutex_lock(&w->lock);
		w->writing = false;
		if (ok)
			append_lost(w);
		else
			w->lost += count_lines(data, len);
		pthread_cond_broadcast(&w->changed);
	}
	w->running = false;
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

void serve__write_line(int fd, struct slice line)
{
	struct writer *w = &writers[fd - 1];
	if (!started) {
		if (!sys_write_all(fd, line.ptr, line.len))
			w->lost++;  // there is nobody to tell
		return;
	}
	pthread_mutex_lock(&w->lock);
	append_lost(w);
	if (!append(w, line))
		w->lost++;
	if (!w->running)
		w->running = sys_thread_start(write_main, w, STACK);
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

void serve__writers_start(void (*say_lost)(struct buf *b, uint64_t lines))
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	for (unsigned i = 0; i < ARRAY_LEN(writers) && !started; i++) {
		pthread_mutex_init(&writers[i].lock, NULL);
		pthread_cond_init(&writers[i].changed, &attr);
		writers[i].say_lost = i ? say_lost : NULL;
	}
	pthread_condattr_destroy(&attr);
	started = true;
}

void serve__writers_flush(uint64_t at_most_ns)
{
	for (unsigned i = 0; i < ARRAY_LEN(writers) && started; i++) {
		struct writer *w = &writers[i];
		uint64_t end = sys_now_ns() + at_most_ns;
		pthread_mutex_lock(&w->lock);
		while ((w->len || w->writing) && w->running && sys_now_ns() < end)
			wait_until(w, end);
		pthread_mutex_unlock(&w->lock);
	}
}
