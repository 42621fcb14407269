"""BLEU and chrF of translations, by sacrebleu, with the signatures that say how.

Higher is better, both from 0 to 100. Sample size: a corpus of some hundreds of sentences or more;
BLEU of single sentences means little. Intervals are of 1,000 resamplings of the corpus. Reference
implementation: sacrebleu itself, which is called here with its defaults.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmgen.core.errors import MissingDependency

__all__ = ["translation_scores"]

_RESAMPLINGS = 1000


def translation_scores(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """Scores of translations, one reference each.

    Args:
        hypotheses: What was translated, without any tokenisation.
        references: What people wrote.

    Returns:
        {"bleu": ..., "chrf": ...}, each {"score", "low", "high", "count", "signature"} with the
        95 % interval of the bootstrap.

    Raises:
        ValueError: If there is not one reference for each of two translations or more.
        MissingDependency: If sacrebleu is not installed.

    Sources: BLEU: a Method for Automatic Evaluation of Machine Translation (Papineni et al., 2002),
    doi:10.3115/1073083.1073135; chrF: character n-gram F-score for automatic MT evaluation
    (Popovic, 2015), doi:10.18653/v1/W15-3049; A Call for Clarity in Reporting BLEU Scores (Post,
    2018), arXiv:1804.08771.
    """
    if len(hypotheses) != len(references) or len(hypotheses) < 2:
        raise ValueError(
            f"Expected one reference for each of two translations or more, got {len(hypotheses)} "
            f"translations and {len(references)} references."
        )
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError:
        raise MissingDependency("sacrebleu", extra="bench", purpose="BLEU and chrF") from None
    found = {}
    for name, kind in (("bleu", BLEU), ("chrf", CHRF)):
        metric = kind(references=[list(references)])
        # Named, since it is one value alone without resampling and another class with it.
        score = metric.corpus_score(list(hypotheses), None, n_bootstrap=_RESAMPLINGS)
        found[name] = {
            "score": round(float(score.score), 2),
            "low": round(float(score._mean - score._ci), 2),
            "high": round(float(score._mean + score._ci), 2),
            "count": len(hypotheses),
            "signature": str(metric.get_signature()),
        }
    return found
