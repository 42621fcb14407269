"""What only a distribution can do: Bayes' rule, outliers, re-ranking, codes, chains."""

from mmgen.chain import Chain
from mmgen.codes import interpolate
from mmgen.evaluation.metrics.detection import auroc
from mmgen.inference.classify import Classification, NoneOfThese, classify
from mmgen.inference.outlier import OutlierDetector
from mmgen.inference.purify import purify
from mmgen.inference.rerank import Ranked, rerank

__all__ = [
    "Chain",
    "Classification",
    "NoneOfThese",
    "OutlierDetector",
    "Ranked",
    "auroc",
    "classify",
    "interpolate",
    "purify",
    "rerank",
]
