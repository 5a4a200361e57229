"""A subject at one dtype, called with NumPy arrays and answering with NumPy arrays."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from impls.common.config import Config
from impls.common.errors import UserError
from impls.protocol import Implementation
from verify.cases import Array, Case, as_dtype
from verify.golden import GoldenCase, GoldenTraining
from verify.registry import NotApplicable

PROTOCOL = tuple(name for name in vars(Implementation) if not name.startswith("_"))


class SubjectError(UserError):
    """A subject that cannot be used; the message is one sentence for the user."""


class NotInstalled(SubjectError):
    """The subject is fine, but a package that it imports is not installed."""


@dataclass(frozen=True)
class Host:
    """An argument that does not cross the border: loaded parameters, a tuple of times."""

    value: Any


class Probe:
    """A subject at one dtype, with the problems to put it through.

    `call` casts floating NumPy arrays to the dtype, puts them on the subject's device, calls one
    function of the protocol and gets the answer back as NumPy arrays.
    """

    def __init__(
        self,
        subject: ModuleType,
        dtype: Any,
        cases: tuple[Case, ...],
        golden: tuple[GoldenCase, ...] = (),
        trainings: tuple[GoldenTraining, ...] = (),
    ) -> None:
        self.subject, self.dtype, self.cases = subject, dtype, cases
        self.golden, self.trainings = golden, trainings
        self._params: dict[int, Any] = {}
        self._activations: dict[int, dict[str, Array]] = {}
        self._trained: dict[Any, Any] = {}
        self._steppers: dict[Config, Callable[..., Any]] = {}
        self._steps: dict[int, tuple[Any, dict[str, Array]]] = {}

    def offers(self, name: str) -> bool:
        """Whether the subject has this name of the protocol."""
        return callable(getattr(self.subject, name, None))

    def call(self, name: str, *args: Any) -> Any:
        """One function of the protocol, NumPy in and NumPy out."""
        return self.subject.get(getattr(self.subject, name)(*map(self._cross, args)))

    def load(self, config: Config, canonical: dict[str, Array]) -> Host:
        """Canonical parameters, cast and loaded into the subject's own form."""
        return Host(self.subject.load_params(config, as_dtype(canonical, self.dtype)))

    def params(self, case: Case) -> Host:
        """The loaded parameters of a case, once."""
        if id(case) not in self._params:
            self._params[id(case)] = self.load(case.config, case.params)
        return Host(self._params[id(case)].value)

    def step(self, case: Case) -> tuple[Any, dict[str, Array]]:
        """The subject's loss and gradient of a case, once: (Loss, canonical name -> gradient)."""
        if id(case) not in self._steps:
            arguments = map(self._cross, (case.batch, case.draws))
            loss, gradient = self.subject.loss_and_gradient(
                case.config, self.params(case).value, *arguments
            )
            exported = self.subject.export_params(case.config, gradient)
            self._steps[id(case)] = (self.subject.get(loss), exported)
        return self._steps[id(case)]

    def activations(self, case: Case, *inputs: Array) -> dict[str, Array]:
        """The subject's activations of a case, once."""
        if id(case) not in self._activations:
            found = self.call("activations", case.config, self.params(case), *inputs)
            self._activations[id(case)] = found
        return self._activations[id(case)]

    def trained(
        self, training: GoldenTraining | Case, train: Callable[..., Any], *args: Any
    ) -> Any:
        """The result of `train(self, training, *args)`, once."""
        key = (id(training), train, args)
        if key not in self._trained:
            self._trained[key] = train(self, training, *args)
        return self._trained[key]

    def stepper(self, config: Config) -> Callable[..., tuple[Any, Any]]:
        """One training step as the subject's loop makes it, compiled once where it compiles.

        Returns:
            A function of state, batch and draws: the state after, and Metrics, else the Loss.
        """
        if config not in self._steppers:
            step = functools.partial(self.subject.train_step, config)
            offered = self.offers("compile_step")
            self._steppers[config] = self.subject.compile_step(config) if offered else step
        return self._steppers[config]

    def require(self, dtype: Any, reason: str) -> None:
        """Declare a check not applicable in the other dtype."""
        if self.dtype != dtype:
            raise NotApplicable(reason)

    def _cross(self, argument: Any) -> Any:
        if isinstance(argument, Host):
            return argument.value
        if isinstance(argument, Config):
            return argument
        return self.subject.put(as_dtype(argument, self.dtype))


def load_subject(name: str) -> ModuleType:
    """Import a subject by module name, also from the current folder.

    Raises:
        NotInstalled: when a package that the subject imports is missing.
        SubjectError: when there is no such module, or it offers nothing of the protocol.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            raise SubjectError(
                f"there is no subject {name}: give a module name such as impls.meanflow_jax,"
                " importable from here"
            ) from error
        raise NotInstalled(f"{name} needs the package {missing}, which is not installed") from error
    except (Exception, SystemExit) as error:  # the module may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise SubjectError(f"the subject {name} cannot be imported: {reason}") from error
    offered = [function for function in PROTOCOL if hasattr(module, function)]
    if not {"put", "get"} <= set(offered) or len(offered) < 3:
        raise SubjectError(
            f"{name} is not a subject: it must offer put, get and functions of impls/protocol.py"
        )
    return module
