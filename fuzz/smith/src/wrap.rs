//! Functions added to a module, through which all of it can be seen by who passes numbers only: a vector is two of 64 bits; a reference that goes in is an i31, a
//! new object or null by a number; one that comes out is told by whether it is null and by the numbers in it.
use crate::Random;
use crate::rewrite::{Added, Shape, rewritten};
use anyhow::Result;
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{BlockType, ExportKind, Function, HeapType, Instruction as I, ValType};
use wasmparser::{AbstractHeapType as Abstract, CompositeInnerType, StorageType};

const MOST_RESULTS: usize = 60;

struct Wrapper<'a> {
	shape: &'a Shape,
	params: Vec<ValType>,
	results: Vec<ValType>,
	/// What comes after the parameters.
	locals: Vec<ValType>,
	code: Vec<I<'static>>,
}

fn is_number(t: wasmparser::ValType) -> bool {
	use wasmparser::ValType::*;
	matches!(t, I32 | I64 | F32 | F64)
}

fn encoded(t: wasmparser::ValType) -> ValType {
	RoundtripReencoder.val_type(t).unwrap()
}

fn heap(t: wasmparser::HeapType) -> HeapType {
	RoundtripReencoder.heap_type(t).unwrap()
}

fn index_of(t: wasmparser::HeapType) -> Option<u32> {
	match t {
		wasmparser::HeapType::Concrete(i) | wasmparser::HeapType::Exact(i) => i.as_module_index(),
		_ => None,
	}
}

fn defaultable(t: &wasmparser::FieldType) -> bool {
	!matches!(t.element_type, StorageType::Val(wasmparser::ValType::Ref(r)) if !r.is_nullable())
}

