"""Score against kbit/s on two albums that nothing was trained on: celae, Opus, MP3 and AAC, payload alone.

    python bench/bitrate.py            (twenty minutes on two cores)

One excerpt of 10 s of each of a number of tracks, not of their first half minute. `mono` compares one
channel at 22 050 Hz, `stereo` two at 48 kHz, where Zimtohrli is the mean of left and right. The bits of
celae are those of its entropy coder, of the others those of their packets; a file adds a header to each.
Intervals are by track.
"""
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from io import BytesIO
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path

import av
import numpy as np
import pandas as pd
import soxr
import torch
import typer
from common import ALBUMS, TEST, write

from celae.audio import SR, read_audio
from celae.autoencoder import load_model
from celae.data import find_audio
from celae.evaluation import bootstrap_interval
from celae.files import progress
from celae.latent_files import QUALITY, _coded, _decoded
from celae.metrics import METRICS, PERCEPTUAL

SECS, BEGIN = 10, 30.
PACKET_CODECS = dict(opus=('libopus', 'ogg', (6, 8, 10, 12, 16, 24, 32, 48, 64)),
                     mp3=('libmp3lame', 'mp3', (8, 16, 24, 32, 48, 64)),
                     aac=('aac', 'adts', (12, 16, 24, 32, 48, 64)))

def through(wav, sr, codec, kbits):
    "A sound (c, t) through a codec of packets, aligned; and its kbit/s."
    name, container, _ = PACKET_CODECS[codec]
    rate = 48_000 if codec == 'opus' else sr
    layout, target = ('mono', 'stereo')[len(wav) - 1], BytesIO()
    with av.open(target, 'w', format=container) as out:
        stream = out.add_stream(name, rate=rate, layout=layout)
        stream.bit_rate = kbits * 1000
        given = np.ascontiguousarray(soxr.resample(wav.T, sr, rate).T, np.float32)
        frame = av.AudioFrame.from_ndarray(given, 'fltp', layout)
        frame.sample_rate, size = rate, 0
        packets = [*stream.encode(frame), *stream.encode(None)]
        for packet in packets:
            size += packet.size
            out.mux(packet)
    target.seek(0)
    with av.open(target) as source:
        to = av.AudioResampler('fltp', layout, sr)
        back = [f.to_ndarray() for part in source.decode(audio=0) for f in to.resample(part)]
        back += [f.to_ndarray() for f in to.resample(None)]
    return aligned(np.concatenate(back, 1), wav), size * 8 / (wav.shape[1] / sr) / 1000

def aligned(made, wav):
    "A decoded sound shifted to where it fits best, within 100 ms; as long as the original."
    n, most = 1 << 18, 4800
    spec = np.fft.rfft(made.mean(0), 2 * n) * np.conj(np.fft.rfft(wav.mean(0), 2 * n))
    likeness = np.fft.irfft(spec)
    lag = int(np.argmax(np.concatenate([likeness[:most], likeness[-most:]])))
    lag = lag if lag < most else lag - 2 * most
    made = made[:, lag:] if lag > 0 else np.pad(made, ((0, 0), (-lag, 0)))
    return np.pad(made, ((0, 0), (0, max(0, wav.shape[1] - made.shape[1]))))[:, :wav.shape[1]]

@torch.no_grad()
def by_celae(wav, sr, size, quality):
    "A sound through celae, rounded and entropy-coded; and its kbit/s. quality None: `z` as it is."
    model = MODEL.with_size(size)
    x = torch.from_numpy(np.ascontiguousarray(soxr.resample(wav.T, sr, model.sr).T, np.float32))[None]
    latent = model.encode(x)
    bits = latent.z.numel() * 32 + 32
    if quality:
        coded, step = _coded(latent.z, model, quality)
        latent, bits = replace(latent, z=_decoded(coded, step, latent.z.shape)), 8 * len(coded) + 32
    made = model.decode(latent, x.shape[-1])[0, :len(wav)].numpy()
    made = soxr.resample(made.T, model.sr, sr).T
    return made[:, :wav.shape[1]], bits / (wav.shape[1] / sr) / 1000

def begin(model):
    global MODEL
    MODEL = load_model(model)
    torch.set_num_threads(1)

def zimtohrli_48(made, wav):
    "Mean score of left and right (c, t) at 48 kHz."
    import zimtohrli
    pairs = [[np.ascontiguousarray(x, np.float32) for x in pair] for pair in zip(wav, made)]
    return np.mean([zimtohrli.mos_from_signals(*pair) for pair in pairs])

