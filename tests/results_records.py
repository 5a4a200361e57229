"""Records for tests, and the error of a command that the user has to correct."""

import yaml

from meanflow_repro import main
from results.schema import Record
from results.tabulate.cells import NAMES, markdown
from results.tabulate.write import ALL

JAX, TORCH = NAMES
MACHINE = {"processor": "Example CPU", "device": "cpu", "num_usable_cpus": 2}
PROTOCOL = {"labels": "uniformly random", "resize": "legacy_tensorflow"}


def record(**changes):
    known = {
        "subject": JAX, "what": "bench/step_time_ratio", "value": 1.2,
        "unit": "1", "interval": (1.1, 1.3), "settings": {"of": "guided / plain"},
        "commit": "a" * 40, "dirty": False, "machine": MACHINE, "python": "3.11",
        "libraries": {"numpy": "2"}, "date": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    return Record(**{**known, **changes})


def fid(**changes):
    """An FID of a run of 240 epochs of mf_b4, in one step."""
    settings = {"preset": "mf_b4", "epochs": 240, "num_steps": 1, "num_samples": 50_000}
    known = {
        "what": "fid/fid", "value": 11.4, "interval": (11.36, 11.44), "protocol": PROTOCOL,
        "settings": settings | changes.pop("settings", {}),
    }  # fmt: skip
    return record(**{**known, **changes})


def in_markdown(make):
    """What makes a table, and prints it."""
    return lambda records: markdown(make(records))


digits_table = in_markdown(ALL["digits"])
overhead_table = in_markdown(ALL["jvp_overhead"])
throughput_table = in_markdown(ALL["throughput"])


def refused(capsys, *arguments):
    """What a command says that ends with status 2: one line."""
    assert main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    return said


TOLD = {
    "who": "someone/port", "url": "https://example.org/run", "date": "2026-01-31",
    "preset": "mf_b4", "epochs": 240, "framework": "torch", "hardware": "8 x H100",
    "value": 11.42, "interval": [11.31, 11.53], "num_samples": 50_000, "num_steps": 1,
    "ema": 0.9999, "protocol": {
        "labels": "random", "uint8": "truncated", "inception": "inception-2015-12-05.pt",
        "resize": "legacy_tensorflow", "reference": "official", "vae": "mse",
    },
}  # fmt: skip


def told(folder, **changes):
    """A file with some keys changed, or left out where the change is `...`."""
    content = {name: value for name, value in (TOLD | changes).items() if value is not ...}
    path = folder / "theirs.yml"
    path.write_text(yaml.safe_dump(content))
    return path
