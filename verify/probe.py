"""A subject at one dtype, called with NumPy arrays and answering with NumPy arrays."""

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
from verify.subjects import BORDER, PROTOCOL, offers

Answer = TypeVar("Answer")
OF_THEIR_OWN_DTYPE = ("device_draws",)  # float32 in a float64 run too


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
        """One function of the protocol, NumPy in and NumPy out."""
        answer = self.subject.get(getattr(self.subject, name)(*map(self._cross, args)))
        self._notice_dtype(name, answer)
        return answer

    def once(self, key: tuple[Any, ...], make: Callable[[], Answer]) -> Answer:
        """`make()`, once for each key; what was called then counts as called again."""
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
        """An autoencoder or Inception, its tensors cast, loaded by this function of the subject."""
        cast = weights._replace(tensors=as_dtype(weights.tensors, self.dtype))
        try:
            return Host(getattr(self.subject, function)(cast))
        except NotInstalledError as error:
            raise NotApplicable(str(error)) from error

    def params(self, case: Case) -> Host:
        """The loaded parameters of a case, once."""
        return self.once(("params", self._id(case)), lambda: self.load(case.config, case.params))

    def loss(self, case: Case) -> Any:
        """The subject's Loss of a case, once: of loss_and_gradient, or else of loss."""
        if self.offers("loss_and_gradient") and self.offers("export_params"):
            return self.step(case)[0]
        arguments = (case.config, self.params(case), case.batch, case.draws)
        return self.once(("loss", self._id(case)), lambda: self.call("loss", *arguments))

    def step(self, case: Case) -> tuple[Any, dict[str, Array]]:
        """The subject's loss and gradient of a case, once: (Loss, canonical name -> gradient)."""
        return self.once(("step", self._id(case)), functools.partial(self._step, case))

    def _step(self, case: Case) -> tuple[Any, dict[str, Array]]:
        inputs = map(self._cross, (case.batch, case.draws))
        scheduled = {} if case.steps_made is None else {"step": case.steps_made}
        params = self.params(case).value
        loss, gradient = self.subject.loss_and_gradient(case.config, params, *inputs, **scheduled)
        exported = self.subject.export_params(case.config, gradient)
        loss = self.subject.get(loss)
        self._notice_dtype("loss_and_gradient", (loss, exported))
        return loss, exported

    def activations(self, case: Case, *inputs: Array) -> dict[str, Array]:
        """The subject's activations of a case, once."""
        arguments = (case.config, self.params(case), *inputs)
        return self.once(
            ("activations", self._id(case)), lambda: self.call("activations", *arguments)
        )

    def trained(
        self, training: GoldenTraining | Case, train: Callable[..., Any], *args: Any
    ) -> Any:
        """The result of `train(self, training, *args)`, once."""
        return self.once((train, self._id(training), args), lambda: train(self, training, *args))

    def stepper(self, config: Config) -> Callable[..., tuple[Any, Any]]:
        """One training step as the subject's loop makes it, compiled once where it compiles.

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
        """Declare a check not applicable in the other dtype."""
        if self.dtype != dtype:
            raise NotApplicable(reason)

    def clear_caches(self) -> None:
        """Drop what the subject has compiled; answers, which are NumPy arrays, are kept."""
        self._answers = {k: v for k, v in self._answers.items() if k[0] != "stepper"}
        if self.offers("clear_caches"):
            with contextlib.suppress(Exception):  # housekeeping, about which no check says anything
                self.subject.clear_caches()

    def _id(self, problem: Any) -> int:
        """A key for a problem, which is kept alive so that no other gets the same."""
        self._kept.append(problem)
        return id(problem)

    def _notice_dtype(self, name: str, answer: Any) -> None:
        floating = [array.dtype for array in _arrays(answer) if array.dtype.kind == "f"]
        other = [str(dtype) for dtype in floating if dtype != self.dtype]
        if other and name not in OF_THEIR_OWN_DTYPE:
            self.other_dtypes[name] = other[0]

    def _cross(self, argument: Any) -> Any:
        if isinstance(argument, Host):
            return argument.value
        if isinstance(argument, Config):
            return argument
        return self.subject.put(as_dtype(argument, self.dtype))


def arbiter() -> Probe:
    """The reference in float64."""
    return Probe(reference, np.float64, ())


def both(one: Probe, name: str, *arguments: Any, other: Probe | None = None) -> tuple[Any, Any]:
    """What a subject and another, or the arbiter, answer; a case stands for its parameters."""

    def answer(probe: Probe) -> Any:
        given = (probe.params(a) if isinstance(a, Case) else a for a in arguments)
        return probe.call(name, *given)

    return answer(one), answer(other or arbiter())


class _Watched:
    """A subject whose functions of the protocol note that they were called and returned."""

    def __init__(self, subject: ModuleType, returned: set[str]) -> None:
        self._subject, self._returned = subject, returned
        self.__name__ = subject.__name__

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._subject, name)
        if name not in PROTOCOL or name in BORDER or not callable(function):
            return function

        def watched(*args: Any, **named: Any) -> Any:
            answer = function(*args, **named)
            self._returned.add(name)
            return answer

        return watched


def _arrays(tree: Any) -> list[np.ndarray[Any, Any]]:
    """The arrays in nested tuples and dictionaries."""
    if isinstance(tree, dict):
        tree = tuple(tree.values())
    if isinstance(tree, tuple):
        return [array for node in tree for array in _arrays(node)]
    return [np.asarray(tree)] if isinstance(tree, np.ndarray | np.generic) else []
