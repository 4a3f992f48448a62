// Functions that do not compile in this house: unbounded copies, hidden state, silent errors.
#ifndef TENON_BANNED_H
#define TENON_BANNED_H
#include <alloca.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#undef alloca
#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef sprintf
#undef vsprintf
#undef strtok
#undef atoi
#undef atol
#undef gets
#pragma GCC poison alloca strcpy strcat strncpy strncat sprintf vsprintf strtok atoi atol atoll gets tmpnam mktemp
// A name of parameters in headers of others: banned where it is called.
int rand(void) __attribute__((unavailable("hidden state: sys_random")));
void srand(unsigned seed) __attribute__((unavailable("hidden state: sys_random")));
#endif
