"""Probing latents of all sizes, and the layers of the encoder, on a thousand built-in tracks whose every factor is known.

    python bench/knowledge.py                     (a quarter of an hour on two cores)
    python bench/knowledge.py --silu runs/albums/models/silu-11025     with a trained model of 2024 in the table

The tracks are of another seed than those that the shipped weights have learned from.
"""
import argparse
from pathlib import Path

import librosa
import numpy as np
import torch
from common import write
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.preprocessing import StandardScaler
from track_axes import mp3

from celae.autoencoder import Size, load_model
from celae.data import CLIP_SAMPLES, load_clips
from celae.audio import SR, as_numpy
from celae.files import progress
from celae.latent_analysis import (_mirror_padding, _shares, clip_vectors, encode_clips, encode_padded, mfcc_vectors,
                                   untrained)
from celae.models import Resampling, in_evaluation
from celae.corpora.builtin import builtin_music
from celae.probing import LINEAR, NEAREST, _errors, _targets, probe_factor
from celae.references import imdct

FACTORS = ('label', 'key', 'mode', 'tempo_bpm', 'bass', 'chords', 'melody', 'drums', 'brightness_db', 'loudness_db')
POOLING = 'mean+std+modulation'


def mel_vectors(clips):
    "Mean and standard deviation of log mel bands: the input of most networks, not learned from."
    def bands(x): return librosa.power_to_db(librosa.feature.melspectrogram(y=x[0, 0].numpy(), sr=SR, n_mels=64))
    return clip_vectors(np.stack([bands(x) for x in clips.batches(1, 'mel bands')]))


@torch.no_grad()
def detail_chroma(model, clips):
    "Mean and standard deviation of the chroma of the detail that a size sends beside z."
    def tones(x): return imdct(model.encode(x).detail.to_dense(), CLIP_SAMPLES)[0, 0].numpy()
    title = f'detail of {model.size.detail} values'
    return clip_vectors(np.stack([librosa.feature.chroma_stft(y=tones(x), sr=SR, tuning=0.) for x in clips.batches(1, title)]))


@torch.no_grad()
def layer_vectors(model, clips, pooling='mean+std', bs=32):
    "name of each layer of the encoder, and `z` -> clip vectors (n_clips, n_features)"
    model = in_evaluation(model)
    layers = {'from_spectrum': model.encoder.from_spectrum}
    layers |= {f'block {i}': block for i, block in enumerate(model.encoder.blocks, 1)}
    found = {name: [] for name in (*layers, 'z')}
    def keep(name, h):
        h = _mirror_padding(h.mT if name == 'from_spectrum' else h, share)
        found[name].append(clip_vectors(h, pooling))
    def hook(name): return lambda module, args, h: keep(name, h)
    hooks = [layer.register_forward_hook(hook(name)) for name, layer in layers.items()]
    for x, share in zip(clips.batches(bs, 'encoding layer by layer'), _shares(clips).split(bs)):
        keep('z', encode_padded(model, x, share).z)
    for each in hooks: each.remove()
    return {name: np.concatenate(parts) for name, parts in found.items()}


def unevenness(weights):
    "1 less the entropy of each row, where a row with one entry has 1 and an even row 0."
    shares = weights / np.maximum(weights.sum(1, keepdims=True), 1e-12)
    return 1 + (shares * np.log(np.maximum(shares, 1e-12))).sum(1) / np.log(weights.shape[1])


def dci(x, factors, groups, seed=0):
    """Disentanglement, completeness and informativeness (Eastwood and Williams, 2018), each in [0, 1]: 1 if every
    feature serves one factor, if every factor needs one feature, if factors are predicted without error."""
    train = np.isin(groups, np.random.default_rng(seed).permutation(np.unique(groups))[::2])
    x, weights, scores = StandardScaler().fit_transform(x), [], []
    for y, kind in [_targets(factors[name]) for name in factors]:
        trees = ExtraTreesRegressor if kind == 'numbers' else ExtraTreesClassifier
        forest = trees(200, min_samples_leaf=2, max_features=1., random_state=seed)
        left, all_errors = [each.sum() for each in _errors(forest, x, y, train, ~train, kind)]
        weights.append(forest.feature_importances_)
        scores.append(max(0., 1 - left / max(all_errors, 1e-9)))
    weights = np.stack(weights, 1)                                                     # (features, factors)
    disentanglement = weights.sum(1) / weights.sum() @ unevenness(weights)
    return dict(disentanglement=float(disentanglement), completeness=float(unevenness(weights.T).mean()),
                informativeness=float(np.mean(scores)))


