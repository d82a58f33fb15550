"""Every command against every class of hostile input, each case in a process of its own.

    pytest tests/test_hostile.py               a few cases of each class
    pytest tests/test_hostile.py --hostile     all, for the study (an hour on two cores; root on Linux)
    pytest tests/test_hostile.py --only edit:arguments:--gain       those whose name fits a regular expression
    pytest tests/test_hostile.py --hostile --only ...               and these again, for the study

Memory and processor time are bounded (not the clock: a busy machine is no hang). The user's files are
looked at before and after. The verdicts:

read      the sound is there, all of it, or the command did what it should
named     the item is left out with a line that names it, and the rest is done
refused   the command ends with one line
ignored   passed over, as hidden files should be
lost      a file of the user changed or is gone, or an item or a part is missing or wrong without a word
hung      no end within the processor time, or no work for a while
crashed   a traceback, a signal, or no memory
escaped   something outside was read or written, a stranger's program ran, or words stand in a page
          unescaped
"""
import base64
import json
import os
import re
import resource
import shutil
import signal
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir, mkdtemp
from typing import Callable

import hostile_files as hostile
import numpy as np
import pytest
import soundfile as sf
from hostile_files import FORK, SCRIPT, audio, flac, put, tone

import celae.data
from celae.corpora.builtin import builtin_music

pytestmark = pytest.mark.skipif(sys.platform != 'linux',
                                reason='limits and processor times are those of Linux')
BAD, GOOD = ('lost', 'hung', 'crashed', 'escaped'), ('read', 'named', 'refused', 'ignored')
MEMORY, IDLE_SECS = 3 << 30, 12        # bytes beyond what is taken at the start; seconds without any work
NOBODY, WEIGHTS = 65_534, Path(celae.__file__).parent/'weights'
# can another user read what is installed? A module that is imported late would be missing otherwise
READABLE = all(folder.stat().st_mode & 1 for folder in Path(celae.__file__).resolve().parents)
RESULTS = Path(__file__).parents[1]/'bench'/'results'/'hostile_input.json'

# ---- what cases need ----

@cache
def fixture(name):
    "A good file or folder, made once by the version under test."
    root = Path(fixtures().name)
    lines = dict(good='encode {flac} -o {path}', cache='prepare {music} --cache {path}',
                 half='train {fit} 4 --out {path}', run='run {music} --quick --out {path} --cache {cache}')
    path = root/{'flac': 'song.flac', 'good': 'good.celae'}.get(name, name)
    if name == 'music': builtin_music(path, tracks_per_style=2, secs=6.)
    elif name == 'flac': path.write_bytes(flac())
    else:
        process = FORK.Process(target=child, args=(root, arguments(root, lines[name], dict(path=path)), 0))
        process.start()
        process.join()
        assert process.exitcode == 0, (name, (root/'log').read_text())
    for each in [path, *path.rglob('*')] * (name == 'music'): each.chmod(0o755 if each.is_dir() else 0o644)
    return path

@cache
def fixtures():
    folder = TemporaryDirectory(prefix='celae-fixtures-')
    for name in ('', 'home', 'here'): (Path(folder.name)/name).mkdir(exist_ok=True)
    Path(folder.name).chmod(0o755)
    return folder

def copied(name, to):
    shutil.copytree(fixture(name), to, symlinks=True,
                    ignore=shutil.ignore_patterns(*['checkpoint.pt'] * (name == 'run')))
    return to

def own(root, *names, text='mine', folder='proj'):
    "A folder of the user."
    (root/'user'/folder).mkdir()
    for name in names: (root/'user'/folder/name).write_text(text)
    return root/'user'/folder

def a_song(root, name='song.wav'):
    (root/'user'/name).write_bytes(audio(channels=2))
    return root/'user'/name

MAKERS = dict(song=a_song, latent=lambda root: Path(shutil.copy(fixture('good'), root/'user'/'song.celae')),
              album=lambda root: copied('music', root/'user'/'music'),
              thesis=lambda root: own(root, 'thesis.txt'), ours=lambda root: copied('run', root/'out'/'run'))

def arguments(root, line, made):
    "The words of a command; what stands in braces is made, words after + are made and left out."
    class Places(dict):
        def __missing__(self, key):
            self[key] = MAKERS[key](root) if key in MAKERS else fixture(key)
            return self[key]
    places = Places(made, root=root, out=root/'out', user=root/'user', home=root/'home')
    line = line.replace('{fit}', '{music} --cache {cache} --max-clips 20 --steps')
    words = [word.format_map(places) for word in line.split()]
    return [word for word in words if not word.startswith('+')]

