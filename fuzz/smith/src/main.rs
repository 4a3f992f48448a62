//! Makes the modules of `./dev fuzz differential`: smith FOLDER IMPORTS FIRST COUNT [--faults]
//!
//! For each seed from FIRST on a module of wasm-smith, one in four changed by wasm-mutate, with functions added that hand vectors and references of it over as
//! numbers (wrap.rs), to FOLDER/SEED.wasm; the same, keeping which instructions are reached (cover.rs), to FOLDER/SEED.cover.wasm. IMPORTS is a binary module
//! whose imports may be imported. Standard output has a line for each that was made: seed, tab, what it has that shows without running. With --faults, also
//! FOLDER/SEED.FAULT.wasm for each planted fault (plant.rs) that has a place in it.
//!
//! smith --operators: what the bits of a cover are, as lines of a proposal, a tab and a name.
//! smith --trace FILE TO NUMBER: the module that keeps the NUMBERth value (trace.rs).
//! smith --wrap FILE TO COVER: what is done to a module that was made by somebody else.
mod cover;
mod forge;
mod objects;
mod plant;
mod rewrite;
mod signatures;
mod statements;
mod trace;
mod wrap;

use anyhow::{Context, Result};
use arbitrary::Unstructured;
use std::{env, fs, panic};

/// Data segments of a mutant can have 10 MB.
const MOST_BYTES: usize = 200_000;

/// SplitMix64.
pub struct Random(u64);

impl Random {
	pub fn next(&mut self) -> u64 {
		self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
		let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
		let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
		z ^ (z >> 31)
	}

	fn percent(&mut self, n: u64) -> bool {
		self.next() % 100 < n
	}

	fn choice<T: Copy>(&mut self, of: &[T]) -> T {
		of[(self.next() % of.len() as u64) as usize]
	}

