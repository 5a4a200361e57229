"""Probe: a subject in one dtype, called with NumPy arrays and returning NumPy arrays."""

import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar, cast

import numpy as np

import reference
from impls.common.config import Config
from impls.common.dtypes import as_dtype
from impls.common.errors import NotInstalledError
from verify.cases import Array, Case
from verify.golden import GoldenCase, GoldenTraining
from verify.registry import NotApplicable
from verify.subjects import PROTOCOL, TRANSFER, offers

Answer = TypeVar("Answer")
OF_THEIR_OWN_DTYPE = ("device_draws",)  # float32 in a float64 run too


@dataclass(frozen=True)
class Host:
    """Argument passed on as it is, neither cast nor put on the device: loaded parameters, times."""

    value: Any


class Probe:
    """Subject in one dtype, with its problems (cases, golden cases, golden training).

    `call` casts floating NumPy arrays to the dtype, puts them on the subject's device, calls one
    function of the protocol and gets the result back as NumPy arrays.
    """

    def __init__(
        self,
        subject: ModuleType,
        dtype: Any,
        cases: tuple[Case, ...],
        golden: tuple[GoldenCase, ...] = (),
        trainings: tuple[GoldenTraining, ...] = (),
    ) -> None:
        self.dtype, self.cases = dtype, cases
        self.golden, self.trainings = golden, trainings
        self.returned: set[str] = set()  # functions that were called and returned, see `once`
        self.other_dtypes: dict[str, str] = {}  # function -> the dtype it returned, if not ours
        self.subject: Any = _Watched(subject, self.returned)
        self.file: str | None = vars(subject).get("__file__")
        self._offers = frozenset(offers(subject))
        self._answers: dict[Any, tuple[Any, frozenset[str]]] = {}
        self._kept: list[Any] = []  # what ids in keys of _answers belong to
        self._steppers: dict[Config, Callable[..., Any]] = {}

    def offers(self, name: str) -> bool:
        """Whether the subject has this name of the protocol."""
        return name in self._offers

    def call(self, name: str, *args: Any) -> Any:
        """Result of one function of the protocol, NumPy in and NumPy out."""
        answer = self.subject.get(getattr(self.subject, name)(*map(self._put, args)))
        self._notice_dtype(name, answer)
        return answer

    def once(self, key: tuple[Any, ...], make: Callable[[], Answer]) -> Answer:
        """Result of `make()`, cached by key; functions it called count as called each time."""
        if key not in self._answers:
            before = set(self.returned)
            self.returned.clear()
            try:
                answer = make()
                self._answers[key] = answer, frozenset(self.returned)
            finally:
                self.returned |= before
        kept, called = self._answers[key]
        self.returned |= called
        return cast(Answer, kept)

    def load(self, config: Config, canonical: dict[str, Array]) -> Host:
        """Canonical parameters, cast and loaded into the subject's own form."""
        return Host(self.subject.load_params(config, as_dtype(canonical, self.dtype)))

    def load_weights(self, function: str, weights: Any) -> Host:
        """Autoencoder or Inception with cast tensors, loaded by this function of the subject."""
        cast = weights._replace(tensors=as_dtype(weights.tensors, self.dtype))
        try:
            return Host(getattr(self.subject, function)(cast))
        except NotInstalledError as error:
            raise NotApplicable(str(error)) from error

    def params(self, case: Case) -> Host:
        """Loaded parameters of a case, cached."""
        return self.once(("params", self._id(case)), lambda: self.load(case.config, case.params))

    def loss(self, case: Case) -> Any:
        """The subject's Loss of a case, cached: from loss_and_gradient, or else from loss."""
        if self.offers("loss_and_gradient") and self.offers("export_params"):
            return self.step(case)[0]
        arguments = (case.config, self.params(case), case.batch, case.draws)
        return self.once(("loss", self._id(case)), lambda: self.call("loss", *arguments))

    def step(self, case: Case) -> tuple[Any, dict[str, Array]]:
        """The subject's loss and gradient of a case, cached: (Loss, canonical name -> gradient)."""
        return self.once(("step", self._id(case)), functools.partial(self._step, case))

    def _step(self, case: Case) -> tuple[Any, dict[str, Array]]:
        inputs = map(self._put, (case.batch, case.draws))
        scheduled = {} if case.steps_made is None else {"step": case.steps_made}
        params = self.params(case).value
        loss, gradient = self.subject.loss_and_gradient(case.config, params, *inputs, **scheduled)
        exported = self.subject.export_params(case.config, gradient)
        loss = self.subject.get(loss)
        self._notice_dtype("loss_and_gradient", (loss, exported))
        return loss, exported

    def activations(self, case: Case, *inputs: Array) -> dict[str, Array]:
        """The subject's activations of a case, cached."""
        arguments = (case.config, self.params(case), *inputs)
        return self.once(
            ("activations", self._id(case)), lambda: self.call("activations", *arguments)
        )

    def trained(
        self, training: GoldenTraining | Case, train: Callable[..., Any], *args: Any
    ) -> Any:
        """Result of `train(self, training, *args)`, cached."""
        return self.once((train, self._id(training), args), lambda: train(self, training, *args))

    def stepper(self, config: Config) -> Callable[..., tuple[Any, Any]]:
        """Training step as the subject's loop makes it, compiled once if the subject compiles.

        Returns:
            A function of state, batch and draws: the state after, and Metrics, else the Loss.
        """
        if not self.offers("compile_step"):
            return functools.partial(self.subject.train_step, config)
        made: Callable[..., Any] = self.once(
            ("stepper", config), lambda: self.subject.compile_step(config)
        )
        return made

    def require(self, dtype: Any, reason: str) -> None:
        """Raise NotApplicable in the other dtype."""
        if self.dtype != dtype:
            raise NotApplicable(reason)

    def clear_caches(self) -> None:
        """Free the subject's compiled programs; cached results, which are NumPy, are kept."""
        self._answers = {k: v for k, v in self._answers.items() if k[0] != "stepper"}
        if self.offers("clear_caches"):
            with contextlib.suppress(Exception):  # housekeeping, about which no check says anything
                self.subject.clear_caches()

    def _id(self, problem: Any) -> int:
        """Key of a problem, which is kept alive so that no other gets the same id."""
        self._kept.append(problem)
        return id(problem)

    def _notice_dtype(self, name: str, answer: Any) -> None:
        floating = [array.dtype for array in _arrays(answer) if array.dtype.kind == "f"]
        other = [str(dtype) for dtype in floating if dtype != self.dtype]
        if other and name not in OF_THEIR_OWN_DTYPE:
            self.other_dtypes[name] = other[0]

    def _put(self, argument: Any) -> Any:
        if isinstance(argument, Host):
            return argument.value
        if isinstance(argument, Config):
            return argument
        return self.subject.put(as_dtype(argument, self.dtype))


