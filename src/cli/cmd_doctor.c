// tenon doctor: what this machine has and lacks, what that costs, what to do. Exit status 5 where something is missing without which nothing is served.
#include <stdio.h>

#include "commands.h"
#include "doctor.h"

static const char *const states[] = {"ok", "costs", "missing"};

static void put_text(struct buf *b, const struct doctor_row *r)
{
	buf_printf(b, "%-8s %-15s ", states[r->state], r->name);
	buf_put_printable(b, slice_str(r->found), "");
	buf_put_byte(b, '\n');
	if (r->state != DOCTOR_OK)
		buf_printf(b, "%25s%s\n%25sdo: %s\n", "", r->costs, "", r->todo);
}

static void put_json(struct buf *b, const struct doctor_row *r)
{
	buf_printf(b, "{\"name\":\"%s\",\"state\":\"%s\",\"found\":", r->name, states[r->state]);
	buf_put_json_string(b, slice_str(r->found));
	if (r->state == DOCTOR_OK)
		buf_put_str(b, ",\"costs\":null,\"do\":null}");
	else
		buf_printf(b, ",\"costs\":\"%s\",\"do\":\"%s\"}", r->costs, r->todo);
}

int cli__command_doctor(struct cli *c, struct err *e)
{
	struct doctor_facts facts;
	struct doctor_row rows[DOCTOR_ROWS];
	unsigned n[ARRAY_LEN(states)] = {0};
	struct buf b = {.max = 1 << 16};
	bool json = c->config.process.json;
	doctor_look("", &facts);
	doctor_judge(&facts, rows);
	buf_put_str(&b, json ? "{\"format\":\"tenon.doctor/1\",\"rows\":[" : "");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		n[rows[i].state]++;
		buf_put_str(&b, json && i ? "," : "");
		(json ? put_json : put_text)(&b, &rows[i]);
	}
	if (json)
		buf_printf(&b, "],\"costs\":%u,\"missing\":%u}\n", n[DOCTOR_COSTS], n[DOCTOR_MISSING]);
	else if (n[DOCTOR_COSTS] + n[DOCTOR_MISSING] == 0)
		buf_put_str(&b, "Nothing is lacking.\n");
	else
		buf_printf(&b, "%u of %zu cost something, %u are missing.\n", n[DOCTOR_COSTS], ARRAY_LEN(rows), n[DOCTOR_MISSING]);
	bool ok = !b.failed && fwrite(b.ptr, 1, b.len, stdout) == b.len && fflush(stdout) == 0;
	buf_release(&b);
	if (!ok)
		err_set(e, ERR_ENV, "cannot write to stdout");
	return ok && n[DOCTOR_MISSING] == 0 ? 0 : 5;
}
