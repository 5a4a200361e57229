"""Table of JVP overhead: time and FLOPs of a step over those of another form of it."""

from results.schema import Record
from results.tabulate.cells import JAX, TORCH, Cell, Table, estimate

# Ratios of the bench, and their labels.
RATIOS = {
    "unguided sparse / flow matching": "MeanFlow, no guidance / flow matching",
    "unguided dense / flow matching": "the same with the JVP in every row / flow matching",
    "unguided autodiff / flow matching": "the same by `torch.func.jvp` / flow matching",
    "guided sparse / guided dense": "guided step / with the JVP in every row",
    "guided sparse / guided autodiff": "guided step / the same by `torch.func.jvp`",
    "guided sparse / guided official": "guided step / the authors' step, same rounds",
}
COLUMNS = {"JAX": (JAX, "auto"), "PyTorch": (TORCH, "auto"), "PyTorch compiled": (TORCH, "always")}
BENCHED = {"model": "DiT_S_4", "batch_size": 32}
XLA = "FLOPs (XLA)"
# A form of the step -> columns that do not have it.
ABSENT = {"autodiff": ("JAX", "PyTorch compiled", XLA), "official": ("PyTorch", "PyTorch compiled")}


def newest_overheads(records: list[Record]) -> dict[tuple[str, ...], Record]:
    """Newest records on CPUs: (subject, compile, quantity, form) -> record."""
    newest: dict[tuple[str, ...], Record] = {}
    for record in records:
        settings = record.settings
        of_bench = record.what.startswith("bench/") and record.device == "cpu"
        if of_bench and BENCHED.items() <= settings.items():
            key = record.subject, str(settings.get("compile")), record.what, str(settings["of"])
            newest[key] = record
    return newest


def jvp_overhead(records: list[Record]) -> Table:
    """Table of time and FLOPs of a step over those of another, on CPUs: newest records."""
    newest = newest_overheads(records)
    rows: list[list[Cell]] = []
    for of, name in RATIOS.items():
        cells = {
            title: estimate(newest.get((*column, "bench/step_time_ratio", of)), 2)
            for title, column in COLUMNS.items()
        }
        cells[XLA] = estimate(newest.get((*COLUMNS["JAX"], "bench/step_flops_ratio", of)), 3)
        for form, titles in ABSENT.items():
            cells |= dict.fromkeys(titles if form in of.split() else (), "")
        rows.append([name, *cells.values()])
    return Table(["one step of DiT_S_4, batch 32", *COLUMNS, XLA], rows)
