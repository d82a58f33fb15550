"What the functions and commands take, and that they do what they say."
import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch
from conftest import SR

import celae
from celae.api import encode, sound_tensor
from celae.autoencoder import SIZES, load_model
from celae.beats import KEY_NAMES, key_index
from celae.data import CLIP_SAMPLES, Clips
from celae.edits import Towards, average, interpolate, make_edit, random_latent
from celae.generation import LatentPrior
from celae.latent_analysis import clip_vectors, encode_clips, mfcc_vectors
from celae.latent_files import load_latent, save_latent
from celae.models import Latent

@pytest.fixture(scope='module')
def x(): return (.5 * np.sin(2 * np.pi * 220 * np.arange(SR) / SR)).astype(np.float32)

def file_of(x):
    sf.write(file := io.BytesIO(), x, SR, format='WAV', subtype='FLOAT')
    return file

def test_a_sound_in_any_usual_form_is_the_same(x):
    forms = (dict(array=x.tolist(), sampling_rate=SR), dict(bytes=file_of(x).getvalue(), path=None), (x, SR),
             (SR, x), (torch.from_numpy(x)[None], SR), file_of(x), file_of(x).getvalue())
    same = encode(x, SR)
    for latent in map(encode, forms):
        torch.testing.assert_close(latent.z, same.z, atol=.02, rtol=0)
        assert (latent.n_samples, latent.sr) == (2 * SR, SR)       # at the model's rate; the sound's

