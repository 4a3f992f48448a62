//! Where two engines part: each number that an instruction gives goes through a function that counts and hashes them all, and keeps the one of a given number.
//!
//! The hash of all before it tells whether the engines had parted by then, so that the first that differs is found by halves (differential.py --trace).
use crate::rewrite::{Added, Shape, rewritten};
use crate::signatures::{self, KINDS};
use anyhow::Result;
use std::collections::HashMap;
use wasm_encoder::{BlockType, ExportKind, Function, Instruction as I, ValType};
use wasmparser::Operator;

/// Variables: how many, their hash, and of the one that is kept the instruction, the value, the hash of all up to it.
const VARIABLES: u32 = 5;

/// Takes a value and the instruction's number, gives the value back.
fn passing(t: ValType, first: u32, kept: u64) -> Function {
	let mut f = Function::new_with_locals_types([ValType::I64]);
	let as_bits: Vec<I> = match t {
		ValType::I32 => vec![I::LocalGet(0), I::I64ExtendI32U],
		ValType::I64 => vec![I::LocalGet(0)],
		// All NaN are one.
		ValType::F32 => vec![I::LocalGet(0), I::F32Const(f32::NAN.into()), I::LocalGet(0), I::LocalGet(0), I::F32Eq, I::Select, I::I32ReinterpretF32, I::I64ExtendI32U],
		ValType::F64 => vec![I::LocalGet(0), I::F64Const(f64::NAN.into()), I::LocalGet(0), I::LocalGet(0), I::F64Eq, I::Select, I::I64ReinterpretF64],
		_ => vec![I::LocalGet(0), I::I64x2ExtractLane(0), I::LocalGet(0), I::I64x2ExtractLane(1), I::I64Const(7), I::I64Mul, I::I64Xor],
	};
	let (count, hash) = (first, first + 1);
	let code = [
		I::LocalSet(2), I::GlobalGet(count), I::I64Const(1), I::I64Add, I::GlobalSet(count),
		I::GlobalGet(hash), I::LocalGet(2), I::I64Xor, I::I64Const(0x100_0000_01b3), I::I64Mul, I::GlobalSet(hash),
		I::GlobalGet(count), I::I64Const(kept as i64), I::I64Eq, I::If(BlockType::Empty),
		I::LocalGet(1), I::I64ExtendI32U, I::GlobalSet(first + 2), I::LocalGet(2), I::GlobalSet(first + 3), I::GlobalGet(hash), I::GlobalSet(first + 4),
		I::End, I::LocalGet(0), I::End,
	];
	as_bits.iter().chain(&code).for_each(|i| {
		f.instruction(i);
	});
	f
}

/// The module that keeps the value of that number; what instructions are called by theirs is printed.
pub fn traced(bytes: &[u8], s: &Shape, kept: u64) -> Result<Vec<u8>> {
	let all = signatures::all()?;
	// What a vector of floats has for a NaN may differ before it is made one.
	let results: HashMap<&str, ValType> =
		all.iter().filter(|s| s.results.len() == 1 && (s.results[0] != ValType::V128 || !s.name.starts_with('f'))).map(|s| (s.name, s.results[0])).collect();
	let (types, funcs, first) = (s.types.len() as u32, s.funcs.len() as u32, s.globals.len() as u32);
	let mut number = 0;
	let after = move |op: &Operator| {
		let name = crate::cover::name(op);
		number += 1;
		println!("{number}\t{op:?}");
		match results.get(name) {
			Some(t) => {
				let k = KINDS.iter().position(|k| k == t).unwrap() as u32;
				vec![I::I32Const(number), I::Call(funcs + k)]
			}
			None => vec![],
		}
	};
	rewritten(bytes, Added {
		types: KINDS.iter().map(|t| (vec![*t, ValType::I32], vec![*t])).collect(),
		funcs: KINDS.iter().enumerate().map(|(k, t)| (types + k as u32, passing(*t, first, kept))).collect(),
		globals: vec![0; VARIABLES as usize],
		exports: (0..VARIABLES).map(|i| (format!("tenon-trace-{i}"), ExportKind::Global, first + i)).collect(),
		after: Some(Box::new(after)),
		..Added::default()
	})
}
