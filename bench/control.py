"""Does new music keep the tempo and the key that were asked for? Pieces of 20 s, longer than what a prior
learns from.

    python bench/control.py                (half an hour on one core)

Tempos are drawn between those of the slowest and the fastest tenth of the clips of a label, keys among all
24. What is found in the sound is compared with what was asked: the tempo by librosa within 4 %, beats
within 70 ms (mir_eval), the key by the profiles of celae.beats. The same estimators are asked about
built-in tracks that were written with these tempos and keys, which is what can be reached, and about pieces
of which something else was asked, which is chance.
"""

import mir_eval
import numpy as np
import pandas as pd
import torch
from common import write
import typer

from celae.autoencoder import load_model
from celae.beats import KEY_NAMES, find_beats, estimate_key, steady_beats
from celae.audio import SR, safe_level
from celae.files import progress
from celae.evaluation import bootstrap_interval
from celae.generation import GUIDANCE, PRIORS, generate, load_prior
from celae.corpora.builtin import render_track

SECS, TOLERANCE = 20., .04

def wishes(prior, n, seed):
    "A label, a tempo and a key for each piece, seeds and labels in turn."
    rng = np.random.default_rng(seed)
    def one(i):
        tempos = prior.examples[i % len(prior.labels), :, 0]
        low, high = np.quantile(tempos[tempos > 0], [.1, .9])
        return dict(label=prior.labels[i % len(prior.labels)], tempo=float(rng.uniform(low, high)),
                    key=str(rng.choice(KEY_NAMES)))
    return [one(i) for i in range(n)]

def found(wav):
    "Tempo, beats and key of a sound."
    beats = find_beats(wav)
    return dict(key=estimate_key(wav), tempo=beats.tempo_bpm if beats else np.nan, times=beats.time if beats
                else np.zeros(0))

def compare(wish, heard):
    "Is it as was asked?"
    ratio, times = heard['tempo'] / wish['tempo'], steady_beats(wish['tempo'], SECS).time
    times, tonic = times[(times >= 0) & (times < SECS)], wish['key'].split()[0]
    return dict(tempo=float(abs(ratio - 1) < TOLERANCE),
                tempo_or_octave=float(any(abs(ratio / k - 1) < TOLERANCE for k in (.5, 1, 2))),
                beats=mir_eval.beat.f_measure(times, heard['times']), key=float(heard['key'] == wish['key']),
                tonic=float(heard['key'].split()[0] == tonic))

def written(wish, seed):
    "A built-in track as it was asked for."
    key, mode = wish['key'].split()
    return render_track(wish['label'], 500_000 + seed, SECS, tempo_bpm=wish['tempo'], key=key, mode=mode,
                        metre='4/4')[0]

def through(model, wav):
    "A sound through the codec."
    return safe_level(model.reconstruct(torch.from_numpy(wav)[None])[0].numpy())

def pieces(prior, model, wanted, seed, *asked):
    "New music of each label that is wanted, of which some of the rest is asked."
    for i, wish in enumerate(wanted):
        yield generate(prior, model, wish['label'], SECS, seed + i, **{name: wish[name] for name in asked})

def scores_of(wanted, sounds, title):
    "What of each wish was heard, and means with intervals."
    table = pd.DataFrame([compare(wish, found(wav))
                          for wish, wav in progress(zip(wanted, sounds), title, len(wanted))])
    found = {name: (table[name].mean(), *bootstrap_interval(table[name], table.index)) for name in table}
    return {name + end: value for name, three in found.items()
            for end, value in zip(('', '_low', '_high'), three)}

@torch.no_grad()
def study(name, n, seed):
    "Rows of one prior."
    prior, model = load_prior(name), load_model('musical')
    wanted = wishes(prior, n, seed)
    asked = {'tempo and key': ('tempo', 'key'), 'tempo': ('tempo',), 'key': ('key',), 'neither': ()}
    rows = {f'generated, {words} asked': pieces(prior, model, wanted, seed, *names)
            for words, names in asked.items()}
    if name == 'prior-builtin':
        tracks = [written(wish, i) for i, wish in enumerate(wanted)]
        rows = {'written': tracks, 'written, decoded': (through(model, wav) for wav in tracks)} | rows
    return [dict(row=row, **scores_of(wanted, sounds, f'{name}: {row}')) for row, sounds in rows.items()]

def main(n: int = 96):
    torch.set_num_threads(1)
    write('control', secs=SECS, n=n, guidance=GUIDANCE, rate=SR, priors={name: study(name, n, 0)
                                                            for name in PRIORS})

if __name__ == '__main__': typer.run(main)
