"Decoded clips: what is interrupted, changed or damaged is decoded again, and nothing else is."
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from celae import data
from celae.audio import SR, write_audio
from celae.data import cache_files, load_clips


@pytest.fixture
def music(tmp_path, tone):
    for i in range(6): write_audio(tmp_path/'music'/f'{i}.wav', tone(220 * (i + 1), 12.))
    return tmp_path/'music'


def stamps(cache): return {f.name: f.stat().st_mtime_ns for f in cache_files(cache)}


def test_what_is_interrupted_goes_on(tmp_path, music, monkeypatch):
    want, plain = load_clips(music, tmp_path/'calm').tensor(), data.read_blocks
    def interrupted(path, **how):
        if path.endswith('3.wav'): raise KeyboardInterrupt
        return plain(path, **how)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(data, 'read_blocks', interrupted)
        load_clips(music, tmp_path/'cache', workers=1)
    before = stamps(tmp_path/'cache')
    assert 0 < len(before) < 6 and torch.equal(load_clips(music, tmp_path/'cache').tensor(), want)
    assert before.items() <= stamps(tmp_path/'cache').items() and len(stamps(tmp_path/'cache')) == 6


@pytest.mark.slow
def test_two_at_once_and_one_that_is_killed(tmp_path, music):
    folders = f'{str(music)!r}, {str(tmp_path/"cache")!r}'
    code = f'from celae.data import load_clips; print(len(load_clips({folders})))'
    def start(): return subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True)
    killed, others = start(), [start(), start()]
    while not stamps(tmp_path/'cache') and killed.poll() is None: time.sleep(.01)
    killed.kill(), killed.wait()
    assert [other.communicate()[0] for other in others] == ['12\n', '12\n']
    both = [load_clips(music, tmp_path/name).tensor() for name in ('cache', 'calm')]
    assert torch.equal(*both)


@pytest.mark.parametrize('start, stop', [(0, None), (128, None), (300_000, 304_096), (-4, None)])
def test_zeros_are_decoded_again(tmp_path, music, start, stop):
    want, file = load_clips(music, tmp_path/'cache').tensor(), cache_files(tmp_path/'cache')[2]
    before, whole = stamps(tmp_path/'cache'), bytearray(file.read_bytes())
    whole[start:stop] = bytes(len(whole[start:stop]))
    file.write_bytes(whole)
    assert torch.equal(load_clips(music, tmp_path/'cache').tensor(), want)
    assert [name for name, stamp in stamps(tmp_path/'cache').items() if stamp != before[name]] == [file.name]


@pytest.mark.parametrize('how', ['one second', 'other file'])
def test_a_file_of_equal_size_and_date_is_noticed(tmp_path, music, tone, how):
    before, path = load_clips(music, tmp_path/'cache').tensor(), music/'1.wav'
    about, new = path.stat(), tone(440, 12.)
    if how == 'one second': new[:, 6 * SR:7 * SR] = 0
    else: new = tone(1000, 12.)
    write_audio(tmp_path/'new.wav', new)
    os.utime(tmp_path/'new.wav', ns=(about.st_atime_ns, about.st_mtime_ns))
    os.replace(tmp_path/'new.wav', path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (about.st_size, about.st_mtime_ns)
    assert not torch.equal(load_clips(music, tmp_path/'cache').tensor(), before)


def test_a_full_disk_and_a_protected_cache(tmp_path, music, monkeypatch):
    monkeypatch.setattr(data.shutil, 'disk_usage', lambda folder: type('Usage', (), dict(free=10**6)))
    with pytest.raises(OSError, match='GB are needed'): load_clips(music, tmp_path/'cache')
    assert not cache_files(tmp_path/'cache')
    monkeypatch.undo()
    clips = load_clips(music, tmp_path/'cache')
    monkeypatch.setattr(data, 'atomic_write', None), monkeypatch.setattr(data, 'open_cache', None)
    np.testing.assert_array_equal(load_clips(music, tmp_path/'cache').tensor(), clips.tensor())