impl Wrapper<'_> {
	/// Instructions that make a reference of this heap type from the i32 in a parameter; None where it takes more than that.
	fn made(&self, t: wasmparser::HeapType, param: u32) -> Option<Vec<I<'static>>> {
		if let Some(index) = index_of(t) {
			return match &self.shape.types[index as usize].composite_type.inner {
				CompositeInnerType::Struct(s) => s.fields.iter().all(defaultable).then(|| vec![I::StructNewDefault(index)]),
				CompositeInnerType::Array(a) => defaultable(&a.0).then(|| vec![I::LocalGet(param), I::I32Const(15), I::I32And, I::ArrayNewDefault(index)]),
				CompositeInnerType::Func(_) => {
					let f = self.shape.funcs.iter().enumerate().find(|(f, t)| **t == index && self.shape.exported_funcs.contains(&(*f as u32)))?;
					Some(vec![I::RefFunc(f.0 as u32)])
				}
				_ => None,
			};
		}
		let wasmparser::HeapType::Abstract { shared: false, ty } = t else { return None };
		match ty {
			Abstract::Any | Abstract::Eq | Abstract::I31 => Some(vec![I::LocalGet(param), I::RefI31]),
			Abstract::Extern => Some(vec![I::LocalGet(param), I::RefI31, I::ExternConvertAny]),
			Abstract::Func => self.shape.exported_funcs.iter().min().map(|f| vec![I::RefFunc(*f)]),
			_ => None,
		}
	}

	/// Takes numbers and leaves one value of the type on the stack; None where there is no way.
	fn take(&mut self, t: wasmparser::ValType, gc: bool) -> Option<()> {
		let param = self.params.len() as u32;
		match t {
			wasmparser::ValType::V128 => {
				self.params.extend([ValType::I64, ValType::I64]);
				self.code.extend([I::LocalGet(param), I::I64x2Splat, I::LocalGet(param + 1), I::I64x2ReplaceLane(1)]);
			}
			wasmparser::ValType::Ref(r) => {
				self.params.push(ValType::I32);
				let made = self.made(r.heap_type(), param).filter(|m| gc || matches!(m[0], I::RefFunc(_)));
				match (made, r.is_nullable()) {
					(Some(made), true) => {
						self.code.extend([I::LocalGet(param), I::I32Const(3), I::I32And, I::If(BlockType::Result(encoded(t)))]);
						self.code.extend(made);
						self.code.extend([I::Else, I::RefNull(heap(r.heap_type())), I::End]);
					}
					(Some(made), false) => self.code.extend(made),
					(None, true) => self.code.push(I::RefNull(heap(r.heap_type()))),
					(None, false) => return None,
				}
			}
			_ => {
				self.params.push(encoded(t));
				self.code.push(I::LocalGet(param));
			}
		}
		Some(())
	}

	/// Of the value in a local: numbers on the stack. All parameters are known by now.
	fn give(&mut self, t: wasmparser::ValType, local: u32, gc: bool) {
		match t {
			wasmparser::ValType::V128 => {
				self.results.extend([ValType::I64, ValType::I64]);
				self.code.extend([I::LocalGet(local), I::I64x2ExtractLane(0), I::LocalGet(local), I::I64x2ExtractLane(1)]);
			}
			wasmparser::ValType::Ref(r) => {
				self.results.push(ValType::I32);
				self.code.extend([I::LocalGet(local), I::RefIsNull]);
				if gc {
					self.inside(r.heap_type(), local);
				}
			}
			_ => {
				self.results.push(encoded(t));
				self.code.push(I::LocalGet(local));
			}
		}
	}

	fn field(&mut self, t: &wasmparser::FieldType, local: u32, get: impl Fn(bool) -> Vec<I<'static>>) {
		let (kind, zero) = match t.element_type {
			StorageType::I8 | StorageType::I16 | StorageType::Val(wasmparser::ValType::I32) => (ValType::I32, I::I32Const(0)),
			StorageType::Val(wasmparser::ValType::I64) => (ValType::I64, I::I64Const(0)),
			StorageType::Val(wasmparser::ValType::F32) => (ValType::F32, I::F32Const(0.0.into())),
			StorageType::Val(wasmparser::ValType::F64) => (ValType::F64, I::F64Const(0.0.into())),
			_ => return,
		};
		self.results.push(kind);
		self.code.extend([I::LocalGet(local), I::RefIsNull, I::If(BlockType::Result(kind)), zero, I::Else]);
		self.code.extend(get(!matches!(t.element_type, StorageType::Val(_))));
		self.code.push(I::End);
	}

	/// The numbers in an object.
	fn inside(&mut self, t: wasmparser::HeapType, local: u32) {
		let shape = self.shape;
		if let Some(index) = index_of(t) {
			match &shape.types[index as usize].composite_type.inner {
				CompositeInnerType::Struct(s) => {
					for (i, f) in s.fields.iter().enumerate().take(8) {
						let i = i as u32;
						self.field(f, local, |packed| {
							vec![I::LocalGet(local), if packed { I::StructGetS { struct_type_index: index, field_index: i } } else { I::StructGet { struct_type_index: index, field_index: i } }]
						});
					}
				}
				CompositeInnerType::Array(a) => {
					self.results.push(ValType::I32);
					self.code.extend([I::LocalGet(local), I::RefIsNull, I::If(BlockType::Result(ValType::I32)), I::I32Const(-1), I::Else, I::LocalGet(local), I::ArrayLen, I::End]);
					self.last_element(&a.0, index, local);
				}
				_ => {}
			}
		} else if matches!(t, wasmparser::HeapType::Abstract { shared: false, ty: Abstract::Any | Abstract::Eq | Abstract::I31 }) {
			let i31 = HeapType::Abstract { shared: false, ty: wasm_encoder::AbstractHeapType::I31 };
			self.results.push(ValType::I32);
			self.code.extend([I::LocalGet(local), I::RefTestNonNull(i31), I::If(BlockType::Result(ValType::I32)), I::LocalGet(local), I::RefCastNonNull(i31), I::I31GetS]);
			self.code.extend([I::Else, I::I32Const(0), I::End]);
		}
	}

	/// Of an array that is not empty.
	fn last_element(&mut self, t: &wasmparser::FieldType, index: u32, local: u32) {
		self.field(t, local, |packed| {
			let at = [I::LocalGet(local), I::LocalGet(local), I::ArrayLen, I::I32Const(1), I::I32Sub];
			let get = if packed { I::ArrayGetU(index) } else { I::ArrayGet(index) };
			// Of an empty one, the length itself is what tells; the index would be out of bounds.
			let zero = match t.element_type {
				StorageType::Val(wasmparser::ValType::I64) => I::I64Const(7),
				StorageType::Val(wasmparser::ValType::F32) => I::F32Const(7.0.into()),
				StorageType::Val(wasmparser::ValType::F64) => I::F64Const(7.0.into()),
				_ => I::I32Const(7),
			};
			let kind = match t.element_type {
				StorageType::Val(v) => encoded(v),
				_ => ValType::I32,
			};
			let mut code = vec![I::LocalGet(local), I::ArrayLen, I::If(BlockType::Result(kind))];
			code.extend(at);
			code.extend([get, I::Else, zero, I::End]);
			code
		});
	}
}

