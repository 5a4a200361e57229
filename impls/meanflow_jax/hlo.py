"""Reader of a compiled program (optimised HLO): FLOPs and bytes, each loop as often as it runs.

XLA's own analysis counts the body of a loop once. `times_run` says what the whole program does for
each unit that XLA counts: what lies outside of loops and trip count times body, over that sum with
every body once. Bytes are counted by XLA's rules: what an instruction reads and writes in memory,
padded to the tiles of its layout; a fusion reads of an operand only the slices that it uses.
"""

import math
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

_BYTES = {
    "pred": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "bf16": 2, "f16": 2, "s32": 4, "u32": 4,
    "f32": 4, "s64": 8, "u64": 8, "f64": 8, "c64": 8, "c128": 16,
}  # fmt: skip
_SHAPE = re.compile(rf"\b({'|'.join(_BYTES)})\[([\d,]*)\](?:\{{([\d,]*)(?::([^}}]*))?\}})?")
_COMPUTATION = re.compile(r"^(ENTRY )?%([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s*(ROOT )?%([\w.\-]+) = (.*)$")
_INTEGER = re.compile(r"[su]\d+\[\]")
_REFERENCE = re.compile(r"%([\w.\-]+)")
# They move nothing: XLA counts them as 0 too.
_FREE = {
    "parameter", "constant", "get-tuple-element", "tuple", "bitcast", "after-all", "custom-call",
    "while", "conditional", "call", "opt-barrier", "partition-id", "replica-id",
}  # fmt: skip
# They compute nothing.
_MOVES = {
    "copy", "reshape", "transpose", "broadcast", "iota", "concatenate", "pad", "slice",
    "dynamic-slice", "dynamic-update-slice", "gather", "reverse", "copy-start", "copy-done",
    "slice-start", "slice-done", "convert",
}  # fmt: skip
_SLICES = ("slice", "dynamic-slice", "gather")
# Reads and writes of a copy or a slice that runs beside the computation, its two ends together.
_ASYNCHRONOUS = {"copy-done": 4, "slice-done": 3}


class Times(NamedTuple):
    """What a whole program does for each unit that XLA counts, which is 1 without loops."""

    flops: float
    bytes: float


class _Shape(NamedTuple):
    """One array of a type."""

    dims: tuple[int, ...]
    num_bytes: int  # with padding


@dataclass
class _Instruction:
    is_root: bool
    name: str
    type: str
    op: str
    raw: str  # between the parentheses
    attributes: str

    @cached_property
    def operands(self) -> list[str]:
        return _REFERENCE.findall(self.raw)

    @cached_property
    def shapes(self) -> list[_Shape]:
        return [_shape(match) for match in _SHAPE.finditer(self.type)]

    @property
    def num_bytes(self) -> int:
        return sum(shape.num_bytes for shape in self.shapes)

    def named(self, attribute: str) -> str:
        """Computation that an attribute names, or ""."""
        match = re.search(rf"\b{attribute}=%([\w.\-]+)", self.attributes)
        return match[1] if match else ""

    def numbers(self, attribute: str) -> list[int]:
        """Numbers in an attribute such as lhs_contracting_dims={1}."""
        match = re.search(rf"\b{attribute}=\{{([\d,]*)\}}", self.attributes)
        return [int(number) for number in match[1].split(",") if number] if match else []


_Computation = dict[str, _Instruction]


