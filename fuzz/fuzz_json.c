// JSON that others wrote, as the control socket reads it: what is read is printed, reads back and is the same.
// PROGRAM(fuzz_json, "base", "")
#include "base/base.h"
#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct json *v, *again;
	struct err e = {0};
	struct buf first = {.max = 64 << 20}, second = {.max = 64 << 20};
	arena_init(&a, 64 << 20);
	if (json_parse(&a, slice_of(data, size), &v, &e)) {
		json_put(&first, v);
		BUG_ON(!json_parse(&a, buf_view(&first), &again, &e) && e.code != ERR_NOMEM);
		if (e.code == ERR_NONE) {
			json_put(&second, again);
			BUG_ON(!slice_eq(buf_view(&first), buf_view(&second)));
		}
	} else {
		BUG_ON(e.code == ERR_NONE || !e.text[0] || (e.code == ERR_MALFORMED && e.offset > size));
	}
	arena_release(&a);
	buf_release(&first);
	buf_release(&second);
	return 0;
}
