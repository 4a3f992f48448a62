// What `tenon doctor` finds out about a machine (doctor_look.c) and what it makes of it (doctor_rows.c).
#ifndef TENON_CLI_DOCTOR_H
#define TENON_CLI_DOCTOR_H

#include "cli_int.h"
#include "sys/sys.h"
#include "vm/vm.h"

struct doctor_facts {
	char kernel[80];
	bool cpu_suffices;
	uint32_t cpu;              // enum code_cpu
	unsigned cores;            // that this process may use
	uint64_t cells;            // memories of 6 GiB that address space allows at once
	uint64_t mappings;         // vm.max_map_count
	int overcommit;            // vm.overcommit_memory; -1: can't be read
	uint64_t memory;           // bytes: the least of machine and cgroups
	bool memory_is_known;      // can the process tell how much it uses?
	uint64_t descriptors, threads;
	uint64_t file_size;        // bytes that a file may have, also one in memory; UINT64_MAX: as many as there are
	enum sys_lookup lookup;
	enum vm_reset_method reset;
	char huge_pages[80];       // "always [madvise] never"; empty: none
	char cache_path[512];      // empty: there is to be none
	struct err cache;          // why there is none, or none that can be written
	bool cache_maps;           // code runs from its files
	const char *roots;         // of certificates; NULL: none
	struct err tls;            // why it can't be spoken
	bool filters;              // of system calls
	struct err engine;         // why it can't start at all
};
// `root`: where /proc and /sys are looked for ("" but in tests).
void doctor_look(const char *root, struct doctor_facts *ret);

enum doctor_state { DOCTOR_OK, DOCTOR_COSTS, DOCTOR_MISSING };
struct doctor_row {
	const char *name;
	enum doctor_state state;
	char found[600];
	const char *costs, *todo;  // NULL where all is well
};
#define DOCTOR_ROWS 16
// Fills so many rows.
void doctor_judge(const struct doctor_facts *f, struct doctor_row *ret);

#endif
