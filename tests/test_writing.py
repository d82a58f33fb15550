"Where and how results are written: nothing of the user is replaced, followed or left behind."
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf


def bytes_of(folder):
    "Every file and link below a folder, with what is in it."
    return {str(f.relative_to(folder)): os.readlink(f) if f.is_symlink() else f.read_bytes()
            for f in sorted(folder.rglob('*')) if f.is_symlink() or f.is_file()}


@pytest.fixture
def model(tmp_path):
    "A small untrained model: encoding with it takes no time."
    from celae.models import CELAutoencoderSiLU, save_model
    return save_model(CELAutoencoderSiLU(865), tmp_path/'net')


@pytest.fixture
def a_run(tmp_path):
    "The folder of a run that was begun, with files of its own and of the user in the same places."
    pd, run = pytest.importorskip('pandas'), __import__('celae.run', fromlist=['run'])
    out = tmp_path/'runs'/'mine'
    row = dict(path='/m/1.wav', track='1.wav', label='a', split='train', start=0, n_samples=110_250)
    run.begin_run(run.Settings(), out, pd.DataFrame([row]))
    for name in ('models', 'audio', 'metrics', 'figures', ''):
        (out/name).mkdir(exist_ok=True)
        (out/name/'mine.txt').write_text('mine')
    return out


@pytest.fixture
def here(tmp_path, monkeypatch, capfd):
    "Starts the command in this process, which has torch loaded; gives its exit code and messages."
    from celae.cli import main
    monkeypatch.chdir(tmp_path)

    def run(command):
        args = command.split() if isinstance(command, str) else map(str, command)
        monkeypatch.setattr(sys, 'argv', ['celae', *args])
        with pytest.raises(SystemExit) as end: main()
        code, said = end.value.code, capfd.readouterr()
        return (1, f'{said.err}{code}\n', said.out) if isinstance(code, str) else (code or 0, *reversed(said))
    return run


# runs

@pytest.mark.parametrize('form', ['absolute', 'dot', 'relative', 'link'])
def test_a_replaced_run_keeps_itself_and_what_is_not_its_own(a_run, form, monkeypatch):
    from celae.run import Run, Settings, begin_run, delete_run, open_run
    (a_run.parent/'link').symlink_to(a_run)
    monkeypatch.chdir(a_run)
    out = dict(absolute=a_run, dot=Path('.'), relative=Path('..')/a_run.name, link=a_run.parent/'link')[form]
    table = Run(a_run).clips
    open_run(out, Settings(), overwrite=True)
    delete_run(begin_run(Settings(seed=1), out, table, overwrite=True))
    assert json.loads((a_run/'settings.json').read_text())['seed'] == 1 and os.path.samefile('.', a_run)
    assert sorted(n for n, b in bytes_of(a_run).items() if b == b'mine') == sorted(
        ['mine.txt', *(f'{name}/mine.txt' for name in ('models', 'audio', 'metrics', 'figures'))])


def test_a_list_of_files_cannot_name_what_is_outside(a_run):
    from celae.run import delete_run
    (outside := a_run.parent/'precious').write_text('mine')
    (a_run/'to').symlink_to(a_run.parent), (a_run/'audio'/'link.mp3').symlink_to(outside)
    names = ['../precious', str(outside), 'to/precious', 'audio/link.mp3', 'audio', 7, 'a\0b']
    (a_run/'files.json').write_text(json.dumps(names))
    delete_run(a_run)
    assert outside.read_text() == 'mine' and (a_run/'audio'/'link.mp3').is_symlink()


# the writer

def test_what_is_unfinished_cannot_be_foreseen_or_entered(tmp_path, model):
    from celae.files import atomic_write
    names = set()
    for _ in range(3):
        with atomic_write(tmp_path/'new'/'song.wav') as part:
            part.write_bytes(b'x')
            names.add(part.parent.name)
            assert part.parent.parent == tmp_path/'new' and part.parent.stat().st_mode & 0o777 == 0o700
    assert len(names) == 3 and os.listdir(tmp_path/'new') == ['song.wav']
    os.umask(mask := os.umask(0))
    modes = {f.stat().st_mode & 0o777 for f in [tmp_path/'new'/'song.wav', *model.iterdir()]}
    assert modes == {0o666 & ~mask}                                           # safetensors writes 600


