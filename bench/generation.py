"""Generated clips beside real ones: the priors that ship, and what they have to beat, 1 000 clips a row.

    python bench/generation.py            (two hours on one core; goes on where it was interrupted)

The reference set is the clips that the prior has learned from; notes are transcribed of 500 clips of each
row. Each row has as many clips of each label as the held-out music: test tracks of the albums, and built-in
tracks of another seed.
"""
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch
import typer
from baselines import silu_2024
from common import ALBUMS, CACHE, write
from judges import embed
from prior import built_in, known_clips

from celae.autoencoder import load_model
from celae.data import CLIP_SAMPLES, Clips, clip_table, load_clips
from celae.audio import SR
from celae.files import atomic_write, progress
from celae.edits import average, random_latent
from celae.generation import generate, load_prior
from celae.latent_analysis import encode_clips
from celae.models import Latent, model_hash
from celae.set_metrics import ReferenceSet, evaluate_sets, note_vectors, sound_vectors

CHUNK, LONG = 125, 5   # clips described at a time; pieces of 5 s cut from one longer clip
NOTES = 500            # clips of each row whose notes are transcribed
KINDS = dict(sound=sound_vectors, notes=note_vectors, judge=embed)

def music_of(name, folder, cache, n):
    "All clips of a collection, those that the prior has learned from, and `n` that nothing has."
    music = folder if name == 'albums' else built_in(cache)
    clips = known_clips(music, cache)
    known = clips.split('train')
    if name == 'albums':
        table = clip_table(folder, seed=0)
        others = load_clips(table[table.split == 'test'], cache)
    else: others = known_clips(built_in(cache, 40_000, 63), cache)
    known, whole = [clips[(clips.table.n_samples == CLIP_SAMPLES).to_numpy()] for clips in (known, others)]
    if len(whole) < n: raise ValueError(f'{name}: {len(whole)} clips were held out, not {n}')
    return clips, known, whole[whole.table.sample(n, random_state=0).index]

def gaussian(z, n, seed, n_dims=256):
    "Draw latents from a Gaussian fitted to whole clips, in at most 256 principal components."
    flat = z.flatten(1).double()
    mean = flat.mean(0)
    _, s, v = torch.linalg.svd(flat - mean, full_matrices=False)
    k = min(n_dims, len(z) - 1)
    drawn = torch.randn(n, k, generator=torch.Generator().manual_seed(seed)).double()
    drawn = drawn * s[:k] / (len(z) - 1)**.5
    return (mean + drawn @ v[:k]).float().unflatten(1, z.shape[1:])

def rows_of(latent, rows):
    "Some clips of a latent."
    return Latent(latent.z[rows], None if latent.level is None else latent.level[rows])

def stack(latents):
    "Latents of several clips as one."
    levels = [each.level for each in latents]
    return Latent(torch.cat([each.z for each in latents]), None if levels[0] is None else torch.cat(levels))

def by_label(latent, labels, wanted, draw):
    "Latents of the labels that are wanted, in their order; `draw`: of (latents of a label, n, seed)."
    wanted, order, made = np.asarray(wanted), [], []
    for i, label in enumerate(sorted(set(wanted))):
        rows, mine = torch.tensor(np.asarray(labels) == label), np.flatnonzero(wanted == label)
        order.append(mine)
        made.append(draw(rows_of(latent, rows), len(mine), i))
    return rows_of(stack(made), torch.tensor(np.argsort(np.concatenate(order))))

def averages(latent, n, seed):
    "Averages of three known clips each."
    rng = torch.Generator().manual_seed(seed)
    threes = [torch.randperm(len(latent.z), generator=rng)[:3] for _ in range(n)]
    return stack([average([rows_of(latent, rows)]) for rows in threes])

def sample(prior, wanted, n_frames):
    "A clip of each label wanted, by seeds 0, 1, .. for each batch of 50."
    return stack([prior.sample(list(wanted[i:i + 50]), n_frames=n_frames, seed=i)
                  for i in progress(range(0, len(wanted), 50), 'generating')])

def begin(silu):
    "What each process keeps."
    global MODELS
    torch.set_num_threads(1)
    MODELS = dict(musical=load_model('musical'), silu=load_model(silu))

@torch.no_grad()
def describe(path, kind, wav):
    "Vectors of a chunk of clips: sound, or latents and the name of the model that decodes them."
    if path.exists(): return path
    if isinstance(wav, tuple):
        model, latent = MODELS[wav[0]], wav[1]
        wav = torch.cat([model.decode(rows_of(latent, [i]), CLIP_SAMPLES) for i in range(len(latent.z))])
    with atomic_write(path) as part: KINDS[kind](wav).to_parquet(part)
    return path

def speed(prior, model):
    "Seconds of music a second, of 20 s, median and range of five."
    rates = []
    for i in range(6):
        start = time.time()
        generate(prior, model, prior.labels[0], 20., seed=i)
        rates.append(20 / (time.time() - start))
    return dict(median=median(rates[1:]), low=min(rates[1:]), high=max(rates[1:]))

