"""A port that misbehaves is told in findings or in one sentence, and leaves nothing running."""

import os
import re
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest

from impls.common.errors import UserError
from verify.ports import process
from verify.ports.collect import open_loss, samplings
from verify.ports.diagnose import diagnose, of_loss
from verify.ports.process import Port, PortError
from verify.ports.settings import OFFICIAL

MINIMAL = Path(__file__).parents[3] / "examples" / "ports"
IMAGENET = OFFICIAL["imagenet"]
FIRST = 5  # path, derivative, guidance, unlabelled rows, target

LOSS = {
    "torch": "def {name}(net, images, labels):\n    {body}\n",
    "jax": "def {name}(net, params, images, labels, key):\n    {body}\n",
}
RIGHT = {"torch": "loss(net, images, labels)", "jax": "loss(net, params, images, labels, key)"}
CALL = {"torch": "net(x, t, t, labels)", "jax": "net(params, x, t, t, labels)"}
NUMBERS = {"torch": "torch", "jax": "jnp"}

# name -> (body of a loss, pattern of what is said about it); CALL, RIGHT, xp stand for code
TOLD = {
    "raises": ("raise KeyError('no such thing')", "KeyError.*raise KeyError"),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    # There is no standard input, nor a stream for it where another loss has replaced it.
    "reads_input": ("input(); return RIGHT", "EOFError|lost sys.stdin"),
    "none": ("return None", "it returned None, expected a loss"),
    "text": ("return 'low'", "it returned str, expected a loss"),
    "number": ("return 1.5", "it returned float, expected a loss"),
    "nothing_in_it": ("return ()", "it returned tuple, expected a loss"),
    "complex": ("return RIGHT * (1 + 0j)", "it returned .*complex.* of shape"),
    "whole": ("return xp.ones(3) > 0", "it returned .*bool.* of shape"),
    "no_call": ("return xp.zeros(()) + images.mean()", "never calls the network"),
    "no_gradient": (
        "x = images; t = x[:, 0, 0, 0] * 0 + 0.5; [CALL for _ in range(20)]; return x.mean()",
        "no gradient reaches",
    ),
    "not_a_number": ("return RIGHT * float('nan')", "not finite .loss nan"),
    "infinite": ("return RIGHT / 0.0", "not finite .loss inf"),
    "empty": ("return RIGHT * xp.ones((0,))", "it returned .*float.* of shape"),
    "cuda": ("images = images.cuda(); return RIGHT", "Error:.*cuda"),
    "wrong_arguments": ("return net(*[1, 2, 3, 4, 5, 6, 7]).mean()", "TypeError.*argument"),
}  # fmt: skip
SAME = {
    "prints": "print('x' * 3_000_000); print('x' * 3_000_000, file=sys.stderr); return RIGHT",
    "writes": "os.write(1, b'{}\\n' * 1000); return RIGHT",
    "replaces_streams": "sys.stdout = sys.stderr = sys.stdin = None; return RIGHT",
    "changes_folder": "os.chdir('/'); return RIGHT",
    "starts_threads": "[threading.Thread(target=time.sleep, args=(900,)).start() "
    "for _ in range(3)]; return RIGHT",
    "leaves_a_process": "subprocess.Popen(['sleep', '900']); return RIGHT",
    "forks": "os.fork(); return RIGHT",
    "warns": "warnings.warn('soon', DeprecationWarning); return RIGHT",
}
OF_TORCH = {
    "default_dtype": "torch.set_default_dtype(torch.float16); return RIGHT",
    "no_grad_for_ever": "found = RIGHT; torch.set_grad_enabled(False); return found",
}
OF_JAX = {"x64_off": "found = RIGHT; jax.config.update('jax_enable_x64', False); return found"}
# findings, whatever they are
ANYTHING = {
    "wrong_shape": "return RIGHT * xp.ones((17, 3))",
    "twenty_calls": "x = images; t = x[:, 0, 0, 0] * 0 + 0.5; "
    "return sum((CALL ** 2).mean() for _ in range(20))",
    "pixels_missing": "x = images[:, 1:, 1:, 1:]; t = x[:, 0, 0, 0] * 0 + 0.5; "
    "return (CALL ** 2).mean()",
    "sets_seeds": "import random, numpy; random.seed(0); numpy.random.seed(0); SEED; return RIGHT",
}
SEED = {"torch": "torch.manual_seed(0)", "jax": "key = jax.random.PRNGKey(0)"}
IMPORTS = "import os, subprocess, sys, threading, time, warnings\n"


