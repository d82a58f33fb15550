"""Hostile input, made from nothing: sound files and names, latents, models, runs, tables, archives.

Nothing here imports celae, so that the same cases can be put to any version of it.
"""
import io
import json
import os
import pickle
import random
import signal
import struct
import sys
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Callable

import numpy as np
import soundfile as sf

# one process imports everything, all cases are its forks; it looks for celae where it is installed
os.environ |= dict(OMP_NUM_THREADS='1', PYTHONSAFEPATH='1', PYTHONPATH=str(Path(__file__).parent))
FORK = get_context('forkserver')
FORK.set_forkserver_preload(['test_hostile', 'test_kills', 'multiprocessing.dummy', 'pooch', 'ftplib',
                             'encodings.utf_8_sig', 'pyarrow.parquet', 'celae.cli', 'celae.run',
                             'celae.report', 'celae.sound_map', 'celae.corpora.published',
                             'celae.latent_files', 'celae.evaluation'])
RATE, SECS = 44_100, 6.        # of the sound in most cases
SCRIPT = '<script>alert("from a run")</script><img src=x onerror=alert(1)>'

@dataclass(frozen=True)
class Case:
    group: str                   # class of input
    name: str                    # file name, also below a folder
    make: Callable[[Path], Any]  # makes it at a path
    secs: float | None = None    # seconds of sound truly in it; None: not known, or none
    quiet: bool = False          # may be passed over without a word, as hidden files are

    def at(self, folder):
        "Make the case in a folder; gives its path."
        path = Path(folder)/self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.make(path)
        return path

def put(data): return lambda path: Path(path).write_bytes(data.encode() if isinstance(data, str) else data)

def patched(data, at, values): return data[:at] + values + data[at + len(values):]

def link(target): return lambda path: path.symlink_to(target(path) if callable(target) else target)

def itself(path): path.symlink_to(path)

def noise(n, seed=0): return random.Random(seed).randbytes(n)

ODD_FILES = {'a pipe': os.mkfifo, 'a folder': lambda p: p.mkdir(), 'linked to itself': itself,
             'empty': put(b''), 'linked to zeros': link('/dev/zero'), 'missing': lambda p: None,
             'text': put('words\n' * 99), 'noise': put(noise(9999))}
BAD_JSON = {'null': 'null', 'list': '[1]', 'number': '3', 'string': '"x"', 'cut': '{', 'empty': '',
            'binary': b'\xff\xfe\0', 'object': '{}', 'deep': '[' * 100_000,
            'of 5 MB': '{"x": "' + 'x' * 5_000_000 + '"}'}

# ---- sound ----

def tone(secs=SECS, rate=RATE, hz=440):
    return (.3 * np.sin(2 * np.pi * hz * np.arange(int(secs * rate)) / rate)).astype(np.float32)

def audio(fmt='WAV', subtype='PCM_16', rate=RATE, channels=1, wav=None, **how):
    "A sound file as bytes."
    buffer, wav = io.BytesIO(), tone(rate=rate) if wav is None else np.asarray(wav)
    wav = np.repeat(wav[:, None], channels, 1) if wav.ndim == 1 else wav
    sf.write(buffer, wav, rate, format=fmt, subtype=subtype, **how)
    return buffer.getvalue()

def mp3(wav=None, **how): return audio('MP3', 'MPEG_LAYER_III', wav=wav, **how)
def ogg(wav=None): return audio('OGG', 'VORBIS', wav=wav)
def flac(wav=None): return audio('FLAC', wav=wav)

def flipped(data):
    at = len(data) // 2
    return patched(data, at, bytes(b ^ 255 for b in data[at:at + 8]))

def without_xing(data):
    "An MP3 without its first frame, which tells of the length."
    return data[data.index(b'\xff\xfb', data.index(b'\xff\xfb') + 4):]

def uneven(secs=40):
    "Half silence, half noise: of a variable bit rate, whose first frames say little of the length."
    loud = np.random.default_rng(0).uniform(-.5, .5, int(secs / 2 * RATE)).astype(np.float32)
    return np.concatenate([tone(secs / 2) * .01, loud])

def bad_pages(data, every=4):
    "An Ogg with wrong check sums."
    at, n, out = data.find(b'OggS'), 0, bytearray(data)
    while at >= 0:
        n += 1
        if n > 3 and n % every == 0: out[at + 22] ^= 255
        at = data.find(b'OggS', at + 4)
    return bytes(out)

def flac_claims(data, samples):
    "A FLAC whose header claims a number of samples (36 bits)."
    return patched(data, 21, bytes([data[21] & 0xf0 | samples >> 32]) + struct.pack('>I',
                                                                                    samples & 0xffffffff))

def wav_header(channels=1, rate=RATE, bits=16, claimed=None, body=b'', kind=1):
    "A WAV written by hand, whatever it says."
    size, frame = len(body) if claimed is None else claimed, channels * bits // 8
    fmt = struct.pack('<HHIIHH', kind, channels, rate, rate * frame & 0xffffffff, frame & 0xffff, bits)
    head = b'RIFF' + struct.pack('<I', min(size + 36, 0xffffffff)) + b'WAVEfmt ' + struct.pack('<I', 16) + fmt
    return head + b'data' + struct.pack('<I', size) + body

def long_hole(path, hours=3, rate=22_050):
    "Hours of sound, a hole on disk but for the first seconds."
    data, size = audio(rate=rate), hours * 3600 * rate * 2
    with open(path, 'wb') as f:
        f.write(patched(patched(data, 40, struct.pack('<I', size)), 4, struct.pack('<I', size + 36)))
        f.truncate(size + 44)

