"""Which cells of a page must run so that a certain one does: not what is measured and drawn in between."""

import ast
import symtable
from collections.abc import Collection, Iterator, Sequence

TRAIN = {"fit", "train", "setattr"}  # functions that change what they are given first


def needed(cells: Sequence[str], last: Collection[int]) -> list[int]:
    """The numbers of the cells that must run, in their order, so that those of `last` show what they would.

    A cell must run if it binds a name that a later one reads, or changes what such a name holds: it sets a
    part of it, calls a method of it as a whole line, or gives it to one of `TRAIN`. Random numbers are others
    than on the page, where cells in between have asked for some too.
    """
    kept, wanted = [], set[str]()
    for i in range(max(last), -1, -1):
        reads, binds, changes = names(cells[i])
        if i in last or wanted & (binds | changes):
            kept.append(i)
            wanted = (wanted - binds) | reads
    return kept[::-1]


def names(cell: str) -> tuple[set[str], set[str], set[str]]:
    """What a cell reads of cells before it, what it binds, and what it may change."""
    reads, binds, changes = set[str](), set[str](), set[str]()
    for statement in ast.parse(cell).body:
        table = symtable.symtable(ast.unparse(statement), "statement", "exec")
        here = table.get_symbols()
        bound = {s.get_name() for s in here if s.is_assigned() or s.is_imported() or s.is_namespace()}
        inside = [s for t in _below(table) for s in t.get_symbols() if s.is_global()]
        used = {s.get_name() for s in (*here, *inside) if s.is_referenced()}
        if isinstance(statement, ast.AugAssign):
            used |= bound
        # what a loop or a `with` binds, it is taken to bind before it reads it
        block = isinstance(statement, ast.For | ast.While | ast.With | ast.Try | ast.If)
        reads |= used - binds - (bound if block else set())
        binds |= bound
        changes |= set(_changed(statement))
    return reads, binds, changes | _trained(ast.parse(cell))


def _below(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    for child in table.get_children():
        yield child
        yield from _below(child)


def _changed(statement: ast.stmt) -> Iterator[str]:
    """The names of which a statement sets a part, or calls a method as a whole line."""
    for node in ast.walk(statement):
        match node:
            case ast.Attribute(ctx=ast.Store()) | ast.Subscript(ctx=ast.Store()):
                yield _root(node)
            case ast.Expr(ast.Call(ast.Attribute() as method)):
                yield _root(method)


def _trained(cell: ast.Module) -> set[str]:
    """The names of what is given to one of `TRAIN`, under this name or another.

    As the second in `for model in (a, b): fit(model, …)` and in `models = {"a": a}`.
    """
    nodes, found, before = list(ast.walk(cell)), set[str](), -1
    for node in nodes:
        match node:
            case ast.Call(ast.Name(id=name) | ast.Attribute(attr=name), [first, *_]) if name in TRAIN:
                found.add(_root(first))
    while before != len(found):
        before = len(found)
        for node in nodes:
            match node:
                case ast.For(target=target, iter=value) if found & _all(target):
                    found |= _all(value)
                case ast.Assign([ast.Name(id=name)], value) if name in found:
                    made = any(isinstance(part, ast.Call) for part in ast.walk(value))
                    found |= set() if made else _all(value)
    return found


def _all(node: ast.expr) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _root(node: ast.expr) -> str:
    """The name that an expression such as a.b[0] begins with; empty, if it begins with none."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
