// What a handler returns to that was not set by the C library (sys_signal.c, with ThreadSanitizer).
#include "sys.h"

#include <sys/syscall.h>

#if SANITIZE_THREAD
void sys__restorer(void);
__attribute__((naked)) void sys__restorer(void)
{
	__asm__ volatile("mov %0, %%eax\n syscall" ::"i"(SYS_rt_sigreturn));
}
#endif
