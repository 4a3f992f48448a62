// tenon-conform: runs the scripts of folders with a features.json and counts what passed, failed and was skipped.
//
//     tenon-conform [--tier T] [--only GLOB]… [--poison] [--checks] [--collect] [--lazy] [-v] FOLDER…
//
// PROGRAM(tenon-conform, "wasm vm tier wit comp canon jansson", "script.c core.c spectest.c component.c value_core.c value_component.c")
#include "conform.h"

#include <fnmatch.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct engine_feature {
	const char *name;
	bool is_run;
	uint32_t comp, core;
} engine_features[] = {
#define FEATURE(name) {name, true, 0, 0},
#define DECODED(name, comp, core) {name, false, comp, core},
#include "features.def"
#undef FEATURE
#undef DECODED
};

#define MAX_REASONS 64
#define MAX_GLOBS 64
#define SCRIPT_SECONDS 300

struct tally {
	uint64_t passed, failed, skipped;
	uint32_t nreasons;
	struct reason {
		char text[96];
		uint64_t count;
	} reasons[MAX_REASONS];
};

struct run {
	struct options options;
	const char *globs[MAX_GLOBS];
	uint32_t nglobs;
	struct tally tally;
	json_t *features;    // features.json of the folder
	const char *folder;
};

static void count_skipped(struct tally *t, const char *reason, uint64_t n)
{
	t->skipped += n;
	for (uint32_t i = 0; i < t->nreasons; i++)
		if (!strcmp(t->reasons[i].text, reason)) {
			t->reasons[i].count += n;
			return;
		}
	if (t->nreasons < MAX_REASONS) {
		snprintf(t->reasons[t->nreasons].text, sizeof(t->reasons[0].text), "%s", reason);
		t->reasons[t->nreasons++].count = n;
	}
}

static void tally_add(struct tally *to, const struct tally *t)
{
	to->passed += t->passed;
	to->failed += t->failed;
	for (uint32_t i = 0; i < t->nreasons; i++)
		count_skipped(to, t->reasons[i].text, t->reasons[i].count);
}

static const struct engine_feature *engine_feature(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(engine_features); i++)
		if (!strcmp(name, engine_features[i].name))
			return &engine_features[i];
	return NULL;
}

static bool has(const json_t *features, const char *name)
{
	size_t i;
	json_t *f;
	json_array_foreach(features, i, f) if (!strcmp(json_string_value(f), name)) return true;
	return false;
}

// The first that the engine lacks, or NULL. Of components also what is decoded and not run will do.
static const char *lacking(const json_t *features)
{
	size_t i;
	json_t *f;
	bool is_component = has(features, "component");
	json_array_foreach(features, i, f)
	{
		const struct engine_feature *x = engine_feature(json_string_value(f));
		if (!x || (!x->is_run && !is_component))
			return json_string_value(f);
	}
	return NULL;
}

// What the script's components are decoded with.
static struct comp_options options_of(const json_t *features)
{
	struct comp_options o = COMP_OPTIONS_DEFAULT;
	size_t i;
	json_t *f;
	json_array_foreach(features, i, f)
	{
		const struct engine_feature *x = engine_feature(json_string_value(f));
		o.features |= x->comp;
		o.core_features |= x->core;
	}
	return o;
}

static json_t *read_json(const char *path)
{
	json_error_t error;
	json_t *j = json_load_file(path, JSON_ALLOW_NUL, &error);
	if (!j) {
		fprintf(stderr, "error: %s: %s (line %d)\n", path, error.text, error.line);
		exit(5);
	}
	return j;
}

static bool is_assertion(const json_t *c)
{
	return !strncmp(json_text(c, "type"), "assert_", 7);
}

// Why a command is left out, or NULL.
static const char *left_out(const struct run *r, const char *script, const json_t *c)
{
	char line[24];
	snprintf(line, sizeof(line), "%lld", (long long)json_integer_value(json_object_get(c, "line")));
	if (json_object_get(c, "skip"))
		return json_text(c, "skip");
	if (json_object_get(json_object_get(json_object_get(r->features, "skip"), script), line))
		return "marked as needless to pass";
	if (json_object_get(json_object_get(json_object_get(r->features, "superseded"), script), line))
		return "superseded";
	const json_t *without = json_object_get(json_object_get(json_object_get(r->features, "only_without"), script), line);
	return without && !lacking(without) ? "holds only without a feature" : NULL;
}

bool script_read(struct script *s, const char *filename, struct slice *ret, struct err *e)
{
	char path[2048];
	snprintf(path, sizeof(path), "%s/%s/%s", s->dir, s->name, filename);
	FILE *f = fopen(path, "rb");
	if (!f)
		return err_set(e, ERR_ENV, "cannot open %s", path);
	fseek(f, 0, SEEK_END);
	long size = ftell(f);
	rewind(f);
	uint8_t *bytes = size < 0 ? NULL : arena_alloc(&s->arena, (size_t)size + 1, 8);
	bool ok = bytes && fread(bytes, 1, (size_t)size, f) == (size_t)size;
	fclose(f);
	*ret = slice_of(bytes, (size_t)size);
	return ok || err_set(e, ERR_ENV, "cannot read %s", path);
}

static void count(const struct run *r, const struct script *s, const json_t *c, struct outcome o, struct tally *t)
{
	if (o.verdict == FAILED) {
		t->failed++;
		if (r->options.verbose)
			printf("FAILED %s:%lld %s: %s\n", s->name, (long long)json_integer_value(json_object_get(c, "line")), json_text(c, "type"), o.why);
	} else if (is_assertion(c) || o.counts) {
		if (o.verdict == SKIPPED)
			count_skipped(t, o.why, 1);
		else
			t->passed++;
	}
}

