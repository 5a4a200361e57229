"""Plant one bug in a copy of a subject, so that the arbiter and the original stay intact."""

import importlib
import importlib.util
import itertools
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType

from verify.cases import cases
from verify.checks import all_checks

ROOT = Path(__file__).parent.parent.parent
SHARED = "impls"  # what both texts share is altered in place
SUBJECTS = {"reference": "", "impls/meanflow_jax": "jax", "impls/meanflow_torch": "torch"}

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Mutant:
    """A bug: one place of one file, and the checks that must fail because of it."""

    name: str  # a sentence that should be false
    package: str  # folder of the package: one of SUBJECTS, or SHARED
    file: str  # the file in it
    old: str  # the text there, which occurs once
    new: str  # what stands there instead
    caught_by: tuple[str, ...]  # names of checks
    dtype: str = "float64"  # where it shows

    @property
    def framework(self) -> str:
        """The package that must be installed to plant it; nothing for NumPy."""
        return "torch" if self.package == SHARED else SUBJECTS[self.package]

    @property
    def subject(self) -> str:
        """The module that carries the bug; for shared code, one that uses it."""
        return "impls.meanflow_torch" if self.package == SHARED else self.package.replace("/", ".")

    def source(self) -> str:
        """The file with the bug.

        Raises:
            ValueError: unless the old text occurs exactly once.
        """
        text = (ROOT / self.package / self.file).read_text(encoding="utf-8")
        count = text.count(self.old)
        if count != 1:
            raise ValueError(
                f"the mutant '{self.name}' looks for a text that occurs {count} times in"
                f" {self.package}/{self.file}, expected once: {self.old!r}"
            )
        return text.replace(self.old, self.new)


def mutants(text: str) -> tuple[Mutant, ...]:
    """Mutants from paragraphs: a name, the lines there (-), those instead (+), who catches it (>).

    A line `@ package/file dtype` stands before those of another file; float64 may be left out.
    Lines that begin with # are comments.
    """
    found = []
    for paragraph in text.strip().split("\n\n"):
        lines = [line for line in paragraph.splitlines() if not line.startswith("#")]
        if lines[0].startswith("@ "):
            path, *dtype = lines.pop(0)[2:].split()
            package = next(
                folder for folder in (*SUBJECTS, SHARED) if path.startswith(f"{folder}/")
            )
        name, *rest = lines
        old, new, checks = (
            "\n".join(line[2:] for line in rest if line.startswith(sign)) for sign in "-+>"
        )
        file = path.removeprefix(f"{package}/")
        found.append(Mutant(name, package, file, old, new, tuple(checks.split()), *dtype))
    return tuple(found)


def planted(mutant: Mutant) -> AbstractContextManager[ModuleType]:
    """A subject with the bug in it, for the time of the context."""
    if mutant.package == SHARED:
        return _in_place(mutant)
    return altered(mutant.package, mutant.file, mutant.source())


@contextmanager
def altered(package: str, file: str, source: str) -> Iterator[ModuleType]:
    """A copy of a package with another text for one file, imported under a name of its own.

    Packages import their own modules relatively, so nothing of the original is touched.
    """
    name = f"altered_{next(_numbers)}_{Path(package).name}"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / name
        shutil.copytree(ROOT / package, copy, ignore=shutil.ignore_patterns("__pycache__", "*.npz"))
        (copy / file).write_text(source, encoding="utf-8")
        try:
            yield _import(name, copy / "__init__.py")
        finally:
            for loaded in [key for key in sys.modules if key.split(".")[0] == name]:
                del sys.modules[loaded]


@contextmanager
def _in_place(mutant: Mutant) -> Iterator[ModuleType]:
    """Shared code is called by the checks themselves, so the bug stands in for the original."""
    all_checks()  # the checks import functions by name: the original ones
    for case in cases():  # computed on demand and kept: before the bug is there
        _ = case.step, case.stages, case.inputs
    subject = importlib.import_module(mutant.subject)
    dotted = ".".join(Path(mutant.file).with_suffix("").parts)
    original = vars(importlib.import_module(f"impls.{dotted}"))
    before = dict(original)
    functions = {k: f.__code__ for k, f in before.items() if isinstance(f, FunctionType)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(mutant.file).name
        path.write_text(mutant.source(), encoding="utf-8")
        name = f"altered_{next(_numbers)}_{path.stem}"
        try:
            bad = vars(_import(name, path))
            original.update({key: bad[key] for key in before if not key.startswith("__")})
            for key in functions:  # also where they were imported by name
                before[key].__code__ = bad[key].__code__
            yield subject
        finally:
            original.update(before)
            for key, code in functions.items():
                before[key].__code__ = code
            sys.modules.pop(name, None)


def _import(name: str, path: Path) -> ModuleType:
    folders = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=folders)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
