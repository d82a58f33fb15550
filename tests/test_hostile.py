"""Every command against every class of hostile input, each case in a process of its own.

    pytest tests/test_hostile.py               one case or a few of each class
    pytest tests/test_hostile.py --hostile     all of them (an hour on two cores; root on Linux), for the study

Memory and processor time are bounded (not the clock: a busy machine is no hang), the user's files are looked at before and after.

read      the sound is there, all of it, or the command did what it should
named     the item is left out with a line that names it, and the rest is done
refused   the command ends with one line
ignored   passed over, as hidden files should be
lost      a file of the user changed or is gone, or an item, or a part, is missing or wrong without a word
hung      no end within the processor time, or no work for a while
crashed   a traceback, a signal, or no memory
escaped   something outside was read or written, a stranger's program ran, or words stand in a page unescaped
"""
import base64
import gzip
import json
import os
import re
import resource
import shutil
import signal
import sys
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Callable

import hostile_files as hostile
import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from hostile_files import SCRIPT, audio, flac, put, tone

import celae

pytestmark = pytest.mark.skipif(sys.platform != 'linux',
                                reason='limits and processor times are those of Linux')
BAD, GOOD = ('lost', 'hung', 'crashed', 'escaped'), ('read', 'named', 'refused', 'ignored')
MEMORY, IDLE_SECS = 3 << 30, 12        # bytes beyond what is taken at the start; seconds without any work
NOBODY, WEIGHTS = 65_534, Path(celae.__file__).parent/'weights'
FORK = get_context('forkserver')       # one process imports everything, all cases are its forks
FORK.set_forkserver_preload('''test_hostile celae.cli celae.run celae.report celae.corpora.published celae.latent_files celae.playground
    celae.evaluation pyarrow.parquet filelock pooch ftplib encodings.utf_8_sig'''.split())
RESULTS = Path(__file__).parents[1]/'bench'/'results'/'hostile_input.json'
SLOW = ('train', 'run', 'analyze', 'map')


@dataclass
class Job:
    command: str
    group: str                 # class of input
    name: str                  # kind of input
    build: Callable            # of a folder: makes what is needed there, gives the arguments
    check: Callable            # of (folder, exit code, what was said): a verdict, or a verdict and why
    cpu: int = 60              # seconds of processor time
    user: int = 0
    may_add: bool = False      # to the folders of the user

    @property
    def id(self): return f'{self.command}:{self.group}:{ascii(self.name)[1:-1][:80]}'


# ---- one case in a process of its own ----

def child(root, args, user):
    "What the process does: limits, a folder, a log, and then the command."
    os.setsid()
    log = os.open(root/'log', os.O_WRONLY | os.O_CREAT)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0), os.dup2(log, 1), os.dup2(log, 2)
    taken = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY,) * 2)
    os.environ |= dict.fromkeys(('XDG_CACHE_HOME', 'HOME', 'MPLCONFIGDIR'),
                                str(root/'home')) | dict(COLUMNS='200')
    os.chdir(root/'here')
    if user: os.setgid(user), os.setuid(user)
    if args[0] == 'fetch': return fetch_from_server(root, args[1])
    from celae.cli import main
    sys.argv = ['celae', *map(str, args)]
    main()


def cpu_secs(pid):
    try: parts = Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
    except OSError: return 0
    return sum(map(int, parts[11:15])) / os.sysconf('SC_CLK_TCK')


def snapshot(folder):
    "What is in a folder: kind, size and contents of each file."
    found = {}
    for path in (Path(top)/name for top, folders, files in os.walk(folder) for name in folders + files):
        info = path.lstat()
        what = os.readlink(path) if path.is_symlink() else ''
        if path.is_file() and not what and info.st_size < 5_000_000: what = path.read_bytes()
        found[str(path.relative_to(folder))] = info.st_mode, info.st_size if path.is_file() else 0, what
    return found


class Running:
    "A case on its way."
    def __init__(self, job):
        self.job, self.root, self.hung = job, Path(mkdtemp(prefix='celae-hostile-')), False
        self.root.chmod(0o777)
        for name in ('user', 'outside', 'out', 'home', 'here'):
            (self.root/name).mkdir()
            (self.root/name).chmod(0o777)
        (self.root/'outside'/'secret.txt').write_bytes(b'the secret of the user ' * 20)
        (self.root/'outside'/'secret.wav').write_bytes(audio(wav=tone(hz=3000)))
        args = job.build(self.root)
        self.before = {name: snapshot(self.root/name) for name in ('user', 'outside', 'here')}
        self.process = FORK.Process(target=child, args=(self.root, args, job.user))
        self.process.start()
        self.cpu, self.worked = 0., time.monotonic()

    def poll(self):
        "The verdict, if the case is over."
        if not self.process.is_alive(): return self.judge(self.process.exitcode)
        cpu, now = cpu_secs(self.process.pid), time.monotonic()
        if cpu > self.cpu + .02: self.cpu, self.worked = cpu, now
        if self.cpu > self.job.cpu or now > self.worked + IDLE_SECS:
            self.hung = True
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.join()

    def judge(self, code):
        text = (self.root/'log').read_bytes().decode(errors='backslashreplace')
        verdict = self.verdict(code, text)
        verdict, why = verdict if isinstance(verdict, tuple) else (verdict, '')
        said = (text.strip().splitlines() or [''])[-1].replace(str(self.root), '...')[:240]
        shutil.rmtree(self.root, ignore_errors=True)
        return dict(command=self.job.command, group=self.job.group, name=self.job.id.split(':', 2)[2],
                    verdict=verdict, why=why, code=code, said=said)

    def verdict(self, code, text):
        if any((self.root/name/'pwned').exists()
               for name in ('outside', 'here')): return 'escaped', 'a program ran'
        if self.hung: return 'hung'
        if code < 0: return 'crashed', signal.Signals(-code).name
        if 'Traceback (most recent call last)' in text: return 'crashed', 'traceback'
        if code and re.search("MemoryError|[Cc](an't|annot) allocate|Unable to allocate",
                              text): return 'crashed', 'memory'
        for name, before in self.before.items():
            after = snapshot(self.root/name)
            gone = [path for path in before if after.get(path) != before[path]]
            new = [path for path in after if path not in before and not self.job.may_add]
            if gone: return 'lost', f'{gone[0]} changed or gone'
            if new and not (self.root/name/new[0]).is_symlink(): return 'escaped', f'{new[0]} written'
        if code and not re.search(r'^(celae: |Error: )', text, re.M): return 'crashed', 'ended without a word'
        return self.job.check(self.root, code, text)


