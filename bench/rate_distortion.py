"""All codecs on whole albums that nothing was trained on.

    python bench/rate_distortion.py data/albums --out runs/rate-distortion                          (an hour and a half on two cores)
    python bench/rate_distortion.py data/albums --out runs/fold-2 --test ambient cartoon --steps 1500 --few

The hybrid autoencoder and the principal components learn from the other six albums, the hybrid one from built-in music
too; 'valid' clips of the six albums choose the best weights, and the test albums are only listened to. Goes on where it was interrupted.
"""
import argparse
import json
import logging
import time
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from common import RESULTS, write

from celae.data import CLIP_SAMPLES, SR, as_numpy, cache_clips, clip_table, clip_tensor, mp3_bytes, progress, write_whole
from celae.models import Latent, Resampling, load_latent, load_model, save_latent
from celae.music import builtin_music
from celae.references import LargestCoefficients, NoiseVocoder, PCACodec, SparseMDCT, StandingNoise, StrongestBins, file_codec
from celae.scores import HEARING, METRICS, note_f1, visqol_mos
from celae.training import AutoencoderModule, ClipData, evaluate, fit, new_model, track_interval

SIZES = (55_125, 27_563, 11_025, 6_910, 3_455, 1_728, 864)


def split_by_album(clips, test, n_valid, seed):
    "Albums of the test; of the others, the tracks that were valid stay so, thinned to `n_valid` clips."
    split = clips.split.where(clips.split == 'valid', 'train').mask(clips.label.isin(test), 'test')
    valid = clips[split == 'valid'].sample(n_valid, random_state=seed).index
    return clips.assign(split=split)[(split != 'valid') | clips.index.isin(valid)].reset_index(drop=True)


def training_clips(folder, cache, test, seed):
    "Clips of the albums with their splits, 192 clips of built-in music under 'train', and all sound."
    albums, wavs = cache_clips(clip_table(folder, 2000, seed=0), cache)
    extra, more = cache_clips(clip_table(builtin_music(tracks_per_style=12, seed=1000), 192), cache)
    albums = split_by_album(albums, test, 48, seed)
    return albums, pd.concat([albums, extra.assign(split='train', row=extra.row + len(wavs))], ignore_index=True), np.concatenate([wavs, more])


def train(out, clips, wavs, steps, seed):
    "The hybrid model in `out`, and the minutes of its training, from the last interruption on."
    if not (out/'model.safetensors').exists():
        start = time.time()
        model, loss, lr, crop, bs = new_model('hybrid', seed=seed)
        fit(AutoencoderModule(model, loss, lr), ClipData(clips, wavs, bs, crop), out, steps, patience=steps, seed=seed, resume=True, title='training')
        (out/'minutes.json').write_text(json.dumps((time.time() - start) / 60))
    return load_model(out), json.loads((out/'minutes.json').read_text())


class Identity(Resampling):
    "All samples: what the scores say of the original."
    def __init__(self): super().__init__(CLIP_SAMPLES)
    def encode(self, wav): return Latent(wav, wav.new_zeros(len(wav), 0))
    def decode(self, latent, n_samples): return latent.z


class Another(Identity):
    "Another clip of the batch: what the scores say of what has nothing to do with the original."
    def decode(self, latent, n_samples): return latent.z.roll(1, 0)


class Stored(Identity):
    "A model whose latents go through a file, 8 bits a number."
    def __init__(self, model): self.model, self.latent_size = model, model.latent_size
    def encode(self, wav): return self.model.encode(wav)

    def decode(self, latent, n_samples):
        with TemporaryDirectory() as folder:
            path = save_latent(Path(folder)/'a.celae', latent, self.model, n_samples)
            return self.model.decode(load_latent(path, self.model)[0], n_samples)


class Opus(Identity):
    "The smallest Opus file there is, at 48 kHz."
    latent_size = CLIP_SAMPLES
    def decode(self, latent, n_samples): return torch.stack([file_codec(wav.clamp(-1, 1), 'opus', .99)[0] for wav in latent.z])


