"""Every command of celae against every class of hostile input, and what comes of it.

    python bench/hostile_input.py after                  (an hour on two cores; root on Linux)
    PYTHONPATH=OLD python bench/hostile_input.py before  (the same cases put to another version)
    python bench/hostile_input.py try --only edit:arguments

Each case is a process of its own, forked from one that has imported everything, with a bound on memory and on
processor time (not on the clock: a busy machine is no hang). The user's files are looked at before and after.

read      the sound is there, all of it, or the command did what it should
named     the item is left out with a line that names it, and the rest is done
refused   the command ends with one line
ignored   passed over, as hidden files should be
lost      a file of the user changed or is gone, or an item, or a part, is missing or wrong without a word
hung      no end within the processor time, or no work for a while
crashed   a traceback, a signal, or no memory
escaped   something outside was read or written, a stranger's program ran, or words stand in a page unescaped
"""
import argparse
import base64
import encodings.utf_8_sig  # noqa: F401
import ftplib        # noqa: F401  these are imported late, where the user without rights may not read
import json
import os
import re
import resource
import shutil
import signal
import sys
import threading
import time
import traceback
import zipfile
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import gettempdir, mkdtemp

import filelock     # noqa: F401
import hostile
import numpy as np
import pandas as pd
import pooch        # noqa: F401
import pyarrow.parquet  # noqa: F401
import soundfile as sf
from common import RESULTS, machine
from hostile import SCRIPT, audio, flac, tone

import celae
import celae.corpora.published
import celae.evaluation  # noqa: F401  all that the commands import, once
import celae.corpora.builtin
import celae.playground
import celae.report
import celae.run
import celae.latent_files
from celae.cli import main

BAD = ('lost', 'hung', 'crashed', 'escaped')
GOOD = ('read', 'named', 'refused', 'ignored')
MEMORY = 3 << 30         # bytes beyond what is taken at the start
IDLE_SECS = 12           # without any work


@dataclass
class Job:
    command: str
    group: str               # class of input
    name: str                # kind of input
    build: callable          # makes what is needed in a folder; gives the arguments, or a function to call
    check: callable          # of (folder, exit code, what was said): a verdict
    cpu: int = 60            # seconds of processor time
    user: int = 0            # who does it
    facts: dict = field(default_factory=dict)


# ---- one case in a process of its own ----

def _child(job, root, work):
    "The forked process: limits, a folder, a log, and then the command."
    os.setsid()
    log = os.open(root/'log', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0), os.dup2(log, 1), os.dup2(log, 2)
    code = 70
    try:
        taken = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY,) * 2)
        os.environ |= dict(XDG_CACHE_HOME=str(root/'home'), HOME=str(root/'home'),
                           MPLCONFIGDIR=str(root/'home'), COLUMNS='200')
        os.chdir(root/'here')
        if job.user: os.setgid(job.user), os.setuid(job.user)
        if callable(work): code = work() or 0
        else:
            sys.argv = ['celae', *map(str, work)]
            main()
            code = 0
    except SystemExit as e:
        if isinstance(e.code, str): print(e.code, file=sys.stderr)
        code = e.code if isinstance(e.code, int) else 1 if e.code else 0
    except BaseException: traceback.print_exc()
    finally:
        try: sys.stdout.flush(), sys.stderr.flush()
        finally: os._exit(code & 255)


def _cpu_secs(pid):
    try: parts = Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
    except OSError: return None
    return sum(map(int, parts[11:15])) / os.sysconf('SC_CLK_TCK')


def snapshot(folder):
    "What is in a folder: kind, size, date and contents of each file."
    found = {}
    for top, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(top, name)
            info = os.lstat(path)
            what = os.readlink(path) if os.path.islink(path) else ''
            if os.path.isfile(path) and not what and info.st_size < 5_000_000: what = Path(path).read_bytes()
            found[os.path.relpath(path, folder)] = (info.st_mode,
                                                    info.st_size if os.path.isfile(path) else 0, what)
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
        work = job.build(self.root)
        self.before = {name: snapshot(self.root/name) for name in ('user', 'outside', 'here')}
        sys.stdout.flush(), sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid: _child(job, self.root, work)
        self.cpu, self.worked, self.started = 0., time.monotonic(), time.monotonic()

    def poll(self):
        "The verdict, if the case is over."
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid: return self.judge(status)
        cpu, now = _cpu_secs(self.pid), time.monotonic()
        if cpu is not None and cpu > self.cpu + .02: self.cpu, self.worked = cpu, now
        if self.cpu > self.job.cpu or now > self.worked + IDLE_SECS:
            self.hung = True
            os.killpg(self.pid, signal.SIGKILL)

    def judge(self, status):
        text = (self.root/'log').read_bytes().decode(errors='backslashreplace')
        code = os.waitstatus_to_exitcode(status)
        try: verdict, why = self.verdict(code, text)
        except Exception as e: verdict, why = 'broken', f'{type(e).__name__} {e}'      # of this program, not of celae
        lines = [line for line in text.strip().splitlines() if line.strip()]
        said = (lines[-1] if lines else '').replace(str(self.root), '...')[:240]
        os.chmod(self.root, 0o755)
        shutil.rmtree(self.root, ignore_errors=True)
        return dict(command=self.job.command, group=self.job.group, name=ascii(self.job.name)[1:-1][:80],
                    verdict=verdict, why=why, code=code, said=said,
                    secs=round(time.monotonic() - self.started, 1))

    def verdict(self, code, text):
        if any((self.root/name/'pwned').exists() for name in ('outside',
                                                              'here')): return 'escaped', 'a stranger\'s program ran'
        if self.hung: return 'hung', ''
        if code < 0: return 'crashed', signal.Signals(-code).name
        if 'Traceback (most recent call last)' in text: return 'crashed', 'traceback'
        if code and re.search(r"MemoryError|can't allocate memory|Cannot allocate|Unable to allocate",
                              text): return 'crashed', 'memory'
        for name in ('user', 'outside', 'here'):
            before, after = self.before[name], snapshot(self.root/name)
            gone = [path for path in before if after.get(path) != before[path]
                    and path not in self.job.facts.get('may_change', ())]
            new = [path for path in after if path not in before
                   and not self.job.facts.get('may_add', lambda path: False)(path)]
            if gone: return 'lost', f'{gone[0]} changed or gone'
            if new and not os.path.islink(self.root/name/new[0]): return 'escaped', f'{new[0]} written'
        if code and not re.search(r'^(celae: |Error: )', text, re.M): return 'crashed', 'ended without a word'
        verdict = self.job.check(self.root, code, text)
        return verdict if isinstance(verdict, tuple) else (verdict, '')


