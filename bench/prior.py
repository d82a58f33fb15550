"""The generative models that ship with celae: priors over the latents of size `musical`, of eight albums and of the built-in music.

    python bench/prior.py data/albums --out runs/prior-albums        (half an hour on two cores)
    python bench/prior.py --out runs/prior-builtin-1                 (the built-in music, of a seed that nothing else uses)
    python bench/prior.py --start runs/prior-builtin-1 --out runs/prior-builtin --steps 3500
"""
import argparse
import json
import logging
import time
from pathlib import Path

import torch

from celae.autoencoder import load_model
from celae.data import clip_table, load_clips
from celae.generation import fit_prior, load_prior
from celae.latent_analysis import encode_clips
from celae.music import builtin_music

TRACKS = 100      # of each built-in style


def built_in(cache, tracks=TRACKS):
    "The built-in music that the prior learns from, of a seed that nothing else uses."
    return builtin_music(cache/'builtin-prior', tracks, seed=20_000)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, nargs='?')
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--cache', type=Path, default=Path('data/cache'))
    parser.add_argument('--clips', type=int, default=8000, help='at most')
    parser.add_argument('--steps', type=int, default=5000, help='batches of 32 clips')
    parser.add_argument('--tracks', type=int, default=TRACKS, help='of each built-in style')
    parser.add_argument('--start', type=Path, help='folder of a prior to go on from')
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    music = args.folder or built_in(args.cache, args.tracks)
    clips = load_clips(clip_table(music, args.clips, seed=0), args.cache)
    model = load_model('musical')
    latent, start = encode_clips(model, clips), time.time()
    before = load_prior(args.start) if args.start else None
    _, history = fit_prior(latent, clips, args.out, model, args.steps, lr=2e-3 if before else 4e-3, start=before)
    print(history.iloc[::10])
    facts = dict(minutes=(time.time() - start) / 60, threads=torch.get_num_threads(), seed=0, tracks=clips.table.track.nunique(), steps=int(history.step.max()), clips=clips.table.split.value_counts().to_dict(), valid_loss=history.valid_loss.min())
    if before: facts |= {name: facts[name] + json.loads((args.start/'prior.json').read_text())[name] for name in ('minutes', 'steps')}
    (args.out/'prior.json').write_text(json.dumps(facts, default=float))
