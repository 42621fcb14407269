"""Parts of diffusers checkpoints."""

from mmgen.backends.from_diffusers.autoencoder import autoencoder_kl

__all__ = ["autoencoder_kl"]
