"""The study of 2024 on real compositions, where genre is in the notes: rendered as one would hear them, and with instruments that tell nothing.

    python bench/compositions.py --out runs/compositions                     (twenty minutes on one thread; goes on where it was interrupted)
    python bench/compositions.py --out runs/compositions --silu-steps 60     the models of 2024 too, trained on the training split (ten minutes more)

Clips of one piece, and of its variants, are never on both sides. Frames are probed on the pieces that are not 'train'; genres and factors in five folds.
"""
import argparse
from pathlib import Path

import librosa
import mir_eval
import numpy as np
import pandas as pd
import torch
from baselines import silu_2024
from common import made_once, write
from knowledge import POOLING, detail_chroma
from pretty_midi import instrument_name_to_program
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from celae.autoencoder import Size, level_one, load_model
from celae.corpora.compositions import GENRES, clip_beats, load_compositions, note_roll
from celae.data import CLIP_SAMPLES, table_hash
from celae.audio import SR, as_numpy
from celae.files import progress
from celae.evaluation import bootstrap_interval
from celae.latent_analysis import clip_vectors, compare_representations, encode_clips, mfcc_vectors, probe, project2, untrained
from celae.probing import probe_factor
from celae.references import imdct

HOP, PARTS, N_FRAMES = 512, 4, 54        # samples of a part, parts in a frame of `z`, whole frames of a clip
N_PARTS = CLIP_SAMPLES // HOP            # whole parts of a clip
LOWEST, HIGHEST, LEAST = 36, 96, 200     # MIDI numbers of the pitches that are judged, and frames in which each sounds at least
SILU_SIZES = (11_025, 27_563, 55_125)
Z_SIZES, DETAILED = ('musical', 'base', 'half', 'quarter'), ('base', 'quarter')
TUNES = tuple(name for name in GENRES if name in ('reels', 'jigs', 'hornpipes', 'slip_jigs', 'strathspeys', 'marches', 'airs'))
PROBED = ('z, base', 'z, musical', 'z and detail, base', 'untrained', 'MFCC + chroma')         # what factors, and tunes alone, are probed in
FACTORS = ('key', 'mode', 'metre', 'tempo_bpm', 'n_voices', 'voices of polyphony', 'composer of a quartet', 'instrument family')


# Frames

def mel_frames(clips):
    "Log mel bands, four frames side by side, so that there are as many as of `z` (b, 256, n)."
    def bands(x): return librosa.power_to_db(librosa.feature.melspectrogram(y=as_numpy(x[0]), sr=SR, n_fft=2048, hop_length=HOP, n_mels=64))
    mel = np.stack([bands(x) for x in clips.batches(1, 'mel bands')]).astype(np.float32)
    return mel[..., :N_FRAMES * PARTS].reshape(len(mel), 64, N_FRAMES, PARTS).transpose(0, 3, 1, 2).reshape(len(mel), 64 * PARTS, N_FRAMES)


@torch.no_grad()
def tone_frames(clips, sounds, title):
    "Roll of the sinusoids in what `sounds` makes of clips, mean of each frame of `z` (b, 105, n)."
    model = load_model()
    return np.concatenate([model.find_roll(sounds(x))[0].unflatten(2, (-1, PARTS)).mean(3).numpy() for x in clips.batches(16, title)])


@torch.no_grad()
def frames_of(clips, with_detail):
    "Name -> frames (b, d, 54)."
    model, base = load_model(), load_model().with_size('base')
    z, raw = [encode_clips(each, clips, title=title).z.numpy() for each, title in ((model.with_size(Size(64)), 'encoding'), (untrained(model.with_size(Size(64))), 'untrained'))]
    frames = {f'z, {name}': z[:, model.with_size(name).kept] for name in Z_SIZES} | {'untrained': raw, 'sinusoids': tone_frames(clips, level_one, 'sinusoids')}
    frames['read by the heads'] = model.read(torch.from_numpy(z)).numpy()
    if with_detail:
        detail = tone_frames(clips, lambda x: imdct(base.encode(x).detail.to_dense(), CLIP_SAMPLES), 'detail')
        frames |= {'z and detail, base': np.concatenate([frames['z, base'], detail], 1), 'log mel': mel_frames(clips)}
    return {name: x[..., :N_FRAMES].astype(np.float32) for name, x in frames.items()}


