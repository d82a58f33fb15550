"Stored files that lie, are lost, or explode: budgets, round trips, caches, --resume, and servers that answer with something else."
import contextlib
import gzip
import io
import json
import os
import struct
import tarfile
import threading
import tracemalloc
import zlib
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile as sf
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celae import data, files, published, run, streams
from celae.autoencoder import load_model
from celae.files import AudioError
from celae.data import load_clips
from celae.audio import open_audio, read_blocks, write_audio, write_blocks
from celae.audio import SoundFormat, read_tags
from celae.models import CELAutoencoderSiLU, Latent

SR = 22_050
CLIP = 110_250


@pytest.fixture(scope='module')
def net(): return load_model('autoencoder', 'musical')


def memory_of(work):
    "Most bytes that Python objects take meanwhile."
    tracemalloc.start()
    try: work()
    finally: peak = tracemalloc.get_traced_memory()[1]; tracemalloc.stop()
    return peak


# ---- sound: seconds for a byte, samples at once ----

def flac_silence(secs, rate=44_100, channels=2):
    "A right FLAC of constant subframes: some 20 bytes for each 65 535 samples."
    def crc(data, polynomial, bits):
        value = 0
        for byte in data:
            value ^= byte << bits - 8
            for _ in range(8): value = (value << 1 ^ (polynomial if value >> bits - 1 else 0)) & (1 << bits) - 1
        return value
    n, block = -(-secs * rate // 65_535), 65_535
    about = rate << 44 | channels - 1 << 41 | 15 << 36 | n * block
    parts = [b'fLaC\x80\x00\x00\x22' + struct.pack('>HH', block, block) + bytes(6) + about.to_bytes(8, 'big') + bytes(16)]
    for i in range(n):
        head = b'\xff\xf8' + bytes([0x70, channels - 1 << 4 | 8]) + chr(i).encode() + struct.pack('>H', block - 1)
        frame = head + bytes([crc(head, 7, 8)]) + bytes(3 * channels)
        parts.append(frame + struct.pack('>H', crc(frame, 0x8005, 16)))
    return b''.join(parts)


@pytest.mark.parametrize('rate', [1000, 8000, 44_100])
def test_hours_in_kilobytes_are_refused(tmp_path, rate):
    path = tmp_path/'silence.flac'
    path.write_bytes(flac_silence(65 * 1900 if rate == 1000 else 10 * 3600 if rate == 8000 else 3600, rate))
    with pytest.raises(AudioError, match='hours in'): open_audio(path)


@pytest.mark.parametrize('rate', [16_000, 44_100])
def test_an_hour_of_real_silence_is_read(tmp_path, rate):
    path = tmp_path/'silence.flac'
    with sf.SoundFile(path, 'w', rate, 1, 'PCM_16') as f:
        for _ in range(60): f.write(np.zeros(60 * rate))
    with open_audio(path) as f: assert f.frames == 3600 * rate


def test_a_block_of_many_channels_is_bounded(tmp_path):
    path = tmp_path/'wide.wav'
    sf.write(path, np.zeros((3 * 192_000, 64), np.int16), 192_000)
    sizes = [block.nbytes for block in read_blocks(path, 192_000, stereo=True)]
    assert max(sizes) <= 4 << 24 and sum(sizes) == 3 * 192_000 * 64 * 4


# ---- tags ----

def packed_id3(n_megabytes, frame='APIC', start=b'\x03image/png\0\x03\0\x89PNG\r\n\x1a\n'):
    "An MP3 whose tag is compressed."
    def size(n): return bytes(n >> s & 127 for s in (21, 14, 7, 0))
    squeeze = zlib.compressobj()
    data = squeeze.compress(start) + b''.join(squeeze.compress(bytes(1 << 20)) for _ in range(n_megabytes)) + squeeze.flush()
    tag = frame.encode() + size(len(data) + 4) + b'\0\x09' + size(99) + data
    sound = io.BytesIO()
    sf.write(sound, np.zeros(SR), SR, format='MP3', subtype='MPEG_LAYER_III')
    return b'ID3\x04\0\0' + size(len(tag)) + tag + sound.getvalue()


@pytest.mark.parametrize('frame, start', [('APIC', b'\x03image/png\0\x03\0\x89PNG\r\n\x1a\n'), ('TIT2', b'\x03')])
def test_compressed_tags_are_bounded(tmp_path, frame, start):
    path = tmp_path/'song.mp3'
    path.write_bytes(packed_id3(150, frame, start))
    assert path.stat().st_size < 1e6 and memory_of(lambda: read_tags(path)) < 1.4e8
    path.write_bytes(packed_id3(1))
    assert len(read_tags(path)['cover']) == (1 << 20) + 8              # what is honest is read as before


def test_tags_of_a_huge_comment_are_not_read(tmp_path):
    path = tmp_path/'song.flac'
    sf.write(path, np.zeros(SR), SR)
    whole, pad = path.read_bytes(), b'\x06' + (2**24 - 1).to_bytes(3, 'big') + bytes(2**24 - 1)
    path.write_bytes(whole[:42].replace(b'fLaC\x80', b'fLaC\x00') + 6 * pad + whole[42:])
    assert memory_of(lambda: read_tags(path)) < 2e8


# ---- tables and lists ----

def repeated(path):
    row = pa.DictionaryArray.from_arrays(pa.array(np.zeros(3000, 'i4')), ['x' * 10**6])
    pq.write_table(pa.table(dict(label=row, track=row, split=row)), path)


def nested(path): pq.write_table(pa.table(dict(label=[[0] * 10**6])), path)
def packed(path): pq.write_table(pa.table(dict(label=np.zeros(10**6))), path, compression='zstd')
def rows(path): pq.write_table(pa.table(dict(label=np.zeros(60_000_000, bool))), path)


@pytest.mark.parametrize('make', [repeated, nested, packed, rows])
def test_parquet_of_kilobytes_is_refused(tmp_path, make):
    make(tmp_path/'clips.parquet')
    assert (tmp_path/'clips.parquet').stat().st_size < 1e6
    with pytest.raises(ValueError, match='clip table'): run.read_clips(tmp_path)
    with pytest.raises(ValueError, match='cannot be read as a table'): files.read_table(tmp_path/'clips.parquet')


def test_parquet_of_celae_is_read(tmp_path):
    table = pd.DataFrame(dict(label=['a', 'b'], track=['x', 'é'], split=['train', 'test'], start=[0, 5], bpm=[1.5, None], live=[True, False], no=[None, None]))
    table.to_parquet(tmp_path/'clips.parquet')
    pd.testing.assert_frame_equal(files.read_table(tmp_path/'clips.parquet'), table)
    pd.testing.assert_frame_equal(files.read_table(tmp_path/'clips.parquet', ['start']), table[['start']])


def test_no_code_of_a_parquet_runs(tmp_path):
    "CVE-2023-47248: a type of an extension, as pickle."
    class Runs:
        def __reduce__(self): return os.mkdir, (str(tmp_path/'pwned'),)
    import pickle
    meta = {b'ARROW:extension:name': b'arrow.py_extension_type', b'ARROW:extension:metadata': pickle.dumps(Runs())}
    schema = pa.schema([pa.field('label', pa.int64(), metadata=meta)])
    pq.write_table(pa.table([pa.array([1, 2])], schema=schema), tmp_path/'clips.parquet')
    with contextlib.suppress(ValueError): run.read_clips(tmp_path)
    assert not (tmp_path/'pwned').exists()


@pytest.mark.parametrize('name', ['factors.csv', 'splits.csv'])
def test_wide_csv_of_short_rows_is_refused(tmp_path, name):
    path = tmp_path/name
    path.write_text('track,split,' + ','.join(f'c{i}' for i in range(1_000)) + '\n' + 'x\n' * 60_000)
    read = data.join_factors if name == 'factors.csv' else data.split_listed
    with pytest.raises(ValueError, match='are too many'): read(pd.DataFrame(dict(track=['x'])), path)


def test_lists_without_end_are_refused(tmp_path):
    (tmp_path/'metrics').mkdir()
    (tmp_path/'metrics'/'long.json').write_text('[' + ','.join('[]' for _ in range(4_000_000)) + ']')
    (tmp_path/'metrics'/'wide.json').write_text(json.dumps([{f'k{i}': 1} for i in range(5000)]))
    for name in ('long', 'wide'):
        with pytest.raises(ValueError, match='damaged'): pd.DataFrame(run.read_rows(tmp_path, name))
    views = [dict(key=str(i), latent='musical', pooling='mean') for i in range(1000)]
    for rows in (views, [views[0] | dict(pooling='+'.join(['mean'] * 1000))]):
        (tmp_path/'metrics'/'latents.json').write_text(json.dumps(rows))
        run.save_latents(tmp_path, 'musical', Latent(torch.zeros(3, 4, 5)))
        with pytest.raises(ValueError, match='latents.json: damaged'): run.load_representations(tmp_path)


# ---- latents ----

def saved(path, net, secs=1., rows=1, **how):
    latent = net.encode(.1 * torch.randn(rows, 1, round(secs * SR)))
    return streams.save_latent(path, latent, net, round(secs * SR), **how)


def test_a_latent_of_kilobytes_stays_small(tmp_path):
    net = CELAutoencoderSiLU(1).eval()                       # one value for 5 s of sound
    latent = Latent(torch.zeros(1, 1, 3000))
    with pytest.raises(ValueError, match='not written; claims 15,000 s of sound in'):
        streams.save_latent(tmp_path/'a.celae', latent, net, 3000 * CLIP)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('rows, channels, kept', [(1, 64, None), (1, 2, 2), (2, 2, 2), (2, 6, None)])
def test_channels_of_a_result_are_those_of_the_latent(tmp_path, net, rows, channels, kept):
    path = saved(tmp_path/'a.celae', net, rows=rows, source=SoundFormat(192_000, channels))
    source = streams.load_latent(path, net).source
    assert (source and source.channels) == kept


def test_rows_of_a_latent_are_bounded(tmp_path, net):
    with pytest.raises(ValueError, match='not written; z has the shape'): saved(tmp_path/'a.celae', net, .1, 65)


printable = st.text(st.characters(codec='utf-8'), max_size=30)
names = [name for name in files.TAGS if name != 'cover']
odd_tags = st.fixed_dictionaries({}, optional={name: st.lists(printable, max_size=3) for name in names}
                                 | dict(cover=st.binary(max_size=99).map(lambda x: b'\xff\xd8\xff' + x)))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(tags=odd_tags)
def test_what_is_written_is_what_is_read(tmp_path_factory, net, tags): round_trip(tmp_path_factory.mktemp('t'), net, tags)


@pytest.mark.parametrize('char', ['🎵', '"', '\\', 'é', '\x7f', '\u2028'])
def test_the_longest_tags_are_read_back(tmp_path, net, char):
    round_trip(tmp_path, net, {name: [char * 1000] * 20 for name in names} | dict(cover=b'\xff\xd8\xff' + bytes(63_990)))


def round_trip(folder, net, tags):
    source = SoundFormat(44_100, 1, tags)
    stored = streams.load_latent(saved(folder/'a.celae', net, .2, source=source), net)
    assert stored.source == replace(source, tags=files.clean_tags(tags))


@pytest.mark.parametrize('change', [dict(sr=np.int64(44_100)), dict(source=SoundFormat(np.int64(44_100), np.int64(1)))])
def test_numbers_of_numpy_are_written(tmp_path, net, change): streams.load_latent(saved(tmp_path/'a.celae', net, **change), net)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float16])
def test_other_precisions_are_read_back(tmp_path, net, dtype):
    latent = net.encode(.1 * torch.randn(1, 1, SR))
    path = streams.save_latent(tmp_path/'a.celae', replace(latent, z=latent.z.to(dtype), level=latent.level.to(dtype)), net, SR)
    assert streams.load_latent(path, net).n_samples == SR


