"""What the distances of the index of a library mean, and what it costs, on the albums.

    python bench/fetch_albums.py && python bench/library.py       (half an hour on two cores)

Each track has its vector. Of five tracks of each album there are vectors also of what a second copy may be:
at another level, with 3.7 s less at the beginning, a tenth less at the end, as a small MP3, and played
1 % faster. How near are they to their track, and how near are two different tracks?
"""
import hashlib
import io
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
import torch
from common import ALBUMS, CACHE, made_once, write

from celae.audio import SR, read_audio
from celae.library import VECTORISER, Song, describe_song, nearest_songs, write_index

LEVEL, LIMITS = .75, (.8, 1., 1.2, 1.4, 1.6)      # libsndfile's for 48 kbit/s at 22 050 Hz, mono

def as_mp3(wav):
    "The sound after an MP3, and its bit rate in kbit/s."
    sf.write(file := io.BytesIO(), wav[0].clip(-1, 1), SR, format='MP3', subtype='MPEG_LAYER_III',
             bitrate_mode='CONSTANT', compression_level=LEVEL)
    rate = len(file.getvalue()) * 8 * SR / wav.shape[1] / 1000
    file.seek(0)
    return sf.read(file, dtype='float32')[0][None], rate

def copies(wav):
    "Name and sound of what a second copy of a track may be."
    yield 'other level', .4 * wav
    yield 'other beginning', wav[:, round(3.7 * SR):]
    yield 'other end', wav[:, :round(.9 * wav.shape[1])]
    yield 'MP3 at 48 kbit/s, mono', as_mp3(wav)[0]
    yield '1 % faster', soxr.resample(wav[0], SR, SR / 1.01)[None]

def vectors():
    "Track -> name of a copy -> vector; the track itself is ''."
    found = {}
    for album in sorted(ALBUMS.iterdir()):
        files = [f for f in sorted(album.rglob('*')) if f.suffix in ('.ogg', '.opus', '.mp3', '.flac')]
        for file in files:
            wav = read_audio(file)
            copied = copies(wav) if file in files[::max(1, len(files) // 5)][:5] else ()
            named = [('', wav), *copied]
            found[f'{album.name}/{file.name}'] = {name: VECTORISER([x])[0] for name, x in named}
    return found

def speed(n=12):
    "Seconds of sound that a second of one core describes, decoding included."
    files = [f for f in sorted(ALBUMS.rglob('*')) if f.suffix in ('.ogg', '.opus', '.mp3', '.flac')]
    describe_song(files[0])
    start = time.process_time()
    secs = sum(describe_song(f).secs for f in files[::len(files) // n])
    return secs / (time.process_time() - start)

def answer(n=20_000):
    "Seconds of processor that a question to so many songs takes, the file read and checked each time."
    rng, songs = np.random.default_rng(0), []
    for i, vector in enumerate(rng.standard_normal((n, VECTORISER.n_features)).astype(np.float32)):
        content = hashlib.sha256(str(i).encode()).hexdigest()
        songs.append(Song(f'{i}.mp3', 9, 9, content, 99., '', VECTORISER.stamp, vector))
    with tempfile.TemporaryDirectory() as folder:
        write_index(file := Path(folder)/'index.parquet', songs)
        for i in range(100): (Path(folder)/f'{i}.mp3').touch()
        times = []
        for _ in range(7):
            start = time.process_time()
            nearest_songs(songs[7].vector, folder, 10, file=file)
            times.append(time.process_time() - start)
    return dict(songs=n, secs=np.median(times[1:]), first=times[0])

def main():
    torch.set_num_threads(1)
    found = made_once(CACHE/'library.pkl', vectors)
    names, albums = [*found], np.array([name.split('/')[0] for name in found])
    x = np.stack([each[''] for each in found.values()])
    gaps = np.linalg.norm(x[:, None] - x, axis=2)
    pairs = [(float(gaps[i, j]), names[i], names[j]) for i in range(len(x)) for j in range(i)]
    near, rows = np.argsort(gaps + 1e9 * np.eye(len(x)), 1), []
    for kind in [*next(each for each in found.values() if len(each) > 1)][1:]:
        own = np.array([np.linalg.norm(each[kind] - each['']) for each in found.values() if kind in each])
        rows.append(dict(copy=kind, tracks=len(own), median=np.median(own), most=own.max(),
                         found={limit: float(np.mean(own < limit)) for limit in LIMITS}))
    chance = np.mean([np.mean(albums == album) for album in albums])
    write('library', copies=rows, pairs=len(pairs), nearest_pairs=sorted(pairs)[:12],
          median_pair=np.median([gap for gap, *_ in pairs]), twins=VECTORISER.twins,
          same_album=dict(first=np.mean(albums[near[:, 0]] == albums),
                          five=np.mean(albums[near[:, :5]] == albums[:, None]), chance=chance),
          tracks=len(x), mp3_kbits=as_mp3(np.random.default_rng(0).uniform(-.5, .5, (1, 10 * SR)))[1],
          x_real_time=speed(), answer=answer())

if __name__ == '__main__': main()
