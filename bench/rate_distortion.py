"""All codecs on whole albums that nothing was trained on.

    python bench/rate_distortion.py            (half an hour on two cores; goes on where it was interrupted)

The model is the one that ships; principal components learn from the other six albums. The models of 2024
are those of bench/whole_run.py: they have learned from other tracks of the test albums. If they are not
there, their rows stay as they were.
"""
import json
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from importlib.util import find_spec
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
import torchaudio
import typer
from baselines import Identity, LargestCoefficients, OtherClip, StrongestBins
from common import ALBUMS, CACHE, RESULTS, SILU_SIZES, TEST, clips_of_albums, in_memory, recorded, write

from celae.autoencoder import SIZES, load_model
from celae.data import CLIP_SAMPLES
from celae.audio import SR, as_numpy
from celae.files import atomic_write, progress
from celae.display import mp3_bytes
from celae.evaluation import bootstrap_interval, evaluate
from celae.metrics import METRICS, PERCEPTUAL
from celae.models import Codec, Resampling
from celae.references import FILE_CODECS, NoiseVocoder, PCACodec, SparseMDCT, StandingNoise, file_codec
from celae.latent_files import load_latent, save_latent

ALL_METRICS = [name for name, metric in METRICS.items() if metric.quick or name in PERCEPTUAL]
ONE = [name for name, size in SIZES.items() if not size.is_full]      # sizes of one channel
REFERENCE_SIZES = (55_125, 27_563, 11_025, 6_910, 3_455, 1_728, 864)

class Stored(Codec):
    "A model whose latents go through a file."
    family = 'autoencoder, stored'
    def __init__(self, model): self.model, self.values_per_clip = model, model.values_per_clip
    def encode(self, wav, level=None): return self.model.encode(wav, level)

    def decode(self, latent, n_samples):
        with TemporaryDirectory() as folder:
            path = save_latent(Path(folder)/'a.celae', latent, self.model, n_samples)
            return self.model.decode(load_latent(path, self.model).latent, n_samples)

@torch.no_grad()
def kilobits(model, test):
    "Mean size of the files of test clips, in kbit/s."
    with TemporaryDirectory() as folder:
        sizes = [save_latent(Path(folder)/'a.celae', model.encode(x), model, CLIP_SAMPLES).stat().st_size
                 for x in test.batches(1)]
    return np.mean(sizes) * 8 / 5 / 1000

class Opus(Identity):
    "The smallest Opus file there is, at 48 kHz."
    family = 'Opus'
    def decode(self, latent, n_samples): return torch.stack([file_codec(wav.clamp(-1, 1), 'opus', .99)[0]
                                                            for wav in latent.z])

def codecs_of(model, pca):
    "Name -> codec, from the largest to the smallest."
    codecs = {'original': Identity(), 'different clip': OtherClip()}
    codecs |= {f'stored {name}': Stored(model.with_size(name)) for name in ('base', 'musical')}
    codecs |= {name: model.with_size(name) for name in ONE}
    for n in REFERENCE_SIZES:
        codecs |= {f'resampling {n}': Resampling(n),
                   f'sparse MDCT {n}': SparseMDCT(n, 1024 if n > 5_000 else 2048)}
        if n > 1_000: codecs |= {f'strongest bins {n}': StrongestBins(n),
                                 f'largest coefficients {n}': LargestCoefficients(n)}
        if n > 3_000: codecs[f'strongest bins of each second {n}'] = StrongestBins(n, period=11)
    codecs |= {f'PCA {codec.values_per_clip}': codec for codec in pca}
    return codecs | {'noise vocoder': NoiseVocoder(), 'standing noise': StandingNoise(),
                     'Opus, smallest': Opus()}

def begin(clips):
    "What each process keeps: all test clips."
    global ALL_TEST
    ALL_TEST = clips
    torch.set_num_threads(1)

def with_interval(scores, name):
    "Mean of a column, and its 95 % interval."
    part = scores.dropna(subset=name)
    return dict(zip((name, f'{name}_low', f'{name}_high'),
                    (part[name].mean(), *bootstrap_interval(part[name], part.track))))

def restlessness(wav):
    "How much log-mel bands above 2 kHz change from one frame of 16 ms to the next, in dB (b,)."
    power = torch.stft(wav[:, 0], 1024, 353, window=torch.hann_window(1024),
                       return_complex=True).abs().square()
    mel = 10 * (power.mT @ torchaudio.functional.melscale_fbanks(513, 2000., 8000., 48, SR) + 1e-7).log10()
    return mel.diff(dim=1).abs().mean((1, 2))

@torch.no_grad()
def movement(codec, test):
    "Ratio of the restlessness of reconstructions to that of the originals, and its 95 % interval."
    x = test.tensor()
    ratios = pd.Series((restlessness(torch.cat([codec.reconstruct(part)
                                                for part in x.split(8)])) / restlessness(x)).numpy())
    return dict(zip(('movement', 'movement_low', 'movement_high'),
                    (ratios.mean(), *bootstrap_interval(ratios, test.tracks))))