def test_what_cannot_be_read_is_not_written(tmp_path, net):
    with pytest.raises(ValueError, match='a.celae: not written; sr is 5,'): saved(tmp_path/'a.celae', net, sr=5)
    assert not list(tmp_path.iterdir())


# ---- sound that its container cannot count ----

def test_a_long_wav_becomes_rf64(tmp_path, monkeypatch, tone):
    monkeypatch.setattr(data, '_WAV_BYTES', 100_000, raising=False)
    wav = tone(secs=3., channels=2)
    path = write_audio(tmp_path/'a.wav', wav, like=SoundFormat(SR, 2, dict(title=['Long'])))
    assert (path.read_bytes()[:4], sf.info(path).frames, read_tags(path)) == (b'RF64', 3 * SR, dict(title=['Long']))
    with pytest.raises(AudioError, match='too long for WAV; write .flac'): write_blocks(tmp_path/'b.wav', iter([wav]))
    assert [f.name for f in tmp_path.iterdir()] == ['a.wav']
    assert write_audio(tmp_path/'c.wav', wav[:, :SR]).read_bytes()[:4] == b'RIFF'


@pytest.mark.slow
def test_five_gigabytes_of_wav_are_read_back(tmp_path):
    block, n = np.zeros((64, 192_000), np.float32), 180
    path = write_blocks(tmp_path/'a.wav', (block for _ in range(n)), 192_000, secs=n)
    assert path.stat().st_size > 2**32 and sf.info(path).frames == n * 192_000