def vectors_of(clips, frames, sizes):
    "Name -> clip vectors: latents, and what they have to beat."
    model, names = load_model(), [name for name in frames if name.startswith('z, ')]
    vectors = {name: clip_vectors(frames[name], POOLING) for name in names}
    vectors |= {f'z and detail, {name}': np.hstack([vectors[f'z, {name}'], detail_chroma(model.with_size(name), clips)]) for name in sizes}
    return vectors | {'untrained': clip_vectors(frames['untrained'], POOLING), 'MFCC + chroma': mfcc_vectors(clips)}


def what_was_drawn(table):
    "What is drawn beside the notes, as vectors: instrument, register, room and level."
    return pd.get_dummies(table[['instrument', 'octaves']].astype(str)).assign(reverb=table.reverb, level=table.loudness_db).to_numpy(np.float32)


# Notes

def context(x, n):
    "Each frame with `n` neighbours to either side (b, (2 n + 1) d, n_frames)."
    padded = np.pad(x, ((0, 0), (0, 0), (n, n)), mode='edge')
    return np.concatenate([padded[..., i:i + x.shape[2]] for i in range(2 * n + 1)], 1)


def sounding(clips): return note_roll(clips, PARTS * HOP, N_FRAMES)[:, LOWEST:HIGHEST + 1].astype(np.float32)


def rows(x): return x.transpose(0, 2, 1).reshape(-1, x.shape[1])           # (b, d, n) -> (b * n, d)


def linear_scores(x, y, train):
    "What a ridge regression on the frames (b, d, n) of some clips predicts of (b, k, n) for the others (m, k, n)."
    model = make_pipeline(StandardScaler(), Ridge(100.)).fit(rows(x[train]), rows(y[train]))
    return model.predict(rows(x[~train])).reshape(-1, x.shape[2], y.shape[1]).transpose(0, 2, 1)


def auc(scores, active, weights):
    "Area under the ROC curve of each column, rows weighted."
    order = scores.argsort(0, kind='stable')
    positive = np.take_along_axis(active, order, 0) * weights[order]
    negative = weights[order] - positive
    below = negative.cumsum(0) - negative / 2
    return (positive * below).sum(0) / np.maximum(positive.sum(0) * negative.sum(0), 1e-9)


def note_auc(x, notes, train, groups, n_draws=100):
    "Mean over pitches of the AUC of a linear probe, and its 95 % interval over pieces."
    scores, active, pieces = rows(linear_scores(x, notes, train)), rows(notes[~train]), np.repeat(pd.factorize(groups[~train])[0], x.shape[2])
    rng, n = np.random.default_rng(0), pieces.max() + 1
    draws = [auc(scores, active, rng.multinomial(n, np.full(n, 1 / n))[pieces].astype(np.float32)).mean() for _ in range(n_draws)]
    low, high = np.quantile(draws, [.025, .975])
    return dict(auc=auc(scores, active, np.ones(len(active), np.float32)).mean(), low=low, high=high)


# Beats

def beat_targets(clips, beats):
    "1 where a beat falls, 1/2 beside it, for each part of a frame (b, 4, 54)."
    y = np.zeros((len(clips), N_FRAMES * PARTS), np.float32)
    at = np.round(beats.time * SR / HOP).astype(int)
    for step, value in ((-1, .5), (1, .5), (0, 1.)):
        inside = (at + step).between(0, y.shape[1] - 1)
        y[beats['clip'][inside], at[inside] + step] = np.maximum(y[beats['clip'][inside], at[inside] + step], value)
    return y.reshape(len(y), N_FRAMES, PARTS).transpose(0, 2, 1)


def whole(activation):
    "Activations of successive clips (m, 4, 54) as one, at every 512th sample of the piece (n,)."
    parts = activation.transpose(0, 2, 1).reshape(len(activation), -1)[:, :N_PARTS]
    times = np.arange(len(parts))[:, None] * CLIP_SAMPLES + np.arange(N_PARTS) * HOP
    return np.interp(np.arange(0, len(parts) * CLIP_SAMPLES, HOP), times.ravel(), parts.ravel())


def track_beats(activation):
    "Beats by dynamic programming, in parts from the start."
    return librosa.beat.beat_track(onset_envelope=np.maximum(activation, 0), sr=SR, hop_length=HOP, trim=False)[1]


