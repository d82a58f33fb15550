"""What each part of the autoencoder is for: its scores without it, on albums that nothing was trained on.

    python bench/ablation.py            (ten minutes on one thread)

Nothing is trained anew: a part is left out of the decoding, or what it codes is given as it was measured.
Up to 11 kHz by size `musical` on the clips of bench/rate_distortion.py; width and air by size `stereo` on
the excerpts of bench/bitrate.py.
"""
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import typer
from bitrate import SECS, BEGIN, excerpts, stereo_scores
from common import ALBUMS, CACHE, TEST, clips_of_albums, of_each_label, write
from rate_distortion import movement, with_interval

from celae.audio import read_audio
from celae.autoencoder import (KINDS, MusicAutoencoder, SpectrumCoder, level_one, load_model, make_roll,
                               whole_frames)
from celae.bands import log_energies
from celae.evaluation import bootstrap_interval, evaluate
from celae.files import progress
from celae.metrics import PERCEPTUAL
from celae.sinusoids import find_sinusoids, stft

class TrueTones(MusicAutoencoder):
    "Tones as they were found."
    def encode(self, wav, level=None):
        self.found = make_roll(*find_sinusoids(level_one(wav)), wav.shape[-1])
        return super().encode(wav, level)
    def decode_roll(self, z, energies=None): return self.found

class TrueEnergies(MusicAutoencoder):
    "Energies as they were measured."
    def encode(self, wav, level=None):
        self.measured = whole_frames(log_energies(stft(level_one(wav))))
        return super().encode(wav, level)
    def decode_energies(self, z): return self.measured

class BothTrue(TrueTones, TrueEnergies):
    "Neither is coded."

class NoOffsets(MusicAutoencoder):
    "Tones at the middle of their semitones."
    def decode_roll(self, z, energies=None):
        amplitude, offset = super().decode_roll(z, energies)
        return amplitude, 0 * offset

class Quiet(SpectrumCoder):
    "A residual without noise."
    def decode(self, *args):
        residual, noisy = super().decode(*args)
        return residual, noisy - 99

class Silent(SpectrumCoder):
    "No residual."
    def decode(self, *args):
        residual, noisy = super().decode(*args)
        return 0 * residual, noisy

class Without(MusicAutoencoder):
    "A kind of channels at 0."
    kind = 'tonal'
    def pad(self, z):
        parts = dict(zip(KINDS, super().pad(z).split([*KINDS.values()], 1)))
        return torch.cat([0 * x if kind == self.kind else x for kind, x in parts.items()], 1)

def without(kind): return type(f'Without{kind}', (Without,), dict(kind=kind))

LOWER = {'all parts': MusicAutoencoder, 'tones not coded': TrueTones, 'energies not coded': TrueEnergies,
         'neither coded': BothTrue, 'no offsets': NoOffsets, 'no noise': Quiet, 'no residual': Silent,
         'tonal channels 0': without('tonal'), 'energy channels 0': without('energy'),
         'timbre channels 0': without('timbre')}
FULL = {'all parts': MusicAutoencoder, 'width channels 0': without('width'), 'air channels 0': without('air')}

def variant(kind, size):
    "The weights that ship with a part less."
    model = load_model(size)
    part = model.timbre if issubclass(kind, SpectrumCoder) else model
    part.__class__ = kind
    return model

def full_row(name, kind, paths):
    "Scores of the whole sound, with intervals by track."
    model, rows = variant(kind, 'stereo'), []
    for path in paths:
        start, n = round(BEGIN * model.sr), SECS * model.sr
        wav = read_audio(path, model.sr, stereo=True, start=start, n_samples=n)
        with torch.no_grad(): made = model.reconstruct(torch.from_numpy(np.ascontiguousarray(wav))[None])[0]
        rows.append(dict(track=str(path), **stereo_scores(made.numpy(), wav, model.sr)))
    table = pd.DataFrame(rows)
    def interval(score): return dict(zip((score, f'{score}_low', f'{score}_high'), (
        table[score].mean(), *bootstrap_interval(table[score], table.track))))
    return dict(part=name) | {k: v for score in table.columns[1:] for k, v in interval(score).items()}

def main(folder: Path = ALBUMS, cache: Path = CACHE, n: int = 16):
    torch.set_num_threads(1)
    test, rows = of_each_label(clips_of_albums(folder, cache).split('test'), n, 0), []
    for name, kind in progress(LOWER.items(), 'leaving out'):
        codec = variant(kind, 'musical')
        scores = evaluate(codec, test, bs=8, title='', metrics=list(PERCEPTUAL))
        rows.append(dict(part=name, **movement(codec, test)))
        for metric in PERCEPTUAL: rows[-1] |= with_interval(scores, metric)
    paths = excerpts(folder, 12, True, 0)
    full = [full_row(name, kind, paths) for name, kind in progress(FULL.items(), 'whole sound')]
    write('ablation', test=TEST, n_clips=len(test), n_tracks=test.tracks.nunique(), table=rows, full=full,
          n_excerpts=len(paths))

if __name__ == '__main__': typer.run(main)
