//! A module read as far as the others need it, and written again with types, functions, globals and exports added, or other instructions.
use anyhow::Result;
use std::collections::HashSet;
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{CodeSection, ConstExpr, ExportKind, ExportSection, Function, FunctionSection, GlobalSection, Instruction, Module, RawSection, SectionId, TypeSection, ValType};
use wasmparser::{CompositeInnerType, ExternalKind, Operator, Parser, Payload, TypeRef};

#[derive(Default)]
pub struct Shape {
	pub types: Vec<wasmparser::SubType>,
	/// The types of functions, imported ones first.
	pub funcs: Vec<u32>,
	pub imported_funcs: u32,
	pub tables: Vec<wasmparser::TableType>,
	pub memories: Vec<wasmparser::MemoryType>,
	pub globals: Vec<wasmparser::GlobalType>,
	pub nexports: u32,
	pub exported_funcs: HashSet<u32>,
	pub exported_globals: HashSet<u32>,
	pub exported_tables: HashSet<u32>,
	/// Somewhere it waits for another thread.
	pub waits: bool,
	pub extended_const: bool,
	pub has_start: bool,
}

impl Shape {
	pub fn of(bytes: &[u8]) -> Result<Shape> {
		let mut s = Shape::default();
		for p in Parser::new(0).parse_all(bytes) {
			s.section(p?)?;
		}
		Ok(s)
	}

	fn section(&mut self, p: Payload) -> Result<()> {
		match p {
			Payload::TypeSection(r) => {
				for group in r {
					self.types.extend(group?.into_types());
				}
			}
			Payload::ImportSection(r) => {
				for i in r.into_imports() {
					match i?.ty {
						TypeRef::Func(t) => self.funcs.push(t),
						TypeRef::Table(t) => self.tables.push(t),
						TypeRef::Memory(t) => self.memories.push(t),
						TypeRef::Global(t) => self.globals.push(t),
						_ => {}
					}
				}
				self.imported_funcs = self.funcs.len() as u32;
			}
			Payload::FunctionSection(r) => {
				for t in r {
					self.funcs.push(t?);
				}
			}
			Payload::TableSection(r) => {
				for t in r {
					self.tables.push(t?.ty);
				}
			}
			Payload::MemorySection(r) => {
				for t in r {
					self.memories.push(t?);
				}
			}
			Payload::GlobalSection(r) => {
				for g in r {
					let g = g?;
					self.globals.push(g.ty);
					for op in g.init_expr.get_operators_reader() {
						self.extended_const |= matches!(op?, Operator::I32Add | Operator::I32Sub | Operator::I32Mul | Operator::I64Add | Operator::I64Sub | Operator::I64Mul);
					}
				}
			}
			Payload::ExportSection(r) => {
				for x in r {
					let x = x?;
					self.nexports += 1;
					match x.kind {
						ExternalKind::Func | ExternalKind::FuncExact => self.exported_funcs.insert(x.index),
						ExternalKind::Global => self.exported_globals.insert(x.index),
						ExternalKind::Table => self.exported_tables.insert(x.index),
						_ => false,
					};
				}
			}
			Payload::StartSection { .. } => self.has_start = true,
			Payload::CodeSectionEntry(body) => {
				for op in body.get_operators_reader()? {
					self.waits |= matches!(op?, Operator::MemoryAtomicWait32 { .. } | Operator::MemoryAtomicWait64 { .. });
				}
			}
			_ => {}
		}
		Ok(())
	}

	pub fn func_type(&self, type_index: u32) -> Option<&wasmparser::FuncType> {
		match &self.types.get(type_index as usize)?.composite_type.inner {
			CompositeInnerType::Func(f) => Some(f),
			_ => None,
		}
	}

	/// What it has that shows without running.
	pub fn shows(&self) -> String {
		let has = [("start", self.has_start), ("imports", self.imported_funcs > 0), ("extended-const", self.extended_const)];
		has.iter().filter(|h| h.1).map(|h| h.0).collect::<Vec<_>>().join(" ")
	}
}

