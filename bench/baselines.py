"Codecs for studies alone: simpler sparse ones, the two that bound every score, and the model of 2024."
import torch
import torch.nn.functional as F
from einops import rearrange, repeat

from celae.autoencoder import load_model
from celae.data import CLIP_SAMPLES
from celae.models import Codec, Latent, SparseSpectrum
from celae.references import imdct, mdct, mdct_frames
from celae.training import fit_codec, new_model

class StrongestBins(Codec):
    "The clip's own strongest MDCT bins, chosen once a clip or once in a while."
    family = 'strongest bins'

    def __init__(self,
        values_per_clip: int = 11_025,  # size of the latent, the choice included
        hop: int = 2048,                # MDCT bins, and samples from frame to frame
        period: int | None = None,      # frames that one choice is good for; None: the whole clip
    ):
        self.hop, self.period, n_frames = hop, period, mdct_frames(CLIP_SAMPLES, hop)
        n_choices = -(-n_frames // (period or n_frames))
        self.n_bins = (values_per_clip - n_choices * hop // 32) // n_frames
        if not 1 <= self.n_bins <= hop: raise ValueError(f'that leaves {self.n_bins} of {hop} bins')
        self.values_per_clip = self.n_bins * n_frames + n_choices * hop // 32

    def encode(self, wav, level=None):
        coefs = mdct(wav, self.hop).mT   # (b, n, k)
        n, period = coefs.shape[1], self.period or coefs.shape[1]
        blocks = rearrange(F.pad(coefs, (0, 0, 0, -n % period)), 'b (m s) k -> b m s k', s=period)
        bins = blocks.square().sum(2).topk(self.n_bins,
                                           2).indices.sort(2).values   # (b, m, d), low to high
        kept = blocks.gather(3, repeat(bins, 'b m d -> b m s d', s=period))
        frames = torch.arange(blocks.shape[1] * period).unflatten(0, (-1, period))[..., None]     # (m, s, 1)
        values, index = kept.flatten(1), (frames * self.hop + bins[:, :, None]).flatten(1)
        detail = SparseSpectrum(values.sign() * values.abs().sqrt(), index.clamp(max=n * self.hop - 1),
                                self.hop, n)
        return Latent(wav[..., :0], detail=detail)

    def decode(self, latent, n_samples): return imdct(latent.detail.to_dense(), n_samples)

class LargestCoefficients(Codec):
    "The largest MDCT coefficients of the clip and their places."
    family = 'largest coefficients'

    def __init__(self,
        values_per_clip: int = 11_025,  # size of the latent, places included
        hop: int = 2048,                # MDCT bins, and samples from frame to frame
    ): self.values_per_clip, self.hop = values_per_clip // 2 * 2, hop

    def encode(self, wav, level=None):
        coefs = mdct(wav, self.hop)
        flat = coefs.mT.flatten(1)   # frame by frame
        n_kept = min(flat.shape[1], max(1, round(self.values_per_clip / 2 * wav.shape[-1] / CLIP_SAMPLES)))
        index = flat.abs().topk(n_kept, 1).indices.sort(1).values
        values = flat.gather(1, index)
        return Latent(wav[..., :0], detail=SparseSpectrum(values.sign() * values.abs().sqrt(), index,
                                                          self.hop, coefs.shape[2]))

    def decode(self, latent, n_samples): return imdct(latent.detail.to_dense(), n_samples)

class Identity(Codec):
    "All samples: what the metrics say of the original."
    family, values_per_clip = 'original', CLIP_SAMPLES
    def encode(self, wav, level=None): return Latent(wav)
    def decode(self, latent, n_samples): return latent.z

class OtherClip(Identity):
    "A different clip of the batch: what the metrics say of what has nothing to do with the original."
    family = 'different clip'
    def decode(self, latent, n_samples): return latent.z.roll(1, 0)

def silu_2024(clips, size, steps, folder):
    "The autoencoder of 2024 at a size, trained in `folder` if it is not there."
    model, config = new_model('silu', size, steps=steps, patience=steps)
    if not (folder/'model.safetensors').exists(): fit_codec(model, clips, config, folder, resume=True)
    return load_model(folder)
