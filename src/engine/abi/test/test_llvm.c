// The IR of docs/abi.md comes out of llc as the page says: LLVM can follow the contract. Skipped where llc-19 is missing.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "abi/abi.h"

static bool read_file(const char *path, struct buf *b)
{
	FILE *f = fopen(path, "re");
	char piece[4096];
	size_t n;
	if (!f)
		return false;
	while ((n = fread(piece, 1, sizeof piece, f)) > 0)
		buf_put(b, piece, n);
	fclose(f);
	return buf_put_byte(b, 0);
}

// The next block of a kind from *at on; NULL if there is none. The text is cut at its end.
static char *next_block(char **at, const char *fence)
{
	char *begin = strstr(*at, fence);
	if (!begin)
		return NULL;
	begin += strlen(fence);
	char *end = strstr(begin, "\n```");
	assert_non_null(end);
	end[1] = 0;
	*at = end + 2;
	return begin;
}

static void compile(const char *ir, struct buf *assembly)
{
	char in[] = "/tmp/tenon-abi-XXXXXX", command[256], piece[4096];
	int fd = mkstemp(in);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, ir, strlen(ir)), strlen(ir));
	close(fd);
	snprintf(command, sizeof command, "llc-19 -O2 -mtriple=x86_64-linux-gnu --x86-asm-syntax=intel -swift-async-fp=never -o - %s 2>&1", in);
	FILE *f = popen(command, "re");
	assert_non_null(f);
	size_t n;
	while ((n = fread(piece, 1, sizeof piece, f)) > 0)
		buf_put(assembly, piece, n);
	buf_put_byte(assembly, 0);
	int status = pclose(f);
	unlink(in);
	if (status)
		fail_msg("%s", (const char *)assembly->ptr);
}

static void contains_in_order(const char *assembly, char *lines)
{
	char *save, *line;
	const char *at = assembly;
	for (line = strtok_r(lines, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *found = strstr(at, line);
		if (!found)
			fail_msg("no '%s' after\n%s", line, at);
		at = found + strlen(line);
	}
}

static void llvm_follows_every_rule_of_the_page(void **state)
{
	AUTO(buf)
	page = {0};
	char path[512], *ir;
	const char *top = getenv("TENON_SOURCE");
	snprintf(path, sizeof path, "%s/docs/abi.md", top ? top : ".");
	if (system("command -v llc-19 >/dev/null 2>&1") != 0 || !read_file(path, &page))
		skip();
	char *at = (char *)page.ptr;
	int n = 0;
	while ((ir = next_block(&at, "```llvm\n"))) {
		AUTO(buf)
		assembly = {0};
		char *expected = next_block(&at, "```expect\n");
		assert_non_null(expected);
		compile(ir, &assembly);
		contains_in_order((const char *)assembly.ptr, expected);
		n++;
	}
	assert_int_equal(n, 7);
}

// What the page and abi.h say of a signature.
static void parameters_are_classified_as_the_page_says(void **state)
{
	struct wasm_valtype i = {.kind = WASM_I64}, f = {.kind = WASM_F64}, params[24], results[2] = {i, f};
	struct abi_loc locs[24];
	struct abi_sig sig;
	for (int k = 0; k < 24; k++)
		params[k] = k % 3 ? i : f;
	struct wasm_func_type t = {.nparams = 24, .nresults = 2, .params = params, .results = results};
	abi_classify(&t, locs, &sig);
	assert_true(sig.by_pointer);
	assert_int_equal(locs[1].place, ABI_GPR);
	assert_int_equal(locs[1].index, 0);
	assert_int_equal(locs[21].place, ABI_XMM);
	assert_int_equal(locs[21].index, 7);
	assert_int_equal(locs[10].place, ABI_STACK);
	assert_int_equal(locs[10].index, 0);
	assert_int_equal(sig.results_pointer.place, ABI_STACK);
	assert_int_equal(sig.results_pointer.index, 10);
	assert_int_equal(sig.stack_cells, 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(llvm_follows_every_rule_of_the_page),
		cmocka_unit_test(parameters_are_classified_as_the_page_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
