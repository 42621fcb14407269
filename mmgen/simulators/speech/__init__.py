"""Speech of flite's voices: a program for P(sound | text, speaker), with the time of each phone.

flite (Carnegie Mellon University, a BSD-like licence) is a program of its own and no part of mmgen:
it is needed where pairs are made, never where a pipeline that learnt from them is used.
"""

from mmgen.simulators.speech.corpus import Clip, cache_folder, corpus
from mmgen.simulators.speech.flite import PHONES, VOICES, Spoken, pronounce, speak

__all__ = [
    "PHONES",
    "VOICES",
    "Clip",
    "Spoken",
    "cache_folder",
    "corpus",
    "pronounce",
    "speak",
]
