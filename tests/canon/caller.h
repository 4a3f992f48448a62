// A guest whose export calls an async host function and waits for it in its callback.
#ifndef TESTS_CANON_CALLER_H
#define TESTS_CANON_CALLER_H

#include "subject.h"

// run(a): h(a) lowered async; what it returned, at once or by the callback. h new join return drop set-drop get0 get1 set0 set1; run, cb.
// `early`, `late`: where it returns, and of what; the latter takes h's result.
#define CALLER_MODULE(early, late)                                                                                                                                                                               \
	MODULE TYPES "[ 06 60 02 7f 7f 01 7f 60 00 01 7f 60 02 7f 7f 00 60 01 7f 00 60 01 7f 01 7f 60 03 7f 7f 7f 01 7f ] " IMPORTS                                                                                  \
				 "[ 0b 'x' 'h' 00 00 'x' 'new' 00 01 'x' 'join' 00 02 'x' 'return' 00 03 'x' 'drop' 00 03 'x' 'wdrop' 00 03 'x' 'get0' 00 01 "                                                                   \
				 "'x' 'get1' 00 01 'x' 'set0' 00 03 'x' 'set1' 00 03 'x' 'm' 02 00 01 ] " FUNCS "[ 02 04 05 ] " GLOBALS                                                                                          \
				 "[ 01 7f 01 i32.const #1024 end ] " EXPORTS "[ 02 'run' 00 0a 'cb' 00 0b ] " CODE                                                                                                               \
				 "[ 02 [ 01 03 7f global.get #0 local.tee #2 i32.const #16 i32.add i32.const #65520 i32.and global.set #0 local.get #0 local.get #2 "                                                            \
				 "call #0 local.tee #1 i32.const #15 i32.and i32.const #2 i32.eq if 40 local.get #2 i32.load #2 #0 call #3 i32.const #0 return end "                                                             \
				 "call #1 local.set #3 local.get #1 i32.const #4 i32.shr_u local.get #3 call #2 local.get #2 call #8 local.get #3 call #9 " early "local.get #3 i32.const #4 i32.shl i32.const #2 i32.or end ] " \
				 "[ 00 local.get #0 i32.const #1 i32.ne local.get #2 i32.const #2 i32.ne i32.or if 40 unreachable end local.get #1 call #4 "                                                                     \
				 "call #7 call #5 call #6 i32.load #2 #0 " late "i32.const #0 end ] ] "
#define CALLER_OF(import, type, early, late)                                                                                                                                                       \
	COMPONENT import CORE_MODULE "[ " MODULE MEMORIES "[ 01 00 01 ] " EXPORTS "[ 01 'm' 02 00 ] ] " CORE_INSTANCE "[ 01 00 00 00 ] " ALIAS                                                         \
								 "[ 01 00 02 01 00 'm' ] " CANON "[ 0a 01 00 00 02 06 03 00 1f 23 09 00 79 00 0d 22 0a 7f 00 0a 7f 01 0b 7f 00 0b 7f 01 ] " CORE_MODULE                            \
								 "[ " CALLER_MODULE(early, late) "] " CORE_INSTANCE                                                                                                                \
																 "[ 02 01 0b 'h' 00 00 'new' 00 01 'join' 00 02 'return' 00 03 'drop' 00 04 'wdrop' 00 05 'get0' 00 06 'get1' 00 07 'set0' 00 08 " \
																 "'set1' 00 09 'm' 02 00 00 01 01 'x' 12 01 ] " ALIAS "[ 02 00 00 01 02 'run' 00 00 01 02 'cb' ] " CANON "[ 01 00 00 0a 02 06 07 0b " type " ] " EXPORT "[ 01 00 'run' 01 01 00 ] "
#define CALLER(import, type) CALLER_OF(import, type, "", "call #3 ")
// It returns 0 where it has to wait, before it does.
#define LEAVER(import, type) CALLER_OF(import, type, "i32.const #0 call #3 ", "drop ")
// import: a function h that is async and takes and gives a u32; or an interface that has it as `wait`.
#define IMPORTS_H TYPE "[ 01 43 01 'a' 79 00 79 ] " IMPORT "[ 01 00 'h' 01 00 ] "
#define IMPORTS_HOST                                                                                                                              \
	TYPE "[ 01 42 02 01 43 01 'a' 79 00 79 04 00 'wait' 01 00 ] " IMPORT "[ 01 00 'test:test/host' 05 00 ] " ALIAS "[ 01 01 00 00 'wait' ] " TYPE \
		 "[ 01 43 01 'a' 79 00 79 ] "

#endif