def rows_to_make(model, prior, silu, clips, known, others):
    "Row -> what makes its clips, or their latents, when they are wanted."
    wanted, some = others.labels.to_numpy(), known[known.table.groupby('label').head(100).index]
    latent, flat = cache(lambda: encode_clips(model, known)), cache(lambda: encode_clips(silu, some))
    n = model.latent_shape(CLIP_SAMPLES)[1]
    def long():                                                      # the first piece of each is left out
        made = sample(prior, wanted[::LONG], (LONG + 1) * n)
        return stack([Latent(made.z[..., i * n:(i + 1) * n], made.level) for i in range(1, LONG + 1)])
    def of_clips(of, n, seed): return Latent(gaussian(of.z, n, seed), random_latent(of, n, seed=seed).level)
    def drawn(draw): return lambda: by_label(latent(), known.labels, wanted, draw)
    return {'known': lambda: known, 'real, held out': lambda: others,
            'the same, decoded': lambda: encode_clips(model, others),
            'generated': lambda: sample(prior, wanted, n), 'generated, cut from half a minute': long,
            'random latents': drawn(at_random), 'Gaussian of whole clips': drawn(of_clips),
            'averages of 3 clips': drawn(averages),
            '2024 model, random': lambda: by_label(flat(), some.labels, wanted, at_random)}

def at_random(of, n, seed): return random_latent(of, n, seed=seed)

def describe_rows(rows, out, n, n_known, tag):
    "Vectors of each kind of each row, made where they are missing: (row, kind) -> clips chosen, files."
    jobs, tables = [], {}
    with ProcessPoolExecutor(cpu_count(), get_context('spawn'), initializer=begin,
                             initargs=(out/'silu',)) as pool:
        for (row, make), kind in ((item, kind) for item in rows.items() for kind in KINDS):
            n_all = n_known if row == 'known' else n
            n_clips = n_all if kind != 'notes' else n if row == 'known' else min(NOTES, n_all)
            chosen = np.random.default_rng(0).permutation(n_all)[:n_clips]
            paths = [out/f'{row}{tag * ("generated" in row)}-{kind}-{i}.parquet'
                     for i in range(0, n_clips, CHUNK)]
            tables[row, kind] = chosen, paths
            for path, mine in zip(paths, np.split(chosen, range(CHUNK, n_clips, CHUNK))):
                if path.exists(): continue
                what, name = make(), 'silu' if '2024' in row else 'musical'
                wav = what[mine].tensor() if isinstance(what, Clips) else (name, rows_of(what, mine))
                jobs.append(pool.submit(describe, path, kind, wav))
        for job in progress(jobs, 'describing', len(jobs)): job.result()
    return tables

def collect(name, folder, cache_folder, out, n):
    "The tables of one kind of music."
    out.mkdir(parents=True, exist_ok=True)
    clips, known, others = music_of(name, folder, cache_folder, n)
    model, prior = load_model('musical'), load_prior(f'prior-{name}')
    silu = silu_2024(clips, 11_025, 300, out/'silu')
    rows = {row: cache(make) for row, make in rows_to_make(model, prior, silu, clips, known, others).items()}
    tables = describe_rows(rows, out, n, len(known), f'-{model_hash(prior)}')
    wanted, half = others.labels.to_numpy(), 'generated, cut from half a minute'
    result = dict(n_known=len(known), n_clips=n, n_notes=min(NOTES, n), n_tracks=others.tracks.nunique(),
                  x_real_time=speed(prior, model))
    from_half = np.arange(len(wanted)) % len(wanted[::LONG])
    tracks = ('real, held out', 'the same, decoded', 'copies of known clips')
    groups = {half: from_half} | dict.fromkeys(tracks, others.tracks.to_numpy())
    labels = {half: wanted[::LONG][from_half]}
    for kind in KINDS:
        vectors = {row: pd.concat(map(pd.read_parquet, tables[row, kind][1]), ignore_index=True)
                   for row in rows}
        drawn = tables['generated', kind][0]                         # the same for each row but the known one
        real = ReferenceSet(vectors.pop('known'), known.labels.to_numpy()[tables['known', kind][0]])
        nearest = real.distances(vectors['real, held out']).argmin(1)
        vectors['copies of known clips'] = real.vectors.iloc[nearest].reset_index(drop=True)
        sets = {row: (x, labels.get(row, wanted)[drawn], groups.get(row, np.arange(len(wanted)))[drawn])
                for row, x in vectors.items()}
        result[kind] = evaluate_sets(sets, real).to_dict('records')
    return result

def main(folder: Path = ALBUMS, out: Path = Path('runs/generation'), cache: Path = CACHE, n: int = 1000):
    write('generation', rate=SR, music={name: collect(name, folder, cache, out/name, n)
                                        for name in ('builtin', 'albums')})

if __name__ == '__main__': typer.run(main)
