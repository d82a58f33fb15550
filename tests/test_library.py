"The index of a library: kills, full disks, two at once, odd files, and workers that die."
import errno
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from threading import Timer

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from hostile_files import audio_cases, flac, tone

from celae import library
from celae.library import (VECTORISER, Vectoriser, describe_song, index_library, load_index,
                           nearest_songs, read_index, write_index, write_m3u)

def tune(hz): return flac(tone(3., hz=hz) + tone(3., hz=2.5 * hz))

@pytest.fixture
def music(tmp_path):
    "A library of six short songs in two folders."
    for i in range(6):
        (folder := tmp_path/'music'/'ab'[i % 2]).mkdir(parents=True, exist_ok=True)
        (folder/f'{i}.flac').write_bytes(tune(110 * (i + 1)))
    return tmp_path/'music'

@pytest.fixture
def file(tmp_path): return tmp_path/'index'/'music.parquet'

@pytest.fixture
def described(monkeypatch):
    "Names of the files whose vectors are made."
    names, describe = [], library.describe_song
    def counted(path, known=frozenset(), stop=None):
        song = describe(path, known, stop)
        if song.vector is not None: names.append(Path(path).name)
        return song
    monkeypatch.setattr(library, 'describe_song', counted)
    return names

def test_only_what_is_new_or_changed_is_described(music, file, described):
    index_library(music, file, 1)
    assert len(described) == 6
    before, described[:] = file.read_bytes(), []
    index_library(music, file, 1)
    assert not described and file.read_bytes() == before
    os.utime(music/'a'/'0.flac', ns=(1, 1))                      # another date, the same content
    (music/'a'/'2.flac').rename(music/'moved.flac')
    shutil.copy(music/'a'/'4.flac', music/'copy.flac')
    (music/'b'/'1.flac').unlink()
    (music/'b'/'3.flac').write_bytes(tune(950))
    index = index_library(music, file, 1)
    assert described == ['3.flac']
    assert index.paths == ['a/0.flac', 'a/4.flac', 'b/3.flac', 'b/5.flac', 'copy.flac', 'moved.flac']
    fresh = file.with_name('fresh.parquet')
    index_library(music, fresh, 2)
    assert fresh.read_bytes() == file.read_bytes()

def test_any_order_of_files_gives_the_same_bytes(music, file, monkeypatch):
    index_library(music, file, 1)
    stamps = library._stamps
    for seed in range(3):
        rng = random.Random(seed)
        def shuffled(folder, rng=rng): return dict(rng.sample(found := [*stamps(folder).items()], len(found)))
        monkeypatch.setattr(library, '_stamps', shuffled)
        other = file.with_name(f'{seed}.parquet')
        index_library(music, other, 3, every_secs=0)
        assert other.read_bytes() == file.read_bytes()

def test_a_library_in_any_place_has_an_index_of_the_same_bytes(music, file, tmp_path):
    index_library(music, file, 1)
    shutil.copytree(music, tmp_path/'other')
    index_library(tmp_path/'other', tmp_path/'other.parquet', 1)
    assert (tmp_path/'other.parquet').read_bytes() == file.read_bytes()

def test_nothing_is_written_into_the_library(music, tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path/'cache'))
    before = {path: os.stat(path).st_mtime_ns for path in (music, *music.rglob('*'))}
    for path in (music, *music.rglob('*')): path.chmod(0o555 if path.is_dir() else 0o444)
    index_library(music)
    found = nearest_songs(music/'a'/'0.flac')                     # which finds its library by itself
    assert len(found) == 5
    assert {path: os.stat(path).st_mtime_ns for path in (music, *music.rglob('*'))} == before
    assert [path.name for path in (tmp_path/'cache'/'celae'/'libraries').iterdir()] == [
        library.index_path(music).name]

class Stopped(Exception): "What stops an index in a test."

@pytest.mark.parametrize('n', [1, 3, 5])
def test_what_is_finished_is_kept(music, file, n, monkeypatch, described):
    whole = file.with_name('whole.parquet')
    index_library(music, whole, 1)
    described.clear()
    write, writes = library.write_index, []
    def stopping(*args):
        writes.append(write(*args))
        if len(writes) == n: raise Stopped
    monkeypatch.setattr(library, 'write_index', stopping)
    with pytest.raises(Stopped): index_library(music, file, 1, every_secs=0)
    kept = {song.path for song in read_index(file)}
    assert n <= len(kept) <= 6
    monkeypatch.setattr(library, 'write_index', write)
    described.clear()
    index_library(music, file, 1)
    assert len(described) == 6 - len(kept) and file.read_bytes() == whole.read_bytes()

def test_a_full_disk_leaves_the_old_index(music, file, monkeypatch):
    index_library(music, file, 1)
    before = file.read_bytes()
    (music/'new.flac').write_bytes(tune(700))
    def full(table, path, **how):
        Path(path).write_bytes(b'half')
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    monkeypatch.setattr('pyarrow.parquet.write_table', full)
    with pytest.raises(OSError, match='No space left') as e: index_library(music, file, 1)
    assert str(file) in str(e.value) and '.celae-' not in str(e.value)
    assert file.read_bytes() == before and [path.name for path in file.parent.iterdir()] == [file.name]
    monkeypatch.undo()
    assert len(index_library(music, file, 1)) == 7