struct Wrapping<'a> {
	shape: &'a Shape,
	gc: bool,
	added: Added<'static>,
}

impl Wrapping<'_> {
	fn wrapper(&self) -> Wrapper<'_> {
		Wrapper { shape: self.shape, params: vec![], results: vec![], locals: vec![], code: vec![] }
	}

	fn add(&mut self, name: String, params: Vec<ValType>, results: Vec<ValType>, locals: Vec<ValType>, code: Vec<I<'static>>) {
		let (t, f) = ((self.shape.types.len() + self.added.types.len()) as u32, (self.shape.funcs.len() + self.added.funcs.len()) as u32);
		let mut body = Function::new_with_locals_types(locals);
		code.iter().chain([&I::End]).for_each(|i| {
			body.instruction(i);
		});
		self.added.types.push((params, results));
		self.added.funcs.push((t, body));
		self.added.exports.push((name, ExportKind::Func, f));
	}

	fn func(&mut self, index: u32) {
		let Some(t) = self.shape.func_type(self.shape.funcs[index as usize]) else { return };
		if t.params().iter().chain(t.results()).all(|t| is_number(*t)) {
			return;
		}
		let mut w = self.wrapper();
		for p in t.params() {
			if w.take(*p, self.gc).is_none() {
				return;
			}
		}
		w.code.push(I::Call(index));
		let first = w.params.len() as u32;
		// A local of what can't be null has no value at first, but is written before it is read.
		w.code.extend((first..first + t.results().len() as u32).rev().map(I::LocalSet));
		w.locals = t.results().iter().map(|r| encoded(*r)).collect();
		for (i, r) in t.results().iter().enumerate() {
			w.give(*r, first + i as u32, self.gc);
		}
		if w.results.len() <= MOST_RESULTS {
			let Wrapper { params, results, locals, code, .. } = w;
			self.add(format!("tenon-func-{index}"), params, results, locals, code);
		}
	}

	fn global(&mut self, index: u32) {
		let t = self.shape.globals[index as usize].content_type;
		if is_number(t) {
			return;
		}
		let mut w = self.wrapper();
		w.locals = vec![encoded(t)];
		w.code = vec![I::GlobalGet(index), I::LocalSet(0)];
		w.give(t, 0, self.gc);
		let Wrapper { params, results, locals, code, .. } = w;
		self.add(format!("tenon-global-{index}"), params, results, locals, code);
	}

	/// Its size, and a number made of which elements are null: those of functions are read by the engines' callers.
	fn table(&mut self, index: u32) {
		let t = &self.shape.tables[index as usize];
		if t.element_type == wasmparser::RefType::FUNCREF {
			return;
		}
		let kind = if t.table64 { ValType::I64 } else { ValType::I32 };
		let wide = t.table64;
		let one = || if wide { I::I64Const(1) } else { I::I32Const(1) };
		let (at, sum) = (0, 1);
		let code = vec![
			I::Block(BlockType::Empty), I::Loop(BlockType::Empty),
			I::LocalGet(at), I::TableSize(index), if wide { I::I64GeU } else { I::I32GeU }, I::BrIf(1),
			I::LocalGet(sum), I::I32Const(3), I::I32Mul, I::LocalGet(at), I::TableGet(index), I::RefIsNull, I::I32Add, I::LocalSet(sum),
			I::LocalGet(at), one(), if wide { I::I64Add } else { I::I32Add }, I::LocalSet(at), I::Br(0),
			I::End, I::End, I::TableSize(index), I::LocalGet(sum),
		];
		self.add(format!("tenon-table-{index}"), vec![], vec![kind, ValType::I32], vec![kind, ValType::I32], code);
	}
}

pub fn wrapped(bytes: &[u8], shape: &Shape, r: &mut Random) -> Result<Vec<u8>> {
	let gc = shape.types.iter().any(|t| !matches!(t.composite_type.inner, CompositeInnerType::Func(_)) || !t.supertype_idxs.is_empty());
	let mut w = Wrapping { shape, gc: gc || r.percent(10), added: Added::default() };
	let mut funcs: Vec<u32> = shape.exported_funcs.iter().copied().collect();
	funcs.sort();
	for f in funcs {
		w.func(f);
	}
	for (i, g) in shape.globals.iter().enumerate() {
		if !g.shared {
			w.global(i as u32);
		}
	}
	for i in 0..shape.tables.len() {
		w.table(i as u32);
	}
	rewritten(bytes, w.added)
}
