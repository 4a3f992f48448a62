//! Modules of which every instruction has the same chance to run: wasm-smith's rarely have two vectors on the stack, and end at an address that is out of bounds.
//!
//! A module has leaves, which call imports only, and functions that call those after them, so that all ends. Each is a list of statements over typed locals
//! (statements.rs, objects.rs), whose operands are trees of instructions chosen from all that give the type. What a NaN may be is made one NaN.
use crate::Random;
use crate::signatures::{Behind, KINDS, Signature};
use wasm_encoder::*;

pub type I = Instruction<'static>;

pub const LEAVES: u32 = 3;
pub const CALLERS: u32 = 4;
/// What the module may import (IMPORTS of differential.py) that is a function: their names and types.
const IMPORTS: [(&str, &[ValType], &[ValType]); 4] = [
	("f", &[], &[]),
	("g", &[ValType::I32], &[ValType::I32]),
	("h", &[ValType::I64, ValType::F64], &[ValType::F32]),
	("k", &[ValType::F32, ValType::I32, ValType::I64], &[ValType::I64, ValType::F64]),
];
const ADDRESSES: i32 = 0x1fff;

const fn heap(ty: AbstractHeapType) -> HeapType {
	HeapType::Abstract { shared: false, ty }
}

pub const EXN: HeapType = heap(AbstractHeapType::Exn);
pub const EQ: HeapType = heap(AbstractHeapType::Eq);
pub const NONE: HeapType = heap(AbstractHeapType::None);
pub const STRUCT: HeapType = heap(AbstractHeapType::Struct);
pub const ARRAY: HeapType = heap(AbstractHeapType::Array);

/// Storage types of arrays, and of the struct's fields before the last, which is anyref.
pub const STORED: [StorageType; 7] = [
	StorageType::I8,
	StorageType::I16,
	StorageType::Val(ValType::I32),
	StorageType::Val(ValType::I64),
	StorageType::Val(ValType::F32),
	StorageType::Val(ValType::F64),
	StorageType::Val(ValType::V128),
];

/// What the module has, by the seed.
pub struct Plan {
	pub gc: bool,
	pub exceptions: bool,
	pub simd: bool,
	/// Of a function, outside of blocks.
	pub most_statements: u64,
	pub memories: Vec<MemoryType>,
	pub tables: Vec<TableType>,
	pub globals: Vec<ValType>,
	/// Types of functions: imported, leaves, callers.
	pub funcs: Vec<(Vec<ValType>, Vec<ValType>)>,
	pub nimports: u32,
	/// Of objects: the struct, one that extends it, arrays of STORED, an array of anyref, one of funcref.
	pub objects: u32,
}

impl Plan {
	pub fn array(&self, k: u32) -> u32 {
		self.objects + 2 + k
	}
}

pub struct Body<'a> {
	pub r: &'a mut Random,
	pub plan: &'a Plan,
	all: &'a [Signature],
	pub f: Function,
	pub me: u32,
	pub nparams: u32,
	/// Loops around the place.
	pub loops: u32,
}

/// Locals behind the parameters: two of each kind, then temporaries, counters of loops and references.
pub const PER_KIND: u32 = 2;
pub const TEMP: u32 = PER_KIND * 5;
pub const COUNTER: u32 = TEMP + 5;
pub const REFS: u32 = COUNTER + 3;

fn is_comparison(name: &str) -> bool {
	["_eq", "_ne", "_lt", "_gt", "_le", "_ge"].iter().any(|e| name.ends_with(e))
}

impl<'a> Body<'a> {
	pub fn put(&mut self, code: impl IntoIterator<Item = I>) {
		for i in code {
			self.f.instruction(&i);
		}
	}

	pub fn local(&self, n: u32) -> u32 {
		self.nparams + n
	}

	pub fn of_kind(&mut self, t: ValType) -> u32 {
		let k = KINDS.iter().position(|k| *k == t).unwrap() as u32;
		let n = self.r.next() as u32 % PER_KIND;
		self.local(k * PER_KIND + n)
	}

	fn temp(&self, t: ValType) -> u32 {
		self.local(TEMP + KINDS.iter().position(|k| *k == t).unwrap() as u32)
	}

	pub fn kind(&mut self) -> ValType {
		let n = if self.plan.simd { 5 } else { 4 };
		KINDS[(self.r.next() % n) as usize]
	}

