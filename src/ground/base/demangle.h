// Names of functions as compilers write them, made readable: Rust's, of both schemes (RFC 2603 "v0", and the legacy one), and those of C++.
#ifndef TENON_BASE_DEMANGLE_H
#define TENON_BASE_DEMANGLE_H

#include "buf.h"

// Appends the readable form, or the name as it is where it is of no known scheme or not whole. Hashes and disambiguators are left out, of C++
// the parameters. Takes time and
// room in proportion to what fits into DEMANGLE_MAX bytes, whatever the name says.
#define DEMANGLE_MAX 1000
void demangle(struct buf *out, struct slice name);

#endif
