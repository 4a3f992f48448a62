// wasi:cli@0.3: another face of cli.c. The standard streams are streams here, and a future says how each ended.
#include "end_int.h"
#include "wasi_provider.h"

// ---- environment, exit -----------------------------------------------------------------------------------------------------------------

enum seam_result wasi_cli3_environment_get_environment(struct seam_call *c, struct wit_list *ret)
{
	return wasi_cli_environment_get_environment(c, ret);
}

enum seam_result wasi_cli3_environment_get_arguments(struct seam_call *c, struct wit_list *ret)
{
	return wasi_cli_environment_get_arguments(c, ret);
}

enum seam_result wasi_cli3_environment_get_initial_cwd(struct seam_call *c, struct wasi_option_string *ret)
{
	ret->is_some = false;
	return SEAM_OK;
}

enum seam_result wasi_cli3_exit_exit(struct seam_call *c, const struct wasi_cli3_exit_exit_args *args)
{
	return seam_exit(c, args->status.is_err ? 1 : 0);
}

enum seam_result wasi_cli3_exit_exit_with_code(struct seam_call *c, const struct wasi_cli3_exit_exit_with_code_args *args)
{
	return seam_exit(c, args->status_code);
}

// ---- standard streams ------------------------------------------------------------------------------------------------------------------

static uint8_t code_of(const struct wasi_error *why)
{
	if (why->closed)
		return WASI_CLI3_TYPES_ERROR_CODE_PIPE;
	if (!why->of_files)
		return WASI_CLI3_TYPES_ERROR_CODE_IO;
	switch (why->file_code) {
	case WASI_FILESYSTEM_TYPES_ERROR_CODE_PIPE:
		return WASI_CLI3_TYPES_ERROR_CODE_PIPE;
	case WASI_FILESYSTEM_TYPES_ERROR_CODE_ILLEGAL_BYTE_SEQUENCE:
		return WASI_CLI3_TYPES_ERROR_CODE_ILLEGAL_BYTE_SEQUENCE;
	default:
		return WASI_CLI3_TYPES_ERROR_CODE_IO;
	}
}

static size_t ended(void *into, const struct wasi_error *why)
{
	struct wasi_result_void_cli3_types_error_code *r = into;
	r->is_err = why != NULL;
	if (why)
		r->err = code_of(why);
	return sizeof *r;
}

enum seam_result wasi_cli3_stdin_read_via_stream(struct seam_call *c,
	struct wasi_tuple2_stream_u8_future_result_void_cli3_types_error_code *ret)
{
	return wasi__flow_in(c, wasi__cli_input(c), c->func->type->result->fields[1].type, ended, &ret->f0, &ret->f1);
}

static enum seam_result write_via_stream(struct seam_call *c, int fd, uint32_t data, uint32_t *ret)
{
	return wasi__flow_out(c, data, wasi__cli_output(c, fd), c->func->type->result, ended, ret);
}

enum seam_result wasi_cli3_stdout_write_via_stream(struct seam_call *c, const struct wasi_cli3_stdout_write_via_stream_args *args, uint32_t *ret)
{
	return write_via_stream(c, 1, args->data, ret);
}

enum seam_result wasi_cli3_stderr_write_via_stream(struct seam_call *c, const struct wasi_cli3_stderr_write_via_stream_args *args, uint32_t *ret)
{
	return write_via_stream(c, 2, args->data, ret);
}

// ---- terminals -------------------------------------------------------------------------------------------------------------------------

static char terminal;

void wasi_cli3_terminal_input_terminal_input_drop(struct canon_instance *i, void *object)
{
}

void wasi_cli3_terminal_output_terminal_output_drop(struct canon_instance *i, void *object)
{
}

bool wasi_cli3_terminal_input_terminal_input_remake(struct canon_instance *i, const void *object, void **ret)
{
	*ret = &terminal;
	return true;
}

bool wasi_cli3_terminal_output_terminal_output_remake(struct canon_instance *i, const void *object, void **ret)
{
	*ret = &terminal;
	return true;
}

enum seam_result wasi_cli3_terminal_stdin_get_terminal_stdin(struct seam_call *c, struct wasi_option_own_cli3_terminal_input_terminal_input *ret)
{
	ret->is_some = wasi__cli_is_terminal(c, 0);
	return !ret->is_some || seam_resource_new(c, &wasi_cli3_terminal_input_terminal_input_class, &terminal, &ret->some) ? SEAM_OK : SEAM_TRAP;
}

static enum seam_result get_terminal(struct seam_call *c, int fd, struct wasi_option_own_cli3_terminal_output_terminal_output *ret)
{
	ret->is_some = wasi__cli_is_terminal(c, fd);
	return !ret->is_some || seam_resource_new(c, &wasi_cli3_terminal_output_terminal_output_class, &terminal, &ret->some) ? SEAM_OK : SEAM_TRAP;
}

enum seam_result wasi_cli3_terminal_stdout_get_terminal_stdout(struct seam_call *c, struct wasi_option_own_cli3_terminal_output_terminal_output *ret)
{
	return get_terminal(c, 1, ret);
}

enum seam_result wasi_cli3_terminal_stderr_get_terminal_stderr(struct seam_call *c, struct wasi_option_own_cli3_terminal_output_terminal_output *ret)
{
	return get_terminal(c, 2, ret);
}
