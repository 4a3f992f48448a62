// What profilers and debuggers are told of published code: perf's map file (TENON_PERF=1) and gdb's JIT interface (TENON_GDB=1), for which each
// object gets a small ELF image with a symbol a function. Failing to tell is never an error.
#include "code_int.h"

#include <elf.h>
#include <stdio.h>

#include "sys/sys.h"

static bool is_on(const char *variable)
{
	const char *v = getenv(variable);
	return v && v[0] && strcmp(v, "0") != 0;
}

// Of functions that come one by one they are indexed with the first. `own`: for the others, to be released.
static const struct wasm_names *names_of(const struct code_object *o, const struct wasm_module *m, struct wasm_names *own)
{
	struct code__lazy *z = o->whole ? o->whole->lazy : NULL;
	struct wasm_names *n = z ? &z->names : own;
	if (m && !(z && z->has_names))
		wasm_names_make(n, m);
	if (z)
		z->has_names = true;
	return n;
}

void code__perf_note(const struct code_object *o, const struct wasm_module *m)
{
	static struct sys_mutex lock = SYS_MUTEX;
	char path[64], name[256];
	if (!is_on("TENON_PERF"))
		return;
	snprintf(path, sizeof path, "/tmp/perf-%d.map", sys_process_id());
	sys_mutex_lock(&lock);
	FILE *f = fopen(path, "ae");
	if (f) {
		struct wasm_names own = {0};
		const struct wasm_names *names = o->lazy ? NULL : names_of(o, m, &own);
		if (o->lazy)
			fprintf(f, "%lx %lx wasm:(entries)\n", (unsigned long)(uintptr_t)o->text, (unsigned long)(code__lazy_entry(o, o->nfuncs) - o->text));
		for (uint32_t i = 0; i < o->nfuncs && !o->lazy; i++) {
			wasm_names_put(names, o->first_func + i, name, sizeof name);
			fprintf(f, "%lx %x wasm:%s\n", (unsigned long)(uintptr_t)(o->text + o->funcs[i].offset), o->funcs[i].size, name);
		}
		wasm_names_release(&own);
		fclose(f);
	}
	sys_mutex_unlock(&lock);
}

// ---- gdb --------------------------------------------------------------------------------------------------------
// The interface is fixed by gdb: names, layout, and that the function is called after each change.
struct jit_code_entry {
	struct jit_code_entry *next, *prev;
	const char *symfile_addr;
	uint64_t symfile_size;
};
struct jit_descriptor {
	uint32_t version, action;
	struct jit_code_entry *relevant, *first;
};
void __jit_debug_register_code(void);
__attribute__((visibility("default"), noinline, used)) void __jit_debug_register_code(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);  // not nothing: calls of it stay
}
__attribute__((visibility("default"), used)) struct jit_descriptor __jit_debug_descriptor = {1, 0, NULL, NULL};
static struct sys_mutex gdb_lock = SYS_MUTEX;

enum { SECTION_NULL, SECTION_TEXT, SECTION_SYMTAB, SECTION_STRTAB, SECTION_COUNT };

static bool elf_image(const struct code_object *o, const struct wasm_module *m, struct buf *out)
{
	static const char sections_names[] = "\0.text\0.symtab\0.strtab";
	struct wasm_names own = {0};
	const struct wasm_names *names = names_of(o, m, &own);
	AUTO(buf)
	strings = {0};
	AUTO(buf)
	symbols = {0};
	char name[256];
	Elf64_Sym none = {0};
	buf_put(&strings, sections_names, sizeof sections_names);
	buf_put(&symbols, &none, sizeof none);
	for (uint32_t i = 0; i < o->nfuncs; i++) {
		Elf64_Sym s = {
			.st_name = (Elf64_Word)strings.len,
			.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
			.st_shndx = SECTION_TEXT,
			.st_value = o->funcs[i].offset,
			.st_size = o->funcs[i].size,
		};
		wasm_names_put(names, o->first_func + i, name, sizeof name);
		buf_put(&strings, name, strlen(name) + 1);
		buf_put(&symbols, &s, sizeof s);
	}
	wasm_names_release(&own);
	Elf64_Ehdr h = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_REL,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_shoff = sizeof h,
		.e_ehsize = sizeof h,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = SECTION_COUNT,
		.e_shstrndx = SECTION_STRTAB,
	};
	uint64_t at = sizeof h + SECTION_COUNT * sizeof(Elf64_Shdr);
	Elf64_Shdr sections[SECTION_COUNT] = {
		[SECTION_TEXT] = {
			.sh_name = 1,
			.sh_type = SHT_NOBITS,
			.sh_flags = SHF_ALLOC | SHF_EXECINSTR,
			.sh_addr = (uintptr_t)o->text,
			.sh_size = o->text_size,
			.sh_addralign = 16,
		},
		[SECTION_SYMTAB] = {
			.sh_name = 7,
			.sh_type = SHT_SYMTAB,
			.sh_offset = at,
			.sh_size = symbols.len,
			.sh_link = SECTION_STRTAB,
			.sh_info = 1,
			.sh_addralign = 8,
			.sh_entsize = sizeof(Elf64_Sym),
		},
		[SECTION_STRTAB] = {.sh_name = 15, .sh_type = SHT_STRTAB, .sh_offset = at + symbols.len, .sh_size = strings.len, .sh_addralign = 1},
	};
	buf_put(out, &h, sizeof h);
	buf_put(out, sections, sizeof sections);
	buf_put(out, symbols.ptr, symbols.len);
	buf_put(out, strings.ptr, strings.len);
	return !out->failed && !strings.failed && !symbols.failed;
}

static void tell_gdb(struct jit_code_entry *entry, uint32_t action)
{
	__jit_debug_descriptor.relevant = entry;
	__jit_debug_descriptor.action = action;
	__jit_debug_register_code();
	__jit_debug_descriptor.action = 0;
}

void *code__gdb_add(const struct code_object *o, const struct wasm_module *m)
{
	struct buf image = {0};
	if (o->lazy || !is_on("TENON_GDB"))
		return NULL;
	struct jit_code_entry *entry = mem_zalloc(sizeof *entry);
	if (!entry || !elf_image(o, m, &image)) {
		buf_release(&image);
		mem_free(entry);
		return NULL;
	}
	*entry = (struct jit_code_entry){.symfile_addr = (const char *)image.ptr, .symfile_size = image.len};
	sys_mutex_lock(&gdb_lock);
	entry->next = __jit_debug_descriptor.first;
	if (entry->next)
		entry->next->prev = entry;
	__jit_debug_descriptor.first = entry;
	tell_gdb(entry, 1);
	sys_mutex_unlock(&gdb_lock);
	return entry;
}

void code__gdb_remove(void *p)
{
	struct jit_code_entry *entry = p;
	if (!entry)
		return;
	sys_mutex_lock(&gdb_lock);
	if (entry->prev)
		entry->prev->next = entry->next;
	else
		__jit_debug_descriptor.first = entry->next;
	if (entry->next)
		entry->next->prev = entry->prev;
	tell_gdb(entry, 2);
	sys_mutex_unlock(&gdb_lock);
	mem_free((void *)(uintptr_t)entry->symfile_addr);
	mem_free(entry);
}
