// WIT text: what is accepted is printed, read again and must be equal, and printing it again gives the same text. Names, versions and WAVE are read
// from the same bytes.
// PROGRAM(fuzz_wit_text, "wit", "")
#include "wit/wit.h"

#define MAX_MEMORY (256u << 20)

static const struct wit_options all = {.all_features = true};

static void print_all(struct buf *texts, const struct wit_packages *p)
{
	for (uint32_t i = 0; i < p->n; i++)
		wit_print_package(&texts[i], p->list[i]);
}

static void check_again(struct arena *a, const struct wit_packages *p)
{
	struct buf *texts = mem_zalloc(p->n * sizeof(*texts)), *second = mem_zalloc(p->n * sizeof(*second));
	struct wit_source *sources = mem_zalloc(p->n * sizeof(*sources));
	struct wit_packages again;
	struct err e = {0};
	print_all(texts, p);
	for (uint32_t i = 0; i < p->n; i++)
		sources[i] = (struct wit_source){SLICE_LIT("printed"), buf_view(&texts[i]), i};
	if (!wit_text_resolve(a, sources, p->n, &all, &again, &e)) {
		if (e.code == ERR_NOMEM || e.code == ERR_LIMIT)
			goto done;
		for (uint32_t i = 0; i < p->n; i++)
			fprintf(stderr, "%.*s\n", SLICE_ARGS(buf_view(&texts[i])));
		fprintf(stderr, "%s %s\n", e.text, e.where);
		abort();
	}
	for (uint32_t i = 0; i < p->n; i++) {
		const struct wit_package *x = wit_packages_find(&again, p->list[i]->ns, p->list[i]->name, &p->list[i]->version);
		if (!x || !wit_package_equal(p->list[i], x, false, &e)) {
			if (e.code == ERR_LIMIT || e.code == ERR_NOMEM)
				goto done;
			fprintf(stderr, "%.*s\n%s %s\n", SLICE_ARGS(buf_view(&texts[i])), e.text, e.where);
			abort();
		}
		wit_print_package(&second[i], x);
		if (!slice_eq(buf_view(&second[i]), buf_view(&texts[i]))) {
			fprintf(stderr, "%.*s\n%.*s\n", SLICE_ARGS(buf_view(&texts[i])), SLICE_ARGS(buf_view(&second[i])));
			abort();
		}
	}
done:
	for (uint32_t i = 0; i < p->n; i++) {
		buf_release(&texts[i]);
		buf_release(&second[i]);
	}
	mem_free(texts);
	mem_free(second);
	mem_free(sources);
}

// Each function's parameters read from the tail of the input; what is read is written and reads back the same.
static void try_wave(struct arena *a, const struct wit_packages *p, struct slice text)
{
	const struct wit_package *last = p->list[p->n - 1];
	for (uint32_t i = 0; i < last->n_interfaces && i < 4; i++)
		for (uint32_t k = 0; k < last->interfaces[i]->n_funcs && k < 16; k++) {
			const struct wit_type *t = last->interfaces[i]->funcs[k].type->params.n ? last->interfaces[i]->funcs[k].type->params.fields[0].type : NULL;
			struct buf first = {.max = 1u << 20}, second = {.max = 1u << 20};
			void *v = t && t->size64 < 1u << 16 ? arena_alloc(a, t->size64, 16) : NULL;
			if (v && wit_wave_parse(a, text, t, v, NULL) && wit_wave_print(&first, t, v, NULL)) {
				if (!wit_wave_parse(a, buf_view(&first), t, v, NULL) || !wit_wave_print(&second, t, v, NULL) ||
					!slice_eq(buf_view(&first), buf_view(&second))) {
					fprintf(stderr, "%.*s\n", SLICE_ARGS(buf_view(&first)));
					abort();
				}
			}
			buf_release(&first);
			buf_release(&second);
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of(data, size);
	size_t end = slice_find(text, 0);
	struct slice wave = slice_sub(text, end + 1, SIZE_MAX);
	struct wit_source s = {SLICE_LIT("fuzz"), slice_sub(text, 0, end), 0};
	struct wit_packages p;
	struct wit_name n;
	struct wit_wave_call call;
	struct arena a;
	struct err e = {0};
	arena_init(&a, MAX_MEMORY);
	bool parsed = wit_name_parse(wave, false, &n, NULL);
	bool split = wit_wave_split(wave, &call, NULL);
	(void)parsed;
	(void)split;
	if (wit_text_resolve(&a, &s, 1, &all, &p, &e)) {
		check_again(&a, &p);
		try_wave(&a, &p, wave);
	} else if (e.code == ERR_NONE || !e.text[0]) {
		abort();
	}
	arena_release(&a);
	return 0;
}
