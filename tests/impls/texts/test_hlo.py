"""FLOPs and bytes of compiled programs count each loop as often as it runs."""

import functools

import flax.linen as nn
import jax
import numpy as np
import pytest

from bench.forms import configuration
from bench.steps import Step
from impls import meanflow_jax
from impls.meanflow_jax import dit
from impls.meanflow_jax.hlo import Program, Times, program

SMALL = {
    "model.cls": "DiT", "model.depth": 6, "model.hidden_size": 64, "model.num_heads": 2,
    "model.patch_size": 4, "training.batch_size": 8,
}  # fmt: skip
LOOP = """HloModule loop
%body {
  %p = (s32[], f32[8,16]) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %x = f32[8,16]{1,0} get-tuple-element(%p), index=1
  %y = f32[8,8]{1,0} dot(%x, %x), lhs_contracting_dims={1}, rhs_contracting_dims={1}
  ROOT %t = (s32[], f32[8,16]) tuple(%i, %x)
}
%condition {
  %q = (s32[], f32[8,16]) parameter(0)
  %j = s32[] get-tuple-element(%q), index=0
  LIMIT
  ROOT %less = pred[] compare(%j, %n), direction=LT
}
ENTRY %main {
  %start = (s32[], f32[8,16]) parameter(0)
  %loop = (s32[], f32[8,16]) while(%start), condition=%condition, body=%body
  %z = f32[8,16]{1,0} get-tuple-element(%loop), index=1
  ROOT %o = f32[8,8]{1,0} dot(%z, %z), lhs_contracting_dims={1}, rhs_contracting_dims={1}
}
""".replace(" {\n", " () -> () {\n")


@pytest.fixture
def fresh():
    """Nothing compiled before, and nothing kept for other tests."""
    jax.clear_caches()
    yield
    jax.clear_caches()


def flops(form):
    return Step(meanflow_jax, configuration(None, SMALL, form)).cost.flops


@pytest.mark.parametrize("form", ["flow matching", "guided sparse"])
def test_a_loop_over_blocks_counts_as_much_as_the_blocks_unrolled(fresh, monkeypatch, form):
    rolled = flops(form)
    with monkeypatch.context() as once:
        once.setattr(Program, "_trip_count", lambda *_: 1)
        jax.clear_caches()
        assert flops(form) < rolled / 3
    monkeypatch.setattr(dit.nn, "scan", functools.partial(nn.scan, unroll=SMALL["model.depth"]))
    jax.clear_caches()
    assert flops(form) == pytest.approx(rolled, rel=0.01)


def test_the_parts_of_a_batch_are_all_counted(fresh):
    one, parts = (
        Step(meanflow_jax, configuration(None, SMALL | {"training.num_microbatches": number}))
        for number in (1, 2)
    )
    assert parts.cost.flops == pytest.approx(one.cost.flops, rel=0.05)


def test_a_body_counts_as_often_as_its_condition_or_the_compiler_says():
    limited = LOOP.replace("LIMIT", "%n = s32[] constant(7)")
    assert program(limited).times_run() == Times(8 / 2, 8 / 2)
    known = limited.replace("body=%body", 'body=%body, config={"known_trip_count":{"n":"3"}}')
    assert program(known).times_run() == Times(4 / 2, 4 / 2)


def test_a_limit_of_64_bits_may_be_in_two_halves():
    halves = LOOP.replace("LIMIT", "%n = u32[] constant(7)\n  %high = u32[] constant(0)")
    assert program(halves).times_run() == Times(8 / 2, 8 / 2)


def test_a_loop_of_unknown_length_is_refused():
    unlimited = LOOP.replace("LIMIT", "%n = s32[] parameter(1)")
    with pytest.raises(ValueError, match="loop has no known number of iterations"):
        program(unlimited).times_run()


@pytest.mark.parametrize("shape", [(5, 3, 7), (32, 64, 16)])
def test_a_product_written_as_a_convolution_counts_as_a_product(shape):
    # As the compiler for TPUs writes [5, 3] x [3, 7], and a batch of 4 of them.
    m, k, n = shape
    plain = f"""HloModule plain
ENTRY %main () -> () {{
  %a = f32[{m},{k}]{{1,0}} parameter(0)
  %b = f32[{k},{n}]{{1,0}} parameter(1)
  ROOT %c = f32[{m},{n}]{{1,0}} convolution(%a, %b), dim_labels=bf_io->bf
}}
"""
    batched = f"""HloModule batched
ENTRY %main () -> () {{
  %a = f32[4,{m},{k}]{{2,1,0}} parameter(0)
  %b = f32[4,{k},{n}]{{2,1,0}} parameter(1)
  ROOT %c = f32[4,{m},{n}]{{2,1,0}} convolution(%a, %b), window={{size=4 stride=3 lhs_dilate=4}}, \
dim_labels=0bf_0io->0bf
}}
"""
    one, four = (program(text) for text in (plain, batched))
    assert one._flops("main") == 2 * m * k * n
    assert four._flops("main") == 4 * 2 * m * k * n


def test_bytes_are_those_that_xla_counts():
    def step(x, w):
        y = jax.nn.gelu(x @ w) @ w.T
        return y + jax.lax.dynamic_slice(x, (2, 0), (1, x.shape[1])).sum(), y.sum(0)

    x, w = np.ones((64, 32), np.float32), np.ones((32, 96), np.float32)
    compiled = jax.jit(step).lower(x, w).compile()
    found = program(compiled.as_text())
    assert found._bytes(found.entry) == pytest.approx(
        compiled.cost_analysis()["bytes accessed"], rel=0.02
    )