def run_jobs(jobs, workers):
    "Do all cases, some at a time."
    todo, running, rows, shown = list(reversed(jobs)), [], [], time.monotonic()
    while todo or running:
        while todo and len(running) < workers:
            job = todo.pop()
            try: running.append(Running(job))
            except Exception as e: rows.append(dict(command=job.command, group=job.group,
                                                  name=ascii(job.name)[1:-1][:80], verdict='not made',
                                                  why=str(e), code=0, said='', secs=0))
        time.sleep(.02)
        for one in list(running):
            row = one.poll()
            if row:
                running.remove(one)
                rows.append(row)
                if row['verdict'] not in GOOD: print(*[row[k]
                                                       for k in ('verdict', 'command', 'group', 'name',
                                                                 'why', 'said')], sep=' | ', flush=True)
        if time.monotonic() > shown + 60:
            shown = time.monotonic()
            print(f'--- {len(rows)} of {len(jobs)} done: {dict(Counter(row["verdict"] for row in rows))}',
                  flush=True)
    return rows


# ---- what was said, and what came out ----

def named(text, name):
    "Does a line name this file? Names that cannot be printed may be written in any usual way."
    name = name.rstrip('/')
    plain = {name, name.split('/')[-1], name.split('/')[0] if '/' in name else name}
    ways = {way for n in plain for way in (n, ascii(n)[1:-1], repr(n)[1:-1],
                                           os.fsencode(n).decode(errors='backslashreplace'),
                                           os.fsencode(n).decode(errors='replace'),
                                           n.encode(errors='replace').decode(), n.replace('\n', ' '),
                                           n.replace('\n', '?'))}
    if any(way and way in text for way in ways): return True
    squeezed = ''.join(re.findall(r'[A-Za-z0-9]', name))
    return len(squeezed) > 8 and squeezed[:20] in ''.join(re.findall(r'[A-Za-z0-9]', text))


def ends(code, text): return 'read' if code == 0 else 'refused'


def writes(name):
    "A check: refused, or a file is written."
    def check(root, code, text):
        return 'refused' if code else 'read' if (root/'out'/name).exists() else ('lost', 'nothing written')
    return check


def sound_of(path):
    "Is a written sound a sound? `None`, or what is wrong."
    wav, rate = sf.read(path, always_2d=True)
    if not np.isfinite(wav).all(): return 'not a number in the sound'
    if len(wav) and (abs(wav) > .9).mean() > .5: return 'full scale all the time'
    if len(wav) > 100 and abs(wav).max() > .3 and abs(np.diff(wav, axis=0)).max() < 1e-4: return 'constant'


def latent_secs(path):
    facts, tensors = hostile.unpack_latent(path.read_bytes())
    for x in tensors.values():
        if not np.isfinite(x.astype(np.float64)).all(): raise ValueError('not a number in the latent')
    return facts['n_samples'] / facts.get('sr', 22_050)


def compared(found, wanted, text, name, most=None):
    "Verdict on the seconds found where `wanted` are there."
    if wanted is None: return 'read' if found else 'named' if named(text, name) else ('lost', 'not a word')
    if abs(found - wanted) < .2: return 'read'
    if found > wanted: return ('lost', f'{found:.1f} s of {wanted:.1f}')
    return 'named' if named(text, name) else ('lost', f'{found:.1f} s of {wanted:.1f}')


# ---- sound files ----

def audio_job(command, case):
    folder = case.group in ('links and folders', 'hidden')
    user = 65_534 if 'closed' in case.name else 0

    def build(root):
        music = root/'user'/'music'
        music.mkdir()
        (music/'good.flac').write_bytes(flac())
        path = case.at(music)
        if not user: (music/'x').mkdir()
        if command == 'encode': return ['encode', music, '--out', root/'out']
        if command == 'prepare': return ['prepare', music, '--cache', root/'out']
        if command == 'edit': return ['edit', '--gain', '1.1', '-o', root/'out'/'e.wav', '--', path]
        if command == 'generate': return ['generate', '--begin', path, '--seconds', '1', '-o',
                                          root/'out'/'e.wav']
        if command == 'decode': return ['decode', '-o', root/'out'/'e.wav', '--', path]

    def check(root, code, text):
        out, found = root/'out', 0.
        if command in ('edit', 'generate', 'decode'):
            if code and command != 'decode' and case.group == 'rare but right': return 'lost', 'a right file is refused'
            if code: return 'refused'
            if command == 'decode': return 'lost', 'no latent file, and no word'
            wrong = sound_of(out/'e.wav')
            if wrong: return 'lost', wrong
            return compared(sf.info(out/'e.wav').duration - (command == 'generate'),
                            min(case.secs, 60) if case.secs and command == 'generate' else case.secs, text,
                            case.name)
        if command == 'encode':
            files = [f for f in out.rglob('*.celae')]
            good = [f for f in files if f.name == 'good.celae']
            found = sum(latent_secs(f) for f in files if f not in good)
            wanted = case.secs
        else:
            tables = [pd.read_parquet(f) for f in out.rglob('*.parquet')]
            table = tables[0][tables[0].left_out == ''] if tables else pd.DataFrame(dict(track=[],
                    n_samples=[]))
            good = (table.track == 'good.flac').any()
            found = table.n_samples[table.track != 'good.flac'].sum() / 22_050
            wanted = case.secs
            if wanted: wanted = wanted // 5 * 5 + (wanted % 5 if wanted % 5 >= 2.5 else 0)
            if case.name == 'three hours.wav': wanted = 10.      # the tone ends in the second clip
        if not good or code: return 'lost', 'one item stops the rest'
        if case.group == 'hidden' and found: return 'lost', 'a hidden file is used'
        if case.quiet and not found: return 'ignored'
        return compared(found, wanted, text, case.name)
    return Job(command, f'sound: {case.group}', case.name, build, check, user=user, facts=dict(folder=folder))


def audio_jobs():
    cases, jobs = hostile.audio_cases(), []
    for case in cases:
        if case.name == 'three hours.wav': jobs.append(audio_job('prepare', case)); continue
        jobs += [audio_job(command, case) for command in ('encode', 'prepare', 'edit')]
        if case.group in ('no sound', 'cut and damaged', 'header lies', 'joined', 'bombs',
                          'samples'): jobs.append(audio_job('generate', case))
        if case.group in ('no sound', 'links and folders'): jobs.append(audio_job('decode', case))
    for group in sorted({case.group for case in cases}):
        def build(root, group=group):
            music = root/'user'/'music'
            shutil.copytree(FIX/'music', music)
            for case in cases:
                if case.group == group and not re.search('closed|three hours', case.name): case.at(music)
            return ['train', music, '--cache', root/'home', '--out', root/'out'/'m', '--steps', '1',
                    '--max-clips', '40']
        jobs.append(Job('train', f'sound: {group}', 'all of the class in one folder', build,
                        lambda root, code, text: 'read' if code == 0
                        else ('lost', 'refused for some bad files'), 120))
    def all_names(root):
        music = root/'user'/'music'
        shutil.copytree(FIX/'music', music)
        for case in cases:
            if case.group in ('names', 'samples', 'no sound', 'endings'): case.at(music)
        return ['run', music, '--quick', '--out', root/'out'/'run', '--cache', root/'home']
    def reported(root, code, text):
        if code: return 'lost', 'refused for some bad files'
        page = (root/'out'/'run'/'report.html').read_text()
        return ('escaped',
                'a name stands in the report unescaped') if '<script>alert' in page or '<img src=x' in page or '<b>bold' in page else 'read'
    jobs.append(Job('run', 'sound: names', 'all names and samples in one folder', all_names, reported, 500))
    return jobs


