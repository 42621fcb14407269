"""PushT: a T that is to be pushed to its place, and an expert that has learnt nothing.

gym-pusht (Apache-2.0, of the extra "policies") is the world; it is needed where demonstrations are
made, never where a pipeline that learnt from them is used. `python -m mmgen.simulators.pusht` makes
them.
"""

from mmgen.simulators.pusht.demonstrations import (
    Demonstration,
    cache_folder,
    demonstrations,
    play,
)
from mmgen.simulators.pusht.expert import Expert, Push, distance
from mmgen.simulators.pusht.table import GOAL, OUTLINE, Table, placed

__all__ = [
    "GOAL",
    "OUTLINE",
    "Demonstration",
    "Expert",
    "Push",
    "Table",
    "cache_folder",
    "demonstrations",
    "distance",
    "placed",
    "play",
]
