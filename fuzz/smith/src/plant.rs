//! Planted faults: the module as an engine would see it that has the fault. What finds none of them would find nothing of an engine's either.
use crate::cover::{memory, memory_of};
use crate::rewrite::{Added, Shape, rewritten};
use anyhow::Result;
use std::cell::Cell;
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{Instruction as I, MemArg, MemArgTarget};
use wasmparser::{Operator as O, ValType};

pub struct Fault {
	pub name: &'static str,
	instead: fn(&O, &Shape) -> Option<Vec<I<'static>>>,
}

macro_rules! faults {
	($( $name:literal: $op:pat $(if $guard:expr)? => $instead:expr; )*) => {
		&[$( Fault { name: $name, instead: |op, _| match op { $op $(if $guard)? => Some($instead), _ => None } } ),*]
	};
}

fn arg(m: &wasmparser::MemArg) -> MemArg {
	RoundtripReencoder.mem_arg(*m).unwrap()
}

fn further(m: &wasmparser::MemArg) -> MemArg {
	MemArg { offset: m.offset + 1, ..arg(m) }
}

fn narrow(m: &wasmparser::MemArg) -> MemArg {
	MemArg { align: 0, ..arg(m) }
}

fn same(op: &O) -> I<'static> {
	match RoundtripReencoder.instruction(op.clone()).unwrap() {
		I::CallIndirect { type_index, table_index } => I::CallIndirect { type_index, table_index },
		I::MemorySize(m) => I::MemorySize(m),
		_ => unreachable!(),
	}
}