def row_id(command, group, name, **_): return f'{command}:{group}:{name}'

@dataclass
class Job:
    line: str                  # the command, as `arguments` reads it
    group: str                 # class of input
    name: str                  # kind of input
    check: Callable            # of (folder, exit code, what was said): a verdict, or a verdict and why
    before: Callable = lambda root: {}       # makes what is needed there; gives more for the line
    cpu: int = 60              # seconds of processor time
    user: int = 0
    may_add: bool = False      # to the folders of the user
    may_read: bool = True      # the sound beside the folders of the user
    own: dict = field(default_factory=dict)

    @property
    def command(self): return next(word for word in self.line.split() if word[0] != '+')

    @property
    def kind(self): return ascii(self.name)[1:-1][:80]

    @property
    def id(self): return row_id(self.command, self.group, self.kind)

    def row(self, verdict, why, code=0, said=''):
        return dict(command=self.command, group=self.group, name=self.kind, verdict=verdict,
                    why=why, code=code, said=said)

    def build(self, root): return arguments(root, self.line, self.own | (self.before(root) or {}))

# ---- one case in a process of its own ----

def child(root, args, user):
    "What the process does: limits, a folder, a log, and then the command."
    os.setsid()
    log = os.open(root/'log', os.O_WRONLY | os.O_CREAT)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0), os.dup2(log, 1), os.dup2(log, 2)
    taken = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY,) * 2)
    for name in ('XDG_CACHE_HOME', 'HOME', 'MPLCONFIGDIR'): os.environ[name] = str(root/'home')
    os.chdir(root/'here')
    if user: os.setgid(user), os.setuid(user)
    from celae.cli import main
    sys.argv = ['celae', *map(str, args)]
    try: main()
    except SystemExit as e:
        if e.code: raise
    if args[:2] == ['prepare', str(root/'user'/'music')]:      # what another command would find
        clips = celae.data.load_clips(args[1], args[3])
        clips.table[['path', 'track', 'start', 'n_samples']].to_json(root/'clips.json', orient='records')

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
        secret = self.root/'outside'/'secret.wav'
        os.utime(secret, ns=(0, secret.stat().st_mtime_ns))      # a time of access that a reader changes
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
        try: verdict = self.verdict(code, text)
        except Exception as e: verdict = 'broken', repr(e)       # of this program, or of what was written
        verdict, why = verdict if isinstance(verdict, tuple) else (verdict, '')
        said = (text.strip().splitlines() or [''])[-1].replace(str(self.root), '...')[:240]
        shutil.rmtree(self.root, ignore_errors=True)
        return self.job.row(verdict, why, code, said)

    def verdict(self, code, text):
        if any((self.root/name/'pwned').exists() for name in ('outside', 'here')): return 'escaped', 'it ran'
        secret = self.root/'outside'/'secret.wav'
        was_read = secret.exists() and secret.stat().st_atime > 0
        if was_read and not self.job.may_read: return 'escaped', f'{secret.name} read'
        if self.hung: return 'hung'
        if code < 0: return 'crashed', signal.Signals(-code).name
        if 'Traceback (most recent call last)' in text: return 'crashed', 'traceback'
        if code and re.search("MemoryError|(an't|annot|nable to) allocate", text): return 'crashed', 'memory'
        for name, before in self.before.items():
            after = snapshot(self.root/name)
            gone = [path for path in before if after.get(path) != before[path]]
            new = [path for path in after if path not in before and not self.job.may_add]
            if gone: return 'lost', f'{gone[0]} changed or gone'
            if new and not (self.root/name/new[0]).is_symlink(): return 'escaped', f'{new[0]} written'
        if code and not re.search(r'^(celae: |Error: )', text, re.M): return 'crashed', 'ended without a word'
        return self.job.check(self.root, code, text)

def run_jobs(jobs, workers=2):
    "Do all cases, some at a time: their rows."
    todo, running, rows = list(reversed(jobs)), [], []
    while todo or running:
        while todo and len(running) < workers:
            job = todo.pop()
            try: running.append(Running(job))
            except Exception as e: rows.append(job.row('not made', repr(e)))
        time.sleep(.02)
        for one in list(running):
            if row := one.poll():
                running.remove(one)
                rows.append(row)
                if row['verdict'] not in GOOD: print(len(rows), *row.values(), sep=' | ', flush=True)
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