// In the child; counts in *t.
static void run_script(const struct run *r, const char *name, const json_t *commands, struct tally *t)
{
	struct script s = {.dir = r->folder, .name = name, .options = &r->options};
	s.decode = options_of(json_object_get(json_object_get(r->features, "features"), name));
	struct err e = {0};
	arena_init(&s.arena, (size_t)2 << 30);
	if (!core_script_begin(&s, &e)) {
		printf("FAILED %s: cannot begin: %s\n", name, e.text);
		t->failed++;
		return;
	}
	size_t i;
	json_t *c;
	json_array_foreach(commands, i, c)
	{
		const char *why = left_out(r, name, c);
		struct outcome o;
		if (why) {
			o = skipped(why);
			if (!is_assertion(c) && strcmp(json_text(c, "type"), "register")) {
				s.current = s.current_definition = (struct entity){.kind = ENTITY_SKIPPED};
				const json_t *as = json_object_get(c, "name");
				if (as) {
					names_set(&s.instances, json_string_value(as), json_string_length(as), s.current);
					names_set(&s.definitions, json_string_value(as), json_string_length(as), s.current);
				}
			}
		} else {
			o = script_command(&s, c);
		}
		count(r, &s, c, o, t);
	}
	component_script_end(&s);
	core_script_end(&s);
	arena_release(&s.arena);
}

// The child counts in shared memory: what it had done before a crash is kept.
static void run_in_child(struct run *r, const char *name, const json_t *commands)
{
	struct tally *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	BUG_ON(shared == MAP_FAILED);
	fflush(stdout);
	pid_t pid = fork();
	BUG_ON(pid < 0);
	if (pid == 0) {
		alarm(SCRIPT_SECONDS);
		run_script(r, name, commands, shared);
		fflush(stdout);
		_exit(0);
	}
	int status = 0;
	waitpid(pid, &status, 0);
	struct tally t = *shared;
	munmap(shared, sizeof(*shared));
	if (status != 0) {
		printf("FAILED %s: ended by %s %d\n", name, WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		t.failed++;
	}
	if (r->options.verbose || t.failed)
		printf("%-7s %s: %llu passed, %llu failed, %llu skipped\n", t.failed ? "failed" : "ok", name, (unsigned long long)t.passed, (unsigned long long)t.failed,
			(unsigned long long)t.skipped);
	tally_add(&r->tally, &t);
}

static bool wanted(const struct run *r, const char *name)
{
	for (uint32_t i = 0; i < r->nglobs; i++)
		if (!fnmatch(r->globs[i], name, 0))
			return true;
	return r->nglobs == 0;
}

static void run_folder(struct run *r, const char *folder)
{
	char path[2048];
	snprintf(path, sizeof(path), "%s/features.json", folder);
	r->folder = folder;
	r->features = read_json(path);
	const char *name;
	json_t *needs;
	json_object_foreach(json_object_get(r->features, "features"), name, needs)
	{
		if (!wanted(r, name))
			continue;
		snprintf(path, sizeof(path), "%s/%s/%s.json", folder, name, name);
		json_t *script = read_json(path), *commands = json_object_get(script, "commands"), *c;
		const char *lack = lacking(needs);
		if (lack) {
			char reason[96];
			size_t i, n = 0;
			json_array_foreach(commands, i, c)
				n += is_assertion(c);
			snprintf(reason, sizeof(reason), "needs %s", lack);
			count_skipped(&r->tally, reason, n);
		} else {
			run_in_child(r, name, commands);
		}
		json_decref(script);
	}
	json_decref(r->features);
}

static int usage(void)
{
	fprintf(stderr, "usage: tenon-conform [--tier baseline] [--only GLOB]... [--poison] [--checks] [--collect] [--lazy] [-v] FOLDER...\n");
	return 2;
}

int main(int argc, char **argv)
{
	static struct run r;
	int i = 1;
	for (; i < argc && argv[i][0] == '-'; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;
		if (!strcmp(argv[i], "-v"))
			r.options.verbose = true;
		else if (!strcmp(argv[i], "--poison"))
			r.options.poison = true;
		else if (!strcmp(argv[i], "--checks"))
			vm_process_set_cells(false);
		else if (!strcmp(argv[i], "--lazy"))
			r.options.lazy = true;
		else if (!strcmp(argv[i], "--collect"))
			vm_process_set_collect_always(true);
		else if (!strcmp(argv[i], "--tier") && value && !strcmp(value, "baseline"))
			i++;  // the only one there is
		else if (!strcmp(argv[i], "--only") && value && r.nglobs < MAX_GLOBS)
			r.globs[r.nglobs++] = argv[++i];
		else
			return usage();
	}
	if (i == argc)
		return usage();
	for (; i < argc; i++)
		run_folder(&r, argv[i]);
	for (uint32_t k = 0; k < r.tally.nreasons; k++)
		printf("skipped %llu: %s\n", (unsigned long long)r.tally.reasons[k].count, r.tally.reasons[k].text);
	printf("%llu passed, %llu failed, %llu skipped\n", (unsigned long long)r.tally.passed, (unsigned long long)r.tally.failed, (unsigned long long)r.tally.skipped);
	return r.tally.failed ? 1 : 0;
}