@dataclass
class Program:
    """Computations of a module in text form, by name."""

    entry: str = ""
    computations: dict[str, _Computation] = field(default_factory=dict)

    def times_run(self) -> Times:
        """Work of the whole program over that with each body of a loop once.

        Raises:
            ValueError: for a loop whose number of iterations is not in the text.
        """
        once, whole = [0.0, 0.0], [0.0, 0.0]
        for name, times in self._visits(self.entry, 1):
            for kind, work in enumerate((self._flops(name), self._bytes(name))):
                once[kind] += work
                whole[kind] += times * work
        return Times(*(b / a if a else 1.0 for a, b in zip(once, whole, strict=True)))

    def _visits(self, name: str, times: int) -> list[tuple[str, int]]:
        """Computations that run by themselves, with how often: the entry and bodies of loops."""
        found = [(name, times)]
        for instruction in self.computations[name].values():
            if instruction.op == "while":
                body = instruction.named("body")
                found += self._visits(body, times * self._trip_count(instruction))
            elif instruction.op == "call":
                found += self._visits(instruction.named("to_apply"), times)
        return found

    def _trip_count(self, loop: _Instruction) -> int:
        """Iterations of a loop: as XLA found it, or what its condition compares with."""
        if match := re.search(r'"known_trip_count":\{"n":"(\d+)"', loop.attributes):
            return int(match[1])
        condition = self.computations[loop.named("condition")].values()
        constants = [x.raw for x in condition if x.op == "constant" and _INTEGER.match(x.type)]
        limits = [raw for raw in constants if raw != "0"]  # upper half of 64 bits on a TPU
        if len(limits) != 1:
            raise ValueError(f"the loop {loop.name} has no known number of iterations")
        return int(limits[0])

    def _flops(self, name: str) -> float:
        """FLOPs of a computation and of those that it calls, but for loops.

        Products count two for each multiplication and addition, all else one for each element.
        """
        body, total = self.computations[name], 0.0
        for instruction in body.values():
            if instruction.op == "dot":
                total += _dot_flops(body, instruction)
            elif instruction.op == "convolution":
                total += _convolution_flops(body, instruction)
            elif instruction.op == "fusion":
                total += self._flops(instruction.named("calls"))
            elif instruction.op not in _FREE | _MOVES:
                total += sum(math.prod(shape.dims) for shape in instruction.shapes)
        return total

    def _bytes(self, name: str) -> float:
        """Bytes that a computation reads and writes, but for loops."""
        body = self.computations[name]
        return sum(self._moved(body, instruction) for instruction in body.values())

    def _moved(self, body: _Computation, instruction: _Instruction) -> int:
        op, result = instruction.op, instruction.num_bytes
        if op in _ASYNCHRONOUS:
            return _ASYNCHRONOUS[op] * result
        if op in _FREE or op.endswith(("-start", "-done")):
            return 0
        if op == "fusion":
            reads, written = self._fusion(instruction.named("calls"))
            return sum(reads.values()) + written
        if op in _SLICES:
            return 2 * result
        if op == "dynamic-update-slice":
            return 2 * body[instruction.operands[1]].num_bytes
        return result + sum(body[name].num_bytes for name in instruction.operands if name in body)

    def _fusion(self, name: str) -> tuple[dict[int, int], int]:
        """Bytes that a fusion reads of each parameter, and those that it writes."""
        body = self.computations[name]
        users: defaultdict[str, list[tuple[int, _Instruction]]] = defaultdict(list)
        for instruction in body.values():
            for place, operand in enumerate(instruction.operands):
                users[operand].append((place, instruction))

        def read(instruction: _Instruction) -> int:
            whole, total = instruction.num_bytes, 0
            if instruction.is_root:
                return whole
            for place, user in users[instruction.name]:
                if user.op in _SLICES and place == 0:
                    total += user.num_bytes
                elif user.op == "bitcast":
                    total += read(user)
                elif user.op == "fusion":
                    total += self._fusion(user.named("calls"))[0][place]
                elif not (user.op == "dynamic-update-slice" and place == 0):
                    return whole
            return min(total, whole)

        def written(instruction: _Instruction) -> int:
            if instruction.op == "tuple":
                return sum(written(body[name]) for name in instruction.operands)
            if instruction.op == "bitcast" and instruction.operands[0] in body:
                return written(body[instruction.operands[0]])
            if instruction.op == "fusion":
                return self._fusion(instruction.named("calls"))[1]
            if instruction.op == "dynamic-update-slice":
                return body[instruction.operands[1]].num_bytes
            return instruction.num_bytes

        reads = {int(x.raw): read(x) for x in body.values() if x.op == "parameter"}
        (root,) = (x for x in body.values() if x.is_root)
        return reads, written(root)