def run_jobs(jobs, workers=2):
    "Do all cases, some at a time: id -> row."
    os.environ |= dict(OMP_NUM_THREADS='1', PYTHONPATH=str(Path(__file__).parent))
    todo, running, rows = list(reversed(jobs)), [], {}
    while todo or running:
        while todo and len(running) < workers: running.append(Running(todo.pop()))
        time.sleep(.02)
        for one in list(running):
            if row := one.poll():
                running.remove(one)
                rows[one.job.id] = row
                if row['verdict'] not in GOOD or len(rows) % 100 == 0: print(len(rows), *row.values(), sep=' | ', flush=True)
    return rows


# ---- what was said, and what came out ----

def named(text, name):
    "Does a line name this file? Names that cannot be printed may be written in any usual way."
    squeezed = ''.join(re.findall('[A-Za-z0-9]', name))
    plain = {part for n in (name.rstrip('/'), Path(name).name, Path(name).parts[0]) for part in (
        n, ascii(n)[1:-1], repr(n)[1:-1], os.fsencode(n).decode(errors='backslashreplace'),
        n.replace('\n', ' '), os.fsencode(n).decode(errors='replace'), n.encode(errors='replace').decode(),
        n.replace('\n', '?'))}
    return (any(way in text for way in plain if way)
            or len(squeezed) > 8 and squeezed[:20] in ''.join(re.findall('[A-Za-z0-9]', text)))


def ends(root, code, text): return 'refused' if code else 'read'


def writes(name): return lambda root, code, text: ends(root, code,
                                                       text) if code or (root/'out'/name).exists() else 'lost'


def sound(root, code, text, name='e.wav'):
    "Refused, or a sound is written that is one."
    if code: return 'refused'
    path = root/'out'/name
    if not path.exists(): path = next((f for f in (root/'out').iterdir() if f.is_file()), None)
    if path is None: return 'lost', 'nothing written'
    wav, _ = sf.read(path, always_2d=True)
    if not np.isfinite(wav).all(): return 'lost', 'not a number in the sound'
    if len(wav) and (abs(wav) > .9).mean() > .5: return 'lost', 'full scale all the time'
    if len(wav) > 100 and abs(wav).max() > .3 and abs(np.diff(wav,
                                                            axis=0)).max() < 1e-4: return 'lost', 'constant'
    return 'read'


def latent_secs(path):
    facts, tensors = hostile.unpack_latent(path.read_bytes())
    assert all(np.isfinite(x.astype(np.float64)).all()
               for x in tensors.values()), 'not a number in the latent'
    return facts['n_samples'] / facts.get('sr', 22_050)


def latent(root, code, text):
    if code: return 'refused'
    return 'read' if abs(latent_secs(root/'out'/'e.celae') - hostile.SECS) < .1 else ('lost', 'cut')


def compared(found, wanted, text, name):
    "Verdict on the seconds found where `wanted` are there."
    if wanted is None: return 'read' if found else 'named' if named(text, name) else ('lost', 'not a word')
    if abs(found - wanted) < .2: return 'read'
    return 'named' if found < wanted and named(text, name) else ('lost', f'{found:.1f} s of {wanted:.1f}')


# ---- what all cases need, made once by the version under test ----

@cache
def work_folder():
    folder = TemporaryDirectory(prefix='celae-fixtures-')
    Path(folder.name).chmod(0o755)
    return folder


@cache
def fixture(name):
    "A good file or folder of this name."
    path = Path(work_folder().name)/name
    def do(*args):
        (home := path.parent/'home').mkdir(exist_ok=True), (path.parent/'here').mkdir(exist_ok=True)
        process = FORK.Process(target=child, args=(path.parent, args, 0))
        process.start()
        process.join()
        assert process.exitcode == 0 and home, (args, (path.parent/'log').read_text())
    music = None if name in ('music', 'song.flac', 'good.celae') else fixture('music')
    if name == 'music': celae.corpora.builtin.builtin_music(path, tracks_per_style=2, secs=6.)
    elif name == 'song.flac': path.write_bytes(flac())
    elif name == 'good.celae': do('encode', fixture('song.flac'), '-o', path)
    elif name == 'prepared': do('prepare', music, '--cache', path)
    elif name == 'half trained': do(*train_args(path, 4))
    elif name == 'run': do('run', music, '--quick', '--out', path, '--cache', fixture('prepared'))
    for each in [path, *path.rglob('*')] if name != 'prepared' else (): each.chmod(0o755 if each.is_dir() else 0o644)
    return path


def train_args(out, steps, *more, music=None, cache=None):
    return ['train', music or fixture('music'), '--cache', cache or fixture('prepared'), '--out', out,
            '--steps', steps, '--max-clips', 20, *more]


