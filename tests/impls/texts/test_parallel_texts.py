"""The JAX and the PyTorch implementation are one text in two languages; the reference is the third.

Read with `ast`, so this needs neither framework. Every difference allowed is a row of a table here,
with its reason, and a row that is no longer needed fails.
"""

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest

import reference
from impls.common import types
from impls.protocol import ESSENTIAL, NAMES
from verify.checks import all_checks

ROOT = Path(__file__).parents[3]
JAX, TORCH = "impls/meanflow_jax", "impls/meanflow_torch"


def files(package):
    folder = ROOT / package
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.py"))


# file -> why only the PyTorch text has it
FILES_ONLY_IN_TORCH = {
    "dual_dit.py": "in JAX jax.jvp is all there is to it",
    "vision/torchvision_operators.py": "JAX needs no torchvision",
    "vision/torchvision_inception.py": "the same",
}
# file -> why only the JAX text has it
FILES_ONLY_IN_JAX = {
    "ahead.py": "XLA alone compiles for a device that is not there",
    "hlo.py": "XLA counts the body of a loop once",
    "stacking.py": "JAX loops over the blocks: a block is compiled once",
}
FILES = [file for file in files(JAX) if file not in FILES_ONLY_IN_JAX]
# (file, name) -> why only the PyTorch text has it
ONLY_IN_TORCH = {
    ("device.py", "exact_products"): "in JAX each product takes its precision",
    ("dit.py", "LabelEmbedder"): "flax has nn.Embed, under the same canonical name",
    ("dit.py", "LabelEmbedder.forward"): "as its class",
    ("network.py", "meta_module"): "a torch module is made before it is called",
    ("network.py", "takes_autodiff"): "in JAX every form is a jax.jvp",
    ("layers.py", "constant"): "in JAX it is one call",
    ("layers.py", "positions"): "JAX computes it once, when it traces",
}
# (file, name) -> why only the JAX text has it
ONLY_IN_JAX = {
    ("vision/autoencoder.py", "GROUP_NORM_EPS"): "diffusers has it in its network",
    ("vision/autoencoder.py", "LOG_VARIANCE_LIMITS"): "as GROUP_NORM_EPS",
    ("cost.py", "cost_of"): "PyTorch has no compiled program to read",
    ("cost.py", "count"): "as cost_of",
    ("layers.py", "linear"): "PyTorch has F.linear",
    ("dit.py", "Part"): "PyTorch's dual numbers take rows without a tangent too",
    ("dit.py", "Parts"): "as Part",
    ("dit.py", "DiT.of_parts"): "as Part",
    ("dit.py", "Dense"): "PyTorch has nn.Linear",
    ("dit.py", "Dense.forward"): "as its class",
}
# (file, name) -> why the parameters differ
OTHER_PARAMETERS = {
    ("dit.py", "DiT"): "a torch module holds its parameters, so it starts from a seed"
}
# (file, name) -> why the docstrings differ
OTHER_DOCSTRING = {
    ("__init__.py", ""): "names the framework",
    ("device.py", "put"): "JAX alone has a 32-bit mode, which would round float64 silently",
    ("device.py", "get"): "arrays are called tensors there",
    ("device.py", "sync"): "arrays are called tensors there",
    ("parameters.py", "load_params"): "the torch layout is that of a state_dict",
    ("layers.py", "split_heads"): "XLA's products take the heads where they stand",
    ("cost.py", "compile_with_cost"): "XLA and PyTorch count other things",
    ("dit.py", "DiT"): "the torch module says what its parameters and their names are",
    ("step.py", "train_step"): "torch optimizers work in place, JAX cannot",
}
# file -> functions of both texts that do not read the same line by line, but for the framework's
# name: each framework has its own way to a gradient, to transposed axes, to compiled steps, …
OTHER_LINES = {
    "layers.py": {"sinusoid", "split_heads", "layer_norm"},
    "network.py": {
        "mean_velocity",
        "mean_velocity_jvp",
        "activations",
        "parameter_shapes",
        "_cast",
        "_apply",
    },
    "objective.py": {"loss_and_gradient", "_ramp", "_like", "_rows", "_stop"},
    "step.py": {"init_state", "accumulate", "compile_step", "_finite"},
}
# public name -> why it is offered though no check calls it
BEYOND_PROTOCOL = {
    "DiT": "the network itself, for code of its framework",
    "State": "what init_state returns",
    "Metrics": "what the function from compile_step returns beside the state",
    "num_equal_rows": "a part of times",
    "guide": "a part of guided_velocity",
    "init_optimizer": "a part of init_state",
    **dict.fromkeys(("dense_velocities", "sparse_velocities"), "a part of loss"),
    **dict.fromkeys(("apply_gradient", "update", "update_average"), "a part of train_step"),
}
# protocol name -> why the reference does not offer it
NOT_IN_REFERENCE = {
    "init_params": "the laws are in impls.common.parameters, which the reference may not import",
    "parameter_shapes": "the reference declares no parameters: it reads those it is given",
    "jvp_forms": "it has one form",
    **dict.fromkeys(("clear_caches", "compile_step"), "NumPy compiles nothing"),
    **dict.fromkeys(("device_draws", "select_device", "device_name"), "it has no device"),
    **dict.fromkeys(("compile_with_cost", "matrix_product"), "its speed is nobody's concern"),
    **dict.fromkeys(
        ("save_checkpoint", "restore_checkpoint", "export_state", "load_state"),
        "nobody trains with it",
    ),
}
# name -> why the first line of its docstring is another in the reference
OTHER_HEADLINE = {
    **dict.fromkeys(("put", "get", "sync"), "the arrays are NumPy's already"),
    **dict.fromkeys(("load_params", "export_params"), "its layout is the canonical one"),
    "activations": "its names need no example",
    "loss_and_gradient": "its parameters are no tree, but arrays by name",
}

