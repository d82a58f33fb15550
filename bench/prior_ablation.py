"""What each part of the prior is worth: short trainings on the built-in music, each without one part, by their loss on validation tracks.

    python bench/prior_ablation.py                  (half an hour on one core; goes on where it was interrupted)

All rows see the same batches and the same validation noise. The loss is that of a flow that is told what its training was told; two seeds of the whole
prior say how far apart two trainings may lie by chance.
"""
import argparse
from pathlib import Path

import torch
from common import made_once, write
from prior import built_in, encoded, known_clips
from torch import nn

from celae import generation
from celae.generation import VelocityNetwork, fit_prior


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


class Unlinked(VelocityNetwork):
    "Without skips."
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.skips = nn.ModuleList()


ROWS = {'the prior': {}, 'the prior, another seed': dict(seed=1),
        'without attention': dict(VelocityNetwork=without('attention')), 'without convolutions': dict(VelocityNetwork=without('conv')),
        'without skips': dict(VelocityNetwork=Unlinked), 'without known parts': dict(P_BEGUN=0., P_GAP=0.),
        'not told the key': dict(told='beats'), 'not told the beats': dict(told='keys'), 'told neither': dict(told=''),
        'four blocks': dict(depth=4), 'eight blocks': dict(depth=8)}
SETTINGS = ('seed', 'depth')       # arguments of `fit_prior`; the others are names in `celae.generation`


def train(name, change, data, out, steps):
    "Loss on validation tracks after a short training."
    clips, latent, (beats, keys) = data
    told = change.get('told', 'beats keys')
    described = beats if 'beats' in told else [None] * len(clips), keys if 'keys' in told else ['C major'] * len(clips)
    swapped = {key: value for key, value in change.items() if key not in (*SETTINGS, 'told')}
    before = {key: getattr(generation, key) for key in swapped}
    for key, value in swapped.items(): setattr(generation, key, value)
    settings = {key: value for key, value in change.items() if key in SETTINGS}
    prior, history = fit_prior(latent, clips, out/name, None, steps, described=described, device='cpu', **settings)
    for key, value in before.items(): setattr(generation, key, value)
    row = dict(row=name, valid_loss=history.valid_loss.min(), train_loss=history.train_loss.iloc[-1], n_weights=sum(p.numel() for p in prior.parameters()))
    print(row, flush=True)
    return row


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('runs/prior-ablation'))
    parser.add_argument('--cache', type=Path, default=Path('data/cache'))
    parser.add_argument('--steps', type=int, default=400, help='batches of 32 clips')
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    clips = known_clips(built_in(args.cache), args.cache)
    data = clips, *encoded(clips, args.out)
    rows = [made_once(args.out/f'{name} {args.steps}.pkl', lambda name=name, change=change: train(name, change, data, args.out, args.steps)) for name, change in ROWS.items()]
    write('prior_ablation', steps=args.steps, clips=clips.table.split.value_counts().to_dict(), rows=rows)
