// In a process of its own: DWARF from standard input, read by libdw, answered on standard output. Whatever happens here happens to nobody else.
#include "symbols_int.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdio.h>

#include "sys/sys.h"

#define MEMORY (1 * GIB)  // of address space, the image not counted
enum { CPU_SECONDS = 1, TEXT_MAX = 400 };

struct place {
	const char *file;
	int line, column;
};

static void put_text(struct buf *out, const char *text)
{
	for (size_t i = 0; text && text[i] && i < TEXT_MAX; i++)
		buf_put_byte(out, text[i] == '\t' || text[i] == '\n' ? '?' : (uint8_t)text[i]);
}

static void put_place(struct buf *out, uint32_t index, const struct place *p, const char *name)
{
	buf_printf(out, "%u\t%d\t%d\t", index, p->line > 0 ? p->line : 0, p->column > 0 ? p->column : 0);
	put_text(out, p->file);
	buf_put_byte(out, '\t');
	put_text(out, name);
	buf_put_byte(out, '\n');
}

// A range that begins at 0 is what is left of a function that the linker took out: at 0 is the number of functions.
static bool has_address(Dwarf_Die *die, Dwarf_Addr at)
{
	Dwarf_Addr base, start, end;
	ptrdiff_t offset = 0;
	while ((offset = dwarf_ranges(die, offset, &base, &start, &end)) > 0)
		if (start && at >= start && at < end)
			return true;
	return false;
}

static const char *name_of(Dwarf_Die *die)
{
	static const unsigned names[] = {DW_AT_linkage_name, DW_AT_MIPS_linkage_name, DW_AT_name};
	Dwarf_Attribute attribute;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (dwarf_attr_integrate(die, names[i], &attribute)) {
			const char *name = dwarf_formstring(&attribute);
			if (name && name[0])
				return name;
		}
	return "?";
}

static int number_of(Dwarf_Die *die, unsigned name)
{
	Dwarf_Attribute attribute;
	Dwarf_Word value;
	return dwarf_attr(die, name, &attribute) && dwarf_formudata(&attribute, &value) == 0 && value < 1000000000 ? (int)value : 0;
}

// Where an inlined function was called.
static struct place call_site(Dwarf_Die *unit, Dwarf_Die *die)
{
	Dwarf_Files *files;
	size_t n;
	struct place p = {.line = number_of(die, DW_AT_call_line), .column = number_of(die, DW_AT_call_column)};
	int file = number_of(die, DW_AT_call_file);
	if (dwarf_getsrcfiles(unit, &files, &n) == 0 && (size_t)file < n)
		p.file = dwarf_filesrc(files, (size_t)file, NULL, NULL);
	return p;
}

static void put_scopes(struct buf *out, uint32_t index, Dwarf_Die *unit, Dwarf_Addr at, struct place *p)
{
	Dwarf_Die *found, *scopes;
	unsigned inlined = 0;
	if (dwarf_getscopes(unit, at, &found) <= 0)
		return;
	int n = dwarf_getscopes_die(&found[0], &scopes);
	for (int i = 0; i < n && dwarf_tag(&scopes[i]) != DW_TAG_subprogram; i++) {
		if (dwarf_tag(&scopes[i]) != DW_TAG_inlined_subroutine)
			continue;
		if (inlined++ < SYMBOLS__INLINED_MAX)
			put_place(out, index, p, name_of(&scopes[i]));
		*p = call_site(unit, &scopes[i]);
	}
}

static void put_address(struct buf *out, uint32_t index, Dwarf_Die *unit, Dwarf_Addr at)
{
	struct place p = {0};
	Dwarf_Line *line = dwarf_getsrc_die(unit, at);
	if (!line)
		return;
	p.file = dwarf_linesrc(line, NULL, NULL);
	if (dwarf_lineno(line, &p.line) || dwarf_linecol(line, &p.column))
		return;
	put_scopes(out, index, unit, at, &p);
	put_place(out, index, &p, "");
}

static void answer(Dwarf *dwarf, const uint64_t *addresses, uint32_t n, struct buf *out)
{
	Dwarf_CU *unit = NULL;
	Dwarf_Die die;
	bool known[VM_BACKTRACE_MAX] = {false};
	while (dwarf_get_units(dwarf, unit, &unit, NULL, NULL, &die, NULL) == 0)
		for (uint32_t i = 0; i < n; i++)
			if (!known[i] && has_address(&die, addresses[i])) {
				known[i] = true;
				put_address(out, i, &die, addresses[i]);
			}
}

static bool read_numbers(int argc, char **argv, uint64_t *ret_size, uint64_t *ret, uint32_t *ret_n)
{
	if (argc < 2 || argc - 2 > VM_BACKTRACE_MAX || !slice_parse_u64(slice_str(argv[1]), SYMBOLS__IMAGE_MAX * 2, ret_size))
		return false;
	for (int i = 2; i < argc; i++)
		if (!slice_parse_u64(slice_str(argv[i]), UINT32_MAX, &ret[i - 2]))
			return false;
	*ret_n = (uint32_t)argc - 2;
	return true;
}

int symbols__answer(int argc, char **argv)
{
	uint64_t size, addresses[VM_BACKTRACE_MAX];
	uint32_t n;
	struct buf out = {.max = SYMBOLS__ANSWER_MAX - 1};
	if (!read_numbers(argc, argv, &size, addresses, &n))
		return 2;
	char *image = sys_map_file(0, size);
	if (!image || sys_confine(size + MEMORY, CPU_SECONDS))
		return 5;
	elf_version(EV_CURRENT);
	Elf *elf = elf_memory(image, size);
	Dwarf *dwarf = elf ? dwarf_begin_elf(elf, DWARF_C_READ, NULL) : NULL;
	if (!dwarf)
		return 3;
	answer(dwarf, addresses, n, &out);
	return sys_write_all(1, out.ptr, out.len) ? 0 : 1;  // the process ends: nothing is freed
}
