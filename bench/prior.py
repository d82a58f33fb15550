"""The generative models that ship with celae: priors over the latents of size `musical`, of eight albums and of the built-in music.

    python bench/prior.py data/albums --out runs/prior-albums        (an hour on one core; --resume goes on where it was interrupted)
    python bench/prior.py --out runs/prior-builtin                   (the built-in music, of a seed that nothing else uses)
"""
import argparse
import json
import logging
import time
from pathlib import Path

import torch
from common import made_once

from celae.autoencoder import load_model
from celae.beats import describe_clips
from celae.data import clip_table, load_clips
from celae.generation import fit_prior
from celae.latent_analysis import encode_clips
from celae.music import builtin_music

TRACKS = 200      # of each built-in style
CLIPS = 6000      # at most


def built_in(cache, tracks=TRACKS):
    "The built-in music that the prior learns from, of a seed that nothing else uses."
    return builtin_music(cache/'builtin-prior', tracks, seed=20_000)


def known_clips(music, cache, clips=CLIPS):
    "The clips that a prior learns from, with their splits."
    return load_clips(clip_table(music, clips, seed=0), cache)


def encoded(clips, out):
    "Latents of clips, and their beats and keys."
    return made_once(out/'clips.pkl', lambda: (encode_clips(load_model('musical'), clips), describe_clips(clips)))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, nargs='?')
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--cache', type=Path, default=Path('data/cache'))
    parser.add_argument('--clips', type=int, default=CLIPS, help='at most')
    parser.add_argument('--steps', type=int, default=5000, help='batches of 32 clips')
    parser.add_argument('--tracks', type=int, default=TRACKS, help='of each built-in style')
    parser.add_argument('--resume', action='store_true', help='go on from the checkpoint')
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    clips = known_clips(args.folder or built_in(args.cache, args.tracks), args.cache, args.clips)
    (latent, described), start = encoded(clips, args.out), time.time()
    _, history = fit_prior(latent, clips, args.out, load_model('musical'), args.steps, described=described, resume=args.resume)
    print(history.iloc[::10])
    facts = dict(minutes=(time.time() - start) / 60, threads=torch.get_num_threads(), seed=0, tracks=clips.table.track.nunique(), steps=int(history.step.max()),
                 clips=clips.table.split.value_counts().to_dict(), valid_loss=history.valid_loss.min())
    (args.out/'prior.json').write_text(json.dumps(facts, default=float))
