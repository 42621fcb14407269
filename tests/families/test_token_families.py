"""What all families of tokens have in common."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from token_models import BOTH, conditions, either_length, lively, spec_pair

from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.families.autoregressive import Autoregressive
from mmgen.families.autoregressive import model as autoregressive_model
from mmgen.families.masked import Masked
from mmgen.families.masked import model as masked_model

SPECS = RAGGED, FIXED = spec_pair(vocabulary=3, longest=4)
FAMILIES = [Autoregressive, Masked]
BUILDERS = [autoregressive_model, masked_model]


@pytest.mark.parametrize("family", FAMILIES)
@either_length(SPECS)
def test_gradient_reaches_every_parameter(family: Any, spec: Spec) -> None:
    made, c = lively(family, spec, factor=2), conditions()
    lengths = torch.tensor([2, 0, 4]) if spec.varies else None
    generator = torch.Generator().manual_seed(0)
    latent = Latent(torch.randint(3, (3, 4), generator=generator), lengths)
    loss = made.loss(latent, c, generator=torch.Generator().manual_seed(0))
    assert loss.shape == (3,)
    again = made.loss(latent, c, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loss, again)
    loss.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_ragged_log_prob_equals_each_alone(family: Any) -> None:
    made, c = lively(family, RAGGED, factor=2), conditions()
    options = {"num_bound_draws": 8} if family is Masked else {}
    z, lengths = torch.tensor([[2, 1, 9, -1], [7, 7, 7, 7], [1, 1, 2, 0]]), torch.tensor([2, 0, 4])
    together = made(c, **options).log_prob(Latent(z, lengths), Generators([[1, 2, 3]]))
    for i in range(3):
        alone = made(c.select(torch.tensor([i])), **options).log_prob(
            Latent(z[i : i + 1, : lengths[i]], lengths[i : i + 1]), Generators([[i + 1]])
        )
        assert abs(alone.nats[0] - together.nats[i]) < 1e-5
        assert abs(alone.std_error[0] - together.std_error[i]) < 1e-5


@pytest.mark.parametrize("model", BUILDERS, ids=["autoregressive", "masked"])
def test_other_types_are_refused(model: Any) -> None:
    with pytest.raises(SpecError, match="family for continuous latents: diffusion"):
        model(Spec("image", "continuous", (3, 8, 8)), ConditionSpec(), "debug")
    with pytest.raises(SpecError, match="tokens in a row"):
        model(Spec("audio", "tokens", (4, 9), vocabulary=3), ConditionSpec(), "debug")
    for spec in SPECS:
        for condition in (ConditionSpec(), BOTH):
            assert model(spec, condition, "debug").spec is spec


@pytest.mark.parametrize("family", FAMILIES)
def test_networks_of_other_sizes_are_refused(family: Any) -> None:
    sizes = {Autoregressive: ("4 ids to 3", "4 and 4"), Masked: ("4 ids to 3", "5 and 4")}[family]
    with pytest.raises(SpecError, match="from {} logits.* has {}".format(*sizes)):
        family(lively(family, RAGGED, factor=1).network, spec=FIXED)
