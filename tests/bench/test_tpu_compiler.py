"""Steps compiled ahead of time: what is counted, kept, and said where the compiler fails.

What needs the TPU compiler runs only where libtpu is installed: `nox -s tests-tpu`.
"""

import json
import sys
from types import SimpleNamespace

import pytest
from checkouts import STANDIN

from bench.forms import FORMS
from bench.steps import make_batch
from bench.tpu import child
from bench.tpu.compiler import Compiler, CompilerError, Request
from impls.common.config_files import load_config
from impls.common.draws import training_draws
from impls.common.errors import DoesNotFitError, UserError
from impls.common.types import Cost
from impls.frameworks import implementation

SMALL = {"model.cls": "DiT", "model.depth": 1, "training.batch_size": 8}
COST = Cost(1.0, 2.0, 3.0, 4.0, 1.0, 1.0)


def small(form="flow matching", **more):
    return load_config("digits", SMALL | FORMS[form] | more)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "meanflow-repro" / "compiled"


# Lowering from shapes


@pytest.fixture
def ahead():
    pytest.importorskip("jax")
    import impls.meanflow_jax.ahead

    return impls.meanflow_jax.ahead


@pytest.fixture
def cpu(ahead):
    import jax

    return ahead.Target("cpu", jax.devices("cpu")[0])


def test_a_step_lowered_from_shapes_costs_what_the_trainers_own_costs(ahead, cpu):
    config, jax = small("unguided sparse"), implementation("jax")
    state = jax.init_state(config, jax.init_params(config, 0))
    inputs = jax.put((make_batch(config), training_draws(config, 0, 0)))
    _, expected = jax.compile_with_cost(config, state, *inputs)
    cost = ahead.lower_step(config, cpu).compile()
    assert cost.flops == pytest.approx(expected.flops, rel=1e-6)
    assert cost._replace(compile_seconds=0) == expected._replace(compile_seconds=0)
    held = sum(x.nbytes for x in leaves((state, *inputs)))
    assert cost.argument_bytes == pytest.approx(held, rel=0.02)
    assert cost.argument_bytes + cost.temporary_bytes <= cost.peak_bytes


def leaves(tree):
    import jax

    return jax.tree.leaves(tree)


def test_the_key_names_the_program_the_topology_and_the_versions(ahead, cpu, monkeypatch):
    config = small()
    key = ahead.lower_step(config, cpu).key
    assert ahead.lower_step(config, cpu).key == key
    others = [
        ahead.lower_step(small(**{"training.batch_size": 16}), cpu).key,
        ahead.lower_step(config, cpu._replace(topology="other")).key,
    ]
    monkeypatch.setattr(ahead, "_version", lambda _name: "another")
    others.append(ahead.lower_step(config, cpu).key)
    assert len({key, *others}) == 4


def test_a_program_that_is_too_large_is_told_from_other_errors(ahead):
    said = "RESOURCE_EXHAUSTED: … for HLO temporaries (320.00G) exceeds available HBM (15.25G). …"
    found = ahead._explained(RuntimeError(said))
    assert isinstance(found, DoesNotFitError)
    assert str(found) == "needs 320.00GiB of memory, more than the 15.25GiB available"
    other = RuntimeError("INTERNAL")
    assert ahead._explained(other) is other


# The cache


class StandIn:
    """A program that counts how often it is compiled."""

    key = "abc"

    def __init__(self, error=None):
        self.times, self.error = 0, error

    def compile(self):
        self.times += 1
        if self.error:
            raise self.error
        return COST


def answers(program, monkeypatch, times=2):
    lowers = SimpleNamespace(target=lambda topology: topology, forget=lambda: None)
    monkeypatch.setattr(child, "tpu_compiler", lambda: lowers)
    monkeypatch.setattr(child, "_lowered", lambda *_: program)
    assert child.answered(Request("v4:2x2x1")) == {}
    return [child.answered(Request("v4:2x2x1", {})) for _ in range(times)]


