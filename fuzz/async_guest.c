#include "async_guest.h"

#include "../tests/engine/guest.h"

// What a guest holds lies in cells of its memory, 16 of each kind from 1024 on, so that most of what it does is legal:
//   handle, state, set (its cell), extra.
// State of an end: 0 idle, 1 copying, 2 done; of a call: its state, 16 resolved and delivered, 64 being made; of both 8: somebody waits for it synchronously; of a
// call 32: cancelled. A set's third word counts its members, its fourth who waits. A writable end's fourth is the byte that is written next.
// Kinds: 0 readable, 1 writable end of a stream, 2, 3 of a future, 4 set, 5 call, 6 suspended thread.
// Context: slot 0: 1 resolved, 2 cancelled; slot 1: which function, from bit 4 on the cell of the set that its callback waits for.

// ---- the core module ------------------------------------------------------------------------------------------------
#define TYPE_LIST                                                                                                                                      \
	"[ #10 60 00 00 60 00 01 7f 60 00 01 7e 60 01 7f 00 60 01 7f 01 7f 60 02 7f 7f 00 60 02 7f 7f 01 7f 60 03 7f 7f 7f 01 7f 60 04 7f 7f 7f 7f 01 7f " \
	"60 03 7f 7f 7f 00 ] "
enum { T_, T_i, T_I, Ti_, Ti_i, Tii_, Tii_i, Tiii_i, Tiiii_i, Tiii_ };

// In `canon`, E is the encoding of strings.
static const struct imported {
	const char *name;
	unsigned type;
	const char *canon;
} imported[] = {
	{"next", T_i, "01 00 00 00"},
	{"bad", Ti_, "01 00 01 00"},
	{"p-a", Ti_i, "01 00 02 00"},
	{"p-s", Tii_i, "01 00 03 00"},
	{"p-t", Tiii_, "01 00 04 03 E 03 00 04 00"},
	{"p-y", Ti_i, "01 00 05 00"},
	{"q-a", Ti_i, "01 00 06 00"},
	{"q-s", Tii_i, "01 00 07 00"},
	{"q-t", Tiii_, "01 00 08 03 E 03 00 04 00"},
	{"q-y", Ti_i, "01 00 09 00"},
	{"p-a-async", Tii_i, "01 00 02 02 06 03 00"},
	{"p-s-async", Tiii_i, "01 00 03 02 06 03 00"},
	{"p-t-async", Tiii_i, "01 00 04 04 E 06 03 00 04 00"},
	{"q-a-async", Tii_i, "01 00 06 02 06 03 00"},
	{"q-s-async", Tiii_i, "01 00 07 02 06 03 00"},
	{"q-t-async", Tiii_i, "01 00 08 04 E 06 03 00 04 00"},
	{"task-cancel", T_, "05"},
	{"subtask-cancel", Ti_i, "06 00"},
	{"subtask-cancel-async", Ti_i, "06 01"},
	{"return-a", Ti_, "09 00 79 00"},
	{"return-s", Ti_, "09 00 00 00"},
	{"return-t", Tii_, "09 00 73 02 E 03 00"},
	{"return-n", T_, "09 01 00 00"},
	{"get0", T_i, "0a 7f 00"},
	{"get1", T_i, "0a 7f 01"},
	{"set0", Ti_, "0b 7f 00"},
	{"set1", Ti_, "0b 7f 01"},
	{"thread-yield", T_i, "0c 00"},
	{"subtask-drop", Ti_, "0d"},
	{"stream-new", T_I, "0e 00"},
	{"stream-read", Tiii_i, "0f 00 02 06 03 00"},
	{"stream-write", Tiii_i, "10 00 02 06 03 00"},
	{"stream-read-sync", Tiii_i, "0f 00 01 03 00"},
	{"stream-write-sync", Tiii_i, "10 00 01 03 00"},
	{"cancel-0", Ti_i, "11 00 01"},
	{"cancel-1", Ti_i, "12 00 01"},
	{"cancel-2", Ti_i, "18 01 01"},
	{"cancel-3", Ti_i, "19 01 01"},
	{"cancel-sync-0", Ti_i, "11 00 00"},
	{"cancel-sync-1", Ti_i, "12 00 00"},
	{"cancel-sync-2", Ti_i, "18 01 00"},
	{"cancel-sync-3", Ti_i, "19 01 00"},
	{"drop-0", Ti_, "13 00"},
	{"drop-1", Ti_, "14 00"},
	{"drop-2", Ti_, "1a 01"},
	{"drop-3", Ti_, "1b 01"},
	{"future-new", T_I, "15 01"},
	{"future-read", Tii_i, "16 01 02 06 03 00"},
	{"future-write", Tii_i, "17 01 02 06 03 00"},
	{"set-new", T_i, "1f"},
	{"set-wait", Tii_i, "20 00 00"},
	{"set-poll", Tii_i, "21 00 00"},
	{"set-drop", Ti_, "22"},
	{"join", Tii_, "23"},
	{"hold", T_, "24"},
	{"let-in", T_, "25"},
	{"thread-index", T_i, "26"},
	{"thread-new", Tii_i, "27 00 00"},
	{"resume-later", Ti_, "28"},
	{"suspend", T_i, "29 00"},
	{"suspend-resume", Ti_i, "2a 00"},
	{"yield-resume", Ti_i, "2b 00"},
	{"suspend-promote", Ti_i, "2c 00"},
	{"yield-promote", Ti_i, "2d 00"},
};

