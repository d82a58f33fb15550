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
from celae.generation import LatentPrior, find_prior, load_prior
from celae.latent_analysis import clip_vectors, encode_clips, mfcc_vectors
from celae.models import Latent


@pytest.fixture(scope='module')
def musical(): return load_model('musical')


@pytest.fixture(scope='module')
def x(): return (.5 * np.sin(2 * np.pi * 220 * np.arange(SR) / SR)).astype(np.float32)


def file_of(x):
    sf.write(file := io.BytesIO(), x, SR, format='WAV', subtype='FLOAT')
    return file


FORMS = dict(
    dictionary=lambda x: dict(array=x, sampling_rate=SR), numbers=lambda x: dict(array=x.tolist(), sampling_rate=SR),
    datasets=lambda x: dict(bytes=file_of(x).getvalue(), path=None), pair=lambda x: (x, SR), turned=lambda x: (SR, x),
    tensors=lambda x: (torch.from_numpy(x)[None], SR), bytesio=file_of, bytes=lambda x: file_of(x).getvalue())


@pytest.mark.parametrize('form', FORMS)
def test_a_sound_in_any_usual_form_is_the_same(x, form):
    latent, same = encode(FORMS[form](x)), encode(x, SR)
    torch.testing.assert_close(latent.z, same.z, atol=1e-3, rtol=0)
    assert (latent.n_samples, latent.sr) == (SR, SR)


