// Copies the assembly of guests.h into an artifact and publishes it.
static UNUSED struct code_object *guest_publish(void)
{
	struct buf text = {0}, sites = {0};
	static struct code_func funcs[G_COUNT];
	struct err e = {0};
	struct code_object *o;
	uint32_t n = 0;
	for (int i = 1; i < G_COUNT; i++) {
		const struct guest_row *r = &guest_rows[i];
		struct code_sites s = {.out = &sites};
		struct code_func f = {.offset = (uint32_t)text.len, .size = (uint32_t)(r->to - r->from), .sites = (uint32_t)sites.len, .wasm_offset = (uint32_t)i * 100};
		funcs[n++] = f;
		assert_true(buf_put(&text, r->from, (size_t)(r->to - r->from)));
		while (text.len % 16)
			assert_true(buf_put_byte(&text, 0xcc));
		if (r->site)
			assert_true(code_sites_put(&s, (uint32_t)(r->site - r->from), 1, r->trap));
	}
	struct code_artifact a = {.text = text.ptr, .text_size = text.len, .first_func = 1, .nfuncs = n, .funcs = funcs, .sites = sites.ptr, .sites_size = sites.len};
	if (!code_publish(&a, NULL, NULL, &o, &e))
		fail_msg("%s", e.text);
	buf_release(&text);
	buf_release(&sites);
	return o;
}
