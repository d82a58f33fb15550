"""Hostile input by the hundred: sound files, names, latents, model and run folders, tables and archives.

All are made from nothing. Every case is a `Case`: what it is, how to make it at a path, and what is truly in
it. Nothing here imports celae, so that the same cases can be put to any version of it.
"""
import io
import json
import os
import pickle
import random
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Callable

import numpy as np
import soundfile as sf

RATE = 44_100
SECS = 6.                    # length of the sound in most cases


@dataclass(frozen=True)
class Case:
    group: str               # class of input
    name: str                # file name, also below a folder
    make: Callable[[Path], Any]  # makes it at a path
    secs: float | None = None    # seconds of sound truly in it; None: not known, or none
    quiet: bool = False      # may be passed over without a word, as hidden files are

    def at(self, folder):
        "Make the case in a folder; gives its path."
        path = Path(folder)/self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.make(path)
        return path


# ---- sound ----

def tone(secs=SECS, rate=RATE, hz=440):
    return (.3 * np.sin(2 * np.pi * hz * np.arange(int(secs * rate)) / rate)).astype(np.float32)


def audio(fmt='WAV', subtype='PCM_16', rate=RATE, channels=1, wav=None, **how):
    "A sound file as bytes."
    buffer, wav = io.BytesIO(), tone(rate=rate) if wav is None else np.asarray(wav)
    sf.write(buffer, np.repeat(wav[:, None], channels, 1) if wav.ndim == 1 else wav, rate, format=fmt,
             subtype=subtype, **how)
    return buffer.getvalue()


def mp3(wav=None, **how): return audio('MP3', 'MPEG_LAYER_III', wav=wav, **how)
def ogg(wav=None): return audio('OGG', 'VORBIS', wav=wav)
def flac(wav=None): return audio('FLAC', wav=wav)
def patched(data, at, values): return data[:at] + values + data[at + len(values):]
def flipped(data, at=None): at = at or len(data) // 2; return patched(data, at,
                                                                      bytes(b ^ 255 for b in data[at:at + 8]))


def without_xing(data):
    "An MP3 without its first frame, which tells of the length."
    first = data.index(b'\xff\xfb')
    return data[data.index(b'\xff\xfb', first + 4):]


def uneven(secs=40):
    "Half silence, half noise: of a variable bit rate, whose first frames say little of the length."
    noise = np.random.default_rng(0).uniform(-.5, .5, int(secs / 2 * RATE)).astype(np.float32)
    return np.concatenate([tone(secs / 2) * .01, noise])


def bad_pages(data, every=7):
    "An Ogg with wrong check sums."
    at, n, out = data.find(b'OggS'), 0, bytearray(data)
    while at >= 0:
        n += 1
        if n > 3 and n % every == 0: out[at + 22] ^= 255
        at = data.find(b'OggS', at + 4)
    return bytes(out)


def flac_claims(data, samples):
    "A FLAC whose header claims a number of samples (36 bits)."
    return patched(data, 21, bytes([(data[21] & 0xf0) | (samples >> 32) & 0xf]) + struct.pack('>I',
            samples & 0xffffffff))


def put(data): return lambda path: Path(path).write_bytes(data)


