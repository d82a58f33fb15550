"""Do axes on which clips of one track lie close tell more of styles and albums than the statistics of MFCC and chroma?

    python bench/track_axes.py data/albums                    (a quarter of an hour on two cores)

On built-in tracks that no weights have learned from, and on eight albums: six of them the encoder has learned from, without their names. Everything is
probed twice, as it is and after `augment`, since albums are also told apart by how they were mastered.
"""
import argparse
import io
from pathlib import Path

import numpy as np
import soundfile as sf
from common import write
from scipy.signal import fftconvolve, firwin2

from celae.autoencoder import Size, load_model
from celae.data import Clips, clip_table, load_clips
from celae.audio import SR, as_numpy
from celae.files import progress
from celae.latent_analysis import ALL_STATISTICS, Probe, clip_vectors, encode_clips, mfcc_vectors, paired_difference, untrained
from celae.corpora.builtin import builtin_music
from celae.probing import TrackAxes, compare_axes, probe_axes

OURS, MFCC = 'without detail', 'MFCC + chroma'


def mp3(wav, compression=.8):
    "A sound after MP3 encoding and decoding."
    how = dict(format='MP3', subtype='MPEG_LAYER_III', bitrate_mode='CONSTANT', compression_level=compression)
    sf.write(buffer := io.BytesIO(), wav, SR, **how)
    buffer.seek(0)
    return sf.read(buffer, dtype='float32')[0]


def augment(wav, rng):
    "A sound after an equaliser, 8 dB up or down at six points, and an MP3 encoder, about 20 to 130 kbit/s."
    equaliser = firwin2(255, [0, .02, .06, .15, .4, 1], 10**(rng.uniform(-8, 8, 6) / 20))
    wav = fftconvolve(wav, equaliser, 'same').astype(np.float32)
    return np.resize(mp3(wav / max(2 * np.abs(wav).max(), 1e-6), rng.uniform(.2, .85)), len(wav))


def augmented(clips, rng):
    "The clips, each augmented at random."
    wavs = np.stack([augment(as_numpy(x[0]), rng) for x in clips.batches(1, 'augmenting')])
    return Clips(clips.table.assign(row=range(len(clips))), (wavs * 32767).astype(np.int16))


def versions(clips, seed, n):
    "The clips as they are, and `n` augmented versions of them."
    yield clips
    for i in range(1, n + 1): yield augmented(clips, np.random.default_rng([seed, i]))


def vectors_of(clips, codecs, seed=0, n=2):
    "name -> one array of clip vectors for each version of the clips."
    found = {name: [] for name in (*codecs, MFCC)}
    for version in versions(clips, seed, n):
        for name, codec in codecs.items(): found[name].append(clip_vectors(encode_clips(codec, version).z, ALL_STATISTICS))
        found[MFCC].append(mfcc_vectors(version))
    return found


def only(result, labels):
    "The result of a probe on some labels alone."
    return Probe(result.scores, result.clips[result.clips.label.isin(labels)])


def compared(clips, vectors, elsewhere, fresh):
    "One row for each kind of vectors, with axes and without, and with those found in `elsewhere`, compared with MFCC and chroma as they are; on labels in `fresh` alone, too."
    rows = []
    for sound, first in (('as it is', 0), ('augmented', 1)):
        kinds = {(name, axes): probe_axes(x[first], clips.labels, clips.tracks, TrackAxes() if axes == 'learned' else None, [each for i, each in enumerate(x) if i != first])
                 for name, x in progress(vectors.items(), sound) for axes in ('none', 'learned')}
        kinds[OURS, 'learned elsewhere'] = probe_axes(elsewhere.transform(vectors[OURS][first]), clips.labels, clips.tracks)
        rows += [dict(sound=sound, vectors=name, axes=axes) | result.scores | compare_axes(result, kinds[MFCC, 'none'])
                 | {f'fresh_{key}': value for key, value in paired_difference(only(result, fresh), only(kinds[MFCC, 'none'], fresh)).items()} for (name, axes), result in kinds.items()]
    return rows


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--cache', type=Path, default=Path('data/cache'))
    parser.add_argument('--fresh', nargs='+', default=['arcade', 'orchestral'], help='albums that the shipped encoder has not learned from')
    parser.add_argument('--clips', type=int, default=2_000, help='of the albums')
    args = parser.parse_args()
    model = load_model().with_size(Size(64))
    codecs = {OURS: model, f'{OURS}, untrained': untrained(model)}
    music = {'built-in': clip_table(builtin_music(tracks_per_style=24, seed=3000)), 'albums': clip_table(args.folder, args.clips)}
    music = {name: load_clips(table, args.cache) for name, table in music.items()}
    vectors = {name: vectors_of(clips, codecs) for name, clips in music.items()}
    axes = {name: TrackAxes().fit(np.concatenate(vectors[name][OURS]), np.tile(clips.tracks, 3)) for name, clips in music.items()}
    tables = {name: dict(n_clips=len(clips), n_tracks=int(clips.tracks.nunique()), table=compared(clips, vectors[name], axes[other], args.fresh if name == 'albums' else sorted(set(clips.labels))))
              for (name, clips), other in zip(music.items(), reversed(music))}
    write('track_axes', fresh=args.fresh, n_axes=TrackAxes().n_axes, pooling=ALL_STATISTICS, music=tables)
