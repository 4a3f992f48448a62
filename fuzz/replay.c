// Stands for libFuzzer where it is not linked: runs a fuzz target once on each file, or each file of each folder, that is named.
#include <dirent.h>
#include <sys/stat.h>

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static unsigned n_run;

static int run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	if (!f)
		return 1;
	static uint8_t data[1 << 20];
	size_t n = fread(data, 1, sizeof(data), f);
	fclose(f);
	uint8_t *exact = mem_alloc(n ? n : 1);  // so that a sanitizer sees its end
	if (!exact)
		return 1;
	memcpy(exact, data, n);
	LLVMFuzzerTestOneInput(exact, n);
	mem_free(exact);
	n_run++;
	return 0;
}

static int run_path(const char *path)
{
	DIR *d = opendir(path);
	if (!d)
		return run_file(path);
	int bad = 0;
	for (struct dirent *en; (en = readdir(d));) {
		char name[4096];
		if (en->d_name[0] != '.' && snprintf(name, sizeof(name), "%s/%s", path, en->d_name) < (int)sizeof(name))
			bad |= run_file(name);
	}
	closedir(d);
	return bad;
}

int main(int argc, char **argv)
{
	int bad = 0;
	for (int i = 1; i < argc; i++)
		bad |= run_path(argv[i]);
	printf("%u inputs\n", n_run);
	return bad;
}
