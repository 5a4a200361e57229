"""What the findings need of a port: paired runs, draws of many rows, weights, samples."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verify.ports import runs
from verify.ports.formula import Formula, weights
from verify.ports.observation import Draws, NetworkCall, Sampling, Weighted
from verify.ports.process import Port, PortError
from verify.ports.runs import NUM_CLASSES, Run

SAMPLE_STEPS = (1, 2, 4, 1)
ROUNDING = {False: 1e-11, True: 3e-6}  # relative, of a weight: in float64, or float32 in places
BATCH, SIZE = 32, 6  # rows and pixels a side of most runs


@dataclass
class Loss:
    """One loss of a port, and how it can be run."""

    port: Port
    name: str
    seed: int = 0  # added to the seeds of all runs
    dtype: str = "float64"
    unlabelled: bool = False  # whether labels=None is given
    regressed: frozenset[int] | None = None  # calls that a gradient reaches, if always the same
    row_by_row: bool = False  # whether the network is called with one row at a time
    in_place: bool = False  # whether row i of every call is of image i (modulo batch)

    def run(self, seed: int, images_seed: int = 0, batch: int = BATCH, size: int = SIZE) -> Run:
        """Run the loss once, with its gradient."""
        return runs.run(
            self.port,
            self.name,
            self.seed + seed,
            images_seed,
            batch=batch,
            size=size,
            dtype=self.dtype,
            unlabelled=self.unlabelled,
        )

    def paired(self, seed: int, batch: int = BATCH, size: int = SIZE) -> Run:
        """A run whose rows are matched to images by a second one; by their places if that fails."""
        options = {"batch": batch, "size": size}
        first = runs.pair(self.run(seed, 0, **options), self.run(seed, 1, **options))
        if not first.matched:
            runs.place(first)
        return first

    def draw(self, num_rows: int, batch: int, seed: int) -> Draws:
        """Times and dropped labels of many rows; nan in rows that no gradient reaches."""
        if self.row_by_row:  # a call of the network for each: fewer rows, in several requests
            size = min(batch, BATCH)
            parts = [self._draw(size, size, seed + 100 * n) for n in range(max(2, num_rows // 512))]
            t, r, dropped = zip(*parts, strict=True)
            told = None if dropped[0] is None else np.concatenate(dropped)
            return Draws(np.concatenate(t), np.concatenate(r), told)
        return self._draw(num_rows, batch, seed)

    def _draw(self, num_rows: int, batch: int, seed: int) -> Draws:
        count = -(-num_rows // batch)
        request = {
            "op": "draws",
            "name": self.name,
            "batch": batch,
            "size": 2 if self.in_place and batch > BATCH else 4,
            "seeds": [self.seed + 1000 * (seed + 1) + n for n in range(count)],
            "images_seed": 0,
            "num_classes": NUM_CLASSES,
            "dtype": self.dtype,
            "gradient": self.regressed is None,
            "unlabelled": self.unlabelled,
            "with_z": not self.in_place,
        }
        _, found = self.port.ask(**request)
        rows = found["rows"]
        if self.regressed is not None:  # a forward pass is enough
            rows[:, 5] = np.isin(rows[:, 1], list(self.regressed))
        if self.in_place:
            image = _places(rows, batch)
        else:
            _, again = self.port.ask(**{**request, "images_seed": 1})
            image = self._matched(found, again, batch)
        t, r = np.full((count, batch), np.nan), np.full((count, batch), np.nan)
        dropped = np.zeros((count, batch), bool)
        # The regressed row of an image comes last: with a gradient, with a tangent, with r < t.
        order = np.lexsort((rows[:, 5], rows[:, 3] > 1e-6, rows[:, 6]))
        for i in order[(rows[order, 5] > 0) & (image[order] >= 0)]:
            at = int(rows[i, 0]), image[i]
            t[at], r[at] = rows[i, 2], rows[i, 2] - rows[i, 3]
            dropped[at] = rows[i, 4] != found["classes"][image[i]]
        return Draws(t, r, dropped if rows[:, 7].any() else None)

    def _matched(
        self, found: dict[str, np.ndarray], again: dict[str, np.ndarray], batch: int
    ) -> np.ndarray:
        images, others = (x["images"].reshape(batch, -1) for x in (found, again))
        if found["z"].shape != again["z"].shape:
            raise PortError("the number of its calls depends on the images: rows have no image")
        exact = runs.EXACT[self.dtype == "float32"]
        image = runs.match(found["z"], again["z"], images, others, exact)[0]
        return np.where(image < 0, _places(found["rows"], batch), image)


def _places(rows: np.ndarray, batch: int) -> NDArray[np.int64]:
    """Image of each row of the columns run, call, …, if every call has the images in order."""
    return runs.in_order(rows[:, 0] * 1e6 + rows[:, 1], batch)


def open_loss(port: Port, name: str, seed: int) -> tuple[Loss, list[Run]]:
    """A loss and its first runs: in float64 where it can, without labels where it takes none.

    Raises:
        PortError: when it cannot be run in any of these ways; that of the first way.
    """
    first: PortError | None = None
    for dtype, unlabelled in (
        ("float64", False),
        ("float32", False),
        ("float64", True),
        ("float32", True),
    ):
        loss = Loss(port, name, seed, dtype, unlabelled)
        try:
            found = [loss.paired(number) for number in (1, 2, 3, 4)]
        except PortError as error:
            first = first or error
            if error.kind in ("hang", "exit", "SystemExit"):
                break
            continue
        alike = {(run.num_calls, frozenset(run.rows.call[_live(run)].tolist())) for run in found}
        loss.row_by_row = any(run.num_calls >= run.batch for run in found)
        if len(alike) == 1 and not loss.row_by_row:
            loss.regressed = alike.pop()[1]
        loss.in_place = all(_in_place(run) for run in found)
        return loss, found
    assert first is not None
    raise first


def _live(run: Run) -> NDArray[np.bool_]:
    """Rows that a gradient reaches."""
    live = (run.rows.cotangent != 0).any(1)
    if run.rows.cotangent_head is not None:
        live |= (run.rows.cotangent_head != 0).any(1)
    return np.asarray(live)


def _in_place(run: Run) -> bool:
    """Whether the rows that a gradient reaches have the images in order."""
    live = _live(run)
    return run.matched and bool(np.array_equal(run.rows.image[live], runs.places(run)[live]))


def weighted(law: Formula, found: list[Run]) -> list[Weighted]:
    """Weights of the rows of several runs."""
    observed = []
    for run in found:
        weight, squared = weights(law, run)
        t, r = np.full(run.batch, np.nan), np.full(run.batch, np.nan)
        for row in law.rows:
            if row.run is run:
                t[row.target.image], r[row.target.image] = row.t, row.t - row.h
        observed.append(
            Weighted(
                squared,
                weight,
                t,
                r,
                run.loss,
                run.losses,
                run.images.shape[1],
                ROUNDING[run.single],
            )
        )
    return observed


def samplings(port: Port, seed: int, dtype: str, labelled: bool) -> Iterator[Sampling]:
    """Calls of the port's sampler for 1, 2 and 4 steps, and 1 again.

    Args:
        labelled: whether a loss passes labels to the network; else a sampler need not.
    """
    batch, size = 4, SIZE
    for steps in SAMPLE_STEPS:
        try:
            reply, found = port.ask(
                op="sample",
                seed=seed,
                images_seed=seed,
                batch=batch,
                size=size,
                dtype=dtype,
                num_classes=NUM_CLASSES,
                steps=steps,
            )
            error = f"{reply['error']} ({reply['where']})" if "error" in reply else ""
        except PortError as problem:
            found, error = {}, str(problem)
        noise = found.get("images", np.zeros((batch, 3, size, size)))
        answer = found.get("answer")
        fits = answer is not None and answer.size == noise.size and len(answer) == batch
        yield Sampling(
            steps,
            noise.reshape(batch, -1),
            found.get("classes") if labelled else None,
            NUM_CLASSES,
            tuple(_network_call(call) for call in runs.calls(found)),
            np.asarray(answer, np.float64).reshape(batch, -1)
            if fits and answer is not None
            else None,
            None if answer is None else tuple(answer.shape),
            tuple(noise.shape),
            error,
            1e-9 if dtype == "float64" else 2e-4,
        )


def _network_call(call: dict[str, np.ndarray]) -> NetworkCall:
    r = call["t"] - call["h"] if call["second"] else None
    labels = call["labels"] if call["labelled"] else None
    return NetworkCall(call["z"], call["t"], r, labels, call["u"])
