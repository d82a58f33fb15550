"Sound that comes in whole, and goes out as loud as it was."
import av
import numpy as np
import pytest
import soundfile as sf

import celae
from celae.audio import (SR, SoundFormat, as_numpy, limit_peaks, loudness, read_audio, read_blocks,
                         sound_format, to_mono, write_audio, write_blocks)
from celae.cli import make_app
from celae.corpora.builtin import render_track
from celae.data import load_clips
from celae.files import AudioError


@pytest.fixture
def command(tmp_path, monkeypatch):
    "The command in this process, in the folder of the test; raises where it fails."
    monkeypatch.chdir(tmp_path)
    return lambda *args: make_app()([str(arg) for arg in args], standalone_mode=False)


@pytest.fixture(scope='module')
def music(): return render_track('folk', 1, 5.)[0]


def encoded(path, container, codec, wav, sr=44_100):
    "Sound (c, t) in any container that FFmpeg writes, whatever the name."
    layout = {1: 'mono', 2: 'stereo'}[len(wav)]
    with av.open(str(path), 'w', format=container) as box:
        stream = box.add_stream(codec, rate=sr, layout=layout)
        if codec == 'wmav2': stream.bit_rate = 128_000             # it has no default
        size = stream.codec_context.frame_size or 1024
        convert = av.AudioResampler(stream.format, layout, sr, frame_size=size)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wav, np.float32), 'fltp', layout)
        frame.sample_rate, frame.pts = sr, 0
        for part in (*convert.resample(frame), *convert.resample(None), None): box.mux(stream.encode(part))
    return path


def joined(blocks): return np.concatenate([*blocks], 1)


def likeness(a, b):
    "Correlation of two sounds at the best of small shifts, since lossy codecs delay."
    n = min(len(a), len(b)) - 3000
    spec = np.fft.rfft(a[:n], 2 * n) * np.fft.rfft(b[:n], 2 * n).conj()
    return np.fft.irfft(spec).max() / np.sqrt((a[:n]**2).sum() * (b[:n]**2).sum())


# beyond full scale

@pytest.mark.parametrize('factor', [5, 32_767])
def test_loud_float_is_read_as_it_is(tmp_path, music, factor, caplog):
    path = tmp_path/'loud.wav'
    sf.write(path, (factor * music).T, SR, 'FLOAT')
    for sound in (read_audio(path), joined(read_blocks(path, secs=1.))):
        np.testing.assert_allclose(sound, factor * music, rtol=1e-6)
    said = {r.getMessage() for r in caplog.records if 'integers' in r.getMessage()}
    assert len(said) == (factor > 100)
    usual = celae.decode(celae.encode(music, SR))[0].numpy()
    for latent in (celae.encode(path), celae.encode(factor * music, SR)):
        back = celae.decode(latent)[0].numpy()
        np.testing.assert_allclose(back / factor, usual, atol=.02 * np.abs(usual).max())
    clip = load_clips(tmp_path, tmp_path/'cache').tensor()[0, 0].numpy()
    assert np.corrcoef(clip, music[0, :len(clip)])[0, 1] > .999


@pytest.mark.parametrize('factor', [1.5, 4, 1000])
def test_what_is_written_is_limited(tmp_path, music, factor):
    loud = factor * music / np.abs(music).max()
    for path in (write_audio(tmp_path/'a.wav', loud), write_blocks(tmp_path/'b.wav', np.split(loud, 9, 1))):
        wav = sf.read(path)[0]
        assert (np.abs(wav) > .999).mean() < .01 and likeness(wav, loud[0]) > .8
    np.testing.assert_allclose(wav, limit_peaks(loud, 0.)[0], atol=1e-4)        # blocks are as the whole


def test_decoded_file_keeps_its_shape(tmp_path, music, command):
    sf.write(tmp_path/'loud.wav', (5 * music).T, SR, 'FLOAT')
    command('encode', 'loud.wav', '--size', 'base')
    command('decode', 'loud.celae', '-o', 'back.wav')
    back = sf.read(tmp_path/'back.wav')[0]
    assert np.abs(back).max() < .9 and likeness(back, music[0]) > .7


# channels that cancel

@pytest.mark.parametrize('kind', ['opposite', 'turns', 'softer', 'surround'])
def test_mono_keeps_the_energy(tmp_path, music, kind):
    x, path = music[0], tmp_path/'x.wav'
    wav = np.stack(dict(opposite=[x, -x], turns=[x, x * np.where(np.arange(len(x)) < SR, 1, -1)],
                        softer=[x, -.8 * x], surround=[x, -x, *[0 * x] * 4])[kind])
    sf.write(path, wav.T, SR, 'FLOAT')
    mixes = [read_audio(path), joined(read_blocks(path, secs=.37)), to_mono(wav),
             read_audio(write_blocks(tmp_path/'y.wav', np.split(wav, 6, 1), like=SoundFormat(SR, 1)))]
    for mix in mixes:
        np.testing.assert_allclose(mix, mixes[0], atol=1e-4)
        for part in range(0, music.shape[1] - SR, SR):
            assert mix[:, part:part + SR].std() > .6 * music[:, part:part + SR].std(), part
    for start in (0, 1000, SR - 50, 3 * SR):
        piece = read_audio(path, start=start, n_samples=4000)
        np.testing.assert_allclose(piece, mixes[0][:, start:start + 4000], atol=1e-6)
    assert loudness(as_numpy(celae.decode(celae.encode(wav, SR)))[None]) > loudness(music) - 4


