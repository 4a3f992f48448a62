// Room symbols: what the places of a trap are called: functions by their names in the source, modules, files and lines.
//
// 1. Nothing is read before a trap asks. Names come from the modules' name sections, through an index that is made once; files and lines from the
//    DWARF in custom sections.
// 2. DWARF is read by libdw, which is not made for bytes that somebody chose in order to harm. So this program is started again for it, in a process that has
//    nothing but those bytes: no files, no sockets, no other memory, a second of CPU time (sys_confine). What it answers is taken as text of the guest's.
// 3. What was found is kept by place, for as long as the modules are; it is bounded. A component that keeps asking pays nine times as long as it took with
//    places that have no line.
#ifndef TENON_SYMBOLS_H
#define TENON_SYMBOLS_H

#include "base/base.h"
#include "vm/vm.h"

struct symbols;
// Of these modules, which outlive it; `component`: the binary that they lie in, or empty. Cheap. NULL: memory is out.
struct symbols *symbols_new(struct vm_module *const *modules, uint32_t n, struct slice component);
void symbols_free(struct symbols *s);
// Is there a place whose line is not known and could be asked for now? From any thread, as all that follows.
bool symbols_has_more(struct symbols *s, const struct vm_frames *frames);
// Finds those lines. Waits for another process, two seconds at most.
void symbols_find(struct symbols *s, const struct vm_frames *frames);
// The frames as lines of text, innermost first: "  at NAME (offset 0x7d), FILE:LINE:COLUMN", and "  at NAME, inlined, FILE:LINE:COLUMN" for those that the
// compiler put into the next one. Control characters of names are still in them.
void symbols_put(struct symbols *s, const struct vm_frames *frames, struct buf *out);

// Called first of all in main: a process that was started to read DWARF does so and ends. Else lines may be asked for from here on: this program knows how.
void symbols_main(int argc, char **argv);

#endif
