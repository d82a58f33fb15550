"""The autoencoder that ships with celae: trained on six albums and on built-in music, in two parts.

    python bench/autoencoder.py            (three hours on two cores; goes on where it was interrupted)

First all of it; then the decoder alone, with the energy distance, so that latents, probes and priors stay
valid. 'valid' clips of the six albums choose the best weights, and nothing learns from the test albums.
"""
import json
import logging
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import typer
from common import ALBUMS, CACHE, TEST

from celae.autoencoder import load_model
from celae.corpora.builtin import builtin_music
from celae.data import Clips, clip_table, load_clips
from celae.training import fit_codec, new_model

def split_by_album(clips, test, n_valid, seed):
    "Albums of the test; of the others, the tracks that were valid stay so, thinned to `n_valid` clips."
    table = clips.table
    split = table.split.where(table.split == 'valid', 'train').mask(table.label.isin(test), 'test')
    valid = table[split == 'valid'].sample(min(n_valid, int((split == 'valid').sum())),
                                           random_state=seed).index
    return replace(clips, table=table.assign(split=split))[(split != 'valid') | table.index.isin(valid)]

def of_each_label(clips, n, seed):
    "As many clips of each label."
    return clips[clips.table.groupby('label').sample(n, random_state=seed).index]

def in_memory(clips):
    "The clips with their own sound alone, to be sent to a different process."
    return Clips(clips.table.assign(row=range(len(clips))),
                 np.stack([clips.wavs[row] for row in clips.table.row]))

def training_clips(folder, cache, seed=0, most=2000, tracks=12):
    "Clips of the albums with their splits; and the same with built-in music added to 'train'."
    albums = in_memory(split_by_album(load_clips(clip_table(folder, most, seed=0), cache), TEST, 48, seed))
    extra = in_memory(load_clips(clip_table(builtin_music(tracks_per_style=tracks, seed=1000), 16 * tracks),
                                 cache))
    more = extra.table.assign(split='train', row=extra.table.row + len(albums))
    return albums, Clips(pd.concat([albums.table, more], ignore_index=True),
                         np.concatenate([albums.wavs, extra.wavs]))

def freeze(network):
    "Its weights, and the statistics of its normalisation, stay as they are."
    network.requires_grad_(False).eval()
    network.train = lambda mode=True: network

def train(out, clips, steps, seed=0, start=None, energy=.5):
    "Train the autoencoder in `out`: all of it, or, from the weights of `start`, its decoder."
    if (out/'minutes.json').exists(): return load_model(out)
    began = time.time()
    model, config = new_model('autoencoder', steps=steps, patience=steps, seed=seed, start=start,
                              loss_weights=dict(energy=energy))
    for network in (model.encoder, model.roll_encoder) if start else (): freeze(network)
    fit_codec(model, clips, config, out, resume=True)
    (out/'minutes.json').write_text(json.dumps((time.time() - began) / 60))
    return load_model(out)

def main(folder: Path = ALBUMS, cache: Path = CACHE, joint: int = 3200, decoder: int = 6000):
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    _, clips = training_clips(folder, cache)
    train(Path('runs/joint'), clips, joint, energy=0.)
    train(Path('runs/decoder'), clips, decoder, start='runs/joint')

if __name__ == '__main__': typer.run(main)
