"""Linear-Gaussian pipelines, whose densities, bounds and posteriors have closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmgen.core.codec import Lossless
from mmgen.core.condition import Condition
from mmgen.core.conditional import Conditional, Invertible, LogProb, Progress, Tractable
from mmgen.core.encoder import Encoder
from mmgen.core.latent import Latent
from mmgen.core.model import Model
from mmgen.core.options import Option
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.modalities.image import Pixels
from mmgen.pipeline import Pipeline


class Numbers(Lossless):
    """Arrays (K,) as they are, half as large: z = x / 2."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    @property
    def spec(self) -> Spec:
        return Spec("properties", "continuous", (self.count,))

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        return {"x": torch.tensor(np.stack(values), dtype=torch.float32)}

    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        return Latent(tensors["x"] / 2)

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        return {"x": latent.z * 2}

    def present(self, tensors: Mapping[str, Tensor]) -> list[Any]:
        return list(tensors["x"].numpy())

    def log_volume(self, tensors: Mapping[str, Tensor]) -> Tensor:
        return torch.full((len(tensors["x"]),), -self.count * math.log(2))


class Vector(Encoder):
    """Arrays (V,) as condition vectors; None as zeros."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(vector_dim=self.count)

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        rows = [np.zeros(self.count) if v is None else v for v in values]
        given = torch.tensor([v is not None for v in values])
        return {"vector": torch.tensor(np.stack(rows), dtype=torch.float32), "given": given}

    def encode(self, tensors: Mapping[str, Tensor]) -> Condition:
        return Condition(len(tensors["given"]), vector=tensors["vector"])


class Drawn(Conditional):
    """N(mean, std^2) that tells nothing but samples."""

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        self.mean, self.std, self.batch = mean, std, len(mean)

    def sample(
        self,
        num_samples: int = 1,
        generators: Generators | None = None,
        *,
        progress: Progress | None = None,
    ) -> Latent:
        eps = generators.randn(*self.mean.shape[1:])
        if progress is not None:
            progress(1, 1)
        return Latent(self.mean + self.std * eps)


class Exact(Drawn, Tractable, Invertible):
    """N(mean, std^2) with its density and its codes."""

    def log_prob(self, latent: Latent, generators: Generators | None = None) -> LogProb:
        nats = _normal(latent.z, self.mean, self.std).flatten(1).sum(1)
        dims = torch.full_like(nats, latent.z[0].numel())
        return LogProb(nats, "exact", torch.zeros_like(nats), dims, "closed form")

    def encode(self, latent: Latent) -> Tensor:
        return (latent.z - self.mean) / self.std

    def decode(self, code: Tensor) -> Latent:
        return Latent(self.mean + self.std * code)


class Bounded(Drawn, Tractable):
    """The same by a bound: h ~ N(mean, std^2 / 2), log p(z) >= E log N(z; h, std^2 / 2)."""

    def __init__(self, mean: Tensor, std: Tensor, draws: int) -> None:
        super().__init__(mean, std)
        self.draws = draws

    def log_prob(self, latent: Latent, generators: Generators | None = None) -> LogProb:
        rest = self.std / math.sqrt(2)
        eps = generators.randn(self.draws, *self.mean.shape[1:])[0]
        hidden = self.mean[:, None] + rest * eps
        nats = _normal(latent.z[:, None], hidden, rest).flatten(2).sum(2)
        dims = torch.full_like(nats[:, 0], latent.z[0].numel())
        error = nats.std(1) / math.sqrt(self.draws) if self.draws > 1 else dims * math.inf
        return LogProb(nats.mean(1), "lower bound", error, dims, f"bound from {self.draws} draws")


def _normal(z: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return -0.5 * (((z - mean) / std).square() + (2 * math.pi * std.square()).log())


class LinearGaussian(Model):
    """Z = A y + b + std eps, scored exactly or by a bound."""

    def __init__(
        self, spec: Spec, weight: Tensor, bias: Tensor, std: float, *, density: bool = True
    ) -> None:
        super().__init__()
        self.spec, self.condition = spec, ConditionSpec(vector_dim=weight.shape[1])
        self.weight = torch.nn.Parameter(weight)
        self.bias = torch.nn.Parameter(bias)
        self.register_buffer("std", torch.tensor(std))
        self.density = density

    def options(self) -> tuple[Option, ...]:
        bound = Option("num_hidden_draws", 0, "Draws for the bound; 0 for exact.", minimum=0)
        return (bound, Option("temperature", 1.0, "Scale of std.", minimum=0.0))

    def forward(self, c: Condition, **options: Any) -> Conditional:
        mean = (c.vector @ self.weight.T + self.bias).unflatten(1, self.spec.shape).detach()
        std = self.std * options.get("temperature", 1.0)
        if not self.density:
            return Drawn(mean, std)
        draws = options.get("num_hidden_draws", 0)
        return Bounded(mean, std, draws) if draws else Exact(mean, std)

    def loss(
        self, latent: Latent, c: Condition, *, generator: torch.Generator | None = None
    ) -> Tensor:
        return -self.forward(c).log_prob(latent).nats


@pytest.fixture
def linear() -> Callable[..., Pipeline]:
    """Makes P(X | Y) with X = 2 (A y + b + std eps)."""

    def make(weight: Any, bias: Any, std: float, *, density: bool = True) -> Pipeline:
        weight, bias = (torch.tensor(v, dtype=torch.float32) for v in (weight, bias))
        codec = Numbers(len(bias))
        model = LinearGaussian(codec.spec, weight, bias, std, density=density)
        return Pipeline(encoder=Vector(weight.shape[1]), model=model, codec=codec)

    return make


@pytest.fixture
def shift(linear: Callable[..., Pipeline]) -> Pipeline:
    """X = 2 (y + eps / 2) with X and Y of 4 dimensions."""
    return linear(torch.eye(4).tolist(), [0.0] * 4, 0.5)


@pytest.fixture
def pixels() -> Pipeline:
    """Independent grey noise in images of 8 x 8 pixels."""
    codec = Pixels.debug()
    model = LinearGaussian(codec.spec, torch.zeros(192, 1), torch.zeros(192), 0.3)
    return Pipeline(encoder=Vector(1), model=model, codec=codec)


@pytest.fixture(scope="session")
def digits_pipe() -> Pipeline:
    """A tiny diffusion model of images given labels, with weights that are all off zero."""
    torch.manual_seed(1)
    pipe = Pipeline.compose(
        x="image", y="label", family="diffusion", size="debug", labels=["a", "b", "c"]
    )
    rng = np.random.default_rng(0)
    pipe.codec.fit([rng.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(4)])
    with torch.no_grad():
        for parameter in pipe.parts.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return pipe
