"""What each edit does to the sound, dose by dose, beside the same done to the waveform.

    python bench/edits.py data/albums                    (a quarter of an hour on two cores)

One clip of each label of the built-in music, and one of each album. Styles are asked of a classifier that
knows timbre, harmony and rhythm of other built-in tracks, not of the model.
"""
import argparse
import logging
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path

import librosa
import numpy as np
import pyloudnorm
import torch
from common import write
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from celae.autoencoder import load_model
from celae.data import CLIP_SAMPLES, clip_table, load_clips
from celae.audio import SR
from celae.files import progress
from celae.edits import Freeze, Gain, Mask, Move, Noise, Shuffle, Smooth, Towards, Transpose, stretch
from celae.latent_analysis import encode_clips
from celae.metrics import log_spectral_distance
from celae.corpora.builtin import builtin_music
from celae.set_metrics import sound_vectors

FRAME = 2048                                                # samples in a frame of z


def shuffle_wave(n_frames, wav, other):
    pieces = list(wav.split(n_frames * FRAME, -1))
    order = torch.randperm(len(pieces), generator=torch.Generator().manual_seed(0))
    return torch.cat([pieces[i] for i in order], -1)


def freeze_wave(start, wav, other):
    i, held = torch.arange(wav.shape[-1]), start * FRAME
    return wav[..., torch.where(i < held, i, held + (i - held) % FRAME).clamp(max=len(i) - 1)]