def test_open_files_and_lists(x, tmp_path):
    sf.write(tmp_path/'x.wav', x, SR, 'FLOAT')
    with open(tmp_path/'x.wav', 'rb') as file: assert encode(file).z.shape == encode(x, SR).z.shape
    with open(tmp_path/'x.wav', encoding='latin1') as text, pytest.raises(ValueError, match='rb'):
        encode(text)
    several = [tmp_path/'x.wav', (x[:9000], SR), dict(array=x[::2], sampling_rate=SR // 2)]
    assert [z.n_samples for z in encode(several)] == [2 * SR, 18_000, 2 * SR]
    assert [y.shape for y in celae.edit(several, smooth=.3)] == [(1, 2 * SR), (1, 18_000), (1, 2 * SR)]

@pytest.mark.parametrize('kind', 'f2 >f4 f8 g i2 >i2 i4 u1'.split())
def test_samples_of_any_type(x, kind):
    kind = np.dtype(kind)
    scale, shift = dict(i=(2**(8 * kind.itemsize - 1) - 1, 0), u=(127, 128)).get(kind.kind, (1, 0))
    given = (x * scale + shift).astype(kind)
    for array in (given, given[::-1][::-1]):
        made = sound_tensor(array, np.float64(SR))[0, 0]
        torch.testing.assert_close(made, torch.from_numpy(x), atol=.02, rtol=0)
    assert sound_tensor(np.repeat(x[None], 16, 0), SR, stereo=True).shape == (16, 1, SR)

REFUSED = {'no sound': [object(), np.array(['a']), np.array([1, 2]), np.ones(9, bool), np.ones(9) * 1j],
           'a dictionary is a sound if': [{'x': 1}], 'transpose it': [(np.zeros((500, 2)), SR)],
           'sr is 22050.5': [(np.zeros(9), 22050.5)], 'is empty': [b''], 'cannot be read': [b'words' * 99]}

@pytest.mark.parametrize('words', REFUSED)
def test_what_is_not_clear_is_one_line(words):
    for sound in REFUSED[words]:
        rate = None if isinstance(sound, (tuple, bytes)) else SR
        with pytest.raises(ValueError, match=words) as e: encode(sound, rate)
        assert '\n' not in str(e.value)

def test_a_latent_knows_its_length(x, tmp_path):
    for n, size in ((700, 'base'), (9000, 'musical'), (SR, 'musical')):
        latent = encode(x[:n], SR, size=size)
        assert celae.decode(latent).shape == (1, 1, n) and latent.n_samples == n
    for same in (replace(latent, z=latent.z.double().numpy()), latent.to('cpu', torch.float64)):
        torch.testing.assert_close(celae.decode(same), celae.decode(latent))
    save_latent(tmp_path/'x.celae', latent, net := load_model('musical'), SR, exact=True)
    torch.testing.assert_close(load_latent(tmp_path/'x.celae', net).latent.z, latent.z)
    torch.testing.assert_close(celae.decode(tmp_path/'x.celae'), celae.decode(latent), atol=1e-3, rtol=0)
    for wrong in (latent.z.numpy(), Latent(latent.z), {}):
        with pytest.raises(ValueError, match='latent'): celae.decode(wrong)

def test_mixes_do_not_lose_detail_or_level(x):
    full, plain = encode(x, SR, size='base'), encode(x, SR)
    assert plain.z.shape[1] == SIZES['stereo'].channels and plain.detail is None    # the default size
    for mix in (lambda: interpolate(full, full, .5), lambda: average([full]), lambda: Towards(full)(full),
                lambda: random_latent(full)):
        with pytest.raises(ValueError, match='without_detail'): mix()
    for other in (Latent(plain.z), full.without_detail()):
        with pytest.raises(ValueError, match='cannot be mixed'): average([plain, other])
    assert interpolate(plain, plain, .5).n_samples == 2 * SR

@pytest.mark.parametrize('values', [
    {'freeze-loop': .5}, {'smooth': .05}, {'smooth': float('nan')}, {'smooth': '1'}, {'smooth': 1e300},
    {'shuffle': -1.}, {'freeze': -.5}, {'freeze': 1, 'freeze-loop': .01}, {'gain': float('nan')}], ids=str)
def test_an_edit_that_does_nothing_is_refused(values):
    with pytest.raises(ValueError) as e: make_edit(values, frame_secs=2048 / SR)
    assert '\n' not in str(e.value) and any(name in str(e.value).lower() for name in values)

def test_edits_off_and_numpy_seeds(x):
    off = {'freeze': -1., 'freeze-loop': 0., 'smooth': 0., 'shuffle': 0, 'transpose': 0, 'gain': 1.}
    assert make_edit(off, frame_secs=2048 / SR).edits == ()
    assert (celae.edit(x, SR, noise=.3, seed=np.int64(2)) == celae.edit(x, SR, noise=.3, seed=2)).all()
    with pytest.raises(ValueError, match='seed is'): celae.edit(x, SR, noise=.3, seed=1.5)

def test_labels_by_any_case():
    prior = LatentPrior(['Rock', 'rock', 'Folk'], width=24, depth=1)
    assert [prior.label_index(label) for label in ('rock', 'Rock', ' fOLK ', None)] == [1, 0, 2, 3]
    with pytest.raises(ValueError, match="did you mean 'Folk'"): prior.label_index('Fokl')
    made = [celae.generate(style, 1., seed) for style, seed in (('folk', 3), (' FOLK', np.uint8(3)))]
    assert (made[0] == made[1]).all()

def farther(x):
    "How much farther the last vector is from others than they are from one another."
    gaps = np.linalg.norm(x[:, None] - x[None, :5], axis=2)
    return gaps[5].mean() / gaps[:5][~np.eye(5, dtype=bool)].mean()

def test_padding_does_not_count():
    wavs = (3000 * np.random.default_rng(0).standard_normal((6, CLIP_SAMPLES))).astype(np.int16)
    wavs[5, CLIP_SAMPLES // 2:] = 0
    hiss = Clips(pd.DataFrame(dict(row=range(6), n_samples=[CLIP_SAMPLES] * 5 + [CLIP_SAMPLES // 2])), wavs)
    net = load_model('musical')
    embedded = np.concatenate([celae.embed(x[:n] / 32768, SR) for x, n in zip(wavs, hiss.table.n_samples)])
    for vectors in (clip_vectors(encode_clips(net, hiss).z), mfcc_vectors(hiss), embedded):
        assert farther(vectors) < 2.8

KEYS = {'A minor': 'A Minor|Am|am|A min|a-Moll|8A|8a|A:min| A  minor ', 'A major': 'A|AM|A-Dur|11B|Amaj',
        'A# major': 'Bb|B flat|b-flat major|B♭|B-Dur|6B|A♯', 'A# minor': 'B♭ minor|Bbm|b-Moll|3A',
        'B major': 'B|H-Dur|Cb|1B', 'F# minor': 'fis moll|F♯m|F sharp minor|Gb minor|11A',
        'D# major': 'Es-Dur|Eb|5B'}

def test_keys_in_many_ways():
    for key, names in KEYS.items():
        assert {KEY_NAMES[key_index(name)] for name in names.split('|')} == {key}
    for name in ('H', 'H minor', 'A dorian', '', '0A', '13B', 'bis-Dur', 'Fis', 'A minor major', None):
        with pytest.raises(ValueError, match='key is'): key_index(name)

def test_edit_of_files_and_folders(celae, song, tmp_path):
    (tmp_path/'music'/'b').mkdir(parents=True)
    for name, rate in {'a.wav': 44_100, 'b/c.flac': SR}.items():
        sf.write(tmp_path/'music'/name, sf.read(song)[0], rate)
    (tmp_path/'music'/'bad.wav').write_text('not music')
    done, made = celae('edit', 'music', 'song.wav', '--noise', .2, '-o', 'out'), tmp_path/'out'
    assert done.returncode == 0 and 'bad.wav' in done.stderr, done.stderr
    assert sorted(str(f.relative_to(made)) for f in made.rglob('*.*')) == ['a.wav', 'b/c.flac', 'song.wav']
    assert sf.info(made/'a.wav').samplerate == 44_100
    own = celae('edit', 'song.wav', 'music', '--noise', .2, '-o', '.', '--overwrite')
    assert own.returncode == 1 and 'is an input' in own.stderr
    for args, words in (('song.wav -o x.wav --freeze-loop .5', 'does nothing without freeze'),
                        ('song.wav -o x.wav --smooth .05', 'changes nothing'),
                        ('no.wav -o x.wav', 'no such file')):
        done = celae('edit', *args.split())
        assert done.returncode == 1 and words in done.stderr and done.stderr.count('\n') == 1, done.stderr
