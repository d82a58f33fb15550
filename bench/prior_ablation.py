"""What each part of the prior is worth: short trainings on built-in music, each without one part, by
validation loss.

    python bench/prior_ablation.py                  (an hour on one core; goes on where it was interrupted)

All rows see the same number of frames and the same validation noise. The loss is that of a flow that is
told all; of one that was never told beats and keys, without them. Two seeds of the whole prior say how far
apart two trainings may lie by chance.
"""
from functools import partial
from pathlib import Path

import numpy as np
import torch
from common import CACHE, made_once, write
from prior import BATCH, WINDOW, built_in, encoded, known_clips
from torch import nn
import typer

from celae import generation
from celae.autoencoder import load_model
from celae.beats import beat_channels, key_index
from celae.data import join_clips
from celae.generation import FRAME_SECS, Conditions, VelocityNetwork, fit_prior, flow_loss

class Nothing(nn.Module):
    "Adds nothing."
    def forward(self, x): return torch.zeros_like(x)

def without(*parts):
    "The network with some parts of each block taken out."
    class Less(VelocityNetwork):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            for block in self.blocks:
                for part in parts: setattr(block, part, Nothing())
    return Less

class Linked(VelocityNetwork):
    "With skips from each block of the first half to its counterpart in the second."
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        n, width = len(self.blocks), self.first.out_features
        self.joins, self.passed = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(n // 2)), []
        for i, block in enumerate(self.blocks):
            if i < n // 2: block.register_forward_hook(self.keep)
            if i >= n - n // 2: block.register_forward_pre_hook(self.join(i - n))

    def keep(self, block, args, h): self.passed.append(h)

    def join(self, i): return lambda block, args: (self.joins[i](torch.cat([args[0], self.passed.pop()], 2)),
                                                   args[1])

ROWS = {'the prior': {}, 'the prior, another seed': dict(seed=1),
        'without attention': dict(VelocityNetwork=without('attention')),
        'without convolutions': dict(VelocityNetwork=without('conv')),
        'with skips': dict(VelocityNetwork=Linked), 'clips of 5 s, not windows of 15 s': dict(window=1),
        'without known parts': dict(P_BEGUN=0., P_GAP=0.), 'times around one half': dict(TIME_LOGIT=0.),
        'and each window in another key': dict(n_transposed=1), 'told neither beats nor key': dict(told=''),
        'four blocks': dict(depth=4), 'eight blocks': dict(depth=8)}
SETTINGS = ('seed', 'depth',
            'n_transposed')   # of `fit_prior`; others, but told and window, are of celae.generation

def told_of(described, told):
    "Beats and keys, or what stands for not knowing them."
    beats, keys = described
    if 'beats' not in told: beats = [None] * len(beats)
    return beats, keys if 'keys' in told else ['C major'] * len(keys)

@torch.no_grad()
def valid_loss(prior, clips, latent, described):
    "Flow loss on validation clips, by the same noise for each prior."
    rows = np.flatnonzero(clips.table.split == 'valid')
    z, (beats, keys) = prior.normalise(latent.z[rows]), described
    index = torch.tensor([prior.label_index(clips.labels[i]) for i in rows])
    beats = torch.stack([beat_channels(beats[i], z.shape[2], FRAME_SECS) for i in rows])
    asked = Conditions.of(index, torch.tensor([key_index(keys[i]) for i in rows]), beats, z)
    return float(flow_loss(prior.eval(), z, asked, torch.Generator().manual_seed(0)))

def train(name, change, data, out, steps):
    "Loss on validation tracks after a short training."
    told = change.get('told', 'beats keys')
    clips, latent, described = data[change.get('window', WINDOW)]
    swapped = {key: value for key, value in change.items() if key not in (*SETTINGS, 'told', 'window')}
    before = {key: getattr(generation, key) for key in swapped}
    for key, value in swapped.items(): setattr(generation, key, value)
    settings = {key: value for key, value in change.items() if key in SETTINGS}
    bs = BATCH * WINDOW // change.get('window', WINDOW)
    prior, _ = fit_prior(latent, clips, out/name, load_model('musical'), steps, bs,
                         described=told_of(described, told), device='cpu', **settings)
    losses = {f'loss_{5 * n}_s': valid_loss(prior, *found[:2], told_of(found[2], told))
              for n, found in data.items()}
    for key, value in before.items(): setattr(generation, key, value)
    row = dict(row=name, **losses, n_weights=sum(p.numel() for p in prior.parameters()))
    print(row, flush=True)
    return row

def main(out: Path = Path('runs/prior-ablation'), cache: Path = CACHE, steps: int = 400):
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    known = known_clips(built_in(cache), cache)
    windows = {n: join_clips(known, n) for n in (1, WINDOW)}
    data = {n: (clips, *encoded(clips, out)) for n, clips in windows.items()}
    rows = [made_once(out/f'{name} {steps}.pkl', partial(train, name, change, data, out, steps))
            for name, change in ROWS.items()]
    write('prior_ablation', steps=steps, clips=known.table.split.value_counts().to_dict(), rows=rows)

if __name__ == '__main__': typer.run(main)
