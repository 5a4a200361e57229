"""The JAX and the PyTorch implementation are one text in two languages; the reference is the third.

Read with `ast`, so this needs neither framework. Every difference allowed is a row of a table here,
with its reason, and a row that is no longer needed fails.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import reference
from impls.common import types

ROOT = Path(__file__).parents[3]
JAX, TORCH = "impls/meanflow_jax", "impls/meanflow_torch"
FILES = sorted(path.name for path in (ROOT / JAX).glob("*.py"))

# file -> why only the PyTorch text has it
FILES_ONLY_IN_TORCH = {
    "tangent.py": "jax.jvp derives what is written out there",
    "torchvision_operators.py": "JAX needs no torchvision",
    "torchvision_inception.py": "the same",
}
# (file, name) -> why only the PyTorch text has it
ONLY_IN_TORCH = {
    ("device.py", "exact_products"): "in JAX each product takes its precision",
    ("network.py", "LabelEmbedder"): "flax has nn.Embed, under the same canonical name",
    ("network.py", "LabelEmbedder.forward"): "as its class",
    ("network.py", "structure"): "a torch module is made before it is called",
    ("layers.py", "constant"): "in JAX it is one call",
    ("layers.py", "positions"): "JAX computes it once, when it traces",
}
# (file, name) -> why only the JAX text has it
ONLY_IN_JAX = {
    ("autoencoder.py", "GROUP_NORM_EPS"): "diffusers has it in its network",
    ("autoencoder.py", "LOG_VARIANCE_LIMITS"): "as GROUP_NORM_EPS",
    ("layers.py", "linear"): "PyTorch has F.linear",
    ("network.py", "Dense"): "PyTorch has nn.Linear",
    ("network.py", "Dense.forward"): "as its class",
}
# (file, name) -> why the parameters differ
OTHER_PARAMETERS = {
    ("network.py", "DiT"): "a torch module holds its parameters, so it starts from a seed",
}
# (file, name) -> why the docstrings differ
OTHER_DOCSTRING = {
    ("__init__.py", ""): "names the framework",
    ("device.py", "put"): "JAX alone has a 32-bit mode, which would round float64 silently",
    ("device.py", "get"): "arrays are called tensors there",
    ("device.py", "sync"): "arrays are called tensors there",
    ("device.py", "load_params"): "the torch layout is that of a state_dict",
    ("cost.py", "compile_with_cost"): "XLA and PyTorch count other things",
    ("network.py", "DiT"): "the torch module says what its parameters and their names are",
    ("step.py", "train_step"): "torch optimizers work in place, JAX cannot",
}
# public name -> why it is offered though no check calls it
BEYOND_PROTOCOL = {
    "DiT": "the network itself, for code of its framework",
    "State": "what init_state returns",
    "Metrics": "what the function from compile_step returns beside the state",
    "num_equal_rows": "a part of times",
    "guide": "a part of guided_velocity",
    "dense_velocities": "a part of loss",
    "sparse_velocities": "a part of loss",
    "init_optimizer": "a part of init_state",
    "apply_gradient": "a part of train_step",
    "update": "a part of train_step",
    "update_average": "a part of train_step",
}
# protocol name -> why the reference does not offer it
NOT_IN_REFERENCE = {
    "init_params": "the laws are in impls.common.parameters, which the reference may not import",
    "jvp_forms": "it has one form",
    "clear_caches": "NumPy compiles nothing",
    "compile_step": "NumPy compiles nothing, and nobody trains with it",
    "save_checkpoint": "nobody trains with it",
    "restore_checkpoint": "nobody trains with it",
    "export_state": "nobody trains with it",
    "load_state": "nobody trains with it",
    "device_draws": "it has no device",
    "select_device": "it has no device",
    "device_name": "it has no device",
    "compile_with_cost": "its speed is nobody's concern",
    "matrix_product": "its speed is nobody's concern",
    "parameter_shapes": "the reference declares no parameters: it reads those it is given",
}
# name -> why the first line of its docstring is another in the reference
OTHER_HEADLINE = {
    "put": "the arrays are NumPy's already",
    "get": "the arrays are NumPy's already",
    "sync": "the arrays are NumPy's already",
    "load_params": "its layout is the canonical one",
    "export_params": "its layout is the canonical one",
    "activations": "its names need no example",
    "loss_and_gradient": "its parameters are no tree, but arrays by name",
}

ARRAYS = re.compile(r"\b(jax\.Array|torch\.Tensor|np\.ndarray|nn\.Module)")
METHODS = {"__call__": "forward"}  # a module is called in JAX, and forwards in PyTorch


class Item(NamedTuple):
    """A public function, class, method or constant."""

    kind: str
    parameters: tuple[str, ...] | None  # "name: annotation = default", in order
    docstring: str | None
    value: str | None  # of a constant


def parse(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text())


def public(name: str) -> bool:
    return not name.startswith("_")


def written(node: ast.expr | None) -> str:
    """An annotation or a default, with the frameworks' arrays called Array."""
    return ARRAYS.sub("Array", ast.unparse(node)) if node else ""