def writes(name):
    return lambda root, code, text: 'refused' if code else 'read' if (root/'out'/name).exists() else 'lost'

def sound(root, code, text, name='e.wav', may_be_full=False):
    "Refused, or a sound is written that is one."
    if code: return 'refused'
    path = root/'out'/name
    if not path.exists(): path = next((f for f in (root/'out').iterdir() if f.is_file()), None)
    if path is None: return 'lost', 'nothing written'
    n, is_finite, peak, step, full = levels(path)
    if not is_finite: return 'lost', 'not a number in the sound'
    if not may_be_full and full > .5: return 'lost', 'full scale all the time'
    return ('lost', 'constant') if n > 100 and peak > .3 and step < 1e-4 else 'read'

def levels(path):
    "Of a sound that may be long: samples, are all finite, peak, largest step, and share near full scale."
    n, is_finite, peak, step, full = 0, True, 0., 0., 0
    for wav in sf.blocks(path, 1 << 20, overlap=1, dtype='float32', always_2d=True):
        n, is_finite = n + len(wav), is_finite and bool(np.isfinite(wav).all())
        peak, step = max(peak, abs(wav).max()), max(step, abs(np.diff(wav, axis=0)).max(initial=0))
        full += (abs(wav) > .9).mean() * len(wav)
    return n, is_finite, peak, step, full / max(1, n)

def latent_secs(path):
    facts, tensors = hostile.unpack_latent(path.read_bytes())
    assert all(np.isfinite(x.astype(np.float64)).all() for x in tensors.values()), 'not a number'
    return facts['n_samples'] / facts.get('sr', 22_050)

def latent(root, code, text):
    if code: return 'refused'
    return 'read' if abs(latent_secs(root/'out'/'e.celae') - hostile.SECS) < .1 else ('lost', 'cut')

def compared(found, wanted, text, name):
    "Verdict on the seconds found where `wanted` are there."
    if wanted is None: return 'read' if found else 'named' if named(text, name) else ('lost', 'not a word')
    if abs(found - wanted) < .2: return 'read'
    return 'named' if found < wanted and named(text, name) else ('lost', f'{found:.1f} s of {wanted:.1f}')

# ---- sound files ----

def sound_job(command, case):
    def before(root):
        (music := root/'user'/'music').mkdir()
        (music/'good.flac').write_bytes(flac())
        return dict(path=case.at(music), folder=music)

    def one(root, code, text):
        if code and command != 'decode' and case.group == 'rare but right': return 'lost', 'refused'
        if code: return 'refused'
        if command == 'decode': return 'lost', 'no latent file, and no word'
        wanted = min(case.secs, 60) if case.secs and command == 'generate' else case.secs
        found = sf.info(root/'out'/'e.wav').duration - (command == 'generate')
        is_kept = case.name == 'square.wav' and command == 'generate'
        wrong = sound(root, code, text, may_be_full=is_kept)
        return wrong if wrong != 'read' else compared(found, wanted, text, case.name)

    def many(root, code, text):
        wanted, out = case.secs, root/'out'
        if command == 'encode': found = {f.stem: latent_secs(f) for f in out.rglob('*.celae')}
        else:
            rows = json.loads((root/'clips.json').read_text()) if (root/'clips.json').exists() else []
            found = Counter()
            for row in rows: found[Path(row['track']).stem] += row['n_samples'] / 22_050
            if wanted: wanted = wanted // 5 * 5 + (wanted % 5 if wanted % 5 >= 2.5 else 0)
            if case.name == 'three hours.wav': wanted = 10.      # the tone ends in the second clip
        if not found.pop('good', 0) or code: return 'lost', 'one item stops the rest'
        secs = sum(found.values())
        if case.group == 'hidden' and secs: return 'lost', 'a hidden file is used'
        return 'ignored' if case.quiet and not secs else compared(secs, wanted, text, case.name)
    line, check = dict(
        encode=('encode {folder} --out {out}', many), prepare=('prepare {folder} --cache {out}', many),
        edit=('edit --gain 1.1 -o {out}/e.wav -- {path}', one), decode=('decode -o {out}/e.wav -- {path}',
                                                            one),
        generate=('generate --begin {path} --seconds 1 -o {out}/e.wav', one))[command]
    cpu = 900 if 'hour' in case.name and command in ('edit', 'encode') else 60
    return Job(line, f'sound: {case.group}', case.name, check, before, cpu, NOBODY * ('closed' in case.name))

