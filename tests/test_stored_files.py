"Stored files that lie, are lost, or explode: budgets, forged latents, round trips, caches and --resume."
import json
import os
import struct
import zipfile
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile as sf
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from celae.audio import SoundFormat, clean_tags, read_blocks, write_audio
from celae.autoencoder import MusicAutoencoder
from celae.data import load_clips
from celae.files import AudioError
from celae.latent_files import Header, _checksum, decode_blocks, encode_file, load_latent, save_latent
from celae.models import CELAutoencoderSiLU, Latent, fresh_weights
from celae.untrusted import open_tensors, read_csv, read_table

SR, CLIP = 22_050, 110_250

@pytest.fixture(scope='module')
def net():
    with fresh_weights(0): return MusicAutoencoder('musical', 16, 16, 16).eval().requires_grad_(False)

def refused(call, name):
    "The one line that names a file."
    with pytest.raises(ValueError) as e: call()
    assert str(e.value).startswith(f'{name}: ') and len(str(e.value).splitlines()) == 1, e.value
    return str(e.value)

# ---- sound and tables ----

def flac_silence(secs, rate=44_100, channels=2):
    "A right FLAC of constant subframes: some 20 bytes for each 65 535 samples."
    def crc(data, polynomial, bits):
        value = 0
        for byte in data:
            value ^= byte << bits - 8
            for _ in range(8):
                value = (value << 1 ^ (polynomial if value >> bits - 1 else 0)) & (1 << bits) - 1
        return value
    n, block = -(-secs * rate // 65_535), 65_535
    about = rate << 44 | channels - 1 << 41 | 15 << 36 | n * block
    parts = [b'fLaC\x80\x00\x00\x22' + struct.pack('>HH', block, block) + bytes(6) + about.to_bytes(8, 'big')
             + bytes(16)]
    for i in range(n):
        kind = bytes([0x70, channels - 1 << 4 | 8])
        head = b'\xff\xf8' + kind + chr(i).encode() + struct.pack('>H', block - 1)
        frame = head + bytes([crc(head, 7, 8)]) + bytes(3 * channels)
        parts.append(frame + struct.pack('>H', crc(frame, 0x8005, 16)))
    return b''.join(parts)

@pytest.mark.parametrize('rate, hours', [(8000, 10), (44_100, 1)])
def test_hours_in_kilobytes_are_refused(tmp_path, rate, hours):
    path = tmp_path/'silence.flac'
    path.write_bytes(flac_silence(hours * 3600, rate))
    with pytest.raises(AudioError, match='silence.flac'): list(read_blocks(path))

def test_a_block_of_many_channels_is_bounded(tmp_path):
    path = tmp_path/'wide.wav'
    sf.write(path, np.zeros((3 * 192_000, 64), np.int16), 192_000)
    sizes = [block.nbytes for block in read_blocks(path, 192_000, stereo=True)]
    assert max(sizes) <= 4 << 24 and sum(sizes) == 3 * 192_000 * 64 * 4

def repeated(path):
    row = pa.DictionaryArray.from_arrays(pa.array(np.zeros(3000, 'i4')), ['x' * 10**6])
    pq.write_table(pa.table(dict(label=row, track=row, split=row)), path)

def nested(path): pq.write_table(pa.table(dict(label=[[0] * 10**6])), path)
def packed(path): pq.write_table(pa.table(dict(label=np.zeros(10**6))), path, compression='zstd')
def rows(path): pq.write_table(pa.table(dict(label=np.zeros(60_000_000, bool))), path)
def pipe(path): os.mkfifo(path)

@pytest.mark.parametrize('make', [repeated, nested, packed, rows, pipe])
def test_parquet_of_kilobytes_is_refused(tmp_path, make):
    make(path := tmp_path/'clips.parquet')
    assert path.stat().st_size < 1e6
    assert 'cannot be read as a table' in refused(lambda: read_table(path), path)

def test_no_code_of_a_parquet_runs(tmp_path):
    "CVE-2023-47248: a type of an extension, as pickle."
    class Runs:
        def __reduce__(self): return os.mkdir, (str(tmp_path/'pwned'),)
    import pickle
    kind = b'arrow.py_extension_type'
    meta = {b'ARROW:extension:name': kind, b'ARROW:extension:metadata': pickle.dumps(Runs())}
    schema = pa.schema([pa.field('label', pa.int64(), metadata=meta)])
    pq.write_table(pa.table([pa.array([1, 2])], schema=schema), tmp_path/'clips.parquet')
    try: read_table(tmp_path/'clips.parquet')
    except ValueError as e: assert 'clips.parquet' in str(e)      # older versions of pyarrow refuse it
    assert not (tmp_path/'pwned').exists()

def test_wide_csv_of_short_rows_is_refused(tmp_path):
    path = tmp_path/'factors.csv'
    path.write_text('track,split,' + ','.join(f'c{i}' for i in range(1_000)) + '\n' + 'x\n' * 60_000)
    assert 'are too many' in refused(lambda: read_csv(path), path)

# ---- latents: forged ----

@pytest.fixture(scope='module')
def clip(net): return net.with_size('base').encode(.1 * torch.randn(1, 1, CLIP))

def forge(path, header=(), tensors=(), without=()):
    "Change a latent file, and make its checksum right again."
    with open_tensors(path) as f:
        said = json.loads(f.metadata()['celae']) | dict(header)
        held = {name: f.get_tensor(name).clone() for name in f.keys()} | dict(tensors)
    said, held = [{k: v for k, v in each.items() if k not in without} for each in (said, held)]
    held = {k: v.contiguous() for k, v in held.items()}
    if 'checksum' in said and 'checksum' not in dict(header): said['checksum'] = _checksum(held, said)
    path.write_bytes(save(held, dict(celae=json.dumps(said))))

def forgeries(z):
    "Changes of a latent file, each of which has to be refused."
    numbers = 0, -1, 2**31, 10**12, 10**30, True, None, '1', 1.5, float('nan'), float('inf'), [1], {}
    words = 3, None, ['a'], 'two\nlines', 'x' * 1000, '<b>'
    sizes = dict(channels=64, detail=0), dict(channels=10**9, detail=1), dict(channels=32), [32, 1694]
    yield from (dict(header={name: each}) for name in ('n_samples', 'sr') for each in numbers)
    yield from (dict(header={name: each}) for name in ('model', 'hash', 'size', 'checksum') for each in words)
    yield from (dict(header=dict(size=each)) for each in sizes)
    yield from (dict(header=dict(n_samples=n)) for n in (1, CLIP + 4096))
    yield from (dict(header=each) for each in (dict(format='celae 2'), dict(surprise=1)))
    zs = z[0], z[:, :3], z[..., :9], z[:0], z.long(), z.double(), z.half(), z + torch.nan, z + 1e30
    yield from (dict(tensors=dict(z=each)) for each in (*zs, z.repeat(2, 1, 1)))
    scales = (torch.full((1, z.shape[1], 1), each) for each in (torch.nan, torch.inf, 1e38))
    yield from (dict(tensors=dict(z_scale=each)) for each in scales)
    yield from (dict(tensors=dict(level=torch.zeros(1) + each)) for each in (torch.nan, torch.inf, 88., 1e38))
    bits = torch.zeros(0, dtype=torch.uint8), torch.full((99,), 255, dtype=torch.uint8)
    yield from (dict(tensors=dict(places=each)) for each in bits)
    odd = dict(level=torch.zeros(1, 1)), dict(detail=torch.zeros(5)), dict(detail_scale=torch.ones(3))
    yield from (dict(tensors=each) for each in (*odd, dict(more=z)))
    names = 'z', 'z_scale', 'level', 'detail', 'detail_scale', 'places', *Header.__dataclass_fields__
    yield from (dict(without=[name]) for name in names)

def test_forged_latents_are_refused(tmp_path, net, clip):
    path = save_latent(tmp_path/'clip.celae', clip, net.with_size('base'), CLIP)
    whole = path.read_bytes()
    for case in forgeries(torch.zeros_like(clip.z)):
        path.write_bytes(whole)
        forge(path, **case)
        refused(lambda: load_latent(path, net), path)
    broken = b'', b'\xff' * 9, (10**9).to_bytes(8, 'little') + b'{}', whole[:9], whole[:500], whole + b'0'
    for each in (*broken, whole[:-1] + bytes([whole[-1] ^ 1])):
        path.write_bytes(each)
        refused(lambda: load_latent(path, net), path)
    path.unlink(), os.mkfifo(path)
    refused(lambda: load_latent(path, net), path)

odd = st.one_of(st.integers(-2, 300_000), st.sampled_from([2**63, 10**30, True, None]), st.floats(),
                st.text(max_size=12), st.lists(st.integers(), max_size=2))
values = st.one_of(st.floats(-100, 100), st.sampled_from([float('nan'), float('inf'), 1e38, -1e38, 1e6]))
shapes = st.lists(st.integers(0, 70), max_size=3)
kinds = st.sampled_from([torch.int8, torch.uint8, torch.int64, torch.float16, torch.float32, torch.float64])

@settings(max_examples=40, deadline=None, database=None, derandomize=True,
          suppress_health_check=list(HealthCheck))
@given(st.data())
def test_random_changes_are_refused_or_decode(tmp_path_factory, net, data):
    path = tmp_path_factory.mktemp('fuzz')/'a.celae'
    saved(path, net, .4, rows=2)
    with open_tensors(path) as f: held = {name: f.get_tensor(name).clone() for name in f.keys()}
    for _ in range(data.draw(st.integers(0, 2))):
        name, value = data.draw(st.sampled_from(sorted(held))), data.draw(values)
        shape = data.draw(st.one_of(st.just(list(held[name].shape)), shapes))
        kind = data.draw(st.one_of(st.just(held[name].dtype), kinds))
        if not kind.is_floating_point: value = int(np.clip(np.nan_to_num(value), 0, 100))
        held[name] = torch.full(shape, value, dtype=torch.float64).to(kind)
    entry = data.draw(st.sampled_from(['sr', 'n_samples', 'size', 'model', 'none']))
    forge(path, {} if entry == 'none' else {entry: data.draw(odd)}, held)
    try:
        stored = load_latent(path, net)
        wav = np.concatenate(list(decode_blocks(stored.codec, stored.latent, stored.n_samples)), 1)
        assert wav.shape[1] == stored.n_samples and np.isfinite(wav).all()
    except ValueError as e:
        assert len(str(e).splitlines()) == 1 and (str(e).startswith(f'{path}: ') or 'NaN or Inf' in str(e)), e

# ---- latents: what is written is read ----

def saved(path, net, secs=1., rows=1, **how):
    latent = net.encode(.1 * torch.randn(rows, 1, round(secs * SR)))
    return save_latent(path, latent, net, round(secs * SR), **how)

def test_what_cannot_be_read_is_not_written(tmp_path, net):
    small, latent = CELAutoencoderSiLU(1).eval(), net.encode(.1 * torch.randn(1, 1, SR))
    with pytest.raises(ValueError, match='not written; claims 15,000 s of sound in'):
        save_latent(tmp_path/'a.celae', Latent(torch.zeros(1, 1, 3000)), small, 3000 * CLIP)
    path = tmp_path/'a.celae'
    assert 'not written; its header: rows is 65' in refused(lambda: saved(path, net, .1, 65), path)
    assert 'sr is 5,' in refused(lambda: saved(path, net, sr=5), path)
    nan, loud = replace(latent, z=latent.z + torch.nan), replace(latent, level=latent.level + 99)
    for bad in (nan, loud, latent.cut(1)): refused(lambda bad=bad: save_latent(path, bad, net, SR), path)
    assert not list(tmp_path.iterdir())

@pytest.mark.parametrize('rows, channels, kept', [(1, 64, None), (1, 2, 2), (2, 2, 2), (2, 6, None)])
def test_channels_of_a_result_are_those_of_the_latent(tmp_path, net, rows, channels, kept):
    path = saved(tmp_path/'a.celae', net, .2, rows, source=SoundFormat(np.int64(192_000), np.int64(channels)))
    source = load_latent(path, net).source
    assert (source and source.channels) == kept

@pytest.mark.parametrize('char', ['🎵', '"', '\\', 'é', '\x7f', '\u2028'])
def test_the_longest_tags_are_read_back(tmp_path, net, char):
    tags = dict(title=[char * 1000] * 20, artist=[char], cover=b'\xff\xd8\xff' + bytes(63_990))
    source = SoundFormat(44_100, 1, tags)
    stored = load_latent(saved(tmp_path/'a.celae', net, .2, source=source), net)
    assert stored.source == replace(source, tags=clean_tags(tags))

@pytest.mark.parametrize('dtype', [torch.float64, torch.float16])
def test_other_precisions_are_read_back(tmp_path, net, dtype):
    latent = net.encode(.1 * torch.randn(1, 1, SR)).to(dtype)
    assert load_latent(save_latent(tmp_path/'a.celae', latent, net, SR), net).n_samples == SR

# ---- decoded clips, --resume, checkpoints ----

@pytest.mark.parametrize('start, stop', [(128, None), (30_000, 34_096), (-4096, None)])
def test_a_cache_of_zeros_is_decoded_again(tmp_path, tone, start, stop):
    (tmp_path/'music').mkdir()
    for i in range(3): write_audio(tmp_path/'music'/f'{i}.wav', tone(220 * (i + 1), 12.))
    want = load_clips(tmp_path/'music', tmp_path/'cache').tensor().clone()
    for path in (tmp_path/'cache').rglob('*'):
        if not path.is_file() or path.stat().st_size < 100_000: continue
        whole = bytearray(path.read_bytes())
        whole[start:stop] = bytes(len(whole[start:stop]))
        path.write_bytes(whole)
    assert torch.equal(load_clips(tmp_path/'music', tmp_path/'cache').tensor(), want)

def test_resume_does_not_look_at_the_clock(tmp_path, net, tone):
    from celae.cli import _is_encoded
    song, result, other = tmp_path/'a.wav', tmp_path/'a.celae', tmp_path/'b.wav'
    write_audio(song, tone(440, 2.)), write_audio(other, tone(1000, 2.))
    latent, n_samples = encode_file(net, song, True)
    save_latent(result, latent, net, n_samples, made_from=song)
    def is_made(path, net=net, exact=False): return _is_encoded(path, result, net, False, exact)
    for date in (1e9, 4e9):
        os.utime(result, (date, date))
        assert is_made(song) and not is_made(other)
        assert not is_made(song, exact=True) and not is_made(song, net.with_size('base'))
    os.utime(other, (1e9, 1e9)), os.replace(other, song)              # an older file in its place
    assert not is_made(song)

@pytest.mark.parametrize('how', ['packed', 'overlapping'])
def test_a_checkpoint_does_not_grow(tmp_path, how):
    from celae.training import _read_checkpoint
    torch.save(dict(model={}, best=torch.zeros(10**6)), tmp_path/'a.pt')
    with zipfile.ZipFile(tmp_path/'a.pt') as old:
        with zipfile.ZipFile(tmp_path/'b.pt', 'w', 8 if how == 'packed' else 0) as new:
            for info in old.infolist(): new.writestr(info.filename, old.read(info))
            if how == 'overlapping': new.filelist += new.filelist
    read = []
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ValueError, match='not a whole checkpoint'):
        patch.setattr(torch, 'load', lambda *args, **kwargs: read.append(args))
        _read_checkpoint(tmp_path/'b.pt', None)
    assert not read