# ---- latents ----

def latent_jobs():
    jobs = []
    for case in hostile.latent_cases((FIX/'good.celae').read_bytes()):
        def build_decode(root, case=case):
            folder = root/'user'/'latents'
            folder.mkdir()
            shutil.copy(FIX/'good.celae', folder/'a good one.celae')
            path = case.at(folder)
            return ['decode', folder/'a good one.celae', path, '-o', root/'out']
        def check_decode(root, code, text, case=case):
            good, bad = root/'out'/'a good one.wav', (root/'out'/case.name).with_suffix('.wav')
            if not good.exists(): return 'lost', 'the good file beside it is not done'
            if not bad.exists(): return 'named' if named(text, case.name) else ('lost', 'not a word')
            wrong = sound_of(bad)
            return ('lost', wrong) if wrong else 'read'
        def build_resume(root, case=case):
            music = root/'user'/'music'
            music.mkdir()
            (music/case.name).with_suffix('.flac').write_bytes(flac())
            os.utime((music/case.name).with_suffix('.flac'), (1e9, 1e9))
            case.at(root/'out')
            return ['encode', music, '--out', root/'out', '--resume']
        def check_resume(root, code, text, case=case):
            if code: return 'refused'
            try: secs = latent_secs(root/'out'/case.name)
            except Exception: return 'named' if named(text, case.name) else ('lost', 'left as it was, without a word')
            return 'read' if abs(secs - 6) < .1 else ('lost', 'taken for done')
        jobs.append(Job('decode', 'latents', case.name, build_decode, check_decode))
        jobs.append(Job('encode', 'latents', case.name, build_resume, check_resume))
    settings = json.loads((FIX/'saved'/'settings.json').read_text())
    inner = settings['settings']
    odd = {'null': None, 'list': [], 'number': 3} | {f'settings {k}': settings | dict(settings=v) for k,
                                                     v in dict(null=None, list=[1], empty={},
                                                               text='x').items()}
    odd |= {f'axes {k}': settings | dict(axes=v) for k, v in {'null': None, 'text': 'x', 'empty': [],
                                                              'numbers': [1, 2],
                                                              'nan': [[float('nan')] * 48] * 3,
                                                              'ragged': [[1], [1, 2]]}.items()}
    odd |= {f'{key} {word}': settings | dict(settings=inner | {key: value})
            for key in ('gain', 'noise', 'smooth', 'shuffle', 'freeze', 'weight', 'transpose', 'axis 1')
            if key in inner
            for word, value in {'null': None, 'text': 'x', 'nan': float('nan'), 'infinite': float('inf'),
                                'huge': 1e38, '10^12': 10**12, '-1': -1, 'list': [1]}.items()}
    odd |= {'one slider more': settings | dict(settings=inner | {'__class__': 1}),
            'one slider less': settings | dict(settings={k: v for k, v in inner.items() if k != 'gain'})}
    def saved(name, change):
        def build(root):
            shutil.copytree(FIX/'saved', root/'user'/'saved')
            change(root/'user'/'saved')
            return ['edit', root/'user'/'saved', '-o', root/'out'/'e.wav']
        def check(root, code, text):
            if code: return 'refused'
            wrong = sound_of(root/'out'/'e.wav')
            return ('lost', wrong) if wrong else 'read'
        return Job('edit', 'saved sounds', name, build, check)
    jobs += [saved(name, lambda folder, value=value: (folder/'settings.json').write_text(json.dumps(value)))
             for name, value in odd.items()]
    for name, what in dict(empty=b'', binary=b'\xff\x00', cut=b'{').items(): jobs.append(saved(name,
            lambda folder, what=what: (folder/'settings.json').write_bytes(what)))
    def pipe(folder):
        (folder/'settings.json').unlink()
        os.mkfifo(folder/'settings.json')
    jobs.append(saved('settings a pipe', pipe))
    for case in hostile.latent_cases((FIX/'saved'/'clip.celae').read_bytes()):
        if re.search(r'n_samples|^z|scale|level', case.name):
            def other(folder, case=case):
                (folder/'clip.celae').unlink()
                case.make(folder/'clip.celae')
            jobs.append(saved(f'clip: {case.name}', other))
    return jobs


# ---- models ----

def model_jobs():
    jobs, weights = [], Path(celae.__file__).parent/'weights'
    def job(command, name, make, good, args, check):
        def build(root):
            make(root/'user'/'model', good, root/'outside'/'pwned')
            music = root/'user'/'music'
            music.mkdir()
            (music/'song.flac').write_bytes(flac())
            return args(root, root/'user'/'model', music/'song.flac')
        return Job(command, 'models', name, build, check, 90)
    def sound(root, code, text):
        if code: return 'refused'
        wrong = sound_of(root/'out'/'e.wav')
        return ('lost', wrong) if wrong else 'read'
    def latent(root, code, text):
        if code: return 'refused'
        try: return 'read' if abs(latent_secs(root/'out'/'e.celae') - 6) < .1 else ('lost', 'cut')
        except ValueError as e: return 'lost', str(e)
    network, trained = writes('onnx/encoder.onnx'), writes('m/model.safetensors')
    for name, make in hostile.model_cases().items():
        base, prior = weights/'autoencoder', weights/'prior-builtin'
        jobs += [job('encode', name, make, base, lambda root, model, song: ['encode', song, '--model', model,
                '-o', root/'out'/'e.celae'], latent),
                 job('decode', name, make, base, lambda root, model, song: ['decode', FIX/'good.celae',
                         '--model', model, '-o', root/'out'/'e.wav'], sound),
                 job('edit', name, make, base, lambda root, model, song: ['edit', song, '--model', model,
                         '-o', root/'out'/'e.wav'], sound),
                 job('generate', name, make, prior, lambda root, model, song: ['generate', '--seconds', '1',
                         '--prior', model, '-o', root/'out'/'e.wav'], sound),
                 job('export', name, make, base, lambda root, model, song: ['export', '--model', model, '-o',
                         root/'out'/'onnx'], network),
                 job('train', name, make, base, lambda root, model, song: ['train', FIX/'music', '--from',
                         model, '--cache', FIX/'cache', '--out', root/'out'/'m', '--steps', '1',
                         '--max-clips', '20'], trained)]
    def torch_pickle(path, trace): path.write_bytes(hostile.evil_pickle(trace))
    def checkpoint(name, write):
        def build(root):
            shutil.copytree(FIX/'half trained', root/'out'/'m')
            write(root/'out'/'m'/'checkpoint.pt', root/'outside'/'pwned')
            return ['train', FIX/'music', '--cache', FIX/'cache', '--out', root/'out'/'m', '--steps', '4',
                    '--max-clips', '20', '--resume']
        return Job('train', 'models', f'checkpoint {name}', build, trained, 120)
    import torch
    def saved(change):
        def write(path, trace):
            state = torch.load(path, weights_only=True)
            torch.save(change(state) or state, path)
        return write
    def packed_checkpoint(path, trace):
        "Zeros of 400 MB in 2 MB."
        torch.save(dict(model={}, best=torch.zeros(10**8)), path.with_name('big'))
        with zipfile.ZipFile(path.with_name('big')) as old, zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as new:
            for info in old.infolist():
                with old.open(info) as source, new.open(info.filename, 'w', force_zip64=True) as target: shutil.copyfileobj(source, target, 1 << 20)
        path.with_name('big').unlink()
    cases = {'a pickle': torch_pickle, 'empty': lambda path, trace: path.write_bytes(b''),
             'text': lambda path, trace: path.write_bytes(b'words'),
             'cut': lambda path, trace: path.write_bytes(path.read_bytes()[:5000]),
             'a number': saved(lambda state: 3),
             'without weights': saved(lambda state: state.pop('model') and None),
             'without optimizer': saved(lambda state: state.pop('optimizer') and None),
             'step null': saved(lambda state: state.update(step=None)),
             'step huge': saved(lambda state: state.update(step=10**12)),
             'history text': saved(lambda state: state.update(history='x')),
             'history of numbers': saved(lambda state: state.update(history=[1, 2])),
             'best empty': saved(lambda state: state.update(best={})),
             'optimizer empty': saved(lambda state: state.update(optimizer={})),
             'weights nan': saved(lambda state: state['model'].update({k: v * float('nan') for k, v in state['model'].items() if v.is_floating_point()})),
             'an empty dict': saved(lambda state: {'x': 1}),
             'packed': packed_checkpoint,
             'of another model': saved(lambda state: state.update(model={'x': torch.zeros(3)}))}
    return jobs + [checkpoint(*item) for item in cases.items()]


