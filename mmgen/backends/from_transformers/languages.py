"""Languages as the models that write several of them name them, by the names that people use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmgen.core.errors import close_names

__all__ = ["Languages", "languages_of", "named_language"]

# A language, a script and a region: of BCP 47, and of the codes that tokenizers make of them.
_TAG = re.compile(r"([A-Za-z]{2,3})(?:[-_]([A-Za-z]{4}))?(?:[-_]([A-Za-z]{2}|\d{3}))?")
_OF_NLLB = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
_OF_MARIAN = re.compile(r">>(.+)<<")
_OF_MADLAD = re.compile(r"<2([A-Za-z_]+)>")
_OF_T5 = re.compile(r"translation_([A-Za-z]+)_to_([A-Za-z]+)")

# Two letters, and the three of ISO 639-3, those of the usual language of a group after the group's.
_LETTERS = """
af=afr ak=aka am=amh ar=ara,arb as=asm ay=aym,ayr az=aze,azj ba=bak be=bel bg=bul bm=bam bn=ben
bo=bod br=bre bs=bos ca=cat cs=ces cy=cym da=dan de=deu dz=dzo ee=ewe el=ell en=eng eo=epo es=spa
et=est,ekk eu=eus fa=fas,pes ff=ful,fuv fi=fin fj=fij fo=fao fr=fra fy=fry ga=gle gd=gla gl=glg
gn=grn,gug gu=guj gv=glv ha=hau he=heb hi=hin hr=hrv ht=hat hu=hun hy=hye id=ind ig=ibo is=isl
it=ita ja=jpn jv=jav ka=kat kg=kon ki=kik kk=kaz kl=kal km=khm kn=kan ko=kor ks=kas ku=kur,kmr
ky=kir la=lat lb=ltz lg=lug li=lim ln=lin lo=lao lt=lit lv=lav,lvs mg=mlg,plt mi=mri mk=mkd ml=mal
mn=mon,khk mr=mar ms=msa,zsm mt=mlt my=mya nb=nob ne=nep,npi nl=nld nn=nno no=nor,nob ny=nya oc=oci
om=orm,gaz or=ori,ory os=oss pa=pan pl=pol ps=pus,pbt pt=por qu=que,quy rn=run ro=ron ru=rus rw=kin
sa=san sc=srd sd=snd sg=sag si=sin sk=slk sl=slv sm=smo sn=sna so=som sq=sqi,als sr=srp ss=ssw
st=sot su=sun sv=swe sw=swa,swh ta=tam te=tel tg=tgk th=tha ti=tir tk=tuk tl=tgl tn=tsn to=ton
tr=tur ts=tso tt=tat tw=twi ty=tah ug=uig uk=ukr ur=urd uz=uzb,uzn ve=ven vi=vie wo=wol xh=xho
yi=yid,ydd yo=yor zh=zho,cmn zu=zul
"""
_GROUPS = tuple(frozenset(re.split("[=,]", group)) for group in _LETTERS.split())
# Chinese is written in two scripts, which regions tell where a tag does not.
_SCRIPTS = {
    **dict.fromkeys(("CN", "SG"), "Hans"),
    **dict.fromkeys(("TW", "HK", "MO"), "Hant"),
}
_CHINESE = {"zh", "zho", "cmn"}


@dataclass(frozen=True)
class Languages:
    """The languages that a model writes, by its own codes, and how it is told which.

    Args:
        begins: The id of each that the decoder may begin with.
        marks: What is put before a text to have it answered in each.
        pairs: The same where the language of the text is told, too: by both.
    """

    begins: Mapping[str, int] = field(default_factory=dict)
    marks: Mapping[str, str] = field(default_factory=dict)
    pairs: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def targets(self) -> tuple[str, ...]:
        """Codes of the languages that can be asked for; none if there is no choice."""
        return tuple({**self.begins, **self.marks, **{b: 0 for _, b in self.pairs}})

    def source(self, asked: str | None) -> str | None:
        """The code of the language of a text; None if none is told.

        Raises:
            TypeError, ValueError: If it is none that the model is told.
        """
        if asked is None:
            return None
        known = dict.fromkeys((*self.begins, *(a for a, _ in self.pairs)))
        if self.marks or not known:
            self._require_choice()
            raise ValueError("This model is not told what it reads; leave source_lang out.")
        return named_language(asked, known)

    def target(self, asked: str | None) -> str | None:
        """The code of the language of an answer; None if none is asked for.

        Raises:
            TypeError, ValueError: If it is none of the model's.
        """
        if asked is None:
            return None
        self._require_choice()
        return named_language(asked, self.targets)

    def before(self, source: str | None, target: str | None) -> str:
        """What is put before a text, by the model's own codes of both languages.

        Raises:
            ValueError: If the model does not know this pair, or several from which to choose.
        """
        if not self.pairs:
            return self.marks.get(target, "")
        if source is None and target is None:
            return ""
        pairs = [p for p in self.pairs if source in (None, p[0]) and target in (None, p[1])]
        if len(pairs) != 1:
            known = ", ".join(f"{a} to {b}" for a, b in pairs or self.pairs)
            raise ValueError(
                f"Expected a source_lang and a target_lang that are a pair of this model ({known}),"
                f" got {source!r} and {target!r}."
            )
        return self.pairs[pairs[0]]

    def _require_choice(self) -> None:
        if not self.targets:
            raise ValueError(
                "This model is of one pair of languages, or is told in its text which one to "
                "write; leave source_lang and target_lang out."
            )


def languages_of(tokenizer: Any, config: Any) -> Languages:
    """What the tokenizer and the configuration of a checkpoint say of languages."""
    if hasattr(tokenizer, "lang_code_to_token"):
        codes = tokenizer.lang_code_to_token
        return Languages({code: tokenizer.get_lang_id(code) for code in codes})
    words = tokenizer.get_vocab()
    codes = tuple(getattr(tokenizer, "lang_code_to_id", None) or ())
    # NLLB's names none of its own any more: they are among the special tokens.
    codes = codes or tuple(filter(_OF_NLLB.fullmatch, tokenizer.all_special_tokens))
    if codes:
        return Languages({code: words[code] for code in codes if code in words})
    marks = _marks(_OF_MARIAN, getattr(tokenizer, "supported_language_codes", None) or ())
    marks = marks or _marks(_OF_MADLAD, words)
    tasks = getattr(config, "task_specific_params", None)
    pairs = {
        found.groups(): str(settings["prefix"])
        for task, settings in (tasks if isinstance(tasks, Mapping) else {}).items()
        if (found := _OF_T5.fullmatch(task)) and "prefix" in settings
    }
    return Languages(marks=marks, pairs={} if marks else pairs)


def named_language(asked: Any, known: Iterable[str]) -> str:
    """The one of some codes that a name means: itself, a tag of BCP 47, or an English name.

    A script or a region that is told and that no code has is passed over, but for a script where
    the codes tell scripts.

    Raises:
        TypeError: If it is no text.
        ValueError: If it means none, or several.
    """
    known = list(known)
    if not isinstance(asked, str):
        raise TypeError(f"A language is told by its code or name, got {asked!r:.60}.")
    if asked in known:
        return asked
    language, script, region = _parsed(_code_of_name(asked) or asked)
    alike = _alike(_alike({language}))
    if language in _CHINESE and script is None:
        script = _SCRIPTS.get(region or "CN")
    parsed = {code: _parsed(code) for code in known}
    found = [c for c in known if parsed[c][0] in alike]
    found = [c for c in found if script is None or parsed[c][1] in (script, None)]
    for place, wanted in ((1, script), (2, region), (2, None), (0, language)):
        found = [c for c in found if parsed[c][place] == wanted] or found
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{asked!r} may be {' or '.join(found)} of this model. Say which.")
    raise ValueError(f"{asked!r} is no language of this model. {close_names(asked, known)}")


def _alike(names: set[str | None]) -> set[str | None]:
    """Some languages with the other names that they go by."""
    return names.union(*(group for group in _GROUPS if not group.isdisjoint(names)))


def _parsed(code: str) -> tuple[str | None, str | None, str | None]:
    """Language, script and region of a code, as far as it has them."""
    found = _TAG.fullmatch(code)
    if found is None:
        return None, None, None
    language, script, region = found.groups()
    region = None if region in (None, "XX") else region.upper()
    language = language.lower()
    if script is None and language in _CHINESE:
        return language, _SCRIPTS.get(region), region
    return language, script and script.title(), region


def _code_of_name(asked: str) -> str | None:
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    return TO_LANGUAGE_CODE.get(asked.strip().lower())


def _marks(pattern: re.Pattern[str], words: Iterable[str]) -> dict[str, str]:
    found = ((pattern.fullmatch(word), word) for word in words)
    return {match[1]: f"{word} " for match, word in found if match}