	fn constant(&mut self, t: ValType) {
		let x = self.r.next();
		let some = [0, 1, 2, 7, 31, 63, 127, 128, 255, 0x7fff, 0x8000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, i64::MAX as u64, i64::MIN as u64, u64::MAX];
		let n = if x & 3 == 0 { self.r.next() } else { some[(x >> 8) as usize % some.len()] };
		let float = [0.0, -0.0, 1.0, -1.5, 0.5, 1e9, -3e18, 2.5, f64::INFINITY, f64::NEG_INFINITY, 1e-310, 4294967295.0][(x >> 8) as usize % 12];
		let i = match t {
			ValType::I32 => I::I32Const(n as i32),
			ValType::I64 => I::I64Const(n as i64),
			ValType::F32 => I::F32Const((float as f32).into()),
			ValType::F64 => I::F64Const(float.into()),
			_ => I::V128Const(match x >> 60 & 3 {
				0 => (n as i128) << (x >> 57 & 63) | self.r.next() as i128,
				1 => i128::from_le_bytes([float.to_le_bytes(), (float * -0.75).to_le_bytes()].concat().try_into().unwrap()),
				2 => i128::from_le_bytes([1.0, -2.5, 0.5, -1e10].map(|f: f32| (f * float as f32).to_le_bytes()).concat().try_into().unwrap()),
				_ => (0..16).fold(0, |v: i128, i| v << 8 | (self.r.next() & (0xff >> (i & 7))) as i128),
			}),
		};
		self.put([i]);
	}

	fn leaf(&mut self, t: ValType) {
		let same: Vec<u32> = (0..self.nparams).filter(|p| self.plan.funcs[self.me as usize].0[*p as usize] == t).collect();
		match self.r.next() % 6 {
			0 | 1 => self.constant(t),
			2 if !same.is_empty() => {
				let p = self.r.choice(&same);
				self.put([I::LocalGet(p)]);
			}
			3 => {
				let found: Vec<u32> = (0..self.plan.globals.len() as u32).filter(|g| self.plan.globals[*g as usize] == t).collect();
				let i = if found.is_empty() { I::LocalGet(self.of_kind(t)) } else { I::GlobalGet(self.r.choice(&found)) };
				self.put([i]);
			}
			_ => {
				let l = self.of_kind(t);
				self.put([I::LocalGet(l)]);
			}
		}
	}

	/// An i32, or i64 where the memory is one of those, within it nearly always; a multiple of that power of two.
	pub fn address(&mut self, memory: u32, align: u8, depth: u32) {
		let wide = self.plan.memories[memory as usize].memory64;
		self.expr(if wide { ValType::I64 } else { ValType::I32 }, depth);
		let mask = if self.r.percent(98) { ADDRESSES >> align << align } else { -1 };
		self.put(if wide { [I::I64Const(mask as i64), I::I64And] } else { [I::I32Const(mask), I::I32And] });
	}

	/// The value on the stack, if it may be a NaN of any kind.
	fn canonical(&mut self, s: &Signature) {
		let [t] = s.results[..] else { return };
		let temp = self.temp(t);
		let plain = ["_const", "_load", "_reinterpret", "_abs", "_neg", "_copysign", "_shuffle", "_splat", "_lane"].iter().any(|p| s.name.contains(p)) || is_comparison(s.name);
		match t {
			ValType::F32 | ValType::F64 if !plain => {
				let (nan, ne) = if t == ValType::F32 { (I::F32Const(f32::NAN.into()), I::F32Eq) } else { (I::F64Const(f64::NAN.into()), I::F64Eq) };
				self.put([I::LocalTee(temp), nan, I::LocalGet(temp), I::LocalGet(temp), ne, I::Select]);
			}
			ValType::V128 if !plain && s.name.starts_with('f') => {
				let (nan, eq) = if s.name.starts_with("f32x4") {
					(I::V128Const(0x7fc00000_7fc00000_7fc00000_7fc00000), I::F32x4Eq)
				} else {
					(I::V128Const(0x7ff80000_00000000_7ff80000_00000000), I::F64x2Eq)
				};
				self.put([I::LocalTee(temp), nan, I::LocalGet(temp), I::LocalGet(temp), eq, I::V128Bitselect]);
			}
			_ => {}
		}
	}

