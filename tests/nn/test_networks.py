"""Every network of mmgen.nn that has a `debug` keeps one contract, and the transformer its laws.

Inputs are made from the names of `forward`'s arguments: x_BLD has the sizes of its shape letters,
so a new network needs no line here.
"""

import importlib
import inspect
import pkgutil
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mmgen.nn
from mmgen.core.condition import Condition
from mmgen.core.errors import SpecError
from mmgen.core.spec import ConditionSpec
from mmgen.nn.autoencoder import Autoencoder
from mmgen.nn.grid import GridTransformer
from mmgen.nn.transformer import Transformer, grid_positions
from mmgen.nn.unet import UNet

SIZES = {"B": 3, "L": 7, "M": 5, "D": 32, "C": 3, "H": 16, "W": 24, "A": 2, "T": 256}
CONDITION = ConditionSpec(token_dim=32, vector_dim=32)


def _networks() -> list[type[nn.Module]]:
    found = []
    for info in pkgutil.walk_packages(mmgen.nn.__path__, "mmgen.nn."):
        module = importlib.import_module(info.name)
        for value in vars(module).values():
            own = inspect.isclass(value) and value.__module__ == info.name
            if own and issubclass(value, nn.Module) and hasattr(value, "debug"):
                found.append(value)
    return found


def _debug(network: type[nn.Module]) -> nn.Module:
    """A tiny one that takes the inputs of this test, with tokens and vector where it takes them."""
    takes = inspect.signature(network.debug).parameters
    sizes = {name: size for name, size in (("num_dims", SIZES["D"]),) if name in takes}
    if "condition" not in takes:
        return network.debug(**sizes)
    try:
        return network.debug(condition=CONDITION, **sizes)
    except SpecError:
        return network.debug(condition=ConditionSpec(vector_dim=CONDITION.vector_dim), **sizes)


def _build(network: type[nn.Module]) -> nn.Module:
    """A tiny one at a generic point: no weight at the zero where it may start."""
    torch.manual_seed(0)
    module = _debug(network)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return module


def _condition() -> Condition:
    g = torch.Generator().manual_seed(1)
    batch, tokens, dim = SIZES["B"], SIZES["M"], SIZES["D"]
    return Condition(
        batch,
        torch.randn(batch, tokens, dim, generator=g),
        torch.arange(tokens) < torch.arange(1, batch + 1)[:, None],
        torch.randn(batch, dim, generator=g),
    )


def _argument(name: str) -> Any:
    if name == "c":
        return _condition()
    stem, _, letters = name.rpartition("_")
    g = torch.Generator().manual_seed(sum(map(ord, name)))
    shape = [SIZES[letter] for letter in letters]
    if stem == "ids":
        return torch.randint(7, shape, generator=g)
    if stem.endswith("mask"):
        return torch.arange(shape[1]) < torch.arange(2, shape[0] + 2)[:, None]
    return torch.rand(shape, generator=g) if stem == "t" else torch.randn(shape, generator=g)


def _arguments(module: nn.Module) -> dict[str, Any]:
    return {name: _argument(name) for name in inspect.signature(module.forward).parameters}


def _select(name: str, value: Any, i: int) -> Any:
    index = torch.tensor([i])
    if name == "c":
        return value.select(index)
    return value[index] if name.rpartition("_")[2].startswith("B") else value


