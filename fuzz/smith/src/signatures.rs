//! The instructions on numbers, vectors and memory as the validator has them: which opcodes there are, what is behind them, what they take and give.
use crate::cover;
use anyhow::Result;
use wasm_encoder::{CodeSection, Function, FunctionSection, MemorySection, MemoryType, Module, TypeSection, ValType};
use wasmparser::{BinaryReader, FuncToValidate, Operator, OperatorsReader, ValidPayload, Validator, ValidatorResources, WasmFeatures};

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Behind {
	Nothing,
	/// A lane below that.
	Lane(u8),
	/// Sixteen lanes below 32.
	Lanes,
	/// A memory, whose alignment can be at most 2 to that; exactly that where it is atomic.
	Memory(u8),
	MemoryLane(u8, u8),
}

pub struct Signature {
	pub name: &'static str,
	pub opcode: Vec<u8>,
	pub behind: Behind,
	pub params: Vec<ValType>,
	pub results: Vec<ValType>,
}

pub const KINDS: [ValType; 5] = [ValType::I32, ValType::I64, ValType::F32, ValType::F64, ValType::V128];
const MOST_PARAMS: usize = 4;

/// What takes more than numbers, waits for another thread, or is not finished.
const LEFT_OUT: [&str; 10] = ["atomic_fence", "memory_fill", "memory_copy", "memory_init", "memory_atomic_wait", "memory_discard", "data_", "elem_", "table_", "pause"];

fn leb(mut n: u32) -> Vec<u8> {
	let mut out = vec![];
	while n > 0x7f {
		out.push(n as u8 | 0x80);
		n >>= 7;
	}
	out.push(n as u8);
	out
}

fn opcodes() -> Vec<Vec<u8>> {
	let prefixed = |p: u8, n: u32| (0..n).map(move |i| [vec![p], leb(i)].concat());
	(0x28..=0x3e).chain(0x45..=0xc4).map(|b| vec![b]).chain(prefixed(0xfc, 24)).chain(prefixed(0xfd, 0x120)).chain(prefixed(0xfe, 0x50)).collect()
}

/// Bytes behind an opcode, the first alternative that the decoder and the validator take is right.
fn alternatives() -> Vec<(Behind, Vec<u8>)> {
	let mut all = vec![(Behind::Nothing, vec![]), (Behind::Lanes, vec![0; 16])];
	for lanes in [16, 8, 4, 2] {
		all.push((Behind::Lane(lanes), vec![lanes - 1]));
	}
	for align in (0..=4).rev() {
		all.push((Behind::Memory(align), vec![align, 0]));
		for lanes in [16, 8, 4, 2] {
			all.push((Behind::MemoryLane(align, lanes), vec![align, 0, lanes - 1]));
		}
	}
	all
}

fn operator(bytes: &[u8]) -> Option<Operator<'_>> {
	let mut r = OperatorsReader::new(BinaryReader::new(bytes, 0));
	let op = r.read().ok()?;
	(r.get_binary_reader().bytes_remaining() == 0).then_some(op)
}

/// A function of these parameters in a module with one memory.
fn context(params: &[ValType]) -> Result<FuncToValidate<ValidatorResources>> {
	let (mut types, mut funcs, mut memories, mut code, mut m) = (TypeSection::new(), FunctionSection::new(), MemorySection::new(), CodeSection::new(), Module::new());
	types.ty().function(params.iter().copied(), []);
	funcs.function(0);
	memories.memory(MemoryType { minimum: 1, maximum: Some(1), memory64: false, shared: true, page_size_log2: None });
	code.function(&Function::new([]));
	let bytes = m.section(&types).section(&funcs).section(&memories).section(&code).clone().finish();
	let mut v = Validator::new_with_features(WasmFeatures::all());
	for p in wasmparser::Parser::new(0).parse_all(&bytes) {
		if let ValidPayload::Func(f, _) = v.payload(&p?)? {
			return Ok(f);
		}
	}
	anyhow::bail!("no function")
}

/// What it gives; None: it does not take that.
fn given(f: &FuncToValidate<ValidatorResources>, nparams: usize, op: &Operator) -> Option<Vec<ValType>> {
	let f = FuncToValidate { resources: f.resources.clone(), index: f.index, ty: f.ty, features: f.features };
	let mut v = f.into_validator(Default::default());
	for i in 0..nparams {
		v.op(0, &Operator::LocalGet { local_index: i as u32 }).ok()?;
	}
	v.op(0, op).ok()?;
	let n = v.operand_stack_height() as usize;
	(0..n).rev().map(|d| v.get_operand_type(d)??.try_into().ok()).collect()
}

pub fn all() -> Result<Vec<Signature>> {
	let mut left: Vec<(Vec<u8>, Vec<(Behind, Vec<u8>)>)> = opcodes().into_iter().map(|o| (o, alternatives())).collect();
	for (o, behind) in &mut left {
		behind.retain(|(_, bytes)| operator(&[&o[..], bytes].concat()).is_some());
	}
	let mut found = vec![];
	let mut params: Vec<Vec<ValType>> = vec![vec![]];
	for _ in 0..=MOST_PARAMS {
		for p in &params {
			let f = context(p)?;
			left.retain(|(o, behind)| {
				for (kind, bytes) in behind {
					let bytes = [&o[..], bytes].concat();
					let op = operator(&bytes).unwrap();
					// What takes fewer leaves the first ones where they are.
					let Some(results) = given(&f, p.len(), &op) else { continue };
					if !LEFT_OUT.iter().any(|l| cover::name(&op).starts_with(l)) {
						found.push(Signature { name: cover::name(&op), opcode: o.clone(), behind: *kind, params: p.clone(), results });
					}
					return false;
				}
				true
			});
		}
		params = params.iter().flat_map(|p| KINDS.iter().map(|k| [&p[..], &[*k]].concat())).collect();
	}
	Ok(found)
}
