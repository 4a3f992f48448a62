#!/usr/bin/env python3
"""What ./dev check reads out of C sources: code without comments, comments without code, what a file defines, declares and uses.

No parser of C: it trusts this house's format (clang-format keeps it), in which a body's braces stand in column 0.
"""
import re

TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'', re.S)
WORDS = re.compile(r"[A-Za-z_]\w*")
ATTRIBUTES = re.compile(r"\b(?:NODISCARD|UNUSED|_Noreturn|PRINTF_LIKE\s*\([^)]*\)|__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\))")


def code(text, keep_strings=False):
    """The text with comments (and what stands in strings) made blank; lines stay where they are."""

    def blank(m):
        s = m.group()
        if s[0] == "/":
            return re.sub(r"[^\n]", " ", s)
        return s if keep_strings else s[0] * 2

    return TOKEN.sub(blank, text)


def comments(text):
    """(line, text) of each comment."""
    for m in TOKEN.finditer(text):
        if m.group()[0] == "/":
            for n, line in enumerate(m.group().split("\n")):
                yield text.count("\n", 0, m.start()) + 1 + n, line


def python_comments(text):
    """(line, text) of each comment and doc string of Python."""
    for m in re.finditer(r'"""(.*?)"""|(?:^|\s)#[^\n]*', text, re.S):
        for n, line in enumerate(m.group().split("\n")):
            yield text.count("\n", 0, m.start()) + 1 + n, line


def words(text):
    return set(WORDS.findall(code(text)))


PASTE = re.compile(r"(\w+)##\w+")
OWN_TABLE = re.compile(r'#include "([\w.]+\.def)"')


def used(text, tables):
    """Names that a file may use: its words, those in strings of assembly, and what macros paste together from the rows of its room's tables."""
    found = words(text)
    if "__asm__" in text:
        found |= set(WORDS.findall(code(text, keep_strings=True)))
    rows = set().union(*(words(tables[name]) for name in OWN_TABLE.findall(text) if name in tables))
    return found | {prefix + word for prefix in PASTE.findall(text) for word in rows}


DATA = re.compile(r"^(?!static\b|extern\b|typedef\b|return\b|struct \w+;|enum \w+;|union \w+;)[A-Za-z_][\w \t*]*?[\s*](\w+)(?:\[[^\]]*\])*\s*(?:=|;)", re.M)


def data_defined(text):
    """Names of the variables that a file defines for others."""
    return set(DATA.findall(code(text)))


def functions(text):
    """(name, first line, number of lines, heading) of each function body, found by the braces in column 0 of this house's format."""
    lines = text.split("\n")
    for n, line in enumerate(lines):
        if line == "{" and n:
            end = next((m for m in range(n, len(lines)) if lines[m] == "}"), len(lines) - 1)
            start = n - 1
            while start > 0 and lines[start - 1] and not lines[start - 1].startswith(("//", "#", "}", "\t}")) and lines[start][:1] in (" ", "\t"):
                start -= 1
            heading = " ".join(lines[start:n])
            m = re.search(r"(\w+)\(", ATTRIBUTES.sub(" ", heading))
            yield (m.group(1) if m else "?"), start + 1, end - start + 1, heading


def defined(text):
    """Names of the functions that a file defines for others."""
    return {name for name, _, _, heading in functions(text) if not re.match(r"\s*(?:inline\s+)?static\b", ATTRIBUTES.sub(" ", heading))}


def declared(text):
    """(name, is marked `// for tests`) of the functions that a header declares (not those it defines in line)."""
    marked = {m.group(1) for m in re.finditer(r"\b(\w+)\([^;{}]*\)[^;{}()]*;[ \t]*// for tests\b", text)}
    flat = re.sub(r"^\s*#(?:[^\n]*\\\n)*[^\n]*", "", code(text), flags=re.M)
    while True:
        less = re.sub(r"\{[^{}]*\}", "{;", flat)
        if less == flat:
            break
        flat = less
    for piece in flat.split(";"):
        piece = ATTRIBUTES.sub(" ", piece).strip()
        if not piece or "{" in piece or piece.startswith(("struct", "enum", "union")) and "(" not in piece or piece.startswith("typedef"):
            continue
        m = re.match(r"(?:[\w\s\*]*?[\s\*])(\w+)\s*\(", piece)
        if m and not piece.startswith("static"):
            yield m.group(1), m.group(1) in marked


def circles(edges):
    """Sets of two or more nodes that reach each other (strongly connected components; Tarjan, by a stack of our own)."""
    index, low, on, stack, found = {}, {}, set(), [], []
    for root in edges:
        if root in index:
            continue
        work = [(root, iter(sorted(edges[root])))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on.add(root)
        while work:
            node, rest = work[-1]
            for to in rest:
                if to not in edges:
                    continue
                if to not in index:
                    index[to] = low[to] = len(index)
                    stack.append(to)
                    on.add(to)
                    work.append((to, iter(sorted(edges[to]))))
                    break
                if to in on:
                    low[node] = min(low[node], index[to])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    at = stack.index(node)
                    part = stack[at:]
                    del stack[at:]
                    on.difference_update(part)
                    if len(part) > 1:
                        found.append(sorted(part))
    return sorted(found)