def program(text: str) -> Program:
    """Program of the text of an optimised module, as `compiled.as_text()` gives it."""
    found, body = Program(), {}
    for line in text.splitlines():
        if match := _COMPUTATION.match(line):
            body = found.computations[match[2]] = {}
            found.entry = match[2] if match[1] else found.entry
        elif match := _INSTRUCTION.match(line):
            kind, rest = _first(match[3])
            op, _, rest = rest.partition("(")
            raw, attributes = _first(f"({rest}")
            is_root, name = bool(match[1]), match[2]
            body[name] = _Instruction(is_root, name, kind, op, raw[1:-1], attributes)
    return found


def _first(text: str) -> tuple[str, str]:
    """First word of a text, which may be a parenthesis with others in it, and what follows."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter in "({[") - (letter in ")}]")
        if not depth and (letter == " " or text.startswith("(")):
            return text[: place + 1].rstrip(), text[place + 1 :].lstrip()
    return text, ""


def _shape(match: re.Match[str]) -> _Shape:
    """Array of a type such as f32[24,768]{1,0:T(8,128)}: the tile pads the minor axes."""
    kind, sizes, order, tiling = match.groups()
    dims = tuple(int(size) for size in sizes.split(",")) if sizes else ()
    padded = list(dims)
    if order and (tile := re.search(r"T\(([\d,]+)\)", tiling or "")):
        axes = (int(axis) for axis in order.split(","))
        for axis, size in zip(axes, reversed(tile[1].split(",")), strict=False):
            padded[axis] = -(-padded[axis] // int(size)) * int(size)
    return _Shape(dims, math.prod(padded) * _BYTES[kind])


def _dot_flops(body: _Computation, dot: _Instruction) -> float:
    """2 M N K of a (batched) matrix product."""
    left = body[dot.operands[0]].shapes[0].dims
    contracted = math.prod(left[axis] for axis in dot.numbers("lhs_contracting_dims"))
    return 2 * math.prod(dot.shapes[0].dims) * contracted


def _convolution_flops(body: _Computation, convolution: _Instruction) -> float:
    """FLOPs of a convolution, as which a TPU's compiler writes matrix products too.

    For each output 2 x input features x window positions that lie on an input; a batch axis of a
    product is a window of its own size, of which one position does.
    """
    left, right = (body[name].shapes[0].dims for name in convolution.operands[:2])
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", convolution.attributes)
    if labels is None:
        return 0.0
    features = right[labels[2].index("i")]
    out = convolution.shapes[0].dims
    window = re.search(r"window=\{([^}]*)\}", convolution.attributes)
    given = dict(part.split("=") for part in window[1].split()) if window else {}
    total = 2.0 * features * out[labels[3].index("b")] * out[labels[3].index("f")]
    for axis, size in enumerate(given.get("size", "").split("x") if given.get("size") else ()):
        of = {key: value.split("x")[axis] for key, value in given.items()}
        total *= _positions(
            left[labels[1].index(str(axis))],
            out[labels[3].index(str(axis))],
            int(size),
            stride=int(of.get("stride", 1)),
            low=int(of.get("pad", "0_0").split("_")[0]),
            spread=int(of.get("lhs_dilate", 1)),
            dilation=int(of.get("rhs_dilate", 1)),
        )
    return total


def _positions(
    num_in: int, num_out: int, size: int, stride: int, low: int, spread: int, dilation: int
) -> int:
    """Pairs of an output and a place of its window that lie on an input, along one axis."""
    places = (out * stride - low + k * dilation for out in range(num_out) for k in range(size))
    return sum(place % spread == 0 and 0 <= place // spread < num_in for place in places)
