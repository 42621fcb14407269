"""Chinese to English, for sentences of everyday language.

Data: the set `translation` below the folder that MMGEN_DATA names, with
tatoeba_zh_en_{train,val}.tsv.gz, cc-cedict.txt.xz and ntrex.{ref.zho-CN,src.eng}.txt.gz.
"""

from __future__ import annotations

import gzip
import lzma
import re
from collections import Counter, defaultdict
from collections.abc import Iterator

from mmgen.core.card import Card
from mmgen.families.autoregressive.warping import Warping
from mmgen.modalities.text import SubwordText, TextEncoder
from mmgen.pipeline import Pipeline
from mmgen.texts import text_to_text
from mmgen.training.data import data_file
from mmgen.training.pairs import ListedPairs, Pairs

__all__ = ["CARD", "DEBUG", "PREVIEW", "TRAINING", "build", "debug", "pairs"]

CARD = Card(
    x="text",
    y="text",
    family="autoregressive",
    summary="Short Chinese sentences, simplified or traditional, to English.",
    data=(
        "21,526 sentence pairs of Tatoeba (CC BY 2.0 FR, tatoeba.org; credits in column 3 of the "
        "files) and 47,275 words of CC-CEDICT with their first meaning (CC BY-SA 4.0, MDBG). "
        "1,000 Tatoeba pairs are held out."
    ),
    licence="CC BY-SA 4.0 for the weights, as the dictionary they learn from; code Apache-2.0.",
    parameters=3_743_361,
    trained=(
        "By this recipe on one CPU core: 1,300 steps of 192 pairs, 249,600 in all, in 26 minutes, "
        "by OMP_NUM_THREADS=1 ACCELERATE_USE_CPU=true mmgen train text-to-text:zh-en."
    ),
    scores={
        "translation: BLEU, Tatoeba": "26.07 (24.18 to 28.02, n = 1000)",
        "translation: chrF, Tatoeba": "42.62 (41.08 to 44.22, n = 1000)",
        "translation: BLEU, NTREX": "0.62 (0.5 to 0.74, n = 1997)",
        "translation: chrF, NTREX": "12.91 (12.69 to 13.11, n = 1997)",
    },
    limits=(
        "Everyday sentences of a dozen words; of rarer words it guesses. Newspaper sentences, "
        "names and numbers are beyond what 21,526 pairs teach. The likeliest answer to a long "
        "sentence is a word or none: search with length_penalty=1."
    ),
)

TRAINING = {
    "steps": 1_300,
    "batch_size": 192,
    "optimizer": "muon",
    "learning_rate": 2e-3,
    "warmup": 100,
    "dropout": 0.1,
    "by_length": 50,
    "statistics_from": 2**18,
    "sample_every": 500,
}

DEBUG = {
    "dim": 32,
    "encoder_depth": 1,
    "depth": 1,
    "num_heads": 2,
    "source_vocabulary": 512,
    "vocabulary": 320,
}

PREVIEW = [
    "我不知道你在说什么。",
    "你明天早上想吃什么？",
    "我们昨天去了公园。今天下雨了，所以待在家里。",
]

# A sentence is seen so often in an epoch, as it is and, as often, in simplified characters.
_COPIES = 2
_LONGEST_WORD, _LONGEST_MEANING = 4, 40
_ENTRY = re.compile(r"(?P<traditional>\S+) (?P<simplified>\S+) \[[^]]*\] /(?P<meaning>[^/]+)/")
# What says how a word is used or written, rather than what it means.
_NO_MEANING = re.compile(r"\b(variant|surname|used in|CL:|abbr|see|classifier)\b|[\[\]()|]")


def pairs(split: str = "train") -> Pairs:
    """Pairs (Chinese, English): "train", "val", or "news", the lines of NTREX."""
    if split == "news":
        return ListedPairs(zip(_lines("ntrex.ref.zho-CN"), _lines("ntrex.src.eng"), strict=True))
    if split not in ("train", "val"):
        raise ValueError(f"Expected the split 'train', 'val' or 'news', got {split!r}.")
    rows = [line.split("\t") for line in _lines(f"tatoeba_zh_en_{split}", "tsv")]
    sentences = [(chinese, english) for english, chinese, _ in rows]
    if split == "val":
        return ListedPairs(sentences)
    entries = list(_entries())
    simpler = _simpler(entries)
    simplified = [(chinese.translate(simpler), english) for chinese, english in sentences]
    found = (sentences + simplified) * _COPIES
    # Characters that no sentence has would fill the vocabulary, and are seen too seldom to learn.
    common = {character for chinese, _ in found for character in chinese}
    found += [
        (word, meaning)
        for _, word, meaning in entries
        if 1 < len(word) <= _LONGEST_WORD
        and common.issuperset(word)
        and len(meaning) <= _LONGEST_MEANING
        and meaning[0].islower()
        and not _NO_MEANING.search(meaning)
    ]
    return ListedPairs(found)


def _lines(name: str, suffix: str = "txt") -> list[str]:
    file = data_file(f"translation/{name}.{suffix}.gz")
    return gzip.decompress(file.read_bytes()).decode().splitlines()


def _entries() -> Iterator[tuple[str, str, str]]:
    """Traditional form, simplified form and first meaning of each word of the dictionary."""
    text = lzma.decompress(data_file("translation/cc-cedict.txt.xz").read_bytes()).decode()
    for match in map(_ENTRY.match, text.splitlines()):
        if match:
            yield match["traditional"], match["simplified"], match["meaning"].strip()


def _simpler(entries: list[tuple[str, str, str]]) -> dict[int, str]:
    """The simplified form of each character that words are more often written with than not."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for traditional, simplified, _ in entries:
        if len(traditional) == len(simplified):
            for one, other in zip(traditional, simplified, strict=True):
                seen[one][other] += 1
    return {ord(one): others.most_common(1)[0][0] for one, others in seen.items()}


def build(
    *,
    dim: int = 192,
    encoder_depth: int = 2,
    depth: int = 2,
    num_heads: int = 4,
    source_vocabulary: int = 4608,
    vocabulary: int = 2048,
) -> Pipeline:
    """The pipeline with fresh weights."""
    # One vocabulary for both would be cut for neither: they share no letters.
    encoder = TextEncoder(
        vocabulary=source_vocabulary,
        dim=dim,
        depth=encoder_depth,
        num_heads=num_heads,
        max_tokens=64,
        words=False,
        multiple=4,
        languages=("zh", "en"),
    )
    codec = SubwordText(vocabulary, max_length=128)
    likeliest = Warping(temperature=0.0)
    own = {"depth": depth, "num_heads": num_heads, "condition_dropout": 0.05}
    return text_to_text(encoder, codec, warping=likeliest, **own)


def debug() -> Pipeline:
    """A tiny one with random weights."""
    pipe = build(**DEBUG)
    pipe.encoder.fit(PREVIEW)
    pipe.codec.fit(["I don't know what you are talking about.", "What do you want to eat?"])
    return pipe