def test_two_at_once_are_refused(music, file):
    index_library(music, file, 1)
    with FileLock(file.with_name(f'.{file.name}.lock')), pytest.raises(ValueError, match='another celae'):
        index_library(music, file, 1)
    assert len(nearest_songs(music/'a'/'0.flac', music, file=file)) == 5      # reading goes on

def test_an_index_of_another_version_is_made_anew_or_refused(music, file, monkeypatch, caplog, described):
    caplog.set_level('INFO')
    index_library(music, file, 1)
    described.clear()
    monkeypatch.setattr(library, 'VECTORISER', Vectoriser('another, 2'))
    with pytest.raises(ValueError, match='another version of celae'): load_index(music, file)
    index_library(music, file, 1)
    assert len(described) == 6 and 'made anew' in caplog.text
    with pytest.raises(ValueError, match='other version'):        # of workers that have the usual one
        music.joinpath('a', '0.flac').touch()
        monkeypatch.setattr(library, 'describe_song', lambda *args: describe_song(*args)._replace(
            vectoriser=VECTORISER.stamp))
        index_library(music, file, 1)

def test_files_that_are_no_index_are_never_replaced(music, file, tmp_path):
    file.parent.mkdir()
    pd.DataFrame(dict(a=[1])).to_parquet(file)
    own = file.read_bytes()
    with pytest.raises(ValueError, match='no index of celae'): index_library(music, file, 1)
    (words := tmp_path/'words.parquet').write_text('mine')
    with pytest.raises(ValueError, match='cannot be read as a table'): index_library(music, words, 1)
    (link := tmp_path/'link.parquet').symlink_to(words)
    with pytest.raises(ValueError): index_library(music, link, 1)
    with pytest.raises((ValueError, OSError)): index_library(music, music, 1)
    assert (words.read_text(), file.read_bytes()) == ('mine', own)

def test_an_index_from_elsewhere_names_nothing_outside(music, file, tmp_path):
    index_library(music, file, 1)
    songs = read_index(file)
    for path in ('../x.flac', '/etc/passwd', 'a/../../x', '', '.', 'a//..//..//x'):
        write_index(file, [songs[0]._replace(path=path), *songs[1:]])
        with pytest.raises(ValueError, match='outside') as e: load_index(music, file)
        assert '\n' not in str(e.value)
    for n in range(0, 3000, 97):                                  # cut at any place
        write_index(file, songs)
        file.write_bytes(file.read_bytes()[:-n or None])
        try: load_index(music, file)
        except ValueError as e: assert '\n' not in str(e)
    wide = pd.DataFrame([songs[0][:7]] * 2, columns=songs[0]._fields[:7])
    for odd in (wide, wide.assign(v0='x'), wide.assign(v0=1.), wide.iloc[:, :3], wide.drop_duplicates()):
        odd.to_parquet(file)
        with pytest.raises(ValueError, match='no index of celae|other version'): load_index(music, file)

@pytest.mark.slow
def test_odd_files_are_named_and_passed_over(tmp_path, file, caplog):
    "All kinds of odd files and names in one library, but the bombs, which take minutes."
    made = [case for case in audio_cases() if case.group != 'bombs' and 'three hours' not in case.name]
    kept = []
    for case in made:
        try: case.at(tmp_path/'music'), kept.append(case)
        except (OSError, ValueError): pass                        # this disk cannot hold such a name
    index = index_library(tmp_path/'music', file)
    assert len(kept) > 170 and len(index) > 100
    assert np.isfinite(index.vectors).all() and not [path for path in index.paths if 'linked' in path]
    heard = {*index.paths}
    for case in kept:
        name = case.name.encode('utf-8', 'surrogateescape').decode('utf-8', 'replace')
        if case.quiet or case.name in heard or name != case.name: continue
        if case.secs is None or case.group == 'links and folders': continue
        raise AssertionError(f'{case.group}: {case.name} is missing')
    before = file.read_bytes()
    caplog.clear()
    start = time.monotonic()
    index_library(tmp_path/'music', file)
    assert file.read_bytes() == before and 'left out' in caplog.text           # named again
    assert time.monotonic() - start < 20                                       # but not decoded again

def test_names_in_lists(tmp_path):
    names = ['plain.mp3', 'two\nlines.mp3', '=formula().mp3', '#hash, comma "quote".mp3', 'red \x1b[31m.mp3']
    songs = pd.DataFrame(dict(path=[str(tmp_path/name) for name in names], secs=60.))
    write_m3u(tmp_path/'x.m3u8', songs)
    lines = (tmp_path/'x.m3u8').read_text('utf-8').split('\n')
    assert len(lines) == 12 and all(line.isprintable() for line in lines)
    assert [line[:1] for line in lines[2::2]] == ['/', 'f', '/', '/', 'f'] and '%1B' in lines[10]