FRAMEWORK = re.compile(r"\b(jnp|jax\.nn|jax|torch|nn)\.(?=\w)")
METHODS = {"__call__": "forward"}  # a module is called in JAX, and forwards in PyTorch
# How the same is called in PyTorch and in JAX.
SAME_CALL = {".to(": ".astype(", ".permute(": ".transpose("}


class Item(NamedTuple):
    """A public function, class, method or constant, or the module, whose name is ""."""

    kind: str
    parameters: str | None  # as they are written, with annotations and defaults, and what returns
    names: list[str]  # of the parameters
    docstring: str | None
    value: str | None  # of a constant


def parse(path):
    return ast.parse((ROOT / path).read_text())


def written(*nodes):
    """Source text, without the frameworks' names."""
    text = " ".join(ast.unparse(node) for node in nodes if node)
    return FRAMEWORK.sub("", text.replace("torch.Tensor", "jax.Array"))


def function(kind, node):
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    names = [argument.arg for argument in named]
    return Item(kind, written(arguments, node.returns), names, ast.get_docstring(node), None)


def constructor(node):
    """What a class is made from: the arguments of __init__, or else its annotated attributes."""
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            return written(member.args).removeprefix("self, ")
    fields = (written(member) for member in node.body if isinstance(member, ast.AnnAssign))
    return ", ".join(fields)


def items(path):
    """Public names of a file in their order, methods as "Class.method"."""
    module = parse(path)
    found = {"": Item("module", None, [], ast.get_docstring(module), None)}
    for node in module.body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = function("function", node)
        elif isinstance(node, ast.ClassDef):
            docstring = ast.get_docstring(node)
            found[node.name] = Item("class", constructor(node), [], docstring, None)
            for member in node.body:
                if isinstance(member, ast.FunctionDef):
                    name = METHODS.get(member.name, member.name)
                    found[f"{node.name}.{name}"] = function("method", member)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                found[written(target)] = Item("constant", None, [], None, written(node.value))
    return {name: item for name, item in found.items() if "._" not in f".{name}"}


def both(file):
    """The items of a file in both texts, without those that only one may have."""
    jax, torch = items(f"{JAX}/{file}"), items(f"{TORCH}/{file}")
    return (
        {name: item for name, item in jax.items() if (file, name) not in ONLY_IN_JAX},
        {name: item for name, item in torch.items() if (file, name) not in ONLY_IN_TORCH},
    )


def lines(path):
    """Function -> its lines, without the framework's name and docstring."""
    found = {}
    for node in parse(path).body:
        if isinstance(node, ast.FunctionDef):
            text = written(*(line for line in node.body if not isinstance(line, ast.Expr)))
            for here, there in SAME_CALL.items():
                text = text.replace(here, there)
            found[node.name] = text
    return found


def protocol():
    """Protocol name -> names of its parameters, without self."""
    return {
        member.name: function("method", member).names[1:]
        for node in parse("impls/protocol.py").body
        if isinstance(node, ast.ClassDef)
        for member in node.body
        if isinstance(member, ast.FunctionDef)
    }


