"""Samplers: from noise to data along given times, one a file."""

from mmgen.families.diffusion.samplers.ancestral import Ancestral
from mmgen.families.diffusion.samplers.dpmpp_2m import DPMPlusPlus2M
from mmgen.families.diffusion.samplers.euler import Euler
from mmgen.families.diffusion.samplers.heun import Heun
from mmgen.families.diffusion.samplers.sampler import Sampler

__all__ = ["SAMPLERS", "Ancestral", "DPMPlusPlus2M", "Euler", "Heun", "Sampler"]

SAMPLERS: dict[str, type[Sampler]] = {
    "euler": Euler,
    "heun": Heun,
    "dpmpp_2m": DPMPlusPlus2M,
    "ancestral": Ancestral,
}