# ---- runs ----

def run_jobs_of_strangers():
    jobs, only_report = [], re.compile(r'run\.json|sounds|quality|figures|generation|report|track-axes')
    for name, change in hostile.run_cases().items():
        def build(root, command, change=change, name=name):
            run = root/'out'/'run'
            shutil.copytree(FIX/'run', run, symlinks=True, ignore=shutil.ignore_patterns('checkpoint.pt'))
            for page in run.glob('*.html'): page.unlink()
            change(run, root/'outside'/'secret.txt', root/'outside'/'pwned')
            if command == 'analyze' and only_report.search(name):
                def work():
                    try: print(celae.report.write_report(run))
                    except (ValueError, OSError) as e:         # as main does
                        print(f'celae: {e}')
                        return 1
                return work
            return [command, run] if command != 'run' else ['run', FIX/'music', '--quick', '--out', run,
                                                            '--cache', FIX/'cache', '--resume']
        def check(root, code, text, name=name):
            for page in root.glob('out/run/*.html'):
                if page.is_symlink(): continue
                text = page.read_text(errors='replace')
                if SCRIPT in text or SCRIPT[:28] in text: return 'escaped', f'a script in {page.name}'
                hidden = [base64.b64encode(Path(f).read_bytes()).decode()
                          for f in (root/'outside'/'secret.txt', '/etc/hostname')]
                if any(secret in text
                       for secret in hidden): return 'escaped', f'a file of the user in {page.name}'
                if page.name == 'map.html' and re.search(r':\s*(-?Infinity|NaN)\b',
                                                         text): return 'lost', 'the map holds invalid JSON'
                if page.name == 'map.html' and code == 0 and name == 'clips: paths outside':
                    return 'escaped', 'sound outside of the music is in the map'
            return ends(code, text)
        for command in ('analyze', 'map', 'run'):
            resumed = re.match(r'settings|latents of|latents cut|clips no|clips: (text|a )|autoencoder|sounds absolute', name)
            if command == 'run' and not resumed: continue
            if command == 'map' and re.search(r'run\.json|sounds|quality|figures|report-', name): continue
            jobs.append(Job(command, 'runs of strangers', name,
                            lambda root, build=build, command=command: build(root, command), check,
                            300 if command == 'run' else 150))
    for name, make in {'nothing': lambda p: None, 'a file': lambda p: p.write_text('x'),
                       'an empty folder': lambda p: p.mkdir(), 'a pipe': os.mkfifo,
                       'linked to itself': lambda p: p.symlink_to(p)}.items():
        for command in ('analyze', 'map'):
            jobs.append(Job(command, 'runs of strangers', f'run is {name}',
                            lambda root, make=make, command=command: (make(root/'out'/'run'),
                                                                      [command, root/'out'/'run'])[1],
                                                                      lambda root, code, text: 'refused'
                                                                      if code else ('lost',
                                                                              'no run, and no word')))
    return jobs


# ---- tables, arguments, archives, servers ----

def table_jobs():
    tracks, jobs = sorted(f.relative_to(FIX/'music').as_posix() for f in (FIX/'music').rglob('*.flac')), []
    for kind, word, data in hostile.table_cases(tracks):
        def build(root, kind=kind, data=data):
            music = root/'user'/'music'
            shutil.copytree(FIX/'music', music, ignore=shutil.ignore_patterns('*.csv'))
            hostile.put_table(music/kind, data)
            return ['prepare', music, '--cache', root/'out']
        def check(root, code, text):
            if code: return 'refused'
            table = pd.concat([pd.read_parquet(f) for f in (root/'out').rglob('*.parquet')])
            if table.duplicated(['path', 'start']).any(): return 'lost', 'clips are doubled'
            if not table.path.str.startswith(str(root)).all(): return 'escaped', 'a path of the table is read'
            return 'read'
        jobs.append(Job('prepare', f'tables: {kind}', word, build, check))
        if word in ('infinite', 'doubled', 'binary', 'right', 'twice and different', 'own columns', 'a pipe',
                    'scripts'):
            def build_train(root, kind=kind, data=data): return ['train', *build(root, kind, data)[1:2],
                                                                 '--cache', root/'home', '--out',
                                                                 root/'out'/'m', '--steps', '1']
            jobs.append(Job('train', f'tables: {kind}', word, build_train,
                            lambda root, code, text: ends(code, text), 120))
    return jobs


