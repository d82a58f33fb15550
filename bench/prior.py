"""The generative models that ship with celae: priors over the latents of size `musical`, of albums and of
built-in music.

    python bench/prior.py albums        (an hour on one core; goes on where it was interrupted)
    python bench/prior.py builtin       (the built-in music, of a seed that nothing else uses)

"""
import json
import logging
import time
from pathlib import Path

import torch
from common import ALBUMS, CACHE, made_once
import typer

from celae.autoencoder import load_model
from celae.beats import describe_clips
from celae.data import clip_table, join_clips, load_clips
from celae.generation import fit_prior
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
    return made_once(out/f'windows-{len(clips)}.pkl',
                     lambda: (encode_clips(load_model('musical'), clips, bs=8), describe_clips(clips)))

def learn(clips, out, steps, lr):
    "Train a prior in `out`, and write what the card of the weights says."
    (latent, described), began = encoded(clips, out), time.time()
    _, history = fit_prior(latent, clips, out, load_model('musical'), steps, BATCH, lr, described=described,
                           resume=True)
    facts = dict(minutes=(time.time() - began) / 60, seed=0, tracks=clips.table.track.nunique(),
                 threads=torch.get_num_threads(), steps=int(history.step.max()),
                 windows=clips.table.split.value_counts().to_dict(), valid_loss=history.valid_loss.min())
    (out/'prior.json').write_text(json.dumps(facts, default=float))

def main(name: str, folder: Path = ALBUMS, cache: Path = CACHE):
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    clips = join_clips(known_clips(folder if name == 'albums' else built_in(cache), cache), WINDOW)
    learn(clips, Path(f'runs/prior-{name}'), 3000, 2e-3)

if __name__ == '__main__': typer.run(main)
