"""What an answer's text says: which functions of other libraries it calls, found in its syntax tree."""

import ast
import inspect
import textwrap
from types import ModuleType
from typing import Any


def borrowed(answer: Any, modules: tuple[str, ...]) -> str | None:
    """A sentence if an answer calls, or is, what one of these modules has; None if not, or if it has no text.

    Names are looked up where the function was written, so another name (`from aelib.losses import kl as f`,
    or `f = losses.kl`) hides nothing.
    """
    if not modules:
        return None
    if _within(getattr(answer, "func", answer), modules):  # itself, or inside a partial
        return "this is a library's own; here, write it yourself"
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(answer)))
    except (OSError, TypeError, SyntaxError):
        return None
    first = next((v for v in vars(answer).values() if inspect.isfunction(v)), None)
    known = dict(getattr(answer if inspect.isfunction(answer) else first, "__globals__", {}))
    for node in ast.walk(tree):  # an argument or a variable of his own hides what the page calls so
        known.pop(node.arg if isinstance(node, ast.arg) else _stored(node), None)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            base = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            names = [base + a.name for a in node.names]
            found = next((n for n in names if _below(n, modules)), None)
        elif isinstance(node, ast.Attribute | ast.Name):
            found = ast.unparse(node) if _within(_value(node, known), modules) else None
        else:
            continue
        if found:
            return f"`{found}` does this job already; here, write it yourself"
    return None


def _value(node: ast.AST, known: dict[str, Any]) -> Any:
    """What a dotted name stands for where it was written; None where that is not known."""
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Attribute):
        return getattr(_value(node.value, known), node.attr, None)
    return None


def _stored(node: ast.AST) -> str | None:
    return node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else None


def _within(value: Any, modules: tuple[str, ...]) -> bool:
    if isinstance(value, ModuleType) or not hasattr(value, "__qualname__"):
        return False  # nor is a model or a dataset, which are instances, a function that does a job
    return _below(f"{getattr(value, '__module__', '')}.{value.__qualname__}", modules)


def _below(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == m or name.startswith(f"{m}.") for m in modules)
