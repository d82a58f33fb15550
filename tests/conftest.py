"What the tests share: small sounds, and the command as a user starts it."
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

SR = 22_050

def pytest_addoption(parser):
    parser.addoption('--slow', action='store_true', help='also run tests marked slow')
    parser.addoption('--hostile', action='store_true',
                     help='run all cases of hostile input, for the study (an hour)')
    parser.addoption('--only', default='',
                     help='cases of hostile input whose COMMAND:CLASS:KIND fits this expression')

def pytest_collection_modifyitems(config, items):
    if config.getoption('--slow') or 'slow' in (config.getoption('-m') or ''): return
    skip = pytest.mark.skip(reason='slow; run with --slow')
    for item in items:
        if 'slow' in item.keywords: item.add_marker(skip)

@pytest.fixture
def tone():
    "Makes a sine: tone(hz, secs, sr, channels) -> sound (c, t)."
    def make(hz=440., secs=1., sr=SR, channels=1, amplitude=.5):
        wav = amplitude * np.sin(2 * np.pi * hz * np.arange(round(secs * sr)) / sr)
        return np.repeat(wav[None].astype(np.float32), channels, 0)
    return make

@pytest.fixture
def song(tmp_path, tone):
    "A file of three seconds, two tones, 44.1 kHz stereo."
    path = tmp_path/'song.wav'
    sf.write(path, np.concatenate([tone(220, 3., 44_100), tone(330, 3., 44_100)]).T, 44_100)
    return path

@pytest.fixture
def celae(tmp_path):
    "Starts the command in a folder of the test: celae('encode', 'song.wav') -> completed process."
    def run(*args, cwd=tmp_path, timeout=120, **env):
        command = [sys.executable, '-m', 'celae', *map(str, args)]
        env = os.environ | dict(OMP_NUM_THREADS='1') | {k: str(v) for k, v in env.items()}
        return subprocess.run(command, cwd=Path(cwd), capture_output=True, text=True, timeout=timeout,
                              env=env, stdin=subprocess.DEVNULL)
    return run
