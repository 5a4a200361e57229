"""The configuration: the official sections and keys, checked, frozen and hashable.

Names and defaults are the official code's, so its YAML files load unchanged: see
`impls.common.config_files` for reading them, and `OFFICIAL_ONLY` for keys of theirs that are
dropped. `Config` is hashable, so it can be a static argument of a jitted function.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from impls.common import networks
from impls.common.errors import MismatchError, did_you_mean
from impls.common.networks.table import Network
from impls.common.values import (
    BelowOne,
    Count,
    Decays,
    Flag,
    Fraction,
    Guidance,
    NonNegative,
    OptionalCount,
    OptionalPositive,
    OptionalText,
    Positive,
    Real,
    Rows,
    Samples,
    Seed,
    Steps,
    Text,
    Times,
    Whole,
    Workers,
)

# What dataset.name can be, and what the official code takes some other names for: one with "latent"
# in it for latents, one with "cifar" for CIFAR-10.
DATA_SETS = ("digits", "mnist", "cifar10", "folder", "imgnet_latent")
OTHER_DATA_SETS = {"cifar": "cifar10", "imgnet": "folder", "imagenet": "folder"}

# Keys of official files that have no effect here, with their official values: accepted, not stored.
OFFICIAL_ONLY: dict[str, object] = {
    "dataset.pin_memory": False,  # page-locked host memory in the official loader
    "dataset.cache": False,  # never read by the official code
    "training.half_precision": False,  # never read by the official code
    "training.ema_type": "const",  # no other type exists
    "sampling.schedule": "default",  # no other schedule exists
    "sampling.num_classes": None,  # None: that of dataset.num_classes
}

# Keys that were added when there were records of runs without them, with their defaults.
LATER: dict[str, object] = {
    "training.ema_warmup": False, "method.tangent_velocity": "guided",
    "method.tangent_gradient": 0.0, "method.tangent_gradient_steps": None,
    "method.reduction": "sum",
}  # fmt: skip


def fall_from_1_to_0(times: Sequence[float]) -> bool:
    """Whether these are times of a sampler: 1 = s_0 > … > s_N = 0."""
    falling = all(s > s_next for s, s_next in pairwise(times))
    return len(times) > 1 and times[0] == 1 and times[-1] == 0 and falling


def _data_set(name: str) -> str:
    return "imgnet_latent" if "latent" in name.lower() else OTHER_DATA_SETS.get(name, name)


class Section(BaseModel):
    """A frozen group of keys; unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DatasetConfig(Section):
    """What the network is trained on. Defaults: ImageNet 256 as VAE latents, 32 x 32 x 4."""

    name: Text = "imgnet_latent"  # digits, mnist, cifar10, folder or imgnet_latent
    root: Text = "DATA_ROOT"  # folder of the prepared data; the default is a placeholder
    num_workers: Workers = 4  # loading processes; 0 loads in the main process
    prefetch_factor: Count = 2  # batches each worker prepares ahead
    image_size: Count = 32  # pixels (or latents) along each side
    image_channels: Count = 4  # 4 for latents: their mean and std on disk count once
    num_classes: Count = 1000  # labels are 0 .. num_classes - 1
    vae: Literal["mse", "ema"] = "mse"  # Stable Diffusion VAE of the latents, by fine-tuning
    reshuffle: Flag = True  # a new order each epoch; false: the first one again and again
    flip: Flag = True  # mirror images at random, where mirrored ones exist (never digits)

    @field_validator("name")
    @classmethod
    def _name_is_known(cls, value: str) -> str:
        if _data_set(value) not in DATA_SETS:
            expected = f"one of {', '.join(DATA_SETS)}{did_you_mean(value, DATA_SETS)}"
            raise MismatchError("dataset.name", value, expected)
        return value

    @property
    def kind(self) -> str:
        """One of DATA_SETS: what the name stands for."""
        return _data_set(self.name)


