// Ground that everything stands on: words used in every room.
#ifndef TENON_BASE_H
#define TENON_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "account.h"
#include "arena.h"
#include "buf.h"
#include "chacha.h"
#include "demangle.h"
#include "err.h"
#include "hash.h"
#include "map.h"
#include "pool.h"
#include "sanitize.h"
#include "shared.h"
#include "slice.h"
#include "utc.h"
#include "utf.h"
#include "util.h"
#include "vec.h"

#endif