def copied(name, to):
    shutil.copytree(fixture(name), to, symlinks=True, ignore=shutil.ignore_patterns('checkpoint.pt') if name
                    == 'run' else None)
    return to


def song(folder, name='song.wav'):
    (folder/name).write_bytes(audio(channels=2))
    return folder/name


def good_latent(folder, name='song.celae'): return Path(shutil.copy(fixture('good.celae'), folder/name))


# ---- sound files ----

def sound_job(command, case):
    def build(root):
        music, out = root/'user'/'music', root/'out'
        music.mkdir()
        (music/'good.flac').write_bytes(flac())
        path = case.at(music)
        return dict(encode=['encode', music, '--out', out], prepare=['prepare', music, '--cache', out],
                    edit=['edit', '--gain', 1.1, '-o', out/'e.wav', '--', path],
                    decode=['decode', '-o', out/'e.wav', '--', path],
                    generate=['generate', '--begin', path, '--seconds', 1, '-o', out/'e.wav'])[command]

    def one(root, code, text):
        if code and command != 'decode' and case.group == 'rare but right': return 'lost', 'a right file is refused'
        if code: return 'refused'
        if command == 'decode': return 'lost', 'no latent file, and no word'
        wanted = min(case.secs, 60) if case.secs and command == 'generate' else case.secs
        found = sf.info(root/'out'/'e.wav').duration - (command == 'generate')
        wrong = sound(root, code, text)
        return wrong if wrong != 'read' else compared(found, wanted, text, case.name)

    def many(root, code, text):
        wanted, out = case.secs, root/'out'
        if command == 'encode': found = {f.stem: latent_secs(f) for f in out.rglob('*.celae')}
        else:
            table = pd.concat([pd.DataFrame(dict(track=[], n_samples=[], left_out=[])),
                               *map(pd.read_parquet, out.rglob('*.parquet'))])
            found = {Path(t).stem: n / 22_050 for t,
                     n in table[table.left_out == ''].groupby('track').n_samples.sum().items()}
            if wanted: wanted = wanted // 5 * 5 + (wanted % 5 if wanted % 5 >= 2.5 else 0)
            if case.name == 'three hours.wav': wanted = 10.      # the tone ends in the second clip
        if not found.pop('good', 0) or code: return 'lost', 'one item stops the rest'
        secs = sum(found.values())
        if case.group == 'hidden' and secs: return 'lost', 'a hidden file is used'
        return 'ignored' if case.quiet and not secs else compared(secs, wanted, text, case.name)
    check = many if command in ('encode', 'prepare') else one
    return Job(command, f'sound: {case.group}', case.name, build, check, user=NOBODY if 'closed' in case.name
               else 0)


def sound_jobs():
    cases, jobs = hostile.audio_cases(), []
    begun = ('no sound', 'cut and damaged', 'header lies', 'joined', 'bombs', 'samples')
    for case in cases:
        jobs.append(sound_job('prepare', case))
        if case.name == 'three hours.wav': continue
        jobs += [sound_job('encode', case), sound_job('edit', case)]
        if case.group in begun: jobs.append(sound_job('generate', case))
        if case.group in ('no sound', 'links and folders'): jobs.append(sound_job('decode', case))
    def all_of(root, groups):
        music = copied('music', root/'user'/'music')
        for case in cases:
            if case.group in groups and not re.search('closed|three hours', case.name): case.at(music)
        return music
    def trained(group): return lambda root: train_args(
        root/'out'/'m', 1, music=all_of(root, [group]), cache=root/'home')
    def done(root, code, text): return 'lost' if code else 'read'
    jobs += [Job('train', f'sound: {group}', 'all of the class in one folder', trained(group), done, 120)
             for group in sorted({case.group for case in cases})]
    def whole(root): return ['run', all_of(root, ('names', 'samples', 'no sound', 'endings')), '--quick',
                             '--out', root/'out'/'run', '--cache', root/'home']
    def reported(root, code, text): return 'lost' if code else escaped(root) or 'read'
    return jobs + [Job('run', 'sound: names', 'all names and samples in one folder', whole, reported, 500)]


def escaped(root):
    "Does a page of a run hold a stranger's script or a file of the user?"
    secrets = [base64.b64encode(Path(f).read_bytes()).decode() for f in (root/'outside'/'secret.txt',
                                                            '/etc/hostname')]
    for page in (path for path in root.glob('out/run/*.html') if not path.is_symlink()):
        text = page.read_text(errors='replace')
        if any(each in text for each in (SCRIPT[:28], '<script>alert', '<img src=x', '<b>bold', *secrets)):
            return 'escaped', f'a script or a file of the user in {page.name}'
        if page.name == 'map.html' and re.search(r':\s*(-?Infinity|NaN)\b',
                                                 text): return 'lost', 'invalid JSON in the map'


# ---- latents, models, runs, tables ----

def latent_jobs():
    def decode(root, case):
        (folder := root/'user'/'latents').mkdir()
        return ['decode', good_latent(folder, 'a good one.celae'), case.at(folder), '-o', root/'out']
    def decoded(root, code, text, case):
        bad = Path(case.name).with_suffix('.wav')
        if not (root/'out'/'a good one.wav').exists(): return 'lost', 'the good file beside it is not done'
        if (root/'out'/bad).exists(): return sound(root, 0, text, bad)
        return 'named' if named(text, case.name) else ('lost', 'not a word')
    def resume(root, case):
        (root/'user'/case.name).with_suffix('.flac').write_bytes(flac())
        os.utime((root/'user'/case.name).with_suffix('.flac'), (1e9, 1e9))
        case.at(root/'out')
        return ['encode', root/'user', '--out', root/'out', '--resume']
    def resumed(root, code, text, case):
        if code: return 'refused'
        try: secs = latent_secs(root/'out'/case.name)
        except Exception: return 'named' if named(text, case.name) else ('lost',
                                                            'left as it was, without a word')
        return 'read' if abs(secs - hostile.SECS) < .1 else ('lost', 'taken for done')
    return [Job(command, 'latents', case.name, partial(build, case=case), partial(check, case=case))
            for case in hostile.latent_cases(fixture('good.celae').read_bytes())
            for command, build, check in (('decode', decode, decoded), ('encode', resume, resumed))]


