#!/bin/sh
# Builds the examples in C again, and the one in Rust: ./build.sh [NAME...]. Needs clang-19 and lld-19 from Debian, and once:
#   cargo install wit-bindgen-cli@0.63.0 wasm-tools@1.263.0; rustup target add wasm32-unknown-unknown
set -eu
cd "$(dirname "$0")"

# core WORLD TO HEAP [FLAG...]: the core module of WORLD in its folder, with its types.
core() {
	n=$1 to=$2 heap=$3 out=../build/examples/$1
	shift 3
	for f in "$out/gen/$n.c" "$n/$n.c" lib/libc.c $heap; do
		clang-19 --target=wasm32 -Oz -nostdlib -ffreestanding -fno-builtin -std=gnu11 -Ilib/include -Ilib -I"$out/gen" "$@" \
			-c "$f" -o "$out/$(basename "$(dirname "$f")")-$(basename "$f" .c).o"
	done
	wasm-ld-19 --no-entry --gc-sections --strip-all --stack-first -z stack-size=65536 \
		"$out"/*.o "$out/gen/${n}_component_type.o" -o "$out/$to.wasm"
}

# component FROM TO
component() {
	wasm-tools component new "$1" -o "$1.component"
	wasm-tools strip -a "$1.component" -o "$2"
	ls -l "$2"
}

for name in "${@:-hello misbehave files grpc many stream tally sockets values3 counter filter compose fetch guard guard3}"; do
	for n in $name; do
		out=../build/examples/$n
		rm -rf "$out" && mkdir -p "$out/wit/deps"
		deps='../wit/deps/*[a-z].wit ../wit/link/deps/keyvalue.wit' heap=lib/heap.c
		if grep -q '@0\.3' "$n/$n.wit"; then
			deps='../wit/deps/*3.wit ../wit/link/deps/spin-*3.wit' heap=lib/pool.c
		fi
		cp $deps "$out/wit/deps" && cp "$n"/*.wit "$out/wit/"
		wit-bindgen c --all-features --world "%$n" --out-dir "$out/gen" "$out/wit" >/dev/null
		core "$n" core $heap
		component "$out/core.wasm" "$n/$n.wasm"
		case $n in
		counter)  # its second version has other words
			core "$n" core-2 $heap '-DWORDS="so far: "'
			component "$out/core-2.wasm" "$n/counter-2.wasm"
			;;
		compose)
			cargo build --quiet --release --target wasm32-unknown-unknown --manifest-path "$n/greeter/Cargo.toml" --target-dir "$out/target"
			component "$out/target/wasm32-unknown-unknown/release/greeter.wasm" "$n/greeter.wasm"
			;;
		esac
	done
done
