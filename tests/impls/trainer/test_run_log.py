"""The log of a run: what is said, what is kept, and what a full disk leaves."""

import io
import json
import struct

import numpy as np
import pytest
from disks import no_file_longer_than
from PIL import Image
from refusals import refusal
from rich.console import Console
from small_runs import small

from impls.common.config_files import load_config
from impls.common.errors import UserError
from impls.trainer.run_log import RunLog

VALUES = {"loss": 0.5, "v_loss": 2.0}
GRID = np.arange(30 * 40 * 3, dtype=np.uint8).reshape(30, 40, 3)


def begun(folder, start=0, num_steps=6):
    return RunLog(folder, small(), "torch on cpu", num_steps, start)


def logged(folder):
    """Steps of the lines of scalars.jsonl."""
    lines = (folder / "scalars.jsonl").read_text().splitlines()
    return [json.loads(line)["step"] for line in lines]


def events(folder):
    """Every event of a folder, its checksums compared."""
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    found = []
    for file in sorted((folder / "tensorboard").iterdir()):
        content = file.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            data, rest = content[12 : 12 + length], content[12 + length :]
            sums = struct.unpack("<I", content[8:12]) + struct.unpack("<I", rest[:4])
            assert sums == (masked_crc32c(content[:8]), masked_crc32c(data))
            found.append(Event.FromString(data))
            content = rest[4:]
    return found


def test_where_there_is_no_terminal_each_logged_step_is_a_line_at_once(tmp_path, monkeypatch):
    with (tmp_path / "said").open("w") as file, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", file)
        with begun(tmp_path / "run") as log:
            first = (tmp_path / "said").read_text()
            log.scalars(2, VALUES)
            second = (tmp_path / "said").read_text().removeprefix(first)
            log.scalars(4, VALUES)
    about, *_ = first.splitlines()
    assert about.startswith(f"{tmp_path / 'run'}: torch on cpu, ")
    assert about.endswith(" parameters, steps 0 to 6")
    (line,) = second.splitlines()
    assert line.startswith("step 2 of 6: ")
    assert "/s loss 0.5000 v_loss 2.00, 0:00:00 left" in line
    assert (tmp_path / "said").read_text().count("\n") == 3


def test_a_terminal_shows_a_line_that_moves_instead(tmp_path, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(
        "impls.trainer.run_log.Console",
        lambda **options: Console(**options, file=screen, force_terminal=True),
    )
    with begun(tmp_path) as log:
        log.scalars(2, VALUES)
    assert "step 2 of 6" not in screen.getvalue()
    assert "2/6" in screen.getvalue()


def test_a_resumed_run_drops_the_steps_that_it_makes_again(tmp_path):
    with begun(tmp_path) as log:
        for step in (2, 4, 6):
            log.scalars(step, VALUES)
    with (tmp_path / "scalars.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')
    with begun(tmp_path, start=4) as log:
        assert logged(tmp_path) == [2, 4]
        log.scalars(6, VALUES)
    assert logged(tmp_path) == [2, 4, 6]
    starts = [event.step for event in events(tmp_path) if event.HasField("session_log")]
    assert starts == [1, 5]  # TensorBoard forgets what earlier files say from there on


def test_scalars_and_pictures_are_what_tensorboard_reads(tmp_path):
    with begun(tmp_path) as log:
        log.scalars(2, VALUES)
        log.picture(2, GRID)
    head, _, scalars, picture = events(tmp_path)
    assert head.file_version == "brain.Event:2"
    told = {value.tag: value.simple_value for value in scalars.summary.value}
    assert VALUES.items() <= told.items()
    (value,) = picture.summary.value
    assert (value.tag, value.image.height, value.image.width) == ("samples", 30, 40)
    shown = value.image.encoded_image_string
    assert shown == (tmp_path / "samples" / "step_2.png").read_bytes()
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(shown))), GRID)


@pytest.mark.parametrize("limit", [0, 1, 30, 60, 130, 290, 400, 560, 800, 1200, 1280, 1400, 2000])
def test_a_full_disk_is_one_sentence_and_leaves_whole_files_alone(limit, tmp_path):
    folder = tmp_path / "run"

    def run():
        with begun(folder) as log:
            for step in range(1, 20):
                log.scalars(step, VALUES)
                log.picture(step, GRID)

    with no_file_longer_than(limit):
        said = refusal(UserError, run)
    assert said == f"cannot write to {folder}: File too large"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert [path for path in files if not path.stat().st_size] == []
    assert [path for path in files if path.name.startswith(".partial")] == []
    for file in files:
        if file.name == "config.yml":
            assert load_config(file) == small()
        elif file.name == "environment.json":
            json.loads(file.read_text())
        elif file.name == "scalars.jsonl":
            assert logged(folder) == list(range(1, 1 + len(logged(folder))))
        elif file.suffix == ".png":
            Image.open(file).load()
        else:
            assert events(folder)