def model_jobs():
    def job(command, name, change, args, check):
        def build(root):
            model = root/'user'/'model'
            shutil.copytree(WEIGHTS/('prior-builtin' if command == 'generate' else 'autoencoder'), model)
            change(model, root/'outside'/'pwned')
            return args(root/'out', model)
        return Job(command, 'models', name, build, check, 90)
    ways = dict(
        decode=(lambda out, model: ['decode', fixture('good.celae'), '--model', model, '-o', out/'e.wav'],
                sound),
        encode=(lambda out, model: ['encode', fixture('song.flac'), '--model', model, '-o', out/'e.celae'],
                latent),
        edit=(lambda out, model: ['edit', fixture('song.flac'), '--model', model, '-o', out/'e.wav'], sound),
        generate=(lambda out, model: ['generate', '--seconds', 1, '--prior', model, '-o', out/'e.wav'],
                  sound),
        export=(lambda out, model: ['export', '--model', model, '-o', out/'onnx'],
                writes('onnx/encoder.onnx')),
        train=(lambda out, model: train_args(out/'m', 1, '--from', model), writes('m/model.safetensors')))
    jobs = [job(command, name, change, *way) for name, change in hostile.model_cases().items() for command,
            way in ways.items()]
    def resumed(change):
        def build(root):
            path = copied('half trained', root/'out'/'m')/'checkpoint.pt'
            change(path, root/'outside'/'pwned')
            return train_args(root/'out'/'m', 4, '--resume')
        return build
    return jobs + [Job('train', 'models', f'checkpoint {name}', resumed(change),
                       writes('m/model.safetensors'), 120)
                   for name, change in checkpoint_cases().items()]


def checkpoint_cases():
    import torch
    def saved(change):
        def write(path, trace):
            state = torch.load(path, weights_only=True)
            torch.save(change(state) or state, path)
        return write
    def packed(path, trace):
        "Zeros of 400 MB in 2 MB."
        torch.save(dict(model={}, best=torch.zeros(10**8)), big := path.with_name('big'))
        with hostile.zipfile.ZipFile(big) as old: path.write_bytes(hostile.zipped({i: old.read(i) for i in old.namelist()}))
        big.unlink()
    def no(key): return saved(lambda state: state.pop(key, None) and None)
    def other(**values): return saved(lambda state: state.update(values))
    return {
        'a pickle': lambda path, trace: path.write_bytes(hostile.evil_pickle(trace)), 'packed': packed,
        'empty': lambda path, trace: path.write_bytes(b''), 'text': lambda path,
        trace: path.write_bytes(b'words'), 'cut': lambda path,
        trace: path.write_bytes(path.read_bytes()[:5000]), 'a number': saved(lambda state: 3),
        'an empty dict': saved(lambda state: {'x': 1}), 'without weights': no('model'),
        'without optimizer': no('optimizer'), 'step null': other(step=None), 'step huge': other(step=10**12),
        'history text': other(history='x'), 'history of numbers': other(history=[1, 2]),
        'best empty': other(best={}), 'optimizer empty': other(optimizer={}),
        'of another model': other(model={'x': torch.zeros(3)}),
        'weights nan': saved(lambda state: state['model'].update(
            {k: v * float('nan') for k, v in state['model'].items() if v.is_floating_point()}))}


def run_jobs_of_strangers():
    def build(root, command, change):
        run = copied('run', root/'out'/'run')
        for page in run.glob('*.html'): page.unlink()
        change(run, root/'outside'/'pwned')
        return ['run', fixture('music'), '--quick', '--out', run, '--cache', fixture('prepared'),
                '--resume'] if (
            command == 'run') else [command, run]
    def check(root, code, text, name):
        if code == 0 and name == 'clips: paths outside' and (root/'out'/'run'/'map.html').exists(): return 'escaped'
        return escaped(root) or ends(root, code, text)
    jobs = [Job(command, 'runs of strangers', name, partial(build, command=command, change=change),
                partial(check, name=name), 300 if command == 'run' else 150)
            for name, change in hostile.run_cases(fixture('run')).items()
            for command in ('analyze', 'map', 'run')
            if command != 'run' or re.match(r'settings|musical|clips: (no|text|a )|autoencoder|sounds absolute', name)]
    def gone(root, code, text): return 'refused' if code else ('lost', 'no run, and no word')
    for name, make in hostile.ODD_FILES.items():
        jobs += [Job(command, 'runs of strangers', f'run is {name}', lambda root, make=make,
                     command=command: (
            make(root/'out'/'run'), [command, root/'out'/'run'])[1], gone) for command in ('analyze', 'map')]
    return jobs


