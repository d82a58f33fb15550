"""All codecs on two whole albums that nothing was trained on.

    python bench/rate_distortion.py data/albums --out runs/rate-distortion     (about an hour on two cores)

The hybrid autoencoder and the principal components learn from the other six albums; 'valid' clips of those choose the
best weights, and the two albums are only listened to. Goes on where it was interrupted.
"""
import argparse
import json
import logging
import time
from pathlib import Path

import pandas as pd
import torch
from common import RESULTS, write

from celae.data import SR, cache_clips, clip_table, clip_tensor, mp3_bytes
from celae.models import Resampling, load_model
from celae.references import LargestCoefficients, NoiseVocoder, PCACodec, StandingNoise, StrongestBins
from celae.scores import HEARING, METRICS
from celae.training import AutoencoderModule, ClipData, evaluate, fit, new_model, track_interval

TEST = ('arcade', 'orchestral')


def split_by_album(clips, n_valid, seed):
    "Two albums are the test; of the others, the tracks that were valid stay so, thinned to `n_valid` clips."
    split = clips.split.where(clips.split == 'valid', 'train').mask(clips.label.isin(TEST), 'test')
    valid = clips[split == 'valid'].sample(n_valid, random_state=seed).index
    return clips.assign(split=split)[(split != 'valid') | clips.index.isin(valid)].reset_index(drop=True)


def train(out, clips, wavs, steps, seed):
    "The hybrid model in `out`, and the minutes of its training, from the last interruption on."
    if not (out/'model.safetensors').exists():
        start = time.time()
        model, loss, lr, crop = new_model('hybrid', seed=seed)
        fit(AutoencoderModule(model, loss, lr), ClipData(clips, wavs, bs=8, crop=crop), out, steps, seed=seed, resume=True, title='training')
        (out/'minutes.json').write_text(json.dumps((time.time() - start) / 60))
    return load_model(out), json.loads((out/'minutes.json').read_text())


def codecs_of(hybrid, pca):
    "Name -> codec, from the largest to the smallest."
    codecs = {'hybrid': hybrid, **{f'PCA {codec.latent_size}': codec for codec in pca}}
    for size in (55_125, 27_563, 11_025, 3_457, 1_729, 864): codecs[f'resampling {size}'] = Resampling(size)
    for size in (55_125, 27_563, 11_025, 3_457, 1_729):
        codecs[f'strongest bins {size}'] = StrongestBins(size)
        if size > 3_000: codecs[f'strongest bins of each second {size}'] = StrongestBins(size, span=11)
        codecs[f'largest coefficients {size}'] = LargestCoefficients(size)
    return codecs | {'noise vocoder': NoiseVocoder(), 'standing noise': StandingNoise()}


def keep_excerpts(codecs, test, wavs, secs=3):
    "The first clip of the first three tracks through a few codecs, short enough to be quoted: file names by track and codec."
    folder, kept = RESULTS/'rate_distortion', {}
    folder.mkdir(parents=True, exist_ok=True)
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
    parser.add_argument('--steps', type=int, default=4000, help='of the hybrid model, 8 crops of 3 s each')
    parser.add_argument('--clips', type=int, default=16, help='test clips of each album')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format='%(message)s')

    clips, wavs = cache_clips(clip_table(args.folder, 2000, seed=0), args.cache)
    clips = split_by_album(clips, 48, args.seed)
    hybrid, minutes = train(args.out/'hybrid', clips, wavs, args.steps, args.seed)
    learn, test = clips[clips.split == 'train'], clips[clips.split == 'test']
    test = test.groupby('label').sample(args.clips, random_state=args.seed).reset_index(drop=True)
    batches = [clip_tensor(learn.iloc[i:i + 32], wavs) for i in range(0, 512, 32)]
    pca = [PCACodec(d).fit(batches) for d in (255, 128, 51, 16, 8)]

    metrics, rows, each = METRICS | HEARING, [], []
    codecs = codecs_of(hybrid, pca)
    for name, codec in codecs.items():
        scores = evaluate(codec, test, wavs, bs=8, title=f'scoring {name}', metrics=metrics)
        spans = {f'{m}_{end}': value for m in metrics for end, value in zip(('low', 'high'), track_interval(scores, m))}
        rows.append(dict(codec=name, latent_size=codec.latent_size, **scores[list(metrics)].mean(), **spans))
        each.append(scores.round(4).assign(codec=name))
        print(pd.DataFrame(rows)[['codec', 'latent_size', 'snr', *HEARING]].round(3).tail(1).to_string(header=False), flush=True)
    heard = {name: codecs[name] for name in ('hybrid', 'resampling 3457', 'strongest bins 3457', 'noise vocoder')}
    history = pd.read_csv(args.out/'hybrid'/'history.csv').round(5).to_dict('records')
    write('rate_distortion', seed=args.seed, minutes=minutes, steps=args.steps, test=list(TEST), n_clips=len(test), n_tracks=test.track.nunique(),
          n_train=len(learn), history=history, table=rows, sounds=keep_excerpts(heard, test, wavs), clips=pd.concat(each).drop(columns='start').to_dict('records'))