# ---- decoded clips ----

@pytest.fixture
def music(tmp_path, tone):
    folder = tmp_path/'music'
    folder.mkdir()
    for i in range(3): write_audio(folder/f'{i}.wav', tone(220 * (i + 1), 12.))
    return folder


def cache_of(tmp_path, ending): return next((tmp_path/'cache').glob(f'*.{ending}'))


def zeroed(path, start=128, stop=None):
    whole = bytearray(path.read_bytes())
    whole[start:stop] = bytes(len(whole[start:stop]))
    path.write_bytes(whole)


@pytest.mark.parametrize('start, stop', [(128, None), (300_000, 304_096), (-4096, None)])
def test_a_cache_of_zeros_is_decoded_again(tmp_path, music, start, stop):
    want = load_clips(music, tmp_path/'cache').tensor().clone()
    zeroed(cache_of(tmp_path, 'npy'), start, stop)
    clips = load_clips(music, tmp_path/'cache')
    assert torch.equal(clips.tensor(), want)


def test_a_journal_that_lies_is_not_believed(tmp_path, music):
    clips = load_clips(music, tmp_path/'cache')
    want, npy = clips.tensor().clone(), cache_of(tmp_path, 'npy')
    lines = [[track, part.index.tolist(), ''] for track, part in clips.table.groupby('track')]
    with_sums = [[track, [[row, 5] for row in good], why] for track, good, why in lines]
    for text in (lines, with_sums, [[track, [], ''] for track, *_ in lines]):
        for place in ('npy', 'part'):
            zeroed(npy)
            cache_of(tmp_path, 'parquet').unlink(missing_ok=True)
            os.replace(npy, npy.with_suffix(f'.{place}'))
            npy.with_suffix('.journal').write_text(''.join(json.dumps(line) + '\n' for line in text))
            assert torch.equal(load_clips(music, tmp_path/'cache').tensor(), want)


