"""What survives: kills at any moment, a fault at each write, files that may not grow, a full disk.

    pytest tests/test_kills.py             each command that leaves one file, killed at two moments
    pytest tests/test_kills.py --slow      all, ten kills each, faults, for the study (half an hour)

Every command that writes is done once in peace. Then it is disturbed, begun again until nothing disturbs
it, and leaves what it left in peace, byte for byte. A moment is an event, such as the seventh opening of a
file for writing, and no time, so that a slow machine is disturbed at the same places as a quick one.
"""
import errno
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hostile_files import FORK, at_event, die

from celae.corpora.builtin import builtin_music

RESULTS = Path(__file__).parents[1]/'bench'/'results'/'survival.json'
SOUND = 'folk/folk.00000.flac'
JOBS = dict(        # command -> its arguments, and the files that count
    decode=('decode {latent} -o {out}/song.flac --overwrite', '*.flac'),
    edit=('edit {music}/%s -o {out}/song.flac --smooth 4 --overwrite' % SOUND, '*.flac'),
    generate=('generate --seconds 2 -o {out}/song.flac --overwrite', '*.flac'),
    prepare=('prepare {music} --cache {out}', '**/*.npy **/*.parquet'),
    index=('index {music} --index {out}/music.parquet --threads 1 --nice 0', '*.parquet'),
    encode=('encode {music} --out {out} --resume',
                                                            '**/*.celae'),
    train=('train {music} --cache {cache} --out {out} --steps 8 --resume',
           'model.safetensors config.json history.csv'),
    run=('run {music} --quick --cache {cache} --out {out} --resume',
         'clips.parquet models/*/model.safetensors latents/*.npz metrics/quality.json'))
SHORT = ('decode', 'edit', 'generate')    # that leave one file, and begin again from the start

def no_space(path): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

def work(words, out, log, event, act, everywhere, counted, limit):
    "A command in a process of its own; `act` happens at an event; `limit`: bytes that a file may have."
    from celae.cli import main
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1), os.dup2(1, 2)
    if limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)      # an error instead of a signal
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    sys.argv = ['celae', *words]
    if event is not None or counted is not None: at_event(event, act, None if everywhere else out, counted)
    main()

class Bench:
    "A collection, its cache, a latent of one of its files, and what each command leaves in peace."
    def __init__(self, folder):
        self.folder, self.music, self.log = folder, builtin_music(folder/'music',
                                                            tracks_per_style=3), folder/'log'
        self.latent, self.peace = (folder/'latents'/SOUND).with_suffix('.celae'), {}
        self.do('prepare', folder/'cache'), self.do('encode', folder/'latents')

    def do(self, job, out, event=None, act=no_space, everywhere=False, counted=None, limit=None):
        "Do a job in a folder: the exit code."
        words = JOBS[job][0].format(music=self.music, out=out, cache=self.folder/'cache',
                                    latent=self.latent).split()
        process = FORK.Process(target=work, args=(words, out, self.log, event, act, everywhere, counted,
                                                  limit))
        process.start(), process.join()
        return process.exitcode

    def left(self, job, out): return {str(f.relative_to(out)): f.read_bytes()
                                      for f in sorted(out.glob(JOBS[job][1]))}

    def same(self, job, out):
        "Do the job undisturbed; is everything as it was in peace?"
        if job not in self.peace:
            self.do(job, self.folder/'peace'/job)
            self.peace[job] = self.left(job, self.folder/'peace'/job)
            assert self.peace[job], self.said()
        self.do(job, out)
        return self.left(job, out) == self.peace[job]

    def said(self): return self.log.read_text().strip()

    def clear(self): return 'Traceback' not in self.said() and len(self.said().splitlines()) > 0

    def events(self, job, everywhere=False):
        counted = FORK.Value('q', 0)
        self.do(job, self.folder/f'count-{everywhere}-{job}', -1, everywhere=everywhere, counted=counted)
        return counted.value

    def musical(self):
        return [hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(self.music.rglob('*.flac'))]

@pytest.fixture(scope='module')
def bench(tmp_path_factory): return Bench(tmp_path_factory.mktemp('bench'))

@pytest.fixture(scope='module')
def found(request):
    "Rows for the study, written at the end if all is run."
    rows = dict(faults=[], limits=[], kills=[])
    yield rows
    if request.config.getoption('--slow'):
        known = json.loads(RESULTS.read_text()) | {key: value for key, value in rows.items() if value}
        RESULTS.write_text(json.dumps(known | dict(command='pytest tests/test_kills.py --slow'), indent=1)
                           + '\n')

def slow_but(jobs): return [pytest.param(job, marks=() if job in jobs else pytest.mark.slow) for job in JOBS]

