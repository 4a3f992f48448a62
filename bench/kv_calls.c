// Calls of a key-value store, a thousand a request: /get, /set, /exists, /increment; /bucket, which opens one and makes none of them, and /nothing.
// Built by (kv_calls.wit beside it, with wit/deps and wit/link/deps/keyvalue.wit as its deps):
//   clang-19 --target=wasm32 -Oz -nostdlib -ffreestanding -fno-builtin -c kv_calls.c -o kv_calls.o
//   wasm-ld-19 --no-entry --strip-all --export-dynamic kv_calls.o -o core.wasm
//   wasm-tools component embed WIT core.wasm -o core.wasm; wasm-tools component new core.wasm -o kv_calls.wasm; wasm-tools strip -a kv_calls.wasm -o kv_calls.wasm
#include <stddef.h>
#include <stdint.h>

typedef int32_t handle;
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))
#define HTTP "wasi:http/types@0.2.12"
#define STORE "wasi:keyvalue/store@0.2.0-draft2"

struct some {  // option<string>, result<own>
	uint32_t tag;
	union {
		handle own;
		uint8_t *at;
	};
	uint32_t n;
};

IMPORT(HTTP, "[constructor]fields")
handle fields_new(void);
IMPORT(HTTP, "[method]incoming-request.path-with-query")
void request_path(handle, struct some *ret);
IMPORT(HTTP, "[constructor]outgoing-response")
handle answer_new(handle fields);
IMPORT(HTTP, "[static]response-outparam.set")
void outparam_set(handle, int is_err, handle answer, int, int64_t, int, int, int, int);
IMPORT(STORE, "open")
void open(const void *at, uint32_t n, struct some *ret);
IMPORT(STORE, "[method]bucket.get")
void get(handle, const void *at, uint32_t n, void *ret);
IMPORT(STORE, "[method]bucket.set")
void set(handle, const void *at, uint32_t n, const void *value, uint32_t len, void *ret);
IMPORT(STORE, "[method]bucket.exists")
void exists(handle, const void *at, uint32_t n, void *ret);
IMPORT("wasi:keyvalue/atomics@0.2.0-draft2", "increment")
void increment(handle, const void *at, uint32_t n, int64_t delta, void *ret);

static _Alignas(16) uint8_t heap[4096];
static uint32_t used;
EXPORT("cabi_realloc")
void *cabi_realloc(void *old, size_t had, size_t align, size_t n)
{
	uint8_t *at = heap + used;
	if (n > sizeof heap - used)
		__builtin_trap();
	used += (uint32_t)(n + 15) & ~15u;
	return at;
}

EXPORT("wasi:http/incoming-handler@0.2.12#handle")
void handle_request(handle incoming, handle out)
{
	_Alignas(8) uint8_t ret[64];
	struct some path, bucket;
	request_path(incoming, &path);
	uint8_t what = path.n > 1 ? path.at[1] : 0;
	bucket.tag = 0;
	if (what != 'n')
		open("default", 7, &bucket);
	int bad = bucket.tag & 0xff;
	if (!bad && what == 'g')
		set(bucket.own, "n", 1, "12345", 5, ret);
	uint32_t mark = used;
	for (int i = 0; i < 1000 && !bad && what != 'n' && what != 'b'; i++) {
		used = mark;
		ret[0] = 0;
		switch (what) {
		case 'g':
			get(bucket.own, "n", 1, ret);
			break;
		case 's':
			set(bucket.own, "n", 1, "12345", 5, ret);
			break;
		case 'e':
			exists(bucket.own, "n", 1, ret);
			break;
		case 'i':
			increment(bucket.own, "i", 1, 1, ret);
			break;
		default:
			ret[0] = 1;
		}
		bad |= ret[0];
	}
	if (bad)
		__builtin_trap();
	outparam_set(out, 0, answer_new(fields_new()), 0, 0, 0, 0, 0, 0);
}
