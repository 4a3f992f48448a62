// What a person sees: errors, the version.
#include "cli_int.h"

#include "sys/sys.h"
#include "vm/vm.h"

void cli_print_error(const struct err *e)
{
	bool colour = sys_is_terminal(2) && !getenv("NO_COLOR");
	// Names in it are what a file says: nothing of that may reach the terminal as it is.
	struct buf b = {.max = 1 << 16};
	buf_printf(&b, "%serror:%s ", colour ? "\033[1;31m" : "", colour ? "\033[0m" : "");
	buf_put_printable(&b, slice_str(e->text), "");
	if (e->where[0])
		buf_put_str(&b, "\n  in: ");
	buf_put_printable(&b, slice_str(e->where), "\n");
	if (b.failed)
		fprintf(stderr, "error: out of memory\n");
	else
		fprintf(stderr, "%.*s\n", SLICE_ARGS(buf_view(&b)));
	buf_clear(&b);
	buf_put_printable(&b, slice_str(e->hint), "\n");
	char place[32];
	snprintf(place, sizeof place, ":%u:%u", e->line, e->col);
	if (e->line && !strstr(e->where, place))  // else it was said with the file
		fprintf(stderr, "  at: line %u, column %u\n", e->line, e->col);
	else if (!e->line && e->offset != ERR_NO_OFFSET)
		fprintf(stderr, "  at: byte 0x%llx\n", (unsigned long long)e->offset);
	if (e->hint[0])
		fprintf(stderr, "  hint: %.*s\n", SLICE_ARGS(buf_view(&b)));
	buf_release(&b);
}

struct slice cli__printable(struct cli *c, struct slice text)
{
	struct buf b = {.max = 1 << 16};
	struct slice ret = {0};
	if (!buf_put_printable(&b, text, "") || !slice_dup(&c->arena, buf_view(&b), &ret))
		ret = SLICE_LIT("?");
	buf_release(&b);
	return ret;
}

void cli_print_backtrace(const char *lines)
{
	struct buf b = {.max = 1 << 16};
	buf_put_printable(&b, slice_str(lines), "\n");
	fprintf(stderr, "%.*s", SLICE_ARGS(buf_view(&b)));
	buf_release(&b);
}

void cli_print_version(bool verbose)
{
	printf("tenon " TENON_VERSION "\n");
	struct err e;
	err_clear(&e);
	struct buf b = {.max = 1 << 16};
	if (verbose && vm_process_init(&e)) {
		vm_process_describe(&b);
		printf("%.*s", SLICE_ARGS(buf_view(&b)));
	}
	if (e.code != ERR_NONE)
		cli_print_error(&e);
	buf_release(&b);
}
