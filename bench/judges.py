"""An independent judge: set metrics on the embedding of a published network that shares nothing with celae.

    python bench/judges.py           (a quarter of an hour on one thread; goes on where it was interrupted)

The network is VibeNet's (GPL-3, `pip install --no-deps vibenet pydub`, weights inside): an EfficientNet-B0
that predicts energy, valence and five more of music from FMA. It is no dependency, since it pins an old
typer, and celae never imports it. Reference: clips of the eight albums that the prior has learned from;
sets: as many clips of each album as the held-out ones, which are of different tracks. Noise, single albums
and the held-out clips calibrate the scale. Of the network's 1 280 numbers all but some thirty rest, and
move together in a few clips only, which then decide every distance: so 24 are kept, by the network's own
weights. How many, and their logarithm, was chosen with all of these rows in view, for the sake of the
calibration: other choices order noise and sizes alike, and differ on what is generated or drawn by chance.
"""
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from common import ALBUMS, CACHE, write
import typer

from celae.autoencoder import load_model
from celae.data import CLIP_SAMPLES, clip_table, load_clips
from celae.audio import SR, as_numpy
from celae.files import atomic_write, progress
from celae.edits import random_latent
from celae.generation import load_prior
from celae.latent_analysis import encode_clips
from celae.references import NoiseVocoder
from celae.set_metrics import ReferenceSet, evaluate_sets, frechet_distance, sound_vectors

NODE, RATE = 'view', 16_000        # the 1 280 numbers before the last layers; what the network hears
GAIN, N_ALIVE = 'backbone.features.8.1.weight', 24   # only numbers with a large gain move
REST = .2785                       # below 0: the lowest that the activation reaches
NOISE_DB = (30, 20, 10, 0)         # signal to added white noise
DRAWN = ('generated', 'averages of 3 clips', 'random latents')

@lru_cache
def network():
    "The network with the embedding as an output more, and the places of the numbers that move."
    import onnx
    import onnxruntime
    model = onnx.load(resources.files('vibenet.artifacts')/'efficientnet_model.onnx')
    model.graph.output.append(onnx.helper.make_tensor_value_info(NODE, onnx.TensorProto.FLOAT, None))
    gain = next(onnx.numpy_helper.to_array(each) for each in model.graph.initializer if each.name == GAIN)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options,
                                        providers=['CPUExecutionProvider']), gain.argsort()[::-1][:N_ALIVE]

def embed(wavs):
    "Logarithms of the numbers that move, a row for each clip (b, 1, t), by the package's mel bands."
    import soxr
    from vibenet.core import extract_mel
    session, alive = network()
    def one(wav): return session.run([NODE],
                                     {'x': extract_mel(soxr.resample(as_numpy(wav), SR, RATE),
                                                       RATE)[None]})[0][0, alive]
    rows = np.stack([one(wav) for wav in progress(list(wavs), 'embedding clips')])
    return pd.DataFrame(np.log1p(np.maximum(rows + REST, 0)), columns=[f'{NODE} {i}' for i in alive])

KINDS = dict(embedding=embed, sound=sound_vectors)

def music_of(folder, cache, n, n_known):
    "`n_known` clips of each album that the prior has learned from, and `n` of other tracks."
    table = clip_table(folder, seed=0)
    whole = table[table.n_samples == CLIP_SAMPLES]
    known = whole[whole.split == 'train'].groupby('label').sample(n_known, random_state=0)
    others = whole[whole.split == 'test'].sample(n, random_state=0)
    return [load_clips(each.sort_values(['track', 'start']), cache) for each in (known, others)]

def with_noise(wav, db, seed=0):
    "Clips with white noise added, `db` below each."
    noise = torch.randn(wav.shape, generator=torch.Generator().manual_seed(seed))
    return wav + noise * wav.square().mean((1, 2), keepdim=True).sqrt() * 10**(-db / 20)

@torch.no_grad()
def decoded(codec, latent):
    "Clips of latents, one by one."
    from generation import rows_of
    return torch.cat([codec.decode(rows_of(latent, [i]), CLIP_SAMPLES)
                      for i in progress(range(len(latent.z)), 'decoding')])

@torch.no_grad()
def coded(codec, clips): return torch.cat([codec.reconstruct(x) for x in clips.batches(8, codec.label)])

def sets_of(known, others):
    "Name of each set -> values per clip, and what makes its clips."
    from generation import averages, by_label, sample     # which imports `embed`
    model, prior, wanted = load_model(), load_prior('prior-albums'), others.labels.to_numpy()
    musical = model.with_size('musical')
    latent = encode_clips(musical, known)
    def drawn(draw): return lambda: decoded(musical, by_label(latent, known.labels, wanted, draw))
    codecs = {name: model.with_size(name) for name in ('double', 'base', 'half', 'quarter', 'musical',
                                                       'compact')} | {'noise vocoder': NoiseVocoder()}
    sets = {'real, held out': (None, others.tensor)}
    sets |= {f'noise at {db} dB': (None, lambda db=db: with_noise(others.tensor(), db)) for db in NOISE_DB}
    sets |= {name: (codec.values_per_clip, lambda codec=codec: coded(codec, others))
             for name, codec in codecs.items()}
    return sets | {'generated': (None, lambda: decoded(musical, sample(prior, wanted, latent.z.shape[2]))),
                   'averages of 3 clips': (None, drawn(averages)),
                   'random latents': (None, drawn(lambda of, n, seed: random_latent(of, n, seed=seed)))}

def vectors_of(name, make, out):
    "Every kind of vectors of one set, kept in `out`."
    paths = {kind: out/f'{name}-{kind}.parquet' for kind in KINDS}
    wavs = None if all(path.exists() for path in paths.values()) else make()
    for kind, path in paths.items():
        if path.exists(): continue
        with atomic_write(path) as part: KINDS[kind](wavs).to_parquet(part)
    return {kind: pd.read_parquet(path) for kind, path in paths.items()}

def single_albums(vectors, labels):
    "Fréchet distance of each album to all others: music, but different music."
    def one(album):
        mine = labels == album
        real = ReferenceSet(vectors[~mine].reset_index(drop=True))
        return frechet_distance(real.points, real.reduce.transform(vectors[mine]))
    return {album: one(album) for album in progress(sorted(set(labels)), 'album by album')}

def main(folder: Path = ALBUMS, out: Path = Path('runs/judges'), cache: Path = CACHE, n: int = 240):
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    known, others = music_of(folder, cache, n, n)
    sets = sets_of(known, others)
    reference = vectors_of('known', known.tensor, out)
    vectors = {name: vectors_of(name, make, out) for name, (_, make) in progress(sets.items(), 'making sets')}
    table, albums, itself = [], {}, {}
    for kind in KINDS:
        real = ReferenceSet(reference[kind], known.labels)
        groups = dict.fromkeys(DRAWN,
                               np.arange(len(others)))          # nothing of a set that is drawn has a track
        rows = {name: (each[kind], others.labels.to_numpy(), groups.get(name, others.tracks.to_numpy()))
                for name, each in vectors.items()}
        scores = evaluate_sets(rows, real).assign(by=kind,
                                                  values_per_clip=[size for size, _ in sets.values()])
        table += scores.to_dict('records')
        albums[kind] = single_albums(reference[kind], known.labels.to_numpy())
        itself[kind] = frechet_distance(real.points, real.points)
    write('judges', n_clips=len(others), n_known=len(known), n_tracks=others.tracks.nunique(),
          n_numbers=N_ALIVE, itself=itself, albums=albums, table=table)

if __name__ == '__main__': typer.run(main)