def test_the_command(celae, music, file, tmp_path):
    (music/'bad.mp3').write_bytes(b'words' * 99)
    (music/'a'/'with\nnewline \x1b[31m.flac').write_bytes(tune(333))
    done = celae('index', music, '--index', file, '--threads', 1, '--nice', 0, timeout=600)
    assert done.returncode == 0 and '7 songs' in done.stdout, done.stderr
    assert 'bad.mp3: left out' in done.stderr and '\x1b' not in done.stdout + done.stderr
    asked = celae('similar', music/'a'/'0.flac', music, '--index', file, '-n', 3, '--csv', 'x.csv')
    assert asked.returncode == 0 and len(asked.stdout.splitlines()) == 3 and not asked.stderr, asked.stderr
    assert len(pd.read_csv(tmp_path/'x.csv')) == 3
    again = celae('similar', music/'a'/'0.flac', music, '--index', file, '--csv', 'x.csv')
    assert again.returncode == 1 and 'exists already' in again.stderr
    shutil.copy(music/'a'/'0.flac', music/'again.flac')
    celae('index', music, '--index', file, '--nice', 0, timeout=600)
    twins = celae('similar', '--duplicates', music, '--index', file)
    assert [line.split(None, 1)[1] for line in twins.stdout.splitlines()][0] == 'a/0.flac = again.flac'

def test_twenty_thousand_songs_answer_at_once(tmp_path, file):
    rng, songs = np.random.default_rng(0), []
    for i, vector in enumerate(rng.standard_normal((20_000, VECTORISER.n_features)).astype(np.float32)):
        content = hashlib.sha256(str(i).encode()).hexdigest()
        songs.append(library.Song(f'{i % 97}/{i}.mp3', 9, 9, content, 99., '', VECTORISER.stamp, vector))
    write_index(file, songs)
    for song in songs[:50]:
        (path := tmp_path/'music'/song.path).parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    nearest_songs(songs[9].vector, tmp_path/'music', file=file)        # loads what reads tables
    start = time.process_time()
    found = nearest_songs(songs[7].vector, tmp_path/'music', 10, file=file)
    assert time.process_time() - start < 1 and found.path[0].endswith('7/7.mp3')

START = """
import sys
from celae.library import index_library
if __name__ == '__main__': index_library(sys.argv[1], sys.argv[2], 1, every_secs=0)
"""

@pytest.mark.slow
@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_process_is_killed_and_another_goes_on(music, file, how, tmp_path):
    whole = file.with_name('whole.parquet')
    index_library(music, whole, 1)
    (program := tmp_path/'start.py').write_text(START)
    for n in (1, 3, 5):
        process = subprocess.Popen([sys.executable, program, music, file], stderr=subprocess.DEVNULL)
        while process.poll() is None:
            if file.exists() and len(read_index(file)) >= n: process.send_signal(how)
            time.sleep(.01)
        assert len(read_index(file)) >= n
    assert index_library(music, file, 1) and file.read_bytes() == whole.read_bytes()

def slow_song(path, known=frozenset(), *stop):
    "A song that takes long enough for its worker to be killed."
    time.sleep(.3)
    return describe_song(path, known)

@pytest.mark.slow
def test_a_process_of_a_pool_is_killed(music, file, monkeypatch):
    whole = file.with_name('whole.parquet')
    index_library(music, whole, 1)
    monkeypatch.setattr(library, 'describe_song', slow_song)
    rng = random.Random(0)
    for _ in range(10):
        died = False
        with ProcessPoolExecutor(2, get_context('spawn')) as pool:
            kept = len(read_index(file)) if file.exists() else 0
            pool.submit(os.getpid).result()
            victim = rng.choice([*pool._processes])
            timer = Timer(rng.uniform(0, 8), os.kill, (victim, signal.SIGKILL))
            timer.start()
            try: index_library(music, file, executor=pool, every_secs=0)
            except OSError as e: died = 'a worker has died' in str(e)
            timer.cancel()
        if file.exists(): assert len(read_index(file)) >= kept
        if not died:
            assert file.read_bytes() == whole.read_bytes()
            file.unlink()
    index_library(music, file, 1)
    assert file.read_bytes() == whole.read_bytes()

@pytest.mark.slow
def test_a_worker_of_a_cluster_is_killed(music, file, monkeypatch):
    distributed = pytest.importorskip('distributed')
    whole = file.with_name('whole.parquet')
    index_library(music, whole, 1)
    monkeypatch.setattr(library, 'describe_song', slow_song)
    rng = random.Random(0)
    how = dict(n_workers=2, threads_per_worker=1, dashboard_address=None, host='127.0.0.1')
    for _ in range(10):          # each with its own cluster: a dead worker may come back late, or never
        with distributed.LocalCluster(**how) as cluster, distributed.Client(cluster) as client:
            victim = rng.choice([*client.run(os.getpid).values()])
            timer = Timer(rng.uniform(0, 3), os.kill, (victim, signal.SIGKILL))
            timer.start()
            index_library(music, file, executor=client.get_executor(), every_secs=0)
            timer.join()
        assert file.read_bytes() == whole.read_bytes()
        file.unlink()
