"""Two channels, or their middle and side: which of the two comes back better from the codec?

    python bench/stereo.py                    (two minutes on one core)

Excerpts of 5 s of stereo tracks, one of each of a number of tracks of each album, not of their first half
minute. Both ways cost as many values. Of the decoded stereo sound: the scores of left and right, the error
of the level difference of the channels in three bands, and of their correlation.
"""
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from common import ALBUMS, write
import typer
from einops import rearrange

from celae.autoencoder import load_model
from celae.data import CLIP_SAMPLES, clip_table
from celae.audio import SR, read_audio
from celae.files import progress
from celae.evaluation import bootstrap_interval
from celae.metrics import METRICS, PERCEPTUAL

BANDS = (0, 500, 2000, SR / 2)     # Hz

def excerpts(folder, n, seed):
    "Stereo sound (1, 2, t) and label of some tracks of each album that differ on both sides."
    table = clip_table(folder, seed=0)
    table = table[(table.split == 'test') & (table.n_samples
                                             == CLIP_SAMPLES)].groupby('track').sample(1, random_state=seed)
    for label, rows in table.sample(frac=1, random_state=seed).groupby('label'):
        found = 0
        for row in rows.itertuples():
            wav = read_audio(row.path, stereo=True, start=row.start, n_samples=CLIP_SAMPLES)
            if len(wav) != 2 or np.abs(wav[0] - wav[1]).max() < 1e-3 or found == n: continue
            found += 1
            yield label, row.track, torch.from_numpy(wav)[None]

def as_channels(model, wav):
    "Left and right, each by itself."
    return rearrange(model.reconstruct(rearrange(wav, 'b c t -> (b c) 1 t')), '(b c) 1 t -> b c t', c=2)

def as_middle_and_side(model, wav):
    "Their mean and half of their difference, each by itself."
    turn = torch.tensor([[.5, .5], [.5, -.5]])
    middle, side = as_channels(model, turn @ wav).unbind(1)
    return torch.stack([middle + side, middle - side], 1)

def levels(wav):
    "Level of each channel in each band in dB (c, bands), and correlation of the channels."
    spec = torch.stft(wav[0], 2048, window=torch.hann_window(2048), return_complex=True).abs().square().sum(2)
    hz = torch.linspace(0, SR / 2, spec.shape[1])
    bands = [spec[:, (hz >= low) & (hz < high)].sum(1) for low, high in zip(BANDS, BANDS[1:])]
    return 10 * torch.stack(bands,
                            1).clamp_min(1e-6).log10().numpy(), float(np.corrcoef(wav[0].numpy())[0, 1])

def compare(made, wav):
    "Scores of a decoded stereo sound."
    sides = [rearrange(x, 'b c t -> (b c) 1 t') for x in (made, wav)]
    scores = {name: float(METRICS[name].function(*sides).nanmean()) for name in PERCEPTUAL}
    (levels_hat, r_hat), (real, r) = levels(made), levels(wav)
    difference = np.abs((levels_hat[0] - levels_hat[1]) - (real[0] - real[1])).mean()
    return scores | dict(level_difference_db=float(difference), correlation=r_hat, correlation_of_original=r,
                         correlation_error=abs(r_hat - r))

@torch.no_grad()
def study(folder, n, seed):
    "One row for each way and each excerpt."
    model = load_model('musical')
    ways = {'left and right': as_channels, 'middle and side': as_middle_and_side}
    for label, track, wav in progress(list(excerpts(folder, n, seed)), 'both ways'):
        for name, way in ways.items(): yield dict(way=name, label=label, track=track,
                                                  **compare(way(model, wav), wav))

def main(folder: Path = ALBUMS, n: int = 3, seed: int = 0):
    torch.set_num_threads(1)
    table = pd.DataFrame(study(folder, n, seed))
    names = [name for name in table if name not in ('way', 'label', 'track')]
    wide = table.pivot(index=['label', 'track'], columns='way', values=names)
    rows = []
    for name in names:
        left_right, middle_side = wide[name]['left and right'], wide[name]['middle and side']
        gain = middle_side - left_right
        low, high = bootstrap_interval(gain, gain.index.get_level_values('track'))
        rows.append(dict(score=name, left_right=left_right.mean(), middle_side=middle_side.mean(),
                         difference=gain.mean(), low=low, high=high))
    write('stereo', n_tracks=len(wide), seed=seed, rows=rows)

if __name__ == '__main__': typer.run(main)