class TrainingConfig(Section):
    """Adam, its average and the rhythm of a run. Defaults: the official ones."""

    learning_rate: Positive = 1e-4  # the highest, see schedule
    batch_size: Rows = 256  # images per step, over all devices
    num_epochs: Count = 1000  # passes over the data; the last partial batch is dropped
    log_per_step: Count = 100  # steps between two lines of the log
    sample_per_epoch: Count = 10  # epochs between two grids of samples
    checkpoint_per_epoch: Count = 10  # epochs between two checkpoints
    fid_per_epoch: Count = 10  # epochs between two FIDs
    seed: Seed = 42  # of everything random in training
    adam_b1: BelowOne = 0.9  # decay of the first moment (optax's default officially)
    adam_b2: BelowOne = 0.95  # decay of the second moment
    adam_eps: Positive = 1e-8  # added to the root of the second moment (optax's default)
    weight_decay: NonNegative = 0.0  # decoupled, as in AdamW
    ema_val: BelowOne = 0.9999  # ema <- ema_val * ema + (1 - ema_val) * params, every step
    sample_on_training: Flag = True  # whether to draw grids of samples while training
    num_steps: OptionalCount = None  # steps to train; null: num_epochs passes
    keep_checkpoints: Count = 3  # newest checkpoints that are kept
    schedule: Literal["constant", "cosine"] = "constant"  # of the learning rate, after warm-up
    warmup_steps: Whole = 0  # steps in which the learning rate rises linearly to its value
    cycle_steps: OptionalCount = None  # first cosine cycle; null: one cycle, to num_steps
    cycle_growth: Count = 1  # each cycle is this many times as long as the one before it
    min_learning_rate: NonNegative = 0.0  # end of each cosine cycle
    max_grad_norm: OptionalPositive = None  # longer gradients are scaled to this norm; null: never
    ema_more: Decays = ()  # decays of further averages, kept beside that of ema_val
    ema_every: Count = 1  # steps between two updates of the averages
    ema_warmup: Flag = False  # decay of update k = 0, 1, … is at most (1 + k) / (10 + k)
    num_microbatches: Count = 1  # equal parts of a batch, one after another, to save memory
    precision: Literal["float32", "bfloat16"] = "float32"  # of products; parameters are float32
    draws: Literal["host", "device"] = "host"  # host: the same numbers in both frameworks
    compile: Literal["auto", "always", "never"] = "auto"  # auto: JAX; PyTorch on a GPU

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.batch_size % self.num_microbatches:
            expected = f"a divisor of training.batch_size ({self.batch_size})"
            raise MismatchError("training.num_microbatches", self.num_microbatches, expected)
        if self.min_learning_rate > self.learning_rate:
            expected = f"at most training.learning_rate ({self.learning_rate})"
            raise MismatchError("training.min_learning_rate", self.min_learning_rate, expected)
        if self.schedule == "cosine" and not (self.cycle_steps or self.num_steps):
            expected = "a whole number because training.schedule is cosine: set it, or num_steps"
            raise MismatchError("training.cycle_steps", None, expected)
        return self


class MethodConfig(Section):
    """The objective, in the paper's symbols. Defaults: the official ones."""

    noise_dist: Literal["logit_normal", "uniform"] = "logit_normal"  # law of the times t and r
    P_mean: Real = -0.4  # mean of logit(t)
    P_std: Positive = 1.0  # standard deviation of logit(t)
    data_proportion: Fraction = 0.75  # share of the batch with r = t, see equal_rows
    class_dropout_prob: Fraction = 0.1  # chance that a label becomes the null label
    guidance_eq: Guidance = "cfg"  # cfg, or none (also null or empty): v_g = v
    omega: NonNegative = 1.0  # weight of v in v_g; the effective scale is omega / (1 - kappa)
    kappa: BelowOne = 0.5  # weight of the class-conditional prediction in v_g
    t_start: Fraction = 0.0  # guidance acts for t_start <= t <= t_end
    t_end: Fraction = 1.0  # see t_start
    norm_p: NonNegative = 1.0  # power of the adaptive weight; 0 is the plain squared error
    norm_eps: Positive = 0.01  # added to the squared error in the weight; the paper's c
    # Which rows have r = t. first: the first int(B data_proportion), as in the official code;
    # random: each row with that chance, as in the authors' code for CIFAR-10.
    equal_rows: Literal["first", "random"] = "first"
    # The loss is the same in each. sparse: du/dt only where r < t (random rows are dense all the
    # same); dense: in every row, as in the official code; autodiff: dense, in PyTorch by
    # torch.func.jvp instead of the JVP that dual_dit.py writes out; in JAX, where every form is a
    # jax.jvp, the same as dense.
    jvp: Literal["sparse", "dense", "autodiff"] = "sparse"
    # Of (z, r, t): v01 is (v, 0, 1), the right one; the others are the wrong ones of Table 1 (b).
    tangent: Literal["v01", "v00", "v10", "v11"] = "v01"
    # What u is differentiated along. guided: v_g; network: u(z, t, 0, y), as in improved MeanFlow.
    tangent_velocity: Literal["guided", "network"] = "guided"
    # Share of the gradient of du/dt that the loss passes on: 0 in MeanFlow, above in Modular
    # MeanFlow; PyTorch then takes torch.func.jvp for it, and does not compile the step.
    tangent_gradient: Fraction = 0.0
    tangent_gradient_steps: OptionalCount = None  # steps in which it rises from 0; null: constant
    reduction: Literal["sum", "mean"] = "sum"  # of the squared error over pixels and channels

    @model_validator(mode="after")
    def _window_is_ordered(self) -> Self:
        if self.t_start > self.t_end:
            expected = f"at most method.t_end ({self.t_end}): guidance acts from t_start to t_end"
            raise MismatchError("method.t_start", self.t_start, expected)
        if self.tangent_gradient_steps and not self.tangent_gradient:
            expected = "null because method.tangent_gradient is 0: set that, up to 1"
            raise MismatchError(
                "method.tangent_gradient_steps", self.tangent_gradient_steps, expected
            )
        return self

    @property
    def tangent_of_times(self) -> tuple[float, float]:
        """The tangents of r and t: (0, 1) of the right one, v01."""
        return float(self.tangent[1]), float(self.tangent[2])