def pick_downbeats(beats, activation):
    "Every second, third or fourth beat: those that stand out most."
    local = np.array([activation[max(0, b - 2):b + 3].max(initial=0) for b in beats])
    choices = [(n, first) for n in (2, 3, 4) for first in range(n) if len(beats) >= 2 * n]
    if not choices: return beats[:0]
    def contrast(n, first): return (local[first::n].mean() - local.mean()) * len(local[first::n])**.5
    n, first = max(choices, key=lambda choice: contrast(*choice))
    return beats[first::n]


def beat_scores(activations, clips, truth):
    "F-measures of beats and downbeats of each piece, with intervals; `activations` gives two (n,) of the rows of its clips."
    found = []
    for mine in clips.table.groupby('track', sort=False).indices.values():
        beat, downbeat = activations(mine)
        beats, start = track_beats(beat), dict(zip(mine, 5. * np.arange(len(mine))))
        real = truth[truth['clip'].isin(mine)]
        real = real.assign(time=real.time + real['clip'].map(start))
        times = dict(beats=(real, beats), downbeats=(real[real.position == 1], pick_downbeats(beats, downbeat)))
        found.append({name: mir_eval.beat.f_measure(wanted.time.to_numpy(), each * HOP / SR) for name, (wanted, each) in times.items()}
                     | dict(tune=clips.table.tune[mine[0]]))
    found = pd.DataFrame(found)
    return {name + end: value for name in ('beats', 'downbeats') for end, value in
            zip(('', '_low', '_high'), (found[name].mean(), *bootstrap_interval(found[name], found.tune)))}