def argument_jobs():
    jobs = []
    def song(root):
        path = root/'user'/'song.flac'
        path.write_bytes(flac())
        return path
    def sound(root, code, text):
        if code: return 'refused'
        files = [f for f in (root/'out').iterdir() if f.is_file()]
        if not files: return 'lost', 'nothing written'
        wrong = sound_of(files[0])
        return ('lost', wrong) if wrong else 'read'
    def add(command, args, build, check=sound, cpu=60): jobs.append(Job(command, 'arguments',
            ' '.join(map(str, args))[:60], build, check, cpu))
    big, huge = 10**9, 10**30
    for option, values in {'--gain': ('nan', 'inf', '-inf', '1e38', '-1e38', '1e300', 'x', ''),
                           '--noise': ('inf', 'nan', '1e38', '-1'), '--smooth': (big, huge, -1),
                           '--shuffle': (big, huge, -1),
                           '--freeze': (big, huge, -2), '--freeze-loop': (big, -1), '--mask': (big, huge, -1),
                           '--transpose': (84, -200, big, huge), '--seed': (-1, 2**40, 2**70, huge),
                           '--model': ('', '..', '/', 'nothing', '/dev/null')}.items():
        for value in values: add('edit', [option, value], lambda root, option=option, value=value: ['edit',
                song(root), f'{option}={value}', '-o', root/'out'/'e.wav'])
    for end in ('e', 'e.exe', 'e.wav/', 'sub/../e.m4a', 'n' * 300 + '.wav', '.wav', 'a/b/c.wav', 'e.wav\n',
                'é' * 125 + '.wav'):
        add('edit', ['-o', end], lambda root, end=end: ['edit', song(root), '-o', f'{root}/out/{end}'],
            lambda root, code, text: ends(code, text))
    add('edit', ['-o', 'under a file'], lambda root: ['edit', song(root), '-o',
                                                      root/'user'/'song.flac'/'e.wav'],
                                                      lambda root, code, text: ends(code, text))
    for rate in (0, -1, 1, 999, 7999, 1_000_000, 10**9, 10**12):
        for ending in ('wav', 'flac', 'ogg', 'opus', 'mp3'):
            add('decode', ['--rate', rate, ending], lambda root, rate=rate, ending=ending: ['decode',
                    FIX/'good.celae', f'--rate={rate}', '-o', root/'out'/f'e.{ending}'])
    for part in ('0/0', '3/2', '1/0', '-1/2', 'x', '', '1/' + '9' * 30, '1/2/3'):
        add('encode', ['--part', part], lambda root, part=part: ['encode', song(root), f'--part={part}',
                                                                 '-o', root/'out'/'e.celae'],
                                                                 lambda root, code, text: ends(code, text))
    for option, values in {'--seconds': ('inf', 'nan', '0', '-1', '1e9', '1e300'),
                           '--strength': ('nan', '2', '-1'), '--seed': (-1, 2**70),
                           '--style': ('', SCRIPT, 'nothing'), '--prior': ('', 'autoencoder', '..'),
                           '--model': ('', 'base', 'quarter')}.items():
        for value in values: add('generate', [option, value],
                                 lambda root, option=option, value=value: ['generate',
                                         *([] if option == '--seconds' else ['--seconds', '1']),
                                         *(['--begin', song(root)] if option == '--strength' else []),
                                         f'{option}={value}', '-o', root/'out'/'e.wav'])
    trained = writes('m/model.safetensors')
    for option, values in {'--steps': (-1, 0, 'x'), '--max-clips': (0, 1, 2, -1, huge),
                           '--latent-size': (0, -1, 10**12, 7), '--model': ('x', '', 'base'),
                           '--device': ('cuda', 'mps', 'x', ''), '--seed': (-1, 2**70),
                           '--devices': (0, 1000), '--num-nodes': (0,)}.items():
        for value in values: add('train', [option, value], lambda root, option=option, value=value: ['train',
                FIX/'music', '--cache', root/'home', '--out', root/'out'/'m',
                *([] if option == '--steps' else ['--steps', '1']), f'{option}={value}'], trained, 90)
    for option, values in {'--max-clips': (0, 1, -1, huge), '--seed': (-1, 2**70)}.items():
        for value in values: add('prepare', [option, value],
                                 lambda root, option=option, value=value: ['prepare', FIX/'music', '--cache',
                                         root/'out', f'{option}={value}'],
                                         lambda root, code, text: ends(code, text))
    reported = writes('run/report.html')
    for option, values in {'--max-clips': (0, 1, -1), '--steps': (-1,), '--device': ('cuda', 'x'),
                           '--seed': (-1,)}.items():
        for value in values: add('run', [option, value], lambda root, option=option, value=value: ['run',
                FIX/'music', '--quick', '--cache', FIX/'cache', '--out', root/'out'/'run',
                f'{option}={value}'], reported, 150)
    for command in ('encode', 'decode', 'edit', 'prepare', 'train', 'run', 'analyze', 'map', 'generate',
                    'export', 'clear', 'download'):
        for word, value in {'a NUL': 'a\x00b', 'not there': '/nowhere/at/all', 'empty': '',
                            'too long': '/x' + 'y' * 5000}.items():
            extra = dict(edit=['-o', 'e.wav'], generate=['--begin'], export=['-o'], clear=['--cache'],
                         run=['--quick']).get(command, [])
            if command == 'export' and word in ('not there', 'empty'): continue       # a new folder, and this one
            args = [command, '-o', 'e.wav', '--begin', value] if command == 'generate' else [command, *extra,
                    value]
            jobs.append(Job(command, 'arguments', f'a path {word}', lambda root, args=args: args,
                            lambda root, code, text, command=command: 'refused' if code else 'read'
                            if command == 'clear' else ('lost', 'no word'), 200,
                            facts=dict(may_add=lambda path: True)))
    return jobs


def download_jobs():
    jobs, made = [], hostile.archive_cases()
    def outside(root):
        places = [root/'escaped', root/'out'/'escaped', Path('/tmp/celae-escaped')]
        found = [p for p in places if p.exists()]
        for p in found: shutil.rmtree(p)
        return found
    for name, data in made.items():
        def build(root, data=data):
            (root/'home'/'celae').mkdir()
            (root/'home'/'celae'/'genres.tar.gz').write_bytes(data)
            return ['download', 'gtzan', '-o', root/'out'/'deep'/'gtzan']
        def check(root, code, text):
            if outside(root): return 'escaped', 'a member outside'
            links = [f for f in (root/'out').rglob('*') if f.is_symlink()]
            return ('escaped', 'a link was unpacked') if links else ends(code, text)
        jobs.append(Job('download', 'archives', f'gtzan {name}', build, check, 120))
    for name, (genre, member) in hostile.fma_cases().items():
        def build(root, genre=genre, member=member):
            (root/'home'/'celae').mkdir()
            for file, data in zip(('fma_metadata.zip', 'fma_small.zip'),
                                  hostile.fma_archives(genre,
                                                       member)): (root/'home'/'celae'/file).write_bytes(data)
            return ['download', 'fma-small', '-o', root/'out'/'deep'/'er'/'fma']
        def check(root, code, text):
            folder = root/'out'/'deep'/'er'/'fma'
            files = [f for f in root.rglob('*.mp3') if folder not in f.parents and '.fma.part' not in str(f)]
            if outside(root) or files: return 'escaped', 'a file outside'
            hidden = [f for f in folder.rglob('*') if f.name.startswith('.')]
            return ('lost',
                    'music in hidden folders, which is not found again') if hidden and code == 0 else ends(code, text)
        jobs.append(Job('download', 'archives', f'fma {name}', build, check, 90))
    return jobs + server_jobs()