def linked_away(path, folder=False):
    "A file, or its folder, that is a link to what lies beside the folder of music."
    away = path.parents[1 + folder]/'away'
    away.mkdir(exist_ok=True)
    (away/path.name).write_bytes(audio())
    if folder: path.parent.rmdir()
    (path.parent if folder else path).symlink_to(away if folder else away/path.name)

def loop_folder(path):
    "A folder in which a link leads back to itself; the sound in it is there once."
    path.write_bytes(audio())
    (path.parent/'again').symlink_to(path.parent)

def closed(path, folder=False):
    path.write_bytes(audio())
    (path.parent if folder else path).chmod(0)

def still_flac(path, hours, rate=RATE, channels=1):
    "Hours of silence in a small file."
    with sf.SoundFile(path, 'w', rate, channels, 'PCM_16', format='FLAC') as f:
        for _ in range(hours * 60): f.write(np.zeros((60 * rate, channels), np.int16))

def packed_id3(megabytes, frame, start, sound, path):
    "A compressed frame of ID3 before a sound."
    def size(n): return bytes(n >> s & 127 for s in (21, 14, 7, 0))
    data = squeezed(start, megabytes)
    tag = frame + size(len(data) + 4) + b'\0\x09' + size(99) + data
    path.write_bytes(b'ID3\x04\0\0' + size(len(tag)) + tag + sound)

def squeezed(start, megabytes, byte=b'\0', wbits=15, end=b''):
    "Very much of one byte, compressed."
    pack = zlib.compressobj(1, wbits=wbits)
    blocks = [start, *[byte * 2**20] * megabytes, end]
    return b''.join([pack.compress(block) for block in blocks] + [pack.flush()])

def claimed_comments(data):
    "A FLAC whose comments claim 4 billion entries."
    at = data.index(b'reference libFLAC') - 4
    return patched(data, at + 4 + struct.unpack('<I', data[at:at + 4])[0], b'\xff' * 4)

M4A = struct.pack('>I', 28) + b'ftypM4A \0\0\0\0M4A mp42isom' + bytes(4000)
OTHER_KINDS = dict(m4a=M4A, mp4=M4A, m4b=M4A.replace(b'M4A ', b'M4B '), mov=M4A.replace(b'M4A ', b'qt  ')) | {
    ending: start + bytes(4000) for ending, start in dict(
        aac=b'\xff\xf1\x50\x80' * 999, wma=b'\x30\x26\xb2\x75\x8e\x66\xcf\x11' * 99, ape=b'MAC ', wv=b'wvpk',
        tta=b'TTA1', webm=b'\x1a\x45\xdf\xa3' * 99, mka=b'\x1a\x45\xdf\xa3' + b'matroska' * 99,
        ac3=b'\x0b\x77' * 2000, mp2=b'\xff\xfd\x84\0', dsf=b'DSD ', amr=b'#!AMR\n').items()}
NAMES = [
    'ünïcödé 音楽 🎵', 'e\u0301 in parts', 'with\nnewline', 'with\ttab', 'bell \a and \x1b[31mred', ' spaces ',
    '🎵🎶', 'a $dollar$ $x^2$', '$(touch pwned)', '`touch pwned`', '<script>alert(1)<!-- ',
    '"><img src=x onerror=alert(1)>', 'quotes \' and "', '-o', '--model', 'CON', 'NUL', 'per%20cent %s %d',
    '{0} {name}', 'back\\slash', '~tilde', '#hash', 'semi;colon & pipe | star *', 'ques?tion [a-z]',
    'right\u202eto left', 'zero\u200bwidth', '=formula()', ', comma, ',
    'file:\u2215\u2215\u2215etc\u2215passwd', 'label $x/tune', 'label <b>bold/tune',
    'label\nof two lines/tune', 'nan/tune', '-v/tune', 'x' * 200, 'y' * 246, 'é' * 123, 'z' * 250 + '/tune',
    'deep/' + '/'.join(30 * ['d' * 40]) + '/tune',
    *(os.fsdecode(name) for name in (b'not utf-8 \xff\xfe', b'label \xff/tune'))]