	fn behind(&mut self, s: &Signature, memory: u32) {
		let mut bytes = s.opcode.clone();
		let lane = |r: &mut Random, n: u8| (r.next() % n as u64) as u8;
		let memarg = |r: &mut Random, most: u8, bytes: &mut Vec<u8>| {
			let align = if s.opcode[0] == 0xfe { most } else { (r.next() % (most as u64 + 1)) as u8 };
			bytes.extend([align | 0x40, memory as u8]);
			// A multiple of sixteen, as atomics want it.
			let offset = [0u32, 0, 16, 48, 4096][(r.next() % 5) as usize];
			bytes.extend([offset as u8 & 0x7f | 0x80, (offset >> 7) as u8]);
		};
		match s.behind {
			Behind::Nothing => {}
			Behind::Lane(n) => bytes.push(lane(self.r, n)),
			Behind::Lanes => (0..16).for_each(|_| bytes.push(lane(self.r, 32))),
			Behind::Memory(most) => memarg(self.r, most, &mut bytes),
			Behind::MemoryLane(most, n) => {
				memarg(self.r, most, &mut bytes);
				bytes.push(lane(self.r, n));
			}
		}
		self.f.raw(bytes);
	}

	/// Small whole numbers of the vector on the stack: whether a product is rounded before it is added is free.
	fn small_floats(&mut self, single: bool) {
		let convert = if single { I::F32x4ConvertI32x4U } else { I::F64x2ConvertLowI32x4U };
		self.put([I::V128Const(0x0000003f_0000003f_0000003f_0000003f), I::V128And, convert]);
	}

	/// Operands and the instruction; what it gives is on the stack.
	pub fn apply(&mut self, s: &Signature, depth: u32) {
		let uses_memory = matches!(s.behind, Behind::Memory(_) | Behind::MemoryLane(..));
		let memory = (self.r.next() % self.plan.memories.len() as u64) as u32;
		for (i, p) in s.params.iter().enumerate() {
			match s.behind {
				Behind::Memory(align) | Behind::MemoryLane(align, _) if i == 0 => {
					let align = if s.opcode[0] == 0xfe { align } else { 0 };
					self.address(memory, align, depth.min(1));
				}
				_ => self.expr(*p, depth),
			}
			if s.name.contains("madd") {
				self.small_floats(s.name.starts_with("f32x4"));
			}
		}
		self.behind(s, if uses_memory { memory } else { 0 });
		self.canonical(s);
	}

	fn traps(s: &Signature) -> bool {
		s.name.contains("_div_s") || s.name.contains("_div_u") || s.name.contains("_rem_") || (s.name.contains("_trunc_f") && s.opcode[0] != 0xfd) && !s.name.contains("sat")
	}

