"""Probing latents of all sizes, and the layers of the encoder, on a thousand built-in tracks.

    python bench/knowledge.py                     (a quarter of an hour on two cores)

The tracks are of another seed than those that the shipped weights have learned from. The model of 2024 is
that of bench/whole_run.py, if it was made.
"""
from pathlib import Path

import librosa
import numpy as np
import torch
from common import write
import typer
from sklearn.decomposition import PCA

from celae.autoencoder import Size, load_model
from celae.data import CLIP_SAMPLES, load_clips
from celae.audio import SR
from celae.files import progress
from celae.latent_analysis import clip_vectors, encode_clips, mfcc_vectors, untrained
from celae.models import Resampling
from celae.corpora.builtin import builtin_music
from celae.probing import LINEAR, NEAREST, dci, invariance, layer_vectors, probe_factor
from celae.references import imdct

FACTORS = ('label', 'key', 'mode', 'tempo_bpm', 'bass', 'chords', 'melody', 'drums', 'brightness_db',
           'loudness_db')
POOLING = 'mean+std+modulation'

def mel_vectors(clips):
    "Mean and standard deviation of log mel bands: the input of most networks, not learned from."
    def bands(x):
        return librosa.power_to_db(librosa.feature.melspectrogram(y=x[0, 0].numpy(), sr=SR, n_mels=64))
    return clip_vectors(np.stack([bands(x) for x in clips.batches(1, 'mel bands')]))

@torch.no_grad()
def detail_chroma(model, clips):
    "Mean and standard deviation of the chroma of the detail that a size sends beside z."
    def tones(x): return imdct(model.encode(x).detail.to_dense(), CLIP_SAMPLES)[0, 0].numpy()
    title = f'detail of {model.size.detail} values'
    return clip_vectors(np.stack([librosa.feature.chroma_stft(y=tones(x), sr=SR, tuning=0.)
                                  for x in clips.batches(1, title)]))

def main(tracks: int = 125, silu: Path = Path('runs/albums/models/silu-11025')):
    clips = load_clips(builtin_music(tracks_per_style=tracks, seed=2000))
    clips = clips[clips.table.groupby('track').head(1).index]
    model = load_model().with_size(Size(64))
    z, untrained_z = [encode_clips(each, clips).z for each in (model, untrained(model))]
    vectors = {f'z, {dim} channels': clip_vectors(z[:, :dim], POOLING) for dim in (64, 32, 16, 8)}
    with torch.no_grad(): vectors['what the heads read in z'] = clip_vectors(model.read(z), POOLING)
    vectors |= {f'z and detail, {name}': np.hstack([clip_vectors(z[:, model.with_size(name).kept], POOLING),
                                                    detail_chroma(model.with_size(name), clips)])
                for name in ('double', 'base', 'half', 'quarter')}
    vectors |= {f'layer {name}': x for name, x in layer_vectors(model, clips, POOLING).items() if name != 'z'}
    vectors |= {'untrained, 64 channels': clip_vectors(untrained_z, POOLING),
                'MFCC + chroma': mfcc_vectors(clips), 'mel bands': mel_vectors(clips),
                'resampled to 11025, autocorrelation': clip_vectors(encode_clips(Resampling(11_025), clips).z,
                                                            'corr')}
    if silu.exists():
        z_2024 = encode_clips(load_model(silu), clips).z
        vectors['SiLU 11025 of 2024, flattened'] = clip_vectors(z_2024, 'flatten')
    rows = [dict(vectors=name, factor=factor, by=how, **probe_factor(x, clips.table[factor], clips.tracks,
                                                            by))
            for name, x in progress(vectors.items(), 'probing') for factor in FACTORS
            for how, by in dict(linear=LINEAR, nearest=NEAREST).items()]
    tangles = [dict(vectors=name, **dci(PCA(20, random_state=0).fit_transform(x), clips.table[list(FACTORS)],
                                        clips.tracks)) for name, x in progress(vectors.items(), 'DCI')
               if not name.startswith('layer')]
    few = clips[clips.table.groupby('label').head(4).index].tensor()
    def pooled(dim): return lambda wav: clip_vectors(model.encode(wav).z.detach()[:, :dim], POOLING)
    changed = {f'{dim} channels': invariance(pooled(dim), few) for dim in (64, 8)}
    n_classes = {f: int(clips.table[f].nunique()) for f in FACTORS}
    write('knowledge', n_tracks=len(clips), n_classes=n_classes, table=rows, dci=tangles, invariance=changed)

if __name__ == '__main__': typer.run(main)