def codecs_of(hybrid, pca, few):
    "Name -> codec, from the largest to the smallest; `few`: three sizes of those that lead."
    sizes = [size for size in SIZES if not few or size in (864, 1_728, 3_455)]
    codecs = {'original': Identity(), 'another clip': Another(), 'stored 3455': Stored(hybrid)}
    codecs |= {f'{"plain" if size == "plain" else "hybrid"} {hybrid.at(size).latent_size}': hybrid.at(size) for size in hybrid.sizes}
    if not few:
        tonal = load_model('tonal').take(hybrid)                 # its components come from the training clips of this fold
        codecs[f'tonal {tonal.latent_size}'] = tonal
    for size in sizes:
        codecs |= {f'resampling {size}': Resampling(size), f'sparse MDCT {size}': SparseMDCT(size, 1024 if size > 5_000 else 2048)}
        if size > 1_000 and not few: codecs |= {f'strongest bins {size}': StrongestBins(size), f'largest coefficients {size}': LargestCoefficients(size)}
        if size > 3_000 and not few: codecs[f'strongest bins of each second {size}'] = StrongestBins(size, span=11)
    codecs |= {f'PCA {codec.latent_size}': codec for codec in pca}
    return codecs | {'noise vocoder': NoiseVocoder(), 'standing noise': StandingNoise(), 'Opus, smallest': Opus()}


def begin(wavs):
    "What each process keeps: the sound of all test clips."
    global HEARD
    HEARD = wavs
    torch.set_num_threads(1)