class Server(BaseHTTPRequestHandler):
    "What a server on the way may do."
    def log_message(self, *args): pass
    def do_GET(self):
        try: getattr(self, self.path.strip('/').split('/')[0])()
        except (BrokenPipeError, ConnectionResetError): pass

    def _start(self, code=200, **headers):
        self.send_response(code)
        for key, value in headers.items(): self.send_header(key.replace('_', '-'), value)
        self.end_headers()

    def endless(self):
        self._start()
        while True: self.wfile.write(bytes(1 << 20))

    def claims(self):
        self._start(Content_Length=str(10**15))
        while True: self.wfile.write(bytes(1 << 20))

    def stalled(self):
        self._start(Content_Length='100000')
        self.wfile.write(bytes(100))
        time.sleep(3600)

    def silent(self): time.sleep(3600)

    def drips(self):
        self._start(Content_Length='100000')
        while True:
            self.wfile.write(b'x')
            time.sleep(.5)

    def circle(self): self._start(302, Location='/circle')
    def away(self): self._start(302, Location='file:///etc/hostname')
    def gone(self): self._start(404)
    def short(self):
        self._start(Content_Length='1000')
        self.wfile.write(bytes(10))

    def length(self):
        self._start(Content_Length='-5')
        self.wfile.write(b'x' * 50)

    def digits(self): self._start(Content_Length='9' * 6000)
    def brackets(self): self._start(302, Location='http://[::1')
    def ended(self): self._start(416)
    def page(self):
        self._start(Content_Length='20', Content_Type='text/html')
        self.wfile.write(b'<html>moved</html>!!')

    def packed(self):
        import gzip
        self._start(Content_Encoding='gzip')
        self.wfile.write(gzip.compress(bytes(10**8)))

    def part(self):
        self._start(206, Content_Range='bytes 0-9/1000', Content_Length='10')
        self.wfile.write(bytes(10))

    def good(self):
        self._start(Content_Length='6')
        self.wfile.write(b'PK\5\6ok')

    def whole(self):
        self._start(Content_Length='50')
        self.wfile.write(b'x' * 50)


def server_jobs():
    "Servers that never end or never answer."
    jobs = []
    for path in ('endless', 'claims', 'stalled', 'silent', 'drips', 'circle', 'away', 'gone', 'short',
                 'length', 'whole', 'digits', 'brackets', 'ended', 'page', 'packed', 'part'):
        def build(root, path=path):
            def work():
                server = ThreadingHTTPServer(('127.0.0.1', 0), Server)
                server.daemon_threads = True
                threading.Thread(target=server.serve_forever, daemon=True).start()
                resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 30,
                                                           ) * 2)    # enough to call it endless
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                end = time.monotonic() + 100    # of work, so that waiting is not taken for a hang
                def busy():
                    while time.monotonic() < end: sum(range(300_000)), time.sleep(.2)
                threading.Thread(target=busy, daemon=True).start()
                def check(file):
                    if file.read_bytes()[:2] != b'PK': raise ValueError('sent no archive')
                sources = [f'http://127.0.0.1:{server.server_port}/{name}/a.zip' for name in (path, 'good')]
                try: print(celae.corpora.published.fetch(sources, root/'out'/'a.zip', tries=1, check=check))
                except (ValueError, OSError) as e:
                    print(f'celae: {e}')
                    return 1
            return work
        def check(root, code, text, path=path):
            if 'File too large' in text: return 'hung', 'took 2 GB of an endless server'
            if code: return 'lost', 'the next source is not asked'
            if path == 'away' and any(Path('/etc/hostname').read_bytes() == f.read_bytes()
                                      for f in (root/'out').iterdir()): return 'escaped', 'a local file was fetched'
            return ends(code, text)
        jobs.append(Job('download', 'servers', path, build, check, 200))
    return jobs


# ---- overwriting, clearing ----