def sound_jobs():
    cases, jobs = hostile.audio_cases(), []
    begun = ('no sound', 'cut and damaged', 'header lies', 'joined', 'bombs', 'samples')
    for case in cases:
        jobs.append(sound_job('prepare', case))
        if case.name == 'three hours.wav': continue
        jobs += [sound_job('encode', case), sound_job('edit', case)]
        if case.group in begun: jobs.append(sound_job('generate', case))
        if case.group in ('no sound', 'links and folders'): jobs.append(sound_job('decode', case))
    def together(root, groups):
        copied('music', root/'user'/'music')
        for case in cases:
            if case.group in groups and not re.search('closed|three hours',
                                                      case.name): case.at(root/'user'/'music')
    def done(root, code, text): return 'lost' if code else escaped(root) or 'read'
    name = 'all of the class in one folder'
    jobs += [Job('train {user}/music --cache {home} --out {out}/m --steps 1 --max-clips 40',
                 f'sound: {group}', name, done, partial(together, groups=[group]), 120)
                 for group in sorted({case.group for case in cases})]
    return jobs + [Job('run {user}/music --quick --out {out}/run --cache {home}', 'sound: names', name, done,
                       partial(together, groups=('names', 'samples', 'no sound', 'endings')), 500)]

def escaped(root):
    "Does a page of a run hold a stranger's script or a file of the user?"
    files = root/'outside'/'secret.txt', Path('/etc/hostname')
    secrets = [base64.b64encode(file.read_bytes()).decode() for file in files]
    for page in (path for path in root.glob('out/run/*.html') if not path.is_symlink()):
        text = page.read_text(errors='replace')
        if any(each in text for each in (SCRIPT[:28], '<script>alert', '<img src=x', '<b>bold', *secrets)):
            return 'escaped', f'a script or a file of the user in {page.name}'
        if page.name == 'map.html' and re.search(r':\s*(-?Infinity|NaN)\b',
                                                 text): return 'lost', 'invalid JSON in a map'

# ---- latents, models, runs, tables ----

def latent_jobs():
    def decode(root, case):
        beside = shutil.copy(fixture('good'), own(root)/'a good one.celae')
        return dict(path=case.at(root/'user'/'proj'), beside=beside)
    def decoded(root, code, text, case):
        bad = Path(case.name).with_suffix('.wav')
        if not (root/'out'/'a good one.wav').exists(): return 'lost', 'the good file beside it is not done'
        if (root/'out'/bad).exists(): return sound(root, 0, text, bad)
        return 'named' if named(text, case.name) else ('lost', 'not a word')
    def resume(root, case):
        path = (root/'user'/case.name).with_suffix('.flac')
        path.write_bytes(flac())
        os.utime(path, (1e9, 1e9))
        case.at(root/'out')
    def resumed(root, code, text, case):
        if code: return 'refused'
        try: secs = latent_secs(root/'out'/case.name)
        except Exception: return 'named' if named(text, case.name) else ('lost',
                                                            'left as it was, without a word')
        return 'read' if abs(secs - hostile.SECS) < .1 else ('lost', 'taken for done')
    ways = (('decode {beside} {path} -o {out}', decode, decoded),
            ('encode {user} --out {out} --resume', resume, resumed))
    return [Job(line, 'latents', case.name, partial(check, case=case), partial(before, case=case))
            for case in hostile.latent_cases(fixture('good').read_bytes()) for line, before, check in ways]