# ---- model folders ----

def test_hostile_model_folders_are_refused(tmp_path):
    from celae.models import read_model, save_model
    model = CELAutoencoderSiLU(2205).eval()
    folder, name = save_model(model, tmp_path/'net'), 'encoder.0.bias'
    config, weights, state = folder/'config.json', folder/'model.safetensors', model.state_dict()
    said, stored = config.read_text(), weights.read_bytes()
    def load(): return read_model(folder, (CELAutoencoderSiLU,))
    changes = [dict(latent_size=value) for value in (0, -1, 1.5, True, '9', None, 10**30, [9])]
    changes += [dict(kernel_size=size) for size in (4, 5, 10**9 + 1)] + [dict(surprise=1), dict(self=1)]
    texts = ['null', '[]', '', '{', '\xff', '[' * 100_000, ' ' * 2_000_000, '{"model": ["x"]}']
    for text in texts + [json.dumps(json.loads(said) | change) for change in changes]:
        config.write_text(text, 'latin-1')
        assert 'not a usable model' in refused(load, folder)
    config.write_text(said)
    bad = {k: v for k, v in state.items() if k != name}, state | {'../more': torch.ones(1)}
    bad += tuple(state | {name: x} for x in (torch.ones(255), torch.ones(16).byte(), torch.ones(16) / 0))
    data = [save({k: v.contiguous() for k, v in each.items()}) for each in bad]
    for each in data + [b'', stored[:-1], stored + b'0', b'\xff' * 9, (8).to_bytes(8, 'little') + b'[' * 8]:
        weights.write_bytes(each)
        assert 'not a usable model' in refused(load, folder)
    weights.unlink(), os.mkfifo(weights)
    assert 'not a plain file' in refused(load, folder)
    weights.unlink(), weights.write_bytes(stored), load()