def levels(wav, sr):
    "Level of each channel in three bands, in dB."
    power = np.abs(np.fft.rfft(wav))**2
    hz = np.fft.rfftfreq(wav.shape[1], 1 / sr)
    edges = (0, 500), (500, 2000), (2000, 11_025)
    bands = [power[:, (hz >= low) & (hz < high)].sum(1) for low, high in edges]
    return 10 * np.log10(np.stack(bands) + 1e-6)

def one(path, kind, codec, setting):
    "Scores of one excerpt through one codec."
    sr = SR if kind == 'mono' else 48_000
    wav = read_audio(path, sr, stereo=kind == 'stereo', start=round(BEGIN * sr), n_samples=SECS * sr)
    wav = wav[:2] * min(1, .9 / np.abs(wav).max())
    if codec == 'celae': made, kbits = by_celae(wav, sr, *setting)
    else: made, kbits = through(wav, sr, codec, setting)
    row = dict(track=str(path), kind=kind, codec=codec, setting=str(setting), kbits=kbits)
    if kind == 'mono':
        pair = [torch.from_numpy(np.ascontiguousarray(x, np.float32))[None] for x in (made, wav)]
        return row | {name: float(METRICS[name].function(*pair).mean()) for name in PERCEPTUAL}
    return row | stereo_scores(made, wav, sr)

def stereo_scores(made, wav, sr):
    "Zimtohrli at 48 kHz, and errors of the difference of levels and of the correlation of left and right."
    (a, b), (c, d) = levels(made, sr).T, levels(wav, sr).T
    r, r_hat = [float(np.corrcoef(x)[0, 1]) for x in (wav, made)]
    at_48 = [soxr.resample(x.T, sr, 48_000).T if sr != 48_000 else x for x in (made, wav)]
    return dict(zimtohrli=zimtohrli_48(*at_48), level_db=float(np.abs((a - b) - (c - d)).mean()),
                correlation=abs(r - r_hat))

def excerpts(folder, n, stereo, seed):
    "Tracks of the test albums that are long and loud enough, and wide where two channels are compared."
    rng, found = np.random.default_rng(seed), []
    for album in TEST:
        paths = sorted(find_audio(Path(folder)/album))
        kept = 0
        for path in rng.permutation(np.array(paths, object)):
            wav = read_audio(path, SR, stereo=True, start=round(BEGIN * SR), n_samples=SECS * SR)
            if wav.shape[1] < SECS * SR or np.abs(wav).max() < .01 or kept == n: continue
            if stereo and (len(wav) != 2 or np.abs(wav[0] - wav[1]).max() < 1e-3): continue
            found.append(path)
            kept += 1
    return found

def main(folder: Path = ALBUMS, n: int = 12, seed: int = 0, model: str = 'stereo'):
    jobs = []
    kinds = dict(mono=('musical', 'compact'), stereo=('stereo', 'compact_stereo'))
    for kind, sizes in kinds.items():
        settings = [('celae', (size, quality)) for size in sizes for quality in (None, *QUALITY)]
        settings += [(codec, kbits) for codec, (*_, rates) in PACKET_CODECS.items() for kbits in rates]
        paths = excerpts(folder, n, kind == 'stereo', seed)
        jobs += [(path, kind, *setting) for path in paths for setting in settings]
    with ProcessPoolExecutor(cpu_count(), get_context('spawn'), begin, [model]) as pool:
        rows = [job.result() for job in progress([pool.submit(one, *job) for job in jobs], 'coding')]
    table, names = pd.DataFrame(rows), ['kbits', *PERCEPTUAL, 'level_db', 'correlation']
    means = []
    for key, part in table.groupby(['kind', 'codec', 'setting'], sort=False):
        row = dict(zip(('kind', 'codec', 'setting'), key))
        for name in names:
            values = part.dropna(subset=name)
            if len(values): row |= dict(zip((name, f'{name}_low', f'{name}_high'), (
                values[name].mean(), *bootstrap_interval(values[name], values.track))))
        means.append(row)
    n_tracks = table.groupby('kind').track.nunique().to_dict()
    write('bitrate', seed=seed, test=TEST, n_tracks=n_tracks, table=means)

if __name__ == '__main__': typer.run(main)