def arbiter() -> Probe:
    """Probe of the reference in float64, which every subject is compared with."""
    return Probe(reference, np.float64, ())


def both(one: Probe, name: str, *arguments: Any, other: Probe | None = None) -> tuple[Any, Any]:
    """Results of a subject and of another or the reference; a case stands for its parameters."""

    def answer(probe: Probe) -> Any:
        given = (probe.params(a) if isinstance(a, Case) else a for a in arguments)
        return probe.call(name, *given)

    return answer(one), answer(other or arbiter())


class _Watched:
    """Subject that records which functions of the protocol were called and returned."""

    def __init__(self, subject: ModuleType, returned: set[str]) -> None:
        self._subject, self._returned = subject, returned
        self.__name__ = subject.__name__

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._subject, name)
        if name not in PROTOCOL or name in TRANSFER or not callable(function):
            return function

        def watched(*args: Any, **named: Any) -> Any:
            answer = function(*args, **named)
            self._returned.add(name)
            return answer

        return watched


def _arrays(tree: Any) -> list[np.ndarray[Any, Any]]:
    """Arrays in nested tuples and dictionaries."""
    if isinstance(tree, dict):
        tree = tuple(tree.values())
    if isinstance(tree, tuple):
        return [array for node in tree for array in _arrays(node)]
    return [np.asarray(tree)] if isinstance(tree, np.ndarray | np.generic) else []