def table_jobs():
    tracks = sorted(f.relative_to(fixture('music')).as_posix() for f in fixture('music').rglob('*.flac'))
    def build(root, command, file, make):
        music = copied('music', root/'user'/'music')
        (music/file).unlink(missing_ok=True)
        make(music/file)
        if command == 'train': return train_args(root/'out'/'m', 1, music=music, cache=root/'home')
        return ['prepare', music, '--cache', root/'out']
    def check(root, code, text):
        if code or not (tables := [*(root/'out').glob('*.parquet')]): return ends(root, code, text)
        table = pd.concat(map(pd.read_parquet, tables))
        if table.duplicated(['path', 'start']).any(): return 'lost', 'clips are doubled'
        return 'read' if table.path.str.startswith(str(root)).all() else ('escaped',
                                                            'a path of the table is read')
    also = ('infinite', 'doubled', 'binary', 'right', 'twice and different', 'own columns', 'a pipe',
            'scripts')
    return [Job(command, f'tables: {file}', word, partial(build, command=command, file=file, make=make),
                check, 120)
            for file, word, make in hostile.table_cases(tracks) for command in ('prepare', 'train')
            if command == 'prepare' or word in also]


# ---- arguments ----

BIG, HUGE = 10**9, 10**30
ARGUMENTS = {       # command -> option -> values
    'edit': {'--gain': ('nan', 'inf', '-inf', '1e38', '-1e38', '1e300', 'x', ''),
             '--noise': ('inf', 'nan', '1e38', -1), '--freeze': (BIG, HUGE, -2), '--freeze-loop': (BIG, -1),
             '--transpose': (84, -200, BIG, HUGE), '--model': ('', '..', '/', 'nothing', '/dev/null'),
             '--seed': (-1, 2**40, 2**70, HUGE), **dict.fromkeys(('--smooth', '--shuffle', '--mask'),
                                                            (BIG, HUGE, -1))},
    'generate': {'--seconds': ('inf', 'nan', 0, -1, '1e9', '1e300'), '--strength': ('nan', 2, -1),
                 '--seed': (-1, 2**70), '--style': ('', SCRIPT, 'nothing'),
                 '--prior': ('', 'autoencoder', '..'), '--model': ('', 'base', 'quarter')},
    'train': {'--steps': (-1, 0, 'x'), '--max-clips': (0, 1, 2, -1, HUGE),
              '--latent-size': (0, -1, 10**12, 7), '--model': ('x', '', 'base'),
              '--device': ('cuda', 'mps', 'x', ''), '--seed': (-1, 2**70), '--devices': (0, 1000),
              '--num-nodes': (0,)},
    'prepare': {'--max-clips': (0, 1, -1, HUGE), '--seed': (-1, 2**70)},
    'run': {'--max-clips': (0, 1, -1), '--steps': (-1,), '--device': ('cuda', 'x'), '--seed': (-1,)},
    'encode': {'--part': ('0/0', '3/2', '1/0', '-1/2', 'x', '', '1/' + '9' * 30, '1/2/3')}}
ENDINGS = ('e', 'e.exe', 'e.wav/', 'sub/../e.m4a', 'n' * 300 + '.wav', '.wav', 'a/b/c.wav', 'e.wav\n',
           'é' * 125 + '.wav', '../user/song.wav/e.wav')


def argument_jobs():
    def args_of(root, command, option, value):
        out, more = root/'out', f'{option}={value}'
        return dict(
            edit=lambda: ['edit', song(root/'user'), more, '-o', out/'e.wav'],
            generate=lambda: ['generate', *([] if option == '--seconds' else ['--seconds', 1]), more, '-o',
                              out/'e.wav', *(['--begin', song(root/'user')] if option == '--strength'
                                             else [])],
            train=lambda: train_args(out/'m', 1, more), prepare=lambda: ['prepare', fixture('music'),
                                                            '--cache', out, more],
            encode=lambda: ['encode', song(root/'user'), more, '-o', out/'e.celae'],
            run=lambda: ['run', fixture('music'), '--quick', '--cache', fixture('prepared'), '--out',
                         out/'run', more])[command]()
    checks = dict(edit=sound, generate=sound, train=writes('m/model.safetensors'),
                  run=writes('run/report.html'))
    jobs = [Job(command, 'arguments', f'{option} {value}', partial(args_of, command=command, option=option,
                                                            value=value),
                checks.get(command, ends), 150) for command, options in ARGUMENTS.items()
            for option, values in options.items() for value in values]
    jobs += [Job('edit', 'arguments', f'-o {end}', lambda root, end=end: [
        'edit', song(root/'user'), '-o', f'{root}/out/{end}'], ends) for end in ENDINGS]
    jobs += [Job('decode', 'arguments', f'--rate {rate} {ending}', lambda root, rate=rate, ending=ending: [
        'decode', fixture('good.celae'), f'--rate={rate}', '-o', root/'out'/f'e.{ending}'],
        partial(sound, name=f'e.{ending}'))
        for rate in (0, -1, 1, 999, 7999, 10**6, 10**9, 10**12)
        for ending in ('wav', 'flac', 'ogg', 'opus', 'mp3')]
    paths = {'a NUL': 'a\0b', 'not there': '/nowhere/at/all', 'empty': '', 'too long': '/x' + 'y' * 5000}
    before = dict(edit=['-o', 'e.wav'], generate=['-o', 'e.wav', '--begin'], export=['-o'], clear=['--cache'],
                  run=['--quick'])
    for command in ('encode', 'decode', 'edit', 'prepare', 'train', 'run', 'analyze', 'map', 'generate',
                    'export', 'clear', 'download'):
        def check(root, code, text,
                  command=command): return 'refused' if code else 'read' if command == 'clear' else 'lost'
        jobs += [Job(command, 'arguments', f'a path {word}', lambda root,
                     args=(command, *before.get(command, ()), path): args, check, 200, may_add=True) for word,
                     path in paths.items()
                 if command != 'export' or word not in ('not there',
                                                        'empty')]        # a new folder, and this one
    return jobs