@pytest.mark.parametrize(
    ("program", "answer"),
    [
        (StandIn(), {"cost": COST._asdict()}),
        (StandIn(DoesNotFitError("too much")), {"too_large": "too much"}),
    ],
)
def test_a_program_is_compiled_once(program, answer, monkeypatch, cache):
    assert answers(program, monkeypatch) == [answer, answer]
    assert program.times == 1
    assert [file.name for file in cache.iterdir()] == ["abc.json"]


def test_a_damaged_entry_is_compiled_again(monkeypatch, cache):
    program = StandIn()
    answers(program, monkeypatch, 1)
    (cache / "abc.json").write_text("{")
    assert answers(program, monkeypatch) == [{"cost": COST._asdict()}] * 2
    assert program.times == 2


def test_without_a_folder_to_keep_it_in_it_is_compiled_each_time(monkeypatch, cache):
    program = StandIn()
    cache.parent.parent.joinpath("meanflow-repro").write_text("no folder")
    answers(program, monkeypatch)
    assert program.times == 2


# The process that compiles

ENDS = """
import sys
for line in sys.stdin:
    if "v5e" in line:
        print("F1128 fusion.cc:1] Check failed: a == b (1 vs. 2)\\n  @ 0x1", file=sys.stderr)
        sys.exit(1)
    print('{"refused": "no such topology"}' if "v9" in line else ANSWER, flush=True)
"""


def test_a_compiler_that_fails_is_a_sentence_and_the_next_step_has_a_new_one(monkeypatch):
    code = ENDS.replace("ANSWER", repr(json.dumps({"cost": COST._asdict()})))
    monkeypatch.setattr("bench.tpu.compiler.CHILD", [sys.executable, "-c", code])
    with Compiler() as compiler:
        assert compiler.cost(small(), "v4:2x2x1") == COST
        with pytest.raises(CompilerError) as failed:
            compiler.cost(small(), "v5e:2x2x1")
        assert str(failed.value) == "the TPU compiler failed (Check failed: a == b (1 vs. 2))"
        assert compiler.cost(small(), "v4:2x2x1") == COST
        with pytest.raises(UserError, match="no such topology"):
            compiler.cost(small(), "v9:2x2x1")


def test_a_compiler_that_is_terminated_says_nothing_about_the_step(monkeypatch):
    code = "import os, signal; input(); os.kill(os.getpid(), signal.SIGTERM)"
    monkeypatch.setattr("bench.tpu.compiler.CHILD", [sys.executable, "-c", code])
    with Compiler() as compiler, pytest.raises(UserError, match="begin again") as terminated:
        compiler.cost(small(), "v4:2x2x1")
    assert not isinstance(terminated.value, CompilerError)


def test_without_libtpu_a_sentence_says_how_to_install_it(ahead, monkeypatch):
    monkeypatch.delenv("TPU_LIBRARY_PATH", raising=False)
    monkeypatch.setattr(ahead.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UserError, match=r"libtpu is not installed.*\[tpu\]"):
        ahead.target("v4:2x2x1")


# With the TPU compiler


def test_a_tiny_step_is_compiled_for_a_tpu(capfd):
    pytest.importorskip("libtpu")
    with Compiler() as compiler:
        plain = compiler.cost(small(), "v4:2x2x1")
        dense = compiler.cost(small("unguided dense"), "v4:2x2x1")
        official = compiler.cost(small("guided dense"), "v4:2x2x1", STANDIN)
        compiler.check("v6e:2x2x1")
        with pytest.raises(UserError, match="no topology v9:2x2x1"):
            compiler.check("v9:2x2x1")
        with pytest.raises(DoesNotFitError, match=r"GiB of memory, more than the 15\.75GiB"):
            compiler.cost(small(**{"training.batch_size": 65_536, "model.depth": 6}), "v5e:2x2x1")
    assert 1.2 < dense.flops / plain.flops < 1.5
    assert official.flops > dense.flops
    for cost in (plain, dense, official):
        assert 0 < cost.argument_bytes < cost.peak_bytes < 34e9
        assert cost.bytes_accessed > cost.argument_bytes
    with Compiler() as compiler:
        assert compiler.cost(small(), "v4:2x2x1") == plain  # with its seconds, from the cache
    assert capfd.readouterr() == ("", "")