@pytest.mark.parametrize('job', slow_but(('decode', 'edit')))
def test_who_is_killed_goes_on_to_the_same_end(bench, found, job, request):
    "What lies there is whole, the music as it was, and the next one goes on to the same bytes."
    n, rng, before = 10 if request.config.getoption('--slow') else 2, random.Random(0), bench.musical()
    writes, events = bench.events(job), bench.events(job, True)
    out, finished, killed = bench.folder/f'kill-{job}', 0, 0
    assert bench.same(job, bench.folder/f'whole-{job}')
    for i in range(4 if job == 'run' else n):
        event, everywhere = (rng.randint(1, writes), False) if i % 2 else (i and rng.randint(1, events), True)
        code = bench.do(job, out, event, die, everywhere)
        killed += code == -signal.SIGKILL
        if job in ('encode', *SHORT): assert bench.left(job, out).items() <= bench.peace[job].items()
        if code == 0 or job in SHORT:                # done before the event: look, and begin another
            assert bench.same(job, out)
            out, finished = bench.folder/f'kill-{job}-{i}', finished + 1
    assert bench.same(job, out) and bench.musical() == before and killed
    found['kills'].append(dict(job=job, kills=killed, finished=finished + 1, same=finished + 1,
                               music_same=True, writes=writes, events=events))

@pytest.mark.slow
@pytest.mark.parametrize('job', [job for job in JOBS if job != 'run'])       # which has hundreds of writes
def test_a_fault_at_any_write_is_told_and_survived(bench, found, job):
    total = bench.events(job)
    for n in range(1, total + 1):
        bench.do(job, out := bench.folder/f'fault-{job}-{n}', n)
        assert 'No space left' in bench.said().splitlines()[-1] and bench.clear(), bench.said()
        assert bench.same(job, out)
        shutil.rmtree(out)
    found['faults'].append(dict(job=job, faults=total, same=total, clear=total))

@pytest.mark.slow
@pytest.mark.parametrize('job', [job for job in JOBS if job != 'run'])
def test_files_that_may_not_grow_are_told_and_survived(bench, found, job):
    sizes = [1 << k for k in range(8, 26, 2)]
    for size in sizes:
        code = bench.do(job, out := bench.folder/f'limit-{job}-{size}', limit=size)
        assert (code == 0 or bench.clear()) and bench.same(job, out)
        shutil.rmtree(out, ignore_errors=True)
    found['limits'].append(dict(job=job, limits=len(sizes), clear=len(sizes), same=len(sizes)))

@pytest.mark.slow
def test_training_on_a_full_disk_goes_on_when_there_is_room(bench, found, tmp_path):
    import torch
    def mount(*words): return subprocess.run(['mount', *words, tmp_path], capture_output=True).returncode
    if mount('-t', 'tmpfs', '-o', 'size=50m', 'tmpfs'): pytest.skip('no right to mount a small disk')
    try:
        bench.do('train', tmp_path/'model')
        said, kept = bench.said().splitlines()[-1], list(tmp_path.rglob('checkpoint.pt'))
        loads = [(path.name, int(torch.load(path, weights_only=True)['step'])) for path in kept]
        assert bench.clear() and not mount('-o', 'remount,size=1g') and bench.same('train', tmp_path/'model')
        shutil.rmtree(tmp_path/'model')
        assert not mount('-o', 'remount,size=2m') and bench.do('prepare', tmp_path/'cache')
        said, prepare = [text.replace(str(tmp_path), '...') for text in (said, bench.said())]
        found['full_disk'] = dict(megabytes=50, said=said, checkpoints=len(kept), loads=loads, same=True,
                                  prepare=prepare)
    finally: subprocess.run(['umount', tmp_path], check=True)

TWO = """
import sys
from celae.data import load_clips
from celae.training import fit_codec, new_model
music, out, devices = *sys.argv[1:3], int(sys.argv[3])
model, config = new_model('silu', 11_025, steps=60, bs=16 // devices)
fit_codec(model, load_clips(music, out + '-cache'), config, out, devices=devices)
"""

@pytest.mark.slow
def test_two_processes_learn_what_one_does(bench, found, tmp_path):
    "The same training, in which nothing is left to chance, by one process and by two with half the batch."
    (program := tmp_path/'two.py').write_text(TWO)   # a file, since it is started again
    histories = []
    for n in (1, 2):
        subprocess.run([sys.executable, program, bench.music, tmp_path/str(n), str(n)], check=True,
                       capture_output=True)
        histories.append(pd.read_csv(tmp_path/str(n)/'history.csv').assign(processes=n))
    assert abs(histories[0].valid_loss / histories[1].valid_loss - 1).max() < .03
    found['two_processes'] = pd.concat(histories).to_dict('records')