@pytest.mark.parametrize('planted', ['file', 'link', 'dangling'])
def test_what_appears_during_the_work_is_not_replaced(tmp_path, planted):
    from celae.files import atomic_write, output_path
    (precious := tmp_path/'precious').write_bytes(b'precious')
    out = output_path(tmp_path/'song.wav')
    with pytest.raises(ValueError), atomic_write(out) as part:
        part.write_bytes(b'new')
        if planted == 'file': out.write_bytes(b'theirs')
        else: out.symlink_to(precious if planted == 'link' else tmp_path/'nowhere')
    assert precious.read_bytes() == b'precious' and not (tmp_path/'nowhere').exists()
    assert out.is_symlink() or out.read_bytes() == b'theirs'


def test_links_to_one_folder_and_disks_that_ignore_case(tmp_path, monkeypatch, caplog):
    from celae import cli
    (tmp_path/'a').mkdir(), (tmp_path/'b').symlink_to('a')
    for name in ('a/x.wav', 'a/X.wav', 'a/y.wav'): (tmp_path/name).write_bytes(b'x')

    def results(*names, **how):
        plan = cli.plan_files([tmp_path/name for name in names], None, None, ('.celae',), **how)
        return [str(path.relative_to(tmp_path)) for path in plan.values()]
    assert results('a/x.wav', 'b/x.wav', 'a/y.wav') == ['a/x.celae', 'a/y.celae']
    assert 'left out' in caplog.text
    assert results('a/x.wav', 'a/X.wav') == ['a/x.celae', 'a/X.celae']
    monkeypatch.setattr(cli, '_ignores_case', lambda folder: True)
    assert results('a/x.wav', 'a/X.wav', 'a/y.wav') == ['a/x.celae', 'a/y.celae']


# every file of every command

COMMANDS = ['encode song.wav -o out.celae --model net', 'encode song.wav other.wav -o new --model net',
            'decode in.celae -o out.wav --model net', 'edit song.wav --gain 1.2 -o deep/out.flac',
            'generate --style folk --seconds 2 -o out.ogg',
            'train music --model silu --latent-size 865 --steps 1 --out model --cache cache']

@pytest.mark.parametrize('command', COMMANDS)
def test_a_second_time_is_refused(here, tmp_path, song, model, command):
    (tmp_path/'other.wav').write_bytes(song.read_bytes())
    if command.startswith('train'):
        (tmp_path/'music').mkdir()
        tone = np.sin(np.arange(352_800) / 10) / 3
        for i in range(6): sf.write(tmp_path/'music'/f'{i}.wav', (i + 3) / 9 * tone, 22_050)
    if command.startswith('decode'): assert here('encode song.wav -o in.celae --model net')[0] == 0
    code, said, _ = here(command)
    assert code == 0, said
    before = bytes_of(tmp_path)
    assert not any('.celae-' in f for f in before)
    code, said, _ = here(command)
    assert code == 1 and 'exists already' in said and said.count('\n') == 1, said
    assert bytes_of(tmp_path) == before


@pytest.mark.parametrize('command, files', [
    ('export -o DIR', ' '.join(f'{coder}_{way}code.onnx' for coder in ('tonal', 'energy', 'timbre')
                               for way in ('en', 'de'))),
    ('train music --out DIR', 'model.safetensors config.json README.md history.csv train.json checkpoint.pt'),
    ('run --out DIR', 'settings.json report.html music/a.wav')])
def test_each_file_alone_is_refused_before_the_work(celae, tmp_path, command, files):
    for i, file in enumerate(files.split()):
        (mine := tmp_path/f'{i}'/file).parent.mkdir(parents=True)
        mine.write_text('mine')
        done = celae(*command.replace('DIR', str(i)).split())
        assert (done.returncode, mine.read_text(), done.stderr.count('\n')) == (1, 'mine', 1), done.stderr


def test_what_cannot_work_is_told_before_torch_is_loaded(tmp_path):
    (tmp_path/'f').write_text('mine'), (tmp_path/'music').mkdir()
    code = ('import sys; sys.argv[0] = "celae"\nfrom celae.cli import main\ntry: main()\n'
            'finally: print("LOADED" if "torch" in sys.modules else "", file=sys.stderr)')
    for command in ('train music --out f', 'train music --from nothing', 'edit f -o f/x.wav', 'run --out .',
                    'run music --out f', 'run --out . --overwrite', 'export -o f',
                    'export -o g --model nothing',
                    'encode f --model nothing', 'generate -o g.wav --prior nothing', 'generate -o x.wav/'):
        done = subprocess.run([sys.executable, '-c', code, *command.split()], capture_output=True, text=True,
                              cwd=tmp_path)
        said = command, done.stderr
        assert done.returncode == 1 and 'LOADED' not in done.stderr and 'Traceback' not in done.stderr, said


