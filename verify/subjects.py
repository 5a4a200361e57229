"""Import of subjects by name, and the functions of the protocol that they offer."""

import ast
import difflib
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from impls import protocol
from impls.common.errors import UserError
from verify.outcome import Subject

PROTOCOL = protocol.NAMES
# Functions that move arrays to and from the device: any module may import them; not checked.
TRANSFER = ("put", "get", "sync", "select_device", "device_name", "clear_caches")
ROOT = Path(__file__).parent.parent
OURS = ("impls", "reference", "verify", "bench", "results")  # packages that a subject may shadow
IMPLEMENTATIONS = ("impls", "reference")
NEAR = 0.8  # similarity from which a name counts as misspelt


class SubjectError(UserError):
    """Subject that cannot be used; the message is one sentence for the user."""


class NotInstalled(SubjectError):
    """Subject that imports a package which is not installed."""


def load_subject(name: str) -> ModuleType:
    """Subject imported by module name (also from the current folder) or by the path of its file.

    Raises:
        NotInstalled: when a package that the subject imports is missing.
        SubjectError: when there is no such module, when it offers no function of the protocol, or
            when it imports a module of its own with the name of one of this project's packages.
    """
    if name.endswith(".py"):
        folder, name = _module_of(Path(name))
    else:
        folder = Path.cwd()
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    _refuse_shadows(name, folder)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            raise SubjectError(
                f"there is no subject {name}: give a module name such as impls.meanflow_jax,"
                " importable from here, or the path of a file"
            ) from error
        raise NotInstalled(f"{name} needs the package {missing}, which is not installed") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the module may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise SubjectError(f"the subject {name} cannot be imported: {reason}") from error
    offered = [function for function in PROTOCOL if hasattr(module, function)]
    if not {"put", "get"} <= set(offered) or len(offered) < 3:
        raise SubjectError(
            f"{name} is not a subject: it must offer put, get and functions of impls/protocol.py"
        )
    return module


def load_subjects(
    names: Sequence[str], skip_missing: bool
) -> tuple[list[tuple[str, ModuleType]], tuple[str, ...]]:
    """Subjects as (name, module), and a sentence for each that was left out.

    Raises:
        UserError: when one cannot be used, or none is installed.
    """
    modules, missing = [], []
    for name in names:
        try:
            module = load_subject(name)
            modules.append((module.__name__, module))
        except NotInstalled as error:
            if not skip_missing:
                raise
            missing.append(str(error))
    if missing and not modules:
        raise UserError(
            "; ".join(missing) + ': install one with pip install -e ".[jax]" or ".[torch]"'
        )
    return modules, tuple(f"not checked: {line}" for line in missing)


def offers(module: ModuleType) -> tuple[str, ...]:
    """Functions of the protocol that the subject implements, in the protocol's order.

    A function that somebody else's module merely imports from impls or reference does not count,
    except those that move arrays to and from the device.
    """
    found = (name for name in PROTOCOL if callable(getattr(module, name, None)))
    return tuple(name for name in found if name in TRANSFER or not _is_borrowed(module, name))


def describe(name: str, module: ModuleType) -> Subject:
    """Description of a subject, with a sentence for each name that seems to be a mistake."""
    own = offers(module)
    borrowed = [
        f"{name}: {function} is imported from {getattr(module, function).__module__}: not checked"
        for function in PROTOCOL
        if function not in own and callable(getattr(module, function, None))
    ]
    lacking = [function for function in PROTOCOL if not hasattr(module, function)]
    misspelt = []
    for other in (word for word in dir(module) if not word.startswith("_")):
        near = difflib.get_close_matches(other, lacking, 1, NEAR) if other not in PROTOCOL else []
        if near and callable(getattr(module, other)):
            misspelt.append(f"{name}: {other} is not in the protocol; did you mean {near[0]}?")
    return Subject(name, own, (*borrowed, *misspelt), str(vars(module).get("__file__") or ""))


def _is_borrowed(module: ModuleType, name: str) -> bool:
    home = str(getattr(getattr(module, name), "__module__", "") or "")
    ours = home.split(".", maxsplit=1)[0] in IMPLEMENTATIONS
    return ours and module.__name__.split(".")[0] not in IMPLEMENTATIONS


def _module_of(file: Path) -> tuple[Path, str]:
    """Folder to import a Python file from, and its dotted module name there."""
    if not file.is_file():
        raise SubjectError(f"there is no subject {file}: no such file")
    folder, parts = file.resolve().parent, [file.stem]
    while (folder / "__init__.py").exists():
        folder, parts = folder.parent, [folder.name, *parts]
    name = ".".join(parts).removesuffix(".__init__")
    loaded = sys.modules.get(name)
    at = getattr(loaded, "__file__", None)
    if loaded and (at is None or Path(at).resolve() != file.resolve()):
        raise SubjectError(f"{file} has the name of the module {name} of {at}: give it another")
    return folder, name


def _refuse_shadows(name: str, folder: Path) -> None:
    """Refuse a subject that imports its own `results`, `bench`, …, names that this project uses.

    One process cannot import both by one name. The subject's file is read, and the files that it
    imports from its folder, imports within functions included.
    """
    folder = folder.resolve()
    if folder == ROOT:
        return
    waiting, seen = [_file_of(folder, name)], set()
    while waiting:
        file = waiting.pop()
        if file is None or file in seen:
            continue
        seen.add(file)
        for imported in _imports(file, folder):
            top = imported.split(".")[0]
            theirs = _file_of(folder, top)
            if top in OURS and theirs:
                raise SubjectError(
                    f"{file} imports {top}, which is {theirs} there and {ROOT / top} here: one"
                    f" process cannot import both, so give {theirs.name} another name"
                )
            waiting.append(_file_of(folder, imported))


def _file_of(folder: Path, name: str) -> Path | None:
    """Source file of a dotted module name below a folder."""
    path = folder.joinpath(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    has_code = path.is_dir() and any(path.glob("*.py"))
    return path if has_code else None


def _imports(file: Path, folder: Path) -> list[str]:
    """Modules that a file imports, named relative to the folder; none if it cannot be parsed."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = file.parent.relative_to(folder).parts if node.level else ()
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join((*above, *filter(None, [node.module])))
            found += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return found
