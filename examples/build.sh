#!/bin/sh
# Builds the examples in C again: ./build.sh [NAME...]. Needs clang-19 and lld-19 from Debian, and once:
#   cargo install wit-bindgen-cli@0.63.0 wasm-tools@1.263.0
set -eu
cd "$(dirname "$0")"
for name in "${@:-hello misbehave}"; do
	for n in $name; do
		out=../build/examples/$n
		rm -rf "$out" && mkdir -p "$out/wit"
		cp -r ../wit/deps "$out/wit/deps" && cp "$n/$n.wit" "$out/wit/"
		wit-bindgen c --all-features --world "$n" --out-dir "$out/gen" "$out/wit" >/dev/null
		for f in "$out/gen/$n.c" "$n/$n.c" lib/libc.c; do
			clang-19 --target=wasm32 -Oz -nostdlib -ffreestanding -fno-builtin -std=gnu11 -Ilib/include -I"$out/gen" \
				-c "$f" -o "$out/$(basename "$(dirname "$f")")-$(basename "$f" .c).o"
		done
		wasm-ld-19 --no-entry --gc-sections --strip-all --stack-first -z stack-size=65536 \
			"$out"/*.o "$out/gen/${n}_component_type.o" -o "$out/core.wasm"
		wasm-tools component new "$out/core.wasm" -o "$out/component.wasm"
		wasm-tools strip -a "$out/component.wasm" -o "$n/$n.wasm"
		ls -l "$n/$n.wasm"
	done
done