def model_jobs():
    def before(root, change, base):
        shutil.copytree(WEIGHTS/base, root/'user'/'model')
        change(root/'user'/'model', root/'outside'/'pwned')
    ways = {'decode {good} --model {user}/model -o {out}/e.wav': sound,
            'encode {flac} --model {user}/model -o {out}/e.celae': latent,
            'edit {flac} --model {user}/model -o {out}/e.wav': sound,
            'generate --seconds 1 --prior {user}/model -o {out}/e.wav': sound,
            'export --model {user}/model -o {out}/onnx': writes('onnx/tonal_encode.onnx'),
            'train {fit} 1 --from {user}/model --out {out}/m': writes('m/model.safetensors')}
    jobs = [Job(line, 'models', name, check, partial(
        before, change=change, base='prior-builtin' if line[0] == 'g' else 'autoencoder'), 90)
        for name, change in hostile.model_cases().items() for line, check in ways.items()]
    def half(root, change):
        copied('half', root/'out'/'m')
        change(root/'out'/'m'/'checkpoint.pt', root/'outside'/'pwned')
    return jobs + [Job('train {fit} 4 --out {out}/m --resume', 'models', f'checkpoint {name}',
                       writes('m/model.safetensors'), partial(half, change=change), 120)
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
        with hostile.zipfile.ZipFile(big) as old: files = {name: old.read(name) for name in old.namelist()}
        path.write_bytes(hostile.zipped(files))
    def no(key): return saved(lambda state: state.pop(key, None) and None)
    def other(**values): return saved(lambda state: state.update(values))
    def nan(state): state['model'].update({k: v * np.nan for k, v in state['model'].items()
                                           if v.is_floating_point()})
    odd = {name: lambda path, trace, make=make: (path.unlink(), make(path))
           for name, make in hostile.ODD_FILES.items() if name != 'missing'}
    return odd | {
        'a pickle': lambda path, trace: path.write_bytes(hostile.evil_pickle(trace)), 'packed': packed,
        'cut': lambda path, trace: path.write_bytes(path.read_bytes()[:5000]),
        'a number': saved(lambda state: 3), 'an empty dict': saved(lambda state: {'x': 1}),
        'without weights': no('model'), 'without optimizer': no('optimizer'), 'step null': other(step=None),
        'step huge': other(step=10**12), 'history text': other(history='x'),
        'history of numbers': other(history=[1, 2]), 'best empty': other(best={}),
        'optimizer empty': other(optimizer={}), 'of another model': other(model={'x': torch.zeros(3)}),
        'weights nan': saved(nan)}

def run_jobs_of_strangers():
    def before(root, change):
        run = copied('run', root/'out'/'run')
        for page in run.glob('*.html'): page.unlink()
        change(run, root/'outside'/'pwned')
    def check(root, code, text): return escaped(root) or ends(root, code, text)
    lines = {'analyze {out}/run': '', 'map {out}/run': '',
             'run {music} --quick --out {out}/run --cache {cache} --resume':
             'settings|latents/|clips: (no|text|a )|autoencoder|sounds absolute'}
    jobs = [Job(line, 'runs of strangers', name, check, partial(before, change=change),
                150, may_read=False) for name, change in hostile.run_cases(fixture('run')).items()
                for line, names in lines.items() if re.match(names, name)]
    def refused(root, code, text): return 'refused' if code else ('lost', 'no run, and no word')
    return jobs + [Job(line, 'runs of strangers', f'run is {name}', refused, lambda root, make=make: (
        make(root/'out'/'run') and {})) for name, make in hostile.ODD_FILES.items()
        for line in list(lines)[:2]]

def table_jobs():
    tracks = sorted(f.relative_to(fixture('music')).as_posix() for f in fixture('music').rglob('*.flac'))
    def before(root, file, make):
        path = copied('music', root/'user'/'music')/file
        path.unlink(missing_ok=True)
        make(path)
    def check(root, code, text):
        if code or not (root/'clips.json').exists(): return ends(root, code, text)
        rows = json.loads((root/'clips.json').read_text())
        if len({(row['path'], row['start']) for row in rows}) < len(rows): return 'lost', 'clips are doubled'
        outside = [row for row in rows if not row['path'].startswith(str(root))]
        return ('escaped', 'a path of the table is read') if outside else 'read'
    also = 'infinite|doubled|binary|right|twice and different|own columns|a pipe|scripts'
    lines = {'prepare {user}/music --cache {out}': '',
             'train {user}/music --cache {home} --out {out}/m --steps 1': also}
    return [Job(line, f'tables: {file}', word, check, partial(before, file=file, make=make), 120)
            for file, word, make in hostile.table_cases(tracks)
            for line, words in lines.items() if re.match(words, word)]

# ---- arguments ----

BIG, HUGE = 10**9, 10**30
ARGUMENTS = {       # command -> option -> values
    'edit {song} -o {out}/e.wav': {
        '--gain': ('nan', 'inf', '-inf', '1e38', '-1e38', '1e300', 'x', ''),
        '--noise': ('inf', 'nan', '1e38', -1), '--freeze': (BIG, HUGE, -2), '--freeze-loop': (BIG, -1),
        '--transpose': (84, -200, BIG, HUGE), '--model': ('', '..', '/', 'nothing', '/dev/null'),
        '--seed': (-1, 2**40, 2**70, HUGE), **dict.fromkeys(('--smooth', '--shuffle', '--mask'),
                                                            (BIG, HUGE, -1))},
    'generate -o {out}/e.wav': {'--seconds': ('inf', 'nan', 0, -1, '1e9', '1e300')},
    'generate -o {out}/e.wav --seconds 1 --begin {song}': {'--strength': ('nan', 2, -1)},
    'generate -o {out}/e.wav --seconds 1': {
        '--style': ('', SCRIPT, 'nothing'), '--prior': ('', 'autoencoder', '..'),
        '--model': ('', 'base', 'quarter'), '--seed': (-1, 2**70)},
    'train {fit} 1 --out {out}/m': {
        '--steps': (-1, 0, 'x'), '--max-clips': (0, 1, 2, -1, HUGE), '--latent-size': (0, -1, 10**12, 7),
        '--model': ('x', '', 'base'), '--device': ('cuda', 'mps', 'x', ''), '--seed': (-1, 2**70),
        '--devices': (0, 1000), '--num-nodes': (0,)},
    'prepare {music} --cache {out}': {'--max-clips': (0, 1, -1, HUGE), '--seed': (-1, 2**70)},
    'run {music} --quick --cache {cache} --out {out}/run': {
        '--max-clips': (0, 1, -1), '--steps': (-1,), '--device': ('cuda', 'x'), '--seed': (-1,)},
    'encode {song} -o {out}/e.celae': {'--part': ('0/0', '3/2', '1/0', '-1/2', 'x', '', '1/' + '9' * 30,
                                                  '1/2/3')}}
ENDINGS = ('e', 'e.exe', 'e.wav/', 'sub/../e.m4a', 'n' * 300 + '.wav', '.wav', 'a/b/c.wav', 'e.wav\n',
           'é' * 125 + '.wav', '../user/song.wav/e.wav')
PATHS = {'a NUL': 'a\0b', 'not there': '/nowhere/at/all', 'empty': '', 'too long': '/x' + 'y' * 5000}

def argument_jobs():
    checks = dict(edit=sound, generate=sound, train=writes('m/model.safetensors'),
                  run=writes('run/report.html'))
    jobs = [Job(line + ' {more}', 'arguments', f'{option} {value}', checks.get(line.split()[0], ends),
                cpu=150, own=dict(more=f'{option}={value}')) for line, options in ARGUMENTS.items()
            for option, values in options.items() for value in values]
    jobs += [Job('edit {song} -o {out}/{end}', 'arguments', f'-o {end}', ends, own=dict(end=end))
             for end in ENDINGS]
    jobs += [Job(f'decode {{good}} --rate={rate} -o {{out}}/e.{ending}', 'arguments',
                 f'--rate {rate} {ending}', partial(sound, name=f'e.{ending}'))
                 for rate in (0, -1, 1, 999, 7999, 10**6, 10**9, 10**12)
             for ending in ('wav', 'flac', 'ogg', 'opus', 'mp3')]
    for command in ('encode', 'decode', 'edit -o e.wav', 'prepare', 'train', 'run --quick', 'analyze', 'map',
                    'export -o', 'generate -o e.wav --begin', 'clear --cache', 'download'):
        def check(root, code, text, command=command):
            return 'refused' if code else 'read' if 'clear' in command else ('lost', 'no word')
        jobs += [Job(command + ' {path}', 'arguments', f'a path {word}', check, cpu=200, may_add=True,
                     own=dict(path=path)) for word, path in PATHS.items() if 'export' not in command
                     or word not in ('not there', 'empty')]
    return jobs

# ---- downloads ----

def download_jobs():
    def before(root, files):
        (root/'home'/'celae').mkdir()
        for file, data in files.items(): (root/'home'/'celae'/file).write_bytes(data)
    def check(root, code, text):
        folder, away = root/'out'/'deep'/'er', Path('/tmp/celae-escaped')
        strays = [f for kind in ('*.mp3', '*.au') for f in root.rglob(kind) if folder not in f.parents]
        if strays or (root/'escaped').exists() or away.exists(): return 'escaped', 'a member outside'
        if any(f.is_symlink() for f in folder.rglob('*')): return 'escaped', 'a link was unpacked'
        hidden = [f for f in (folder/'fma-small').rglob('.*') if code == 0]
        return ('lost', 'music in hidden folders') if hidden else ends(root, code, text)
    cases = {f'gtzan {name}': ('gtzan', {'genres.tar.gz': data})
             for name, data in hostile.archive_cases().items()}
    cases |= {f'fma {name}': ('fma-small', files) for name, files in hostile.fma_cases().items()}
    return [Job(f'download {kind} -o {{out}}/deep/er/{kind}', 'archives', name, check,
                partial(before, files=files), 120)
            for name, (kind, files) in cases.items()]

# ---- overwriting, clearing ----

def second_name(root, how, suffix):
    "A file under a second name."
    source, other = root/'user'/f'song.{suffix}', root/'user'/f'other.{suffix}'
    shutil.copy(fixture('good'), source) if suffix == 'celae' else a_song(root)
    if how == 'a hard link': os.link(source, other)
    elif how == 'a link': other.symlink_to(source)
    elif how == 'a link of a link':
        other.with_stem('middle').symlink_to(source)
        other.symlink_to(other.with_stem('middle'))
    else: other = own(root)/'..'/source.name if how == 'dots' else source
    return dict(source=source, other=other)

OVERWRITE = {
    'the original beside the latent': 'decode {latent} +{song}',
    'and --overwrite': 'decode {latent} +{song} --overwrite',
    'a folder of latents beside the originals': 'decode {user} +{song} +{latent}',
    'an existing file': ('decode {good} -o {song}', 'edit {flac} -o {song}', 'generate --seconds 1 -o {song}',
                         'encode {flac} -o {song}', 'export -o {song}', 'run {music} --quick --out {song}'),
    'a folder of results': 'decode {latent} -o {user} +{song}',
    'an existing latent': 'encode {song} -o {latent}',
    'an existing latent beside the input': 'encode {song} +{latent}',
    '--resume over what is no latent': 'encode {song} --resume +{diary}',
    'existing networks': 'export -o {networks}', 'an existing model': 'train {fit} 1 --out {model}',
    'history.csv and config.json': 'train {fit} 1 --out {history}', 'the folder of the music': (
        'train {album} --cache {home} --out {album} --steps 1', 'prepare {album} --cache {album}',
        'run {album} --quick --cache {home} --out {album} --overwrite'),
    'a folder of the user': ('run {music} --quick --out {thesis}',
                             'run {music} --quick --out {editor} --resume', 'download gtzan -o {thesis}'),
    '--overwrite without music, a run': 'run {root}/nowhere --quick --out {before} --overwrite',
    'map.html is a link to a file of the user': ('map {ours} +{linked}', 'analyze {ours} +{linked}'),
    'a hidden folder of the user beside it': 'download gtzan -o {user}/gtzan +{part} +{archive}',
    'a cache that is a file': ('clear --cache {song}', 'prepare {music} --cache {song}'),
    'films whose names look like clips': 'clear --cache {films}',
    'a folder called clips-': 'clear --cache {clips}', 'a link called clips-': 'clear --cache {user} +{film}'}
FILMS = ['my-clips-2019.mp4', 'clips-of-the-sea.mov', 'clips-0123456789ab.mov', 'clips-0123456789ab.npy.txt',
         'xclips-0123456789ab.npy', 'clips-0123456789ab-holiday.npy', 'clips-0123456789AB.npz',
         'clips-short.npy']

def to_secret(root, *paths):
    for path in paths:
        path.unlink(missing_ok=True)
        path.symlink_to(root/'outside'/'secret.txt')

MAKERS |= dict(
    diary=lambda root: put('mine')(root/'user'/'song.celae'),
    editor=lambda root: own(root, 'settings.json', text='{"a": 1}'),
    networks=lambda root: own(root, 'tonal_encode.onnx', 'timbre_decode.onnx'),
    history=lambda root: own(root, 'history.csv', 'config.json'),
    model=lambda root: shutil.copytree(WEIGHTS/'autoencoder', root/'user'/'m'),
    films=lambda root: own(root, *FILMS), before=lambda root: copied('run', root/'user'/'run'),
    part=lambda root: own(root, 'diary.txt', folder='.gtzan.part'),
    archive=lambda root: own(root, 'genres.tar.gz', folder='../home/celae'),
    linked=lambda root: to_secret(root, *(root/'out'/'run'/name for name in ('report.html', 'map.html'))),
    clips=lambda root: own(root, 'film.mov', folder='clips-0123456789ab').parent,
    film=lambda root: put('mine')(root/'user'/'film.mov') and (
        root/'user'/'clips-0123456789ab.mov').symlink_to(root/'user'/'film.mov'))

def overwrite_jobs():
    jobs = [Job(line, 'overwrite', name, ends, cpu=120, may_add=True) for name, lines in OVERWRITE.items()
            for line in ([lines] if isinstance(lines, str) else lines)]
    for how in ('the same', 'a link', 'a hard link', 'a link of a link', 'dots'):
        for command in ('edit', 'encode', 'decode', 'generate --seconds 1 --begin'):
            before = partial(second_name, how=how, suffix='celae' if command == 'decode' else 'wav')
            jobs += [Job(f'{command} {{source}} -o {{other}} {more}', 'overwrite',
                         f'input as result: {how} {more}', ends, before, 120, may_add=True)
                         for more in ('', '--overwrite')]
    def project(root, text): own(root, *['settings.json'] * bool(text), 'thesis.txt', text=text)
    for text in ('{"editor.fontSize": 12}', '{"folder": "x"}', '[]', '{', ''):
        jobs += [Job(f'run {music} --quick --cache {{cache}} --out {{user}}/proj --overwrite --max-clips 0',
                     'overwrite', f'--overwrite, {music[1:-1]}, a folder with settings.json of {text}', ends,
                     partial(project, text=text), 120) for music in ('{music}', '{root}/nowhere')]
    return jobs + cache_jobs()

def cache_jobs():
    "Caches that are damaged."
    def odd(root, make): (root/'home'/'celae').mkdir(), make(root/'home'/'celae')
    jobs = [Job(command, 'caches', word, ends, before) for word, before in {
        'a loop of links': partial(odd, make=lambda p: (p/'loop').symlink_to(p)),
        'a pipe': partial(odd, make=lambda p: os.mkfifo(p/'clips-0123456789ab.npy')),
        'a link to nothing': partial(odd,
                                     make=lambda p: (p/'clips-0123456789ab.npy').symlink_to(p/'nowhere')),
        'a file in place of the folder': lambda root: put('x')(root/'home'/'celae') and {}}.items()
        for command in ('info', 'clear')]
    def each(root, how, tables):
        for path in [f for f in copied('cache', root/'home'/'celae').rglob('*') if f.is_file()]:
            if tables in (None, path.suffix == '.parquet'): how(path, root)
    def cut(path, root): path.write_bytes(path.read_bytes()[:100])
    def zeroed(path, root): path.write_bytes(path.read_bytes()[:128] + bytes(path.stat().st_size - 128))
    def gone(path, root): path.unlink()
    def pickled(path, root): path.write_bytes(hostile.evil_pickle(root/'outside'/'pwned'))
    def closed(path, root): path.chmod(0o444), path.parent.chmod(0o555)
    def rebuilt(root, code, text):
        if code: return 'lost', 'fails for ever'
        clips = celae.data.load_clips(fixture('music'), root/'home'/'celae')
        return 'read' if all(x.any() for x in clips.batches(1)) else ('lost', 'clips of zeros are kept')
    return jobs + [Job('prepare {music}', 'caches', word, rebuilt, partial(each, how=how, tables=tables),
                       user=NOBODY * (how is closed)) for word, how, tables in (
        ('sound of zeros', zeroed, False), ('sound cut', cut, False), ('sound gone', gone, False),
        ('table cut', cut, True), ('table gone', gone, True), ('both cut', cut, None),
        ('sound pickled', pickled, False), ('whole and read-only', closed, None))]

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
    "Some cases of each class, for the command that is most exposed to it, which stands first."
    groups = defaultdict(list)
    for job in jobs: groups[job.group].append(job)
    mine = [[job for job in group if job.command == group[0].command] for group in groups.values()]
    return [job for group in mine for job in group[::max(1, len(group) // 6)]]

@pytest.mark.parametrize('part', list(PARTS))
def test_nothing_is_lost_hangs_crashes_or_escapes(part, request):
    whole, only = request.config.getoption('--hostile'), request.config.getoption('--only')
    if part == 'runs' and not (whole or only): pytest.skip('a run and its analyses take minutes: --hostile')
    jobs = [job for job in PARTS[part]() if READABLE or not job.user]
    jobs = [job for job in jobs if re.search(only, job.id)] if only else jobs if whole else few(jobs)
    rows = run_jobs(jobs, os.cpu_count() or 1)
    if whole:
        known = Path(gettempdir())/'celae-hostile-rows.json'       # of all parts, also of earlier calls
        parts = json.loads(known.read_text()) if known.exists() else {}
        kept = [row for row in parts.get(part, []) if only and not re.search(only, row_id(**row))]
        parts[part] = kept + rows
        known.write_text(json.dumps(parts))
        found = json.loads(RESULTS.read_text()) | dict(after=summary(sum(parts.values(), [])))
        RESULTS.write_text(json.dumps(found | dict(command='pytest tests/test_hostile.py --hostile'),
                                      indent=1) + '\n')
    assert not [row for row in rows if row['verdict'] not in GOOD]
