"""`.ci/run` fails when any of its parts does, and shows what each of them printed."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / ".ci" / "run"
NOX = """#!/bin/sh
echo "nox $*"
case "$*" in *--install-only*) exit 0;; *"-s tests"*) echo "== 7 passed in 3.00s ==";; esac
case "$*" in *"$FAILING"*) exit 1;; esac
"""


@pytest.mark.parametrize(
    "failing", ["nothing", "tests", "lint types", "tables", "docs", "verify", "tests-tpu"]
)
def test_the_status_is_that_of_every_part(failing, tmp_path):
    for name, content in {"nox": NOX, "pip": "#!/bin/sh\n", "chromium": "#!/bin/sh\n"}.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["bash", str(SCRIPT)],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "FAILING": f"-s {failing}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == (failing != "nothing"), done.stderr
    lines = done.stdout.splitlines()
    for part in ("lint types", "tables -- --check", "docs", "verify -- --full", "tests-tpu"):
        assert f"nox -s {part}" in lines
    assert lines[-1] == "== 7 passed in 3.00s =="