const BY_INSTRUCTION: &[Fault] = faults! {
	"i32.rotl": O::I32Rotl => vec![I::I32Rotr];
	"i32.shl": O::I32Shl => vec![I::I32Const(30), I::I32And, I::I32Shl];
	"i64.shr_s": O::I64ShrS => vec![I::I64ShrU];
	"i64.clz": O::I64Clz => vec![I::I64Ctz];
	"i32.lt_s": O::I32LtS => vec![I::I32LtU];
	"i64.le_u": O::I64LeU => vec![I::I64LtU];
	"f64.min": O::F64Min => vec![I::F64Max];
	"f32.nearest": O::F32Nearest => vec![I::F32Trunc];
	"f32.lt": O::F32Lt => vec![I::F32Le];
	"f64.copysign": O::F64Copysign => vec![I::Drop];
	"f64.convert_i64_u": O::F64ConvertI64U => vec![I::F64ConvertI64S];
	"i32.trunc_sat_f64_s": O::I32TruncSatF64S => vec![I::I32TruncSatF64U];
	"i64.extend16_s": O::I64Extend16S => vec![I::I64Extend8S];
	"i32.div_s": O::I32DivS => vec![I::I32DivU];
	"i64.rem_s": O::I64RemS => vec![I::I64RemU];
	"i32.load8_s": O::I32Load8S { memarg } => vec![I::I32Load8U(arg(memarg))];
	"i64.store16": O::I64Store16 { memarg } => vec![I::I64Store8(narrow(memarg))];
	"i64.load-bounds": O::I64Load { memarg } => vec![I::I64Load(further(memarg))];
	"f32.store-offset": O::F32Store { memarg } if memarg.offset > 0 => vec![I::F32Store(MemArg { offset: memarg.offset - 1, ..arg(memarg) })];
	"unreachable": O::Unreachable => vec![I::I32Const(0), I::I32Const(0), I::I32DivS, I::Unreachable];
	"select": O::Select => vec![I::I32Eqz, I::Select];
	"if": O::If { blockty } => vec![I::I32Eqz, I::If(RoundtripReencoder.block_type(*blockty).unwrap())];
	"table.set": O::TableSet { .. } => vec![I::Drop, I::Drop];
	"table.grow": O::TableGrow { table } => vec![I::Drop, I::Drop, I::TableSize(*table)];
	"table.fill": O::TableFill { .. } => vec![I::Drop, I::Drop, I::Drop];
	"table.copy": O::TableCopy { .. } => vec![I::Drop, I::Drop, I::Drop];
	"table.init": O::TableInit { .. } => vec![I::Drop, I::Drop, I::Drop];
	"elem.drop": O::ElemDrop { .. } => vec![];
	"memory.grow": O::MemoryGrow { mem } => vec![I::Drop, I::MemorySize(*mem)];
	"memory.fill": O::MemoryFill { .. } => vec![I::Drop, I::Drop, I::Drop];
	"memory.copy": O::MemoryCopy { .. } => vec![I::Drop, I::Drop, I::Drop];
	"memory.init": O::MemoryInit { .. } => vec![I::Drop, I::Drop, I::Drop];
	"data.drop": O::DataDrop { .. } => vec![];
	"ref.is_null": O::RefIsNull => vec![I::RefIsNull, I::I32Eqz];
	"catches": O::TryTable { try_table } => vec![I::TryTable(RoundtripReencoder.block_type(try_table.ty).unwrap(), vec![].into())];
	"throw": O::Throw { .. } => vec![I::Unreachable];
	"v128.bitselect": O::V128Bitselect => vec![I::Drop, I::Drop];
	"i8x16.add_sat_s": O::I8x16AddSatS => vec![I::I8x16AddSatU];
	"i16x8.q15mulr_sat_s": O::I16x8Q15MulrSatS => vec![I::I16x8Mul];
	"f32x4.pmin": O::F32x4PMin => vec![I::F32x4PMax];
	"i32x4.trunc_sat_f64x2_s_zero": O::I32x4TruncSatF64x2SZero => vec![I::I32x4TruncSatF64x2UZero];
	"i64x2.extmul_low_i32x4_s": O::I64x2ExtMulLowI32x4S => vec![I::I64x2ExtMulHighI32x4S];
	"i16x8.shr_s": O::I16x8ShrS => vec![I::I16x8ShrU];
	"i8x16.bitmask": O::I8x16Bitmask => vec![I::I8x16AllTrue];
	"i32x4.relaxed_trunc_f32x4_u": O::I32x4RelaxedTruncF32x4U => vec![I::I32x4RelaxedTruncF32x4S];
	"f64x2.relaxed_madd": O::F64x2RelaxedMadd => vec![I::F64x2RelaxedNmadd];
	"i32.atomic.rmw.add": O::I32AtomicRmwAdd { memarg } => vec![I::I32AtomicRmwSub(arg(memarg))];
	"i64.atomic.rmw.xchg": O::I64AtomicRmwXchg { memarg } => vec![I::I64AtomicRmwOr(arg(memarg))];
	"i64.atomic.rmw16.xor_u": O::I64AtomicRmw16XorU { memarg } => vec![I::I64AtomicRmw16AndU(arg(memarg))];
	"i32.atomic.store8": O::I32AtomicStore8 { .. } => vec![I::Drop, I::Drop];
	"i64.mul_wide_s": O::I64MulWideS => vec![I::I64MulWideU];
	"i64.add128": O::I64Add128 => vec![I::I64Sub128];
	"struct.get_s": O::StructGetS { struct_type_index, field_index } => vec![I::StructGetU { struct_type_index: *struct_type_index, field_index: *field_index }];
	"struct.set": O::StructSet { .. } => vec![I::Drop, I::Drop];
	"array.get_s": O::ArrayGetS { array_type_index } => vec![I::ArrayGetU(*array_type_index)];
	"array.set": O::ArraySet { .. } => vec![I::Drop, I::Drop, I::Drop];
	"array.fill": O::ArrayFill { .. } => vec![I::Drop, I::Drop, I::Drop, I::Drop];
	"array.copy": O::ArrayCopy { .. } => vec![I::Drop, I::Drop, I::Drop, I::Drop, I::Drop];
	"array.len": O::ArrayLen => vec![I::ArrayLen, I::I32Const(1), I::I32Add];
	"i31.get_s": O::I31GetS => vec![I::I31GetU];
	"ref.eq": O::RefEq => vec![I::Drop, I::Drop, I::I32Const(0)];
	"ref.test": O::RefTestNonNull { hty } => vec![I::RefTestNullable(RoundtripReencoder.heap_type(*hty).unwrap())];
};