	/// One that gives just these.
	pub fn chosen(&mut self, results: &[ValType]) -> Option<&'a Signature> {
		let all = self.all;
		let found: Vec<usize> = (0..all.len()).filter(|i| all[*i].results == results && (self.plan.simd || !all[*i].params.contains(&ValType::V128))).collect();
		let i = if found.is_empty() { None } else { Some(self.r.choice(&found)) };
		i.map(|i| &all[i]).filter(|s| !Self::traps(s) || self.r.percent(25))
	}

	pub fn expr(&mut self, t: ValType, depth: u32) {
		if depth == 0 || self.r.percent(8) {
			return self.leaf(t);
		}
		match self.r.next() % 20 {
			0 => {
				self.expr(t, depth - 1);
				self.expr(t, depth - 1);
				self.expr(ValType::I32, depth - 1);
				let select = if self.r.percent(50) { I::Select } else { I::TypedSelect(t) };
				self.put([select]);
			}
			1 => {
				self.expr(ValType::I32, depth - 1);
				self.put([I::If(BlockType::Result(t))]);
				self.expr(t, depth - 1);
				self.put([I::Else]);
				self.expr(t, depth - 1);
				self.put([I::End]);
			}
			2 => {
				self.expr(t, depth - 1);
				let l = self.of_kind(t);
				self.put([I::LocalTee(l)]);
			}
			3 if t == ValType::I32 => self.wanted(depth),
			_ => match self.chosen(&[t]) {
				Some(s) => self.apply(s, depth - 1),
				None => self.leaf(t),
			},
		}
	}

	/// Numbers of 32 bits that are told by what is not a number.
	fn wanted(&mut self, depth: u32) {
		let memory = (self.r.next() % self.plan.memories.len() as u64) as u32;
		let wide = self.plan.memories[memory as usize].memory64;
		match self.r.next() % 3 {
			0 => {
				self.put([I::MemorySize(memory)]);
				self.put(wide.then_some(I::I32WrapI64));
			}
			1 => {
				self.expr(ValType::I32, depth - 1);
				self.put([I::I32Const(1), I::I32And]);
				self.put(wide.then_some(I::I64ExtendI32U));
				self.put([I::MemoryGrow(memory)]);
				self.put(wide.then_some(I::I32WrapI64));
			}
			_ => {
				let table = (self.r.next() % self.plan.tables.len() as u64) as u32;
				self.put([I::TableSize(table)]);
				self.put(self.plan.tables[table as usize].table64.then_some(I::I32WrapI64));
			}
		}
	}

	fn digest_of(&mut self, t: ValType, value: Vec<I>) {
		let f = self.plan.funcs.len() as u32;
		let lanes = if t == ValType::V128 { 2 } else { 1 };
		for lane in 0..lanes {
			self.put(value.clone());
			match t {
				ValType::I32 => self.put([I::I64ExtendI32U]),
				ValType::F32 => self.put([I::I32ReinterpretF32, I::I64ExtendI32U]),
				ValType::F64 => self.put([I::I64ReinterpretF64]),
				ValType::V128 => self.put([I::I64x2ExtractLane(lane)]),
				_ => {}
			}
			self.put([I::Call(f)]);
		}
	}

	/// What its locals hold.
	fn digested(&mut self) {
		for (k, t) in KINDS.into_iter().enumerate() {
			for n in 0..PER_KIND {
				if t != ValType::V128 || self.plan.simd {
					let l = self.local(k as u32 * PER_KIND + n);
					self.digest_of(t, vec![I::LocalGet(l)]);
				}
			}
		}
		if self.plan.gc && self.r.percent(50) {
			self.digested_objects();
		}
	}

	fn digested_objects(&mut self) {
		let (any, object) = (self.local(REFS), self.local(REFS + 1));
		let there = |l| [I::LocalGet(l), I::RefIsNull, I::I32Eqz, I::If(BlockType::Empty)];
		self.put([I::LocalGet(any), I::RefTestNonNull(HeapType::I31), I::If(BlockType::Empty)]);
		self.digest_of(ValType::I32, vec![I::LocalGet(any), I::RefCastNonNull(HeapType::I31), I::I31GetS]);
		self.put([I::End]);
		self.put(there(object));
		for (k, t) in STORED.iter().enumerate() {
			let (struct_type_index, field_index) = (self.plan.objects, k as u32);
			let get = if k < 2 { I::StructGetS { struct_type_index, field_index } } else { I::StructGet { struct_type_index, field_index } };
			self.digest_of(t.unpack(), vec![I::LocalGet(object), get]);
		}
		self.put([I::End]);
		for (k, t) in STORED.iter().enumerate() {
			let (l, index) = (self.local(REFS + 2 + k as u32), self.plan.array(k as u32));
			let get = || if k < 2 { I::ArrayGetS(index) } else { I::ArrayGet(index) };
			self.put(there(l));
			self.digest_of(ValType::I32, vec![I::LocalGet(l), I::ArrayLen]);
			for at in 0..3 {
				self.digest_of(t.unpack(), vec![I::LocalGet(l), I::I32Const(at), get()]);
			}
			self.put([I::End]);
		}
	}

	/// To locals, the last one first.
	pub fn set(&mut self, kinds: &[ValType]) {
		for t in kinds.iter().rev() {
			let l = self.of_kind(*t);
			self.put([I::LocalSet(l)]);
		}
	}

	pub fn args(&mut self, func: u32, depth: u32) {
		for t in self.plan.funcs[func as usize].0.clone() {
			self.expr(t, depth);
		}
	}
}

fn signature(r: &mut Random, simd: bool) -> (Vec<ValType>, Vec<ValType>) {
	let n = if simd { 5 } else { 4 };
	let mut some = |most: u64| (0..r.next() % (most + 1)).map(|_| KINDS[(r.next() % n) as usize]).collect();
	(some(4), some(3))
}

