"""Do axes on which clips of one track lie close know more of styles and albums than the statistics of MFCC and chroma?

    python bench/track_axes.py data/albums                    (a quarter of an hour on two cores)

On built-in tracks that no weights have learned from, and on eight albums: six of them the encoder has heard, without their names. Everything is
judged twice, as it is and after `roughen`, since albums are also told apart by how they were mastered.
"""
import argparse
from pathlib import Path

import numpy as np
from common import write

from celae.data import as_numpy, cache_clips, clip_table, clip_tensor, progress
from celae.knowledge import TrackAxes, compare_axes, probe_axes, roughen
from celae.latent_analysis import ALL_STATISTICS, Probe, clip_vectors, encode_clips, mfcc_vectors, paired_difference, untrained
from celae.models import load_model
from celae.music import builtin_music

MFCC = 'MFCC + chroma'


def versions(clips, wavs, seed, n):
    "The clips as they are, and `n` roughened versions of them: tables with their sounds."
    def rough(rng): return np.stack([roughen(as_numpy(clip_tensor(clips.iloc[[i]], wavs)), rng) for i in progress(range(len(clips)), 'roughening')])
    for i in range(n + 1): yield (clips, wavs) if i == 0 else (clips.assign(row=range(len(clips))), (rough(np.random.default_rng([seed, i])) * 32767).astype(np.int16))


def vectors_of(clips, wavs, codecs, seed=0, n=2):
    "name -> one array of clip vectors for each version of the clips."
    found = {name: [] for name in (*codecs, MFCC)}
    for version in versions(clips, wavs, seed, n):
        for name, codec in codecs.items(): found[name].append(clip_vectors(encode_clips(codec, *version).z, ALL_STATISTICS))
        found[MFCC].append(mfcc_vectors(*version))
    return found


def unheard(result, labels):
    "What a probe made of some labels only."
    return Probe(result.scores, result.clips[result.clips.label.isin(labels)])


def judged(clips, vectors, elsewhere, fresh):
    "One row for each kind of vectors, with axes and without, and with those found in `elsewhere`, compared with MFCC and chroma as they are; on labels in `fresh` alone, too."
    rows = []
    for sound, first in (('as it is', 0), ('roughened', 1)):
        kinds = {(name, axes): probe_axes(x[first], clips.label, clips.track, TrackAxes() if axes == 'learned' else None, [each for i, each in enumerate(x) if i != first])
                 for name, x in progress(vectors.items(), sound) for axes in ('none', 'learned')}
        kinds['plain', 'learned elsewhere'] = probe_axes(elsewhere.transform(vectors['plain'][first]), clips.label, clips.track)
        rows += [dict(sound=sound, vectors=name, axes=axes) | result.scores | compare_axes(result, kinds[MFCC, 'none'])
                 | {f'fresh_{key}': value for key, value in paired_difference(unheard(result, fresh), unheard(kinds[MFCC, 'none'], fresh)).items()} for (name, axes), result in kinds.items()]
    return rows


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--cache', type=Path, default=Path('data/cache'))
    parser.add_argument('--fresh', nargs='+', default=['arcade', 'orchestral'], help='albums that the shipped encoder has not heard')
    parser.add_argument('--clips', type=int, default=2_000, help='of the albums')
    args = parser.parse_args()
    plain = load_model('plain')
    codecs = {'plain': plain, 'plain, untrained': untrained(plain)}
    music = {'built-in': clip_table(builtin_music(tracks_per_style=24, seed=3000)), 'albums': clip_table(args.folder, args.clips)}
    music = {name: cache_clips(table, args.cache) for name, table in music.items()}
    vectors = {name: vectors_of(clips, wavs, codecs) for name, (clips, wavs) in music.items()}
    axes = {name: TrackAxes().fit(np.concatenate(vectors[name]['plain']), np.tile(clips.track, 3)) for name, (clips, _) in music.items()}
    tables = {name: dict(n_clips=len(clips), n_tracks=int(clips.track.nunique()), table=judged(clips, vectors[name], axes[other], args.fresh if name == 'albums' else sorted(set(clips.label))))
              for (name, (clips, _)), other in zip(music.items(), reversed(music))}
    write('track_axes', fresh=args.fresh, n_axes=TrackAxes().n_axes, pooling=ALL_STATISTICS, music=tables)