def score(name, codec, rows, slow, out):
    "All scores of all clips, and their means, kept in `out`; `slow`: notes are transcribed too."
    test, path = ALL_TEST[rows], out/'scores'/f'{name}.json'
    if path.exists(): return json.loads(path.read_text())
    scores = evaluate(codec, test, bs=8, title='', metrics=ALL_METRICS)
    row = dict(codec=name, values_per_clip=codec.values_per_clip)
    for m in ALL_METRICS: row |= with_interval(scores, m) | {f'{m}_std': scores[m].std()}
    row |= movement(codec, test)
    if slow and find_spec('basic_pitch'):        # it transcribes; installed by hand
        row |= with_interval(evaluate(codec, test, bs=8, title='', metrics=['notes']), 'notes')
    result = [row, scores.round(4).assign(codec=name).drop(columns='start').to_dict('records')]
    with atomic_write(path) as part: part.write_text(json.dumps(result, default=float))
    return result

def timbre(wav):
    "MFCC and chroma of a clip, mean and standard deviation: what it is found by."
    import librosa
    y = as_numpy(wav)
    rows = np.concatenate([librosa.feature.mfcc(y=y, sr=SR),
                           10 * librosa.feature.chroma_stft(y=y, sr=SR, tuning=0.)])
    return np.concatenate([rows.mean(1), rows.std(1)])

@lru_cache
def originals():
    "All test clips, described."
    return np.stack([timbre(wav) for wav in ALL_TEST.tensor()])

@torch.no_grad()
def found_again(name, codec, out):
    "Share of reconstructions whose nearest clip of all test clips is their original; kept in `out`."
    path = out/'scores'/f'found {name}.json'
    if path.exists(): return json.loads(path.read_text())
    copies = np.stack([timbre(wav) for x in ALL_TEST.batches(8) for wav in codec.reconstruct(x)])
    nearest = np.linalg.norm((copies[:, None] - originals()[None]) / originals().std(0), axis=2).argmin(1)
    share = float((nearest == np.arange(len(ALL_TEST))).mean())
    with atomic_write(path) as part: part.write_text(json.dumps(share))
    return share

def keep_excerpts(codecs, test, secs=3):
    "The first clips of three tracks through a few codecs, short enough to be quoted: track -> codec -> file."
    folder, kept = RESULTS/'rate_distortion', {}
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob('*.mp3'): old.unlink()
    some = test[test.table.groupby(['label', 'track']).head(1).groupby('label').head(2).head(3).index]
    for i, (track, x) in enumerate(zip(some.tracks, some.batches(1))):
        for name, codec in dict(original=None, **codecs).items():
            with torch.no_grad(): wav = x if codec is None else codec.reconstruct(x)
            path = folder/f'{i} {name}.mp3'
            path.write_bytes(mp3_bytes(wav[0, :, :secs * SR].clamp(-1, 1)))
            kept.setdefault(track, {})[name] = path.name
    return kept

def main(folder: Path = ALBUMS, cache: Path = CACHE, out: Path = Path('runs/rate-distortion'),
         model: str = 'musical', clips: int = 16, seed: int = 0):
    albums = clips_of_albums(folder, cache, seed)
    model, all_test, learn = load_model(model), in_memory(albums.split('test')), albums.split('train')[:512]
    rows = all_test.table.groupby('label').sample(clips, random_state=seed).index.to_numpy()
    test, old = all_test[rows], Path('runs/albums/models')
    pca = [PCACodec(d).fit(learn.batches(32)) for d in (255, 128, 51, 32, 16, 8, 4)]
    codecs = codecs_of(model, pca) | {f'SiLU {n}': load_model(old/f'silu-{n}') for n in SILU_SIZES
                                      if (old/f'silu-{n}').exists()}
    shown = ('original', 'different', 'resampling', 'sparse', 'noise', 'standing', 'Opus,', *ONE)
    def slow(name, codec):
        return name.split()[0] in shown and not 12_000 < codec.values_per_clip < CLIP_SAMPLES
    with ProcessPoolExecutor(cpu_count(), get_context('spawn'), begin, [all_test]) as pool:
        jobs = [pool.submit(score, name, codec, rows, slow(name, codec), out)
                for name, codec in codecs.items()]
        searches = {name: pool.submit(found_again, name, codec, out) for name, codec in codecs.items()
                    if codec.values_per_clip <= 6_910 and name.split()[0] in shown}
        table, each = zip(*[job.result() for job in progress(jobs, 'scoring')])
        found = {name: job.result() for name, job in searches.items()}
    known = recorded('rate_distortion')['table']
    table += tuple(row for row in known if row['codec'].startswith('SiLU') and row['codec'] not in codecs)
    files = {name: kilobits(model.with_size(name), test) for name in ONE}
    files |= {kind: np.mean([file_codec(x[0], kind, .99)[1] for x in test.batches(1)])
              for kind in FILE_CODECS}
    quoted = {name: codecs[name] for name in ('musical', 'compact', 'base', 'quarter', 'sparse MDCT 3455')}
    write('rate_distortion', seed=seed, test=TEST, n_clips=len(test),
          n_tracks=test.tracks.nunique(), table=list(table), kilobits=files, found=found,
          n_found=len(all_test), sounds=keep_excerpts(quoted, test),
          clips=[clip for clips in each for clip in clips if clip['codec'] in ONE])

if __name__ == '__main__': typer.run(main)