# content decides how a file is read

@pytest.mark.parametrize('name, container, codec', [
    ('a.mp3', 'mp4', 'aac'), ('a.mp3', 'adts', 'aac'), ('a.wav', 'mp4', 'alac'), ('a.ogg', 'webm', 'libopus'),
    ('a.mp3', 'webm', 'libopus'), ('a.flac', 'asf', 'wmav2'), ('a.mp3', 'mpegts', 'mp2'), ('a', 'mov', 'aac'),
    ('a.mp3', 'avi', 'pcm_s16le'), ('a.m4a', 'mp3', 'libmp3lame'), ('x', 'flac', 'flac'), ('x', 'flv', 'aac'),
    ('a.doc', 'wav', 'pcm_s16le'), ('a.mp3', 'matroska', 'ac3'), ('b', 'tta', 'tta'), ('b', 'wv', 'wavpack')])
def test_container_with_another_ending(tmp_path, name, container, codec):
    sr = 48_000 if codec == 'libopus' else 44_100
    wav = read_audio(write_audio(tmp_path/'x.flac', render_track('folk', 1, 2.)[0]), sr)
    path = encoded(tmp_path/name, container, codec, np.concatenate([wav, wav]), sr)
    sound = read_audio(path)
    assert abs(sound.shape[1] / SR - 2) < .1 and abs(sound_format(path).secs - sound.shape[1] / SR) < .05
    assert likeness(sound[0], read_audio(tmp_path/'x.flac')[0]) > .9
    np.testing.assert_allclose(joined(read_blocks(path, secs=.5)), sound, atol=1e-3)
    piece = read_audio(path, sr, True, start=30_000, n_samples=9000)
    np.testing.assert_array_equal(piece, read_audio(path, sr, True)[:, 30_000:39_000])


def test_video_and_commands(tmp_path, music, command):
    path = encoded(tmp_path/'holiday.txt', 'mp4', 'aac', music, SR)
    command('encode', path.name)
    assert (tmp_path/'holiday.celae').exists()
    (tmp_path/'cover.jpg').write_bytes(b'\xff\xd8\xff' + bytes(999))
    (tmp_path/'list.m3u').write_text('#EXTM3U\n/etc/passwd\n')
    for name in ('cover.jpg', 'list.m3u'):
        with pytest.raises(AudioError, match='cannot be read as audio'): read_audio(tmp_path/name)


def test_sound_that_is_cut_or_damaged(tmp_path, music, caplog):
    data = encoded(tmp_path/'x.aac', 'adts', 'aac', music, SR).read_bytes()
    (tmp_path/'cut.aac').write_bytes(data[:len(data) // 2 + 5])
    (tmp_path/'holes.aac').write_bytes(data[:3000] + bytes(2000) + data[5000:])
    assert abs(read_audio(tmp_path/'cut.aac').shape[1] / music.shape[1] - .5) < .1
    assert read_audio(tmp_path/'holes.aac').shape[1] > .7 * music.shape[1] and 'damaged' in caplog.text
    path = encoded(tmp_path/'x.mov', 'mov', 'pcm_f32le', 5000 * music, SR)
    np.testing.assert_allclose(read_audio(path), 5000 * music, rtol=1e-5)


# loudness, beginnings and ends

@pytest.mark.parametrize('options, db', [({}, 0), (dict(transpose=3), 0), (dict(gain=2, smooth=.5), 6.02)])
def test_edit_keeps_the_loudness(tmp_path, music, options, db, command):
    song = write_audio(tmp_path/'song.flac', .2 * music)
    command('edit', song, '-o', 'out.wav', *[w for k, v in options.items() for w in (f'--{k}', v)])
    before = loudness(read_audio(song))
    made = celae.edit(song, **options), celae.edit(.2 * music, SR, **options)
    for wav, sr in ((read_audio(tmp_path/'out.wav'), SR), *[(wav, 2 * SR) for wav in made]):
        assert abs(loudness(wav, sr) - before - db) < .3 and np.abs(wav).max() < .9


@pytest.mark.parametrize('channels, rate', [(1, 44_100), (2, 48_000)])
def test_begin_is_kept(tmp_path, tone, channels, rate, command):
    sf.write(tmp_path/'mine.wav', tone(220, 2., rate, channels).T, rate)
    command('generate', '--begin', 'mine.wav', '--seconds', 2, '-o', 'out.wav')
    (own, _), (wav, sr) = [sf.read(tmp_path/name, always_2d=True) for name in ('mine.wav', 'out.wav')]
    n = len(own) - rate // 10
    assert (sr, wav.shape[1]) == (rate, channels) and abs(len(wav) - 4 * rate) < 3
    np.testing.assert_array_equal(wav[:n], own[:n])
    assert np.abs(wav[-rate // 200:]).max() < .02 and np.abs(np.diff(wav[n:], axis=0)).max() < .35


def test_new_music_begins_and_ends():
    wav = celae.generate('folk', seconds=3.)[0]
    assert np.abs(wav[:5]).max() < .02 and np.abs(wav[-110:]).max() < .02 < wav.std()
    assert wav[-SR // 4:].std() < .7 * wav.std()
