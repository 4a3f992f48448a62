// A bytecode interpreter: a dispatch loop over a small program that sums primes by trial division.
#include "kernel.h"

enum op { CONST, LOAD, STORE, ADD, SUB, MUL, REM, LESS, JUMP, JUMP_IF_ZERO, HALT };

// Sums the primes below 2000 by trial division; variables: 0 candidate, 1 divisor, 2 sum.
struct instruction {
	uint8_t op;
	uint16_t operand;
};
static const struct instruction code[] = {
	{CONST, 2}, {STORE, 0},                 //  0
	{LOAD, 0}, {CONST, 2000}, {LESS, 0}, {JUMP_IF_ZERO, 27},                             //  2
	{CONST, 2}, {STORE, 1},                 //  6
	{LOAD, 1}, {LOAD, 1}, {MUL, 0}, {LOAD, 0}, {CONST, 1}, {ADD, 0}, {LESS, 0}, {JUMP_IF_ZERO, 22},  //  8
	{LOAD, 0}, {LOAD, 1}, {REM, 0}, {JUMP_IF_ZERO, 25},                                  // 16
	{JUMP, 28}, {HALT, 0},                  // 20
	{LOAD, 2}, {LOAD, 0}, {JUMP, 33},             // 22: prime: sum += candidate
	{JUMP, 35}, {HALT, 0},                  // 25
	{HALT, 0},      // 27
	{LOAD, 1}, {CONST, 1}, {ADD, 0}, {STORE, 1}, {JUMP, 8},                              // 28: divisor += 1
	{ADD, 0}, {STORE, 2},                // 33
	{LOAD, 0}, {CONST, 1}, {ADD, 0}, {STORE, 0}, {JUMP, 2},                              // 35: candidate += 1
};

static uint64_t interpret(void)
{
	uint64_t variables[4] = {0}, stack[16];
	uint32_t pc = 0, sp = 0;
	for (;;) {
		struct instruction i = code[pc++];
		switch (i.op) {
		case CONST:
			stack[sp++] = i.operand;
			break;
		case LOAD:
			stack[sp++] = variables[i.operand & 3];
			break;
		case STORE:
			variables[i.operand & 3] = stack[--sp];
			break;
		case ADD:
			sp--;
			stack[sp - 1] += stack[sp];
			break;
		case SUB:
			sp--;
			stack[sp - 1] -= stack[sp];
			break;
		case MUL:
			sp--;
			stack[sp - 1] *= stack[sp];
			break;
		case REM:
			sp--;
			stack[sp - 1] %= stack[sp];
			break;
		case LESS:
			sp--;
			stack[sp - 1] = stack[sp - 1] < stack[sp];
			break;
		case JUMP:
			pc = i.operand;
			break;
		case JUMP_IF_ZERO:
			if (stack[--sp] == 0)
				pc = i.operand;
			break;
		default:
			return variables[2];
		}
	}
}

EXPORT int64_t run(int32_t n)
{
	uint64_t sum = 0;
	for (int32_t round = 0; round < n; round++)
		sum += interpret();
	return (int64_t)sum;
}
