// Reads the tables in tests/http: cases of "--- name", "in TEXT" (escaped, appended), "out TEXT" (one string a line).
#ifndef TENON_HTTP_TEST_TABLE_H
#define TENON_HTTP_TEST_TABLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/base.h"

struct table_case {
	char name[160];
	uint8_t in[4096];
	size_t in_len;
	char out[12][512];
	int outs;
};

static inline size_t table_unescape(const char *text, uint8_t *out, size_t cap)
{
	size_t n = 0;
	for (; *text && *text != '\n'; text++) {
		unsigned c = (uint8_t)*text;
		if (c == '\\') {
			c = (uint8_t)*++text;
			if (c == 'x') {
				char hex[3] = {text[1], text[2], 0};
				c = (unsigned)strtoul(hex, NULL, 16);
				text += 2;
			} else {
				c = c == 'r' ? '\r' : c == 'n' ? '\n'
					: c == 't'                 ? '\t'
											   : c;
			}
		}
		assert_true(n < cap);
		out[n++] = (uint8_t)c;
	}
	return n;
}

static inline int table_run(const char *file, void (*fn)(const struct table_case *c))
{
	char path[4096], line[4096];
	const char *top = getenv("TENON_SOURCE");
	snprintf(path, sizeof path, "%s/tests/http/%s", top ? top : ".", file);
	FILE *f = fopen(path, "r");
	if (!f)
		fail_msg("no %s", path);
	struct table_case c = {0};
	int n = 0;
	while (fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = 0;
		if (!memcmp(line, "--- ", 4)) {
			if (c.outs)
				fn(&c), n++;
			memset(&c, 0, sizeof c);
			snprintf(c.name, sizeof c.name, "%.150s", line + 4);
		} else if (!memcmp(line, "in ", 3)) {
			c.in_len += table_unescape(line + 3, c.in + c.in_len, sizeof c.in - c.in_len);
		} else if (!memcmp(line, "out ", 4)) {
			assert_true(c.outs < 12);
			snprintf(c.out[c.outs++], sizeof c.out[0], "%.500s", line + 4);
		} else if (line[0] && line[0] != '#') {
			fail_msg("%s: what is '%s'", file, line);
		}
	}
	if (c.outs)
		fn(&c), n++;
	fclose(f);
	return n;
}

#endif