#define NO_LOCALS "00 "
#define A_LOCAL "01 01 7f "
#define TWO_LOCALS "01 02 7f "
#define AND_A_LONG "02 01 7f 01 7e "
#define GET(n) "local.get #" #n " "
#define SET(n) "local.set #" #n " "
#define TEE(n) "local.tee #" #n " "
#define INT(n) "i32.const #" #n " "
#define CALL(name) "call $" name " "
#define LOAD_AT(offset) "i32.load #2 #" #offset " "
#define STORE_AT(offset) "i32.store #2 #" #offset " "
#define HANDLE LOAD_AT(0)
#define STATE LOAD_AT(4)
#define OF_SET LOAD_AT(8)
#define IF "if 40 "
#define END "end "
#define RETURN "return "
#define UNLESS_RETURN "i32.eqz if 40 return end "
#define CELL(kind, n) INT(kind) GET(n) CALL("cell")
#define EQUALS(n) INT(n) "i32.eq "
// Local n: how many, added to what lies at `offset` of the cell on the stack.
#define ADD_AT(cell, offset, n) GET(cell) GET(cell) LOAD_AT(offset) INT(n) "i32.add " STORE_AT(offset)
// A cell with a handle, that is idle; in local 2. Else the operation does nothing.
#define IDLE_CELL(kind) CELL(kind, 0) TEE(2) HANDLE "i32.eqz " GET(2) STATE "i32.or if 40 return end "
#define LENGTH GET(1) INT(201) "i32.rem_u "
#define BUFFER(kind) INT(kind) GET(2) CALL("buffer")
#define AREA GET(2) INT(255) "i32.and " INT(28672) "i32.add "
#define WITH_PROVIDER(results, p, q) GET(1) INT(1) "i32.and if " results " " CALL(q) "else " CALL(p) END