def wav_header(channels=1, rate=RATE, bits=16, claimed=None, body=b'', kind=1):
    "A WAV written by hand, whatever it says."
    size = len(body) if claimed is None else claimed
    fmt = struct.pack('<HHIIHH', kind, channels, rate, (rate * channels * bits // 8) & 0xffffffff,
                      (channels * bits // 8) & 0xffff, bits)
    return b'RIFF' + struct.pack('<I', min(size + 36, 0xffffffff)) + b'WAVEfmt ' + struct.pack('<I',
            16) + fmt + b'data' + struct.pack('<I', size) + body


def _long_hole(path, hours=3, rate=22_050):
    "Hours of sound, a hole on disk but for the first seconds."
    data, size = audio(rate=rate), hours * 3600 * rate * 2
    with open(path, 'wb') as f:
        f.write(patched(patched(data, 40, struct.pack('<I', size)), 4, struct.pack('<I', size + 36)))
        f.truncate(size + 44)


def _linked_folder(path):
    "A folder that is a link to an album elsewhere (in `away` beside the folder of music)."
    away = path.parents[2]/'away'
    away.mkdir(exist_ok=True)
    (away/path.name).write_bytes(audio())
    path.parent.rmdir()
    path.parent.symlink_to(away)


def _loop_folder(path):
    "A folder in which a link leads back to itself; the sound in it is there once."
    path.write_bytes(audio())
    (path.parent/'again').symlink_to(path.parent)


def _linked_file(path):
    away = path.parents[1]/'away'
    away.mkdir(exist_ok=True)
    (away/'song.wav').write_bytes(audio())
    path.symlink_to(away/'song.wav')


def _closed_folder(path):
    path.write_bytes(audio())
    path.parent.chmod(0)


def _closed_file(path):
    path.write_bytes(audio())
    path.chmod(0)


def _other_codecs():
    "Beginnings of files of kinds that are not read."
    m4a = struct.pack('>I', 28) + b'ftypM4A \x00\x00\x00\x00M4A mp42isom' + bytes(4000)
    return {'m4a': m4a, 'm4b': m4a.replace(b'M4A ', b'M4B '),
            'mov': struct.pack('>I', 20) + b'ftypqt  \x00\x00\x00\x00qt  ' + bytes(4000),
            'mp4': m4a, 'aac': b'\xff\xf1\x50\x80' * 999, 'wma': b'\x30\x26\xb2\x75\x8e\x66\xcf\x11' * 99,
            'ape': b'MAC ' + bytes(999),
            'webm': b'\x1a\x45\xdf\xa3' * 99, 'mka': b'\x1a\x45\xdf\xa3' + b'matroska' * 99,
            'wv': b'wvpk' + bytes(4000), 'tta': b'TTA1' + bytes(4000),
            'ac3': b'\x0b\x77' * 2000, 'mp2': b'\xff\xfd\x84\x00' + bytes(4000), 'dsf': b'DSD ' + bytes(999),
            'amr': b'#!AMR\n' + bytes(999)}


def still_flac(secs, rate=RATE, channels=1):
    "A right FLAC of silence: some 20 bytes for each 65 535 samples."
    def crc(data, polynomial, bits):
        value = 0
        for byte in data:
            value ^= byte << bits - 8
            for _ in range(8): value = (value << 1 ^ (polynomial if value >> bits - 1 else 0)) & (1 << bits) - 1
        return value
    block, n = 65_535, -(-secs * rate // 65_535)
    about = rate << 44 | channels - 1 << 41 | 15 << 36 | n * block
    parts = [b'fLaC\x80\x00\x00\x22' + struct.pack('>HH', block, block) + bytes(6) + about.to_bytes(8, 'big') + bytes(16)]
    for i in range(n):
        head = b'\xff\xf8' + bytes([0x70, channels - 1 << 4 | 8]) + chr(i).encode() + struct.pack('>H', block - 1)
        frame = head + bytes([crc(head, 7, 8)]) + bytes(3 * channels)
        parts.append(frame + struct.pack('>H', crc(frame, 0x8005, 16)))
    return b''.join(parts)


def packed_id3(megabytes, frame, start, sound):
    "A compressed frame of ID3 before a sound."
    def size(n): return bytes(n >> s & 127 for s in (21, 14, 7, 0))
    squeeze = zlib.compressobj(1)
    data = squeeze.compress(start) + b''.join(squeeze.compress(bytes(1 << 20)) for _ in range(megabytes))
    data += squeeze.flush()
    tag = frame + size(len(data) + 4) + b'\0\x09' + size(99) + data
    return b'ID3\x04\0\0' + size(len(tag)) + tag + sound


def claimed_comments(data):
    "An Ogg or FLAC whose comments claim 4 billion entries."
    at = data.index(b'vorbis', 60) + 6 if data[:4] == b'OggS' else data.index(b'reference libFLAC') - 4
    n = struct.unpack('<I', data[at:at + 4])[0]
    return patched(data, at + 4 + n, b'\xff' * 4)


def audio_cases():
    "A hundred and more kinds of sound file and name."
    t, whole, cases = tone(), audio(), []
    w, m, o, f = whole, mp3(), ogg(), flac()
    nan, inf = t.copy(), t.copy()
    nan[1000:1100], inf[1000:1100] = np.nan, np.inf
    id3 = b'ID3\x04\x00\x00' + bytes([(2_000_000 >> s) & 127 for s in (21, 14, 7, 0)]) + bytes(2_000_000)
    theora = b'OggS' + struct.pack('<BBqIIIB', 0, 2, 0, 1, 0, 0,
                                   1) + bytes([42]) + b'\x80theora\x03\x02\x01' + bytes(32)
    def add(group, files, secs=None, quiet=False):
        for name, data in files.items():
            cases.append(Case(group, name, data if callable(data) else put(data), secs, quiet))
    add('no sound', {'empty.wav': b'', 'text.mp3': b'not music at all\n' * 50, 'zeros.wav': bytes(10**6),
                     'noise.mp3': random.Random(0).randbytes(10**5),
                     'archive.mp3': b'PK\x03\x04' + bytes(5000),
                     'picture.flac': b'\x89PNG\r\n\x1a\n' + bytes(5000), 'film.ogg': theora,
                     'page.wav': b'<!doctype html><script>alert(1)</script>' * 99,
                     'program.wav': b'\x7fELF' + bytes(5000),
                     'no data.wav': audio(wav=np.zeros(0)), 'no data.flac': flac(np.zeros(0)),
                     'ten ms.wav': audio(wav=t[:441])})
    add('cut and damaged', {'header only.wav': w[:20], 'header cut.flac': f[:30],
                            'half.wav': w[:len(w) // 2], 'half.mp3': m[:len(m) // 2],
                            'half.ogg': o[:len(o) // 2], 'half.flac': f[:len(f) // 2],
                            'tenth.mp3': m[:len(m) // 10], 'tenth.ogg': o[:len(o) // 10],
                            'flipped.flac': flipped(f), 'flipped.ogg': flipped(o), 'flipped.mp3': flipped(m),
                            'flipped late.flac': flipped(flac(np.tile(t, 4)))})
    add('header lies', {'claims ten times as much.wav': wav_header(body=w[44:], claimed=10 * (len(w) - 44)),
                        'rate 0.wav': wav_header(rate=0, body=w[44:]),
                        'rate 4 billion.wav': wav_header(rate=0xffffffff, body=w[44:]),
                        'rate 1 Hz.wav': audio(rate=1),
                        'rate 10 MHz.wav': wav_header(rate=10_000_000, body=w[44:]),
                        'channels 0.wav': wav_header(0, body=w[44:]),
                        'channels 65535.wav': wav_header(65_535, body=w[44:]),
                        'channels 1000.wav': wav_header(1000, body=bytes(2000 * 100)),
                        'bits 0.wav': wav_header(bits=0, body=w[44:]),
                        'bits 255.wav': wav_header(bits=255, body=w[44:]),
                        'kind 7777.wav': wav_header(kind=7777, body=w[44:]),
                        'claims 400 hours.flac': flac_claims(f, 2**36 - 1)})
    add('header lies', {'claims nothing.wav': wav_header(body=w[44:], claimed=0),
                        'claims half.wav': wav_header(body=w[44:], claimed=(len(w) - 44) // 2),
                        'streamed.wav': wav_header(body=w[44:], claimed=0xffffffff),
                        'streamed.au': patched(audio('AU'), 8, b'\xff' * 4),
                        'claims half.flac': flac_claims(f, len(t) // 2),
                        'claims nothing.flac': flac_claims(f, 0),
                        'claims half.aiff': _aiff_claims(audio('AIFF'), len(t) // 2)}, SECS)
    def later(make, *args): return lambda path: path.write_bytes(make(*args))
    add('bombs', {'two hours in 100 kB.flac': later(still_flac, 7200), 'forty hours at 1 kHz.flac': later(still_flac, 144_000, 1000),
                  'eight channels of an hour.flac': later(still_flac, 3600, RATE, 8)})
    add('bombs', {'cover of 2 GB.mp3': later(packed_id3, 2000, b'APIC', b'\x03image/png\0\x03\0\x89PNG\r\n\x1a\n', m),
                  'title of 400 MB.mp3': later(packed_id3, 400, b'TIT2', b'\x03', m),
                  'comments without end.flac': claimed_comments(f)}, SECS)
    add('joined', {'without xing.mp3': without_xing(m)}, SECS)
    add('joined', {'variable without xing.mp3': without_xing(mp3(uneven(), bitrate_mode='VARIABLE',
                                                                 compression_level=.5))}, 40)
    add('joined', {'two.mp3': m + m, 'two with tags.mp3': id3 + m + id3 + m, 'two.flac': f + f,
                   'chain.ogg': o + ogg(), 'chain.opus': 2 * audio('OGG', 'OPUS', 48_000),
                   'xing kept twice.mp3': m + mp3()}, 2 * SECS)
    add('joined', {'bad pages.ogg': bad_pages(ogg(np.tile(t, 4)), 4)}, 4 * SECS)
    add('joined', {'flac named.wav': f, 'mp3 named.ogg': m, 'wav named.mp3': w,
                   'junk before.mp3': b'junk' * 300 + m, 'tag of 2 MB.mp3': id3 + m,
                   'junk after.wav': w + b'junk' * 300,
                   'tag after.mp3': m + b'TAG' + bytes(125)}, SECS)
    add('samples', {'not a number.wav': audio(subtype='FLOAT', wav=nan),
                    'infinite.wav': audio(subtype='FLOAT', wav=inf),
                    'only not a number.wav': audio(subtype='FLOAT', wav=np.full(len(t), np.nan)),
                    'huge.wav': audio(subtype='DOUBLE', wav=t.astype(float) * 1e300),
                    'tiny.wav': audio(subtype='DOUBLE', wav=t.astype(float) * 1e-300),
                    'silent.wav': audio(wav=np.zeros(len(t))), 'DC only.wav': audio(wav=np.full(len(t), .4))})
    add('samples', {'ten times too loud.wav': audio(subtype='FLOAT', wav=t * 30),
                    'with offset.wav': audio(wav=t * .5 + .4),
                    'opposite phases.wav': audio(wav=np.stack([t, -t], 1)),
                    'one side.flac': audio('FLAC', wav=np.stack([t, 0 * t], 1)),
                    'square.wav': audio(wav=np.sign(t))}, SECS)
    add('rare but right', {'8 bit.wav': audio(subtype='PCM_U8'), '24 bit.wav': audio(subtype='PCM_24'),
                           '32 bit.wav': audio(subtype='PCM_32'),
                           'float.wav': audio(subtype='FLOAT'), 'double.wav': audio(subtype='DOUBLE'),
                           'a-law.wav': audio(subtype='ALAW'), 'mu-law.au': audio('AU', 'ULAW'),
                           'adpcm.wav': audio(subtype='IMA_ADPCM'), 'big endian.aiff': audio('AIFF'),
                           'rf64.wav': audio('RF64'), 'opus.opus': audio('OGG', 'OPUS', 48_000),
                           '8 kHz.wav': audio(rate=8000), '11 kHz.mp3': mp3(rate=11_025),
                           '96 kHz.flac': audio('FLAC', rate=96_000), '192 kHz.wav': audio(rate=192_000),
                           '6 channels.wav': audio(channels=6), '8 channels.flac': audio('FLAC', channels=8),
                           'upper case.WAV': w, 'right.oga': o}, SECS)
    add('endings', {'apple.caf': audio('CAF'), 'apple.aifc': audio('AIFF', 'ULAW'), 'sony.w64': audio('W64'),
                    'broadcast.rf64': audio('RF64'), 'long ending.wave': w,
                    'next.snd': audio('AU'), 'apple.aif': audio('AIFF')}, SECS)
    add('endings',
        {f'other.{ending}': data for ending,
         data in _other_codecs().items()} | {'m4a named.mp3': _other_codecs()['m4a']})
    add('endings', {'without ending': w, 'two.wav.txt': w, 'notes.txt': b'words'}, quiet=True)
    add('names', {'ünïcödé 音楽 🎵.wav': w, 'e\u0301 in parts.wav': w, 'with\nnewline.wav': w,
                  'with\ttab.wav': w, 'bell \a and \x1b[31mred.wav': w, ' spaces .wav': w,
                  'x' * 200 + '.wav': w, 'y' * 246 + '.wav': w, 'é' * 123 + '.wav': w,
                  os.fsdecode(b'not utf-8 \xff\xfe.wav'): w, 'a $dollar$ $x^2$.wav': w,
                  '$(touch pwned).wav': w, '`touch pwned`.wav': w, '<script>alert(1)<!-- .wav': w,
                  '"><img src=x onerror=alert(1)>.wav': w, "quotes ' and \".wav": w,
                  '-o.wav': w, '--model.wav': w, '🎵🎶.wav': w, 'ends with a space.wav ': w, 'CON.wav': w,
                  'NUL.wav': w, 'per%20cent %s %d.wav': w,
                  '{0} {name}.wav': w, 'back\\slash.wav': w, 'semi;colon & pipe | star *.wav': w,
                  'ques?tion [a-z].wav': w, 'right\u202eto left.wav': w,
                  'zero\u200bwidth.wav': w, '#hash.wav': w, '=formula().wav': w, ', comma, .wav': w,
                  '~tilde.wav': w, 'file:///etc/passwd'.replace('/', '\u2215') + '.wav': w,
                  'label $x/tune.wav': w, 'label <b>bold/tune.wav': w, 'label\nof two lines/tune.wav': w,
                  os.fsdecode(b'label \xff/tune.wav'): w, 'nan/tune.wav': w,
                  '-v/tune.wav': w, 'z' * 250 + '/tune.wav': w,
                  'deep/' + '/'.join('d' * 40 for _ in range(30)) + '/tune.wav': w}, SECS)
    add('hidden', {'.hidden.wav': w, '..wav.wav': w, '...wav': w, '.git/objects.wav': w,
                   '.Trash-1000/files/deleted.wav': w, '._resource.wav': bytes(4096),
                   '__MACOSX/._tune.wav': bytes(4096)}, quiet=True)
    add('links and folders', {'link.wav': _linked_file, 'album/linked.wav': _linked_folder,
                              'loop/once.wav': _loop_folder}, SECS)
    add('links and folders', {'folder.wav': lambda p: p.mkdir(), 'pipe.wav': os.mkfifo,
                              'link to itself.wav': lambda p: p.symlink_to(p),
                              'link to nothing.wav': lambda p: p.symlink_to(p.with_name('nowhere.wav')),
                              'link to zeros.wav': lambda p: p.symlink_to('/dev/zero'),
                              'link to a terminal.wav': lambda p: p.symlink_to('/dev/tty'),
                              'closed folder/tune.wav': _closed_folder, 'closed.wav': _closed_file})
    add('links and folders', {'three hours.wav': _long_hole}, 3 * 3600)
    return cases


def _aiff_claims(data, frames):
    at = data.index(b'COMM') + 10                         # after the size and the number of channels
    data = patched(data, at, struct.pack('>I', frames))
    return data


# ---- latents ----

def read_safetensors(data):
    "Header and bytes of a safetensors file."
    n = struct.unpack('<Q', data[:8])[0]
    return json.loads(data[8:8 + n]), data[8 + n:]


def write_safetensors(header, body):
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack('<Q', len(text)) + text + body


KINDS = dict(F32=np.float32, I8=np.int8, U8=np.uint8, F64=np.float64, I64=np.int64, I32=np.int32,
             BOOL=np.bool_, F16=np.float16)


def unpack_latent(data):
    "Facts and tensors of a latent file."
    header, body = read_safetensors(data)
    facts = json.loads(header.pop('__metadata__')['celae'])
    return facts, {k: np.frombuffer(body[slice(*v['data_offsets'])], KINDS[v['dtype']]).reshape(v['shape'])
                   for k, v in header.items()}


def pack_latent(facts, tensors, checksum=True):
    "A latent file with whatever it says, and the check sum that belongs to it."
    header, body = {}, b''
    for name, x in tensors.items():
        x = np.asarray(x)
        kind = next(k for k, dtype in KINDS.items() if x.dtype == dtype)
        header[name] = dict(dtype=kind, shape=list(x.shape), data_offsets=[len(body), len(body) + x.nbytes])
        body += x.tobytes()
    if checksum and isinstance(facts, dict):
        said = json.dumps({k: v for k, v in facts.items() if k != 'checksum'}, sort_keys=True).encode()
        parts = [k.encode() + np.asarray(v).tobytes() for k, v in sorted(tensors.items())]
        facts = facts | dict(checksum=sha256(b''.join([said, *parts])).hexdigest()[:16])
    return write_safetensors(dict(__metadata__=dict(celae=facts if isinstance(facts, str)
                                                    else json.dumps(facts))) | header, body)


def latent_cases(good):
    "Latent files that lie, made of a good one (its bytes)."
    facts, tensors = unpack_latent(good)
    assert pack_latent(facts, tensors) and unpack_latent(pack_latent(facts,
                                                                     tensors))[0] == facts, 'the check sum is made in another way'
    z, cases = tensors['z'], []
    def add(name, data): cases.append(Case('latents', f'{name}.celae', put(data)))
    def said(name, **changes): add(name, pack_latent({k: v for k,
                                                      v in (facts | changes).items() if v is not ...},
                                                      tensors))
    def holds(name, **changes): add(name, pack_latent(facts, {k: v for k,
                                                              v in (tensors | changes).items()
                                                              if v is not None}))
    odd = {'0': 0, '-1': -1, '1': 1, 'an hour more': facts['n_samples'] + 3600 * 22_050, '1e12': 10**12,
           '2^63': 2**63, '1e400': 10**400, 'half': facts['n_samples'] + .5, 'true': True,
           'null': None, 'text': 'x' * 10, 'a list': [1], 'an object': {}, 'nan': float('nan'),
           'infinite': float('inf'), 'missing': ...}
    for key in ('n_samples', 'sr', 'size'):
        for word, value in odd.items(): said(f'{key} {word}', **{key: value})
    for key in facts['size']:
        for word, value in odd.items(): said(f'size: {key} {word}', size={k: v for k, v in (facts['size'] | {key: value}).items() if v is not ...})
    said('size: one field more', size=facts['size'] | dict(more=1))
    said('a fact more', more=1)
    for key in ('model', 'hash', 'format'):
        for word in ('null', 'a list', 'an object', '0', 'missing'): said(f'{key} {word}', **{key: odd[word]})
    said('model with HTML', model='<script>alert(1)</script>', hash='0' * 12)
    said('another model', hash='0' * 12)
    for name, x in {'of one dimension': z.reshape(-1), 'of four dimensions': z[None],
                    'a number': z.reshape(-1)[0], 'without frames': z[..., :0], 'without channels': z[:, :0],
                    'empty batch': z[:0], 'of 1000 channels': np.repeat(z, 1000 // z.shape[1] + 1, 1)[:,
                            :1000], 'one frame less': z[..., :-1],
                            'one frame more': np.pad(z, ((0, 0), (0, 0), (0, 1))),
                    'ten times as long': np.tile(z, 10), 'of int64': z.astype(np.int64),
                    'of float64': z.astype(np.float64), 'of bools': z.astype(bool), 'missing': None,
                    'of 300 sounds': np.repeat(z, 300, 0)}.items(): holds(f'z {name}', z=x)
    scale = tensors['z_scale'].astype(np.float32)
    for word, value in dict(nan=np.nan, infinite=np.inf, huge=1e38, zero=0.,
                            negative=-1.).items(): holds(f'scale {word}', z_scale=np.full_like(scale, value))
    holds('scale of another shape', z_scale=np.ones((1, 3, 1), np.float32))
    holds('scale missing', z_scale=None)
    nan = z.astype(np.float32)
    nan[..., 3] = np.nan
    holds('z not a number', z=nan)
    holds('z huge', z=np.full(z.shape, 3e38, np.float32))
    for word, value in dict(nan=np.nan, infinite=np.inf, huge=1e30).items(): holds(f'level {word}',
            level=np.full_like(tensors['level'], value))
    holds('level missing', level=None)
    holds('level empty', level=tensors['level'][:0])
    holds('level of three', level=np.repeat(tensors['level'], 3, 0))
    holds('level of two dimensions', level=tensors['level'][None])
    if 'places' in tensors:
        places, detail = tensors['places'], tensors['detail']
        for word, x in {'missing': None, 'short': places[:1], 'empty': places[:0], 'long': np.repeat(places, 50),
                        'of floats': places.astype(np.float32), 'all set': np.full_like(places, 255),
                        'none set': np.zeros_like(places), 'turned': places[::-1]}.items(): holds(f'places {word}', places=x)
        for word, x in {'missing': None, 'short': detail[:3], 'empty': detail[:0], 'long': np.repeat(detail, 2),
                        'of two dimensions': detail[None], 'not a number': np.full(detail.shape, np.nan, np.float32),
                        'huge': np.full(detail.shape, 3e38, np.float32)}.items(): holds(f'detail {word}', detail=x)
        for word, value in dict(nan=np.nan, infinite=np.inf, huge=1e38).items():
            holds(f'scale of detail {word}', detail_scale=np.full_like(tensors['detail_scale'], value))
        holds('detail gone', detail=None, detail_scale=None, places=None)
    source = {f'source of {n} channels': json.dumps(dict(rate=192_000, channels=n, tags={})) for n in (64, 10**9)}
    for word, text in (source | {'source without end': '[' * 500_000, 'source a list': json.dumps([1] * 10**5)}).items():
        header, body = read_safetensors(good)
        add(word, write_safetensors(header | dict(__metadata__=header['__metadata__'] | dict(source=text)), body))
    said('size: one channel of a day', size=dict(channels=1, detail=0), n_samples=86_400 * 22_050)
    holds('z of 5000 sounds', z=np.repeat(z[..., :1], 5000, 0))
    holds('one tensor more', extra=np.zeros(9, np.float32))
    for word, text in {'null': 'null', 'a list': '[]', 'a number': '7', 'no JSON': '{',
                       'deep': '[' * 100_000, 'twice': '{"format": "celae 2", "format": "celae 2"}'}.items():
        add(f'facts {word}', pack_latent(text, tensors))
    add('checksum wrong', pack_latent(facts | dict(checksum='0' * 16), tensors, False))
    add('checksum missing', pack_latent({k: v for k, v in facts.items() if k != 'checksum'}, tensors, False))
    add('without facts', write_safetensors({k: v for k, v in read_safetensors(good)[0].items()
                                            if k != '__metadata__'}, read_safetensors(good)[1]))
    for name, data in {'empty': b'', 'text': b'words\n' * 99, 'noise': random.Random(1).randbytes(9999),
                       'half': good[:len(good) // 2], 'header only': good[:8],
                       'header of 2^62 bytes': struct.pack('<Q', 2**62) + good[8:],
                       'header no JSON': write_safetensors('{', b''), 'a pickle': pickle.dumps([1]),
                       'tensor of 2^50 values': write_safetensors(dict(z=dict(dtype='F32',
                               shape=[2**25, 2**25], data_offsets=[0, 2**52])), b'')}.items(): add(name, data)
    cases.append(Case('latents', 'folder.celae', lambda p: p.mkdir()))
    cases.append(Case('latents', 'pipe.celae', os.mkfifo))
    cases.append(Case('latents', 'link to itself.celae', lambda p: p.symlink_to(p)))
    return cases


# ---- models ----

class _Runs:
    "A pickle that leaves a file behind if it is read."
    def __init__(self, trace): self.trace = str(trace)
    def __reduce__(self): return (os.mkdir, (self.trace,))


def evil_pickle(trace): return pickle.dumps(_Runs(trace))


def _model(config=None, weights=None, keep=True):
    "Make a model folder with a good one's files (in the folder `good`), of which one or both are replaced."
    def make(path, good, trace):
        path.mkdir(parents=True)
        for name, new in (('config.json', config), ('model.safetensors', weights)):
            old = (good/name).read_bytes()
            new = new(old, path/name, trace) if callable(new) else old if new is None else new
            if new is not None: (path/name).write_bytes(new)
    return make


def _config(**changes): return _model(lambda old, path, trace: json.dumps({k: v for k,
        v in (json.loads(old) | changes).items() if v is not ...}).encode())


def _weights(change):
    "Change tensors: a function of a dict name -> [kind, shape, bytes]."
    def new(old, path, trace):
        header, body = read_safetensors(old)
        meta = header.pop('__metadata__', None)
        parts = {k: [v['dtype'], v['shape'], body[slice(*v['data_offsets'])]] for k, v in header.items()}
        parts, header, body = change(parts) or parts, {}, b''
        for k, (kind, shape, data) in parts.items():
            header[k] = dict(dtype=kind, shape=shape, data_offsets=[len(body), len(body) + len(data)])
            body += data
        return write_safetensors((dict(__metadata__=meta) if meta else {}) | header, body)
    return _model(weights=new)


def _filled(value):
    def change(parts):
        name = next(k for k, (kind, shape, data) in parts.items() if kind in ('F32', 'F16') and len(shape) > 1)
        kind, shape, data = parts[name]
        with np.errstate(over='ignore'):
            parts[name] = [kind, shape, np.full(np.prod(shape), value).astype(KINDS[kind]).tobytes()]
    return _weights(change)


def model_cases():
    "Model folders from strangers: name -> maker of (path, folder of a good model, trace of code that ran)."
    def fifo(old, path, trace): os.mkfifo(path)
    def loop(old, path, trace): path.symlink_to(path)
    def zeros(old, path, trace): path.symlink_to('/dev/zero')
    def folder(old, path, trace): path.mkdir()
    def gone(old, path, trace): return None
    def drop(parts): parts.pop(next(iter(parts)))
    def more(parts): parts['extra'] = ['F32', [1], bytes(4)]
    def turned(parts):
        name = next(k for k, (_, shape, _) in parts.items() if len(shape) > 1)
        parts[name][1] = parts[name][1][::-1]
    def doubles(parts):
        for k, (kind, shape, data) in parts.items():
            if kind in ('F32', 'F16'): parts[k] = ['F64', shape, np.frombuffer(data, KINDS[kind]).astype(float).tobytes()]
    made = {f'config {word}': _model(text) for word, text in {
        'empty': b'', 'null': b'null', 'list': b'[]', 'number': b'3', 'text': b'"x"', 'no JSON': b'{',
        'binary': b'\xff\xfe\x00', 'deep': b'[' * 100_000,
        'of 5 MB': b'{"model": "' + b'x' * 5_000_000 + b'"}', 'empty object': b'{}',
        'without model': b'{"width": 3}', 'model null': b'{"model": null}', 'model list': b'{"model": []}',
        'model a module': b'{"model": "os.system"}',
        'model 2 TB': b'{"model": "CELAutoencoderSiLU", "kernel_size": 100000000001}',
        'tones -1': b'{"model": "MusicAutoencoder", "roll_width": -1}',
        'tones 1e12': b'{"model": "MusicAutoencoder", "roll_width": 1000000000000}',
        'of 0.1': b'{"model": "HybridAutoencoder", "size": "base"}'}.items()}
    made |= {f'width {value}': _config(width=value) for value in (0, -1, 1.5, 'x', None, [1], True, 10**6,
                                                                  10**12, float('nan'))}
    made |= {f'depth {value}': _config(decoder_depth=value) for value in (-1, 10**7, 'x', None)}
    made |= {'size unknown': _config(size='huge'), 'size list': _config(size=[1]), 'size empty': _config(size={}),
             'size of 7 channels': _config(size=dict(channels=7, detail=99)), 'size of text': _config(size=dict(channels='x')),
             'size one field more': _config(size=dict(channels=8, detail=99, more=1)),
             'size of 1e12': _config(size=dict(channels=32, detail=10**12)),
             'one setting more': _config(extra=1), 'noise text': _config(z_noise='x'),
             'kind of prior': _config(model='LatentPrior'), 'kind of PCA': _config(model='PCACodec')}
    made |= {f'weights {word}': _model(weights=what) for word, what in {
        'empty': b'', 'missing': gone, 'text': b'words', 'noise': random.Random(2).randbytes(9999),
        'half': lambda old, path, trace: old[:len(old) // 2],
        'pickle': lambda old, path, trace: evil_pickle(trace), 'pipe': fifo, 'folder': folder,
        'linked to itself': loop, 'linked to zeros': zeros,
        'of 2^50 values': write_safetensors(dict(x=dict(dtype='F32', shape=[2**25, 2**25],
                                                        data_offsets=[0, 2**52])), b''),
        'header of 2^62 bytes': struct.pack('<Q', 2**62) + bytes(99)}.items()}
    made |= {'config pipe': _model(fifo), 'config folder': _model(folder), 'config missing': _model(gone),
             'config linked to itself': _model(loop), 'config linked to zeros': _model(zeros)}
    made |= {'a tensor less': _weights(drop), 'a tensor more': _weights(more),
             'a tensor turned': _weights(turned), 'doubles': _weights(doubles),
             'weights nan': _filled(np.nan), 'weights infinite': _filled(np.inf),
             'weights huge': _filled(1e38)}
    return made


# ---- runs ----

SCRIPT = '<script>alert("from a run")</script><img src=x onerror=alert(1)>'


def run_cases():
    "Changes to a good run: name -> function of (its folder, secret file outside, trace of code that ran)."
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    def text(name, value):
        def change(run, secret, trace): (run/name).write_text(value if isinstance(value, str)
                                                              else json.dumps(value))
        return change

    def facts(name, **values):
        def change(run, secret, trace):
            old = json.loads((run/name).read_text())
            (run/name).write_text(json.dumps(old | values))
        return change

    def sounds(where):
        def change(run, secret, trace):
            link = run/'audio'/'link.mp3'
            link.symlink_to(secret)
            file = dict(absolute=str(secret), above=os.path.relpath(secret, run), link='audio/link.mp3',
                        etc='/etc/hostname')[where]
            index = json.loads((run/'metrics'/'sounds.json').read_text())
            index['reconstruction'] = {'row': {'caption': file}}
            (run/'metrics'/'sounds.json').write_text(json.dumps(index))
        return change

    def npz(write, which='musical.npz'):
        def change(run, secret, trace):
            for file in run.glob(f'latents/{which}'): write(file, trace)
        return change

    def replaced(path_of, how):
        def change(run, secret, trace):
            for file in sorted(run.glob(path_of)):
                file.unlink()
                how(file, secret)
        return change

    def table(change_table):
        def change(run, secret, trace):
            clips = pd.read_parquet(run/'clips.parquet')
            change_table(clips, secret).to_parquet(run/'clips.parquet')
        return change
    def objects(file, trace): np.savez(file, z=np.array([_Runs(trace)], object), level=np.zeros(1))
    def nans(file, trace): np.savez(file, **{k: np.full_like(v, np.nan) for k, v in np.load(file).items()})
    def short(file, trace): np.savez(file, **{k: v[:2] for k, v in np.load(file).items()})
    def pickled(file, trace): file.write_bytes(evil_pickle(trace))
    def autoencoder(make): return lambda run, secret, trace: _other_model(run/'models'/'autoencoder', make, trace)
    def fifo(file, secret): os.mkfifo(file)
    def linked(file, secret): file.symlink_to(secret)
    def zeros(file, secret): file.symlink_to('/dev/zero')
    made = {f'settings {word}': text('settings.json', value) for word,
            value in dict(null='null', list='[]', number='3', cut='{', empty='', binary='\x00\x01',
                          object='{}').items()}
    made |= {'settings: folder null': facts('settings.json', folder=None),
             'settings: folder a list': facts('settings.json', folder=[1]),
             'settings: sizes text': facts('settings.json', sizes='x'),
             'settings: sizes empty': facts('settings.json', sizes=[]),
             'settings: seed -1': facts('settings.json', seed=-1),
             'settings: seed text': facts('settings.json', seed='x'),
             'settings: folder with a script': facts('settings.json', folder='/music/' + SCRIPT),
             'settings: key with a script': facts('settings.json', **{SCRIPT: SCRIPT})}
    made |= {f'run.json {word}': text('metrics/run.json', value) for word,
             value in {'null': 'null', 'list': [1], 'cut': '{', 'number': '3'}.items()}
    made |= {f'run.json: {key} a script': facts('metrics/run.json', **{key: SCRIPT})
             for key in ('date', 'minutes', 'threads', 'device')}
    made |= {f'sounds {where}': sounds(where) for where in ('absolute', 'above', 'link', 'etc')}
    made |= {f'sounds.json {word}': text('metrics/sounds.json', value) for word,
             value in {'null': 'null', 'list': [1], 'cut': '{', 'numbers': dict(edits=3)}.items()}
    made |= {'sounds.json with scripts': text('metrics/sounds.json',
                                              dict(edits={SCRIPT: {SCRIPT: 'nowhere.mp3'}}))}
    made |= {f'quality.json {word}': text('metrics/quality.json', value) for word,
             value in {'null': 'null', 'empty': '[]', 'cut': '{', 'numbers': [1, 2],
                       'script': [dict(codec=SCRIPT, snr=1)]}.items()}
    made |= {f'{name}.json a script': text(f'metrics/{name}.json',
                                           [dict(vectors=SCRIPT, set=SCRIPT, name=SCRIPT, key=SCRIPT, label=SCRIPT, k=2)])
                                           for name in ('representations', 'generation', 'report-musical',
                                                        'kmeans-musical')}
    made |= {'kmeans null': text('metrics/kmeans-musical.json', 'null'),
             'track-axes a list': text('metrics/track-axes.json', [1])}
    made |= {f'latents.json {word}': text('metrics/latents.json', value) for word, value in {
        'null': 'null', 'cut': '{', 'numbers': [1, 2], 'without latent': [dict(key='x', vectors='x', pooling='mean')],
        'script': [dict(key=SCRIPT, latent=SCRIPT, vectors=SCRIPT, pooling=SCRIPT, family=SCRIPT, values_per_clip=SCRIPT)],
        'above': [dict(key='x', latent='../../../outside/secret', vectors='x', pooling='mean', family='x', values_per_clip=1)]}.items()}
    made |= {'latents of objects': npz(objects), 'latents pickled': npz(pickled),
             'latents not a number': npz(nans), 'latents short': npz(short),
             'latents cut': npz(lambda file, trace: file.write_bytes(file.read_bytes()[:999])),
             'latents empty': npz(lambda file, trace: file.write_bytes(b'')),
             'features of objects': npz(lambda file, trace: np.savez(file,
                                                                     z=np.array([_Runs(trace)], object)),
                                                                     'mfcc.npz'),
             'latents a pipe': replaced('latents/musical.npz', fifo),
             'latents linked away': replaced('latents/musical.npz', linked),
             'figures linked away': replaced('figures/*.*', linked),
             'figures linked to zeros': replaced('figures/pca-musical.*', zeros),
             'figures a pipe': replaced('figures/pca-musical.*', fifo),
             'settings a pipe': replaced('settings.json', fifo),
             'clips a pipe': replaced('clips.parquet', fifo),
             'clips missing': replaced('clips.parquet', lambda file, secret: None),
             'report linked to a file of the user': lambda run, secret, trace: _link_over(run/'report.html',
                     secret), 'map linked to a file of the user': lambda run, secret, trace: _link_over(run/'map.html', secret)}
    def repeated(run, secret, trace):
        clips, row = pd.read_parquet(run/'clips.parquet'), pa.array(np.zeros(3000, 'i4'))
        long = pa.DictionaryArray.from_arrays(row, ['x' * 10**6])
        other = {name: pa.array([clips[name][0]] * 3000) for name in clips if name not in ('label', 'track')}
        pq.write_table(pa.table(dict(label=long, track=long, **other)), run/'clips.parquet')
    def arrow(make, **how): return lambda run, secret, trace: pq.write_table(make(trace), run/'clips.parquet', **how)
    def forged(trace):
        meta = {b'ARROW:extension:name': b'arrow.py_extension_type', b'ARROW:extension:metadata': evil_pickle(trace)}
        return pa.table([pa.array([1, 2])], schema=pa.schema([pa.field('label', pa.int64(), metadata=meta)]))
    made |= {'clips: text of 6 GB': repeated, 'clips: a pickle of arrow': arrow(forged),
             'clips: a list of 30 million': arrow(lambda trace: pa.table(dict(label=pa.array([np.zeros(30_000_000, 'i1')])))),
             'clips: 60 million rows': arrow(lambda trace: pa.table(dict(label=np.zeros(60_000_000, bool)))),
             'clips: packed a thousandfold': arrow(lambda trace: pa.table(dict(label=np.zeros(10**7))), compression='zstd', use_dictionary=False)}
    views = [dict(key=str(i), latent='musical', vectors='x', pooling='flatten', family='x', values_per_clip=1) for i in range(20_000)]
    made |= {'latents.json 20 000 views': text('metrics/latents.json', views),
             'latents.json pooled without end': text('metrics/latents.json', [views[0] | dict(pooling='+'.join(['flatten'] * 10**5))]),
             'kmeans 20 000 columns': text('metrics/kmeans-musical.json', [{f'k{i}': 1} for i in range(20_000)]),
             'quality.json a list without end': text('metrics/quality.json', '[' + '[],' * 15_000_000 + '[]]'),
             'history.csv wide and long': lambda run, secret, trace: (run/'models'/'autoencoder'/'history.csv').write_text(
                 'step,' + ','.join(f'c{i}' for i in range(99_000)) + '\n' + 'x\n' * 500_000)}
    made |= {'clips no table': lambda run, secret, trace: (run/'clips.parquet').write_bytes(b'PAR1' + bytes(999) + b'PAR1'),
             'clips empty': table(lambda clips, secret: clips.iloc[:0]),
             'clips without label': table(lambda clips, secret: clips.drop(columns='label')),
             'clips: labels with scripts': table(lambda clips, secret: clips.assign(label=clips.label + SCRIPT)), 'clips: labels with $': table(lambda clips, secret: clips.assign(label='$x_{' + clips.label)),
             'clips: tracks with scripts': table(lambda clips, secret: clips.assign(track='</script>' + SCRIPT + clips.track)),
             'clips: labels numbers': table(lambda clips, secret: clips.assign(label=np.arange(len(clips)) % 2)), 'clips: paths outside': table(lambda clips, secret: clips.assign(path=str(secret.with_suffix('.wav')))),
             'clips: paths null': table(lambda clips, secret: clips.assign(path=None)),
             'clips: starts negative': table(lambda clips, secret: clips.assign(start=-5)),
             'clips: starts huge': table(lambda clips, secret: clips.assign(start=2**62)),
             'clips: lengths huge': table(lambda clips, secret: clips.assign(n_samples=2**62)),
             'clips: factor infinite': table(lambda clips, secret: clips.assign(tempo=np.where(np.arange(len(clips)) % 2, np.inf, 1.))),
             'clips: factor with scripts': table(lambda clips, secret: clips.assign(mood=[SCRIPT + str(i % 3) for i in range(len(clips))]))}
    made |= {f'autoencoder: {name}': autoencoder(make) for name, make in model_cases().items()
             if name in ('config null', 'width 1000000000000', 'weights pickle', 'weights pipe',
                         'weights nan', 'config pipe', 'weights missing', 'kind of prior')}
    return made


def _link_over(path, secret):
    path.unlink(missing_ok=True)
    path.symlink_to(secret)


def _other_model(folder, make, trace):
    good = folder.with_name('.good')
    folder.rename(good)
    make(folder, good, trace)


# ---- tables ----

def table_cases(tracks):
    "Tables beside music whose tracks are named: (group, file name, bytes)."
    first, second = tracks[:2]
    rows = [f'{track},{i}' for i, track in enumerate(tracks)]
    factors = {'infinite': 'track,tempo\n' + '\n'.join(f'{t},{v}' for t,
                                                       v in zip(tracks, ['inf', '-inf', '1', '2'] * 9)),
                                                       'nan': 'track,tempo\n' + '\n'.join(f'{t},nan'
                                                               for t in tracks),
               'doubled': 'track,tempo\n' + '\n'.join(rows + rows),
               'a thousand times': 'track,tempo\n' + '\n'.join([rows[0]] * 1000),
               'binary': random.Random(3).randbytes(5000), 'empty': '', 'header only': 'track,tempo\n',
               'without track': 'name,tempo\nx,1\n',
               'huge numbers': f'track,tempo\n{first},1e400\n{second},{10**400}\n',
               'scripts': f'track,{SCRIPT.replace(",", "")}\n{first},"{SCRIPT[:8]}"\n',
               'columns twice': f'track,a,a,label,start,path,split\n{first},1,2,x,7,/etc/hostname,test\n',
               'quotes open': f'track,a\n{first},"abc\n', 'ragged': f'track,a\n{first},1,2,3,4\n',
               'NUL': f'track,a\n{first},\x00\x00\n',
               'latin-1': f'track,a\n{first},caf\xe9\n'.encode('latin-1'),
               'UTF-16': f'track,a\n{first},1\n'.encode('utf-16'),
               '10 000 columns': 'track,' + ','.join(f'c{i}'
                                                     for i in range(10_000)) + '\n' + first + ',1' * 10_000 + '\n', 'formula': f'track,a\n{first},"=cmd|\' /C calc\'!A0"\n',
               'wide and long': 'track,' + ','.join(f'c{i}' for i in range(99_000)) + '\n' + 'x\n' * 500_000,
               'a folder': None, 'a pipe': ...,
               'own columns': f'track,row,n_samples,path,group\n{first},5,7,/etc/hostname,g\n'}
    listed = [f'{track},{split}' for track, split in zip(tracks, ['train', 'train', 'valid', 'test'] * 9)]
    splits = {'right': 'track,split\n' + '\n'.join(listed),
              'unknown split': f'track,split\n{first},holdout\n',
              'twice and different': 'track,split\n' + '\n'.join([*listed, f'{first},test']),
              'doubled': 'track,split\n' + '\n'.join(listed * 2), 'binary': random.Random(4).randbytes(5000),
              'empty': '', 'header only': 'track,split\n', 'without split': f'track\n{first}\n',
              'other tracks': 'track,split\n../../etc/hostname,train\n/etc/passwd,test\n',
              'nan': f'track,split\n{first},\n', 'NUL': f'track,split\n{first}\x00,train\n',
              'a folder': None, 'a pipe': ...,
              'own columns': 'track,split,path,start,row\n' + '\n'.join(f'{line},/etc/hostname,7,9'
                      for line in listed), 'UTF-16': ('track,split\n' + '\n'.join(listed)).encode('utf-16')}
    return [(kind, word, value.encode() if isinstance(value, str) else value) for kind,
            files in (('factors.csv', factors), ('splits.csv', splits)) for word, value in files.items()]


def put_table(path, data):
    "Write a case of `table_cases`."
    if data is None: path.mkdir()
    elif data is ...: os.mkfifo(path)
    else: path.write_bytes(data)


# ---- archives ----

GENRES = ('blues', 'classical', 'country', 'disco', 'hiphop', 'jazz', 'metal', 'pop', 'reggae', 'rock')


def _gtzan(extra=(), n=0):
    "A tar like GTZAN's, with `n` clips a genre, and more members: (name, bytes or a TarInfo)."
    buffer, clip = io.BytesIO(), audio('AU', rate=8000, wav=tone(.1, 8000))
    with tarfile.open(fileobj=buffer, mode='w:gz', compresslevel=1) as archive:
        def add(name, data):
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(data) if data is not None and info.isfile() else info.size
            archive.addfile(info, io.BytesIO(data) if data is not None else None)
        for name, data in extra: add(name, data)
        for genre in GENRES:
            for i in range(n): add(f'genres/{genre}/{genre}.{i:05d}.au', clip)
    return buffer.getvalue()


def _member(name, kind=None, target=''):
    info = tarfile.TarInfo(name)
    if kind: info.type, info.linkname = kind, target
    return info


def _bomb(gigabytes):
    "A small tar.gz that unpacks to much, in a member that is wanted."
    import zlib
    info = tarfile.TarInfo('genres/blues/blues.00000.au')
    info.size = int(gigabytes * 2**30)
    squeeze, out, block = zlib.compressobj(1, wbits=31), [], bytes(2**20)
    out.append(squeeze.compress(info.tobuf()))
    for _ in range(int(gigabytes * 1024)): out.append(squeeze.compress(block))
    return b''.join([*out, squeeze.compress(bytes(10240)), squeeze.flush()])


def _giant_pax(gigabytes):
    "A small tar.gz whose extended header claims a value that fills the memory."
    import zlib
    size = int(gigabytes * 2**30)
    info = tarfile.TarInfo('././@PaxHeader')
    info.type, info.size = tarfile.XHDTYPE, size
    squeeze, block = zlib.compressobj(1, wbits=31), b'x' * 2**20
    head = f'{size} comment='.encode()
    out = [squeeze.compress(info.tobuf()), squeeze.compress(head + b'x' * (2**20 - len(head)))]
    for _ in range(int(gigabytes * 1024) - 1): out.append(squeeze.compress(block))
    return b''.join([*out, squeeze.flush()])


def archive_cases():
    "Archives that are taken for GTZAN's: name -> bytes."
    au = audio('AU', rate=8000, wav=tone(.1, 8000))
    evil = b'written outside'
    return {'empty': b'', 'text': b'<html>not found</html>' * 99, 'noise': random.Random(5).randbytes(9999),
            'cut': _gtzan(n=100)[:20_000], 'no clips': _gtzan(), 'right': _gtzan(n=100),
            'members above': _gtzan([('../../escaped/blues/blues.00001.au', au),
                                     ('genres/../../escaped/blues/blues.00002.au', au)], 95),
            'members absolute': _gtzan([('/tmp/celae-escaped/blues/blues.00001.au', au)], 95),
            'NUL in a name': _gtzan([('genres/blues/blues.00000.au\x00.txt', evil)], 95),
            'links': _gtzan([(_member('genres/blues/blues.00000.au', tarfile.SYMTYPE, '/etc/hostname'),
                              None), (_member('genres/rock', tarfile.SYMTYPE, '../..'), None),
                             (_member('genres/jazz/jazz.00000.au', tarfile.LNKTYPE, '/etc/hostname'), None)],
                             95),
            'devices': _gtzan([(_member('genres/blues/blues.00000.au', tarfile.CHRTYPE), None),
                               (_member('genres/jazz/jazz.00000.au', tarfile.FIFOTYPE), None)], 95),
            'twice the same': _gtzan([('genres/blues/blues.00000.au', evil)], 95),
            'a bomb of 3 GB': _bomb(3), 'a header of 3 GB': _giant_pax(3),
            'nested tar': _gtzan([('genres/blues/blues.00000.au', _gtzan())], 95),
            'a zip': _zip({f'genres/{g}/{g}.{i:05d}.au': au for g in GENRES for i in range(100)}),
            'a zip with names above': _zip({'../../escaped/blues/blues.00001.au': au}),
            'sizes negative': patched(_plain_tar(), 124, b'-0000000001\x00'),
            'sizes of 8 EB': patched(_plain_tar(), 124, b'\x80' + b'\x00' * 3 + b'\x7f' + b'\xff' * 7)}


def _plain_tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer,
                      mode='w') as archive: archive.addfile(_member('genres/blues/blues.00000.au'),
                                                            io.BytesIO(b''))
    return buffer.getvalue()


def _zip(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as z:
        for name, data in files.items(): z.writestr(name, data)
    return buffer.getvalue()


def fma_cases():
    "What is taken for FMA: name -> (genre of the first tracks, name of a member for a track number)."
    return {'right': ('Rock', 'fma_small/{:03d}/{:06d}.mp3'),
            'genre ..': ('..', 'fma_small/{:03d}/{:06d}.mp3'),
            'genre absolute': ('/../../escaped', 'fma_small/{:03d}/{:06d}.mp3'),
            'genre of separators': ('..\\..', 'fma_small/{:03d}/{:06d}.mp3'),
            'genre NUL': ('a\x00b', 'fma_small/{:03d}/{:06d}.mp3'),
            'genre hidden': ('.git', 'fma_small/{:03d}/{:06d}.mp3'),
            'genre of 300 letters': ('g' * 300, 'fma_small/{:03d}/{:06d}.mp3'),
            'members above': ('Rock', '../../{:03d}/{:06d}.mp3'),
            'genre a script': (SCRIPT.replace('/', ''), 'fma_small/{:03d}/{:06d}.mp3')}


def fma_archives(genre, member, n=20):
    "fma_metadata.zip and fma_small.zip, as bytes."
    song = mp3(tone(3.))
    top = [',set,set,track,artist', ',split,subset,genre_top,id', 'track_id,,,,']
    rows = [f'{i},{("training", "validation", "test")[i % 3]},small,"{genre if i < 9 else "Folk"}",{i}'
            for i in range(2, 2 + n)]
    return _zip({'fma_metadata/tracks.csv': '\n'.join(top + rows) + '\n'}), _zip({member.format(i // 1000,
            i): song for i in range(2, 2 + n)})


# ---- moments ----

WRITES = ('os.rename', 'os.mkdir', 'os.truncate', 'os.link', 'os.symlink')


def at_event(n, act, folder=None, counted=None):
    """From now on this process counts what it does, and calls `act(path)` before the `n`th event.

    Events are those that Python audits: with a folder the openings for writing, new folders and renames below
    it, else all of them, imports and readings too. A moment found so does not depend on the speed of the
    machine. `counted` is a shared integer, which counts on.
    """
    seen = [0]
    def hook(event, args):
        if folder is None: path = ''
        elif event == 'open': path = args[0] if isinstance(args[2],
                                                           int) and args[2] & (os.O_WRONLY | os.O_RDWR) else None
        else: path = args[event == 'os.rename'] if event in WRITES else None
        if path is None or isinstance(path,
                                      int) or folder is not None and not os.fsdecode(path).startswith(str(folder)): return
        seen[0] += 1
        if counted is not None: counted.value = seen[0]
        if seen[0] == n: act(str(path))
    if n == 0: return act('')
    import sys
    sys.addaudithook(hook)


def die(path):
    "The end of this process, without a last word."
    import signal
    os.kill(os.getpid(), signal.SIGKILL)


def killed_at(moments, work, folder=None):
    "Fork at each moment a process that does the work and dies there: did it die? For scripts without threads."
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