@pytest.mark.parametrize("network", _networks(), ids=lambda n: n.__name__)
class TestContract:
    def test_shape(self, network: type[nn.Module]) -> None:
        module = _build(network)
        arguments = _arguments(module)
        shape = next(iter(arguments.values())).shape
        # Classifiers and networks on tokens give logits; every other one gives what it was given.
        expected = (shape[0], module.num_classes) if hasattr(module, "num_classes") else shape
        if "ids_BL" in arguments:
            expected = (*shape, module.num_outputs)
        assert module(**arguments).shape == expected

    def test_gradient_reaches_every_parameter(self, network: type[nn.Module]) -> None:
        module = _build(network)
        arguments = _arguments(module)
        if hasattr(module, "loss"):
            loss = module.loss(**arguments, generator=torch.Generator().manual_seed(0))
            assert loss.shape == (SIZES["B"],)
        else:
            loss = module(**arguments).square()
        loss.sum().backward()
        without = [
            name
            for name, parameter in module.named_parameters()
            if parameter.grad is None or not parameter.grad.abs().sum() > 0
        ]
        assert not without

    def test_batch_equals_each_alone(self, network: type[nn.Module]) -> None:
        module = _build(network)
        arguments = _arguments(module)
        together = module(**arguments)
        for i in range(SIZES["B"]):
            alone = module(**{name: _select(name, v, i) for name, v in arguments.items()})
            assert (alone[0] - together[i]).abs().max() < 1e-5

    def test_bfloat16(self, network: type[nn.Module]) -> None:
        module = _build(network)
        arguments = _arguments(module)
        exact = module(**arguments)
        kept = {"t_B", "positions_LA"}  # times and places keep their precision
        halved = {
            name: v.to("cpu", torch.bfloat16)
            if isinstance(v, Condition)
            or (isinstance(v, Tensor) and v.is_floating_point() and name not in kept)
            else v
            for name, v in arguments.items()
        }
        got = module.to(torch.bfloat16)(**halved)
        assert got.dtype == torch.bfloat16
        # What rounds inside may round to the other side in lower precision, at a few places.
        share = 0.2 if hasattr(module, "quantizer") else 0.05
        assert (got - exact).norm() < share * exact.norm()

    def test_saved_and_loaded(self, network: type[nn.Module]) -> None:
        module, other = _build(network), _build(network)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.zero_()
        other.load_state_dict(module.state_dict())
        arguments = _arguments(module)
        assert torch.equal(other(**arguments), module(**arguments))

    def test_repr(self, network: type[nn.Module]) -> None:
        assert network.__name__ in repr(_build(network))


def test_networks_are_found() -> None:
    names = {network.__name__ for network in _networks()}
    assert names >= {"Autoencoder", "GridTransformer", "Transformer", "UNet"}


@pytest.fixture
def inputs() -> dict[str, Tensor]:
    return _arguments(Transformer.debug())


def test_causal_outputs_do_not_see_later_tokens(inputs: dict[str, Tensor]) -> None:
    torch.manual_seed(0)
    module = Transformer.debug(causal=True)
    inputs["mask_BL"] = None
    changed = inputs["x_BLD"].clone()
    changed[:, 4:] = torch.randn(3, 3, 32)
    for mask in (None, torch.ones(3, 7, dtype=torch.bool)):
        before = module(**inputs | {"mask_BL": mask})
        after = module(**inputs | {"mask_BL": mask, "x_BLD": changed})
        assert torch.equal(before[:, :4], after[:, :4])
        assert (before[:, 4:] - after[:, 4:]).abs().min(dim=-1).values.max() > 1e-3


def test_without_causal_outputs_see_later_tokens(inputs: dict[str, Tensor]) -> None:
    torch.manual_seed(0)
    module = Transformer.debug()
    inputs["mask_BL"] = None
    changed = inputs["x_BLD"].clone()
    changed[:, 6] = torch.randn(3, 32)
    difference = module(**inputs) - module(**inputs | {"x_BLD": changed})
    assert difference[:, 0].abs().max() > 1e-4


@pytest.mark.parametrize("causal", [False, True])
def test_padding_changes_nothing(causal: bool, inputs: dict[str, Tensor]) -> None:
    torch.manual_seed(0)
    module = Transformer.debug(causal=causal)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    length, tokens = 4, 3
    there = torch.arange(SIZES["L"]).expand(3, -1) < length
    tokens_there = torch.arange(SIZES["M"]).expand(3, -1) < tokens
    padded = module(**inputs | {"mask_BL": there, "tokens_mask_BM": tokens_there})
    bare = module(
        inputs["x_BLD"][:, :length],
        inputs["positions_LA"][:length],
        modulation_BD=inputs["modulation_BD"],
        tokens_BMD=inputs["tokens_BMD"][:, :tokens],
    )
    assert (padded[:, :length] - bare).abs().max() < 1e-5


@pytest.mark.parametrize("num_axes", [1, 2, 3, 4])
def test_only_relative_positions_count(num_axes: int) -> None:
    torch.manual_seed(0)
    module = Transformer(64, depth=2, num_heads=2, num_axes=num_axes)
    positions = grid_positions(*(2,) * num_axes)
    x = torch.randn(2, len(positions), 64)
    shift = torch.arange(1, num_axes + 1) * 3.0
    here, shifted = module(x, positions), module(x, positions + shift)
    assert (here - shifted).abs().max() < 1e-5
    for axis in range(num_axes):
        stretched = positions.clone()
        stretched[:, axis] *= 2
        assert (module(x, stretched) - here).abs().max() > 1e-4


def test_grid_positions_are_row_major() -> None:
    assert grid_positions(2, 3).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]


