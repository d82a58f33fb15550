"Beats and keys: the frames that librosa finds, and nothing compiled at run time."
import subprocess
import sys

import numpy as np
import pytest

from celae.audio import SR
from celae.beats import _PROFILES, KEY_NAMES, beat_frames, beat_period, estimate_key
from celae.corpora.builtin import STYLES, render_track
from celae.features import chroma as chroma_frames
from celae.features import mel_spectrogram, mfcc, onset_strength, power_spectrum, slopes

SCRIPT = """
import sys, numpy as np
from celae.beats import estimate_key, find_beats
from celae.audio import SR
clicks = np.zeros((1, 5 * SR), np.float32)
clicks[:, ::SR // 2] = 1
assert abs(find_beats(clicks).tempo_bpm - 120) < 3 and estimate_key(clicks)
assert 'librosa' not in sys.modules and 'numba' not in sys.modules
"""


def test_nothing_is_compiled(tmp_path, monkeypatch):
    monkeypatch.setenv('NUMBA_CACHE_DIR', str(tmp_path/'compiled'))
    subprocess.run([sys.executable, '-c', SCRIPT], check=True, timeout=300)
    assert not list(tmp_path.rglob('*.nb?'))


@pytest.fixture(scope='module')
def sounds():
    rng = np.random.default_rng(0)
    songs = [render_track(style, seed, 10.)[0] for style in STYLES for seed in range(3)]
    noise = [(rng.standard_normal((1, secs * SR)) / 10).astype(np.float32) for secs in (1, 2, 5)]
    late = [np.pad(song, ((0, 0), (3 * SR, 4 * SR))) for song in songs[:4]]
    return [*songs, *noise, *late, np.hstack(songs[:3]), .001 * songs[0]]


def close(ours, theirs): np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max(), rtol=0)


@pytest.mark.slow
def test_as_librosa(sounds):
    librosa = pytest.importorskip('librosa')
    profiles = np.stack([np.roll(profile, tonic) for profile in _PROFILES for tonic in range(12)])
    how = dict(sr=SR, fmin=librosa.note_to_hz('C2'), n_octaves=6, tuning=0., norm=None, hop_length=2048)
    for wav in sounds:
        theirs = librosa.onset.onset_strength(y=wav[0], sr=SR, hop_length=512)
        power, y = power_spectrum(wav), wav[0]
        mel, notes = mel_spectrogram(power), chroma_frames(power)
        ours, coefs = onset_strength(mel), librosa.feature.mfcc(y=y, sr=SR)
        close(ours, theirs)
        close(mfcc(mel).T, coefs)
        close(slopes(mfcc(mel)).T, librosa.feature.delta(coefs))
        notes = notes / np.maximum(notes.max(1, keepdims=True), 1e-30)
        close(notes.T, librosa.feature.chroma_stft(y=y, sr=SR, tuning=0.))
        frames = librosa.beat.beat_track(onset_envelope=theirs, sr=SR, hop_length=512, trim=False)[1]
        np.testing.assert_array_equal(beat_frames(ours, beat_period(ours)), frames)
        chroma = librosa.feature.chroma_cqt(y=wav[0], **how).mean(1)
        assert estimate_key(wav) == KEY_NAMES[np.corrcoef(chroma, profiles)[0, 1:].argmax()]