struct core_func {
	const char *name;
	unsigned type;
	const char *code;
};
static const struct core_func helpers[] = {
	{"cell", Tii_i, NO_LOCALS GET(0) INT(8) "i32.shl " GET(1) INT(15) "i32.and " INT(4) "i32.shl i32.add " INT(1024) "i32.add "},
	// A free cell of the kind, or 0.
	{"free", Ti_i, TWO_LOCALS "loop 40 " GET(0) GET(1) CALL("cell") TEE(2) HANDLE GET(2) STATE "i32.or i32.eqz if 40 " GET(2) RETURN END GET(1) INT(1) "i32.add " TEE(1) INT(16) "i32.lt_u br_if #0 end " INT(0)},
	// One that may be passed, or 0.
	{"idle", Ti_i, TWO_LOCALS "loop 40 " GET(0) GET(1) CALL("cell") TEE(2) HANDLE "i32.eqz " GET(2) STATE "i32.or " GET(2) OF_SET "i32.or i32.eqz if 40 " GET(2) RETURN END GET(1) INT(1) "i32.add " TEE(1) INT(16) "i32.lt_u br_if #0 end " INT(0)},
	// The cell of a kind's handle; of one that nobody knows a cell that nobody has.
	{"find", Tii_i, TWO_LOCALS "loop 40 " GET(0) GET(2) CALL("cell") TEE(3) HANDLE GET(1) "i32.eq if 40 " GET(3) RETURN END GET(2) INT(1) "i32.add " TEE(2) INT(16) "i32.lt_u br_if #0 end " INT(1) CALL("bad") INT(800)},
	{"leave", Ti_, A_LOCAL GET(0) OF_SET TEE(1) IF ADD_AT(1, 8, -1) END GET(0) INT(0) STORE_AT(8)},
	{"clear", Ti_, NO_LOCALS GET(0) "i64.const #0 i64.store #3 #0 " GET(0) "i64.const #0 i64.store #3 #8 "},
	// Keeps a handle, or drops it.
	{"put", Tii_, A_LOCAL GET(0) CALL("free") TEE(2) IF GET(2) CALL("clear") GET(2) GET(1) STORE_AT(0) RETURN END GET(1) GET(0) INT(72) "i32.add call_indirect #3 #0 "},
	{"take-sr", T_i, AND_A_LONG INT(0) CALL("idle") TEE(0) IF GET(0) HANDLE GET(0) CALL("clear") RETURN END CALL("stream-new") TEE(1) "i64.const #32 i64.shr_u i32.wrap_i64 " SET(0) INT(1) GET(0) CALL("put") GET(1) "i32.wrap_i64 "},
	{"take-fr", T_i, AND_A_LONG INT(2) CALL("idle") TEE(0) IF GET(0) HANDLE GET(0) CALL("clear") RETURN END INT(3) CALL("free") "i32.eqz if 40 " INT(0) RETURN END CALL("future-new") TEE(1) "i64.const #32 i64.shr_u i32.wrap_i64 " SET(0) INT(3) GET(0) CALL("put") GET(1) "i32.wrap_i64 "},
	{"buffer", Tii_i, NO_LOCALS GET(0) INT(2) "i32.lt_u if 7f " GET(1) INT(255) "i32.and " INT(4) "i32.shl " GET(0) INT(1) "i32.add " INT(13) "i32.shl i32.add else " GET(0) INT(8) "i32.shl " GET(1) INT(255) "i32.and i32.add " INT(24064) "i32.add end "},
	// Bytes of a stream follow each other.
	{"verify", Tii_, NO_LOCALS "block 40 " GET(1) INT(2) "i32.lt_u br_if #0 loop 40 " GET(0) "i32.load8_u #0 #0 " INT(1) "i32.add " INT(255) "i32.and " GET(0) "i32.load8_u #0 #1 i32.ne if 40 " INT(2) CALL("bad") END GET(0) INT(1) "i32.add " SET(0) GET(1) INT(1) "i32.sub " TEE(1) INT(2) "i32.ge_u br_if #0 end end "},
	{"fill", Tiii_, NO_LOCALS "block 40 " GET(2) "i32.eqz br_if #0 loop 40 " GET(0) GET(1) "i32.store8 #0 #0 " GET(0) INT(1) "i32.add " SET(0) GET(1) INT(1) "i32.add " SET(1) GET(2) INT(1) "i32.sub " TEE(2) "br_if #0 end end "},
	// What a copy answered.
	{"settle", Tiii_, NO_LOCALS GET(2) EQUALS(-1) IF GET(1) INT(1) STORE_AT(4) RETURN END GET(1) GET(0) INT(2) "i32.lt_u if 7f " INT(2) INT(0) GET(2) INT(15) "i32.and " EQUALS(1) "select else " INT(0) INT(2) GET(2) INT(15) "i32.and " EQUALS(2) "select end " STORE_AT(4) GET(0) EQUALS(1) IF GET(1) GET(1) LOAD_AT(12) GET(2) INT(4) "i32.shr_u i32.add " STORE_AT(12) END GET(0) "i32.eqz if 40 " GET(0) GET(1) CALL("buffer") GET(2) INT(4) "i32.shr_u " CALL("verify") END},
	// What a call has returned lies in its area; one that was cancelled before it started has left the caller's handles where they were.
	{"got", Tii_, NO_LOCALS GET(0) LOAD_AT(12) EQUALS(1) UNLESS_RETURN GET(1) EQUALS(2) IF INT(0) GET(0) INT(255) "i32.and i32.load #2 #28672 " CALL("put") END GET(1) EQUALS(3) IF INT(0) GET(0) INT(255) "i32.and i32.load #2 #29184 " CALL("put") INT(2) GET(0) INT(255) "i32.and i32.load #2 #29188 " CALL("put") END},
	{"event", Tiii_, A_LOCAL GET(0) EQUALS(1) IF INT(5) GET(1) CALL("find") TEE(3) GET(3) STATE INT(40) "i32.and " GET(2) "i32.or " INT(16) INT(0) GET(2) INT(1) "i32.gt_u select i32.or " STORE_AT(4) GET(3) GET(2) CALL("got") RETURN END GET(0) INT(2) "i32.sub " GET(0) INT(2) "i32.sub " GET(1) CALL("find") GET(2) CALL("settle")},
	// The call that cell 0 is for was made.
	{"called", Tiii_, NO_LOCALS GET(0) GET(1) STORE_AT(12) GET(2) EQUALS(2) IF GET(0) GET(2) CALL("got") GET(0) CALL("clear") RETURN END GET(0) GET(2) INT(15) "i32.and " STORE_AT(4) GET(0) GET(2) INT(4) "i32.shr_u " STORE_AT(0)},
	{"ret", T_, A_LOCAL CALL("get0") INT(1) "i32.or " CALL("set0") CALL("get1") INT(15) "i32.and " TEE(0) "i32.eqz if 40 " INT(7) CALL("return-a") RETURN END GET(0) EQUALS(1) IF CALL("take-sr") CALL("return-s") RETURN END GET(0) EQUALS(2) IF INT(60000) INT(5) CALL("return-t") RETURN END CALL("return-n")},
	{"return", T_, NO_LOCALS CALL("get0") INT(1) "i32.and i32.eqz if 40 " CALL("ret") END},
	{"steps", T_i, A_LOCAL "loop 40 " CALL("next") TEE(0) INT(24) "i32.shr_u i32.eqz if 40 " GET(0) INT(8) "i32.shr_u " INT(255) "i32.and " GET(0) INT(16) "i32.shr_u " INT(255) "i32.and " GET(0) INT(63) "i32.and call_indirect #5 #0 br #1 end end " GET(0)},
	{"finish", Ti_i, A_LOCAL GET(0) INT(24) "i32.shr_u " EQUALS(3) IF INT(4) GET(0) INT(8) "i32.shr_u " CALL("cell") TEE(1) HANDLE INT(0) "i32.ne " GET(1) OF_SET INT(0) "i32.ne i32.and if 40 " ADD_AT(1, 12, 1) CALL("get1") INT(15) "i32.and " GET(1) INT(4) "i32.shl i32.or " CALL("set1") GET(1) HANDLE INT(4) "i32.shl " INT(2) "i32.or " RETURN END END GET(0) INT(24) "i32.shr_u " EQUALS(2) IF INT(1) RETURN END CALL("get0") EQUALS(2) GET(0) INT(1) "i32.and i32.and if 40 " CALL("get0") INT(1) "i32.or " CALL("set0") CALL("task-cancel") END CALL("return") INT(0)},
	{"callback", Tiii_i, A_LOCAL CALL("get1") INT(4) "i32.shr_u " TEE(3) IF ADD_AT(3, 12, -1) CALL("get1") INT(15) "i32.and " CALL("set1") END GET(0) EQUALS(6) IF CALL("get0") INT(2) "i32.or " CALL("set0") INT(0) SET(0) END GET(0) IF GET(0) GET(1) GET(2) CALL("event") END CALL("steps") CALL("finish")},
	{"begin", Ti_, NO_LOCALS GET(0) CALL("set1")},
	{"run-sync", T_, NO_LOCALS INT(3) CALL("set1") INT(1) CALL("set0") CALL("steps") "drop "},
	// An end that is copying is so no more.
	{"stop", Tii_, A_LOCAL GET(0) GET(1) CALL("cell") TEE(2) STATE EQUALS(1) IF GET(0) GET(2) GET(2) HANDLE GET(0) INT(64) "i32.add call_indirect #4 #0 " CALL("settle") END},
	// A call whose function has ended: its end is delivered, by a cancellation or a set, and it is dropped.
	{"hear", Tii_, A_LOCAL GET(0) HANDLE GET(1) CALL("join") GET(1) INT(520) CALL("set-poll") "i32.eqz if 40 " INT(3) CALL("bad") END GET(0) HANDLE INT(0) CALL("join") GET(1) CALL("set-drop") GET(0) INT(520) STATE CALL("got")},
	{"end-call", Ti_, A_LOCAL GET(0) HANDLE UNLESS_RETURN GET(0) CALL("leave") GET(0) STATE INT(16) "i32.and i32.eqz if 40 " GET(0) STATE INT(32) "i32.and if 40 " GET(0) CALL("set-new") CALL("hear") "else " GET(0) HANDLE CALL("subtask-cancel-async") TEE(1) EQUALS(-1) IF INT(4) CALL("bad") END GET(0) GET(1) CALL("got") END END GET(0) HANDLE GET(0) CALL("clear") CALL("subtask-drop")},
	{"drop-end", Tii_, A_LOCAL GET(0) GET(1) CALL("cell") TEE(2) HANDLE UNLESS_RETURN GET(2) CALL("leave") GET(2) HANDLE GET(2) CALL("clear") GET(0) INT(72) "i32.add call_indirect #3 #0 "},
};