# ---- downloads ----

def download_jobs():
    def outside(root): return [p for p in (root/'escaped', root/'out'/'escaped', Path('/tmp/celae-escaped'))
                               if p.exists()]
    def build(root, name, files):
        (root/'home'/'celae').mkdir()
        for file, data in files.items(): (root/'home'/'celae'/file).write_bytes(data)
        return ['download', name, '-o', root/'out'/'deep'/'er'/name]
    def check(root, code, text):
        folder = root/'out'/'deep'/'er'
        strays = [f for kind in ('*.mp3', '*.au') for f in root.rglob(kind) if folder not in f.parents]
        if outside(root) or strays: return 'escaped', 'a member outside'
        if any(f.is_symlink() for f in (root/'out').rglob('*')): return 'escaped', 'a link was unpacked'
        hidden = [f for f in (folder/'fma-small').rglob('.*') if code == 0]
        return ('lost', 'music in hidden folders, which is not found again') if hidden else ends(root, code, text)
    cases = {f'gtzan {name}': ('gtzan', {'genres.tar.gz': data}) for name,
             data in hostile.archive_cases().items()}
    cases |= {f'fma {name}': ('fma-small', files) for name, files in hostile.fma_cases().items()}
    def refused(root, code, text, path):
        if 'File too large' in text: return 'hung', 'took 2 GB of an endless server'
        if code: return 'lost', 'the next source is not asked'
        local = Path('/etc/hostname').read_bytes()
        return ('escaped', 'a local file was fetched') if local in [f.read_bytes()
                                                            for f in (root/'out').iterdir()] else 'read'
    return [Job('download', 'archives', name, partial(build, name=kind, files=files), check, 120)
            for name, (kind, files) in cases.items()] + [
        Job('download', 'servers', path, lambda root, path=path: ['fetch', path], partial(refused, path=path),
            200)
        for path in sorted(SERVERS)]


def endless(data, secs=0.):
    while True: yield data, secs


SERVERS = {       # path -> status, headers, what is sent (bytes, and seconds of waiting after them)
    'endless': (200, {}, endless(bytes(1 << 20))), 'claims': (200, dict(Content_Length=10**15),
                                                            endless(bytes(1 << 20))),
    'stalled': (200, dict(Content_Length=10**5), [(bytes(100), 3600)]), 'silent': (0, {}, [(b'', 3600)]),
    'drips': (200, dict(Content_Length=10**5), endless(b'x', .5)),
    'circle': (302, dict(Location='/circle'), []), 'away': (302, dict(Location='file:///etc/hostname'), []),
    'gone': (404, {}, []), 'ended': (416, {}, []), 'short': (200, dict(Content_Length=1000),
                                                            [(bytes(10), 0)]), 'length': (200, dict(Content_Length=-5), [(b'x' * 50, 0)]),
    'digits': (200, dict(Content_Length='9' * 6000), []), 'brackets': (302, dict(Location='http://[::1'), []),
    'page': (200, dict(Content_Length=20, Content_Type='text/html'), [(b'<html>moved</html>!!', 0)]),
    'packed': (200, dict(Content_Encoding='gzip'), [(gzip.compress(bytes(10**8)), 0)]),
    'part': (206, dict(Content_Range='bytes 0-9/1000', Content_Length=10), [(bytes(10), 0)]),
    'whole': (200, dict(Content_Length=50), [(b'x' * 50, 0)])}


class Server(BaseHTTPRequestHandler):
    "What a server on the way may do."
    def log_message(self, *args): pass
    def do_GET(self):
        good = 200, dict(Content_Length=6), [(b'PK\5\6ok', 0)]
        code, headers, parts = SERVERS.get(self.path.split('/')[1], good)
        if code:
            self.send_response(code)
            for key, value in headers.items(): self.send_header(key.replace('_', '-'), str(value))
            self.end_headers()
        try:
            for data, secs in parts: self.wfile.write(data), time.sleep(secs)
        except (BrokenPipeError, ConnectionResetError): pass


def fetch_from_server(root, path):
    "Fetch from a bad server, and from a good one after it."
    from celae.corpora.published import fetch
    server = ThreadingHTTPServer(('127.0.0.1', 0), Server)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 30,) * 2)            # enough to call it endless
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    def busy(end=time.monotonic()
             + 100):                                # so that waiting is not taken for a hang
        while time.monotonic() < end: sum(range(300_000)), time.sleep(.2)
    threading.Thread(target=busy, daemon=True).start()
    def check(file):
        if file.read_bytes()[:2] != b'PK': raise ValueError('sent no archive')
    sources = [f'http://127.0.0.1:{server.server_port}/{name}/a.zip' for name in (path, 'good')]
    try: print(fetch(sources, root/'out'/'a.zip', tries=1, check=check))
    except (ValueError, OSError) as e: sys.exit(f'celae: {e}')


# ---- overwriting, clearing ----

def second_name(source, how):
    "A file under a second name."
    other = source.with_name(f'other{source.suffix}')
    if how == 'the same': return source
    if how == 'a hard link': os.link(source, other)
    elif how == 'dots':
        (source.parent/'sub').mkdir()
        return source.parent/'sub'/'..'/source.name
    elif how == 'a link': other.symlink_to(source)
    else:
        other.with_stem('middle').symlink_to(source)
        other.symlink_to(other.with_stem('middle'))
    return other


