"""All codecs on whole albums that nothing was trained on.

    python bench/rate_distortion.py data/albums --out runs/rate-distortion                          (an hour and a half on two cores)
    python bench/rate_distortion.py data/albums --out runs/again --model autoencoder --references   (a quarter of an hour: the model that ships; reference codecs as measured before)
    python bench/rate_distortion.py data/albums --out runs/fold-2 --test ambient cartoon --steps 1500 --few

The autoencoder and the principal components learn from the other six albums, the autoencoder from built-in music too;
'valid' clips of the six albums choose the best weights, and nothing learns from the test albums. Goes on where it was interrupted.
"""
import argparse
import json
import logging
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import lru_cache
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
import torchaudio
from baselines import Identity, LargestCoefficients, OtherClip, StrongestBins
from common import RESULTS, write

from celae.autoencoder import SIZES, Size, load_model
from celae.data import CLIP_SAMPLES, Clips, clip_table, load_clips
from celae.audio import SR, as_numpy
from celae.files import atomic_write, progress
from celae.display import mp3_bytes
from celae.evaluation import bootstrap_interval, evaluate
from celae.metrics import METRICS, PERCEPTUAL
from celae.models import Codec, Resampling
from celae.corpora.builtin import builtin_music
from celae.references import FILE_CODECS, NoiseVocoder, PCACodec, SparseMDCT, StandingNoise, file_codec
from celae.latent_files import load_latent, save_latent
from celae.training import fit_codec, new_model

ALL_METRICS = [name for name, metric in METRICS.items() if metric.quick or name in PERCEPTUAL]
REFERENCE_SIZES = (55_125, 27_563, 11_025, 6_910, 3_455, 1_728, 864)


def split_by_album(clips, test, n_valid, seed):
    "Albums of the test; of the others, the tracks that were valid stay so, thinned to `n_valid` clips."
    table = clips.table
    split = table.split.where(table.split == 'valid', 'train').mask(table.label.isin(test), 'test')
    valid = table[split == 'valid'].sample(min(n_valid, int((split == 'valid').sum())),
                                           random_state=seed).index
    return replace(clips, table=table.assign(split=split))[(split != 'valid') | table.index.isin(valid)]


def training_clips(folder, cache, test, seed, most=2000, tracks=12):
    "At `most` so many clips of the albums with their splits; and the same with built-in music, two clips a track, under 'train'."
    albums = split_by_album(load_clips(clip_table(folder, most, seed=0), cache), test, 48, seed)
    extra = load_clips(clip_table(builtin_music(tracks_per_style=tracks, seed=1000), 16 * tracks), cache)
    more = extra.table.assign(split='train', row=extra.table.row + len(albums.wavs))
    return albums, Clips(pd.concat([albums.table, more], ignore_index=True),
                         np.concatenate([albums.wavs, extra.wavs]))


def of_each_label(clips, n, seed):
    "As many clips of each label."
    return clips[clips.table.groupby('label').sample(n, random_state=seed).index]


def in_memory(clips):
    "The clips with their own sound alone, to be sent to a different process."
    return Clips(clips.table.assign(row=range(len(clips))), clips.wavs[clips.table.row])


def freeze(network):
    "Its weights, and the statistics of its normalisation, stay as they are."
    network.requires_grad_(False).eval()
    network.train = lambda mode=True: network


def train(out, clips, steps, seed, start=None, same_latents=False, energy=.5):
    "The autoencoder in `out`, and the minutes of its training, from the last interruption on."
    if not (out/'minutes.json').exists():
        began = time.time()
        model, config = new_model('autoencoder', steps=steps, patience=steps, seed=seed, start=start,
                                  loss_weights=dict(energy=energy))
        for network in (model.encoder, model.roll_encoder) if same_latents else (): freeze(network)
        fit_codec(model, clips, config, out, resume=True)
        (out/'minutes.json').write_text(json.dumps((time.time() - began) / 60))
    return load_model(out), json.loads((out/'minutes.json').read_text())


class Stored(Codec):
    "A model whose latents go through a file, 8 bits a value."
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


