"""What latents of all sizes, and the layers of the encoder, know of a thousand built-in tracks whose every factor is known.

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

from celae.data import CLIP_SAMPLES, SR, cache_clips, clip_table, clip_tensor, progress
from celae.knowledge import LINEAR, NEAREST, dci, invariance, layer_vectors, read_factor
from celae.latent_analysis import clip_vectors, encode_clips, mfcc_vectors, untrained
from celae.models import Latent, Resampling, load_model
from celae.music import builtin_music

FACTORS = ('label', 'key', 'mode', 'tempo_bpm', 'bass', 'chords', 'melody', 'drums', 'brightness_db', 'loudness_db')
POOLING = 'mean+std+modulation'


def mel_vectors(clips, wavs):
    "Mean and spread of log mel bands: the input of most networks, not learned from."
    def bands(i): return librosa.power_to_db(librosa.feature.melspectrogram(y=clip_tensor(clips.iloc[[i]], wavs)[0, 0].numpy(), sr=SR, n_mels=64))
    return clip_vectors(np.stack([bands(i) for i in progress(range(len(clips)), 'mel bands')]))


@torch.no_grad()
def partials_chroma(model, clips, wavs):
    "Mean and spread of the chroma of the partials that a size sends beside z."
    rows = []
    for i in progress(range(len(clips)), f'partials of {model.size}'):
        values, bits = model.split_side(model.encode(clip_tensor(clips.iloc[[i]], wavs)), CLIP_SAMPLES)
        tonal = model.partials[model.size].decode(Latent(values[:, None], bits), CLIP_SAMPLES)
        rows.append(librosa.feature.chroma_stft(y=tonal[0, 0].numpy(), sr=SR, tuning=0.))
    return clip_vectors(np.stack(rows))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--tracks', type=int, default=125, help='of each style')
    parser.add_argument('--silu', type=Path, help='folder of a trained model of 2024')
    args = parser.parse_args()
    clips, wavs = cache_clips(clip_table(builtin_music(tracks_per_style=args.tracks, seed=2000)))
    clips = clips.groupby('track').head(1).reset_index(drop=True)
    plain = load_model('plain')
    z, fresh = [encode_clips(model, clips, wavs).z for model in (plain, untrained(plain))]
    vectors = {f'z, {dim} channels': clip_vectors(z[:, :dim], POOLING) for dim in (64, 32, 16, 8)}
    vectors |= {f'z and partials, {size}': np.hstack([clip_vectors(z[:, :plain.sizes[size][0]], POOLING), partials_chroma(plain.at(size), clips, wavs)])
                for size in ('double', 'base', 'half', 'quarter')}
    vectors |= {f'layer {name}': x for name, x in layer_vectors(plain, clips, wavs, POOLING).items() if name != 'z'}
    vectors |= {'untrained, 64 channels': clip_vectors(fresh, POOLING), 'MFCC + chroma': mfcc_vectors(clips, wavs), 'mel bands': mel_vectors(clips, wavs),
                'resampled to 11025, autocorrelation': clip_vectors(encode_clips(Resampling(11_025), clips, wavs).z, 'corr')}
    if args.silu: vectors['SiLU 11025 of 2024, flattened'] = clip_vectors(encode_clips(load_model(args.silu), clips, wavs).z, 'flatten')
    rows = [dict(vectors=name, factor=factor, by=how, **read_factor(x, clips[factor], clips.track, by))
            for name, x in progress(vectors.items(), 'reading factors') for factor in FACTORS for how, by in dict(linear=LINEAR, nearest=NEAREST).items()]
    tangles = [dict(vectors=name, **dci(PCA(20, random_state=0).fit_transform(x), clips[list(FACTORS)], clips.track)) for name, x in progress(vectors.items(), 'DCI')
               if not name.startswith('layer')]
    few = clip_tensor(clips.groupby('label').head(4), wavs)
    def pooled(dim): return lambda wav: clip_vectors(plain.encode(wav).z.detach()[:, :dim], POOLING)
    moved = {f'{dim} channels': invariance(pooled(dim), few) for dim in (64, 8)}
    write('knowledge', n_tracks=len(clips), n_classes={f: int(clips[f].nunique()) for f in FACTORS}, table=rows, dci=tangles, invariance=moved)