def smooth_wave(n, wav, other):
    padded = torch.nn.functional.pad(wav, ((n - 1) // 2, n // 2), mode='replicate')
    return torch.nn.functional.avg_pool1d(padded, n, 1)


def noise_wave(dose, wav, other):
    drawn = torch.randn(wav.shape, generator=torch.Generator().manual_seed(0))
    return wav + dose * wav.std() * drawn


def stretch_wave(factor, wav, other):
    return torch.from_numpy(librosa.effects.time_stretch(wav[0, 0].numpy(), rate=1 / factor))[None, None]


def transpose_wave(semitones, wav, other):
    shifted = librosa.effects.pitch_shift(wav[0, 0].numpy(), sr=SR, n_steps=semitones)
    return torch.from_numpy(shifted)[None, None]


def combine_rates(slow, fast, smooth):
    "The low-pass part in time of one clip with the high-pass part of a different one."
    return slow.with_z(smooth(slow).z + fast.z - smooth(fast).z)


def edits_of(model, z, labels):
    "Name -> unit of the dose, doses, edit by (dose, latent, other), the same by (dose, wav, other) or None."
    target = np.unique(labels)[-1]
    to_target = z[labels == target].mean((0, 2)) - z[labels != target].mean((0, 2))
    pca = PCA(1, random_state=0).fit(z.mT.reshape(-1, z.shape[1]).numpy())
    axis = torch.from_numpy(pca.components_[0] * pca.explained_variance_[0]**.5).float()
    def alone(edit): return lambda dose, a, b: edit(dose)(a)
    def towards(kind): return lambda dose, a, b: Towards(b, dose, kind)(a)
    return {
        'gain': ('factor', (.25, .5, 1, 1.5, 2, 3), alone(Gain), lambda dose, wav, other: dose * wav),
        'noise': ('share of the standard deviation', (0, .25, .5, 1, 2), alone(Noise), noise_wave),
        'smoothing': ('frames, or samples', (1, 2, 4, 8, 16), alone(Smooth), smooth_wave),
        'class direction': (f'times the way to {target}', (0, .5, 1, 2, 4),
                            alone(partial(Move, to_target)), None),
        'principal direction': ('standard deviations of the first', (-3, -1.5, 0, 1.5, 3),
                                alone(partial(Move, axis)), None),
        'transpose': ('semitones', (-7, -3, 0, 3, 7), lambda dose, a, b: Transpose(dose)(a, model),
                      transpose_wave),
        'mask': ('channels of 64 silenced', (0, 8, 16, 32, 48, 60), alone(Mask), None),
        'shuffle': ('frames in a piece', (54, 16, 8, 4, 2, 1), alone(Shuffle), shuffle_wave),
        'freeze': ('first frame held', (54, 40, 27, 13, 4), alone(Freeze), freeze_wave),
        'interpolation': ('weight of the other', (0, .25, .5, .75, 1), towards('linear'),
                          lambda dose, wav, other: torch.lerp(wav, other, dose)),
        'spherical interpolation': ('weight of the other', (0, .25, .5, .75, 1), towards('spherical'), None),
        'combined rates': ('frames of the window', (32, 16, 8, 4, 2, 1),
                           lambda dose, a, b: combine_rates(a, b, Smooth(dose)), None),
        'stretch': ('times as long', (.5, .75, 1, 1.5, 2),
                    lambda dose, a, b: stretch(a, round(dose * a.z.shape[2])), stretch_wave)}


def sample(clips, seed):
    "A whole clip of each label."
    table = clips.table[clips.table.n_samples == CLIP_SAMPLES]
    return clips[table.groupby('label').sample(1, random_state=seed).index]


def tempo_of(wav): return librosa.feature.tempo(y=wav[0, 0].numpy(), sr=SR)[0]


def describe(real, style, wav, original, before, target, label):
    "Everything that is asked of one sound (1, 1, t); `before` are tempo and vectors of the original."
    y = wav[0, 0].numpy()
    n = min(len(y), original.shape[-1])
    spec = np.abs(librosa.stft(y, n_fft=2048))
    power = (spec**2).sum(0)
    centroid = librosa.feature.spectral_centroid(S=spec, sr=SR)[0]
    x = sound_vectors(wav)
    probability = dict(zip(style.classes_, style.predict_proba(x)[0], strict=True))
    scaler, known, scale = real
    classes, classes_before = [each.filter(like='pitch class').to_numpy()[0] for each in (x, before[1])]
    loudness = pyloudnorm.Meter(SR).integrated_loudness(y.astype(float))
    flux = librosa.onset.onset_strength(S=librosa.amplitude_to_db(spec), sr=SR).mean()
    likeness = classes @ classes_before / (np.linalg.norm(classes) * np.linalg.norm(classes_before) + 1e-9)
    return dict(
        loudness=float(loudness), centroid=float((centroid * power).sum() / max(power.sum(), 1e-9)),
        flux=float(flux), changed=float(log_spectral_distance(wav[..., :n], original[..., :n])),
        own_style=float(probability.get(label, np.nan)), target_style=float(probability[target]),
        tempo=float(abs(np.log2(tempo_of(wav) / before[0]))), key=float(likeness),
        unreal=float(np.sqrt(np.square(scaler.transform(x) - known).mean(1)).min() / scale))


@torch.no_grad()
def respond(row, music, known, real, style, target):
    "All edits of one clip at all doses: rows of the table."
    logging.disable()
    torch.set_num_threads(1)
    warnings.filterwarnings('ignore')
    model, rows = load_model('musical'), []
    z, labels = known
    wav, other, label, collection = music[row]
    a, b, before = model.encode(wav), model.encode(other), (tempo_of(wav), sound_vectors(wav))
    for name, (_unit, doses, edit, on_wave) in edits_of(model, z, labels).items():
        for dose in doses:
            changed = edit(dose, a, b)
            n_samples = model.max_samples(changed.z.shape[2])
            if name != 'stretch': n_samples = min(wav.shape[-1], n_samples)
            sounds = dict(latent=model.decode(changed, n_samples))
            if on_wave: sounds['waveform'] = on_wave(dose, wav, other)
            about = dict(collection=collection, clip=row, edit=name, dose=dose)
            rows += [dict(**about, on=on, **describe(real, style, sound, wav, before, target, label))
                     for on, sound in sounds.items()]
    return rows


if __name__ == '__main__':
    how = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=how)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--cache', type=Path, default=Path('data/cache'))
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    model = load_model('musical')
    collections = {'built-in': load_clips(clip_table(builtin_music(tracks_per_style=24)), args.cache),
                   'albums': load_clips(clip_table(args.folder, 2_000), args.cache)}
    music, real = [], {}
    for name, clips in collections.items():
        chosen = sample(clips.split('test'), args.seed)
        x = chosen.tensor()
        music += [(x[[i]], x[[(i + 1) % len(x)]], chosen.labels[i], name) for i in range(len(x))]
        train = clips.split('train')
        some = train[train.table.sample(min(len(train), 240), random_state=args.seed).index]
        x = sound_vectors(some.tensor()).to_numpy()
        scaler = StandardScaler().fit(x)
        known = scaler.transform(x)
        apart = np.sqrt(np.square(known[:, None] - known).mean(2)) + 1e9 * np.eye(len(known))
        real[name] = (scaler, known, np.median(apart.min(1)))
        if name == 'built-in':
            style = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(x, some.labels)
    train = collections['built-in'].split('train')
    known = (encode_clips(model, train).z, train.labels.to_numpy())
    target = sorted(set(train.labels))[-1]
    with ProcessPoolExecutor(cpu_count(), get_context('spawn')) as pool:
        jobs = [pool.submit(respond, i, music, known, real[one[3]], style, target)
                for i, one in enumerate(music)]
        rows = [row for job in progress(jobs, 'editing') for row in job.result()]
    units = {name: part[0] for name, part in edits_of(model, *known).items()}
    n_clips = {name: sum(one[3] == name for one in music) for name in collections}
    write('edits', seed=args.seed, target=target, n_clips=n_clips, units=units, table=rows)
