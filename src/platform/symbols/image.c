// A module's DWARF as libdw takes it: an ELF file whose sections are the module's custom sections. Addresses count from the contents of the code section
// ("DWARF for WebAssembly").
#include "symbols_int.h"

#include <errno.h>
#include <libelf.h>
#include <stdio.h>

#include "sys/sys.h"

static bool is_dwarf(const struct wasm_custom *c)
{
	return slice_starts_with(c->name, SLICE_LIT(".debug_")) && c->name.len < 40 && c->bytes.len;
}

bool symbols__has_dwarf(const struct wasm_module *m)
{
	bool info = false, line = false;
	for (uint32_t i = 0; i < m->ncustoms; i++) {
		info |= slice_eq_str(m->customs[i].name, ".debug_info") && m->customs[i].bytes.len;
		line |= slice_eq_str(m->customs[i].name, ".debug_line") && m->customs[i].bytes.len;
	}
	return info && line;
}

bool symbols__address(const struct wasm_module *m, uint32_t offset, uint32_t *ret)
{
	uint64_t start = m->code_section.len ? (uint64_t)(m->code_section.ptr - m->bytes.ptr) : UINT64_MAX;
	if (offset < start || offset - start >= m->code_section.len)
		return false;
	*ret = (uint32_t)(offset - start);
	return true;
}

struct layout {
	struct slice bytes[SYMBOLS__SECTIONS];
	Elf32_Shdr headers[SYMBOLS__SECTIONS + 2];  // none, DWARF, names
	uint32_t n;
	char names[SYMBOLS__SECTIONS * 40 + 16];
	uint32_t names_len;
	uint64_t at;
};

static uint32_t put_name(struct layout *l, struct slice name)
{
	uint32_t at = l->names_len;
	memcpy(l->names + at, name.ptr, name.len);
	l->names_len += (uint32_t)name.len + 1;
	return at;
}

static bool lay_out(struct layout *l, const struct wasm_module *m)
{
	l->names_len = 1;
	l->at = sizeof(Elf32_Ehdr);
	for (uint32_t i = 0; i < m->ncustoms && l->n < SYMBOLS__SECTIONS; i++) {
		struct slice bytes = m->customs[i].bytes;
		if (!is_dwarf(&m->customs[i]))
			continue;
		if (bytes.len > SYMBOLS__IMAGE_MAX - l->at)
			return false;
		l->bytes[l->n++] = bytes;
		l->headers[l->n] = (Elf32_Shdr){.sh_name = put_name(l, m->customs[i].name),
			.sh_type = SHT_PROGBITS,
			.sh_offset = (Elf32_Off)l->at,
			.sh_size = (Elf32_Word)bytes.len,
			.sh_addralign = 1};
		l->at += bytes.len;
	}
	uint32_t name = put_name(l, SLICE_LIT(".shstrtab"));
	l->headers[l->n + 1] = (Elf32_Shdr){.sh_name = name, .sh_type = SHT_STRTAB, .sh_offset = (Elf32_Off)l->at, .sh_size = l->names_len, .sh_addralign = 1};
	return true;
}

static int write_out(const struct layout *l, int fd)
{
	uint64_t headers_at = align_up_u64(l->at + l->names_len, 8);
	Elf32_Ehdr h = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_EXEC,
		.e_version = EV_CURRENT,
		.e_shoff = (Elf32_Off)headers_at,
		.e_ehsize = sizeof h,
		.e_shentsize = sizeof(Elf32_Shdr),
		.e_shnum = (Elf32_Half)(l->n + 2),
		.e_shstrndx = (Elf32_Half)(l->n + 1),
	};
	int r = sys_write_at(fd, &h, sizeof h, 0);
	for (uint32_t i = 0; !r && i < l->n; i++)
		r = sys_write_at(fd, l->bytes[i].ptr, l->bytes[i].len, l->headers[i + 1].sh_offset);
	if (!r)
		r = sys_write_at(fd, l->names, l->names_len, l->at);
	return r ? r : sys_write_at(fd, l->headers, (l->n + 2) * sizeof *l->headers, headers_at);
}

int symbols__image(const struct wasm_module *m, uint64_t *ret_size)
{
	struct layout *l = mem_zalloc(sizeof *l);
	if (!l)
		return -ENOMEM;
	int fd = -EFBIG;
	if (lay_out(l, m)) {
		*ret_size = align_up_u64(l->at + l->names_len, 8) + (l->n + 2) * sizeof *l->headers;
		fd = sys_memfd("tenon-dwarf", *ret_size);
	}
	int r = fd < 0 ? 0 : write_out(l, fd);
	if (!r && fd >= 0)
		r = sys_memfd_seal(fd);
	mem_free(l);
	if (r) {
		sys_close(fd);
		return r;
	}
	return fd;
}
