"Beats and keys: the frames that librosa finds, and nothing compiled at run time."
import subprocess
import sys

import numpy as np
import pytest
import torch

from celae.beats import _PROFILES, KEY_NAMES, beat_frames, beat_period, estimate_key, find_beats, onset_strength
from celae.data import SR
from celae.music import STYLES, render_track

SCRIPT = """
import sys, numpy as np
from celae.beats import estimate_key, find_beats
from celae.data import SR
clicks = np.zeros((1, 5 * SR), np.float32)
clicks[:, ::SR // 2] = 1
assert abs(find_beats(clicks).tempo_bpm - 120) < 3 and estimate_key(clicks)
assert 'librosa' not in sys.modules and 'numba' not in sys.modules
"""


def test_nothing_is_compiled(tmp_path, monkeypatch):
    monkeypatch.setenv('NUMBA_CACHE_DIR', str(tmp_path/'compiled'))
    subprocess.run([sys.executable, '-c', SCRIPT], check=True, timeout=300)
    assert not list(tmp_path.rglob('*.nb?'))


def test_the_default_device_does_not_matter():
    clicks = np.zeros((1, 5 * SR), np.float32)
    clicks[:, ::SR // 2] = 1
    with torch.device('meta'): assert abs(find_beats(clicks).tempo_bpm - 120) < 3


@pytest.fixture(scope='module')
def sounds():
    rng = np.random.default_rng(0)
    songs = [render_track(style, seed, 10.)[0] for style in STYLES for seed in range(3)]
    noise = [(rng.standard_normal((1, secs * SR)) / 10).astype(np.float32) for secs in (1, 2, 5, 20)]
    late = [np.pad(song, ((0, 0), (3 * SR, 4 * SR))) for song in songs[:4]]
    return [*songs, *noise, *late, np.hstack(songs[:3]), .001 * songs[0]]


@pytest.mark.slow
def test_as_librosa(sounds):
    librosa = pytest.importorskip('librosa')
    profiles = np.stack([np.roll(profile, tonic) for profile in _PROFILES for tonic in range(12)])
    how = dict(sr=SR, fmin=librosa.note_to_hz('C2'), n_octaves=6, tuning=0., norm=None, hop_length=2048)
    for wav in sounds:
        theirs = librosa.onset.onset_strength(y=wav[0], sr=SR, hop_length=512)
        ours = onset_strength(wav)
        np.testing.assert_allclose(ours, theirs, atol=.02 * theirs.max())
        frames = librosa.beat.beat_track(onset_envelope=theirs, sr=SR, hop_length=512, trim=False)[1]
        np.testing.assert_array_equal(beat_frames(ours, beat_period(ours)), frames)
        chroma = librosa.feature.chroma_cqt(y=wav[0], **how).mean(1)
        assert estimate_key(wav) == KEY_NAMES[np.corrcoef(chroma, profiles)[0, 1:].argmax()]