def parameters(function: ast.FunctionDef) -> tuple[str, ...]:
    """Each parameter with its annotation and default, then what is returned."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    blank: list[ast.expr | None] = [None] * len(named)
    last = len(named) - len(arguments.kwonlyargs)
    blank[last - len(arguments.defaults) : last] = arguments.defaults
    blank[last:] = arguments.kw_defaults
    listed = [
        f"{argument.arg}: {written(argument.annotation)} = {written(default)}"
        for argument, default in zip(named, blank, strict=True)
    ]
    listed += [f"*{star.arg}" for star in (arguments.vararg, arguments.kwarg) if star]
    return (*listed, f"-> {written(function.returns)}")


def constructor(node: ast.ClassDef) -> tuple[str, ...]:
    """What a class is made from: the arguments of __init__, or else its annotated attributes."""
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            return parameters(member)[1:-1]
    return tuple(
        f"{written(member.target)}: {written(member.annotation)} = {written(member.value)}"
        for member in node.body
        if isinstance(member, ast.AnnAssign)
    )


def items(path: str) -> dict[str, Item]:
    """Public names of a file in their order, methods as "Class.method"."""
    found: dict[str, Item] = {}
    for node in parse(path).body:
        if isinstance(node, ast.FunctionDef) and public(node.name):
            found[node.name] = Item("function", parameters(node), ast.get_docstring(node), None)
        elif isinstance(node, ast.ClassDef) and public(node.name):
            found[node.name] = Item("class", constructor(node), ast.get_docstring(node), None)
            for member in node.body:
                if isinstance(member, ast.FunctionDef):
                    name = METHODS.get(member.name, member.name)
                    if public(name):
                        method = Item("method", parameters(member), ast.get_docstring(member), None)
                        found[f"{node.name}.{name}"] = method
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name) and public(target.id):
                    found[target.id] = Item("constant", None, None, written(node.value))
    return found


def both(file: str) -> tuple[dict[str, Item], dict[str, Item]]:
    """The items of a file in both texts, without those that only one may have."""
    jax, torch = items(f"{JAX}/{file}"), items(f"{TORCH}/{file}")
    return (
        {name: item for name, item in jax.items() if (file, name) not in ONLY_IN_JAX},
        {name: item for name, item in torch.items() if (file, name) not in ONLY_IN_TORCH},
    )


def pairs(file: str) -> Iterator[tuple[str, Item, Item]]:
    jax, torch = both(file)
    for name in jax.keys() & torch.keys():
        yield name, jax[name], torch[name]


def protocol() -> dict[str, tuple[str, ...]]:
    """Protocol name -> names of its parameters, without self."""
    (node,) = [
        node
        for node in parse("impls/protocol.py").body
        if isinstance(node, ast.ClassDef) and node.name == "Implementation"
    ]
    return {
        member.name: names_of(parameters(member))[1:]
        for member in node.body
        if isinstance(member, ast.FunctionDef)
    }


def names_of(listed: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(parameter.split(":")[0] for parameter in listed if not parameter.startswith("-> "))


def offered(package: str) -> dict[str, Item]:
    """Public name of a package -> the item that its __init__ takes from one of its files."""
    found = {}
    for node in parse(f"{package}/__init__.py").body:
        if isinstance(node, ast.ImportFrom):
            file = items(f"{package}/{node.module}.py")
            found.update({alias.asname or alias.name: file[alias.name] for alias in node.names})
    return found


# The two implementations


def test_both_texts_have_the_same_files() -> None:
    torch = {path.name for path in (ROOT / TORCH).glob("*.py")}
    assert sorted(torch - set(FILES_ONLY_IN_TORCH)) == FILES
    assert set(FILES_ONLY_IN_TORCH) == torch - set(FILES)
    assert "network.py" in FILES


@pytest.mark.parametrize("file", FILES)
def test_both_texts_have_the_same_public_names_in_the_same_order(file: str) -> None:
    jax, torch = both(file)
    assert list(jax) == list(torch)
    assert [item.kind for item in jax.values()] == [item.kind for item in torch.values()]


@pytest.mark.parametrize("file", FILES)
def test_both_texts_take_the_same_parameters_and_return_the_same(file: str) -> None:
    for name, jax, torch in pairs(file):
        if (file, name) not in OTHER_PARAMETERS:
            assert jax.parameters == torch.parameters, name


@pytest.mark.parametrize("file", FILES)
def test_both_texts_say_the_same(file: str) -> None:
    for name, jax, torch in pairs(file):
        if (file, name) not in OTHER_DOCSTRING:
            assert jax.docstring == torch.docstring, name
    if (file, "") not in OTHER_DOCSTRING:
        texts = [ast.get_docstring(parse(f"{package}/{file}")) for package in (JAX, TORCH)]
        assert texts[0] == texts[1]


@pytest.mark.parametrize("file", FILES)
def test_both_texts_have_the_same_constants(file: str) -> None:
    assert all(jax.value == torch.value for _, jax, torch in pairs(file))


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("package", [JAX, TORCH])
def test_every_public_function_and_class_says_what_it_is(package: str, file: str) -> None:
    for name, item in items(f"{package}/{file}").items():
        assert item.docstring or item.kind == "constant", name


def test_both_packages_offer_the_same_names_in_the_same_order() -> None:
    assert list(offered(JAX)) == list(offered(TORCH))


@pytest.mark.parametrize("package", [JAX, TORCH])
def test_a_package_offers_its_names_in_data_flow_order(package: str) -> None:
    """No file imports of one that comes later, and the names of a file stand in its order."""
    imports = [n for n in parse(f"{package}/__init__.py").body if isinstance(n, ast.ImportFrom)]
    files = [str(node.module) for node in imports]
    assert files[0] == "device"
    for node in imports:
        names = [alias.name for alias in node.names]
        assert names == [name for name in items(f"{package}/{node.module}.py") if name in names]
        later = files[files.index(str(node.module)) :]
        for other in parse(f"{package}/{node.module}.py").body:
            assert not isinstance(other, ast.ImportFrom) or other.module not in later


def test_the_reference_lists_exactly_what_it_offers() -> None:
    assert sorted(reference.__all__) == sorted(offered("reference"))


@pytest.mark.parametrize(
    ("table", "differs"),
    [
        (OTHER_PARAMETERS, lambda jax, torch: jax.parameters != torch.parameters),
        (OTHER_DOCSTRING, lambda jax, torch: jax.docstring != torch.docstring),
    ],
)
def test_every_exception_is_needed(
    table: dict[tuple[str, str], str], differs: Callable[[Item, Item], bool]
) -> None:
    for file, name in table:
        jax, torch = items(f"{JAX}/{file}"), items(f"{TORCH}/{file}")
        if name:
            assert differs(jax[name], torch[name]), (file, name)
    for names, here, there in ((ONLY_IN_TORCH, TORCH, JAX), (ONLY_IN_JAX, JAX, TORCH)):
        for file, name in names:
            assert name in items(f"{here}/{file}")
            assert name not in items(f"{there}/{file}")


# The protocol


@pytest.mark.parametrize("package", [JAX, TORCH])
def test_a_package_offers_the_whole_protocol_with_its_parameters(package: str) -> None:
    names = offered(package)
    for name, expected in protocol().items():
        assert name in names, name
        assert names_of(names[name].parameters or ()) == expected, name


@pytest.mark.parametrize("package", [JAX, TORCH])
def test_what_a_package_offers_beyond_the_protocol_is_known(package: str) -> None:
    assert set(offered(package)) - set(protocol()) == set(BEYOND_PROTOCOL)


# The reference


def test_the_reference_offers_the_protocol_with_its_parameters() -> None:
    names = offered("reference")
    assert set(protocol()) - set(names) == set(NOT_IN_REFERENCE)
    for name in protocol().keys() & names.keys():
        assert names_of(names[name].parameters or ()) == protocol()[name], name


def test_the_reference_heads_its_functions_as_the_implementations_do() -> None:
    here, there = offered("reference"), offered(JAX)
    headlines = {
        name: [(item.docstring or "").split("\n")[0] for item in (here[name], there[name])]
        for name in here.keys() & there.keys()
    }
    other = {name for name, (ours, theirs) in headlines.items() if ours != theirs}
    assert other == set(OTHER_HEADLINE)


def test_the_reference_loss_has_the_fields_of_the_shared_record() -> None:
    assert reference.Loss._fields == types.Loss._fields