def offered(package):
    """Public name of a package -> the item that its __init__ takes from one of its files."""
    found = {}
    for node in parse(f"{package}/__init__.py").body:
        if isinstance(node, ast.ImportFrom):
            file = items(f"{package}/{str(node.module).replace('.', '/')}.py")
            found.update({alias.name: file[alias.name] for alias in node.names})
    return found


# The two implementations


def test_both_texts_have_the_same_files():
    assert set(files(TORCH)) - set(FILES) == set(FILES_ONLY_IN_TORCH)
    assert set(files(JAX)) - set(files(TORCH)) == set(FILES_ONLY_IN_JAX)
    assert "network.py" in FILES


@pytest.mark.parametrize("file", FILES)
def test_both_texts_have_the_same_public_names_which_take_and_return_and_say_the_same(file):
    jax, torch = both(file)
    assert [(name, x.kind) for name, x in jax.items()] == [(n, x.kind) for n, x in torch.items()]
    for name, item in jax.items():
        other = torch[name]
        assert item.value == other.value, name
        assert (item.parameters != other.parameters) == ((file, name) in OTHER_PARAMETERS), name
        assert (item.docstring != other.docstring) == ((file, name) in OTHER_DOCSTRING), name


def test_every_exception_is_of_a_name_that_is_there():
    for table, text, other in (
        (OTHER_PARAMETERS, JAX, None),
        (OTHER_DOCSTRING, JAX, None),
        (ONLY_IN_TORCH, TORCH, JAX),
        (ONLY_IN_JAX, JAX, TORCH),
    ):
        for file, name in table:
            assert name in items(f"{text}/{file}")
            assert not other or name not in items(f"{other}/{file}")


@pytest.mark.parametrize("file", OTHER_LINES)
def test_both_texts_read_the_same_line_by_line(file):
    jax, torch = lines(f"{JAX}/{file}"), lines(f"{TORCH}/{file}")
    other = {name for name in jax.keys() & torch.keys() if jax[name] != torch[name]}
    assert other == OTHER_LINES[file]


def test_both_packages_offer_the_same_names_in_the_same_order():
    assert list(offered(JAX)) == list(offered(TORCH))


@pytest.mark.parametrize("package", [JAX, TORCH, "reference"])
def test_a_package_offers_its_names_in_data_flow_order(package):
    """No file imports of one that comes later, and the names of a file stand in its order."""
    imports = [n for n in parse(f"{package}/__init__.py").body if isinstance(n, ast.ImportFrom)]
    modules = [str(node.module) for node in imports]
    assert modules[0] == "device"
    for node, module in zip(imports, modules, strict=True):
        file = f"{package}/{module.replace('.', '/')}.py"
        names = [alias.name for alias in node.names]
        assert names == [name for name in items(file) if name in names]
        later = modules[modules.index(module) :]
        for other in parse(file).body:
            assert not isinstance(other, ast.ImportFrom) or other.module not in later


# The protocol


@pytest.mark.parametrize("package", [JAX, TORCH])
def test_a_package_offers_the_whole_protocol_with_its_parameters(package):
    names = offered(package)
    assert {name: names[name].names for name in protocol()} == protocol()
    assert names.keys() - protocol().keys() == set(BEYOND_PROTOCOL)


def test_the_names_of_the_protocol_are_those_of_its_parts():
    assert sorted(NAMES) == sorted(protocol())


def test_the_essential_names_let_more_than_fifty_checks_apply():
    needs = [check.needs for check in all_checks().values() if not check.full]
    judged = [all(set(need.split("|")) & set(ESSENTIAL) for need in each) for each in needs]
    assert len(ESSENTIAL) == 8
    assert sum(judged) > 50


# The reference


def test_the_reference_offers_the_protocol_with_its_parameters():
    names = offered("reference")
    assert protocol().keys() - names.keys() == set(NOT_IN_REFERENCE)
    for name in protocol().keys() & names.keys():
        assert names[name].names == protocol()[name], name


def test_the_reference_heads_its_functions_as_the_implementations_do():
    here, there = offered("reference"), offered(JAX)
    headlines = {
        name: [(item.docstring or "").split("\n")[0] for item in (here[name], there[name])]
        for name in here.keys() & there.keys()
    }
    other = {name for name, (ours, theirs) in headlines.items() if ours != theirs}
    assert other == set(OTHER_HEADLINE)


def test_the_reference_loss_has_the_fields_of_the_shared_record():
    assert reference.Loss._fields == types.Loss._fields
