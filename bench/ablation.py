"""What each part of the autoencoder is for: size `musical` without it, on albums that nothing was trained on.

    python bench/ablation.py data/albums          (five minutes on one thread)

Nothing is trained anew: a part is left out of the decoding, or what it codes is given as it was found. The clips are those of bench/rate_distortion.py.
"""
import argparse
from pathlib import Path

import torch
from common import write
from rate_distortion import in_memory, movement, split_by_album, with_interval

from celae.autoencoder import MusicAutoencoder, load_model
from celae.data import clip_table, load_clips
from celae.files import progress
from celae.evaluation import evaluate
from celae.metrics import PERCEPTUAL


class Changed(MusicAutoencoder):
    "The autoencoder with a change to what its parts make."
    def change_z(self, z): return z
    def change_roll(self, amplitude, offset): return amplitude, offset
    def change_residual(self, tones, spec, noise): return spec, noise
    def encode_z(self, wav, roll=None): return self.change_z(super().encode_z(wav, roll))
    def decode_roll(self, z): return self.change_roll(*super().decode_roll(z))
    def add_residual(self, z, tones, detail,
                     size): return self.change_residual(tones, *super().add_residual(z, tones, detail, size))


class NoSpectrum(Changed):
    "Without the channels of the spectrum."
    def change_z(self, z): return z * self.is_tonal[:, None]


class NoSinusoids(Changed):
    "Without the channels of the sinusoids."
    def change_z(self, z): return z * ~self.is_tonal[:, None]


class NoOffsets(Changed):
    "Tones at the middle of their semitones."
    def change_roll(self, amplitude, offset): return amplitude, 0 * offset


class NoResidual(Changed):
    "Sinusoids alone."
    def change_residual(self, tones, spec, noise): return tones, 0 * noise


class NoNoise(Changed):
    "Without the stochastic part."
    def change_residual(self, tones, spec, noise): return spec, 0 * noise


class Uncoded(Changed):
    "Sinusoids as they were found: what their coding costs."
    def find_roll(self, wav):
        self.found = super().find_roll(wav)
        return self.found
    def change_roll(self, amplitude, offset): return self.found


VARIANTS = {'all parts': Changed, 'sinusoids not coded': Uncoded, 'no noise': NoNoise,
            'no offsets': NoOffsets, 'no residual': NoResidual, 'no channels of the spectrum': NoSpectrum,
            'no channels of the sinusoids': NoSinusoids}


def variant(model, kind):
    "The same weights with a part less."
    other = model.with_size('musical')
    other.__class__ = kind
    return other


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--cache', type=Path, default=Path('data/cache'))
    parser.add_argument('--test', nargs='+', default=['arcade', 'orchestral'],
                        help='albums that nothing learns from')
    parser.add_argument('--most', type=int, default=2000,
                        help='clips of the albums that test clips are drawn from')
    parser.add_argument('--clips', type=int, default=16, help='test clips of each album')
    args = parser.parse_args()
    torch.set_num_threads(1)
    clips = in_memory(split_by_album(load_clips(clip_table(args.folder, args.most, seed=0), args.cache),
                                     args.test, 48, 0).split('test'))
    test, model, rows = clips[clips.table.groupby('label').sample(args.clips,
                                                            random_state=0).index], load_model(), []
    for name, kind in progress(VARIANTS.items(), 'leaving out'):
        codec = variant(model, kind)
        scores = evaluate(codec, test, bs=8, title='', metrics=list(PERCEPTUAL))
        row = dict(part=name, **movement(codec, test))
        for metric in PERCEPTUAL: row |= with_interval(scores, metric)
        rows.append(row)
        print({key: round(value, 3) for key, value in row.items() if key in (*PERCEPTUAL, 'movement')}
              | dict(part=name), flush=True)
    write('ablation', test=args.test, n_clips=len(test), n_tracks=test.tracks.nunique(), table=rows)
