// tenon run: a command, or one export with --invoke.
#include "commands.h"

// A program sees its own name first.
static bool take_arguments(struct cli *c, struct err *e)
{
	for (uint32_t i = 0; i < c->args.len; i++) {
		if (!utf8_is_valid(slice_str(c->args.ptr[i]))) {
			err_set(e, ERR_USAGE, "not in UTF-8: '%s'", c->args.ptr[i]);
			return err_hint(e, "what a guest is given as arguments, its own name first, is text");
		}
		if (!VEC_PUSH(&c->arena, &c->config.service.args, c->args.ptr[i], CLI_MAX_ARGS))
			return err_nomem(e);
	}
	return true;
}

int cli__command_run(struct cli *c, struct err *e)
{
	c->config.service.path = c->args.ptr[0];
	if (!take_arguments(c, e))
		return err_exit_status(e->code);
	struct serve_outcome how = {.code = 5};
	int status;
	if (!cli_check_file(&c->config.service, true, e))
		how.code = status = err_exit_status(e->code);
	else
		status = c->invoke ? serve_invoke(&c->config, c->invoke, &how, e) : serve_command(&c->config, &how, e);
	if (e->code != ERR_NONE && (c->config.process.json || how.backtrace[0])) {
		cli_print_error(e);
		cli_print_backtrace(how.backtrace);
		err_clear(e);
	}
	if (c->config.process.json)
		fprintf(stderr, "{\"by\":\"%s\",\"code\":%d}\n", how.by_guest ? "guest" : "tenon", status);
	return status;
}