// op(a, b). ORDER enum guest_op
static const struct core_func operations[] = {
	{"NOP", Tii_, NO_LOCALS},
	{"STREAM_NEW", Tii_, "01 01 7e " INT(0) CALL("free") "i32.eqz " INT(1) CALL("free") "i32.eqz i32.or if 40 return end " CALL("stream-new") SET(2) INT(0) GET(2) "i32.wrap_i64 " CALL("put") INT(1) GET(2) "i64.const #32 i64.shr_u i32.wrap_i64 " CALL("put")},
	{"FUTURE_NEW", Tii_, "01 01 7e " INT(2) CALL("free") "i32.eqz " INT(3) CALL("free") "i32.eqz i32.or if 40 return end " CALL("future-new") SET(2) INT(2) GET(2) "i32.wrap_i64 " CALL("put") INT(3) GET(2) "i64.const #32 i64.shr_u i32.wrap_i64 " CALL("put")},
	{"READ", Tii_, A_LOCAL IDLE_CELL(0) INT(0) GET(2) GET(2) HANDLE BUFFER(0) LENGTH CALL("stream-read") CALL("settle")},
	{"WRITE", Tii_, A_LOCAL IDLE_CELL(1) BUFFER(1) GET(2) LOAD_AT(12) LENGTH CALL("fill") INT(1) GET(2) GET(2) HANDLE BUFFER(1) LENGTH CALL("stream-write") CALL("settle")},
	{"FUTURE_READ", Tii_, A_LOCAL IDLE_CELL(2) INT(2) GET(2) GET(2) HANDLE BUFFER(2) CALL("future-read") CALL("settle")},
	{"FUTURE_WRITE", Tii_, A_LOCAL IDLE_CELL(3) INT(3) GET(2) GET(2) HANDLE BUFFER(3) CALL("future-write") CALL("settle")},
	{"READ_SYNC", Tii_, A_LOCAL IDLE_CELL(0) GET(2) OF_SET IF RETURN END GET(2) INT(9) STORE_AT(4) INT(0) GET(2) GET(2) HANDLE BUFFER(0) LENGTH CALL("stream-read-sync") CALL("settle")},
	{"WRITE_SYNC", Tii_, A_LOCAL IDLE_CELL(1) GET(2) OF_SET IF RETURN END GET(2) INT(9) STORE_AT(4) BUFFER(1) GET(2) LOAD_AT(12) LENGTH CALL("fill") INT(1) GET(2) GET(2) HANDLE BUFFER(1) LENGTH CALL("stream-write-sync") CALL("settle")},
	{"CANCEL", Tii_, NO_LOCALS GET(1) INT(3) "i32.and " GET(0) CALL("stop")},
	{"CANCEL_SYNC", Tii_, A_LOCAL GET(1) INT(3) "i32.and " TEE(1) GET(0) CALL("cell") TEE(2) STATE EQUALS(1) UNLESS_RETURN GET(2) OF_SET IF RETURN END GET(2) INT(9) STORE_AT(4) GET(1) GET(2) GET(2) HANDLE GET(1) INT(68) "i32.add call_indirect #4 #0 " CALL("settle")},
	{"DROP", Tii_, A_LOCAL GET(1) INT(3) "i32.and " TEE(1) GET(0) CALL("cell") TEE(2) STATE INT(13) "i32.and if 40 return end " GET(1) EQUALS(3) GET(2) STATE INT(2) "i32.ne i32.and if 40 return end " GET(1) GET(0) CALL("drop-end")},
	{"SET_NEW", Tii_, NO_LOCALS INT(4) CALL("free") UNLESS_RETURN INT(4) CALL("set-new") CALL("put")},
	{"SET_DROP", Tii_, A_LOCAL CELL(4, 0) TEE(2) HANDLE "i32.eqz " GET(2) OF_SET "i32.or " GET(2) LOAD_AT(12) "i32.or if 40 return end " GET(2) HANDLE GET(2) CALL("clear") CALL("set-drop")},
	{"JOIN", Tii_, TWO_LOCALS GET(1) INT(7) "i32.and " TEE(2) INT(4) "i32.ge_u if 40 " INT(5) SET(2) END GET(2) GET(0) CALL("cell") TEE(2) HANDLE UNLESS_RETURN GET(2) STATE INT(72) "i32.and if 40 return end " GET(2) CALL("leave") INT(4) GET(1) INT(3) "i32.shr_u " CALL("cell") TEE(3) HANDLE IF GET(2) GET(3) STORE_AT(8) ADD_AT(3, 8, 1) END GET(2) HANDLE GET(3) HANDLE CALL("join")},
	{"WAIT", Tii_, TWO_LOCALS CELL(4, 0) TEE(2) HANDLE "i32.eqz " GET(2) OF_SET "i32.eqz i32.or if 40 return end " ADD_AT(2, 12, 1) GET(2) HANDLE INT(512) CALL("set-wait") SET(3) ADD_AT(2, 12, -1) GET(3) INT(512) HANDLE INT(512) STATE CALL("event")},
	{"POLL", Tii_, A_LOCAL CELL(4, 0) TEE(2) HANDLE UNLESS_RETURN GET(2) HANDLE INT(520) CALL("set-poll") TEE(2) IF GET(2) INT(520) HANDLE INT(520) STATE CALL("event") END},
#define MAKES_CALL CELL(5, 0) TEE(2) HANDLE GET(2) STATE "i32.or if 40 return end " GET(2) INT(64) STORE_AT(4)
	{"CALL_A", Tii_, A_LOCAL MAKES_CALL GET(2) INT(0) GET(1) AREA WITH_PROVIDER("06", "p-a-async", "q-a-async") CALL("called")},
	{"CALL_S", Tii_, TWO_LOCALS MAKES_CALL CALL("take-fr") TEE(3) "i32.eqz if 40 " GET(2) CALL("clear") RETURN END AREA GET(3) "i32.store #2 #516 " AREA CALL("take-sr") "i32.store #2 #512 " GET(2) INT(1) AREA "i32.load #2 #512 " GET(3) AREA WITH_PROVIDER("07", "p-s-async", "q-s-async") CALL("called")},
	{"CALL_T", Tii_, A_LOCAL MAKES_CALL GET(2) INT(2) INT(60000) GET(1) INT(62) "i32.and " AREA WITH_PROVIDER("07", "p-t-async", "q-t-async") CALL("called")},
	{"SYNC_A", Tii_, NO_LOCALS GET(0) WITH_PROVIDER("04", "p-a", "q-a") "drop "},
	{"SYNC_S", Tii_, A_LOCAL CALL("take-fr") TEE(2) UNLESS_RETURN INT(0) CALL("take-sr") GET(2) WITH_PROVIDER("06", "p-s", "q-s") CALL("put")},
	{"SYNC_T", Tii_, NO_LOCALS INT(60000) GET(0) INT(62) "i32.and " INT(28960) WITH_PROVIDER("09", "p-t", "q-t")},
	{"SYNC_Y", Tii_, NO_LOCALS GET(0) WITH_PROVIDER("04", "p-y", "q-y") "drop "},
	{"SUB_CANCEL", Tii_, TWO_LOCALS CELL(5, 0) TEE(2) HANDLE UNLESS_RETURN GET(2) STATE INT(56) "i32.and if 40 return end " GET(2) GET(2) STATE INT(32) "i32.or " STORE_AT(4) GET(2) HANDLE CALL("subtask-cancel-async") TEE(3) EQUALS(-1) IF RETURN END GET(2) GET(3) INT(48) "i32.or " STORE_AT(4) GET(2) GET(3) CALL("got")},
	{"SUB_CANCEL_SYNC", Tii_, TWO_LOCALS CELL(5, 0) TEE(2) HANDLE UNLESS_RETURN GET(2) OF_SET IF RETURN END GET(2) STATE INT(56) "i32.and if 40 return end " GET(2) GET(2) STATE INT(40) "i32.or " STORE_AT(4) GET(2) HANDLE CALL("subtask-cancel") SET(3) GET(2) GET(3) INT(48) "i32.or " STORE_AT(4) GET(2) GET(3) CALL("got")},
	{"SUB_DROP", Tii_, A_LOCAL CELL(5, 0) TEE(2) STATE INT(16) "i32.and " UNLESS_RETURN GET(2) CALL("end-call")},
	{"THREAD_NEW", Tii_, A_LOCAL INT(6) CALL("free") TEE(2) UNLESS_RETURN GET(2) INT(63) GET(1) CALL("thread-new") STORE_AT(0)},
#define TAKES_THREAD CELL(6, 0) TEE(2) HANDLE UNLESS_RETURN
#define OWN_PLACE INT(6) CALL("free") TEE(3) UNLESS_RETURN
#define IS_SUSPENDED GET(3) CALL("thread-index") STORE_AT(0)
#define THE_THREAD GET(2) HANDLE GET(2) CALL("clear")
	{"RESUME_LATER", Tii_, A_LOCAL TAKES_THREAD THE_THREAD CALL("resume-later")},
	{"SUSPEND", Tii_, TWO_LOCALS OWN_PLACE IS_SUSPENDED CALL("suspend") "drop "},
	{"SUSPEND_RESUME", Tii_, TWO_LOCALS TAKES_THREAD OWN_PLACE IS_SUSPENDED THE_THREAD CALL("suspend-resume") "drop "},
	{"SUSPEND_PROMOTE", Tii_, TWO_LOCALS INT(900) HANDLE UNLESS_RETURN OWN_PLACE IS_SUSPENDED INT(900) HANDLE CALL("suspend-promote") "drop "},
	{"YIELD", Tii_, A_LOCAL INT(900) HANDLE TEE(2) "i32.eqz if 40 " INT(900) CALL("thread-index") STORE_AT(0) END CALL("thread-yield") "drop " GET(2) "i32.eqz if 40 " INT(900) INT(0) STORE_AT(0) END},
	{"YIELD_RESUME", Tii_, A_LOCAL TAKES_THREAD THE_THREAD CALL("yield-resume") "drop "},
	{"YIELD_PROMOTE", Tii_, NO_LOCALS INT(900) HANDLE UNLESS_RETURN INT(900) HANDLE CALL("yield-promote") "drop "},
	{"HOLD", Tii_, NO_LOCALS INT(904) HANDLE INT(2) "i32.gt_u if 40 return end " INT(904) INT(904) HANDLE INT(1) "i32.add " STORE_AT(0) CALL("hold")},
	{"LET_IN", Tii_, NO_LOCALS INT(904) HANDLE UNLESS_RETURN INT(904) INT(904) HANDLE INT(1) "i32.sub " STORE_AT(0) CALL("let-in")},
	{"RETURN", Tii_, NO_LOCALS CALL("return")},
	{"CANCELLED", Tii_, NO_LOCALS CALL("get0") INT(3) "i32.and " EQUALS(2) UNLESS_RETURN CALL("get0") INT(1) "i32.or " CALL("set0") CALL("task-cancel")},
	{"GROW", Tii_, NO_LOCALS "memory.size #0 " INT(8) "i32.ge_u if 40 return end " INT(1) "memory.grow #0 drop "},
	{"TRAP", Tii_, NO_LOCALS "unreachable "},
	{"SPIN", Tii_, NO_LOCALS "loop 40 br #0 end "},
	// Whatever handle it is.
	{"RAW", Tii_, NO_LOCALS GET(0) INT(7) "i32.and " TEE(0) INT(4) "i32.lt_u if 40 " GET(1) GET(0) INT(72) "i32.add call_indirect #3 #0 return end " GET(0) EQUALS(4) IF GET(1) CALL("set-drop") RETURN END GET(0) EQUALS(5) IF GET(1) CALL("subtask-drop") RETURN END GET(0) EQUALS(6) IF GET(1) CALL("resume-later") RETURN END GET(1) INT(3) "i32.and " GET(1) INT(2) "i32.shr_u " CALL("join")},
};