fn plan(r: &mut Random) -> Plan {
	let (simd, gc) = (r.percent(75), r.percent(60));
	let memory = |r: &mut Random| {
		let small = r.percent(20);
		let (pages, log) = if small { (20000, Some(0)) } else { (1, None) };
		let shared = r.percent(25);
		MemoryType { minimum: pages, maximum: Some(pages + 2), memory64: r.percent(30), shared, page_size_log2: log }
	};
	let table = |r: &mut Random, element_type| TableType { element_type, table64: r.percent(25), minimum: 12, maximum: Some(14), shared: false };
	let mut funcs = vec![];
	let nimports = if r.percent(70) { IMPORTS.len() as u32 } else { 0 };
	for (_, params, results) in &IMPORTS[..nimports as usize] {
		funcs.push((params.to_vec(), results.to_vec()));
	}
	for _ in 0..LEAVES + CALLERS {
		funcs.push(signature(r, simd));
	}
	Plan {
		gc,
		exceptions: r.percent(60),
		simd,
		most_statements: r.choice(&[2, 2, 3, 5, 9]),
		memories: (0..1 + r.next() % 3).map(|_| memory(r)).collect(),
		tables: vec![table(r, RefType::FUNCREF), table(r, RefType::FUNCREF), table(r, RefType::EXTERNREF)],
		globals: (0..6).map(|i| if i < 5 && (simd || i < 4) { KINDS[i] } else { ValType::I64 }).collect(),
		objects: funcs.len() as u32,
		funcs,
		nimports,
	}
}

fn sub(inner: CompositeInnerType, supertype: Option<u32>) -> SubType {
	let composite_type = CompositeType { inner, shared: false, descriptor: None, describes: None };
	SubType { is_final: false, supertype_idxs: supertype.into_iter().collect(), composite_type }
}

fn types(p: &Plan) -> TypeSection {
	let mut types = TypeSection::new();
	for (params, results) in &p.funcs {
		types.ty().function(params.iter().copied(), results.iter().copied());
	}
	if p.gc {
		let field = |element_type| FieldType { element_type, mutable: true };
		let any = StorageType::Val(ValType::Ref(RefType::ANYREF));
		let fields: Vec<FieldType> = STORED.iter().chain([&any]).map(|t| field(*t)).collect();
		let more = [&fields[..], &[field(StorageType::Val(ValType::I32))]].concat();
		types.ty().subtype(&sub(CompositeInnerType::Struct(StructType { fields: fields.into() }), None));
		types.ty().subtype(&sub(CompositeInnerType::Struct(StructType { fields: more.into() }), Some(p.objects)));
		for t in STORED.iter().chain([&any, &StorageType::Val(ValType::Ref(RefType::FUNCREF))]) {
			types.ty().subtype(&sub(CompositeInnerType::Array(ArrayType(field(*t))), None));
		}
	}
	types.ty().function([ValType::I32, ValType::I64], []);
	types.ty().function([], []);
	let exn = ValType::Ref(RefType { nullable: true, heap_type: EXN });
	types.ty().function([], [ValType::I32, ValType::I64]);
	types.ty().function([ValType::I64], []);
	if p.exceptions {
		types.ty().function([], [ValType::I32, ValType::I64, exn]);
	}
	types
}

/// The types of the two tags, of blocks that take the first's values, of the digest, of blocks that take the values and the exception.
pub fn tag_type(p: &Plan, tag: u32) -> u32 {
	p.objects + if p.gc { 2 + STORED.len() as u32 + 2 } else { 0 } + tag
}

/// Types of the locals from REFS on: any, struct, arrays of STORED, of anyref, of funcref, extern, func.
pub fn refs(p: &Plan) -> Vec<ValType> {
	let nullable = |t| ValType::Ref(RefType { nullable: true, heap_type: HeapType::Concrete(t) });
	let mut all = vec![];
	if p.gc {
		all.extend([ValType::Ref(RefType::ANYREF), nullable(p.objects)]);
		all.extend((0..STORED.len() as u32 + 2).map(|k| nullable(p.array(k))));
	}
	all.extend([ValType::Ref(RefType::EXTERNREF), ValType::Ref(RefType::FUNCREF)]);
	all
}

