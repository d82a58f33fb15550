"""The generative models that ship with celae: priors over the latents of size `musical`, of eight albums and of the built-in music.

    python bench/prior.py data/albums --out runs/prior-albums        (an hour on one core; --resume goes on where it was interrupted)
    python bench/prior.py --out runs/prior-builtin                   (the built-in music, of a seed that nothing else uses)
"""
import argparse
import json
import logging
import pickle
import time
from pathlib import Path

import torch

from celae.autoencoder import load_model
from celae.beats import describe_clips
from celae.data import atomic_write, clip_table, load_clips
from celae.generation import fit_prior
from celae.latent_analysis import encode_clips
from celae.music import builtin_music

TRACKS = 200      # of each built-in style


def built_in(cache, tracks=TRACKS):
    "The built-in music that the prior learns from, of a seed that nothing else uses."
    return builtin_music(cache/'builtin-prior', tracks, seed=20_000)


def made_once(path, make):
    "What `make` returns, kept in a file of this run."
    if not path.exists():
        made = make()
        with atomic_write(path) as part: part.write_bytes(pickle.dumps(made))
    return pickle.loads(path.read_bytes())


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, nargs='?')
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--cache', type=Path, default=Path('data/cache'))
    parser.add_argument('--clips', type=int, default=6000, help='at most')
    parser.add_argument('--steps', type=int, default=5000, help='batches of 32 clips')
    parser.add_argument('--tracks', type=int, default=TRACKS, help='of each built-in style')
    parser.add_argument('--resume', action='store_true', help='go on from the checkpoint')
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    music = args.folder or built_in(args.cache, args.tracks)
    clips = load_clips(clip_table(music, args.clips, seed=0), args.cache)
    model = load_model('musical')
    latent, described = made_once(args.out/'clips.pkl', lambda: (encode_clips(model, clips), describe_clips(clips)))
    start = time.time()
    _, history = fit_prior(latent, clips, args.out, model, args.steps, described=described, resume=args.resume)
    print(history.iloc[::10])
    facts = dict(minutes=(time.time() - start) / 60, threads=torch.get_num_threads(), seed=0, tracks=clips.table.track.nunique(), steps=int(history.step.max()),
                 clips=clips.table.split.value_counts().to_dict(), valid_loss=history.valid_loss.min())
    (args.out/'prior.json').write_text(json.dumps(facts, default=float))
