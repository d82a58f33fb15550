"""What each part of the autoencoder is for: size `musical` without it, on albums that nothing was trained on.

    python bench/ablation.py            (five minutes on one thread)

Nothing is trained anew: a part is left out of the decoding, or what it codes is given as it was found.
The clips are those of bench/rate_distortion.py.
"""
from dataclasses import replace
from pathlib import Path

import torch
import typer
from autoencoder import of_each_label, split_by_album
from common import ALBUMS, CACHE, TEST, write
from rate_distortion import movement, with_interval

from celae.autoencoder import MusicAutoencoder, level_one, load_model, spectrum
from celae.data import clip_table, load_clips
from celae.files import progress
from celae.evaluation import evaluate
from celae.metrics import PERCEPTUAL
from celae.models import Place
from celae.references import mdct_frames
from celae.sinusoids import HOP, istft

class Uncoded(MusicAutoencoder):
    "Sinusoids as they were found: what their coding costs."
    def encode(self, wav, level=None):
        self.found = self.rolls.find(level_one(wav))
        return super().encode(wav, level)
    def decode_roll(self, z): return self.found

class NoOffsets(MusicAutoencoder):
    "Tones at the middle of their semitones."
    def decode_roll(self, z):
        amplitude, offset = super().decode_roll(z)
        return amplitude, 0 * offset

class NoNoise(MusicAutoencoder):
    "Without the stochastic part."
    def decode(self, latent, n_samples): return self.sound(spectrum(self, latent, n_samples)[0], latent,
                                                           n_samples)
    def sound(self, spec, latent, n_samples): return istft(spec,
                                                           n_samples) * latent.level.exp()[:, None, None]

class NoResidual(NoNoise):
    "Sinusoids alone."
    def decode(self, latent, n_samples):
        tones = self.rolls.draw(self.decode_roll(latent.z), mdct_frames(n_samples, HOP), Place())
        return self.sound(tones, latent, n_samples)

class NoSpectrum(MusicAutoencoder):
    "Without the channels of the spectrum."
    def keeps(self): return torch.tensor([i in self.tonal_channels for i in range(self.size.channels)])
    def decode(self, latent, n_samples):
        return super().decode(replace(latent, z=latent.z * self.keeps()[:, None]), n_samples)

class NoSinusoids(NoSpectrum):
    "Without the channels of the sinusoids."
    def keeps(self): return ~super().keeps()

VARIANTS = {'all parts': MusicAutoencoder, 'sinusoids not coded': Uncoded, 'no noise': NoNoise,
            'no offsets': NoOffsets, 'no residual': NoResidual, 'no channels of the spectrum': NoSpectrum,
            'no channels of the sinusoids': NoSinusoids}

def variant(model, kind):
    "The same weights with a part less."
    other = model.with_size('musical')
    other.__class__ = kind
    return other

def main(folder: Path = ALBUMS, cache: Path = CACHE, most: int = 2000, n: int = 16):
    torch.set_num_threads(1)
    clips = split_by_album(load_clips(clip_table(folder, most, seed=0), cache), TEST, 48, 0).split('test')
    test, model, rows = of_each_label(clips, n, 0), load_model(), []
    for name, kind in progress(VARIANTS.items(), 'leaving out'):
        codec = variant(model, kind)
        scores = evaluate(codec, test, bs=8, title='', metrics=list(PERCEPTUAL))
        rows.append(dict(part=name, **movement(codec, test)))
        for metric in PERCEPTUAL: rows[-1] |= with_interval(scores, metric)
    write('ablation', test=TEST, n_clips=len(test), n_tracks=test.tracks.nunique(), table=rows)

if __name__ == '__main__': typer.run(main)
