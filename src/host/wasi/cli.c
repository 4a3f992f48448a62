// wasi:cli: environment, exit, the standard streams, terminals.
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
// Those of the process where the guest has them (stdio.c). Else it reads nothing and prints into the log: `of` of such an output is the state of the
// instance; the kind is told by the operations. They are always ready (no event), and can be made anew in any instance: an image may hold them.

static struct wasi *wasi_of(const struct seam_call *c)
{
	return CONTAINER_OF(c->binding->provider, struct wasi, seam);
}

static enum wasi_io closed_peek(struct wasi_input *in, size_t max, struct slice *ret)
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

static enum wasi_io log_stdout(struct wasi_output *out, struct seam_task *task, struct slice data)
{
	wasi__log_write(out->of, task, 1, data);
	return WASI_IO_OK;
}

static enum wasi_io log_stderr(struct wasi_output *out, struct seam_task *task, struct slice data)
{
	wasi__log_write(out->of, task, 2, data);
	return WASI_IO_OK;
}

enum { LINES_PIECE = 256 };  // each byte of it may be a line
static const struct wasi_input_ops no_stdin_ops = {closed_peek, closed_consume, input_release};
static const struct wasi_output_ops log_ops[] = {{always_permit, log_stdout, nothing_to_flush, output_release, NULL, LINES_PIECE},
	{always_permit, log_stderr, nothing_to_flush, output_release, NULL, LINES_PIECE}};

static bool is_log(const struct wasi_output_ops *ops)
{
	return ops == &log_ops[0] || ops == &log_ops[1];
}

static struct wasi_input *no_input(struct canon_instance *i)
{
	struct wasi_input *in = SEAM_MEM_NEW(i, struct wasi_input);
	if (in)
		*in = (struct wasi_input){.ops = &no_stdin_ops, .refs = 1};
	return in;
}

static struct wasi_output *log_output(struct wasi_state *s, const struct wasi_output_ops *ops)
{
	struct wasi_output *out = s ? SEAM_MEM_NEW(s->instance, struct wasi_output) : NULL;
	if (out)
		*out = (struct wasi_output){.ops = ops, .refs = 1, .of = s};
	return out;
}

bool wasi_io_streams_input_stream_remake(struct canon_instance *i, const void *object, void **ret)
{
	const struct wasi_input *in = object;
	*ret = in->ops == &no_stdin_ops ? no_input(i) : NULL;
	return *ret != NULL;
}

bool wasi_io_streams_output_stream_remake(struct canon_instance *i, const void *object, void **ret)
{
	const struct wasi_output *out = object;
	struct wasi_state *from = is_log(out->ops) ? out->of : NULL;
	*ret = from ? log_output(seam_instance_state(i, &from->wasi->seam), out->ops) : NULL;
	return *ret != NULL;
}

struct wasi_input *wasi__cli_input(struct seam_call *c)
{
	struct wasi_stdio *s = wasi_of(c)->stdio;
	return s ? wasi__stdin(s, canon_instance_pool(c->canon)) : no_input(c->canon);
}

struct wasi_output *wasi__cli_output(struct seam_call *c, int fd)
{
	struct wasi_stdio *s = wasi_of(c)->stdio;
	return s ? wasi__stdout(s, canon_instance_pool(c->canon), fd) : log_output(seam_state(c), &log_ops[fd - 1]);
}

bool wasi__cli_is_terminal(const struct seam_call *c, int fd)
{
	return wasi__stdio_is_terminal(wasi_of(c)->stdio, fd);
}

enum seam_result wasi_cli_stdin_get_stdin(struct seam_call *c, uint32_t *ret)
{
	return wasi__input_handle(c, wasi__cli_input(c), ret) ? SEAM_OK : SEAM_TRAP;
}

static enum seam_result get_output(struct seam_call *c, int fd, uint32_t *ret)
{
	return wasi__output_handle(c, wasi__cli_output(c, fd), ret) ? SEAM_OK : SEAM_TRAP;
}

enum seam_result wasi_cli_stdout_get_stdout(struct seam_call *c, uint32_t *ret)
{
	return get_output(c, 1, ret);
}

enum seam_result wasi_cli_stderr_get_stderr(struct seam_call *c, uint32_t *ret)
{
	return get_output(c, 2, ret);
}

// ---- terminals -------------------------------------------------------------------------------------------------------------------------
// A handle says that the stream is one, and nothing more: they all stand for the same object.

static char terminal;

void wasi_cli_terminal_input_terminal_input_drop(struct canon_instance *i, void *object)
{
}

void wasi_cli_terminal_output_terminal_output_drop(struct canon_instance *i, void *object)
{
}

bool wasi_cli_terminal_input_terminal_input_remake(struct canon_instance *i, const void *object, void **ret)
{
	*ret = &terminal;
	return true;
}

bool wasi_cli_terminal_output_terminal_output_remake(struct canon_instance *i, const void *object, void **ret)
{
	*ret = &terminal;
	return true;
}

enum seam_result wasi_cli_terminal_stdin_get_terminal_stdin(struct seam_call *c, struct wasi_option_own_cli_terminal_input_terminal_input *ret)
{
	ret->is_some = wasi__cli_is_terminal(c, 0);
	return !ret->is_some || seam_resource_new(c, &wasi_cli_terminal_input_terminal_input_class, &terminal, &ret->some) ? SEAM_OK : SEAM_TRAP;
}

static enum seam_result get_terminal(struct seam_call *c, int fd, struct wasi_option_own_cli_terminal_output_terminal_output *ret)
{
	ret->is_some = wasi__cli_is_terminal(c, fd);
	return !ret->is_some || seam_resource_new(c, &wasi_cli_terminal_output_terminal_output_class, &terminal, &ret->some) ? SEAM_OK : SEAM_TRAP;
}

enum seam_result wasi_cli_terminal_stdout_get_terminal_stdout(struct seam_call *c, struct wasi_option_own_cli_terminal_output_terminal_output *ret)
{
	return get_terminal(c, 1, ret);
}

enum seam_result wasi_cli_terminal_stderr_get_terminal_stderr(struct seam_call *c, struct wasi_option_own_cli_terminal_output_terminal_output *ret)
{
	return get_terminal(c, 2, ret);
}