	fn bytes(&mut self, n: usize) -> Vec<u8> {
		(0..n.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(n).collect()
	}
}

/// All features; those which change what else is made are switched by the seed, so that each is seen without the others, too.
fn config(r: &mut Random, imports: &[u8]) -> wasm_smith::Config {
	let given = r.percent(70);
	wasm_smith::Config {
		available_imports: given.then(|| imports.to_vec()),
		max_imports: if given { 8 } else { 0 },
		max_funcs: r.choice(&[4, 8, 12]),
		max_instructions: r.choice(&[60, 150, 400]),
		max_memories: 3,
		max_tables: 3,
		max_table_elements: 100,
		max_memory32_bytes: 1 << r.choice(&[17, 18, 20]),
		max_memory64_bytes: 1 << r.choice(&[17, 18, 20]),
		min_funcs: 1,
		memory_max_size_required: true,
		table_max_size_required: true,
		export_everything: true,
		canonicalize_nans: true,
		allow_start_export: r.percent(50),
		bulk_memory_enabled: true,
		multi_value_enabled: true,
		reference_types_enabled: true,
		simd_enabled: r.percent(70),
		tail_call_enabled: true,
		saturating_float_to_int_enabled: true,
		sign_extension_ops_enabled: true,
		extended_const_enabled: true,
		relaxed_simd_enabled: r.percent(50),
		memory64_enabled: r.percent(40),
		gc_enabled: r.percent(50),
		exceptions_enabled: r.percent(50),
		custom_page_sizes_enabled: r.percent(30),
		wide_arithmetic_enabled: r.percent(40),
		threads_enabled: r.percent(40),
		disallow_traps: r.percent(50),
		// Else some make objects of gigabytes before anything runs.
		limit_arrays_in_const_exprs: true,
		shared_everything_threads_enabled: false,
		custom_descriptors_enabled: false,
		compact_imports_enabled: false,
		..wasm_smith::Config::default()
	}
}

fn mutant(r: &mut Random, module: &[u8]) -> Option<Vec<u8>> {
	let mut m = wasm_mutate::WasmMutate::default();
	m.seed(r.next()).fuel(300);
	let mut found = m.run(module).ok()?;
	found.next()?.ok().filter(|b| b.len() <= MOST_BYTES)
}

fn smithed(r: &mut Random, imports: &[u8]) -> Option<Vec<u8>> {
	let config = config(r, imports);
	let size = r.choice(&[400, 1200, 3000, 8000]);
	let noise = r.bytes(size);
	let mut m = wasm_smith::Module::new(config, &mut Unstructured::new(&noise)).ok()?;
	m.ensure_termination(r.choice(&[100, 500, 500, 3000])).ok()?;
	Some(m.to_bytes())
}

/// None where the seed gives none: too few bytes, or a place at which it would wait for somebody who never comes.
fn make(seed: u64, imports: &[u8], all: &[signatures::Signature]) -> Option<Vec<u8>> {
	let mut r = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
	let mut bytes = if r.percent(65) { forge::forged(&mut r, all) } else { smithed(&mut r, imports)? };
	if r.percent(20) {
		// Its mutators panic on some modules, which are left as they are then.
		let hook = panic::take_hook();
		panic::set_hook(Box::new(|_| {}));
		bytes = panic::catch_unwind(panic::AssertUnwindSafe(|| mutant(&mut r, &bytes))).ok().flatten().unwrap_or(bytes);
		panic::set_hook(hook);
	}
	let shape = rewrite::Shape::of(&bytes).ok()?;
	if shape.waits {
		return None;
	}
	wrap::wrapped(&bytes, &shape, &mut r).ok()
}

fn write(folder: &str, name: String, bytes: &[u8]) -> Result<()> {
	let to = format!("{folder}/{name}.wasm");
	fs::write(&to, bytes).with_context(|| format!("cannot write {to}"))
}

fn make_all(folder: &str, imports: &str, first: u64, count: u64, faults: bool) -> Result<()> {
	let (imports, all) = (fs::read(imports)?, signatures::all()?);
	for seed in first..first + count {
		let Some(module) = make(seed, &imports, &all) else { continue };
		let shape = rewrite::Shape::of(&module)?;
		write(folder, format!("{seed}"), &module)?;
		write(folder, format!("{seed}.cover"), &cover::covered(&module, &shape)?)?;
		for fault in plant::faults().filter(|_| faults) {
			if let Some(bytes) = plant::planted(&module, &shape, fault)? {
				write(folder, format!("{seed}.{}", fault.name), &bytes)?;
			}
		}
		println!("{seed}\t{}", shape.shows());
	}
	Ok(())
}

fn main() -> Result<()> {
	let args: Vec<String> = env::args().skip(1).collect();
	let args: Vec<&str> = args.iter().map(String::as_str).collect();
	match args[..] {
		["--operators"] => {
			for (proposal, name) in cover::names() {
				println!("{proposal}\t{name}");
			}
			for f in plant::faults() {
				println!("fault\t{}", f.name);
			}
			Ok(())
		}
		["--trace", file, to, kept] => {
			let bytes = fs::read(file)?;
			Ok(fs::write(to, trace::traced(&bytes, &rewrite::Shape::of(&bytes)?, kept.parse()?)?)?)
		}
		["--wrap", file, to, cover] => {
			let bytes = fs::read(file)?;
			let module = wrap::wrapped(&bytes, &rewrite::Shape::of(&bytes)?, &mut Random(bytes.len() as u64))?;
			fs::write(to, &module)?;
			Ok(fs::write(cover, cover::covered(&module, &rewrite::Shape::of(&module)?)?)?)
		}
		[folder, imports, first, count] => make_all(folder, imports, first.parse()?, count.parse()?, false),
		[folder, imports, first, count, "--faults"] => make_all(folder, imports, first.parse()?, count.parse()?, true),
		_ => anyhow::bail!("usage: smith FOLDER IMPORTS FIRST COUNT [--faults] | --operators | --wrap FILE TO COVER"),
	}
}
