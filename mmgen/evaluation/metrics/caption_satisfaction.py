"""How often a picture of shapes is what its caption says: every claim of it holds.

Higher is better, shares in [0, 1] with Wilson intervals. Sample size: some hundreds of captions;
500 tell shares apart that differ by 5 points. Of what the simulator itself draws 100 % satisfy
their captions, and of pictures under the captions of others the share by chance. Reference: the
scene that a picture was drawn from, read by `mmgen.simulators.scenes.check`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from mmgen.evaluation.intervals import Proportion
from mmgen.simulators.scenes import Verdict

__all__ = ["Satisfaction", "caption_satisfaction"]


@dataclass(frozen=True)
class Satisfaction:
    """Shares of captions and of claims that hold.

    Args:
        captions: Of which every claim holds.
        claims: Single claims, by their kind.
    """

    captions: Proportion
    claims: dict[str, Proportion]


def caption_satisfaction(verdicts: Sequence[Verdict]) -> Satisfaction:
    """Shares over judged pictures.

    Args:
        verdicts: One of each picture under its caption, by `mmgen.simulators.scenes.judge`.

    Raises:
        ValueError: If there are none.
    """
    if not verdicts:
        raise ValueError("Expected the verdict on one picture or more, got none.")
    claims: dict[str, list[bool]] = defaultdict(list)
    for verdict in verdicts:
        for claim, holds in verdict.claims:
            claims[claim.kind].append(holds)
    whole = sum(verdict.satisfied for verdict in verdicts)
    shares = {kind: Proportion(sum(held), len(held)) for kind, held in claims.items()}
    return Satisfaction(Proportion(whole, len(verdicts)), shares)