# names

def test_home_and_folders_in_options(here, tmp_path, song, model, monkeypatch):
    (tmp_path/'home').mkdir()
    monkeypatch.setenv('HOME', str(tmp_path/'home'))
    for option in ('--out=~/new/x.celae', '-o~/x.celae', '-o ~/y.celae', '--out a.b/', '--out none'):
        assert here(f'encode song.wav --model net {option}')[0] == 0, option
    for name in ('home/new/x.celae', 'home/x.celae', 'home/y.celae', 'a.b/song.celae', 'none/song.celae'):
        assert (tmp_path/name).exists(), name


def test_no_control_character_reaches_the_terminal(here, tmp_path, song, model):
    (odd := tmp_path/'red\x1b[31m\x07\rx.wav').write_bytes(song.read_bytes())
    encode = 'encode', odd, '--model', model
    for args in (encode, encode, ('edit', f'{odd}x', '-o', odd), ('encode', odd, f'--\x1b[31m{odd}'),
                 ('decode', odd.with_suffix('.celae'), '--model', model, '-o', tmp_path/'\x1b[2J.wav'),
                 ('--debug', 'encode', odd, '--model', tmp_path/'\x1b[5m')):
        assert not {*''.join(here(args)[1:])} & {'\x1b', '\x07', '\r'}, args
    assert odd.with_suffix('.celae').exists()


def test_names_without_a_utf8_locale(celae, tmp_path, song, model):
    names = ['été.wav', 'plain.wav', '音楽.wav', 'e\u0301.wav']
    (tmp_path/'music').mkdir()
    for name in names: (tmp_path/'music'/name).write_bytes(song.read_bytes())
    done = celae('encode', 'music', '-o', 'out', '--model', model,
                 LC_ALL='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0', PYTHONIOENCODING='ascii')
    assert done.returncode == 0 and 'left out' not in done.stderr, done.stderr
    assert {f.name for f in (tmp_path/'out').iterdir()} == {name.replace('.wav', '.celae') for name in names}


# signals, kills, homes

def begin_to_write(out):
    "Start a command that takes long to write, and wait until it does."
    code = ('import sys, time, typer\nfrom celae import cli, files\napp = typer.Typer()\n@app.command()\n'
            'def slow(out: str):\n    with files.atomic_write(out) as part:\n'
            '        part.write_text("x"); print("writing", flush=True); time.sleep(60)\n'
            'cli.make_app = lambda: app\ncli.main()')

    def heed_signals():          # as in a terminal: a job in the background may have been told to ignore them
        for name in ('SIGTERM', 'SIGHUP', 'SIGINT'): signal.signal(getattr(signal, name), signal.SIG_DFL)
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process = subprocess.Popen([sys.executable, '-c', code, out], preexec_fn=heed_signals, **pipes)
    process.stdout.readline()
    assert len(os.listdir(out.parent)) == 1
    return process


@pytest.mark.parametrize('name', ['SIGTERM', 'SIGHUP', 'SIGINT'])
def test_signals_clean_up(tmp_path, name):
    process, number = begin_to_write(tmp_path/'out'/'x.wav'), getattr(signal, name)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number and 'interrupted' in said and 'Traceback' not in said, said
    assert os.listdir(tmp_path/'out') == []


def test_what_a_killed_process_left_is_removed_and_nothing_else(here, tmp_path, song, model):
    process = begin_to_write(tmp_path/'out'/'x.wav')
    process.kill()
    process.communicate()
    theirs = ['.celae-notes', '.celae-00000000-1-abcdefgh', '.1-song.wav']
    for name in theirs: (tmp_path/'out'/name).mkdir()
    assert here('encode song.wav -o out/y.celae --model net')[0] == 0
    assert sorted(os.listdir(tmp_path/'out')) == sorted([*theirs, 'y.celae'])


def test_without_a_home(celae, tmp_path):
    sf.write(tmp_path/'song.wav', np.random.default_rng(0).uniform(-.5, .5, 5 * 22_050), 22_050)
    done = celae('prepare', tmp_path, HOME='/proc/no-home', XDG_CACHE_HOME='', XDG_CONFIG_HOME='')
    assert done.returncode == 1 and '--cache' in done.stderr and done.stderr.count('\n') == 1, done.stderr