def audio_cases():
    "A hundred and more kinds of sound file and name."
    t, w, m, o, f, cases = tone(), audio(), mp3(), ogg(), flac(), []
    body, nan, inf = w[44:], t.copy(), t.copy()
    nan[1000:1100], inf[1000:1100] = np.nan, np.inf
    id3 = b'ID3\x04\0\0' + bytes([2_000_000 >> s & 127 for s in (21, 14, 7, 0)]) + bytes(2_000_000)
    theora = b'OggS' + struct.pack('<BBqIIIB', 0, 2, 0, 1, 0, 0, 1) + b'*\x80theora\x03\x02\x01' + bytes(32)
    aiff = audio('AIFF')
    def add(group, files, secs=None, quiet=False):
        cases.extend(Case(group, name, data if callable(data) else put(data), secs, quiet)
                     for name, data in files.items())
    add('no sound', {
        'empty.wav': b'', 'text.mp3': 'not music at all\n' * 50, 'zeros.wav': bytes(10**6),
        'noise.mp3': noise(10**5), 'archive.mp3': b'PK\x03\x04' + bytes(5000),
        'picture.flac': b'\x89PNG\r\n\x1a\n' + bytes(5000), 'film.ogg': theora,
        'page.wav': '<!doctype html><script>alert(1)</script>' * 99, 'program.wav': b'\x7fELF' + bytes(5000),
        'no data.wav': audio(wav=np.zeros(0)), 'no data.flac': flac(np.zeros(0)),
        'ten ms.wav': audio(wav=t[:441])})
    add('cut and damaged', {
        'header only.wav': w[:20], 'header cut.flac': f[:30], 'half.wav': w[:len(w) // 2],
        'half.mp3': m[:len(m) // 2], 'half.ogg': o[:len(o) // 2], 'half.flac': f[:len(f) // 2],
        'tenth.mp3': m[:len(m) // 10], 'tenth.ogg': o[:len(o) // 10], 'flipped.flac': flipped(f),
        'flipped.ogg': flipped(o), 'flipped.mp3': flipped(m), 'flipped late.flac': flipped(flac(np.tile(t,
                                                                                                        4)))})
    add('header lies', {
        'claims ten times as much.wav': wav_header(body=body, claimed=10 * len(body)),
        'rate 1 Hz.wav': audio(rate=1), 'channels 1000.wav': wav_header(1000, body=bytes(200_000)),
        'claims 400 hours.flac': flac_claims(f, 2**36 - 1)}
        | {f'rate {rate}.wav': wav_header(rate=rate, body=body) for rate in (0, 10_000_000, 0xffffffff)}
        | {f'channels {n}.wav': wav_header(n, body=body) for n in (0, 65_535)}
        | {f'bits {n}.wav': wav_header(bits=n, body=body) for n in (0, 255)}
        | {'kind 7777.wav': wav_header(kind=7777, body=body)})
    add('header lies', {
        'claims nothing.wav': wav_header(body=body, claimed=0),
        'claims half.wav': wav_header(body=body, claimed=len(body) // 2),
        'streamed.wav': wav_header(body=body, claimed=0xffffffff),
        'streamed.au': patched(audio('AU'), 8, b'\xff' * 4), 'claims half.flac': flac_claims(f, len(t) // 2),
        'claims nothing.flac': flac_claims(f, 0),
        'claims half.aiff': patched(aiff, aiff.index(b'COMM') + 10, struct.pack('>I', len(t) // 2))}, SECS)
    add('bombs', {'two hours of silence.flac': partial(still_flac, hours=2),
                  'forty hours at 1 kHz.flac': partial(still_flac, hours=40, rate=1000),
                  'eight channels of an hour.flac': partial(still_flac, hours=1, channels=8)})
    add('bombs', {
        'cover of 2 GB.mp3': partial(packed_id3, 2000, b'APIC', b'\x03image/png\0\x03\0\x89PNG\r\n\x1a\n', m),
        'title of 400 MB.mp3': partial(packed_id3, 400, b'TIT2', b'\x03', m),
        'comments without end.flac': claimed_comments(f)}, SECS)
    add('joined', {'variable without xing.mp3': without_xing(
        mp3(uneven(), bitrate_mode='VARIABLE', compression_level=.5))}, 40)
    add('joined', {'two.mp3': m + m, 'two with tags.mp3': id3 + m + id3 + m, 'two.flac': f + f,
                   'chain.ogg': o + ogg(), 'chain.opus': 2 * audio('OGG', 'OPUS', 48_000),
                   'xing kept twice.mp3': m + mp3()}, 2 * SECS)
    add('joined', {'bad pages.ogg': bad_pages(ogg(np.tile(t, 4)))}, 4 * SECS)
    add('joined', {'without xing.mp3': without_xing(m), 'flac named.wav': f, 'mp3 named.ogg': m,
                   'wav named.mp3': w, 'junk before.mp3': b'junk' * 300 + m, 'tag of 2 MB.mp3': id3 + m,
                   'junk after.wav': w + b'junk' * 300, 'tag after.mp3': m + b'TAG' + bytes(125)}, SECS)
    add('samples', {
        'not a number.wav': audio(subtype='FLOAT', wav=nan), 'infinite.wav': audio(subtype='FLOAT', wav=inf),
        'only not a number.wav': audio(subtype='FLOAT', wav=np.full(len(t), np.nan)),
        'huge.wav': audio(subtype='DOUBLE', wav=t.astype(float) * 1e300),
        'tiny.wav': audio(subtype='DOUBLE', wav=t.astype(float) * 1e-300),
        'silent.wav': audio(wav=np.zeros(len(t))), 'DC only.wav': audio(wav=np.full(len(t), .4))})
    add('samples', {
        'ten times too loud.wav': audio(subtype='FLOAT', wav=t * 30),
        'with offset.wav': audio(wav=t * .5 + .4), 'opposite phases.wav': audio(wav=np.stack([t, -t], 1)),
        'square.wav': audio(wav=np.sign(t)), 'one side.flac': audio('FLAC', wav=np.stack([t, 0 * t], 1))},
        SECS)
    rare = {f'{subtype}.wav': dict(subtype=subtype) for subtype in (
        'PCM_U8', 'PCM_24', 'PCM_32', 'FLOAT', 'DOUBLE', 'ALAW', 'IMA_ADPCM')} | {
        'mu-law.au': dict(fmt='AU', subtype='ULAW'), 'big endian.aiff': dict(fmt='AIFF'),
        'rf64.wav': dict(fmt='RF64'), 'opus.opus': dict(fmt='OGG', subtype='OPUS', rate=48_000),
        '96 kHz.flac': dict(fmt='FLAC', rate=96_000), '11 kHz.mp3': dict(fmt='MP3', subtype='MPEG_LAYER_III',
                                                            rate=11_025), '192 kHz.wav': dict(rate=192_000),
        '8 kHz.wav': dict(rate=8000), '6 channels.wav': dict(channels=6),
        '8 channels.flac': dict(fmt='FLAC', channels=8)}
    add('rare but right', {name: audio(**how) for name, how in rare.items()} | {'upper case.WAV': w,
                                                                                'right.oga': o}, SECS)
    add('endings', {'apple.caf': audio('CAF'), 'apple.aifc': audio('AIFF', 'ULAW'), 'sony.w64': audio('W64'),
                    'broadcast.rf64': audio('RF64'), 'long ending.wave': w, 'next.snd': audio('AU'),
                    'apple.aif': aiff}, SECS)
    add('endings', {f'other.{ending}': data for ending, data in OTHER_KINDS.items()} | {'m4a named.mp3': M4A})
    add('endings', {'without ending': w, 'two.wav.txt': w, 'notes.txt': b'words'}, quiet=True)
    add('names', dict.fromkeys([f'{name}.wav' for name in NAMES] + ['ends with a space.wav '], w), SECS)
    add('hidden', dict.fromkeys(['.hidden.wav', '..wav.wav', '...wav', '.git/objects.wav',
                                 '.Trash-1000/files/deleted.wav', '._resource.wav', '__MACOSX/._tune.wav'],
                                 w), quiet=True)
    add('links and folders', {'link.wav': linked_away, 'album/linked.wav': partial(linked_away, folder=True),
                              'loop/once.wav': loop_folder}, SECS)
    add('links and folders', {
        'folder.wav': lambda p: p.mkdir(), 'pipe.wav': os.mkfifo, 'link to itself.wav': itself,
        'link to nothing.wav': link(lambda p: p.with_name('nowhere.wav')),
        'link to zeros.wav': link('/dev/zero'), 'link to a terminal.wav': link('/dev/tty'),
        'closed folder/tune.wav': partial(closed, folder=True), 'closed.wav': closed})
    add('links and folders', {'three hours.wav': long_hole}, 3 * 3600)
    return cases

# ---- latents ----

def read_safetensors(data):
    "Header and bytes of a safetensors file."
    n = struct.unpack('<Q', data[:8])[0]
    return json.loads(data[8:8 + n]), data[8 + n:]

def write_safetensors(header, body=b''):
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack('<Q', len(text)) + text + body

KINDS = dict(F32=np.float32, I8=np.int8, U8=np.uint8, F64=np.float64, I64=np.int64, I32=np.int32,
             BOOL=np.bool_, F16=np.float16)
HUGE_TENSOR = write_safetensors(dict(z=dict(dtype='F32', shape=[2**25, 2**25], data_offsets=[0, 2**52])))
ODD = {'0': 0, '-1': -1, '1': 1, '1e12': 10**12, '2^63': 2**63, '1e400': 10**400, 'half': .5, 'true': True,
       'null': None, 'text': 'x' * 10, 'a list': [1], 'an object': {}, 'nan': float('nan'),
       'infinite': float('inf'), 'missing': ...}

def changed(facts, **changes):
    "Facts with changes; what is `...` is left out."
    return {k: v for k, v in (facts | changes).items() if v is not ...}

def unpack(data):
    "Metadata and tensors of a safetensors file."
    header, body = read_safetensors(data)
    return header.pop('__metadata__', {}), {
        k: np.frombuffer(body[slice(*v['data_offsets'])], KINDS[v['dtype']]).reshape(v['shape'])
        for k, v in header.items()}

def pack(meta, tensors):
    header, body = dict(__metadata__=meta) if meta else {}, b''
    for name, x in tensors.items():
        x = np.asarray(x)
        kind = next(k for k, dtype in KINDS.items() if x.dtype == dtype)
        header[name] = dict(dtype=kind, shape=list(x.shape), data_offsets=[len(body), len(body) + x.nbytes])
        body += x.tobytes()
    return write_safetensors(header, body)

def unpack_latent(data):
    "Facts and tensors of a latent file."
    meta, tensors = unpack(data)
    return json.loads(meta['celae']), tensors

def pack_latent(facts, tensors, checksum=True, **meta):
    "A latent file with whatever it says, and the check sum that belongs to it."
    if checksum and isinstance(facts, dict):
        said = json.dumps(changed(facts, checksum=...), sort_keys=True).encode()
        parts = [k.encode() + np.asarray(v).tobytes() for k, v in sorted(tensors.items())]
        facts = facts | dict(checksum=sha256(b''.join([said, *parts])).hexdigest()[:16])
    return pack(dict(celae=facts if isinstance(facts, str) else json.dumps(facts)) | meta, tensors)

def odd_arrays(x):
    "What may stand in place of an array: word -> array; None: nothing."
    return {'missing': None, 'of one axis': x.reshape(-1), 'of one axis more': x[None],
            'a number': x.reshape(-1)[0], 'one less': x[..., :-1],
            'one more': np.concatenate([x, x[..., :1]], -1), 'empty': x[..., :0], 'no rows': x[:0],
            'no columns': x[:, :0] if x.ndim > 1 else x[:0], 'long': np.repeat(x, 50, -1),
            'of 5000 rows': np.repeat(x[..., :1], 5000, 0),
            'of 1000 columns': np.repeat(x[..., :9], 1000, -2 + (x.ndim < 2)), 'turned': x[::-1].T} | {
            f'of {kind}': x.astype(kind) for kind in ('int64', 'float64', 'float32', 'bool')} | {
            f'all {value}': np.full(x.shape, value, np.float32)
            for value in (np.nan, np.inf, 3e38, 255, 0, -1)}

def latent_cases(good):
    "Latent files that lie, made of a good one (its bytes)."
    facts, tensors = unpack_latent(good)
    assert unpack_latent(pack_latent(facts, tensors))[0] == facts, 'the check sum is made in another way'
    size, files = facts['size'], {}
    odd = {f'{key} {word}': {key: value} for key in ('n_samples', 'sr', 'size', 'model', 'hash', 'format')
           for word, value in (ODD | {'an hour more': facts['n_samples'] + 3600 * 22_050}).items()}
    odd |= {f'size: {key} {word}': dict(size=changed(size, **{key: value}))
            for key in size for word, value in ODD.items()}
    odd |= {'size: one field more': dict(size=size | dict(more=1)), 'a fact more': dict(more=1),
            'model with HTML': dict(model=SCRIPT, hash='0' * 12), 'another model': dict(hash='0' * 12),
            'size: one channel of a day': dict(size=dict(channels=1, detail=0), n_samples=86_400 * 22_050)}
    files |= {name: pack_latent(changed(facts, **changes), tensors) for name, changes in odd.items()}
    for key, x in (tensors | dict(extra=np.zeros(9, np.float32))).items():
        for word, new in odd_arrays(x).items():
            files[f'{key} {word}'] = pack_latent(facts,
                                                 changed(tensors, **{key: ... if new is None else new}))
    files['detail gone'] = pack_latent(facts, {key: tensors[key] for key in ('z', 'z_scale', 'level')})
    sources = {f'of {n} channels': json.dumps(dict(rate=192_000, channels=n, tags={})) for n in (64, 10**9)}
    for word, text in (sources | {'without end': '[' * 500_000, 'a list': json.dumps([1] * 10**5)}).items():
        files[f'source {word}'] = pack(unpack(good)[0] | dict(source=text), tensors)
    twice = '{"format": "celae 2", "format": "celae 2"}'
    files |= {f'facts {word}': pack_latent(text, tensors)
              for word, text in (BAD_JSON | dict(twice=twice)).items() if isinstance(text, str)}
    files |= {
        'checksum wrong': pack_latent(facts | dict(checksum='0' * 16), tensors, False),
        'checksum missing': pack_latent(changed(facts, checksum=...), tensors, False),
        'without facts': pack({}, tensors), 'half': good[:len(good) // 2], 'header only': good[:8],
        'header no JSON': write_safetensors('{'), 'header of 2^62 bytes': struct.pack('<Q', 2**62) + good[8:],
        'a pickle': pickle.dumps([1]), 'tensor of 2^50 values': HUGE_TENSOR}
    made = {name: put(data) for name, data in files.items()} | ODD_FILES
    return [Case('latents', f'{name}.celae', make) for name, make in made.items() if name != 'missing']

# ---- models, runs ----

class Runs:
    "A pickle that leaves a folder behind if it is read."
    def __init__(self, trace): self.trace = str(trace)
    def __reduce__(self): return os.mkdir, (self.trace,)

def evil_pickle(trace): return pickle.dumps(Runs(trace))

def replaced(name, how):
    "A change of a model or run folder: files are made anew."
    def change(folder, trace):
        for path in sorted(folder.glob(name)):
            path.unlink()
            how(path)
    return change

def rewritten(name, how):
    "A change of the bytes of files: how(bytes, trace) -> bytes."
    def change(folder, trace):
        for path in sorted(folder.glob(name)): path.write_bytes(how(path.read_bytes(), trace))
    return change

def facts_changed(name, **changes):
    return rewritten(name, lambda old, trace: json.dumps(changed(json.loads(old), **changes)).encode())

def tensors_changed(how):
    "Change the dict of tensors of a model."
    def new(old, trace):
        meta, tensors = unpack(old)
        return pack(meta, how(tensors))
    return rewritten('model.safetensors', new)

def model_cases():
    "What a stranger does to a good model: name -> change of (its folder, trace of code that ran)."
    config, weights = 'config.json', 'model.safetensors'
    texts = {word: text for word, text in BAD_JSON.items()} | {
        'without model': '{"width": 3}', 'model null': '{"model": null}', 'model list': '{"model": []}',
        'model a module': '{"model": "os.system"}',
        'of 0.1': '{"model": "HybridAutoencoder", "size": "base"}',
        'model 2 TB': '{"model": "CELAutoencoderSiLU", "kernel_size": 100000000001}',
        'tones -1': '{"model": "MusicAutoencoder", "roll_width": -1}',
        'tones 1e12': '{"model": "MusicAutoencoder", "roll_width": 1000000000000}'}
    made = {f'config {word}': replaced(config, put(text)) for word, text in texts.items()}
    made |= {f'{file.split(".")[0]} {word}': replaced(file, how) for file in (config, weights)
             for word, how in ODD_FILES.items()}
    odd = dict(width=(0, -1, 1.5, 'x', None, [1], True, 10**6, 10**12, float('nan')),
               decoder_depth=(-1, 10**7, 'x', None), size=(
                   'huge', [1], {}, dict(channels=7, detail=99), dict(channels='x'),
                   dict(channels=32, detail=10**12), dict(channels=8, detail=99, more=1)), extra=(1,),
                   z_noise=('x',), model=('LatentPrior', 'PCACodec'))
    made |= {f'{key} {value}': facts_changed(config, **{key: value}) for key, values in odd.items()
             for value in values}
    made |= {
        'weights half': rewritten(weights, lambda old, trace: old[:len(old) // 2]),
        'weights pickle': rewritten(weights, lambda old, trace: evil_pickle(trace)),
        'weights of 2^50 values': replaced(weights, put(HUGE_TENSOR)),
        'weights of a header of 2^62 bytes': replaced(weights, put(struct.pack('<Q', 2**62) + bytes(99)))}
    def other(word):
        def new(tensors):
            name = next(k for k, x in tensors.items() if x.ndim > 1 and x.dtype.kind == 'f')
            new = odd_arrays(tensors[name])[word]
            return changed(tensors, **{name: ... if new is None else new})
        return new
    made['a tensor too many'] = tensors_changed(lambda tensors: tensors | dict(extra=np.zeros(1, np.float32)))
    return made | {f'a tensor {word}': tensors_changed(other(word)) for word in odd_arrays(np.zeros((1, 1)))}

def swapped(value, part, new):
    "JSON with something else in place of each text that holds `part`."
    if isinstance(value, dict): return {key: swapped(x, part, new) for key, x in value.items()}
    if isinstance(value, list): return [swapped(x, part, new) for x in value]
    return new if isinstance(value, str) and part in value else value

def run_cases(run):
    "What a stranger does to the run in a folder: name -> change of (its folder, trace of code that ran)."
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq
    def out(folder): return folder.parents[1]/'outside'/'secret.txt'
    def secret(name): return lambda folder, trace: replaced(name, link(out(folder)))(folder, trace)
    def of_scripts(old, trace):
        value = swapped(json.loads(old), '', SCRIPT)
        return json.dumps(value | {SCRIPT: SCRIPT} if isinstance(value, dict) else value).encode()
    made, clips = {}, 'clips.parquet'
    for path in sorted(p for p in run.rglob('*.json') if 'models' not in p.parts):
        name = path.relative_to(run).as_posix()
        made |= {f'{name} {word}': replaced(name, put(text)) for word, text in BAD_JSON.items()}
        made |= {f'{name} {word}': replaced(name, ODD_FILES[word]) for word in ('a pipe', 'linked to zeros')}
        made[f'{name} of scripts'] = rewritten(name, of_scripts)
    settings = dict(folder=(None, [1], '/music/' + SCRIPT), sizes=('x', []), seed=(-1, 'x'))
    made |= {f'settings: {key} {value}': facts_changed('settings.json', **{key: value})
             for key, values in settings.items() for value in values}
    def sounds(where):
        def change(folder, trace):
            (folder/'audio'/'link.mp3').symlink_to(out(folder))
            file = dict(absolute=str(out(folder)), above=os.path.relpath(out(folder), folder),
                        link='audio/link.mp3', etc='/etc/hostname')[where]
            def point(old, trace): return json.dumps(swapped(json.loads(old), '.mp3', file)).encode()
            rewritten('metrics/*.json', point)(folder, trace)
        return change
    made |= {f'sounds {where}': sounds(where) for where in ('absolute', 'above', 'link', 'etc')}
    made['sounds linked away'] = secret('audio/**/*.mp3')
    view = dict(key='x', latent='musical', vectors='x', pooling='flatten', family='x', values_per_clip=1)
    views = {'without latent': [dict(key='x')], 'above': [view | dict(latent='../../../outside/secret')],
             '20 000': [view | dict(key=str(i)) for i in range(20_000)],
             'pooled without end': [view | dict(pooling='+'.join(['flatten'] * 10**5))]}
    made |= {f'views {word}': replaced('metrics/latents.json', put(json.dumps(rows)))
             for word, rows in views.items()}
    made |= {
        'kmeans 20 000 columns': replaced('metrics/kmeans-*.json',
                                          put(json.dumps([{f'k{i}': 1} for i in range(20_000)]))),
        'a list without end': replaced('metrics/*.json', put('[' + '[],' * 15_000_000 + '[]]')),
        'history wide and long': replaced('models/*/history.csv', put(WIDE_AND_LONG))}
    def arrays(how):
        def new(old, trace):
            np.savez(buffer := io.BytesIO(), **how(dict(np.load(io.BytesIO(old))), trace))
            return buffer.getvalue()
        return new
    def nan(old, trace): return {key: np.full_like(x, np.nan) for key, x in old.items()}
    made |= {f'latents/{kind} {word}': rewritten(f'latents/{kind}.npz', how)
             for kind in ('musical', 'mfcc', '*') for word, how in {
        'of objects': arrays(lambda old, trace: dict(z=np.array([Runs(trace)], object), level=np.zeros(1))),
        'pickled': lambda old, trace: evil_pickle(trace), 'cut': lambda old, trace: old[:999],
        'empty': lambda old, trace: b'', 'not a number': arrays(nan),
        'short': arrays(lambda old, trace: {k: v[:2] for k, v in old.items()})}.items()}
    made |= {f'{name} {word}': replaced(name, ODD_FILES[word])
             for word in ('a pipe', 'linked to zeros', 'missing')
             for name in ('latents/*.npz', 'figures/*.*', clips)}
    made |= {f'{name} linked away': secret(name) for name in ('latents/*.npz', 'figures/*.*')}
    def over(name): return lambda folder, trace: link(out(folder))(folder/name)
    made |= {f'{name} linked to a file of the user': over(name) for name in ('report.html', 'map.html')}
    def table(how):
        def change(folder, trace): how(pd.read_parquet(folder/clips)).to_parquet(folder/clips)
        return change
    values = {'null': None, 'negative': -5, 'huge': 2**62, 'infinite': np.inf, 'script': SCRIPT, '$': '$x_{'}
    def column(key, x): return table(lambda t: t.assign(**{key: t[key] + x if isinstance(x, str) and key in t
                                                           else x}))
    made |= {f'clips: {key} {word}': column(key, x)
             for key in ('label', 'track', 'path') for word, x in values.items()}
    made |= {f'clips: {key} {word}': column(key, x) for key in ('start', 'n_samples', 'tempo')
             for word, x in values.items() if word in ('null', 'negative', 'huge', 'infinite')}
    made |= {
        'clips: empty': table(lambda t: t.iloc[:0]),
        'clips: no table': replaced(clips, put(b'PAR1' * 99)),
        'clips: without label': table(lambda t: t.drop(columns='label')),
        'clips: moods of scripts': table(lambda t: t.assign(mood=[SCRIPT + str(i % 3)
                                                            for i in range(len(t))])),
        'clips: paths outside': lambda folder, trace: table(lambda t: t.assign(
            path=str(out(folder).with_suffix('.wav'))))(folder, trace)}
    def arrow(make, **how):
        def change(folder, trace): pq.write_table(make(folder, trace), folder/clips, **how)
        return change
    def labels(x): return lambda folder, trace: pa.table(dict(label=x()))
    def repeated(folder, trace):
        old = pd.read_parquet(folder/clips)
        long = pa.DictionaryArray.from_arrays(pa.array(np.zeros(3000, 'i4')), ['x' * 10**6])
        other = {name: pa.array([old[name][0]] * 3000) for name in old if name not in ('label', 'track')}
        return pa.table(dict(label=long, track=long, **other))
    def forged(folder, trace):
        meta = {b'ARROW:extension:name': b'arrow.py_extension_type',
                b'ARROW:extension:metadata': evil_pickle(trace)}
        return pa.table([pa.array([1, 2])], schema=pa.schema([pa.field('label', pa.int64(), metadata=meta)]))
    made |= {
        'clips: text of 6 GB': arrow(repeated), 'clips: a pickle of arrow': arrow(forged),
        'clips: a list of 30 million': arrow(labels(lambda: pa.array([np.zeros(3 * 10**7, 'i1')]))),
        'clips: 60 million rows': arrow(labels(lambda: np.zeros(6 * 10**7, bool))),
        'clips: packed a thousandfold': arrow(labels(lambda: np.zeros(10**7)), compression='zstd',
                                              use_dictionary=False)}
    def model(change): return lambda folder, trace: change(folder/'models'/'autoencoder', trace)
    bad = ('config null', 'config a pipe', 'width 1000000000000', 'weights pickle', 'a tensor all nan',
           'model a pipe', 'model missing', 'model LatentPrior')
    return made | {f'autoencoder: {name}': model(model_cases()[name]) for name in bad}

# ---- tables, archives ----

WIDE_AND_LONG = 'track,' + ','.join(f'c{i}' for i in range(99_000)) + '\n' + 'x\n' * 500_000

def table_cases(tracks):
    "Tables beside music whose tracks are named: (file name, word, what makes it)."
    one, two = tracks[:2]
    rows = [f'{track},{i}' for i, track in enumerate(tracks)]
    listed = [f'{track},{split}' for track, split in zip(tracks, ['train', 'train', 'valid', 'test'] * 9)]
    def lines(head, rows): return '\n'.join([head, *rows])
    values = zip(tracks, ['inf', '-inf', '1', '2'] * 9)
    both = {'binary': noise(5000), 'a folder': ODD_FILES['a folder'], 'a pipe': os.mkfifo, 'empty': ''}
    factors = both | {
        'infinite': lines('track,tempo', [f'{t},{v}' for t, v in values]), 'header only': 'track,tempo\n',
        'nan': lines('track,tempo', [f'{t},nan' for t in tracks]),
        'doubled': lines('track,tempo', rows + rows),
        'a thousand times': lines('track,tempo', rows[:1] * 1000), 'without track': 'name,tempo\nx,1\n',
        'huge numbers': f'track,tempo\n{one},1e400\n{two},{10**400}\n',
        'quotes open': f'track,a\n{one},"abc\n', 'scripts': f'track,{SCRIPT}\n{one},"{SCRIPT[:8]}"\n',
        'ragged': f'track,a\n{one},1,2,3,4\n',
        'columns twice': f'track,a,a,label,start,path,split\n{one},1,2,x,7,/etc/hostname,test\n',
        'NUL': f'track,a\n{one},\0\0\n', 'latin-1': f'track,a\n{one},caf\xe9\n'.encode('latin-1'),
        'UTF-16': f'track,a\n{one},1\n'.encode('utf-16'), 'wide and long': WIDE_AND_LONG,
        '10 000 columns': lines('track,' + ','.join(f'c{i}' for i in range(10_000)), [one + ',1' * 10_000]),
        'formula': f'track,a\n{one},"=cmd|\' /C calc\'!A0"\n',
        'own columns': f'track,row,n_samples,path,group\n{one},5,7,/etc/hostname,g\n'}
    splits = both | {
        'right': lines('track,split', listed), 'unknown split': f'track,split\n{one},holdout\n',
        'twice and different': lines('track,split', [*listed, f'{one},test']),
        'doubled': lines('track,split', listed * 2), 'header only': 'track,split\n',
        'without split': f'track\n{one}\n', 'nan': f'track,split\n{one},\n',
        'other tracks': 'track,split\n../../etc/hostname,train\n/etc/passwd,test\n',
        'NUL': f'track,split\n{one}\0,train\n', 'UTF-16': lines('track,split', listed).encode('utf-16'),
        'own columns': lines('track,split,path,start,row', [f'{line},/etc/hostname,7,9' for line in listed])}
    return [(f'{kind}.csv', word, data if callable(data) else put(data))
            for kind, found in dict(factors=factors, splits=splits).items() for word, data in found.items()]

GENRES = ('blues', 'classical', 'country', 'disco', 'hiphop', 'jazz', 'metal', 'pop', 'reggae', 'rock')
CLIPS = [f'genres/{genre}/{genre}.{i:05d}.au' for genre in GENRES for i in range(100)]

def member(name, kind=None, target=''):
    info = tarfile.TarInfo(name)
    if kind: info.type, info.linkname = kind, target
    return info

def tar(extra=(), clips=CLIPS, mode='w:gz'):
    "A tar like GTZAN's, and before its clips more members: (name or TarInfo, bytes or None)."
    buffer, clip = io.BytesIO(), audio('AU', rate=8000, wav=tone(.1, 8000))
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for info, data in [*extra, *((name, clip) for name in clips)]:
            info = member(info) if isinstance(info, str) else info
            info.size = len(data or b'')
            archive.addfile(info, io.BytesIO(data or b''))
    return buffer.getvalue()

def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as z:
        for name, data in files.items(): z.writestr(name, data)
    return buffer.getvalue()

def tar_bomb(megabytes, header=False):
    "A small tar.gz of a wanted member, or of a header, that unpacks to much."
    info, start = member('pax' if header else CLIPS[0], tarfile.XHDTYPE if header else None), b''
    info.size = megabytes << 20
    if header: start = f'{info.size} comment='.encode()
    return squeezed(info.tobuf() + start, megabytes, b'x' if header else b'\0', 31,
                    b'' if header else bytes(10240))

def archive_cases():
    "Archives that are taken for GTZAN's: name -> bytes."
    au, evil, some, plain = audio('AU', wav=tone(.1)), b'out', CLIPS[:950], tar([(CLIPS[0], b'')], (), 'w')
    up, SYM, LNK = '/blues/blues.00001.au', tarfile.SYMTYPE, tarfile.LNKTYPE
    extra = {
        'members above': [(f'../../escaped{up}', au), (f'genres/../../escaped{up}', au)],
        'members absolute': [(f'/tmp/celae-escaped{up}', au)], 'NUL in a name': [(CLIPS[0] + '\0.txt', evil)],
        'links': [(member(CLIPS[0], SYM, '/etc/hostname'), None), (member('genres/rock', SYM, '../..'), None),
                  (member('genres/jazz/jazz.00000.au', LNK, '/etc/hostname'), None)],
        'devices': [(member(CLIPS[0], tarfile.CHRTYPE), None), (member(CLIPS[500], tarfile.FIFOTYPE), None)],
        'twice the same': [(CLIPS[0], evil)], 'nested tar': [(CLIPS[0], plain)]}
    return {name: tar(members, some) for name, members in extra.items()} | {
        'empty': b'', 'text': b'<html>not found</html>' * 99, 'noise': noise(9999), 'cut': tar()[:20_000],
        'right': tar(), 'no clips': tar(clips=()), 'a bomb of 3 GB': tar_bomb(3000),
        'a header of 3 GB': tar_bomb(3000, True), 'a zip': zipped(dict.fromkeys(CLIPS, au)),
        'a zip with names above': zipped({f'../../escaped{up}': au}),
        'sizes negative': patched(plain, 124, b'-0000000001\0'),
        'sizes of 8 EB': patched(plain, 124, b'\x80\0\0\0\x7f' + b'\xff' * 7)}

def fma_cases(n=20):
    "What is taken for FMA: name -> metadata and music, as archives."
    song, place, made = mp3(tone(3.)), 'fma_small/{:03d}/{:06d}.mp3', {}
    kinds = {'right': 'Rock', '..': '..', 'absolute': '/../../escaped', 'of separators': '..\\..',
             'NUL': 'a\0b', 'hidden': '.git', 'of 300 letters': 'g' * 300,
             'a script': SCRIPT.replace('/', ''), 'and members above': 'Rock'}
    for name, genre in kinds.items():
        rows = [f'{i},{("training", "validation", "test")[i % 3]},small,"{genre if i < 9 else "Folk"}",{i}'
                for i in range(2, 2 + n)]
        csv = '\n'.join([',set,set,track,artist', ',split,subset,genre_top,id', 'track_id,,,,', *rows])
        where = '../../{:03d}/{:06d}.mp3' if 'above' in name else place
        made[f'genre {name}'] = {'fma_metadata.zip': zipped({'fma_metadata/tracks.csv': csv + '\n'}),
                                 'fma_small.zip': zipped(
            {where.format(i // 1000, i): song for i in range(2, 2 + n)})}
    return made

# ---- moments ----

WRITES = ('os.rename', 'os.mkdir', 'os.truncate', 'os.link', 'os.symlink')

def at_event(n, act, folder=None, counted=None):
    """From now on this process counts what it does, and calls `act(path)` before the `n`th event.

    Events are those that Python audits: with a folder openings for writing, new folders and renames below it,
    else all. A moment found so does not depend on the speed of the machine. `counted` is a shared integer.
    """
    seen = [0]
    def hook(event, args):
        path = '' if folder is None else args[event == 'os.rename'] if event in WRITES else None
        if folder and event == 'open' and isinstance(args[2],
                                                     int) and args[2] & (os.O_WRONLY
                                                            | os.O_RDWR): path = args[0]
        if path is None or isinstance(path,
                                      int) or folder and not os.fsdecode(path).startswith(str(folder)): return
        seen[0] += 1
        if counted is not None: counted.value = seen[0]
        if seen[0] == n: act(str(path))
    if n == 0: return act('')
    sys.addaudithook(hook)

def die(path): os.kill(os.getpid(), signal.SIGKILL)

def killed_at(moments, work, folder=None):
    "Fork at each moment a process that does the work and dies there: did it die? Not for threads."
    died = []
    for n in moments:
        pid = os.fork()
        if not pid:
            try:
                at_event(n, die, folder)
                work()
            finally: os._exit(0)
        died.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) < 0)
    return died