def bodies(framework):
    mine = OF_TORCH if framework == "torch" else OF_JAX
    told = {name: body for name, (body, _) in TOLD.items()}
    return told | SAME | mine | ANYTHING


def text_of(framework, losses, after=""):
    """A port: the minimal one, other losses with these bodies, and more lines after them."""
    text = IMPORTS + (MINIMAL / f"minimal_{framework}.py").read_text()
    for name, body in losses.items():
        code = body
        for word, of in (
            ("RIGHT", RIGHT), ("CALL", CALL), ("SEED", SEED), ("xp", NUMBERS),
        ):  # fmt: skip
            code = code.replace(word, of[framework])
        text += "\n\n" + LOSS[framework].format(name=f"loss_{name}", body=code)
    return text + "\n" + after


def written(folder, framework, losses, after=""):
    """File of such a port."""
    pytest.importorskip(framework)
    file = folder / "port.py"
    file.write_text(text_of(framework, losses, after))
    return file


def left(marker):
    """Processes that still run a moment later with this in their environment, without this one."""
    ends = time.monotonic() + 20
    while (found := running(marker)) and time.monotonic() < ends:
        time.sleep(0.1)
    return found


def running(marker):
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if marker.encode() in environment and state not in "ZX" and folder.name != str(os.getpid()):
            found.append((folder / "cmdline").read_bytes().replace(b"\0", b" "))
    return found


@pytest.fixture
def marker(monkeypatch, tmp_path):
    """A word in the environment of every process that a test has started."""
    monkeypatch.setenv("MEANFLOW_TEST_OF_PORTS", str(tmp_path))
    return str(tmp_path)


# JAX takes seconds to start and to compile a loss: the suite runs one in four or five.
JAX, JAX_STARTED = (
    pytest.param("jax", marks=pytest.mark.soak("ports", of="name", share=share)) for share in (4, 5)
)


@pytest.fixture(scope="module", params=["torch", JAX])
def opened(request, tmp_path_factory):
    """A port with every loss of this file, and its framework."""
    pytest.importorskip(request.param)
    folder = tmp_path_factory.mktemp("port")
    os.environ["MEANFLOW_TEST_OF_PORTS"] = str(folder)
    with Port(written(folder, request.param, bodies(request.param))) as port:
        yield port, request.param
    del os.environ["MEANFLOW_TEST_OF_PORTS"]
    assert not left(str(folder))


def said_of(port, name):
    """The first findings on a loss, or the sentence by which it failed."""
    try:
        loss, found = open_loss(port, name, 0)
        lines = list(islice(of_loss(loss, found, IMAGENET, IMAGENET), FIRST))
    except PortError as error:
        return [f"error unknown: {error}"]
    return [f"{line.what} {line.verdict}: {line.code}" for line in lines]


@pytest.mark.parametrize("name", TOLD)
def test_a_loss_that_is_none_is_told_in_one_line(opened, name):
    (said,) = said_of(opened[0], f"loss_{name}")
    assert re.search(TOLD[name][1], said)
    assert "\n" not in said


@pytest.mark.parametrize("name", [*SAME, *OF_TORCH, *OF_JAX])
def test_a_loss_with_side_effects_is_diagnosed_all_the_same(opened, name):
    port, framework = opened
    if name not in bodies(framework):
        pytest.skip(f"not of {framework}")
    said = said_of(port, f"loss_{name}")
    assert [line.partition(":")[0] for line in said] == [
        "path same", "derivative same", "guidance same", "unlabelled rows same", "target same"
    ], said  # fmt: skip


@pytest.mark.parametrize("name", ANYTHING)
def test_whatever_a_loss_returns_there_are_findings(opened, name):
    said = said_of(opened[0], f"loss_{name}")
    assert said
    assert not any("\n" in line for line in said)


# name -> (lines at the end of a port's file, pattern of the sentence)
NO_PORT = {
    "raises": ("raise OSError('no data')", "OSError: no data .port_[0-9]+.py:[0-9]+: raise OSErr"),
    "exits": ("sys.exit('stop')", "SystemExit: stop"),
    "is_no_python": ("def loss(:", "SyntaxError"),
    "needs_a_package": ("import no_such_package", "ModuleNotFoundError.*no_such_package"),
    "has_no_network": ("del network", "defines no function network and loss"),
    "has_no_loss": ("loss = None", "defines no function network and loss"),
    "claims_are_a_list": ("claims = [1.0]", "claims is no dict of settings"),
    "claims_are_unknown": ("claims = {'omego': 1.0}", "no key omego; did you mean omega"),
    "other_framework": ("framework = 'tensorflow'", "framework is 'tensorflow'"),
}
AT_IMPORT = {
    "dies": ("print('good bye'); os._exit(7)", "ended with status 7, its last words: good bye"),
    "dies_with_a_child": ("subprocess.Popen(['sleep', '900']); os._exit(7)", "ended with status 7"),
    "dies_with_a_fork": ("os.fork() and os._exit(7)\ntime.sleep(900)", "ended with status 7"),
    "is_killed": ("os.kill(os.getpid(), 9)", "ended with status -9"),
    "hangs": ("time.sleep(900)", "no answer within 8 s"),
}