def beat_table(frames, clips, train):
    "Probes of frames, beside onset strength, and clicks that do not listen."
    beats, judged = clip_beats(clips), clips[~train]
    truth = clip_beats(judged)
    y = np.concatenate([beat_targets(clips, each) for each in (beats, beats[beats.position == 1])], 1)
    sounds = judged.tensor()[:, 0].numpy()
    def strength(mine): return [librosa.onset.onset_strength(y=sounds[mine].ravel(), sr=SR)] * 2
    clicks = np.zeros(5 * CLIP_SAMPLES // HOP)
    clicks[::round(.55 * SR / HOP)] = 1                                 # 109 beats a minute
    table = {'onset strength': beat_scores(strength, judged, truth), 'clicks, blindly': beat_scores(lambda mine: [clicks[:len(mine) * N_PARTS]] * 2, judged, truth)}
    for name, x in progress(frames.items(), 'beats'):
        scores = linear_scores(context(x, 3), y, train)
        table[name] = beat_scores(lambda mine, scores=scores: [whole(scores[mine][:, part]) for part in (slice(4), slice(4, 8))], judged, truth)
    return [dict(vectors=name, **scores) for name, scores in table.items()]


# All of it

def factors_of(table):
    "What is asked of each clip, and who is asked."
    polyphonic = table.n_voices > 1
    return table.assign(**{'voices of polyphony': table.n_voices.where(polyphonic), 'composer of a quartet': table.composer.where(table.label == 'quartets'),
                           'instrument family': table.instrument.map(instrument_name_to_program) // 8})[list(FACTORS)]


def load(instruments, accompany, args):
    "The first clips of each piece; alone: of tunes only, since all else is never accompanied."
    how = dict(seed=args.seed, instruments=instruments, accompany=accompany, genres=None if accompany else TUNES)
    clips = load_compositions(args.pieces, **how)
    clips = clips[(clips.table.n_samples == CLIP_SAMPLES).to_numpy()]
    return clips[clips.table.groupby('track').head(args.clips).index]


def confusion(x, clips):
    "Shares of each genre's clips by what they were classified as."
    judged = probe(x, clips.labels, clips.table.tune).clips
    return pd.crosstab(judged.label, judged.predicted, normalize='index').round(3).to_dict('index')


def tempo_alone(table):
    "Genre by the true tempo and nothing else, in twenty classes of it."
    return probe(pd.get_dummies(pd.qcut(table.tempo_bpm, 20)).to_numpy(np.float32), table.label, table.tune).scores


def tune_table(vectors, clips):
    "Genre of tunes alone by a linear probe."
    mine = clips.labels.isin(TUNES).to_numpy()
    tunes = clips[mine]
    return [dict(vectors=name, **probe(x[mine], tunes.labels, tunes.table.tune).scores) for name, x in vectors.items() if '2024' not in name]


def described(clips, out, with_detail, silu):
    "Frames, and vectors beside what was drawn and the notes themselves."
    which, sizes = table_hash(clips.table), DETAILED if with_detail else ('base',)
    frames = made_once(out/f'{which}-frames.pkl', lambda: frames_of(clips, with_detail))
    vectors = made_once(out/f'{which}-vectors.pkl', lambda: vectors_of(clips, frames, sizes))
    vectors |= made_once(out/f'{which}-silu-{len(silu)}.pkl', lambda: {f'SiLU {each.values_per_clip} of 2024, flattened': encode_clips(each, clips).z.flatten(1).numpy() for each in silu})
    return frames, vectors | {'what was drawn': what_was_drawn(clips.table), 'the notes themselves': clip_vectors(sounding(clips), POOLING)}


def factor_table(vectors, clips):
    "What is known of key, mode and the like, beside what the genre alone gives away."
    asked, known = factors_of(clips.table), {name: vectors[name] for name in (*PROBED, 'what was drawn', 'the notes themselves')}
    known['the genre itself'] = pd.get_dummies(clips.labels).to_numpy(np.float32)
    return [dict(vectors=name, factor=factor, n_classes=int(asked[factor].nunique()), **probe_factor(x, asked[factor], clips.table.tune))
            for name, x in progress(known.items(), 'probing') for factor in FACTORS]


def note_table(frames, clips, train):
    "Which pitches sound, frame by frame."
    roll = sounding(clips)
    heard = roll[:, np.minimum(rows(roll[train]).sum(0), rows(roll[~train]).sum(0)) >= LEAST]
    groups = clips.table.tune.to_numpy()
    return [dict(vectors=name, n_pitches=heard.shape[1], **note_auc(context(x, 1), heard, train, groups)) for name, x in progress(frames.items(), 'notes')]


def study(clips, out, silu):
    "All tables of one rendering."
    frames, vectors = described(clips, out, True, silu)
    table, train, which = clips.table, (clips.table.split == 'train').to_numpy(), table_hash(clips.table)
    once = ~table.track.duplicated().to_numpy()                  # a clip of each piece is drawn
    def genre(): return dict(genre=compare_representations(vectors, clips.labels, table.tune, baseline='MFCC + chroma').rename_axis('vectors').reset_index().to_dict('records'))
    def rest(): return dict(
        tunes=tune_table(vectors, clips), confusion={name: confusion(vectors[name], clips) for name in ('z, musical', 'MFCC + chroma', 'the notes themselves')},
        pca=dict(label=clips.labels[once].tolist(), **{name: project2(vectors[name])[0][once].round(2).tolist() for name in ('z, musical', 'MFCC + chroma')}),
        factors=factor_table(vectors, clips), notes=note_table(frames, clips, train), beats=beat_table(frames, clips, train))
    return dict(tempo=tempo_alone(table), n_clips=len(clips), n_pieces=table.track.nunique(), n_groups=table.tune.nunique(), n_judged=table.track[~train].nunique(),
                pieces=table.groupby('label').track.nunique().to_dict(), **made_once(out/f'{which}-genre-{len(silu)}.pkl', genre), **made_once(out/f'{which}-rest.pkl', rest))


def train_silu(clips, out, steps):
    "The models of 2024 at their three sizes."
    return [silu_2024(clips, size, steps, out/f'{size}') for size in SILU_SIZES] if steps else []


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('runs/compositions'))
    parser.add_argument('--pieces', type=int, default=37, help='of each genre; 37 are three hours')
    parser.add_argument('--clips', type=int, default=3, help='of each piece')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--silu-steps', type=int, default=0, help='of the models of 2024, of 16 clips; 0: without them')
    args = parser.parse_args()
    torch.set_num_threads(1)
    silu, results, alone = train_silu(load('any', True, args), args.out/'silu', args.silu_steps), {}, {}
    for instruments in ('any', 'usual'):
        out = args.out/instruments
        out.mkdir(parents=True, exist_ok=True)
        results[instruments] = study(load(instruments, True, args), out, silu)
        tunes = load(instruments, False, args)
        alone[instruments] = tune_table(described(tunes, out, False, [])[1], tunes)
    write('compositions', pieces=args.pieces, clips=args.clips, seed=args.seed, silu_steps=args.silu_steps, renderings=results, alone=alone)
