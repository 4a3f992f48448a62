//! Statements of a forged function on objects: structs, arrays, references and their casts.
use crate::forge::{ARRAY, Body, EQ, I, NONE, REFS, STORED, STRUCT};
use wasm_encoder::*;

/// How many kinds of arrays: those of STORED, of anyref, of funcref.
const ARRAYS: u64 = STORED.len() as u64 + 2;
const ANY: u32 = 7;
const FUNC: u32 = 8;
/// Arrays have that length at least, and up to that more.
const LEAST: i32 = 4;

fn unpacked(t: StorageType) -> ValType {
	t.unpack()
}

impl Body<'_> {
	fn any(&self) -> u32 {
		self.local(REFS)
	}

	fn object_local(&self) -> u32 {
		self.local(REFS + 1)
	}

	fn array_local(&self, k: u32) -> u32 {
		self.local(REFS + 2 + k)
	}

	fn i32(&mut self, mask: i32) {
		self.expr(ValType::I32, 2);
		self.put([I::I32Const(mask), I::I32And]);
	}

	/// A value for a field or an element of that kind.
	fn stored(&mut self, k: u32) {
		match k {
			ANY => {
				let l = self.any();
				self.put([I::LocalGet(l)]);
			}
			FUNC => {
				let leaf = self.plan.nimports + (self.r.next() % 3) as u32;
				self.put([I::RefFunc(leaf)]);
			}
			_ => self.expr(unpacked(STORED[k as usize]), 2),
		}
	}

	/// From the stack to a local.
	fn keep(&mut self, k: u32) {
		match k {
			ANY => {
				let l = self.any();
				self.put([I::LocalSet(l)]);
			}
			FUNC => {
				let l = self.reference(RefType::FUNCREF);
				self.put([I::LocalSet(l)]);
			}
			_ => self.set(&[unpacked(STORED[k as usize])]),
		}
	}

	fn ensure_struct(&mut self) -> u32 {
		let (l, t) = (self.object_local(), self.plan.objects + (self.r.next() % 2) as u32);
		if self.r.percent(98) {
			self.put([I::LocalGet(l), I::RefIsNull, I::If(BlockType::Empty), I::StructNewDefault(t), I::LocalSet(l), I::End]);
		}
		l
	}

	fn ensure_array(&mut self, k: u32) -> u32 {
		let (l, t) = (self.array_local(k), self.plan.array(k));
		if self.r.percent(98) {
			self.put([I::LocalGet(l), I::RefIsNull, I::If(BlockType::Empty), I::I32Const(LEAST + 1), I::ArrayNewDefault(t), I::LocalSet(l), I::End]);
		}
		l
	}

	pub fn object(&mut self) {
		let k = loop {
			let k = (self.r.next() % ARRAYS) as u32;
			if self.plan.simd || k != 6 {
				break k;
			}
		};
		match self.r.next() % 14 {
			0 => self.new_struct(),
			1 | 2 => self.field(),
			3 | 4 => self.new_array(k),
			5 | 6 => self.element(k),
			7 => self.fill(k),
			8 => self.copied(k),
			9 => self.init(k),
			10 => self.to_any(k),
			11 => self.cast(),
			12 => self.compared(k),
			_ => self.small_and_outside(),
		}
	}

	fn new_struct(&mut self) {
		let (t, l) = (self.plan.objects, self.object_local());
		match self.r.next() % 3 {
			0 => {
				(0..=ANY).for_each(|k| self.stored(k));
				self.put([I::StructNew(t)]);
			}
			1 => {
				(0..=ANY).for_each(|k| self.stored(k));
				self.expr(ValType::I32, 2);
				self.put([I::StructNew(t + 1)]);
			}
			_ => self.put([I::StructNewDefault(t)]),
		}
		self.put([I::LocalSet(l)]);
	}

	fn field(&mut self) {
		let (l, k, t) = (self.ensure_struct(), (self.r.next() % 8) as u32, self.plan.objects);
		if k == 6 && !self.plan.simd {
			return;
		}
		self.put([I::LocalGet(l)]);
		if self.r.percent(50) {
			self.stored(k);
			self.put([I::StructSet { struct_type_index: t, field_index: k }]);
			return;
		}
		let i = match (k, self.r.next() & 1) {
			(0 | 1, 0) => I::StructGetS { struct_type_index: t, field_index: k },
			(0 | 1, _) => I::StructGetU { struct_type_index: t, field_index: k },
			_ => I::StructGet { struct_type_index: t, field_index: k },
		};
		self.put([i]);
		self.keep(k);
	}

	fn new_array(&mut self, k: u32) {
		let (t, l) = (self.plan.array(k), self.array_local(k));
		let data = self.plan.memories.len() as u32;
		match self.r.next() % 5 {
			0 => {
				self.stored(k);
				self.i32(7);
				self.put([I::I32Const(LEAST), I::I32Add, I::ArrayNew(t)]);
			}
			1 => {
				self.i32(7);
				self.put([I::I32Const(LEAST), I::I32Add, I::ArrayNewDefault(t)]);
			}
			2 => {
				(0..LEAST).for_each(|_| self.stored(k));
				self.put([I::ArrayNewFixed { array_type_index: t, array_size: LEAST as u32 }]);
			}
			3 if k < ANY => self.put([I::I32Const(0), I::I32Const(LEAST), I::ArrayNewData { array_type_index: t, array_data_index: data }]),
			3 if k == FUNC => self.put([I::I32Const(1), I::I32Const(LEAST), I::ArrayNewElem { array_type_index: t, array_elem_index: 2 }]),
			_ => self.put([I::I32Const(LEAST), I::ArrayNewDefault(t)]),
		}
		self.put([I::LocalSet(l)]);
	}

	fn place(&mut self) {
		let mask = if self.r.percent(96) { LEAST - 1 } else { 2 * LEAST - 1 };
		self.i32(mask);
	}

	fn element(&mut self, k: u32) {
		let (t, l) = (self.plan.array(k), self.ensure_array(k));
		self.put([I::LocalGet(l)]);
		self.place();
		if self.r.percent(50) {
			self.stored(k);
			self.put([I::ArraySet(t)]);
			return;
		}
		let i = match (k, self.r.next() & 1) {
			(0 | 1, 0) => I::ArrayGetS(t),
			(0 | 1, _) => I::ArrayGetU(t),
			_ => I::ArrayGet(t),
		};
		self.put([i]);
		self.keep(k);
	}

	fn fill(&mut self, k: u32) {
		let l = self.ensure_array(k);
		self.put([I::LocalGet(l)]);
		self.i32(1);
		self.stored(k);
		self.place();
		let t = self.plan.array(k);
		self.put([I::ArrayFill(t)]);
	}

	fn copied(&mut self, k: u32) {
		let (l, t) = (self.ensure_array(k), self.plan.array(k));
		self.put([I::LocalGet(l)]);
		self.i32(1);
		self.put([I::LocalGet(l)]);
		self.i32(1);
		self.place();
		self.put([I::ArrayCopy { array_type_index_dst: t, array_type_index_src: t }]);
	}

	fn init(&mut self, k: u32) {
		if k == ANY {
			return self.fill(k);
		}
		let (l, t, data) = (self.ensure_array(k), self.plan.array(k), self.plan.memories.len() as u32);
		self.put([I::LocalGet(l)]);
		self.i32(1);
		self.i32(1);
		let most = if self.r.percent(70) { LEAST - 1 } else { 0 };
		self.i32(most);
		self.put([if k == FUNC {
			I::ArrayInitElem { array_type_index: t, array_elem_index: 2 }
		} else {
			I::ArrayInitData { array_type_index: t, array_data_index: data }
		}]);
	}

	fn to_any(&mut self, k: u32) {
		let (any, object, array) = (self.any(), self.object_local(), self.array_local(k));
		match self.r.next() % 4 {
			0 => self.put([I::LocalGet(object)]),
			1 => self.put([I::LocalGet(array)]),
			2 => {
				self.expr(ValType::I32, 2);
				self.put([I::RefI31]);
			}
			_ => self.put([I::RefNull(NONE)]),
		}
		self.put([I::LocalSet(any)]);
	}

	fn heap(&mut self) -> HeapType {
		let (t, a) = (self.plan.objects, self.plan.array((self.r.next() % ARRAYS) as u32));
		let all = [HeapType::ANY, EQ, HeapType::I31, STRUCT, ARRAY, NONE];
		match self.r.next() % 9 {
			6 => HeapType::Concrete(t),
			7 => HeapType::Concrete(t + 1),
			8 => HeapType::Concrete(a),
			i => all[i as usize],
		}
	}

	fn cast(&mut self) {
		let (any, object, t, h) = (self.any(), self.object_local(), HeapType::Concrete(self.plan.objects), self.heap());
		let to = RefType { nullable: true, heap_type: t };
		match self.r.next() % 6 {
			0 => {
				self.put([I::LocalGet(any), I::RefTestNonNull(h)]);
				self.set(&[ValType::I32]);
			}
			1 => {
				self.put([I::LocalGet(any), I::RefTestNullable(h)]);
				self.set(&[ValType::I32]);
			}
			2 => {
				self.put([I::LocalGet(any), I::RefTestNullable(t), I::If(BlockType::Empty), I::LocalGet(any), I::RefCastNullable(t), I::LocalSet(object), I::End]);
			}
			3 => {
				let sure = if self.r.percent(95) { I::RefTestNonNull(h) } else { I::RefTestNullable(h) };
				self.put([I::LocalGet(any), sure, I::If(BlockType::Empty), I::LocalGet(any), I::RefCastNonNull(h), I::LocalSet(any), I::End]);
			}
			4 => {
				self.put([I::Block(BlockType::Result(ValType::Ref(to))), I::LocalGet(any)]);
				self.put([I::BrOnCast { relative_depth: 0, from_ref_type: RefType::ANYREF, to_ref_type: to }, I::Drop, I::RefNull(t), I::End, I::LocalSet(object)]);
			}
			_ => {
				self.put([I::Block(BlockType::Result(ValType::Ref(RefType::ANYREF))), I::LocalGet(any)]);
				self.put([I::BrOnCastFail { relative_depth: 0, from_ref_type: RefType::ANYREF, to_ref_type: to }, I::LocalTee(object), I::End, I::LocalSet(any)]);
			}
		}
	}

	fn compared(&mut self, k: u32) {
		let (any, object) = (self.any(), self.object_local());
		match self.r.next() % 5 {
			0 => self.put([I::LocalGet(object), I::LocalGet(any), I::RefCastNullable(EQ), I::RefEq]),
			1 => {
				let array = self.ensure_array(k);
				self.put([I::LocalGet(array), I::ArrayLen]);
			}
			2 => self.put([I::Block(BlockType::Empty), I::LocalGet(any), I::BrOnNull(0), I::RefAsNonNull, I::LocalSet(any), I::End, I::LocalGet(any), I::RefIsNull]),
			3 => {
				let there = RefType { nullable: false, heap_type: HeapType::ANY };
				self.put([I::Block(BlockType::Result(ValType::Ref(there))), I::LocalGet(any), I::BrOnNonNull(0), I::I32Const(5), I::RefI31, I::End, I::LocalSet(any)]);
				self.put([I::LocalGet(any), I::RefTestNonNull(HeapType::I31)]);
			}
			_ => {
				self.expr(ValType::I32, 2);
				let a = I::RefI31;
				self.put([a]);
				self.expr(ValType::I32, 2);
				self.put([I::RefI31, I::RefEq]);
			}
		}
		self.set(&[ValType::I32]);
	}

	fn small_and_outside(&mut self) {
		let (any, outside) = (self.any(), self.reference(RefType::EXTERNREF));
		match self.r.next() % 4 {
			0 => {
				let get = if self.r.percent(50) { I::I31GetS } else { I::I31GetU };
				self.put([I::LocalGet(any), I::RefTestNonNull(HeapType::I31), I::If(BlockType::Empty), I::LocalGet(any), I::RefCastNonNull(HeapType::I31), get]);
				self.set(&[ValType::I32]);
				self.put([I::End]);
			}
			1 => self.put([I::LocalGet(any), I::ExternConvertAny, I::LocalSet(outside)]),
			2 => self.put([I::LocalGet(outside), I::AnyConvertExtern, I::LocalSet(any)]),
			_ => {
				self.expr(ValType::I32, 3);
				let get = if self.r.percent(50) { I::I31GetS } else { I::I31GetU };
				self.put([I::RefI31, get]);
				self.set(&[ValType::I32]);
			}
		}
	}
}
