"""Every small slip of a text, made by rule on its syntax tree.

The rules: + for - and * for / and ** for *, each way; a comparison reversed, or made strict or not
strict; a minus sign dropped; 0 for 1 and True for False, each way; a pair of names exchanged (sin
and cos, maximum and minimum, zeros and ones, t_start and t_end, omega and kappa and others); two
neighbours exchanged among positional arguments, in a tuple or list, or in an unpacking; one operand
of a sum dropped; a stop-gradient removed.

Annotations, docstrings, decorators and error messages are left alone.
"""

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .rules import why_nothing_changes

OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
}  # fmt: skip
COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.Gt, ast.LtE), ast.LtE: (ast.GtE, ast.Lt), ast.Eq: (ast.NotEq,),
    ast.Gt: (ast.Lt, ast.GtE), ast.GtE: (ast.LtE, ast.Gt), ast.NotEq: (ast.Eq,),
}  # fmt: skip
PAIRS = (
    ("sin", "cos"), ("maximum", "minimum"), ("zeros_like", "ones_like"), ("t_start", "t_end"),
    ("t_raw", "r_raw"), ("omega", "kappa"), ("P_mean", "P_std"), ("norm_eps", "norm_p"),
    ("in_channels", "patch_size"),
)  # fmt: skip
OTHER_NAME = {one: other for pair in PAIRS for one, other in (pair, pair[::-1])}
STOPS = ("detach", "stop_gradient", "_stop")


@dataclass(frozen=True)
class Slip:
    """One slip; `where: old -> new` is unique in its file and says what it is."""

    where: str  # function, or Class.method
    old: str
    new: str
    source: str  # the whole text with the slip
    copy: int = 0  # which of several equal ones in the same place
    changes_nothing: str = ""  # why, where a rule says so

    def __str__(self) -> str:
        """Read as a line of a table."""
        again = f" ({self.copy + 1})" if self.copy else ""
        return f"{self.where}: {self.old} -> {self.new}{again}"


def slips(source: str) -> Iterator[Slip]:
    """Every slip of a text, in the order of the text."""
    tree = ast.parse(source)
    seen: Counter[tuple[str, str, str]] = Counter()
    for where, path in _places(tree, "", ()):
        node = _at(tree, path)
        around = [_at(tree, path[:end]) for end in reversed(range(len(path)))]
        for changed in _changes(node):
            old, new = _text(node), _text(changed)
            if old == new:
                continue
            whole = copy.deepcopy(tree)
            _put(whole, path, changed)
            text = ast.unparse(ast.fix_missing_locations(whole))
            why = why_nothing_changes(node, changed, around)
            yield Slip(where, old, new, text, seen[where, old, new], why)
            seen[where, old, new] += 1


Path = tuple[tuple[str, int | None], ...]  # (field, index in a list of nodes) from the root


def _places(node: ast.AST, where: str, path: Path) -> Iterator[tuple[str, Path]]:
    """Every node whose change would be a change of what is computed."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        where = f"{where}.{node.name}".lstrip(".")
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "bases"):
            continue
        children = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, child in children:
            if not isinstance(child, ast.AST) or _is_prose(child):
                continue
            here = (*path, (field, index))
            yield where or "the module", here
            yield from _places(child, where, here)


def _is_prose(node: ast.AST) -> bool:
    """Docstrings, imports, errors, and types such as dict[str, int]."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) in ("dict", "list", "tuple"):
        return True
    return isinstance(node, (ast.Import, ast.ImportFrom, ast.Raise, ast.JoinedStr))


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    yield from _arithmetic(node)
    if isinstance(node, ast.Attribute) and node.attr in OTHER_NAME:
        yield _with(node, attr=OTHER_NAME[node.attr])
    if isinstance(node, ast.Call):
        for args in _exchanges(node.args):
            yield _with(node, args=args)
        if isinstance(node.func, ast.Name) and node.func.id in STOPS:
            yield node.args[0]
        if isinstance(node.func, ast.Attribute) and node.func.attr in STOPS:
            yield node.args[0] if node.args else node.func.value
    if isinstance(node, (ast.Tuple, ast.List)):
        for elements in _exchanges(node.elts):
            yield _with(node, elts=elements)


def _arithmetic(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        yield _with(node, op=OPERATORS[type(node.op)]())
        if isinstance(node.op, (ast.Add, ast.Sub)):
            yield node.left
            yield node.right
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for operator in COMPARISONS.get(type(node.ops[0]), ()):
            yield _with(node, ops=[operator()])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node.operand
    if isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value in (0, 1):
        yield ast.Constant(type(node.value)(1 - node.value))


def _exchanges(nodes: list[ast.expr]) -> Iterator[list[ast.expr]]:
    """The list with two neighbours exchanged, for every pair."""
    for i, (one, other) in enumerate(pairwise(nodes)):
        if not isinstance(one, ast.Starred) and not isinstance(other, ast.Starred):
            yield [*nodes[:i], other, one, *nodes[i + 2 :]]


def _with(node: ast.AST, **fields: Any) -> ast.AST:
    """A shallow copy of a node with other fields."""
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _at(tree: ast.AST, path: Path) -> Any:
    node: Any = tree
    for field, index in path:
        node = getattr(node, field) if index is None else getattr(node, field)[index]
    return node


def _put(tree: ast.AST, path: Path, changed: ast.AST) -> None:
    parent, (field, index) = _at(tree, path[:-1]), path[-1]
    if index is None:
        setattr(parent, field, copy.deepcopy(changed))
    else:
        getattr(parent, field)[index] = copy.deepcopy(changed)


def _text(node: ast.AST) -> str:
    """The node on one line."""
    return " ".join(ast.unparse(node).split())