fn body(p: &Plan, all: &[Signature], r: &mut Random, me: u32) -> Function {
	let nparams = p.funcs[me as usize].0.len() as u32;
	let mut locals: Vec<ValType> = KINDS.iter().flat_map(|k| vec![*k; PER_KIND as usize]).collect();
	locals.extend(KINDS);
	locals.extend([ValType::I32; (REFS - COUNTER) as usize]);
	locals.extend(refs(p));
	let f = Function::new_with_locals_types(locals);
	let mut b = Body { r, plan: p, all, f, me, nparams, loops: 0 };
	let n = 1 + b.r.next() % b.plan.most_statements;
	b.statements(n as u32, 2);
	b.digested();
	b.result();
	b.f
}

/// Takes in a number: what locals hold at last is seen by nobody else.
fn digest(p: &Plan) -> Function {
	let mut f = Function::new([]);
	let g = p.globals.len() as u32;
	for i in [I::GlobalGet(g), I::I64Const(7), I::I64Rotl, I::LocalGet(0), I::I64Xor, I::GlobalSet(g), I::End] {
		f.instruction(&i);
	}
	f
}

fn segments(p: &Plan, r: &mut Random) -> (ElementSection, DataSection) {
	let (mut elements, mut data) = (ElementSection::new(), DataSection::new());
	let leaves: Vec<u32> = (0..12).map(|i| p.nimports + i % LEAVES).collect();
	let zero = |wide| if wide { ConstExpr::i64_const(0) } else { ConstExpr::i32_const(0) };
	for (i, t) in p.tables[..2].iter().enumerate() {
		elements.active(Some(i as u32), &zero(t.table64), Elements::Functions(leaves[..8 + i].into()));
	}
	elements.passive(Elements::Functions(leaves[..5].into()));
	for (i, m) in p.memories.iter().enumerate() {
		data.active(i as u32, &zero(m.memory64), r.bytes(64));
	}
	data.passive(r.bytes(64));
	(elements, data)
}

pub fn forged(r: &mut Random, all: &[Signature]) -> Vec<u8> {
	let p = plan(r);
	let (mut imports, mut funcs, mut tables, mut memories, mut tags) = (ImportSection::new(), FunctionSection::new(), TableSection::new(), MemorySection::new(), TagSection::new());
	let (mut globals, mut exports, mut code) = (GlobalSection::new(), ExportSection::new(), CodeSection::new());
	for (i, (name, ..)) in IMPORTS[..p.nimports as usize].iter().enumerate() {
		imports.import("e", name, EntityType::Function(i as u32));
	}
	for f in p.nimports..p.funcs.len() as u32 {
		funcs.function(f);
		exports.export(&format!("f{f}"), ExportKind::Func, f);
		code.function(&body(&p, all, r, f));
	}
	funcs.function(tag_type(&p, 3));
	code.function(&digest(&p));
	for (i, t) in p.tables.iter().enumerate() {
		tables.table(*t);
		exports.export(&format!("t{i}"), ExportKind::Table, i as u32);
	}
	for (i, m) in p.memories.iter().enumerate() {
		memories.memory(*m);
		exports.export(&format!("m{i}"), ExportKind::Memory, i as u32);
	}
	for tag in 0..2 {
		tags.tag(TagType { kind: TagKind::Exception, func_type_idx: tag_type(&p, tag) });
	}
	for (i, t) in p.globals.iter().chain([&ValType::I64]).enumerate() {
		let zero = match t {
			ValType::I32 => ConstExpr::i32_const(5).with_i32_const(7).with_i32_mul(),
			ValType::I64 => ConstExpr::i64_const(-3),
			ValType::F32 => ConstExpr::f32_const(1.5f32.into()),
			ValType::F64 => ConstExpr::f64_const((-0.25f64).into()),
			_ => ConstExpr::v128_const(0x0123_4567_89ab_cdef),
		};
		globals.global(GlobalType { val_type: *t, mutable: true, shared: false }, &zero);
		exports.export(&format!("g{i}"), ExportKind::Global, i as u32);
	}
	let (elements, data) = segments(&p, r);
	let mut m = Module::new();
	m.section(&types(&p)).section(&imports).section(&funcs).section(&tables).section(&memories);
	if p.exceptions {
		m.section(&tags);
	}
	m.section(&globals).section(&exports).section(&elements).section(&DataCountSection { count: data.len() }).section(&code).section(&data);
	m.finish()
}