/// What is written in the place of an instruction: nothing, then it stays as it is.
pub type Replace<'a> = dyn FnMut(&Operator) -> Option<Vec<Instruction<'static>>> + 'a;

pub type Around<'a> = dyn FnMut(&Operator) -> Vec<Instruction<'static>> + 'a;

#[derive(Default)]
pub struct Added<'a> {
	pub types: Vec<(Vec<ValType>, Vec<ValType>)>,
	pub funcs: Vec<(u32, Function)>,
	/// 64-bit variables.
	pub globals: Vec<u64>,
	pub exports: Vec<(String, ExportKind, u32)>,
	/// Come before and after an instruction.
	pub before: Option<Box<Around<'a>>>,
	pub after: Option<Box<Around<'a>>>,
	pub replace: Option<Box<Replace<'a>>>,
}

fn body(from: &wasmparser::FunctionBody, added: &mut Added) -> Result<Function> {
	let mut f = RoundtripReencoder.new_function_with_parsed_locals(from)?;
	for op in from.get_operators_reader()? {
		let op = op?;
		for i in added.before.as_mut().map(|b| b(&op)).unwrap_or_default() {
			f.instruction(&i);
		}
		match added.replace.as_mut().and_then(|r| r(&op)) {
			Some(instead) => instead.iter().for_each(|i| {
				f.instruction(i);
			}),
			None => {
				f.instruction(&RoundtripReencoder.instruction(op.clone())?);
			}
		}
		for i in added.after.as_mut().map(|a| a(&op)).unwrap_or_default() {
			f.instruction(&i);
		}
	}
	Ok(f)
}

/// Custom sections are left out.
pub fn rewritten(bytes: &[u8], mut added: Added) -> Result<Vec<u8>> {
	let (mut types, mut funcs, mut globals, mut exports, mut code) =
		(TypeSection::new(), FunctionSection::new(), GlobalSection::new(), ExportSection::new(), CodeSection::new());
	let mut raw: [Option<&[u8]>; 16] = [None; 16];
	for p in Parser::new(0).parse_all(bytes) {
		let p = p?;
		match &p {
			Payload::TypeSection(r) => RoundtripReencoder.parse_type_section(&mut types, r.clone())?,
			Payload::FunctionSection(r) => RoundtripReencoder.parse_function_section(&mut funcs, r.clone())?,
			Payload::GlobalSection(r) => RoundtripReencoder.parse_global_section(&mut globals, r.clone())?,
			Payload::ExportSection(r) => RoundtripReencoder.parse_export_section(&mut exports, r.clone())?,
			Payload::CodeSectionEntry(b) => {
				code.function(&body(b, &mut added)?);
			}
			Payload::CustomSection(_) | Payload::CodeSectionStart { .. } => {}
			_ => {
				if let Some((id, range)) = p.as_section() {
					raw[id as usize] = Some(&bytes[range.start as usize..range.end as usize]);
				}
			}
		}
	}
	for (params, results) in added.types {
		types.ty().function(params, results);
	}
	for (t, f) in &added.funcs {
		funcs.function(*t);
		code.function(f);
	}
	for value in added.globals {
		let t = wasm_encoder::GlobalType { val_type: ValType::I64, mutable: true, shared: false };
		globals.global(t, &ConstExpr::i64_const(value as i64));
	}
	for (name, kind, index) in &added.exports {
		exports.export(name, *kind, *index);
	}
	let mut m = Module::new();
	use SectionId::*;
	for id in [Type, Import, Function, Table, Memory, Tag, Global, Export, Start, Element, DataCount, Code, Data] {
		match id {
			Type if !types.is_empty() => m.section(&types),
			Function if !funcs.is_empty() => m.section(&funcs),
			Global if !globals.is_empty() => m.section(&globals),
			Export if !exports.is_empty() => m.section(&exports),
			Code if !code.is_empty() => m.section(&code),
			_ => match raw[id as usize] {
				Some(data) => m.section(&RawSection { id: id as u8, data }),
				None => continue,
			},
		};
	}
	Ok(m.finish())
}