def test_open_files_and_lists(x, tmp_path):
    sf.write(tmp_path/'x.wav', x, SR, 'FLOAT')
    with open(tmp_path/'x.wav', 'rb') as file: assert encode(file).z.shape == encode(x, SR).z.shape
    with open(tmp_path/'x.wav', encoding='latin1') as file, pytest.raises(ValueError, match="'rb'"): encode(file)
    several = [tmp_path/'x.wav', (x[:9000], SR), dict(array=x[::2], sampling_rate=SR // 2)]
    assert [z.n_samples for z in encode(several)] == [SR, 9000, SR]
    assert [v.shape for v in celae.embed([x, x[:9000]], SR)] == [(1, 128)] * 2
    assert [y.shape for y in celae.edit(several, smooth=.3)] == [(1, SR), (1, 9000), (1, SR)]


@pytest.mark.parametrize('kind', [np.float16, '>f4', np.float64, np.longdouble, np.int16, '>i2', np.int32, np.uint8])
def test_samples_of_any_type(x, kind):
    kind = np.dtype(kind)
    scale, shift = {'i': (np.iinfo(np.int16 if kind.itemsize == 2 else np.int32).max, 0), 'u': (127, 128)}.get(kind.kind, (1, 0))
    given = (x * scale + shift).astype(kind)
    for array in (given, given[::-1][::-1], given.tolist() if kind.kind == 'f' else given):
        torch.testing.assert_close(sound_tensor(array, np.float64(SR))[0, 0], torch.from_numpy(x), atol=.02, rtol=0)
    torch.testing.assert_close(sound_tensor(given[::-1], float(SR))[0, 0].flip(0), torch.from_numpy(x), atol=.02, rtol=0)


def test_many_channels_and_bfloat16(x):
    assert sound_tensor(np.repeat(x[None], 16, 0), SR, stereo=True).shape == (16, 1, SR)
    torch.testing.assert_close(sound_tensor(torch.from_numpy(x).bfloat16(), torch.tensor(SR))[0, 0], torch.from_numpy(x), atol=.01, rtol=0)


REFUSED = {'no sound': [object(), np.array(['a']), np.array([1, 2]), np.ones(9, bool), np.ones(9) * 1j, None], 'a dictionary is a sound if': [{'x': 1}],
           'has to be named': [[.1, .2]], 'transpose it': [(np.zeros((500, 2)), SR), (np.zeros((100_000, 65)), SR)],
           'sr is 22050.5': [(np.zeros(9), 22050.5)], 'is empty': [b''], 'the sound: cannot be read': [b'words' * 99]}


@pytest.mark.parametrize('words, sound', [(words, sound) for words, sounds in REFUSED.items() for sound in sounds])
def test_what_is_not_clear_is_one_line(words, sound):
    with pytest.raises(ValueError, match=words) as e: encode(sound, None if 'named' in words or isinstance(sound, (tuple, bytes)) else SR)
    assert '\n' not in str(e.value)


@pytest.mark.parametrize('size', ['base', 'musical'])
def test_a_latent_knows_its_length(x, size, tmp_path):
    for n in (700, 9000, SR):
        latent = encode(x[:n], SR, size=size)
        assert celae.decode(latent).shape == (1, 1, n) and latent.n_samples == n
    other = replace(latent, z=latent.z.double().numpy(), level=latent.level.numpy().astype('>f8'))
    for same in (other, latent.to(torch.float64), latent.to('cpu', torch.float64)):
        torch.testing.assert_close(celae.decode(same), celae.decode(latent))
    assert [y.shape for y in celae.decode([latent, latent.to('cpu')])] == [(1, 1, SR)] * 2
    path = replace(latent, sr=44_100).save(tmp_path/'x.celae', exact=True)
    again = Latent.load(path)
    assert (again.n_samples, again.sr) == (SR, 44_100)
    torch.testing.assert_close(celae.decode(path), celae.decode(latent), atol=1e-3, rtol=0)
    assert again.without_detail().with_z(again.z[..., :5]).n_samples is None
    for wrong in (latent.z.numpy(), Latent(latent.z), Latent(latent.z[0], latent.level), {}):
        with pytest.raises(ValueError, match='latent|z has the shape'): celae.decode(wrong)


def test_one_default_size(x, celae, tmp_path):
    assert encode(x, SR).z.shape[1] == SIZES['musical'].channels and encode(x, SR).detail is None
    assert encode(x, SR, model=load_model('half')).detail is not None          # a size that was chosen stays
    sf.write(tmp_path/'x.wav', x, SR)
    assert celae('encode', 'x.wav').returncode == 0
    assert Latent.load(tmp_path/'x.celae').detail is None


def test_generate_with_a_prior_a_model_and_numpy_seeds(musical):
    own = load_prior('prior-builtin')
    made = [celae.generate(style, 1., seed, **how) for style, seed, how in
            (('folk', 3, {}), (' FOLK', np.int64(3), dict(prior=own, model=musical)), ('Folk', np.uint8(3), dict(prior='prior-builtin')))]
    assert all((each == made[0]).all() for each in made)
    with pytest.raises(ValueError, match="did you mean 'folk'"): celae.generate('fok')


# edits and mixes

def test_mixes_do_not_lose_detail_or_level(x):
    full, plain = encode(x, SR, size='base'), encode(x, SR)
    for mix in (lambda: interpolate(full, full, .5), lambda: average([full, full]), lambda: Towards(full)(full), lambda: random_latent(full)):
        with pytest.raises(ValueError, match='without_detail'): mix()
    for other in (Latent(plain.z), full.without_detail()):
        with pytest.raises(ValueError, match='cannot be mixed'): average([plain, other])
        with pytest.raises(ValueError, match='cannot be mixed'): interpolate(plain, other, .5)
    assert interpolate(plain, plain, .5).n_samples == SR


IDLE = [{'freeze-loop': .5}, {'smooth': .05}, {'smooth': float('nan')}, {'smooth': -1}, {'shuffle': .01}, {'shuffle': -1.},
        {'freeze': -.5}, {'freeze': float('nan')}, {'smooth': float('inf')}, {'freeze': 1, 'freeze-loop': .01},
        {'freeze': 1, 'freeze-loop': -1}, {'smooth': '1'}, {'smooth': 1e300}, {'gain': float('nan')}]


@pytest.mark.parametrize('values', IDLE, ids=str)
def test_an_edit_that_does_nothing_is_refused(values):
    with pytest.raises(ValueError) as e: make_edit(values, frame=2048)
    assert '\n' not in str(e.value) and any(name in str(e.value).lower() for name in values)


def test_edits_off_and_numpy_seeds(x):
    assert make_edit({'freeze': -1., 'freeze-loop': 0., 'smooth': 0., 'shuffle': 0, 'transpose': 0, 'gain': 1.}, frame=2048).edits == ()
    with pytest.raises(ValueError, match='does nothing without freeze'): make_edit({'freeze-loop': 4})
    assert (celae.edit(x, SR, noise=.3, seed=np.int64(2)) == celae.edit(x, SR, noise=.3, seed=2)).all()
    with pytest.raises(ValueError, match='seed is'): celae.edit(x, SR, noise=.3, seed=1.5)


# priors

def test_one_label_for_tempo_and_level():
    prior = LatentPrior(['slow', 'fast'], width=24, depth=1)
    prior.examples[:, :, 0] = torch.tensor([[60.], [180.]])
    prior.level_mean[:], prior.level_std[:] = torch.tensor([-5., -1.]), 0.
    tempos, plain = [], prior.draw_examples
    def draw(*args): tempos.extend((drawn := plain(*args))[:, 0].tolist()); return drawn      # noqa: E702
    prior.draw_examples = draw
    levels = prior.sample(None, 40, 4, n_steps=1).level.tolist()
    assert {*zip(tempos, levels)} == {(60, -5), (180, -1)}


def test_what_stays_needs_something_known():
    prior = find_prior()
    for how in (dict(keep=torch.ones(4, dtype=torch.bool)), dict(keep_hz=[(0, 1)]), dict(strength=.5)):
        with pytest.raises(ValueError, match='known'): prior.sample(n_frames=4, n_steps=1, **how)


# padding

@pytest.fixture(scope='module')
def hiss():
    "Noise in six clips, the last of which is half padding."
    wavs = (3000 * np.random.default_rng(0).standard_normal((6, CLIP_SAMPLES))).astype(np.int16)
    wavs[5, CLIP_SAMPLES // 2:] = 0
    return Clips(pd.DataFrame(dict(row=range(6), n_samples=[CLIP_SAMPLES] * 5 + [CLIP_SAMPLES // 2])), wavs)


def farther(x):
    "How much farther the last vector is from others than they are from one another."
    gaps = np.linalg.norm(x[:, None] - x[None, :5], axis=2)
    return gaps[5].mean() / gaps[:5][~np.eye(5, dtype=bool)].mean()


def test_padding_does_not_count(hiss, musical):
    vectors = dict(z=clip_vectors(encode_clips(musical, hiss).z), mfcc=mfcc_vectors(hiss))
    vectors['embed'] = np.concatenate([celae.embed(x[:n] / 32768, SR) for x, n in zip(hiss.wavs, hiss.table.n_samples)])
    vectors['in a row'] = celae.embed(hiss.wavs.reshape(-1)[:-CLIP_SAMPLES // 2], SR)
    far = {name: farther(x) for name, x in vectors.items()}
    assert max(far.values()) < 2.2, far


# names

KEYS = {'A minor': 'A Minor|a MINOR|Am|am|A min|a-Moll|A-moll|a moll|8A|8a|A:min| A  minor ', 'A major': 'A|AM|A-Dur|a dur|11B|Amaj|A Major',
        'A# major': 'Bb|bb|B flat|b-flat major|B♭|B-Dur|6B|A♯', 'A# minor': 'B♭ minor|b flat minor|Bbm|b-Moll|3A', 'B major': 'B|H-Dur|h dur|Cb|1B',
        'F# minor': 'fis moll|fis-Moll|F# minor|F♯m|F sharp minor|Gb minor|11A', 'D# major': 'Es-Dur|Eb|E flat|es dur|5B', 'G# minor': 'as-Moll|gis moll|Ab minor|1A'}


@pytest.mark.parametrize('key, name', [(key, name) for key, names in KEYS.items() for name in names.split('|')])
def test_keys_in_many_ways(key, name): assert KEY_NAMES[key_index(name)] == key


@pytest.mark.parametrize('name', ['H', 'H minor', 'A dorian', '', '0A', '13B', '8C', 'bis-Dur', 'Fis', 'A minor major', None, 7, 'A' * 99])
def test_what_is_no_key_is_refused(name):
    with pytest.raises(ValueError, match='key is'): key_index(name)


def test_labels_by_any_case():
    prior = LatentPrior(['Rock', 'rock', 'Folk'], width=24, depth=1)
    assert [prior.label_index(label) for label in ('rock', 'Rock', ' fOLK ', None)] == [1, 0, 2, 3]
    with pytest.raises(ValueError, match="did you mean 'Folk'"): prior.label_index('Fokl')
    with pytest.raises(ValueError, match='not one of'): prior.label_index('ROCK')


# commands

def test_module_is_the_command(celae):
    done = celae('--version')
    assert (done.returncode, done.stdout) == (0, f'celae {__import__("celae").__version__}\n')


def test_edit_of_files_and_folders(celae, song, tmp_path):
    music = tmp_path/'music'
    (music/'b').mkdir(parents=True)
    for name, rate in {'a.wav': 44_100, 'b/c.flac': SR}.items(): sf.write(music/name, sf.read(song)[0][:rate], rate)
    (music/'bad.wav').write_text('not music')
    done = celae('edit', 'music', 'song.wav', '--noise', .2, '-o', 'out')
    assert done.returncode == 0 and 'bad.wav' in done.stderr, done.stderr
    assert sorted(str(f.relative_to(tmp_path/'out')) for f in (tmp_path/'out').rglob('*.*')) == ['a.wav', 'b/c.flac', 'song.wav']
    assert sf.info(tmp_path/'out'/'a.wav').samplerate == 44_100
    taken = celae('edit', 'music', '--noise', .2, '-o', 'out')
    assert taken.returncode == 1 and 'exists already' in taken.stderr
    own = celae('edit', 'song.wav', 'music', '--noise', .2, '-o', '.', '--overwrite')
    assert own.returncode == 1 and 'is an input' in own.stderr


@pytest.mark.parametrize('args, words', [
    (('edit', 'song.wav', '-o', 'x.wav', '--freeze-loop', .5), 'does nothing without freeze'),
    (('edit', 'song.wav', '-o', 'x.wav', '--smooth', .05), 'changes nothing'),
    (('generate', '-o', 'x.wav', '--strength', .5), '--begin'),
    (('generate', '-o', 'x.wav', '--style', 'Fok'), "did you mean 'folk'"),
    (('edit', 'gone.wav', '-o', 'x.wav'), 'no such file')])
def test_options_without_effect_are_refused(celae, song, args, words):
    done = celae(*args)
    assert done.returncode == 1 and words in done.stderr and done.stderr.count('\n') == 1, done.stderr
