"""How fast music is decoded, loaded, and turned into latent files, and in how much memory.

    pip install torchcodec                               (if FFmpeg is there; left out of the table otherwise)
    python bench/loading.py                (a quarter of an hour on two cores)
"""
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile as sf
import soxr
import torch
import typer
from common import ALBUMS, CACHE, write

from celae.autoencoder import load_model
from celae.data import CLIP_SAMPLES, ClipDataset, clip_table, find_audio, load_clips
from celae.audio import SR, read_audio, write_blocks
from celae.corpora.builtin import builtin_music
from celae.latent_files import load_latent

PEAK = """import atexit, sys
from celae.cli import main
@atexit.register
def tell():
    lines = dict(line.split(':') for line in open('/proc/self/status'))
    print(lines['VmHWM'].split()[0], file=sys.stderr)
main()"""
CELAE = [sys.executable, '-c', PEAK]

def plain(path):
    "A file as anybody would read it: seconds of sound."
    wav, rate = sf.read(path, dtype='float32', always_2d=True)
    return len(soxr.resample(wav.mean(1), rate, SR)) / SR

def preparing(folder, turns):
    "Seconds of music a second: `celae prepare`, and a loop over soundfile and soxr that keeps nothing."
    rows = []
    for _ in range(turns):
        with TemporaryDirectory() as cache:
            table, start = clip_table(folder), time.time()
            clips = load_clips(table, cache)
            rows.append(dict(how='celae prepare', rate=len(table) * 5 / (time.time() - start),
                             gigabytes=clips.wavs.nbytes / 1e9))
        start = time.time()
        with ProcessPoolExecutor(os.cpu_count(), get_context('spawn')) as pool:
            secs = sum(pool.map(plain, find_audio(folder), chunksize=4))
        rows.append(dict(how='soundfile and soxr', rate=secs / (time.time() - start)))
    return rows

class Decoding(torch.utils.data.Dataset):
    "Clips decoded when they are wanted."
    def __init__(self, table, read): self.clips, self.read = table[['path',
                                                            'start']].to_records(index=False), read
    def __len__(self): return len(self.clips)
    def __getitem__(self, i):
        wav = np.asarray(self.read(self.clips[i].path, self.clips[i].start / SR),
                         np.float32).reshape(-1)[:CLIP_SAMPLES]
        return np.pad(wav, (0, CLIP_SAMPLES - len(wav)))

def by_celae(path, secs): return read_audio(path, start=round(secs * SR), n_samples=CLIP_SAMPLES)

def by_librosa(path, secs):
    import librosa
    return librosa.load(path, sr=SR, offset=secs, duration=5)[0]

def by_torchcodec(path, secs):
    from torchcodec.decoders import AudioDecoder
    return AudioDecoder(path, sample_rate=SR, num_channels=1).get_samples_played_in_range(secs, secs + 5).data

def loading(folder, cache, n):
    "Clips a second from the cache and decoded anew, shuffled, by loaders with 0 to 2 workers."
    clips = load_clips(clip_table(folder, 2000), cache)
    few, rows = clips.table.sample(n, random_state=0), []
    for how, ds in {'celae, from the cache': ClipDataset(clips), 'celae, decoding': Decoding(few, by_celae),
                    'librosa.load': Decoding(few, by_librosa),
                    'torchcodec': Decoding(few, by_torchcodec)}.items():
        try: ds[0]
        except (ImportError, RuntimeError, OSError) as e:
            rows.append(dict(how=how, skipped=str(e).strip().splitlines()[0]))
            continue
        for workers in (0, 1, 2):
            loader = torch.utils.data.DataLoader(ds, 16, shuffle=True, num_workers=workers,
                                                 persistent_workers=workers > 0)
            for _ in loader: break                                                     # start the workers
            start = time.time()
            for _ in loader: pass
            rows.append(dict(how=how, workers=workers, clips_a_second=len(ds) / (time.time() - start)))
            print(rows[-1], flush=True)
    return rows

def measured(*args):
    "Seconds and peak memory in MB of a command."
    start = time.time()
    said = subprocess.run([*CELAE, *map(str, args)], capture_output=True, text=True, check=True).stderr
    return time.time() - start, int(said.split()[-1]) / 1024

def long_files(temp):
    "Encoding and decoding from a minute to three hours: seconds, memory, and whether the length is right."
    song = np.concatenate([read_audio(f)[0]
                           for f in find_audio(builtin_music(temp/'music', tracks_per_style=1))])
    minute, rows, model = np.resize(song, 60 * SR), [], load_model('base')
    for minutes, stereo in ((1, False), (60, False), (180, False), (60, True)):
        name = temp/f'{minutes} {stereo}.flac'
        both = np.stack([minute, minute[::-1]])[:1 + stereo]
        write_blocks(name, (both for _ in range(minutes)))
        coded, back = name.with_suffix('.celae'), name.with_suffix('.wav')
        encode, encode_mb = measured('encode', name, *['--stereo'] * stereo)
        decode, decode_mb = measured('decode', coded)
        stored, info = load_latent(coded, model), sf.info(back)
        rows.append(dict(minutes=minutes, channels=1 + stereo, encode_secs=encode, encode_mb=encode_mb,
                         decode_secs=decode, decode_mb=decode_mb, kilobytes=coded.stat().st_size / 1000,
                         right=bool((info.frames, info.channels) == (stored.n_samples, 1 + stereo)
                                    == (minutes * 60 * SR, len(stored.latent.z)))))
        print(rows[-1], flush=True)
        back.unlink()
    return rows

def main(folder: Path = ALBUMS, cache: Path = CACHE, turns: int = 3, n: int = 160):
    with TemporaryDirectory() as temp: long = long_files(Path(temp))
    write('loading', turns=turns, prepare=preparing(folder, turns), loading=loading(folder, cache, n),
          long_files=long)

if __name__ == '__main__': typer.run(main)