#define OVER_CELLS(body) "loop 40 " body GET(0) INT(1) "i32.add " TEE(0) INT(16) "i32.lt_u br_if #0 end "
// What is lifted, and the thread that a guest makes; in the order of the module's exports.
static const struct core_func exported[] = {
	{"a-sync", Ti_i, NO_LOCALS CALL("run-sync") INT(7)},
	{"a-callback", Ti_i, NO_LOCALS INT(0) CALL("begin") CALL("steps") CALL("finish")},
	{"a-stackful", Ti_, NO_LOCALS INT(0) CALL("begin") CALL("steps") "drop " CALL("return")},
	{"s-sync", Tii_i, NO_LOCALS INT(0) GET(0) CALL("put") INT(2) GET(1) CALL("put") CALL("run-sync") CALL("take-sr")},
	{"s-callback", Tii_i, NO_LOCALS INT(0) GET(0) CALL("put") INT(2) GET(1) CALL("put") INT(1) CALL("begin") CALL("steps") CALL("finish")},
	{"s-stackful", Tii_, NO_LOCALS INT(0) GET(0) CALL("put") INT(2) GET(1) CALL("put") INT(1) CALL("begin") CALL("steps") "drop " CALL("return")},
	{"t-sync", Tii_i, NO_LOCALS CALL("run-sync") INT(28976) INT(60000) STORE_AT(0) INT(28976) INT(5) STORE_AT(4) INT(28976)},
	{"t-callback", Tii_i, NO_LOCALS INT(2) CALL("begin") CALL("steps") CALL("finish")},
	{"t-stackful", Tii_, NO_LOCALS INT(2) CALL("begin") CALL("steps") "drop " CALL("return")},
	{"y-sync", Ti_i, NO_LOCALS CALL("run-sync") INT(7)},
	{"cb", Tiii_i, NO_LOCALS GET(0) GET(1) GET(2) CALL("callback")},
	{"post", Ti_, NO_LOCALS},
	{"relax", T_, TWO_LOCALS "loop 40 " INT(904) HANDLE IF INT(0) INT(0) CALL("LET_IN") "br #1 end end " OVER_CELLS(GET(0) INT(0) CALL("RESUME_LATER"))},
	{"clean-1", T_, TWO_LOCALS INT(4) CALL("begin") "loop 40 " INT(0) INT(0) CALL("RESUME_LATER") CALL("thread-yield") "drop " GET(0) INT(1) "i32.add " TEE(0) INT(20) "i32.lt_u br_if #0 end " INT(0) SET(0) OVER_CELLS(INT(0) GET(0) CALL("stop") INT(1) GET(0) CALL("stop") INT(2) GET(0) CALL("stop") INT(0) GET(0) CALL("drop-end") INT(1) GET(0) CALL("drop-end") INT(2) GET(0) CALL("drop-end") INT(5) GET(0) CALL("cell") CALL("end-call")) INT(0) SET(0) OVER_CELLS(INT(0) GET(0) CALL("drop-end")) CALL("return-n")},
	{"clean-2", T_, TWO_LOCALS INT(4) CALL("begin") OVER_CELLS(INT(3) GET(0) CALL("stop") GET(0) INT(0) CALL("FUTURE_WRITE") INT(3) GET(0) CALL("drop-end")) INT(0) SET(0) OVER_CELLS(GET(0) INT(0) CALL("SET_DROP")) CALL("return-n")},
	{"thread", Ti_, NO_LOCALS CALL("run-sync")},
};