def overwrite_jobs():
    jobs = []
    def song(folder, name='song.wav'):
        (folder/name).write_bytes(audio(channels=2))
        return folder/name
    def latent(folder, name='song.celae'):
        shutil.copy(FIX/'good.celae', folder/name)
        return folder/name
    def checked(root, code, text): return 'refused' if code else 'read'
    def add(command, name, build, may_add=lambda path: True, may_change=()): jobs.append(Job(command,
            'overwrite', name, build, checked, 120, facts=dict(may_add=may_add, may_change=may_change)))
    def named_twice(root, command, source, how, *more):
        "The same file under a second name, as the place of the result."
        folder = root/'user'
        other = folder/f'other{source.suffix}'
        if how == 'a link': other.symlink_to(source)
        elif how == 'a hard link': os.link(source, other)
        elif how == 'a link of a link':
            middle = folder/f'middle{source.suffix}'
            middle.symlink_to(source)
            other.symlink_to(middle)
        elif how == 'dots': (folder/'sub').mkdir(), (other := folder/'sub'/'..'/source.name)
        else: other = source
        return [command, source, '-o', other, *more]
    for how in ('the same', 'a link', 'a hard link', 'a link of a link', 'dots'):
        for more in ((), ('--overwrite',)):
            word = f'input as result: {how} {" ".join(more)}'
            add('edit', word, lambda root, how=how, more=more: named_twice(root, 'edit', song(root/'user'),
                    how, *more))
            add('encode', word, lambda root, how=how, more=more: named_twice(root, 'encode',
                    song(root/'user'), how, *more))
            add('decode', word, lambda root, how=how, more=more: named_twice(root, 'decode',
                    latent(root/'user', 'song.wav'), how, *more))
            add('generate', word, lambda root, how=how, more=more: ['generate', '--seconds', '1', '--begin',
                                                                    *named_twice(root, 'x',
                                                                            song(root/'user'), how,
                                                                                    *more)[1:]])
    add('decode', 'the original beside the latent', lambda root: (song(root/'user'),
                                                                  ['decode', latent(root/'user')])[1])
    add('decode', 'the original beside the latent, --overwrite',
        lambda root: (song(root/'user'), ['decode', latent(root/'user'), '--overwrite'])[1])
    add('decode', 'a folder of latents beside the originals',
        lambda root: (song(root/'user'), latent(root/'user'), ['decode', root/'user'])[2])
    add('decode', 'an existing file', lambda root: ['decode', FIX/'good.celae', '-o', song(root/'user')])
    add('decode', 'a folder of results', lambda root: (song(root/'user', 'good.wav'),
                                                       ['decode', FIX/'good.celae', '-o', root/'user'])[1])
    add('encode', 'an existing file', lambda root: ['encode', FIX/'song.flac', '-o',
                                                    song(root/'user', 'letter.txt')])
    add('encode', 'an existing latent', lambda root: ['encode', song(root/'user'), '-o', latent(root/'user')])
    add('encode', 'an existing latent beside the input', lambda root: (latent(root/'user'),
            ['encode', song(root/'user')])[1])
    add('encode', '--resume over what is no latent',
        lambda root: ((root/'user'/'song.celae').write_text('my diary'),
                      ['encode', song(root/'user'), '--resume'])[1])
    add('edit', 'an existing file', lambda root: ['edit', FIX/'song.flac', '-o', song(root/'user')])
    add('edit', 'a saved sound over its own', lambda root: (shutil.copytree(FIX/'saved',
            root/'user'/'saved'), ['edit', root/'user'/'saved', '-o', root/'user'/'saved'/'edited.wav'])[1])
    add('generate', 'an existing file', lambda root: ['generate', '--seconds', '1', '-o', song(root/'user')])
    add('export', 'existing networks', lambda root: ([(root/'user'/f'{name}.onnx').write_text('mine')
                                                      for name in ('encoder', 'decoder')],
                                                      ['export', '-o', root/'user'])[1])
    add('export', 'a file', lambda root: ['export', '-o', song(root/'user')])
    add('train', 'an existing model',
        lambda root: (shutil.copytree(Path(celae.__file__).parent/'weights'/'autoencoder', root/'user'/'m'),
                      ['train', FIX/'music', '--cache', FIX/'cache', '--out', root/'user'/'m', '--steps',
                       '1'])[1])
    def diary(root, *names):
        (root/'user'/'m').mkdir()
        for name in names: (root/'user'/'m'/name).write_text('mine')
        return ['train', FIX/'music', '--cache', FIX/'cache', '--out', root/'user'/'m', '--steps', '1',
                '--max-clips', '20']
    add('train', 'a folder with history.csv and config.json',
        lambda root: diary(root, 'history.csv', 'config.json'))
    add('train', 'the folder of the music', lambda root: (shutil.copytree(FIX/'music', root/'user'/'music'),
                                                          ['train', root/'user'/'music', '--cache',
                                                           root/'home', '--out', root/'user'/'music',
                                                           '--steps', '1', '--max-clips', '20'])[1])
    def project(root, settings=None, *more):
        (root/'user'/'proj').mkdir()
        (root/'user'/'proj'/'thesis.txt').write_text('mine')
        if settings is not None: (root/'user'/'proj'/'settings.json').write_text(settings)
        return root/'user'/'proj'
    for word, settings in {'settings.json of an editor': '{"editor.fontSize": 12}',
                           'settings.json with a folder': '{"folder": "x"}',
                           'settings.json that is a list': '[]', 'settings.json cut': '{',
                           'no settings.json': None}.items():
        add('run', f'--overwrite, a folder with {word}', lambda root, settings=settings: ['run', FIX/'music',
                '--quick', '--cache', FIX/'cache', '--out', project(root, settings), '--overwrite',
                '--max-clips', '0'])
        add('run', f'--overwrite without music, a folder with {word}',
            lambda root, settings=settings: ['run', root/'nowhere', '--quick', '--out',
                                             project(root, settings), '--overwrite'])
    add('run', '--overwrite without music, a run', lambda root: (shutil.copytree(FIX/'run',
            root/'user'/'run', ignore=shutil.ignore_patterns('checkpoint.pt')),
            ['run', root/'nowhere', '--quick', '--out', root/'user'/'run', '--overwrite'])[1])
    add('run', 'a folder of the user', lambda root: ['run', FIX/'music', '--quick', '--cache', FIX/'cache',
                                                     '--out', project(root)])
    add('run', '--resume in a folder of the user', lambda root: ['run', FIX/'music', '--quick', '--cache',
                                                                 FIX/'cache', '--out',
                                                                 project(root, '{"editor": 1}'), '--resume'])
    add('run', 'a file', lambda root: ['run', FIX/'music', '--quick', '--out', song(root/'user')])
    add('run', '--overwrite, the folder of the music', lambda root: (shutil.copytree(FIX/'music',
            root/'user'/'music'), ['run', root/'user'/'music', '--quick', '--cache', root/'home', '--out',
                                   root/'user'/'music', '--overwrite'])[1])
    def report(root, command):
        shutil.copytree(FIX/'run', root/'out'/'run', ignore=shutil.ignore_patterns('checkpoint.pt'))
        for name in ('report.html', 'map.html'):
            (root/'out'/'run'/name).unlink(missing_ok=True)
            (root/'out'/'run'/name).symlink_to(root/'outside'/'secret.txt')
        return [command, root/'out'/'run']
    add('map', 'map.html is a link to a file of the user', lambda root: report(root, 'map'))
    add('download', 'an existing folder', lambda root: ['download', 'gtzan', '-o', project(root)])
    add('download', 'a hidden folder of the user beside it',
        lambda root: ((root/'user'/'.gtzan.part').mkdir(),
                      (root/'user'/'.gtzan.part'/'diary.txt').write_text('mine'),
                      (root/'home'/'celae').mkdir(),
                                                              (root/'home'/'celae'/'genres.tar.gz').write_bytes(b'no archive'), ['download', 'gtzan', '-o', root/'user'/'gtzan'])[-1])
    add('prepare', 'a cache that is a file', lambda root: ['prepare', FIX/'music', '--cache',
                                                           song(root/'user')])
    add('prepare', 'a cache in the folder of the music', lambda root: (shutil.copytree(FIX/'music',
            root/'user'/'music'), ['prepare', root/'user'/'music', '--cache', root/'user'/'music'])[1])
    files = ['my-clips-2019.mp4', 'clips-of-the-sea.mov', 'clips-0123456789ab.mov',
             'clips-0123456789ab.npy.txt', 'xclips-0123456789ab.npy', 'clips-0123456789ab-holiday.npy',
             'clips-0123456789AB.npz', 'clips-short.npy']
    def films(root, *own):
        for name in files + list(own): (root/'user'/name).write_text('mine')
        return ['clear', '--cache', root/'user']
    add('clear', 'films whose names look like clips', films)
    add('clear', 'a folder called clips-', lambda root: ((root/'user'/'clips-0123456789ab').mkdir(),
                                                         (root/'user'/'clips-0123456789ab'/'film.mov').write_text('mine'), ['clear', '--cache', root/'user'])[-1])
    add('clear', 'a link called clips-', lambda root: ((root/'user'/'film.mov').write_text('mine'),
                                                       (root/'user'/'clips-0123456789ab.mov').symlink_to(root/'user'/'film.mov'), ['clear', '--cache', root/'user'])[-1])
    add('clear', 'a cache that is a file', lambda root: ['clear', '--cache', song(root/'user')])
    for word, make in {'a loop of links': lambda p: (p/'loop').symlink_to(p),
                       'a link to nothing': lambda p: (p/'clips-0123456789ab.npy').symlink_to(p/'nowhere'),
                       'a pipe': lambda p: os.mkfifo(p/'clips-0123456789ab.npy'),
                       'a file in place of the folder': None}.items():
        def build(root, make=make):
            cache = root/'home'/'celae'
            if make: cache.mkdir(); make(cache)
            else: cache.write_text('x')
            return ['info']
        jobs.append(Job('info', 'caches', word, build, checked, 60))
        jobs.append(Job('clear', 'caches', word, lambda root, build=build: (build(root), ['clear'])[1],
                        checked, 60))
    def kept(change):
        def build(root):
            shutil.copytree(FIX/'prepared', root/'home'/'celae')
            change(root/'home'/'celae')
            return ['prepare', FIX/'music']
        return build
    def cut(ending): return lambda cache: [f.write_bytes(f.read_bytes()[:100])
                                           for f in cache.glob(f'*{ending}')]
    def gone(ending): return lambda cache: [f.unlink() for f in cache.glob(f'*{ending}')]
    def zeroed(cache):
        for f in cache.glob('*.npy'): f.write_bytes(f.read_bytes()[:128] + bytes(f.stat().st_size - 128))
    def lying(cache):
        zeroed(cache)
        for f in cache.glob('*.parquet'):
            lines = [[track, rows.index.tolist(), ''] for track, rows in pd.read_parquet(f).groupby('track')]
            f.with_suffix('.journal').write_text(''.join(json.dumps(line) + '\n' for line in lines))
            f.unlink()
    for word, change in {'sound of zeros': zeroed, 'sound of zeros and a journal that lies': lying,
                         'sound cut': cut('.npy'), 'table cut': cut('.parquet'), 'sound gone': gone('.npy'),
                         'table gone': gone('.parquet'), 'both cut': lambda cache: (cut('.npy')(cache),
                                 cut('.parquet')(cache)),
                         'sound pickled': lambda cache: [np.save(f,
                                                                 np.array([hostile._Runs(cache.parents[1]/'outside'/'pwned')], object), allow_pickle=True) for f in cache.glob('*.npy')]}.items():
        def rebuilt(root, code, text):
            if code: return 'lost', 'fails for ever'
            made, = (root/'home'/'celae').glob('*.npy')
            return 'read' if np.load(made, mmap_mode='r').any(1).all() else ('lost', 'clips of zeros are kept')
        jobs.append(Job('prepare', 'caches', word, kept(change), rebuilt, 60))
    def read_only(root):
        shutil.copytree(FIX/'prepared', root/'home'/'celae')
        for path in [*(root/'home'/'celae').iterdir(), root/'home'/'celae']: path.chmod(0o555
                if path.is_dir() else 0o444)
        return ['prepare', FIX/'music']
    jobs.append(Job('prepare', 'caches', 'whole and read-only', read_only,
                    lambda root, code, text: 'read' if code == 0 else ('lost', 'a whole cache is unusable'),
                    60, user=65_534))
    return jobs