def codecs_of(model, pca, few):
    "Name -> codec, from the largest to the smallest; `few`: three sizes of those that lead."
    sizes = [size for size in REFERENCE_SIZES if not few or size in (864, 1_728, 3_455)]
    codecs = {'original': Identity(), 'different clip': OtherClip(), 'stored base': Stored(model),
              'stored musical': Stored(model.with_size('musical'))}
    codecs |= {name: model.with_size(name) for name in SIZES} | {'16 channels': model.with_size(Size(16)),
                                                            '8 channels': model.with_size(Size(8))}
    for size in sizes:
        codecs |= {f'resampling {size}': Resampling(size),
                   f'sparse MDCT {size}': SparseMDCT(size, 1024 if size > 5_000 else 2048)}
        if size > 1_000 and not few: codecs |= {f'strongest bins {size}': StrongestBins(size),
                                                f'largest coefficients {size}': LargestCoefficients(size)}
        if size > 3_000 and not few: codecs[f'strongest bins of each second {size}'] = StrongestBins(size, period=11)
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
    "Every score of every clip, and the mean row of the table, kept in `out`; `slow`: clips for the metrics that are columns only."
    test, path, start = ALL_TEST[rows], out/'scores'/f'{name}.json', time.time()
    if path.exists(): return json.loads(path.read_text())
    scores = evaluate(codec, test, bs=8, title='', metrics=ALL_METRICS)
    row = dict(codec=name, values_per_clip=codec.values_per_clip)
    for m in ALL_METRICS: row |= with_interval(scores, m) | {f'{m}_std': scores[m].std()}
    row |= movement(codec, test)
    if slow:
        row |= with_interval(evaluate(codec, test, bs=8, title='', metrics=['notes']), 'notes')
        row['visqol'] = evaluate(codec, test[::max(1, len(test) // slow)][:slow], title='',
                                 metrics=['visqol']).visqol.mean()
    print(f'{name}: ' + ', '.join(f'{m} {row[m]:.3f}' for m in ('snr', *PERCEPTUAL))
          + f', {time.time() - start:.0f} s', flush=True)
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
    "Share of all reconstructions whose nearest clip, among all test clips, is their own original; kept in `out`."
    path = out/'scores'/f'found {name}.json'
    if path.exists(): return json.loads(path.read_text())
    copies = np.stack([timbre(wav) for x in ALL_TEST.batches(8) for wav in codec.reconstruct(x)])
    nearest = np.linalg.norm((copies[:, None] - originals()[None]) / originals().std(0), axis=2).argmin(1)
    share = float((nearest == np.arange(len(ALL_TEST))).mean())
    with atomic_write(path) as part: part.write_text(json.dumps(share))
    return share


AGAIN = 'sparse MDCT 3455'       # the reference codec that is always measured


def keep_references(out, again=AGAIN):
    "Put the rows of reference codecs that were measured before into `out`, all but one; name -> row of all of them."
    kept = {}
    text = (RESULTS/'rate_distortion.json').read_text()
    for old, new in {'"latent_size"': '"values_per_clip"', '_spread"': '_std"',
                     'another clip': 'different clip'}.items(): text = text.replace(old, new)    # names of 0.1
    found = json.loads(text)
    (out/'scores').mkdir(parents=True, exist_ok=True)
    for row in found['table']:
        name = row['codec']
        if name == again or name.split()[0] in (*SIZES, 'stored', '16', '8', 'hybrid', 'plain',
                                                'tonal'): continue
        (out/'scores'/f'{name}.json').write_text(json.dumps([row, []]))
        if name in found['found']: (out/'scores'/f'found {name}.json').write_text(json.dumps(found['found'][name]))
        kept[name] = row
    return kept | {again: next(row for row in found['table'] if row['codec'] == again)}


def keep_excerpts(codecs, test, secs=3):
    "The first clip of the first three tracks through a few codecs, short enough to be quoted: file names by track and codec."
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


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--out', type=Path, default=Path('runs/rate-distortion'))
    parser.add_argument('--cache', type=Path, default=Path('data/cache'))
    parser.add_argument('--test', nargs='+', default=['arcade', 'orchestral'],
                        help='albums that nothing learns from')
    parser.add_argument('--steps', type=int, default=12_000, help='of the autoencoder, 8 crops of 3 s each')
    parser.add_argument('--old', type=Path,
                        help="models/ of a run of bench/whole_run.py: its 2024 models, which have learned from other tracks of the test albums, are scored too")
    parser.add_argument('--start',
                        help='model whose weights the training begins with (a folder, or a size for the one that ships)')
    parser.add_argument('--same-latents', action='store_true',
                        help='of --start: its encoders are not trained, so that latents, probes and priors made with it stay valid')
    parser.add_argument('--energy', type=float, default=.5,
                        help='weight of the distance between two draws in the training')
    parser.add_argument('--model',
                        help='model that is scored, and not trained (likewise); it must not have learned from the test albums')
    parser.add_argument('--references', action='store_true',
                        help='reference codecs keep their rows of the results that are there; one of them is measured again and must agree')
    parser.add_argument('--most', type=int, default=2000,
                        help='clips of the albums that training and test are drawn from')
    parser.add_argument('--tracks', type=int, default=12, help='of each built-in style, for the training')
    parser.add_argument('--clips', type=int, default=16, help='test clips of each album')
    parser.add_argument('--slow', type=int, default=8,
                        help='test clips for ViSQOL, of codecs below 12 000 values per clip; 0: neither ViSQOL nor notes')
    parser.add_argument('--few', action='store_true', help='three sizes only, and the codecs that lead')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format='%(message)s')

    albums, clips = training_clips(args.folder, args.cache, args.test, args.seed, args.most, args.tracks)
    model, minutes = (load_model(args.model), 0.) if args.model else train(args.out/'autoencoder', clips,
                                                            args.steps, args.seed, args.start,
                                                            args.same_latents, args.energy)
    before = keep_references(args.out) if args.references else {}
    all_test = in_memory(albums.split('test'))
    rows = all_test.table.groupby('label').sample(args.clips, random_state=args.seed).index.to_numpy()
    learn, test = albums.split('train')[:512], all_test[rows]
    pca = [PCACodec(d).fit(learn.batches(32))
           for d in ((16, 8, 4) if args.few else (255, 128, 51, 32, 16, 8, 4))]

    codecs = codecs_of(model, pca, args.few) | {f'SiLU {size}': load_model(args.old/f'silu-{size}')
                                                for size in REFERENCE_SIZES if args.old and size > 10_000}
    chosen = ('original', 'different', 'resampling', 'sparse', 'noise', 'standing', 'Opus,', *SIZES, '16',
              '8')                # what the slow columns are for
    with ProcessPoolExecutor(cpu_count(), get_context('spawn'), begin, [all_test]) as pool:
        jobs = [pool.submit(score, name, codec, rows, args.slow if name.split()[0] in chosen
                            and not 12_000 < codec.values_per_clip < CLIP_SAMPLES else 0, args.out)
                for name, codec in codecs.items()]
        searches = {name: pool.submit(found_again, name, codec, args.out) for name, codec in codecs.items()
                    if not args.few and codec.values_per_clip <= 6_910 and name.split()[0] in chosen}
        table, each = zip(*[job.result() for job in progress(jobs, 'scoring')])
        found = {name: job.result() for name, job in searches.items()}
    if before:
        old, new = before[AGAIN], next(row for row in table if row['codec'] == AGAIN)
        assert all(abs(new[m] - old[m]) < 2e-3 * max(1, abs(old[m]))
                   for m in PERCEPTUAL), f'{AGAIN} does not score as before: measure all anew'
        table += tuple(row for name, row in before.items() if name not in codecs)
    files = {name: kilobits(model.with_size(name), test)
             for name in SIZES} | {kind: np.mean([file_codec(x[0], kind, .99)[1] for x in test.batches(1)])
                                   for kind in FILE_CODECS}
    quoted = {name: codecs[name] for name in ('musical', 'compact', 'base', 'quarter', 'sparse MDCT 3455')}
    log_of = args.out/'autoencoder'/'history.csv'
    history = pd.read_csv(log_of).round(5).to_dict('records') if log_of.exists() else []
    write('rate_distortion_fold_2' if args.few else 'rate_distortion', seed=args.seed, minutes=minutes,
          steps=args.steps, test=list(args.test), n_clips=len(test), n_tracks=test.tracks.nunique(),
          n_train=len(clips.split('train')), history=history, table=list(table), kilobits=files, found=found,
          n_found=len(all_test), sounds={} if args.few else keep_excerpts(quoted, test),
          clips=[clip for clips in each for clip in clips if clip['codec'] in SIZES])
