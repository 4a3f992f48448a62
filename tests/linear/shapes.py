"""Shapes of modules and components: SHAPES is name → function that makes one with n of what the shape is about.

What a file may cost must grow with its size, whatever it is made of (tests/linear/run.py). A row is one thing that can be many; what it costs is
looked at for n and for 8 n.
"""
import struct

I32, I64, F64, V128, FUNCREF, EXTERNREF = b"\x7f", b"\x7e", b"\x7c", b"\x7b", b"\x70", b"\x6f"
MODULE, COMPONENT = b"\0asm\1\0\0\0", b"\0asm\x0d\0\1\0"
MANY = 1000  # the most results that a type may have
SHAPES = {}


def u(n):
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def s(n):
    out = bytearray()
    while not -64 <= n < 64:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    return bytes(out) + bytes([n & 0x7f])


def vec(items):
    items = list(items)
    return u(len(items)) + b"".join(items)


def sized(data):
    return u(len(data)) + data


def name(text):
    return sized(text.encode())


def section(number, data):
    return bytes([number]) + sized(data)


def func(params=b"", results=b""):
    return b"\x60" + sized(params) + sized(results)


def body(code, locals_=()):
    return sized(vec(u(count) + kind for count, kind in locals_) + code + b"\x0b")


def module(types=(func(),), funcs=(), codes=(), imports=(), tables=(), memories=(), globals_=(), exports=(), elems=(), data=(), customs=()):
    """A core module; funcs are type indices, the rest is encoded items."""
    parts = [(1, types), (2, imports), (3, [u(f) for f in funcs]), (4, tables), (5, memories), (6, globals_), (7, exports), (9, elems), (10, codes), (11, data)]
    out = MODULE + b"".join(section(number, vec(items)) for number, items in parts if items)
    return out + b"".join(section(0, custom) for custom in customs)


def one_function(code, params=I32, results=b"", locals_=(), types=(), **more):
    return module((func(params, results), *types), [0], [body(code, locals_)], **more)


def shape(fn):
    SHAPES[fn.__name__.replace("_", " ")] = fn
    return fn


GET, SET, DROP, ADD, END = b"\x20\0", b"\x21\0", b"\x1a", b"\x6a", b"\x0b"

# ---- bodies ---------------------------------------------------------------------------------------------------------------------------------