def score(name, codec, test, slow, out):
    "Every score of every clip, and the mean row of the table, kept in `out`; `slow`: clips for the scores that are columns only."
    wavs, path = HEARD, out/'scores'/f'{name}.json'
    if path.exists(): return json.loads(path.read_text())
    start, metrics = time.time(), METRICS | HEARING
    scores = evaluate(codec, test, wavs, bs=8, title='', metrics=metrics)
    row = dict(codec=name, latent_size=codec.latent_size, **scores[list(metrics)].mean())
    for m in metrics: row |= dict(zip((f'{m}_low', f'{m}_high'), track_interval(scores, m))) | {f'{m}_spread': scores[m].std()}
    if slow:
        notes = evaluate(codec, test, wavs, bs=8, title='', metrics=dict(notes=note_f1))
        row |= dict(notes=notes.notes.mean(), **dict(zip(('notes_low', 'notes_high'), track_interval(notes.dropna(), 'notes'))))
        row['visqol'] = evaluate(codec, test.iloc[::max(1, len(test) // slow)].head(slow), wavs, title='', metrics=dict(visqol=visqol_mos)).visqol.mean()
    print(f'{name}: ' + ', '.join(f'{m} {row[m]:.3f}' for m in ('snr', *HEARING)) + f', {time.time() - start:.0f} s', flush=True)
    result = [row, scores.round(4).assign(codec=name).drop(columns='start').to_dict('records')]
    with write_whole(path) as part: part.write_text(json.dumps(result, default=float))
    return result


def timbre(wav):
    "MFCC and chroma of a clip, mean and spread: what it is found by."
    import librosa
    y = as_numpy(wav)
    rows = np.concatenate([librosa.feature.mfcc(y=y, sr=SR), 10 * librosa.feature.chroma_stft(y=y, sr=SR, tuning=0.)])
    return np.concatenate([rows.mean(1), rows.std(1)])


@lru_cache
def originals():
    "All test clips, described."
    return np.stack([timbre(wav) for wav in HEARD.astype(np.float32) / 32767])


@torch.no_grad()
def found_again(name, codec, test, out):
    "Share of all reconstructions whose nearest clip, among all test clips, is their own original; kept in `out`."
    path = out/'scores'/f'found {name}.json'
    if path.exists(): return json.loads(path.read_text())
    copies = np.stack([timbre(wav) for i in range(0, len(test), 8) for wav in codec.reconstruct(clip_tensor(test.iloc[i:i + 8], HEARD))])
    nearest = np.linalg.norm((copies[:, None] - originals()[None]) / originals().std(0), axis=2).argmin(1)
    share = float((nearest == np.arange(len(test))).mean())
    with write_whole(path) as part: part.write_text(json.dumps(share))
    return share


def keep_excerpts(codecs, test, wavs, secs=3):
    "The first clip of the first three tracks through a few codecs, short enough to be quoted: file names by track and codec."
    folder, kept = RESULTS/'rate_distortion', {}
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob('*.mp3'): old.unlink()
    some = test.groupby(['label', 'track']).head(1).groupby('label').head(2).head(3)
    for i, (track, x) in enumerate(zip(some.track, clip_tensor(some, wavs)[:, None])):
        for name, codec in dict(original=None, **codecs).items():
            with torch.no_grad(): wav = x if codec is None else codec.reconstruct(x)
            path = folder/f'{i} {name}.mp3'
            path.write_bytes(mp3_bytes(wav[0, :, :secs * SR].clamp(-1, 1)))
            kept.setdefault(track, {})[name] = path.name
    return kept


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--out', type=Path, default=Path('runs/rate-distortion'))
    parser.add_argument('--cache', type=Path, default=Path('data/cache'))
    parser.add_argument('--test', nargs='+', default=['arcade', 'orchestral'], help='albums that are only listened to')
    parser.add_argument('--steps', type=int, default=12_000, help='of the hybrid model, 8 crops of 3 s each')
    parser.add_argument('--old', type=Path, help="models/ of a run of bench/whole_run.py: its 2024 models, which have heard other tracks of the test albums, are scored too")
    parser.add_argument('--clips', type=int, default=16, help='test clips of each album')
    parser.add_argument('--slow', type=int, default=8, help='test clips for ViSQOL, of codecs below 12 000 numbers; 0: neither ViSQOL nor notes')
    parser.add_argument('--few', action='store_true', help='three sizes only, and the codecs that lead')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format='%(message)s')

    albums, clips, wavs = training_clips(args.folder, args.cache, args.test, args.seed)
    hybrid, minutes = train(args.out/'hybrid', clips, wavs, args.steps, args.seed)
    learn, everything = albums[albums.split == 'train'], albums[albums.split == 'test'].reset_index(drop=True)
    heard = wavs[everything['row']]
    everything['row'] = range(len(everything))
    test = everything.groupby('label').sample(args.clips, random_state=args.seed).reset_index(drop=True)
    batches = [clip_tensor(learn.iloc[i:i + 32], wavs) for i in range(0, 512, 32)]
    pca = [PCACodec(d).fit(batches) for d in ((16, 8, 4) if args.few else (255, 128, 51, 32, 16, 8, 4))]

    codecs = codecs_of(hybrid, pca, args.few) | {f'SiLU {size}': load_model(args.old/f'silu-{size}') for size in SIZES if args.old and size > 10_000}
    chosen = ('original', 'another', 'hybrid', 'resampling', 'sparse', 'noise', 'standing', 'Opus,')                # what the slow columns are for
    with ProcessPoolExecutor(cpu_count(), get_context('spawn'), begin, [heard]) as pool:
        jobs = [pool.submit(score, name, codec, test, args.slow if name.split()[0] in chosen and not 12_000 < codec.latent_size < CLIP_SAMPLES else 0, args.out)
                for name, codec in codecs.items()]
        searches = {name: pool.submit(found_again, name, codec, everything, args.out) for name, codec in codecs.items()
                    if not args.few and codec.latent_size <= 6_910 and name.split()[0] in chosen}
        rows, each = zip(*[job.result() for job in progress(jobs, 'scoring')])
        found = {name: job.result() for name, job in searches.items()}
    quoted = {name: codecs[name] for name in ('hybrid 3455', 'hybrid 1728', 'hybrid 864', 'sparse MDCT 3455')}
    history = pd.read_csv(args.out/'hybrid'/'history.csv').round(5).to_dict('records')
    write('rate_distortion_fold_2' if args.few else 'rate_distortion', seed=args.seed, minutes=minutes, steps=args.steps, test=list(args.test), n_clips=len(test),
          n_tracks=test.track.nunique(), n_train=int((clips.split == 'train').sum()), history=history, table=list(rows), found=found, n_found=len(everything),
          sounds={} if args.few else keep_excerpts(quoted, test, heard), clips=[clip for clips in each for clip in clips if clip['codec'].startswith('hybrid')])