static const struct {
	const struct core_func *funcs;
	uint32_t n;
} groups[] = {{helpers, ARRAY_LEN(helpers)}, {operations, ARRAY_LEN(operations)}, {exported, ARRAY_LEN(exported)}};

static uint32_t number_of(struct slice name)
{
	for (uint32_t k = 0; k < ARRAY_LEN(imported); k++)
		if (slice_eq_str(name, imported[k].name))
			return k;
	uint32_t n = ARRAY_LEN(imported);
	for (size_t g = 0; g < ARRAY_LEN(groups); g++)
		for (uint32_t k = 0; k < groups[g].n; k++, n++)
			if (slice_eq_str(name, groups[g].funcs[k].name))
				return n;
	fail_msg("no function '%.*s'", (int)name.len, (const char *)name.ptr);
	return 0;
}

// $name becomes the function's number.
static void put_code(struct buf *out, const char *code)
{
	for (const char *at; (at = strchr(code, '$')); code = at + 1 + strcspn(at + 1, " ")) {
		buf_put(out, code, (size_t)(at - code));
		buf_printf(out, "#%u", number_of(slice_of(at + 1, strcspn(at + 1, " "))));
	}
	buf_put_str(out, code);
}

static void put_elements(struct buf *out, uint32_t at, uint32_t n, const char *const *names)
{
	buf_printf(out, "00 i32.const #%u end #%u ", at, n);
	for (uint32_t k = 0; k < n; k++)
		buf_printf(out, "#%u ", number_of(slice_of(names[k], strlen(names[k]))));
}

