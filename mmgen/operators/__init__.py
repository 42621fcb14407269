"""Known physics, P(Y | X): linear maps with their adjoints, and measurements through them."""

from mmgen.operators.adapted import as_operator
from mmgen.operators.blur import Blur
from mmgen.operators.compose import Compose
from mmgen.operators.downsample import Downsample
from mmgen.operators.fan_beam import FanBeam
from mmgen.operators.greyscale import Greyscale
from mmgen.operators.mask import Mask
from mmgen.operators.measurement import Measurement
from mmgen.operators.named import OPERATORS, read_operator
from mmgen.operators.operator import Operator, check_adjoint
from mmgen.operators.radon import Radon

__all__ = [
    "OPERATORS",
    "Blur",
    "Compose",
    "Downsample",
    "FanBeam",
    "Greyscale",
    "Mask",
    "Measurement",
    "Operator",
    "Radon",
    "as_operator",
    "check_adjoint",
    "read_operator",
]