@pytest.mark.parametrize("name", NO_PORT)
def test_a_file_that_is_no_port_is_told_in_a_sentence(name, given):
    lines, pattern = NO_PORT[name]
    port = given("torch", text_of("torch", {}, lines))
    with pytest.raises((PortError, UserError), match=pattern) as raised:
        list(diagnose(port, IMAGENET))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", AT_IMPORT)
def test_a_file_that_ends_its_process_is_told_in_a_sentence(name, tmp_path, marker, monkeypatch):
    pytest.importorskip("torch")
    if name == "hangs":
        monkeypatch.setattr(process, "LOAD_SECONDS", 8.0)
    lines, pattern = AT_IMPORT[name]
    file = written(tmp_path, "torch", {}, lines)
    with Port(file) as port, pytest.raises((PortError, UserError), match=pattern) as raised:
        list(diagnose(port, IMAGENET))
    assert "\n" not in str(raised.value)
    assert not left(marker)


# name -> (body of a loss, pattern of the one line about it)
FATAL = {
    "dies": ("print('good bye'); os._exit(7)", "ended with status 7, its last words: good bye"),
    "hangs": ("time.sleep(900)", "no answer within 4 s"),
    "leaves_a_pipe_open": (
        "os.fork() or time.sleep(900); os._exit(0)", "ended with status 0"
    ),
    "removes_its_folder": (
        "shutil.rmtree(os.path.dirname(__file__)); os._exit(7)", "ended with status 7"
    ),
    "removes_our_folder": (
        "shutil.rmtree(sys.argv[2]); return images.mean()", "FileNotFoundError"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FATAL)
@pytest.mark.parametrize("framework", ["torch", JAX_STARTED])
def test_a_loss_that_ends_its_process_is_told_in_one_line(framework, name, tmp_path, marker):
    body, pattern = FATAL[name]
    file = written(tmp_path, framework, {name: body}, "import shutil\nloss = sample = None\n")
    with Port(file, call_seconds=4) as port:
        (line,) = list(diagnose(port, IMAGENET))
    assert (line.what, line.verdict, line.loss) == ("error", "unknown", f"loss_{name}")
    assert re.search(pattern, line.code)
    assert "\n" not in line.code
    assert not left(marker)


def test_processes_at_import_end_with_the_port(framework, tmp_path, marker):
    pool = (
        "import multiprocessing\n"
        "context = multiprocessing.get_context('fork')\n"
        "workers = [context.Process(target=time.sleep, args=(900,)) for _ in range(2)]\n"
        "[worker.start() for worker in workers]\n"
    )
    with Port(written(tmp_path, framework, {}, pool)) as port:
        assert [line.split(":")[0] for line in said_of(port, "loss")][-1] == "target same"
        assert len(running(marker)) >= 3
    assert not left(marker)


def test_the_process_ends_with_the_one_that_asks(tmp_path, marker):
    pytest.importorskip("torch")
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom verify.ports.process import Port\n"
        "port = Port(Path(sys.argv[1]))\nport.load()\nos._exit(0)\n"
    )
    file = written(tmp_path, "torch", {})
    subprocess.run(
        [sys.executable, "-c", script, str(file)], check=True, cwd=MINIMAL.parents[1],
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert not left(marker)


SAMPLERS = {
    "raises": ("raise KeyError('none')", "KeyError"),
    "dies": ("os._exit(7)", "ended with status 7"),
    "returns_none": ("return None", "it returned None"),
}


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("framework", ["torch", JAX_STARTED])
def test_a_sampler_that_fails_says_why(framework, name, tmp_path, marker):
    body, pattern = SAMPLERS[name]
    head = {"torch": "net, noise, labels, steps", "jax": "net, params, noise, labels, steps, key"}
    after = f"def sample({head[framework]}):\n    {body}\n"
    with Port(written(tmp_path, framework, {}, after)) as port:
        first = next(iter(samplings(port, 0, "float64", labelled=True)))
    assert first.answer is None
    assert re.search(pattern, first.error)
    assert not left(marker)