@pytest.mark.parametrize('how', ['other sound', 'one second', 'other file'])
def test_a_file_of_equal_size_and_date_is_noticed(tmp_path, music, tone, how):
    before, path = load_clips(music, tmp_path/'cache').tensor().clone(), music/'1.wav'
    about, new = path.stat(), tone(440, 12.)
    if how == 'one second': new[:, 6 * SR:7 * SR] = 0
    else: new = tone(1000, 12.)
    target = write_audio(tmp_path/'new.wav', new)
    if how == 'other file': os.utime(target, ns=(about.st_atime_ns, about.st_mtime_ns)), os.replace(target, path)
    else: path.write_bytes(target.read_bytes()), os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (about.st_size, about.st_mtime_ns)
    assert not torch.equal(load_clips(music, tmp_path/'cache').tensor(), before)


# ---- --resume ----

def test_resume_does_not_look_at_the_clock(tmp_path, net, tone):
    from celae.cli import _is_encoded
    song, result, other = tmp_path/'a.wav', tmp_path/'a.celae', tmp_path/'b.wav'
    write_audio(song, tone(440, 2.)), write_audio(other, tone(1000, 2.))
    latent, n_samples = streams.encode_file(net, song, True)
    streams.save_latent(result, latent, net, n_samples, made_from=song)
    def is_made(path, net=net, mono=False, exact=False): return _is_encoded(path, result, net, mono, exact)
    for date in (1e9, 4e9):
        os.utime(result, (date, date))
        assert is_made(song) and not is_made(other)
        assert not is_made(song, exact=True) and not is_made(song, net.with_size('base'))
    os.utime(other, (1e9, 1e9)), os.replace(other, song)              # an older file in its place
    assert not is_made(song)


@pytest.mark.slow
def test_resume_takes_no_other_result(tmp_path, celae, tone):
    result = tmp_path/'a.celae'
    write_audio(tmp_path/'a.wav', tone(440, 2.))
    def encode(*args): return celae('encode', '.', '--size', 'musical', *args, timeout=400)
    assert encode().returncode == 0
    whole = result.read_bytes()
    write_audio(tmp_path/'a.wav', tone(1000, 2.))
    done = encode('--resume')
    assert done.returncode == 1 and 'was not made of' in done.stderr and result.read_bytes() == whole
    assert encode('--resume', '--overwrite').returncode == 0 and result.read_bytes() != whole
    write_audio(tmp_path/'a.flac', tone(2000, 2.))                       # its result would have the same name
    whole, done = result.read_bytes(), encode('--resume')
    assert done.returncode == 0 and 'a.flac: left out' in done.stderr and 'up to date' in done.stdout
    assert result.read_bytes() == whole


