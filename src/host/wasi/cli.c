// wasi:cli: environment, exit, the standard streams, terminals (there is none).
#include <errno.h>
#include <unistd.h>

#include "wasi_int.h"
#include "wasi_provider.h"

// ---- environment -----------------------------------------------------------------------------------------------------------------------

enum seam_result wasi_cli_environment_get_environment(struct seam_call *c, struct wit_list *ret)
{
	const struct seam_grants *g = c->instance->grants;
	struct wasi_tuple2_string_string *list = SEAM_ARRAY(c, struct wasi_tuple2_string_string, g->n_env);
	if (!list)
		return SEAM_TRAP;
	for (uint32_t k = 0; k < g->n_env; k++) {
		list[k].f0 = (struct wit_string){g->env[k].name.ptr, g->env[k].name.len};
		list[k].f1 = (struct wit_string){g->env[k].value.ptr, g->env[k].value.len};
	}
	*ret = (struct wit_list){list, g->n_env};
	return SEAM_OK;
}

enum seam_result wasi_cli_environment_get_arguments(struct seam_call *c, struct wit_list *ret)
{
	const struct seam_grants *g = c->instance->grants;
	struct wit_string *list = SEAM_ARRAY(c, struct wit_string, g->n_args);
	if (!list)
		return SEAM_TRAP;
	for (uint32_t k = 0; k < g->n_args; k++)
		list[k] = (struct wit_string){g->args[k].ptr, g->args[k].len};
	*ret = (struct wit_list){list, g->n_args};
	return SEAM_OK;
}

enum seam_result wasi_cli_environment_initial_cwd(struct seam_call *c, struct wasi_option_string *ret)
{
	ret->is_some = false;
	return SEAM_OK;
}

enum seam_result wasi_cli_exit_exit(struct seam_call *c, const struct wasi_cli_exit_exit_args *args)
{
	return seam_exit(c, args->status.is_err ? 1 : 0);
}

enum seam_result wasi_cli_exit_exit_with_code(struct seam_call *c, const struct wasi_cli_exit_exit_with_code_args *args)
{
	return seam_exit(c, args->status_code);
}

// ---- standard streams ------------------------------------------------------------------------------------------------------------------
// `of` of an output is the state of the instance; the kind is told by the operations. They are always ready (no event), and can be made anew in any
// instance: an image may hold them.

static enum wasi_io closed_peek(struct wasi_input *in, struct slice *ret)
{
	return WASI_IO_CLOSED;
}

static void closed_consume(struct wasi_input *in, size_t n)
{
}

static void input_release(struct wasi_input *in)
{
}

static void output_release(struct wasi_output *out)
{
}

static enum wasi_io always_permit(struct wasi_output *out, size_t *ret)
{
	*ret = HTTP_WINDOW;
	return WASI_IO_OK;
}

static enum wasi_io nothing_to_flush(struct wasi_output *out)
{
	return WASI_IO_OK;
}

static enum wasi_io write_fd(struct wasi_output *out, struct seam_task *task, struct slice data, int fd)
{
	struct wasi_state *s = out->of;
	const struct seam_instance *seam = canon_instance_user(s->instance);
	if (!seam->grants->stdio) {
		wasi__log_write(s, task, fd, data);
		return WASI_IO_OK;
	}
	while (data.len) {
		ssize_t n = write(fd, data.ptr, data.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return WASI_IO_CLOSED;
		data = slice_sub(data, (size_t)n, data.len);
	}
	return WASI_IO_OK;
}

static enum wasi_io write_stdout(struct wasi_output *out, struct seam_task *task, struct slice data)
{
	return write_fd(out, task, data, STDOUT_FILENO);
}

static enum wasi_io write_stderr(struct wasi_output *out, struct seam_task *task, struct slice data)
{
	return write_fd(out, task, data, STDERR_FILENO);
}

enum { LINES_PIECE = 256 };  // each byte of it may be a line
static const struct wasi_input_ops stdin_ops = {closed_peek, closed_consume, input_release};
static const struct wasi_output_ops stdout_ops = {always_permit, write_stdout, nothing_to_flush, output_release, LINES_PIECE};
static const struct wasi_output_ops stderr_ops = {always_permit, write_stderr, nothing_to_flush, output_release, LINES_PIECE};

static struct wasi_input *standard_input(struct canon_instance *i)
{
	struct wasi_input *in = SEAM_MEM_NEW(i, struct wasi_input);
	if (in)
		*in = (struct wasi_input){.ops = &stdin_ops, .refs = 1};
	return in;
}

static struct wasi_output *standard_output(struct wasi_state *s, const struct wasi_output_ops *ops)
{
	struct wasi_output *out = s ? SEAM_MEM_NEW(s->instance, struct wasi_output) : NULL;
	if (out)
		*out = (struct wasi_output){.ops = ops, .refs = 1, .of = s};
	return out;
}

bool wasi_io_streams_input_stream_remake(struct canon_instance *i, const void *object, void **ret)
{
	const struct wasi_input *in = object;
	*ret = in->ops == &stdin_ops ? standard_input(i) : NULL;
	return *ret != NULL;
}

bool wasi_io_streams_output_stream_remake(struct canon_instance *i, const void *object, void **ret)
{
	const struct wasi_output *out = object;
	bool is_standard = out->ops == &stdout_ops || out->ops == &stderr_ops;
	struct wasi_state *from = is_standard ? out->of : NULL;
	*ret = from ? standard_output(seam_instance_state(i, &from->wasi->seam), out->ops) : NULL;
	return *ret != NULL;
}

enum seam_result wasi_cli_stdin_get_stdin(struct seam_call *c, uint32_t *ret)
{
	return wasi__input_handle(c, standard_input(c->canon), ret) ? SEAM_OK : SEAM_TRAP;
}

enum seam_result wasi_cli_stdout_get_stdout(struct seam_call *c, uint32_t *ret)
{
	return wasi__output_handle(c, standard_output(seam_state(c), &stdout_ops), ret) ? SEAM_OK : SEAM_TRAP;
}

enum seam_result wasi_cli_stderr_get_stderr(struct seam_call *c, uint32_t *ret)
{
	return wasi__output_handle(c, standard_output(seam_state(c), &stderr_ops), ret) ? SEAM_OK : SEAM_TRAP;
}

// ---- terminals: none of the streams is one (W15) -----------------------------------------------------------------------------------------

void wasi_cli_terminal_input_terminal_input_drop(struct canon_instance *i, void *object)
{
}

void wasi_cli_terminal_output_terminal_output_drop(struct canon_instance *i, void *object)
{
}

bool wasi_cli_terminal_input_terminal_input_remake(struct canon_instance *i, const void *object, void **ret)
{
	return false;
}

bool wasi_cli_terminal_output_terminal_output_remake(struct canon_instance *i, const void *object, void **ret)
{
	return false;
}

enum seam_result wasi_cli_terminal_stdin_get_terminal_stdin(struct seam_call *c, struct wasi_option_own_cli_terminal_input_terminal_input *ret)
{
	ret->is_some = false;
	return SEAM_OK;
}

enum seam_result wasi_cli_terminal_stdout_get_terminal_stdout(struct seam_call *c, struct wasi_option_own_cli_terminal_output_terminal_output *ret)
{
	ret->is_some = false;
	return SEAM_OK;
}

enum seam_result wasi_cli_terminal_stderr_get_terminal_stderr(struct seam_call *c, struct wasi_option_own_cli_terminal_output_terminal_output *ret)
{
	ret->is_some = false;
	return SEAM_OK;
}
