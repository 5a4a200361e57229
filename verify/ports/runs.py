"""Runs of a port's loss, their rows pooled over the calls of the network and matched to images.

A port may split its batch into several calls, repeat it, or take one row at a time. Two runs with
one seed and other images tell which image a row came from, and the factor A of the image in it:

    z - z' = A (x - x')        (noise and times are the same in both)
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verify.ports import child
from verify.ports.observation import Array
from verify.ports.process import Port, PortError

# Relative, of float64 and float32 arrays; measured: 2e-14 and 2e-7, coefficients 1e-13 and 2e-5.
EXACT = {False: 1e-9, True: 2e-5}
NUM_CLASSES = 10


@dataclass
class Rows:
    """Rows of all calls of the network in one run of a loss; n of them, D pixels times channels."""

    call: NDArray[np.int64]  # [n], number of the call
    z: Array  # [n, D]
    t: Array  # [n]
    h: Array  # [n]
    label: NDArray[np.int64]  # [n], child.NO_LABEL where the call had none
    u: Array  # [n, D], the answer
    cotangent: Array  # [n, D], gradient of the loss at the answer, 0 where none came back
    head: Array | None  # [n, D], the second head, where the port takes one
    cotangent_head: Array | None
    has_tangent: NDArray[np.bool_]  # [n]
    tangent_z: Array  # [n, D]
    tangent_t: Array  # [n]
    tangent_h: Array  # [n]
    network: NDArray[np.int64]  # [n], 0 for the given one, else a copy of it
    theta: Array  # [n, 8]
    image: NDArray[np.int64]  # [n], which image; -1 where that is not known
    factor: Array  # [n], A


@dataclass
class Run:
    """One run of a loss."""

    name: str
    images: Array  # [batch, D]
    classes: NDArray[np.int64]  # [batch]
    loss: float
    losses: Array | None  # [batch]
    rows: Rows
    single: bool  # whether float32 numbers were among it
    labelled: bool  # whether the network was called with labels
    num_calls: int
    num_times: int  # that the network is given: 2, or 1
    matched: bool = False  # whether every row has its image, found by a paired run
    grad_theta: Array | None = None

    @property
    def exact(self) -> float:
        """Largest relative error of what is exact but for rounding."""
        return EXACT[self.single]

    @property
    def within(self) -> float:
        """Largest error of a coefficient, absolute where it is below 1."""
        return 10 * self.exact

    @property
    def batch(self) -> int:
        """Number of images."""
        return len(self.images)


def run(
    port: Port,
    name: str,
    seed: int,
    images_seed: int = 0,
    batch: int = 16,
    size: int = 8,
    gradient: bool = True,
    dtype: str = "float64",
    unlabelled: bool = False,
) -> Run:
    """Run a loss once.

    Raises:
        PortError: when the port raises, exits or hangs.
    """
    _, found = port.ask(
        op="loss",
        name=name,
        seed=seed,
        images_seed=images_seed,
        batch=batch,
        size=size,
        gradient=gradient,
        dtype=dtype,
        num_classes=NUM_CLASSES,
        unlabelled=unlabelled,
    )
    if not found:
        raise PortError("it gave no answer")
    each = calls(found)
    images = found["images"].reshape(batch, -1)
    losses = np.asarray(found["losses"], np.float64)
    pooled = _pool(each, images.shape[1])
    return Run(
        name,
        images,
        found["classes"],
        float(found["loss"]),
        losses.reshape(batch, -1).mean(1)
        if losses.size >= batch > 1 and losses.size % batch == 0
        else None,
        pooled,
        single=any(bool(call["single"]) for call in each) or found["loss"].dtype == np.float32,
        labelled=any(bool(call["labelled"]) for call in each),
        num_calls=len(each),
        num_times=max((int(call["times"]) for call in each), default=0),
        grad_theta=found.get("grad_theta"),
    )


def pair(first: Run, second: Run) -> Run:
    """The first run with its rows matched to images, by a second one with other images."""
    rows, others = first.rows, second.rows
    same = len(rows.t) == len(others.t) and np.array_equal(rows.call, others.call)
    if not (same and np.allclose(rows.t, others.t, rtol=0, atol=1e-7)):
        first.matched = False
        return first
    rows.image, rows.factor, still = match(
        rows.z, others.z, first.images, second.images, first.exact
    )
    # A row without its image (t = 1) says nothing: its place in the batch does.
    rows.image = np.where(still, places(first), rows.image)
    first.matched = bool((rows.image >= 0).all())
    return first


def match(
    z: Array, other_z: Array, images: Array, other_images: Array, exact: float
) -> tuple[NDArray[np.int64], Array, NDArray[np.bool_]]:
    """Image of each row (-1: none fits), its factor, and whether the row holds no image at all."""
    moved, image_moved = z - other_z, images - other_images
    inner = moved @ image_moved.T  # [n, batch]
    squares = (image_moved**2).sum(1)
    size = (z**2).sum(1)
    rest = (moved**2).sum(1)[:, None] - inner**2 / squares
    still = (moved**2).sum(1) <= min(exact**1.4, 1e-4) * size
    chosen = rest.argmin(1) if len(z) else np.zeros(0, np.int64)
    at = np.arange(len(chosen))
    fits = rest[at, chosen] <= exact * size
    factor = np.where(still, 0.0, inner[at, chosen] / squares[chosen])
    return np.where(fits | still, chosen, -1), factor, still


def places(run: Run) -> NDArray[np.int64]:
    """Image of each row if every call has the images in their order, once or several times."""
    return in_order(run.rows.call, run.batch)


def in_order(calls: NDArray[Any], batch: int) -> NDArray[np.int64]:
    """Image of each row by the number of its call, the images being in order in each call."""
    starts = np.flatnonzero(np.diff(calls, prepend=-1))
    within = np.arange(len(calls)) - np.repeat(starts, np.diff(starts, append=len(calls)))
    images: NDArray[np.int64] = within % batch
    return images


def place(run: Run) -> Run:
    """The run with rows taken to be of the images in order, where matching did not tell."""
    unknown = run.rows.image < 0
    run.rows.image = np.where(unknown, places(run), run.rows.image)
    run.rows.factor = np.where(unknown, np.nan, run.rows.factor)
    return run


def null_label(run: Run) -> int | None:
    """The label that stands for none: one that the network saw with every image, or instead of one.

    It may be the label of a class, which is a finding.
    """
    rows = run.rows
    with_all = [
        label
        for label in sorted(set(rows.label.tolist()), reverse=True)
        if len(set(rows.image[rows.label == label].tolist())) == run.batch
    ]
    if with_all and len(set(run.classes.tolist())) > 1:
        return int(with_all[0])
    foreign = rows.label != run.classes[rows.image]
    outside = foreign & ((rows.label < 0) | (rows.label >= NUM_CLASSES))
    seen = set(rows.label[outside if outside.any() else foreign].tolist())
    return int(seen.pop()) if len(seen) == 1 else None


def calls(found: dict[str, NDArray[Any]]) -> list[dict[str, NDArray[Any]]]:
    """Arrays of each call of the network, in order."""
    listed: dict[int, dict[str, NDArray[Any]]] = {}
    for key, value in found.items():
        if key.startswith("call"):
            number, _, name = key[4:].partition("/")
            listed.setdefault(int(number), {})[name] = value
    return [listed[i] for i in sorted(listed)]


def _pool(calls: list[dict[str, NDArray[Any]]], num_pixels: int) -> Rows:
    counts = [len(call["t"]) for call in calls]
    total = sum(counts)
    widths = {call["z"].shape[1] for call in calls}
    if widths - {num_pixels}:
        raise PortError(
            f"the network was called with {min(widths - {num_pixels})} numbers a row, expected"
            f" {num_pixels}: it stands for one of the images' own size"
        )

    def join(name: str, shape: tuple[int, ...], absent: float = 0.0) -> NDArray[Any]:
        parts = [
            np.asarray(call.get(name, np.full((count, *shape), absent)), np.float64)
            for call, count in zip(calls, counts, strict=True)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, *shape))

    def repeat(values: list[Any]) -> NDArray[Any]:
        return np.repeat(np.asarray(values), counts, axis=0) if calls else np.zeros(0)

    wide = (num_pixels,)
    heads = any("head" in call for call in calls)
    return Rows(
        call=repeat(list(range(len(calls)))).astype(np.int64),
        z=join("z", wide),
        t=join("t", ()),
        h=join("h", ()),
        label=join("labels", ()).astype(np.int64),
        u=join("u", wide),
        cotangent=join("cotangent", wide),
        head=join("head", wide, np.nan) if heads else None,
        cotangent_head=join("cotangent_head", wide) if heads else None,
        has_tangent=repeat(["tangent_z" in call or "tangent_t" in call for call in calls]).astype(
            bool
        ),
        tangent_z=join("tangent_z", wide),
        tangent_t=join("tangent_t", ()),
        tangent_h=join("tangent_h", ()),
        network=repeat([int(call["network"]) for call in calls]).astype(np.int64),
        theta=repeat([call["theta"] for call in calls]).reshape(total, len(child.THETA)),
        image=np.full(total, -1),
        factor=np.full(total, np.nan),
    )


def derivative(rows: Rows, i: int, w_z: Array, w_t: float, w_h: float) -> Array:
    """Derivative of the network's answer at row i along (w_z, w_t, w_h), by the complex step."""
    step = 1e-30
    pattern = child.patterns(rows.z.shape[1], rows.label[i : i + 1])
    found = child.field(
        np,
        rows.theta[i],
        rows.z[i : i + 1] + 1j * step * w_z,
        rows.t[i : i + 1] + 1j * step * w_t,
        rows.h[i : i + 1] + 1j * step * w_h,
        pattern,
    )
    along: Array = found.imag[0] / step
    return along