def overwrite_jobs():
    jobs = []
    def add(command, name, build): jobs.append(Job(command, 'overwrite', name, build, ends, 120,
                                                   may_add=True))
    for how in ('the same', 'a link', 'a hard link', 'a link of a link', 'dots'):
        for command, more in ((command, more) for command in ('edit', 'encode', 'decode', 'generate')
                              for more in ([], ['--overwrite'])):
            def build(root, how=how, command=command, more=more):
                source = (good_latent if command == 'decode' else song)(root/'user', 'song.wav')
                begin = ['--seconds', 1, '--begin'] if command == 'generate' else []
                return [command, *begin, source, '-o', second_name(source, how), *more]
            add(command, f'input as result: {how} {" ".join(more)}', build)
    def own(root, *names, text='mine', folder='proj'):
        (root/'user'/folder).mkdir()
        for name in names: (root/'user'/folder/name).write_text(text)
        return root/'user'/folder
    def beside(root, *args): return song(root/'user') and good_latent(root/'user') and args
    def music(root): return copied('music', root/'user'/'music')
    def run(root, out, *more, music=None): return ['run', music or fixture('music'), '--quick', '--cache',
                                                   root/'home', '--out', out, '--max-clips', 0, *more]
    def linked(root):
        for name in ('report.html', 'map.html'):
            (copied('run', root/'out'/'run') if name[0] == 'r'
             else root/'out'/'run').joinpath(name).unlink(missing_ok=True)
            (root/'out'/'run'/name).symlink_to(root/'outside'/'secret.txt')
        return ['map', root/'out'/'run']
    def half(root):
        put(b'no archive')(own(root, folder='../home/celae')/'genres.tar.gz')
        return ['download', 'gtzan', '-o', own(root, 'diary.txt', folder='.gtzan.part').with_name('gtzan')]
    for command, name, build in (
            ('decode', 'the original beside the latent',
             lambda root: beside(root, 'decode', root/'user'/'song.celae')),
            ('decode', 'the same, --overwrite', lambda root: beside(root, 'decode', root/'user'/'song.celae',
                                                            '--overwrite')),
            ('decode', 'a folder of latents beside the originals',
             lambda root: beside(root, 'decode', root/'user')),
            ('decode', 'an existing file', lambda root: ['decode', fixture('good.celae'), '-o',
                                                         song(root/'user')]),
            ('decode', 'a folder of results', lambda root: song(root/'user', 'good.wav') and [
                'decode', fixture('good.celae'), '-o', root/'user']),
            ('encode', 'an existing file', lambda root: ['encode', fixture('song.flac'), '-o',
                                                         song(root/'user', 'letter.txt')]),
            ('encode', 'an existing latent', lambda root: ['encode', song(root/'user'), '-o',
                                                           good_latent(root/'user')]),
            ('encode', 'an existing latent beside the input',
             lambda root: beside(root, 'encode', root/'user'/'song.wav')),
            ('encode', '--resume over what is no latent',
             lambda root: put('my diary')(root/'user'/'song.celae') and [
                'encode', song(root/'user'), '--resume']),
            ('edit', 'an existing file', lambda root: ['edit', fixture('song.flac'), '-o',
                                                       song(root/'user')]),
            ('generate', 'an existing file', lambda root: ['generate', '--seconds', 1, '-o',
                                                           song(root/'user')]),
            ('export', 'existing networks',
             lambda root: ['export', '-o', own(root, 'encoder.onnx', 'decoder.onnx')]),
            ('export', 'a file', lambda root: ['export', '-o', song(root/'user')]),
            ('train', 'an existing model',
             lambda root: train_args(shutil.copytree(WEIGHTS/'autoencoder', root/'user'/'m'), 1)),
            ('train', 'a folder with history.csv and config.json', lambda root: train_args(
                own(root, 'history.csv', 'config.json'), 1)),
            ('train', 'the folder of the music', lambda root: train_args(music(root), 1, cache=root/'home')),
            ('run', 'a folder of the user', lambda root: run(root, own(root, 'thesis.txt'))),
            ('run', 'a file', lambda root: run(root, song(root/'user'))),
            ('run', '--resume in a folder of the user',
             lambda root: run(root, own(root, 'settings.json', text='{"a": 1}'),
                                                                         '--resume')),
            ('run', '--overwrite, the folder of the music', lambda root: run(
                root, root/'user'/'music', '--overwrite', music=music(root))),
            ('run', '--overwrite without music, a run', lambda root: run(
                root, copied('run', root/'user'/'run'), '--overwrite', music=root/'nowhere')),
            ('map', 'map.html is a link to a file of the user', linked),
            ('download', 'a hidden folder beside it', half), ('download', 'an existing folder',
                                                            lambda root: ['download', 'gtzan', '-o',
                                                            own(root, 'thesis.txt')]),
            ('prepare', 'a cache that is a file', lambda root: ['prepare', fixture('music'), '--cache',
                                                            song(root/'user')]),
            ('prepare', 'a cache in the folder of the music', lambda root: ['prepare', music(root), '--cache',
                                                                            root/'user'/'music']),
            ('clear', 'a cache that is a file', lambda root: ['clear', '--cache',
                                                            song(root/'user')])): add(command, name, build)
    for text in ('{"editor.fontSize": 12}', '{"folder": "x"}', '[]', '{', None):
        for where in (None, 'nowhere'):
            add('run', f'--overwrite, {where or "music"}, a folder with settings.json of {text}', lambda root,
                text=text, where=where: run(
                root, own(root, *(['settings.json'] if text else ['thesis.txt']), text=text or 'mine'),
                '--overwrite', music=where and root/where))
    return jobs + cache_jobs(own)