def add_noise(wav):
    "A sound with white noise at -20 dB."
    return wav + .1 * wav.std() * np.random.default_rng(0).standard_normal(len(wav)).astype(np.float32)


CHANGES = {                                              # name -> function of a sound (t,)
    'gain -6 dB': lambda wav: wav / 2,
    'shift .1 s': lambda wav: np.roll(wav, SR // 10),
    'shift .5 s': lambda wav: np.roll(wav, SR // 2),
    'shift 2 s': lambda wav: np.roll(wav, 2 * SR),
    'noise at 20 dB': add_noise,
    'MP3, 40 kbit/s': mp3,
    'pitch +1 semitone': lambda wav: librosa.effects.pitch_shift(wav, sr=SR, n_steps=1),
    'pitch +5 semitones': lambda wav: librosa.effects.pitch_shift(wav, sr=SR, n_steps=5),
    '10 % faster': lambda wav: librosa.effects.time_stretch(wav, rate=1.1)}


@torch.no_grad()
def invariance(vectors, wav):
    "name of each change of a sound -> distance to the unchanged clips by `vectors`, over that between clips"
    before = vectors(wav)
    scale = before.std(0) + 1e-9
    def distance(a, b): return float(np.linalg.norm((a - b) / scale, axis=1).mean())
    def each(change):                                    # what is shorter is repeated
        changed = [np.resize(change(as_numpy(one)), wav.shape[-1]) for one in wav]
        return torch.from_numpy(np.stack(changed).astype(np.float32))[:, None]
    between = np.mean([distance(before, np.roll(before, i, 0)) for i in range(1, len(before))])
    changes = progress(CHANGES.items(), 'changing sounds')
    moved = {name: distance(before, vectors(each(change))) / between for name, change in changes}
    return moved | {'another clip': 1.}


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--tracks', type=int, default=125, help='of each style')
    parser.add_argument('--silu', type=Path, help='folder of a trained model of 2024')
    args = parser.parse_args()
    clips = load_clips(builtin_music(tracks_per_style=args.tracks, seed=2000))
    clips = clips[clips.table.groupby('track').head(1).index]
    model = load_model().with_size(Size(64))
    z, untrained_z = [encode_clips(each, clips).z for each in (model, untrained(model))]
    vectors = {f'z, {dim} channels': clip_vectors(z[:, :dim], POOLING) for dim in (64, 32, 16, 8)}
    with torch.no_grad(): vectors['what the heads read in z'] = clip_vectors(model.read(z), POOLING)
    vectors |= {f'z and detail, {name}': np.hstack([clip_vectors(z[:, model.with_size(name).kept], POOLING), detail_chroma(model.with_size(name), clips)])
                for name in ('double', 'base', 'half', 'quarter')}
    vectors |= {f'layer {name}': x for name, x in layer_vectors(model, clips, POOLING).items() if name != 'z'}
    vectors |= {'untrained, 64 channels': clip_vectors(untrained_z, POOLING), 'MFCC + chroma': mfcc_vectors(clips), 'mel bands': mel_vectors(clips),
                'resampled to 11025, autocorrelation': clip_vectors(encode_clips(Resampling(11_025), clips).z, 'corr')}
    if args.silu: vectors['SiLU 11025 of 2024, flattened'] = clip_vectors(encode_clips(load_model(args.silu), clips).z, 'flatten')
    rows = [dict(vectors=name, factor=factor, by=how, **probe_factor(x, clips.table[factor], clips.tracks, by))
            for name, x in progress(vectors.items(), 'probing') for factor in FACTORS for how, by in dict(linear=LINEAR, nearest=NEAREST).items()]
    tangles = [dict(vectors=name, **dci(PCA(20, random_state=0).fit_transform(x), clips.table[list(FACTORS)], clips.tracks)) for name, x in progress(vectors.items(), 'DCI')
               if not name.startswith('layer')]
    few = clips[clips.table.groupby('label').head(4).index].tensor()
    def pooled(dim): return lambda wav: clip_vectors(model.encode(wav).z.detach()[:, :dim], POOLING)
    changed = {f'{dim} channels': invariance(pooled(dim), few) for dim in (64, 8)}
    n_classes = {f: int(clips.table[f].nunique()) for f in FACTORS}
    write('knowledge', n_tracks=len(clips), n_classes=n_classes, table=rows, dci=tangles, invariance=changed)
