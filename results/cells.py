"""What the cells of a table say of a record."""

from __future__ import annotations

from results.schema import Record

JAX, TORCH = "impls.meanflow_jax", "impls.meanflow_torch"
NAMES = {JAX: "JAX", TORCH: "PyTorch"}
DIRTY = "†"
FOOTNOTE = f"{DIRTY} measured in a tree with changes that no commit holds"


def estimate(record: Record | None, places: int, scale: float = 1) -> str:
    """Value (low to high) with so many digits after the point, marked where the tree was dirty."""
    if record is None or record.value is None:
        return "not measured"
    bounds = [f"{bound * scale:.{places}f}" for bound in record.interval or ()]
    said = f"{record.value * scale:.{places}f}" + (f" ({' to '.join(bounds)})" if bounds else "")
    return marked(said, record)


def marked(said: str, *records: Record | None) -> str:
    """What is said of records, with a mark where one is of a dirty tree."""
    return f"{said} {DIRTY}" if any(record and record.dirty for record in records) else said


def with_footnote(table: str) -> str:
    """A table, with the meaning of the mark below it where it has one."""
    return f"{table}\n{FOOTNOTE}\n" if DIRTY in table else table
