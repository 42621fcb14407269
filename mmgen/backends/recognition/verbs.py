"""Which of the recognised checkpoints can be loaded, and what can be asked of them then."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ARCHITECTURES", "FEWER", "LOADED", "SCORED", "WHY_NOT", "usual_verbs", "verbs_of"]

_TOKENS = ("sample", "stream", "best", "log_prob", "known", "classify")

LOADED: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("transformers", "text-generation"): _TOKENS,
    ("transformers", "translation"): _TOKENS,
    ("transformers", "text2text-generation"): _TOKENS,
    ("transformers", "automatic-speech-recognition"): _TOKENS,
    ("transformers", "image-to-text"): _TOKENS,
    ("transformers", "image-text-to-text"): _TOKENS,
    ("transformers", "text-to-speech"): ("sample", "stream"),
    ("transformers", "text-to-audio"): ("sample",),
    ("transformers", "robotics"): ("sample",),
    ("diffusers", "text-to-image"): ("sample",),
    ("diffusers", "image-to-image"): ("sample",),
    ("diffusers", "inpainting"): ("known",),
    ("diffusers", "class-conditional-image-generation"): ("sample",),
    ("diffusers", "unconditional-image-generation"): ("sample",),
    ("diffusers", "text-to-video"): ("sample",),
    ("diffusers", "image-to-video"): ("sample",),
    ("diffusers", "video-to-video"): ("sample",),
    ("diffusers", "text-to-audio"): ("sample",),
    ("diffusers", "unconditional-audio-generation"): ("sample",),
    ("diffusers", "planning"): ("sample",),
}
"""Verbs of `docs/inference.md` by library and task. What is not here is not loaded."""

ARCHITECTURES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("transformers", "automatic-speech-recognition"): (
        "WhisperForConditionalGeneration",
        "Speech2TextForConditionalGeneration",
        "MoonshineForConditionalGeneration",
        "Wav2Vec2ForCTC",
        "HubertForCTC",
        "WavLMForCTC",
    ),
    ("transformers", "image-to-text"): (
        "VisionEncoderDecoderModel",
        "BlipForConditionalGeneration",
        "Pix2StructForConditionalGeneration",
        "GitForCausalLM",
    ),
    ("transformers", "image-text-to-text"): (
        "LlavaForConditionalGeneration",
        "Idefics3ForConditionalGeneration",
        "SmolVLMForConditionalGeneration",
        "Qwen2VLForConditionalGeneration",
        "Qwen2_5_VLForConditionalGeneration",
    ),
    ("transformers", "text-to-speech"): (
        "VitsModel",
        "SpeechT5ForTextToSpeech",
        "BarkModel",
        "FastSpeech2ConformerWithHifiGan",
        "CsmForConditionalGeneration",
        "DiaForConditionalGeneration",
        "PocketTTSForConditionalGeneration",
    ),
    ("transformers", "text-to-audio"): ("MusicgenForConditionalGeneration",),
}
"""Of tasks whose classes are loaded one by one: those that are. Of others all are."""

FEWER: Mapping[str, tuple[str, ...]] = dict.fromkeys(
    ("Wav2Vec2ForCTC", "HubertForCTC", "WavLMForCTC"), ("sample", "log_prob", "classify")
)
"""What classes answer that answer less than the others of their task."""

SCORED: Mapping[str, tuple[str, ...]] = {
    "DDPMPipeline": ("log_prob", "known", "operator"),
    "DDIMPipeline": ("log_prob", "known", "operator"),
    "StableDiffusionPipeline": ("log_prob", "known", "operator"),
    "StableDiffusionXLPipeline": ("log_prob", "known", "operator"),
    "StableDiffusion3Pipeline": ("log_prob", "known", "operator"),
    "PixArtAlphaPipeline": ("log_prob", "known", "operator"),
    "PixArtSigmaPipeline": ("log_prob", "known", "operator"),
    "FluxPipeline": ("log_prob", "known", "operator"),
    "QwenImagePipeline": ("log_prob", "known", "operator"),
    "ZImagePipeline": ("log_prob", "known", "operator"),
    "WanPipeline": ("log_prob", "known", "operator"),
}
"""What pipelines of diffusers answer besides, whose networks the diffusion family can ask."""


_ASKED = "and no part of the door asks for that yet"
WHY_NOT: Mapping[str, str] = {
    "FastSpeech2ConformerModel": (
        "It makes spectrograms alone; FastSpeech2ConformerWithHifiGan, with its vocoder, is loaded"
    ),
    "GradiumPhononTTSForConditionalGeneration": (
        "Its voices are vectors of a codec that is no part of the checkpoint"
    ),
    "HiggsAudioV2ForConditionalGeneration": (
        f"It speaks as an answer in a conversation that describes a scene, {_ASKED}"
    ),
    **dict.fromkeys(
        ("SeamlessM4TForTextToSpeech", "SeamlessM4Tv2ForTextToSpeech"),
        f"Its vocoder is told a language and a speaker by numbers, {_ASKED}",
    ),
    "VibeVoiceForConditionalGeneration": (
        "A file of it names the class of diffusers that makes its noise, and no file does so here"
    ),
    **dict.fromkeys(
        ("Qwen3VLForConditionalGeneration", "Qwen3VLMoeForConditionalGeneration"),
        "Its pictures enter several layers, not the first alone",
    ),
    **dict.fromkeys(
        ("Gemma3ForConditionalGeneration", "PaliGemmaForConditionalGeneration"),
        "What it reads of pictures is no sequence from left to right",
    ),
}
"""Of classes that are recognised and not loaded, why."""


def usual_verbs(library: str, task: str, architecture: str) -> tuple[str, ...]:
    """Verbs of an architecture, but for those that `SCORED` adds; nothing if it is not loaded."""
    if architecture not in ARCHITECTURES.get((library, task), (architecture,)):
        return ()
    return FEWER.get(architecture, LOADED.get((library, task), ()))


def verbs_of(library: str, task: str, architecture: str) -> tuple[str, ...]:
    """What can be asked of a checkpoint once it is loaded; nothing if it cannot be."""
    verbs = usual_verbs(library, task, architecture)
    return verbs + SCORED.get(architecture, ()) if verbs else ()