class ModelConfig(Section):
    """The network: a named size, or `DiT` with explicit sizes. Explicit sizes win over the name."""

    cls: Text = "DiT_B_4"  # a named size, DiT-B/4 being read as DiT_B_4; or DiT
    patch_size: OptionalCount = None  # pixels along each side of a patch
    hidden_size: OptionalCount = None  # width
    depth: OptionalCount = None  # number of blocks
    num_heads: OptionalCount = None  # attention heads
    mlp_ratio: Positive = 4.0  # width of the MLP's hidden layer over the width of the block
    # Times that are embedded, h = t - r: (t, t - r) by default, the others of Table 1 (c).
    embedding: Literal["t_h", "t_r", "t_r_h", "h"] = "t_h"

    @field_validator("cls")
    @classmethod
    def _cls_is_known(cls, value: str) -> str:
        name = value.replace("-", "_").replace("/", "_")
        if name not in (known := networks.classes()):
            expected = f"one of {', '.join(known)}{did_you_mean(name, known)}"
            raise MismatchError("model.cls", value, expected)
        return name


class SamplingConfig(Section):
    """How images are drawn. Defaults: one step from t = 1 (noise) to t = 0 (data)."""

    seed: Seed = 0  # of the noise and labels of drawn images
    num_steps: Steps = 1  # network evaluations per image
    sampling_timesteps: Times = None  # num_steps + 1 times from 1 down to 0; null: equal steps

    @model_validator(mode="after")
    def _times_fall_from_one_to_zero(self) -> Self:
        times = self.sampling_timesteps
        if times is None:
            return self
        if len(times) != self.num_steps + 1 or not fall_from_1_to_0(times):
            expected = f"{self.num_steps + 1} (num_steps + 1) numbers that fall from 1 to 0"
            raise MismatchError("sampling.sampling_timesteps", list(times), expected)
        return self


class FidConfig(Section):
    """How the Frechet distance to the data is measured. Defaults: the official ones."""

    on_training: Flag = True  # whether to measure it while training
    num_samples: Samples = 50_000  # images drawn
    device_batch_size: Rows = 128  # images drawn at once on each device
    cache_ref: Text = "FID_CACHE_REF"  # file of the data's statistics; the default is a placeholder


class Config(Section):
    """Everything a run depends on."""

    dataset: DatasetConfig = DatasetConfig()
    training: TrainingConfig = TrainingConfig()
    method: MethodConfig = MethodConfig()
    model: ModelConfig = ModelConfig()
    sampling: SamplingConfig = SamplingConfig()
    fid: FidConfig = FidConfig()
    load_from: OptionalText = None  # checkpoint to start from; null starts anew
    eval_only: Flag = False  # print the scores of load_from (digits, MNIST) instead of training

    @model_validator(mode="after")
    def _network_fits(self) -> Self:
        _ = self.network
        return self

    @property
    def network(self) -> Network:
        """The sizes that model.cls names, except where the model section gives its own."""
        return networks.resolve(self.model, self.dataset)