@shape
def ordinary_code(n):
    return module((func(I32 * 2, I32),), [0] * (n // 100 + 1), [body(b"\x20\0" + b"\x20\1\x6a\x20\0\x41\x07\x6c\x6a\x22\0" * 100)] * (n // 100 + 1))


@shape
def one_long_function(n):
    return one_function(GET + (GET + ADD) * n, results=I32)


@shape
def operands_below_blocks(n):
    return one_function(GET * n + (b"\x02\x40" + GET + b"\x0d\0" + END) * n + DROP * n)


@shape
def operands_below_calls(n):
    return module(
        (func(I32), func()), [0, 1], [body(GET * n + b"\x10\1" * n + DROP * n), body(b"")])


@shape
def nested_blocks(n):
    return one_function(b"\x02\x40" * n + END * n)


@shape
def nested_loops(n):
    return one_function(b"\x03\x40" * n + END * n)


@shape
def nested_ifs(n):
    return one_function((GET + b"\x04\x40") * n + (b"\x05" + END) * n)


@shape
def branches_out_of_nested_blocks(n):
    return one_function(b"\x02\x40" * n + b"".join(GET + b"\x0d" + u(i) for i in range(n)) + END * n)


@shape
def a_jump_table(n):
    return one_function(b"\x02\x40" + GET + b"\x0e" + u(n) + b"\0" * n + b"\0" + END)


@shape
def a_jump_table_to_nested_blocks(n):
    return one_function(b"\x02\x40" * n + GET + b"\x0e" + u(n) + b"".join(u(i) for i in range(n)) + b"\0" + END * n)


@shape
def a_jump_table_with_results(n):
    return one_function(b"\x02\x7f" * n + GET + GET + b"\x0e" + u(n) + b"".join(u(i) for i in range(n)) + b"\0" + END * n + DROP)


@shape
def many_jump_tables(n):
    return one_function((b"\x02\x40" + GET + b"\x0e\x04\0\0\0\0\0" + END) * n)


@shape
def locals_that_are_used(n):
    count = min(n, 40000)
    code = b"".join(b"\x20" + u(i % count + 1) + b"\x42\1\x7c\x21" + u(i * 7 % count + 1) for i in range(n))
    return one_function(code, locals_=[(count, I64)])


@shape
def locals_that_nobody_uses(n):
    return module((func(),), [0] * n, [body(b"", [(49990, I64)])] * n)


@shape
def gets_of_a_local_that_changes(n):
    return one_function((GET * 50 + b"\x41\1" + SET + DROP * 50) * (n // 50 + 1))


@shape
def sets_below_many_gets(n):
    return one_function(GET * n + (b"\x41\1\x21\1") * n + DROP * n, locals_=[(1, I32)])


@shape
def calls_with_many_results(n):
    return module((func(I32), func(b"", I64 * MANY)), [0, 1], [body((b"\x10\1" + DROP * MANY) * (n // MANY + 1)), body(b"\x42\1" * MANY)])


@shape
def calls_whose_many_results_are_left(n):
    return module((func(I32), func(b"", I64 * MANY)), [0, 1], [body((b"\x02\x40\x10\1\x0c\0" + END) * n), body(b"\x42\1" * MANY)])


@shape
def calls_with_many_parameters(n):
    return module((func(I32), func(I64 * MANY)), [0, 1], [body((b"\x42\1" * MANY + b"\x10\1") * (n // MANY + 1)), body(b"")])


@shape
def branches_with_many_results(n):
    return one_function(b"\x02\1" + b"\x42\1" * MANY + (GET + b"\x0d\0") * n + END + DROP * MANY, types=(func(b"", I64 * MANY),))


@shape
def loops_with_many_parameters(n):
    return one_function(b"\x42\1" * MANY + (b"\x03\1" + END) * n + DROP * MANY, types=(func(I64 * MANY, I64 * MANY),))


@shape
def blocks_with_many_results_in_dead_code(n):
    return one_function((b"\x02\x40\x02\1\0" + END + b"\x0c\0" + END) * n, types=(func(b"", I64 * MANY),))


@shape
def many_types_of_dead_code(n):
    return one_function(b"\0" + b"\x6a\x1a\x02\x40\x0b" * n)


@shape
def sites_that_may_trap(n):
    return one_function((GET + b"\x28\2\0" + GET + b"\x6d\x1a") * n, memories=[b"\0\1"])


@shape
def conversions_out_of_line(n):
    return one_function((GET + b"\xb7\xaa\x1a") * n)


@shape
def constants_of_floats(n):
    return one_function(b"".join(b"\x44" + struct.pack("<d", i + 0.5) + DROP for i in range(n)))


@shape
def constants_of_vectors(n):
    return one_function(b"".join(b"\xfd\x0c" + struct.pack("<QQ", i + 1, i) + b"\xfd\x15\0\x1a" for i in range(n)))


@shape
def indirect_calls(n):
    return one_function((GET + b"\x11\1\0") * n, types=(func(),), tables=[FUNCREF + b"\0\1"])


@shape
def selects(n):
    return one_function(GET + (GET + GET + b"\x1b") * n + DROP)


# ---- what stands in a module beside bodies ------------------------------------------------------------------------------------------------


def numbered(n, length=20):
    """n types that all differ."""
    kinds = I32 + I64 + b"\x7d" + F64
    return [func(bytes(kinds[i >> 2 * k & 3] for k in range(length))) for i in range(n)]


@shape
def functions_without_code(n):
    return module((func(),), [0] * n, [body(b"")] * n)


@shape
def types(n):
    return module(numbered(n))


@shape
def types_with_many_parameters(n):
    return module([func(I64 * (MANY - 10) + t[2:12]) for t in numbered(n // 100 + 1, 10)])


@shape
def types_that_refer_to_types(n):
    return module([func()] + [func(b"\x63" + s(i)) for i in range(n)])


@shape
def recursion_groups(n):
    return module([b"\x4e\1" + func()] * n)


@shape
def a_recursion_group(n):
    return MODULE + section(1, b"\1\x4e" + vec([func()] * n))


@shape
def imports(n):
    return module(imports=[name("m") + name(f"i{i}") + b"\0\0" for i in range(n)])


@shape
def exports(n):
    return module((func(),), [0], [body(b"")], exports=[name(f"e{i}") + b"\0\0" for i in range(n)])


@shape
def globals_(n):
    return module(globals_=[I32 + b"\0\x41\1" + END] * n)


@shape
def tables(n):
    return module(tables=[FUNCREF + b"\0\0"] * min(n, 100))


@shape
def long_constant_expressions(n):
    return module(globals_=[I32 + b"\0\x41\1" + b"\x41\1\x6a" * n + END])


@shape
def element_segments(n):
    return module((func(),), [0], [body(b"")], tables=[FUNCREF + b"\0\1"], elems=[b"\0\x41\0" + END + b"\1\0"] * n)


@shape
def a_long_element_segment(n):
    return module((func(),), [0], [body(b"")], tables=[FUNCREF + b"\0" + u(n)], elems=[b"\0\x41\0" + END + vec([b"\0"] * n)])


@shape
def expressions_of_elements(n):
    return module((func(),), [0], [body(b"")], tables=[FUNCREF + b"\0" + u(n)], elems=[b"\4\x41\0" + END + vec([b"\xd2\0" + END] * n)])


@shape
def data_segments(n):
    return module(memories=[b"\0\1"], data=[b"\0\x41\0" + END + b"\1x"] * n)


@shape
def a_name_section(n):
    return module((func(),), [0] * n, [body(b"")] * n, customs=[name("name") + section(1, vec(u(i) + name(f"f{i}") for i in range(n)))])


@shape
def custom_sections(n):
    return module(customs=[name("x")] * n)


# ---- components ---------------------------------------------------------------------------------------------------------------------------


def component(*parts):
    return COMPONENT + b"".join(parts)


def ctypes(items):
    return section(7, vec(items))


def cname(text):
    return b"\0" + name(text)


NO_FUNC = b"\x40\0\1\0"  # (func)
CORE_F = section(1, module((func(),), [0], [body(b"")], exports=[name("f") + b"\0\0"]))
CORE_INSTANCE = section(2, vec([b"\0\0\0"]))
ALIAS_F = section(6, vec([b"\0\0\1\0" + name("f")]))


@shape
def component_types(n):
    return component(ctypes([b"\x70\x79"] * n))


@shape
def a_record_with_many_fields(n):
    return component(ctypes([b"\x72" + vec(name(f"f{i}") + b"\x7f" for i in range(n))]))


@shape
def an_enum_with_many_cases(n):
    return component(ctypes([b"\x6d" + vec(name(f"c{i}") for i in range(n))]))


@shape
def types_made_of_types(n):
    # Each has the one before it twice.
    return component(ctypes([b"\x6f\1\x7f"] + [b"\x6f\2" + s(i) + s(i) for i in range(min(n, 60))] + [b"\x70" + s(0)] * n))


@shape
def functions_of_a_large_type(n):
    return component(ctypes([b"\x6f" + vec([b"\x7f"] * 900)] + [b"\x40\1" + name("x") + b"\0\1\0"] * n))


@shape
def imported_functions(n):
    return component(ctypes([NO_FUNC]), section(10, vec(cname(f"i{i}") + b"\1\0" for i in range(n))))


@shape
def an_imported_instance(n):
    decls = [b"\1" + NO_FUNC] + [b"\4" + cname(f"f{i}") + b"\1\0" for i in range(n)]
    return component(ctypes([b"\x42" + vec(decls)]), section(10, vec([cname("a:b/c") + b"\5\0"])))


@shape
def imported_instances_of_a_type(n):
    decls = [b"\1" + NO_FUNC] + [b"\4" + cname(f"f{i}") + b"\1\0" for i in range(100)]
    return component(ctypes([b"\x42" + vec(decls)]), section(10, vec(cname(f"a:b/c{i}") + b"\5\0" for i in range(n))))


@shape
def aliases(n):
    return component(CORE_F, CORE_INSTANCE, section(6, vec([b"\0\0\1\0" + name("f")] * n)))


@shape
def core_instances(n):
    return component(CORE_F, section(2, vec([b"\0\0\0"] * n)))


@shape
def core_instances_of_names(n):
    return component(CORE_F, CORE_INSTANCE, ALIAS_F, section(2, vec([b"\1\1" + name("g") + b"\0\0"] * n)))


@shape
def core_modules(n):
    return component(section(1, module()) * n)


@shape
def lifted_functions(n):
    return component(CORE_F, CORE_INSTANCE, ALIAS_F, ctypes([NO_FUNC]), section(8, vec([b"\0\0\0\0\0"] * n)))


@shape
def lowered_functions(n):
    return component(ctypes([NO_FUNC]), section(10, vec([cname("i") + b"\1\0"])), section(8, vec([b"\1\0\0\0"] * n)))


@shape
def exported_functions(n):
    lift = section(8, vec([b"\0\0\0\0\0"]))
    return component(CORE_F, CORE_INSTANCE, ALIAS_F, ctypes([NO_FUNC]), lift, section(11, vec(cname(f"e{i}") + b"\1\0\0" for i in range(n))))


@shape
def resources(n):
    return component(ctypes([b"\x3f\x7f\0"] * n))


@shape
def nested_components(n):
    return component(section(4, component()) * n)


@shape
def instances_of_a_component(n):
    return component(section(4, component()), section(5, vec([b"\0\0\0"] * n)))


@shape
def instances_of_a_larger_component(n):
    inner = component(CORE_F, CORE_INSTANCE, ALIAS_F, ctypes([NO_FUNC]), section(8, vec([b"\0\0\0\0\0"])), section(11, vec(cname(f"e{i}") + b"\1\0\0" for i in range(50))))
    return component(section(4, inner), section(5, vec([b"\0\0\0"] * n)))


@shape
def outer_aliases(n):
    return component(ctypes([NO_FUNC]), section(4, component(section(6, vec([b"\3\2\1\0"] * n)))))


@shape
def a_long_component_type(n):
    decls = [b"\1" + NO_FUNC] + [b"\3" + cname(f"i{i}") + b"\1\0" for i in range(n)]
    return component(ctypes([b"\x41" + vec(decls)]))


# ---- core modules with worlds ---------------------------------------------------------------------------------------------------------------


def world(decls):
    """A custom section with the type of a world."""
    outer = b"\x41" + vec([b"\1\x41" + vec(decls), b"\4" + cname("p:q/w") + b"\4\0"])
    encoding = section(0, name("wit-component-encoding") + b"\4\0")
    return name("component-type") + component(encoding, ctypes([outer]), section(11, vec([cname("w") + b"\3\0\0"])))


def interface(decls, called, index):
    return [b"\1\x42" + vec(decls), b"\3" + cname(called) + b"\5" + u(index)]


def functions(n):
    return [b"\1" + NO_FUNC] + [b"\4" + cname(f"f{i}") + b"\1\0" for i in range(n)]


@shape
def worlds_of_a_module(n):
    return module(customs=[world(interface(functions(1), "a:b/c@0.2.0", 0))] * n)


@shape
def functions_of_a_world(n):
    imports = [name("a:b/c@0.2.1") + name(f"f{i}") + b"\0\0" for i in range(n)]
    return module(imports=imports, customs=[world(interface(functions(n), "a:b/c@0.2.0", 0))])


@shape
def interfaces_of_a_world(n):
    imports = [name(f"a:b/c{i}@0.2.1") + name("f0") + b"\0\0" for i in range(n)]
    return module(imports=imports, customs=[world([d for i in range(n) for d in interface(functions(1), f"a:b/c{i}@0.2.0", i)])])


@shape
def interfaces_that_name_each_other(n):
    # Of each resource the next interface has another name, and the last one a function.
    decls = interface([b"\4" + cname("r") + b"\3\1"], "a:b/c0", 0)
    for i in range(1, n):
        alias = b"\2\3\0" + u(i - 1) + name("r")  # type 2 i - 1
        decls += [alias] + interface([b"\2\3\2\1" + u(2 * i - 1), b"\4" + cname("r") + b"\3\0\0"], f"a:b/c{i}", 2 * i)
    drop = name(f"a:b/c{n - 1}") + name("[resource-drop]r") + b"\0\0"
    return module((func(I32),), imports=[drop], customs=[world(decls)])


@shape
def functions_that_a_world_exports(n):
    decls = [b"\1\x42" + vec(functions(n)), b"\4" + cname("a:b/c") + b"\5\0"]
    return module((func(),), [0], [body(b"")], exports=[name(f"a:b/c#f{i}") + b"\0\0" for i in range(n)], customs=[world(decls)])
