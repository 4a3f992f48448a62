// What SQLite wants of libm: acos() and the like of its SQL, which no text of ours calls. Linked, libm would be mapped and relocated at each start of the
// process, so that its functions stand here under their names and are looked for when one is called. Where libm can't be loaded they give no number (NULL in
// SQL).
#include <math.h>

#include "file_base.h"
#include "sys/sys.h"

#define OF_ONE(X) X(acos) X(acosh) X(asin) X(asinh) X(atan) X(atanh) X(cos) X(cosh) X(exp) X(log) X(sin) X(sinh) X(sqrt) X(tan) X(tanh) X(trunc)
#define OF_TWO(X) X(atan2) X(fmod) X(pow)
#define PLACE(name) AT_##name,
#define NAME(name) #name,

enum { OF_ONE(PLACE) OF_TWO(PLACE) FUNCTIONS };

union function {
	void *at;
	double (*of_one)(double x);
	double (*of_two)(double x, double y);
};

static bool load(unsigned at, union function *ret)
{
	static const char *const names[FUNCTIONS] = {OF_ONE(NAME) OF_TWO(NAME)};
	static void *functions[FUNCTIONS];
	struct err e = {0};
	bool ok = sys_library_load("libm.so.6", names, FUNCTIONS, functions, &e);
	ret->at = functions[at];
	return ok;
}

#define ONE(name)                                       \
	double name(double x)                               \
	{                                                   \
		union function f;                               \
		return load(AT_##name, &f) ? f.of_one(x) : NAN; \
	}
#define TWO(name)                                          \
	double name(double x, double y)                        \
	{                                                      \
		union function f;                                  \
		return load(AT_##name, &f) ? f.of_two(x, y) : NAN; \
	}
OF_ONE(ONE)
OF_TWO(TWO)
