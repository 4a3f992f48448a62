// The control socket's thread: a listener of its own in ctl's folder, as that of the admin address, so that it answers whatever the shards do.
#include "ctl_int.h"
#include "serve/serve.h"

enum { CONNECTIONS = 64, BACKLOG = 64, HEAD_BYTES = 16 << 10 };
_Static_assert(CTL_REQUESTS_WAIT < CONNECTIONS, "some are left to who asks");

static void on_request(void *user, struct http_exchange *x)
{
	ctl__dispatch(user, x);
}

static void on_quit(struct loop_remote *r)
{
	loop_stop(CONTAINER_OF(r, struct ctl, quit)->loop);
}

static void *ctl_main(void *arg)
{
	struct ctl *ctl = arg;
	loop_run(ctl->loop);
	http_server_free(ctl->http);  // requests that wait are cancelled
	loop_run_once(ctl->loop, 0);  // of uploads that nobody wants what was on its way here
	return NULL;
}

static bool listen_there(struct ctl *ctl, struct err *e)
{
	int fd;
	if (!sys_listen_file(ctl->path, BACKLOG, &fd, &ctl->file, e))
		return err_note(e, "control socket '%s'", ctl->path);
	ctl->bound = true;
	return http_server_listen_on(ctl->http, fd, e);
}

static bool open_server(struct ctl *ctl, struct err *e)
{
	struct http_server_config config = {.limits = http_limits_default, .on_request = on_request, .user = ctl};
	config.limits.head_bytes = HEAD_BYTES;
	config.limits.body_bytes = HTTP_NO_LIMIT;  // by route
	if (!loop_new(&ctl->loop, e) || !http_gate_new(CONNECTIONS, HTTP_NO_LIMIT, &ctl->gate, e))
		return false;
	config.gate = ctl->gate;
	return http_server_new(ctl->loop, &config, &ctl->http, e);
}

static void on_line(void *user)
{
	ctl__changed(user);
}

bool ctl_start(const struct ctl_config *c, struct ctl **ret, struct err *e)
{
	bool named = true;
	struct ctl *ctl = mem_zalloc(sizeof *ctl);
	*ret = NULL;
	if (!ctl || !sys_cond_init(&ctl->moved)) {
		mem_free(ctl);
		return err_nomem(e);
	}
	sys_mutex_init(&ctl->lock);
	ctl->config = *c;
	ctl->quit.fn = on_quit;
	ctl->began_ns = sys_wall_ns();
	bool ok = open_server(ctl, e) && ctl__apps_open(ctl, e);
	bool has_folder = ok && ctl__folder_open(ctl, &named, e) && listen_there(ctl, e);
	if (has_folder) {
		int why = sys_thread_new(&ctl->thread, ctl_main, ctl);
		ctl->runs = why == 0;
		ok = ctl->runs || err_set_errno(e, -why, "cannot start a thread");
	}
	if (ctl->runs) {
		ctl__keeper_start(ctl);
		ctl__tries_resume(ctl);
		serve_log_keep(on_line, ctl);
		*ret = ctl;
		return true;
	}
	ctl_stop(ctl);
	return ok && !named;
}

// Operations may wait for thread 0: its loop goes round meanwhile.
static void end_operations(struct ctl *ctl)
{
	while (ctl__ops_end(ctl))
		serve_process_turn(ctl->config.process, 10 * MILLISECOND);
}

void ctl_stop(struct ctl *ctl)
{
	if (!ctl)
		return;
	serve_log_keep(NULL, NULL);
	if (ctl->bound)
		sys_remove_socket_file(ctl->path, ctl->file);
	ctl__keeper_stop(ctl);
	end_operations(ctl);
	if (ctl->runs) {
		loop_post_remote(ctl->loop, &ctl->quit);
		sys_thread_join(&ctl->thread);
	} else {
		http_server_free(ctl->http);
	}
	ctl__apps_close(ctl);
	if (ctl->uploads)
		loop_pool_free(ctl->uploads);
	if (ctl->loop)
		loop_free(ctl->loop);
	http_gate_free(ctl->gate);
	sys_cond_release(&ctl->moved);
	sys_mutex_release(&ctl->lock);
	mem_free(ctl);
}
