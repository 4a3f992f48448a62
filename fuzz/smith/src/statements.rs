//! Statements of a forged function: numbers, control, memories, tables, calls, exceptions.
use crate::forge::{Body, CALLERS, COUNTER, EXN, I, LEAVES, REFS, refs, tag_type};
use std::borrow::Cow;
use wasm_encoder::*;

impl Body<'_> {
	pub fn reference(&self, t: RefType) -> u32 {
		let at = refs(self.plan).iter().position(|r| *r == ValType::Ref(t)).unwrap();
		self.local(REFS + at as u32)
	}

	pub fn statements(&mut self, n: u32, depth: u32) {
		for _ in 0..n {
			self.statement(depth);
		}
	}

	fn statement(&mut self, depth: u32) {
		let t = self.kind();
		match self.r.next() % 24 {
			0..=5 => {
				self.expr(t, 4);
				self.set(&[t]);
			}
			6 => {
				let g = (self.r.next() % self.plan.globals.len() as u64) as u32;
				self.expr(self.plan.globals[g as usize], 3);
				self.put([I::GlobalSet(g)]);
			}
			7..=9 => self.gives_nothing(),
			10 => {
				if let Some(s) = self.chosen(&[ValType::I64, ValType::I64]) {
					self.apply(s, 2);
					self.set(&[ValType::I64, ValType::I64]);
				}
			}
			11..=13 if depth > 0 => self.control(depth - 1),
			14 | 15 => self.call(),
			16 | 17 => self.memory(),
			18 | 19 => self.table(),
			20 if self.plan.exceptions && depth > 0 => self.exception(depth - 1),
			_ if self.plan.gc => self.object(),
			_ => self.gives_nothing(),
		}
	}

	/// Stores, for most of them.
	fn gives_nothing(&mut self) {
		if let Some(s) = self.chosen(&[]) {
			self.apply(s, 3);
		}
	}

	fn control(&mut self, depth: u32) {
		let n = 1 + (self.r.next() % 3) as u32;
		match self.r.next() % 5 {
			0 if self.loops < 2 => {
				let counter = self.local(COUNTER + self.loops);
				let times = 1 + (self.r.next() % 4) as i32;
				self.put([I::I32Const(0), I::LocalSet(counter), I::Loop(BlockType::Empty)]);
				self.loops += 1;
				self.statements(n, depth);
				self.loops -= 1;
				self.put([I::LocalGet(counter), I::I32Const(1), I::I32Add, I::LocalTee(counter), I::I32Const(times), I::I32LtU, I::BrIf(0), I::End]);
			}
			1 => {
				self.put([I::Block(BlockType::Empty)]);
				self.statements(n, depth);
				self.expr(ValType::I32, 2);
				self.put([I::BrIf(0)]);
				self.statements(n, depth);
				self.put([I::End]);
			}
			2 => {
				// By a table to one of three places, with a value for each.
				let t = self.kind();
				self.put([I::Block(BlockType::Result(t)), I::Block(BlockType::Result(t)), I::Block(BlockType::Result(t))]);
				self.expr(t, 2);
				self.expr(ValType::I32, 2);
				self.put([I::I32Const(3), I::I32And, I::BrTable(Cow::Borrowed(&[0, 1, 2]), 1), I::End]);
				self.set(&[t]);
				self.expr(t, 2);
				self.put([I::End]);
				self.set(&[t]);
				self.expr(t, 1);
				self.put([I::End]);
				self.set(&[t]);
			}
			3 => {
				self.put([I::Block(BlockType::Empty), I::Nop]);
				self.statements(n, depth);
				self.put([I::Br(0), I::End]);
			}
			_ => {
				self.expr(ValType::I32, 3);
				self.put([I::If(BlockType::Empty)]);
				self.statements(n, depth);
				self.put([I::Else]);
				self.statements(1, depth);
				self.put([I::End]);
			}
		}
	}

	fn leaf_func(&mut self) -> u32 {
		self.plan.nimports + (self.r.next() % LEAVES as u64) as u32
	}

	/// One that may be called from here: what comes after it, and leaves only from a loop.
	fn callee(&mut self) -> Option<u32> {
		let first = self.plan.nimports;
		let last = first + LEAVES + CALLERS;
		if self.me < first + LEAVES {
			return if first > 0 { Some((self.r.next() % first as u64) as u32) } else { None };
		}
		if self.loops > 0 || self.me + 1 == last {
			return Some(self.leaf_func());
		}
		Some(match self.r.next() % 3 {
			0 if first > 0 => (self.r.next() % first as u64) as u32,
			1 => self.leaf_func(),
			_ => self.me + 1 + (self.r.next() % (last - self.me - 1) as u64) as u32,
		})
	}

	/// The place in one of the first two tables where a leaf lies first; the table may hold something else by now.
	fn slot(&mut self, leaf: u32) -> u32 {
		let table = (self.r.next() % 2) as u32;
		let at = leaf - self.plan.nimports + if self.r.percent(3) { 1 } else { 0 };
		self.put([if self.plan.tables[table as usize].table64 { I::I64Const(at as i64) } else { I::I32Const(at as i32) }]);
		table
	}

	fn call(&mut self) {
		let Some(f) = self.callee() else { return self.gives_nothing() };
		let is_leaf = f >= self.plan.nimports && f < self.plan.nimports + LEAVES && self.me >= self.plan.nimports + LEAVES;
		let results = self.plan.funcs[f as usize].1.clone();
		self.args(f, 2);
		match self.r.next() % 3 {
			0 if is_leaf => {
				let table_index = self.slot(f);
				self.put([I::CallIndirect { type_index: f, table_index }]);
			}
			1 if is_leaf => self.put([I::RefFunc(f), I::CallRef(f)]),
			_ => self.put([I::Call(f)]),
		}
		self.set(&results);
	}

	/// The end: what it gives, or a call in its place that gives the same.
	pub fn result(&mut self) {
		let results = self.plan.funcs[self.me as usize].1.clone();
		let same: Vec<u32> = (self.plan.nimports..self.plan.nimports + LEAVES).filter(|f| self.plan.funcs[*f as usize].1 == results).collect();
		if self.me >= self.plan.nimports + LEAVES && !same.is_empty() && self.r.percent(60) {
			let f = self.r.choice(&same);
			self.args(f, 2);
			match self.r.next() % 3 {
				0 => {
					let table_index = self.slot(f);
					self.put([I::ReturnCallIndirect { type_index: f, table_index }]);
				}
				1 => self.put([I::RefFunc(f), I::ReturnCallRef(f)]),
				_ => self.put([I::ReturnCall(f)]),
			}
		} else {
			for t in results {
				self.expr(t, 3);
			}
			if self.r.percent(20) {
				self.put([I::Return]);
			}
		}
		self.put([I::End]);
	}

	/// A length up to that, of the narrower kind.
	fn length(&mut self, most: i32, wide: bool) {
		self.expr(ValType::I32, 1);
		self.put([I::I32Const(most), I::I32And]);
		self.put(wide.then_some(I::I64ExtendI32U));
	}

	/// Of a segment: once it is dropped, only nothing can be taken.
	fn rarely_any(&mut self, most: i32) {
		let most = if self.r.percent(70) { most } else { 0 };
		self.length(most, false);
	}

	fn memory(&mut self) {
		let n = self.plan.memories.len() as u64;
		let (mem, from) = ((self.r.next() % n) as u32, (self.r.next() % n) as u32);
		let wide = |m: u32| self.plan.memories[m as usize].memory64;
		let (wide_to, wide_both) = (wide(mem), wide(mem) && wide(from));
		match self.r.next() % 4 {
			0 => {
				self.address(mem, 0, 2);
				self.expr(ValType::I32, 2);
				self.length(0xff, wide_to);
				self.put([I::MemoryFill(mem)]);
			}
			1 => {
				self.address(mem, 0, 2);
				self.address(from, 0, 2);
				self.length(0x3ff, wide_both);
				self.put([I::MemoryCopy { src_mem: from, dst_mem: mem }]);
			}
			2 => {
				self.address(mem, 0, 2);
				self.length(31, false);
				self.rarely_any(31);
				self.put([I::MemoryInit { mem, data_index: n as u32 }]);
			}
			_ if self.r.percent(40) => self.put([I::DataDrop(n as u32), I::AtomicFence(Ordering::SeqCst)]),
			_ => self.gives_nothing(),
		}
	}

	fn index(&mut self, table: u32) {
		let most = if self.r.percent(95) { 7 } else { 15 };
		self.length(most, self.plan.tables[table as usize].table64);
	}

	fn table(&mut self) {
		let leaf = self.leaf_func();
		let table = (self.r.next() % 3) as u32;
		let t = self.plan.tables[table as usize];
		let (element, local) = (t.element_type, self.reference(t.element_type));
		let from = if table == 2 { 2 } else { (self.r.next() % 2) as u32 };
		match self.r.next() % 8 {
			0 => {
				self.index(table);
				self.put([I::TableGet(table), I::LocalSet(local)]);
			}
			1 => {
				self.index(table);
				self.put([I::LocalGet(local), I::TableSet(table)]);
			}
			2 => {
				self.put([I::LocalGet(local)]);
				self.length(1, t.table64);
				self.put([I::TableGrow(table)]);
				self.put(t.table64.then_some(I::I32WrapI64));
				self.set(&[ValType::I32]);
			}
			3 => {
				self.index(table);
				self.put([I::LocalGet(local)]);
				self.length(3, t.table64);
				self.put([I::TableFill(table)]);
			}
			4 => {
				self.index(table);
				self.index(from);
				self.length(3, t.table64 && self.plan.tables[from as usize].table64);
				self.put([I::TableCopy { src_table: from, dst_table: table }]);
			}
			5 if table < 2 => {
				self.index(table);
				self.length(1, false);
				self.rarely_any(3);
				self.put([I::TableInit { elem_index: 2, table }]);
			}
			6 => {
				self.put([if element == RefType::FUNCREF { I::RefFunc(leaf) } else { I::RefNull(HeapType::EXTERN) }, I::LocalTee(local), I::RefIsNull]);
				self.set(&[ValType::I32]);
			}
			_ if self.r.percent(30) => self.put([I::ElemDrop(2)]),
			_ => {
				self.put([I::LocalGet(local), I::LocalGet(local)]);
				self.expr(ValType::I32, 1);
				self.put([I::TypedSelect(ValType::Ref(element)), I::LocalSet(local)]);
			}
		}
	}

	fn throw(&mut self) {
		self.expr(ValType::I32, 2);
		self.put([I::If(BlockType::Empty)]);
		if self.r.percent(60) {
			self.expr(ValType::I32, 2);
			self.expr(ValType::I64, 2);
			self.put([I::Throw(0)]);
		} else {
			self.put([I::Throw(1)]);
		}
		self.put([I::End]);
	}

	fn throwing(&mut self, depth: u32) {
		self.throw();
		self.statements(2, depth);
		self.throw();
		self.put([I::End]);
	}

	/// Around statements of which some throw: caught with the values, with the reference, by all.
	fn exception(&mut self, depth: u32) {
		let exn = ValType::Ref(RefType { nullable: true, heap_type: EXN });
		let pair = BlockType::FunctionType(tag_type(self.plan, 2));
		let kinds = [ValType::I32, ValType::I64];
		match self.r.next() % 4 {
			0 => {
				let catches = vec![Catch::One { tag: 0, label: 0 }, Catch::All { label: 1 }];
				self.put([I::Block(BlockType::Empty), I::Block(pair), I::TryTable(BlockType::Empty, catches.into())]);
				self.throwing(depth);
				self.put([I::Br(1), I::End]);
				self.set(&kinds);
				self.put([I::End]);
			}
			1 => {
				self.put([I::Block(BlockType::Empty), I::Block(pair), I::TryTable(BlockType::Empty, vec![Catch::One { tag: 0, label: 0 }].into())]);
				self.throwing(depth);
				self.put([I::Br(1), I::End]);
				self.set(&kinds);
				self.put([I::End]);
			}
			2 => {
				let catches = vec![Catch::OneRef { tag: 0, label: 0 }, Catch::All { label: 1 }];
				let triple = BlockType::FunctionType(tag_type(self.plan, 4));
				self.put([I::Block(BlockType::Empty), I::Block(triple), I::TryTable(BlockType::Empty, catches.into())]);
				self.throwing(depth);
				self.put([I::Br(1), I::End, I::RefIsNull]);
				self.set(&[ValType::I32]);
				self.set(&kinds);
				self.put([I::End]);
			}
			_ => {
				self.put([I::Block(BlockType::Result(exn)), I::TryTable(BlockType::Empty, vec![Catch::AllRef { label: 0 }].into())]);
				self.throwing(depth);
				self.put([I::RefNull(EXN), I::End]);
				if self.r.percent(20) {
					self.put([I::ThrowRef]);
				} else {
					self.put([I::RefIsNull]);
					self.set(&[ValType::I32]);
				}
			}
		}
	}
}
