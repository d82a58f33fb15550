"""The generative models that ship with celae: priors over the latents of size `musical`, of eight albums and of the built-in music.

    python bench/prior.py data/albums --out runs/prior-albums        (an hour on one core; --resume goes on where it was interrupted)
    python bench/prior.py --out runs/prior-builtin                   (the built-in music, of a seed that nothing else uses)
    python bench/prior.py --out runs/prior-builtin-keys --start runs/prior-builtin --steps 2500 --lr 1e-3 --transposed 2      (20 minutes more)

Those that ship have learned in two parts: 5 000 batches, with times around one half (`celae.generation.TIME_LOGIT` was 0), then 2 500 with times nearer
to noise and with two copies of each window in other keys.
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
from celae.data import clip_table, join_clips, load_clips
from celae.generation import fit_prior, load_prior
from celae.latent_analysis import encode_clips
from celae.corpora.builtin import builtin_music

TRACKS, SECS = 300, 15.   # of each built-in style, and how long they are
WINDOW, BATCH = 3, 12     # clips that are learned as one, and windows in a batch


def built_in(cache, seed=20_000, tracks=TRACKS):
    "The built-in music that the prior learns from, of a seed that nothing else uses."
    return builtin_music(cache/f'music-{tracks}-{seed}', tracks, secs=SECS, seed=seed)


def known_clips(music, cache):
    "The clips that a prior learns from, with their splits."
    return load_clips(clip_table(music, seed=0), cache)


def encoded(clips, out):
    "Latents of windows of clips, and their beats and keys."
    return made_once(out/f'windows-{len(clips)}.pkl', lambda: (encode_clips(load_model('musical'), clips, bs=8), describe_clips(clips)))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, nargs='?')
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--cache', type=Path, default=Path('data/cache'))
    parser.add_argument('--steps', type=int, default=5000, help='batches of 12 windows of 15 s')
    parser.add_argument('--lr', type=float, default=2e-3, help='highest learning rate')
    parser.add_argument('--start', type=Path, help='what this has made before, to go on from')
    parser.add_argument('--transposed', type=int, default=0, help='copies of each window in other keys')
    parser.add_argument('--resume', action='store_true', help='go on from the checkpoint')
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    clips = join_clips(known_clips(args.folder or built_in(args.cache), args.cache), WINDOW)
    (latent, described), start = encoded(clips, args.out), time.time()
    before = json.loads((args.start/'prior.json').read_text()) if args.start else dict(steps=0, minutes=0)
    how = dict(described=described, start=args.start and load_prior(args.start), n_transposed=args.transposed, resume=args.resume)
    _, history = fit_prior(latent, clips, args.out, load_model('musical'), args.steps, BATCH, args.lr, **how)
    print(history.iloc[::10])
    facts = dict(minutes=before['minutes'] + (time.time() - start) / 60, threads=torch.get_num_threads(), seed=0, tracks=clips.table.track.nunique(), steps=before['steps'] + int(history.step.max()),
                 n_transposed=args.transposed, windows=clips.table.split.value_counts().to_dict(), valid_loss=history.valid_loss.min())
    (args.out/'prior.json').write_text(json.dumps(facts, default=float))
