// Inside of room serve: the ceiling on the memory of the process.
#ifndef TENON_SERVE_MEMORY_H
#define TENON_SERVE_MEMORY_H

#include "base/base.h"

struct serve_process_limits;
struct serve_process;
struct serve_thread;

// The limit that applies: as configured, else three quarters of what the cgroups or the machine have.
uint64_t serve__process_memory_limit(const struct serve_process_limits *l);
// The least limit on memory of the cgroups that a process is in, of version 2 and 1, on the way up: `cgroups` is its /proc/self/cgroup, `root` where
// they are mounted (/sys/fs/cgroup). UINT64_MAX: none.
uint64_t serve__cgroup_memory(struct slice cgroups, const char *root);
// What follows asks what that opened (a page of /proc); serve__process_close closes it.
void serve__memory_open(struct serve_process *p);
// What the process uses now; 0: it can't tell.
uint64_t serve__memory_resident(const struct serve_process *p);
// What is left free below the limit when no further slot is made; when half of it is used up too, calls are ended. Between two looks guests write to
// tens of megabytes where the machine has much else to do.
uint64_t serve__memory_headroom(const struct serve_process *p);
// Beyond it no slot is made. Asked of the system when it is wanted first, or soon after the process is ready. Any thread.
uint64_t serve__memory_ceiling(const struct serve_process *p);
bool serve__memory_is_short(const struct serve_process *p);
// Instances of the thread went: what they leave in the heap goes back to the system, soon.
void serve__memory_give_back(struct serve_thread *t);
// Whether the process can tell how much it uses; else there is no ceiling.
bool serve__memory_is_known(const struct serve_process *p);

#endif