fn lost_global(op: &O, s: &Shape) -> Option<Vec<I<'static>>> {
	match op {
		// Not the fuel's.
		O::GlobalSet { global_index } if s.globals[*global_index as usize].content_type != ValType::I32 => Some(vec![I::Drop]),
		_ => None,
	}
}

fn lost_import(op: &O, s: &Shape) -> Option<Vec<I<'static>>> {
	match op {
		O::Call { function_index } if *function_index < s.imported_funcs => {
			let t = s.func_type(s.funcs[*function_index as usize])?;
			(t.params().is_empty() && t.results().is_empty()).then(|| vec![])
		}
		_ => None,
	}
}

/// Its calls come twice.
fn import_twice(op: &O, s: &Shape) -> Option<Vec<I<'static>>> {
	match op {
		O::Call { function_index: f } if *f < s.imported_funcs => {
			let t = s.func_type(s.funcs[*f as usize])?;
			(t.params() == [ValType::I32] && t.results() == [ValType::I32]).then(|| vec![I::Call(*f), I::Call(*f)])
		}
		_ => None,
	}
}

fn indirect(op: &O, s: &Shape) -> Option<Vec<I<'static>>> {
	match op {
		O::CallIndirect { table_index, .. } if !s.tables[*table_index as usize].table64 => Some(vec![I::I32Const(1), I::I32Add, same(op)]),
		_ => None,
	}
}

fn other_memory(op: &O, s: &Shape) -> Option<Vec<I<'static>>> {
	match op {
		O::I32Store { memarg } => {
			let i = memory(memarg)?;
			let same_kind = i > 0 && s.memories[0].memory64 == s.memories[i as usize].memory64;
			same_kind.then(|| vec![I::I32Store(MemArg { target: MemArgTarget::Memory(0), ..arg(memarg) })])
		}
		_ => None,
	}
}

fn wide_address(op: &O, s: &Shape) -> Option<Vec<I<'static>>> {
	match op {
		O::I32Load { memarg } if s.memories[memory(memarg)? as usize].memory64 => Some(vec![I::I32Load(further(memarg))]),
		_ => None,
	}
}

fn small_pages(op: &O, s: &Shape) -> Option<Vec<I<'static>>> {
	let m = &s.memories[memory_of(op)? as usize];
	match op {
		O::MemorySize { .. } if m.page_size_log2.is_some_and(|l| l != 16) && !m.memory64 => Some(vec![same(op), I::I32Const(1), I::I32Add]),
		_ => None,
	}
}

const BY_SHAPE: &[Fault] = &[
	Fault { name: "global.set", instead: lost_global },
	Fault { name: "import-lost", instead: lost_import },
	Fault { name: "import-twice", instead: import_twice },
	Fault { name: "call_indirect", instead: indirect },
	Fault { name: "other-memory", instead: other_memory },
	Fault { name: "memory64-load", instead: wide_address },
	Fault { name: "small-pages", instead: small_pages },
];

pub fn faults() -> impl Iterator<Item = &'static Fault> {
	BY_INSTRUCTION.iter().chain(BY_SHAPE)
}

/// None where it has no place for the fault.
pub fn planted(bytes: &[u8], s: &Shape, fault: &Fault) -> Result<Option<Vec<u8>>> {
	let any = Cell::new(false);
	let replace = |op: &O| {
		let found = (fault.instead)(op, s);
		any.set(any.get() || found.is_some());
		found
	};
	let made = rewritten(bytes, Added { replace: Some(Box::new(replace)), ..Added::default() })?;
	Ok(any.get().then_some(made))
}
