"""The generative model that ships with celae: a prior over the latents of `base` without partials, by album.

    python bench/prior.py data/albums --out runs/prior        (ten minutes on two cores)
"""
import argparse
import json
import logging
import time
from pathlib import Path

from celae.data import cache_clips, clip_table
from celae.generation import fit_prior
from celae.latent_analysis import encode_clips
from celae.models import load_model

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--out', type=Path, default=Path('runs/prior'))
    parser.add_argument('--cache', type=Path, default=Path('data/cache'))
    parser.add_argument('--steps', type=int, default=2000, help='batches of 32 clips')
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    clips, wavs = cache_clips(clip_table(args.folder, 2000, seed=0), args.cache)
    model = load_model('plain')
    latent, start = encode_clips(model, clips, wavs), time.time()
    _, history = fit_prior(latent, clips, args.out, model, args.steps)
    print(history.iloc[::10])
    (args.out/'prior.json').write_text(json.dumps(dict(minutes=(time.time() - start) / 60, n_train=int((clips.split == 'train').sum()))))
