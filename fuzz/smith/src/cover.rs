//! Which instructions of a module are reached: a bit for each kind of instruction, in 64-bit variables that are added and exported last.
use crate::rewrite::{Added, Shape, rewritten};
use anyhow::Result;
use wasm_encoder::{ExportKind, Instruction};
use wasmparser::{BlockType, MemArg, MemArgTarget, Operator};

/// What is a feature, but no instruction of its own.
const OTHERS: [&str; 9] = ["multi-memory", "memory64", "table64", "custom-page-sizes", "shared-memory", "multi-value-block", "multi-value-call", "call-import", "extended-const"];

macro_rules! table {
	($( @$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*) )*) => {
		const OPERATORS: &[(&str, &str)] = &[$((stringify!($proposal), stringify!($visit))),*];

		#[allow(non_camel_case_types)]
		#[repr(u32)]
		enum Number { $($visit),* }

		fn number(op: &Operator) -> Option<u32> {
			match op {
				$( Operator::$op { .. } => Some(Number::$visit as u32), )*
				_ => None,
			}
		}
	};
}
wasmparser::for_each_operator!(table);

pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
	OPERATORS.iter().map(|(p, v)| (*p, v.trim_start_matches("visit_"))).chain(OTHERS.iter().map(|o| ("other", *o)))
}

pub fn name(op: &Operator) -> &'static str {
	number(op).map_or("", |n| OPERATORS[n as usize].1.trim_start_matches("visit_"))
}

fn other(name: &str) -> u32 {
	(OPERATORS.len() + OTHERS.iter().position(|o| *o == name).unwrap()) as u32
}

pub fn memory(m: &MemArg) -> Option<u32> {
	match m.target {
		MemArgTarget::Memory(index) => Some(index),
		MemArgTarget::Array(_) => None,
	}
}

macro_rules! memory_of {
	($( @$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*) )*) => {
		/// The memory that an instruction uses.
		#[allow(unused_variables)]
		pub fn memory_of(op: &Operator) -> Option<u32> {
			match op {
				$( Operator::$op $({ $($arg),* })? => None$($( .or(memory_of!(field $arg $arg)) )*)?, )*
				_ => None,
			}
		}
	};
	(field memarg $m:ident) => { memory($m) };
	(field mem $m:ident) => { Some(*$m) };
	(field dst_mem $m:ident) => { Some(*$m) };
	(field $name:ident $m:ident) => { None };
}
wasmparser::for_each_operator!(memory_of);

fn others(op: &Operator, s: &Shape) -> Vec<u32> {
	let mut found = vec![];
	if let Some((i, m)) = memory_of(op).and_then(|i| Some((i, s.memories.get(i as usize)?))) {
		let has = [("multi-memory", i > 0), ("memory64", m.memory64), ("custom-page-sizes", m.page_size_log2.is_some_and(|l| l != 16)), ("shared-memory", m.shared)];
		found.extend(has.iter().filter(|h| h.1).map(|h| other(h.0)));
	}
	let table = match op {
		Operator::TableGet { table } | Operator::TableSet { table } | Operator::TableSize { table } | Operator::TableGrow { table } | Operator::TableFill { table } => Some(*table),
		Operator::CallIndirect { table_index, .. } | Operator::ReturnCallIndirect { table_index, .. } => Some(*table_index),
		Operator::TableCopy { dst_table, .. } => Some(*dst_table),
		Operator::TableInit { table, .. } => Some(*table),
		_ => None,
	};
	if table.is_some_and(|t| s.tables.get(t as usize).is_some_and(|t| t.table64)) {
		found.push(other("table64"));
	}
	match op {
		Operator::Block { blockty: BlockType::FuncType(_) } | Operator::Loop { blockty: BlockType::FuncType(_) } | Operator::If { blockty: BlockType::FuncType(_) } => {
			found.push(other("multi-value-block"));
		}
		Operator::Call { function_index } => {
			if *function_index < s.imported_funcs {
				found.push(other("call-import"));
			}
			if s.func_type(s.funcs[*function_index as usize]).is_some_and(|f| f.results().len() > 1) {
				found.push(other("multi-value-call"));
			}
		}
		_ => {}
	}
	found
}

pub fn covered(bytes: &[u8], s: &Shape) -> Result<Vec<u8>> {
	let words = (OPERATORS.len() + OTHERS.len()).div_ceil(64);
	let first = s.globals.len() as u32;
	let mut globals = vec![0; words];
	if s.extended_const {
		globals[other("extended-const") as usize / 64] |= 1 << (other("extended-const") % 64);
	}
	let before = |op: &Operator| {
		if matches!(op, Operator::End | Operator::Else) {
			return vec![];
		}
		let bits = number(op).into_iter().chain(others(op, s));
		bits.flat_map(|b| {
			let global = first + b / 64;
			[Instruction::GlobalGet(global), Instruction::I64Const((1u64 << (b % 64)) as i64), Instruction::I64Or, Instruction::GlobalSet(global)]
		})
		.collect()
	};
	let exports = (0..words).map(|i| (format!("tenon-cover-{i}"), ExportKind::Global, first + i as u32)).collect();
	rewritten(bytes, Added { globals, exports, before: Some(Box::new(before)), ..Added::default() })
}