# ---- what all cases need ----

def fixtures():
    "A good run, latents, a saved sound and a half trained model, made once by the version under test."
    if (FIX/'done').exists(): return
    shutil.rmtree(FIX, ignore_errors=True)
    FIX.mkdir(parents=True)
    celae.corpora.builtin.builtin_music(FIX/'music', tracks_per_style=2, secs=6.)
    (FIX/'song.flac').write_bytes(flac())
    def do(*args):
        pid = os.fork()
        if not pid:
            sys.argv = ['celae', *map(str, args)]
            try: main()
            except SystemExit as e:
                if e.code: print(e.code)
                sys.stdout.flush(), os._exit(1 if e.code else 0)
            os._exit(0)
        if os.waitpid(pid, 0)[1]: raise SystemExit(f'fixture failed: {args}')
    do('encode', FIX/'song.flac', '-o', FIX/'good.celae')
    do('train', FIX/'music', '--cache', FIX/'cache', '--out', FIX/'half trained', '--steps', '4',
       '--max-clips', '20')
    (FIX/'half trained'/'model.safetensors').unlink()
    for path in (FIX/'music').rglob('*'): path.chmod(0o755 if path.is_dir() else 0o644)   # changes their time of change
    do('prepare', FIX/'music', '--cache', FIX/'prepared')
    pid = os.fork()
    if not pid:
        panel = celae.playground.open_panel(FIX/'panel')
        panel.move(gain=1.2)
        os.rename(panel.save(), FIX/'saved')
        os._exit(0)
    if os.waitpid(pid, 0)[1]: raise SystemExit('fixture failed: a saved sound')
    do('run', FIX/'music', '--quick', '--out', FIX/'run', '--cache', FIX/'cache')
    do('map', FIX/'run')
    for path in FIX.rglob('*'):
        if FIX/'music' not in path.parents: path.chmod(0o755 if path.is_dir() else 0o644)
    (FIX/'done').touch()


PARTS = dict(sound=audio_jobs, latents=latent_jobs, models=model_jobs, runs=run_jobs_of_strangers,
             tables=table_jobs, arguments=argument_jobs, downloads=download_jobs, overwrite=overwrite_jobs)


def summary(rows):
    "command -> class -> counts, and by verdict the kinds that did not hold."
    counts = defaultdict(lambda: defaultdict(Counter))
    failed = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for row in rows:
        if row['verdict'] in ('broken', 'not made'): continue
        counts[row['command']][row['group']].update(['tried', row['verdict']])
        if row['verdict'] in BAD: failed[row['command']][row['group']][row['verdict']].append(row['name'])
    return dict(tried=sum(c['tried'] for groups in counts.values() for c in groups.values()),
                **{v: sum(row['verdict'] == v for row in rows) for v in (*GOOD, *BAD)},
                unforeseen=sum('--debug' in row['said'] for row in rows),      # refused, in one line of `main`
                kinds=len({(row['group'], row['name']) for row in rows}), table=counts, failed=failed)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name',
                        help='before, after: the entry of bench/results/hostile_input.json; try: only shown')
    parser.add_argument('--parts', nargs='+', choices=list(PARTS), default=list(PARTS))
    parser.add_argument('--only', default='', help='COMMAND:CLASS:KIND, as a regular expression')
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--work', type=Path, default=Path(gettempdir())/'celae-hostile-work',
                        help='where good files and verdicts are kept; parts and repeated cases add up')
    parser.add_argument('--rows', type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    FIX = args.work/args.name
    start = time.time()
    print(celae.__file__, flush=True)
    fixtures()
    print(f'fixtures: {time.time() - start:.0f} s', flush=True)
    jobs = [job for part in args.parts for job in PARTS[part]()]
    jobs = [job for job in jobs if re.search(args.only, f'{job.command}:{job.group}:{job.name}')]
    print(len(jobs), 'cases', flush=True)
    rows = run_jobs(jobs, args.workers)
    if args.rows: args.rows.write_text(json.dumps(rows, indent=1))
    kept = args.work/f'{args.name}.json'                   # verdicts of earlier calls, of other parts
    old = json.loads(kept.read_text()) if kept.exists() else []
    rows = list({(row['command'], row['group'], row['name']): row for row in old + rows}.values())
    kept.write_text(json.dumps(rows, indent=1))
    found = summary(rows)
    print({k: v for k, v in found.items() if k not in ('table', 'failed')}, f'{time.time() - start:.0f} s')
    if args.name != 'try':
        path = RESULTS/'hostile_input.json'
        old = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(old | dict(command='python bench/hostile_input.py before|after',
                                              machine=machine()) | {args.name: found}, indent=1) + '\n')