@pytest.mark.parametrize("patch_size", [1, 2])
@pytest.mark.parametrize("levels", [(), (0,), (0, 1, -1)])
def test_unet_takes_patches_levels_and_sizes(patch_size: int, levels: tuple[int, ...]) -> None:
    condition = ConditionSpec(token_dim=32)
    module = UNet(
        1,
        widths=(8, 8, 16),
        blocks=1,
        attention_levels=levels,
        condition=condition,
        patch_size=patch_size,
        head_dim=8,
    )
    for size in ((8, 16), (24, 8)):
        assert module(torch.randn(3, 1, *size), torch.rand(3), _condition()).shape[2:] == size


def test_unet_answers_to_tokens_vector_and_time() -> None:
    module = _build(UNet)
    arguments = _arguments(module)
    c, out = arguments["c"], module(**arguments)
    other = Condition(3, c.tokens + 1, c.mask, c.vector)
    assert (module(**arguments | {"c": other}) - out).abs().max() > 1e-3
    other = Condition(3, c.tokens, c.mask, c.vector + 1)
    assert (module(**arguments | {"c": other}) - out).abs().max() > 1e-3
    assert (module(**arguments | {"t_B": arguments["t_B"] / 2}) - out).abs().max() > 1e-3
    beyond = c.tokens + (~c.mask)[..., None]
    other = Condition(3, beyond, c.mask, c.vector)
    assert torch.equal(module(**arguments | {"c": other}), out)


def test_unet_says_what_does_not_fit() -> None:
    none = ConditionSpec()
    with pytest.raises(SpecError, match="multiples of 2; got 16 x 15"):
        UNet.debug()(torch.randn(1, 3, 16, 15), torch.rand(1), Condition(1))
    with pytest.raises(ValueError, match="between -2 and 1 for 2 widths; got 2"):
        UNet(3, widths=(8, 16), attention_levels=(2,), condition=none)
    with pytest.raises(ValueError, match="Level 1 attends.* head_dim 32; got 48"):
        UNet(3, widths=(32, 48), condition=none)
    with pytest.raises(ValueError, match="multiple of 4, got 10. Use 12"):
        UNet(3, widths=(10, 32), condition=none)


def test_autoencoder_shapes_and_refusals() -> None:
    module = Autoencoder(1, widths=(8, 8), latent_channels=5, factor=8, blocks=1)
    mean, logvar = module.encode(torch.randn(2, 1, 16, 32))
    assert mean.shape == logvar.shape == (2, 5, 2, 4)
    assert module.decode(mean).shape == (2, 1, 16, 32)
    with pytest.raises(SpecError, match="multiples of 8; got 16 x 20"):
        module.encode(torch.randn(2, 1, 16, 20))
    with pytest.raises(ValueError, match="3 widths shrink images 4 times.* got 6"):
        Autoencoder(widths=(8, 8, 8), factor=6)


def test_autoencoder_loss_is_error_plus_divergence() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 8)
    module = Autoencoder.debug()
    module.kl_weight = 0.0
    error = module.loss(x, generator=torch.Generator().manual_seed(1))
    module.kl_weight = 2.0
    both = module.loss(x, generator=torch.Generator().manual_seed(1))
    mean, logvar = module.encode(x)
    q = torch.distributions.Normal(mean, torch.exp(logvar / 2))
    kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0))
    expected = error + 2 * kl.flatten(1).sum(1) / (3 * 8 * 8)
    assert torch.allclose(both, expected, atol=1e-5)


LAYOUTS = {"numbers": (5,), "sequence": (6, 3), "image": (3, 8, 8), "film": (4, 3, 8, 8)}


@pytest.mark.parametrize("shape", LAYOUTS.values(), ids=LAYOUTS)
def test_a_grid_transformer_keeps_every_layout(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = GridTransformer.debug(shape=shape)
    z, t = torch.randn(2, *shape), torch.rand(2)
    assert network(z, t, Condition(2)).shape == z.shape
    for axis in range(1, z.ndim):
        moved = network(z.roll(1, axis), t, Condition(2)).roll(-1, axis)
        assert (moved - network(z, t, Condition(2))).abs().max() > 1e-4


@pytest.mark.parametrize("shape", [LAYOUTS["sequence"], LAYOUTS["film"]], ids=["sequence", "film"])
def test_a_grid_transformer_ignores_what_lies_beyond_the_length(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = GridTransformer.debug(shape=shape)
    z, t = torch.randn(2, *shape), torch.rand(2)
    c = Condition(2).with_lengths(torch.tensor([3, 2]))
    padded = network(z, t, c)
    for i, length in enumerate((3, 2)):
        alone = network(z[i : i + 1, :length], t[i : i + 1], Condition(1))
        assert (padded[i, :length] - alone[0]).abs().max() < 1e-5
