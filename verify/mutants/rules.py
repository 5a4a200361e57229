"""Slips that change no number whatever the text: rules, each headed by its reason.

A rule is given a node, what stands in its place, and the nodes around it, the nearest first.
"""

import ast
from collections.abc import Callable, Sequence

Around = Sequence[ast.AST]
COMMUTATIVE = (
    "min", "max", "minimum", "maximum", "promote_types", "logical_and", "logical_or", "swapaxes",
)  # fmt: skip


def commutative(old: ast.AST, new: ast.AST, around: Around) -> bool:
    """The function has these two arguments in either order."""
    if not (isinstance(old, ast.Call) and isinstance(new, ast.Call)):
        return False
    same_first = bool(old.args) and old.args[0] is new.args[0]
    match _called(old), len(old.args):
        case "transpose", 2:  # of PyTorch, which exchanges two axes; NumPy's takes their order
            return _imports_torch(around[-1])
        case "addcmul", 3:
            return same_first
        case "addcmul", 2:
            return True
        case name, _:
            return name in COMMUTATIVE and len(old.args) == len(new.args) == 2


def axes_of_a_sum(old: ast.AST, _new: ast.AST, around: Around) -> bool:
    """A sum runs over its axes in any order."""
    is_argument = isinstance(around[0], ast.Call) and old in around[0].args
    return isinstance(old, ast.Tuple) and is_argument and _called(around[0]) in ("sum", "mean")


def strictness(old: ast.AST, _new: ast.AST, around: Around) -> bool:
    """What is strict refuses what does not fit, and is the same for all that does."""
    is_strict = isinstance(around[0], ast.keyword) and around[0].arg == "strict"
    return is_strict and isinstance(old, ast.Constant) and old.value is True


RULES: tuple[Callable[[ast.AST, ast.AST, Around], bool], ...] = (
    commutative, axes_of_a_sum, strictness,
)  # fmt: skip


def why_nothing_changes(old: ast.AST, new: ast.AST, around: Around) -> str:
    """The reason of the first rule that holds; nothing where none does."""
    return next((rule.__doc__ or "" for rule in RULES if rule(old, new, around)), "")


def _called(node: ast.AST) -> str:
    """The name of the function or method that is called."""
    function = getattr(node, "func", None)
    return getattr(function, "attr", getattr(function, "id", ""))


def _imports_torch(text: ast.AST) -> bool:
    imports = (node for node in ast.walk(text) if isinstance(node, ast.Import))
    return any(alias.name == "torch" for node in imports for alias in node.names)