static void put_table(struct buf *out)
{
	static const char *const more[] = {"cancel-0", "cancel-1", "cancel-2", "cancel-3", "cancel-sync-0", "cancel-sync-1", "cancel-sync-2", "cancel-sync-3",
		"drop-0", "drop-1", "drop-2", "drop-3", "set-drop"};
	static const char *const thread[] = {"thread"};
	const char *ops[ARRAY_LEN(operations)];
	_Static_assert(ARRAY_LEN(operations) == GUEST_N_OPS && GUEST_N_OPS <= 52, "ORDER enum guest_op");
	for (uint32_t k = 0; k < GUEST_N_OPS; k++)
		ops[k] = operations[k].name;
	buf_put_str(out, ELEMS "[ #3 ");
	put_elements(out, 0, ARRAY_LEN(ops), ops);
	put_elements(out, 64, ARRAY_LEN(more), more);
	put_elements(out, 63, 1, thread);
	buf_put_str(out, "] ");
}

static void put_core_module(struct buf *out)
{
	buf_put_str(out, MODULE TYPES TYPE_LIST IMPORTS);
	buf_printf(out, "[ #%zu ", ARRAY_LEN(imported) + 2);
	for (size_t k = 0; k < ARRAY_LEN(imported); k++)
		buf_printf(out, "'x' '%s' 00 #%u ", imported[k].name, imported[k].type);
	buf_put_str(out, "'x' 'm' 02 00 01 'x' 'tb' 01 70 00 #80 ] " FUNCS "[ ");
	uint32_t n = 0;
	for (size_t g = 0; g < ARRAY_LEN(groups); g++)
		n += groups[g].n;
	buf_printf(out, "#%u ", n);
	for (size_t g = 0; g < ARRAY_LEN(groups); g++)
		for (uint32_t k = 0; k < groups[g].n; k++)
			buf_printf(out, "#%u ", groups[g].funcs[k].type);
	buf_printf(out, "] " EXPORTS "[ #%zu ", ARRAY_LEN(exported));
	for (size_t k = 0; k < ARRAY_LEN(exported); k++)
		buf_printf(out, "'%s' 00 #%u ", exported[k].name, number_of(slice_of(exported[k].name, strlen(exported[k].name))));
	buf_put_str(out, "] ");
	put_table(out);
	buf_printf(out, CODE "[ #%u ", n);
	for (size_t g = 0; g < ARRAY_LEN(groups); g++)
		for (uint32_t k = 0; k < groups[g].n; k++) {
			buf_put_str(out, "[ ");
			put_code(out, groups[g].funcs[k].code);
			buf_put_str(out, "end ] ");
		}
	buf_put_str(out, "] ");
}

// ---- the components -------------------------------------------------------------------------------------------------
// Memory, table, and a realloc that goes round in 16 KiB. What lies where strings do is letters.
#define STORAGE                                                                                                                                      \
	MODULE TYPES "[ 01 60 04 7f 7f 7f 7f 01 7f ] " FUNCS "[ 01 00 ] " TABLES "[ 01 70 00 #80 ] " MEMORIES "[ 01 00 01 ] " GLOBALS                    \
				 "[ 01 7f 01 i32.const #0 end ] " EXPORTS "[ 03 'm' 02 00 'tb' 01 00 'realloc' 00 00 ] " CODE                                        \
				 "[ 01 [ 00 global.get #0 local.get #3 i32.add i32.const #15 i32.add i32.const #-16 i32.and i32.const #16368 i32.and global.set #0 " \
				 "global.get #0 i32.const #32768 i32.add end ] ] " DATA                                                                              \
				 "[ 01 00 i32.const #60000 end #64 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 " \
				 "61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 ] "
#define FUNC_TYPES \
	"66 01 7d 65 01 79 43 01 'x' 79 00 79 43 02 's' 00 'f' 01 00 00 43 01 't' 73 00 73 40 01 'x' 79 00 79 40 00 00 79 40 01 'x' 79 01 00 43 00 01 00 40 00 01 00 "
enum { N_TYPES = 10, TYPE_A = 2, TYPE_S, TYPE_T, TYPE_Y, TYPE_NEXT, TYPE_BAD, TYPE_CLEAN, TYPE_RELAX };
enum way { SYNC, CALLBACK, STACKFUL, WAYS };

static void put_canon(struct buf *out, const char *canon, unsigned encoding)
{
	const char *e = strchr(canon, 'E');
	buf_put(out, canon, e ? (size_t)(e - canon) : strlen(canon));
	if (e)
		buf_printf(out, "%02x%s", encoding, e + 1);
	buf_put_str(out, " ");
}

// Core functions of a component: realloc, those imported, those exported.
static void put_lift(struct buf *out, unsigned exported_func, enum way way, unsigned type, const char *strings, bool post)
{
	unsigned first = 1 + ARRAY_LEN(imported), n = (*strings ? 3 : 0) + (way == SYNC ? post : way == CALLBACK ? 2
																											 : 1);
	buf_printf(out, "00 00 #%u #%u %s", first + exported_func, n, strings);
	if (way != SYNC)
		buf_put_str(out, "06 ");
	if (way == CALLBACK)
		buf_printf(out, "07 #%u ", first + 10);
	if (way == SYNC && post)
		buf_printf(out, "05 #%u ", first + 11);
	buf_printf(out, "#%u ", type);
}