def test_a_run_knows_its_music_by_its_sound(tmp_path, music, tone):
    table = data.clip_table(music)
    run.begin_run(run.Settings(), tmp_path/'run', table)
    os.utime(music/'1.wav', (1e9, 1e9))
    run.begin_run(run.Settings(), tmp_path/'run', table)
    write_audio(music/'1.wav', tone(2000, 12.))
    with pytest.raises(ValueError, match='different music'): run.begin_run(run.Settings(), tmp_path/'run', table)


# ---- servers ----

ARCHIVE = gzip.compress(b'an archive' * 999)


class Server(BaseHTTPRequestHandler):
    "The good one has the archive; the others answer with something else, by the name in their address."
    def log_message(self, *args): pass
    def do_GET(self):
        with contextlib.suppress(OSError): getattr(self, self.path.split('/')[1])()

    def answer(self, body, code=200, length=None, **headers):
        self.send_response(code)
        for name, value in {'Content-Length': str(len(body) if length is None else length), **headers}.items():
            self.send_header(name.replace('_', '-'), value)
        self.end_headers()
        self.wfile.write(body)

    def good(self): self.answer(ARCHIVE)
    def page(self): self.answer(b'<html>This file has moved</html>')
    def garbage(self): self.answer(os.urandom(9999))
    def other(self): self.answer(gzip.compress(tarfile.TarInfo('another archive').tobuf() + bytes(1024)))
    def empty(self): self.answer(b'')
    def part(self): self.answer(ARCHIVE[:20], 206, Content_Range=f'bytes 0-19/{len(ARCHIVE)}')
    def ended(self): self.answer(b'', 416)
    def digits(self): self.answer(b'x', length='9' * 6000)
    def brackets(self): self.answer(b'', 302, Location='http://[::1')
    def letters(self): self.answer(b'', 302, Location='http://\u0131\u0307..\u2603/'.encode().decode('latin-1'))
    def packed(self): self.answer(gzip.compress(bytes(10**7)), Content_Encoding='gzip')
    def circle(self): self.answer(b'', 302, Location='/circle')
    def local(self): self.answer(b'', 302, Location='file:///etc/hostname')
    def chunks(self): self.answer(b'ZZ\r\nxx', Transfer_Encoding='chunked')
    def hangs(self):
        self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx')
        threading.Event().wait(30)


@pytest.fixture(scope='module')
def server():
    server = ThreadingHTTPServer(('127.0.0.1', 0), Server)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()


HOSTILE = [name for name in vars(Server) if name not in ('good', 'answer', 'do_GET', 'log_message') and name[0] != '_']


@pytest.mark.parametrize('name', HOSTILE)
def test_a_hostile_answer_moves_on_to_the_next_source(tmp_path, server, name):
    def check(path):
        if path.read_bytes()[:2] != b'\x1f\x8b': raise ValueError('sent no archive')
    from hashlib import sha256
    path = published.fetch([f'{server}/{name}/a.gz', f'{server}/good/a.gz'], tmp_path/'a.gz', sha256(ARCHIVE).hexdigest(),
                           tries=1, patience=1, check=check)
    assert path.read_bytes() == ARCHIVE and [f.name for f in tmp_path.iterdir() if f.name[0] != '.'] == ['a.gz']


def test_a_different_edition_is_taken_where_there_is_no_other(tmp_path, server):
    path = published.fetch([f'{server}/page/a', f'{server}/other/a'], tmp_path/'a', '0' * 64, tries=1, check=published._is_archive)
    assert gzip.decompress(path.read_bytes()).startswith(b'another')


@pytest.mark.parametrize('how', ['packed', 'overlapping'])
def test_a_checkpoint_does_not_grow(tmp_path, how):
    import zipfile

    from celae.training import _read_checkpoint
    torch.save(dict(model={}, best=torch.zeros(10**6)), tmp_path/'a.pt')
    with zipfile.ZipFile(tmp_path/'a.pt') as old, zipfile.ZipFile(tmp_path/'b.pt', 'w', 8 if how == 'packed' else 0) as new:
        for info in old.infolist(): new.writestr(info.filename, old.read(info))
        if how == 'overlapping': new.filelist += new.filelist
    read = []
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ValueError, match='not a whole checkpoint'):
        patch.setattr(torch, 'load', lambda *args, **kwargs: read.append(args))
        _read_checkpoint(tmp_path/'b.pt', None)
    assert not read
