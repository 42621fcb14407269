"""Training: the one loop, and what it reads."""

from mmgen.training.checking import check_pairs
from mmgen.training.fit import fit
from mmgen.training.pairs import Pairs
from mmgen.training.reading import read_pairs
from mmgen.training.rehearsing import Rehearsal, rehearse
from mmgen.training.settings import TrainSettings
from mmgen.training.streaming import StreamedPairs
from mmgen.training.trainable import Autoencoding, Vocoding

__all__ = [
    "Autoencoding",
    "Pairs",
    "Rehearsal",
    "StreamedPairs",
    "TrainSettings",
    "Vocoding",
    "check_pairs",
    "fit",
    "read_pairs",
    "rehearse",
]