static void put_component(struct buf *out, struct bytes *in)
{
	static const char *const names[] = {"next", "bad", "pa", "ps", "pt", "py", "qa", "qs", "qt", "qy"};
	static const unsigned types[] = {TYPE_NEXT, TYPE_BAD, TYPE_A, TYPE_S, TYPE_T, TYPE_Y, TYPE_A, TYPE_S, TYPE_T, TYPE_Y};
	static const char *const lifted[] = {"a", "s", "t", "y", "r", "c", "d"};
	uint8_t ways = bytes_take(in), more = bytes_take(in);
	unsigned encoding = more % 3;
	char strings[40];
	snprintf(strings, sizeof strings, "%02x 03 00 04 00 ", encoding);
	buf_printf(out, COMPONENT ALIAS "[ 02 00 11 02 01 00 00 11 02 01 01 ] " CORE_TYPE "[ 01 60 01 7f 00 ] " TYPE "[ #%u " FUNC_TYPES "] " IMPORT "[ #%zu ", N_TYPES, ARRAY_LEN(names));
	for (size_t k = 0; k < ARRAY_LEN(names); k++)
		buf_printf(out, "00 '%s' 01 #%u ", names[k], types[k]);
	buf_printf(out, "] " CORE_INSTANCE "[ 01 00 00 00 ] " ALIAS "[ 03 00 02 01 00 'm' 00 01 01 00 'tb' 00 00 01 00 'realloc' ] " CANON "[ #%zu ", ARRAY_LEN(imported));
	for (size_t k = 0; k < ARRAY_LEN(imported); k++)
		put_canon(out, imported[k].canon, encoding);
	buf_printf(out, "] " CORE_INSTANCE "[ 02 01 #%zu ", ARRAY_LEN(imported) + 2);
	for (size_t k = 0; k < ARRAY_LEN(imported); k++)
		buf_printf(out, "'%s' 00 #%zu ", imported[k].name, k + 1);
	buf_printf(out, "'m' 02 00 'tb' 01 00 00 01 01 'x' 12 01 ] " ALIAS "[ #%zu ", ARRAY_LEN(exported) - 1);
	for (size_t k = 0; k + 1 < ARRAY_LEN(exported); k++)
		buf_printf(out, "00 00 01 02 '%s' ", exported[k].name);
	buf_printf(out, "] " CANON "[ #%zu ", ARRAY_LEN(lifted));
	for (unsigned k = 0; k < 3; k++, ways /= WAYS)
		put_lift(out, k * WAYS + ways % WAYS, ways % WAYS, TYPE_A + k, k == 2 ? strings : "", more & 8);
	put_lift(out, 9, SYNC, TYPE_Y, "", more & 16);
	put_lift(out, 12, SYNC, TYPE_RELAX, "", false);
	put_lift(out, 13, STACKFUL, TYPE_CLEAN, "", false);
	put_lift(out, 14, STACKFUL, TYPE_CLEAN, "", false);
	buf_printf(out, "] " EXPORT "[ #%zu ", ARRAY_LEN(lifted));
	for (size_t k = 0; k < ARRAY_LEN(lifted); k++)
		buf_printf(out, "00 '%s' 01 #%zu 00 ", lifted[k], ARRAY_LEN(names) + k);
	buf_put_str(out, "] ");
}

// The four functions of the host, or of an instance before.
static void put_provider(struct buf *out, char label, unsigned of)
{
	static const char letters[] = "asty";
	for (unsigned k = 0; k < 4; k++)
		buf_printf(out, "'%c%c' 01 #%u ", label, letters[k], of ? 6 + 7 * (of - 1) + k : 2 + k);
}

void generate_async_component(struct bytes *in, struct buf *out)
{
	static const char letters[] = "astyrcd";
	buf_put_str(out, COMPONENT CORE_MODULE "[ " STORAGE "] " CORE_MODULE "[ ");
	put_core_module(out);
	buf_printf(out, "] " TYPE "[ #%u " FUNC_TYPES "] " IMPORT "[ 06 00 'next' 01 #%u 00 'bad' 01 #%u 00 'ha' 01 #%u 00 'hs' 01 #%u 00 'ht' 01 #%u 00 'hy' 01 #%u ] ",
		N_TYPES, TYPE_NEXT, TYPE_BAD, TYPE_A, TYPE_S, TYPE_T, TYPE_Y);
	for (unsigned k = 0; k < GUEST_INSTANCES; k++) {
		buf_put_str(out, NESTED "[ ");
		put_component(out, in);
		buf_put_str(out, "] ");
		uint8_t wiring = bytes_take(in);
		buf_printf(out, INSTANCE "[ 01 00 #%u 0a 'next' 01 00 'bad' 01 01 ", k);
		put_provider(out, 'p', k);
		put_provider(out, 'q', wiring % (k + 1));
		buf_put_str(out, "] " ALIAS "[ 07 ");
		for (unsigned f = 0; f < 7; f++)
			buf_printf(out, "01 00 #%u '%c' ", k, letters[f]);
		buf_put_str(out, "] ");
	}
	buf_printf(out, EXPORT "[ #%u ", GUEST_INSTANCES * 7);
	for (unsigned k = 0; k < GUEST_INSTANCES * 7; k++)
		buf_printf(out, "00 '%c%u' 01 #%u 00 ", letters[k % 7], k / 7, 6 + k);
	buf_put_str(out, "] ");
	buf_put_byte(out, 0);
}

bool guest_op_blocks(enum guest_op op)
{
	static const uint8_t blocks[] = {GUEST_READ_SYNC, GUEST_WRITE_SYNC, GUEST_CANCEL_SYNC, GUEST_WAIT, GUEST_SYNC_A, GUEST_SYNC_S, GUEST_SYNC_T,
		GUEST_SUB_CANCEL_SYNC, GUEST_SUSPEND,
		GUEST_SUSPEND_RESUME, GUEST_SUSPEND_PROMOTE};
	return memchr(blocks, op, sizeof blocks);
}