def cache_jobs(own):
    "Files of the user in a cache, and caches that are damaged."
    films = ['my-clips-2019.mp4', 'clips-of-the-sea.mov', 'clips-0123456789ab.mov',
             'clips-0123456789ab.npy.txt', 'xclips-0123456789ab.npy', 'clips-0123456789ab-holiday.npy',
             'clips-0123456789AB.npz', 'clips-short.npy']
    def strange(root, make):
        (cache := root/'user'/'cache').mkdir()
        make(cache)
        return ['clear', '--cache', cache]
    def folder(cache): (cache/'clips-0123456789ab').mkdir(), put('mine')(cache/'clips-0123456789ab'/'film.mov')
    jobs = [Job('clear', 'overwrite', word, build, ends) for word, build in {
        'films whose names look like clips': lambda root: ['clear', '--cache', own(root, *films)],
        'a folder called clips-': partial(strange, make=folder),
        'a link called clips-': partial(strange, make=lambda cache: (put('mine')(cache/'film.mov'), (
            cache/'clips-0123456789ab.mov').symlink_to(cache/'film.mov')))}.items()]
    def odd(root, make, command):
        if make: (root/'home'/'celae').mkdir(), make(root/'home'/'celae')
        else: put('x')(root/'home'/'celae')
        return [command]
    jobs += [Job(command, 'caches', word, partial(odd, make=make, command=command), ends) for word, make in {
        'a loop of links': lambda p: (p/'loop').symlink_to(p),
        'a pipe': lambda p: os.mkfifo(p/'clips-0123456789ab.npy'),
        'a link to nothing': lambda p: (p/'clips-0123456789ab.npy').symlink_to(p/'nowhere'),
        'a file in place of the folder': None}.items() for command in ('info', 'clear')]
    def each(how, tables=None):
        "Change sound (False), tables (True) or both (None) of a cache."
        def change(root):
            copied('prepared', root/'home'/'celae')
            for path in [f for f in (root/'home'/'celae').rglob('*') if f.is_file()]:
                if tables in (None, path.suffix == '.parquet'): how(path, root)
            return ['prepare', fixture('music')]
        return change
    def cut(path, root): path.write_bytes(path.read_bytes()[:100])
    def zeroed(path, root): path.write_bytes(path.read_bytes()[:128] + bytes(path.stat().st_size - 128))
    def gone(path, root): path.unlink()
    def pickled(path, root): path.write_bytes(hostile.evil_pickle(root/'outside'/'pwned'))
    def rebuilt(root, code, text):
        if code: return 'lost', 'fails for ever'
        clips = celae.data.load_clips(root/'user'/'music' if (root/'user'/'music').exists()
                                      else fixture('music'), root/'home'/'celae')
        return 'read' if all(x.any() for x in clips.batches(1)) else ('lost', 'clips of zeros are kept')
    jobs += [Job('prepare', 'caches', word, change, rebuilt) for word, change in {
        'sound of zeros': each(zeroed, False), 'sound cut': each(cut, False), 'sound gone': each(gone, False),
        'table cut': each(cut, True), 'table gone': each(gone, True), 'both cut': each(cut),
        'sound pickled': each(pickled, False)}.items()]
    def read_only(root):
        cache = copied('prepared', root/'home'/'celae')
        for path in [*cache.rglob('*'), cache]: path.chmod(0o555 if path.is_dir() else 0o444)
        return ['prepare', fixture('music')]
    return jobs + [Job('prepare', 'caches', 'whole and read-only', read_only, lambda root, code, text: (
        'lost' if code else 'read'), user=NOBODY)]


# ---- the tests ----

PARTS = dict(sound=sound_jobs, latents=latent_jobs, models=model_jobs, tables=table_jobs,
             arguments=argument_jobs, downloads=download_jobs, overwrite=overwrite_jobs,
             runs=run_jobs_of_strangers)


def summary(rows):
    "command -> class -> counts, and by verdict the kinds that did not hold."
    counts = defaultdict(lambda: defaultdict(Counter))
    failed = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for row in rows:
        counts[row['command']][row['group']].update(['tried', row['verdict']])
        if row['verdict'] in BAD: failed[row['command']][row['group']][row['verdict']].append(row['name'])
    return dict(tried=len(rows), **{v: sum(row['verdict'] == v for row in rows) for v in (*GOOD, *BAD)},
                unforeseen=sum('--debug' in row['said'] for row in rows),
                kinds=len({(row['group'], row['name']) for row in rows}), table=counts, failed=failed)


def few(jobs):
    "Some cases of each class, for the command that is most exposed to it."
    first = {}
    for job in jobs: first.setdefault(job.group, job.command)
    mine = defaultdict(list)
    for job in jobs:
        if job.command == first[job.group] and job.command not in SLOW: mine[job.group].append(job)
    return [job for group in mine.values() for job in group[::max(1, len(group) // 8)]]


@pytest.mark.parametrize('part', list(PARTS))
def test_nothing_is_lost_hangs_crashes_or_escapes(part, request):
    whole, only = request.config.getoption('--hostile'), request.config.getoption('--only')
    if part == 'runs' and not (whole or only): pytest.skip('a run takes minutes: --hostile')
    jobs = PARTS[part]()
    jobs = [job for job in jobs if re.search(only, job.id)] if only else jobs if whole else few(jobs)
    rows = list(run_jobs(jobs, os.cpu_count() or 1).values())
    if whole:
        known = RESULTS.with_suffix('.rows.json')
        rows_of = (json.loads(known.read_text()) if known.exists() else {}) | {part: rows}
        known.write_text(json.dumps(rows_of))
        found = json.loads(RESULTS.read_text()) | {'after': summary(sum(rows_of.values(), []))}
        RESULTS.write_text(json.dumps(found | dict(command='pytest tests/test_hostile.py --hostile'),
                                      indent=1) + '\n')
    assert not [row for row in rows if row['verdict'] not in GOOD]
