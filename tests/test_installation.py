"What a plain installation gets: a kernel that starts, modules that hide nothing, bounds of requirements."
import ast
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import celae as package

NEVER_INSTALLED = {'basic-pitch', 'librosa', 'umap', 'visqol'}     # are used where a user has them
PACKAGE = Path(package.__file__).parent

def test_no_module_bears_a_name_of_the_standard_library():
    names = {path.stem for path in PACKAGE.rglob('*.py')} | {path.name for path in PACKAGE.rglob('*')
                                                            if path.is_dir()}
    assert not names & set(sys.stdlib_module_names), names & set(sys.stdlib_module_names)

@pytest.fixture
def playground(tmp_path):
    "Starts `celae play` from a copy of the package with modules that stop any Python started beside them."
    pytest.importorskip('voila')
    shutil.copytree(PACKAGE, tmp_path/'site'/'celae', ignore=shutil.ignore_patterns('__pycache__', 'gtzan'))
    for name in ('collections', 'types',
                 'torch'): (tmp_path/'site'/'celae'/f'{name}.py').write_text('raise SystemExit')
    env = os.environ | dict(PYTHONPATH=str(tmp_path/'site'), OMP_NUM_THREADS='1')
    env.pop('JUPYTER_TOKEN', None)
    with (tmp_path/'log').open('w') as log, socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
        free.close()
        server = subprocess.Popen([sys.executable, '-P', '-m', 'celae', 'play', 'saved', '--no-browser',
                                   '--port', str(port)],
                                  cwd=tmp_path, env=env, stderr=log, start_new_session=True)
    yield server, tmp_path/'log'
    os.killpg(server.pid, signal.SIGTERM)
    server.wait(60)

def test_the_playground_opens(playground):
    server, log = playground
    for _ in range(600):
        if found := re.search(r'http://127\.0\.0\.1:\d+/\?token=\w+', log.read_text()): break
        assert server.poll() is None, log.read_text()
        time.sleep(.2)
    page = build_opener(ProxyHandler({}), HTTPCookieProcessor()).open(found[0], timeout=120).read().decode()
    assert 'application/vnd.jupyter.widget-view+json' in page, log.read_text()   # made by a kernel
    assert 'Traceback' not in page

@pytest.mark.parametrize('extra, command, hidden', [
    ('notebooks', ['play'], ['voila']), ('export', ['export', '-o', 'onnx'], ['onnx', 'onnxscript']),
    ('export', ['export', '-o', 'onnx'], ['onnxscript']), ('compositions', ['compositions', 'music'],
                                                           ['music21'])])
def test_a_command_without_its_extra_names_it(tmp_path, extra, command, hidden):
    hide = f'import sys; sys.modules.update(dict.fromkeys({hidden})); from celae.cli import main; main()'
    ended = subprocess.run([sys.executable, '-P', '-c', hide, *command], cwd=tmp_path, capture_output=True,
                           text=True)
    assert ended.returncode and not list(tmp_path.iterdir())
    assert f"pip install 'celae[{extra}]'" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1 and all(name in ended.stderr for name in hidden)

def requirements():
    "Extra, or '' -> the requirements that an installation tells of."
    found = {}
    for line in requires('celae'):
        requirement = Requirement(line)
        extra = re.search(r"extra == .(\w+)", str(requirement.marker))
        found.setdefault(extra[1] if extra else '', []).append(requirement)
    return found

def imported():
    "Packages that our modules import, as the index of packages calls them."
    homes = packages_distributions()
    for path in PACKAGE.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text('utf-8'))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level: names = [node.module]
            for name in {name.partition('.')[0] for name in names} - {*sys.stdlib_module_names, 'celae'}:
                yield canonicalize_name(homes.get(name, [name])[0])

def test_what_is_imported_is_required():
    asked = {extra: {canonicalize_name(each.name) for each in found} for extra,
             found in requirements().items()}
    assert set(imported()) <= set().union(*asked.values()) | NEVER_INSTALLED
    assert asked[''] <= set(imported()), asked[''] - set(imported())

def test_each_requirement_has_an_oldest_version():
    for extra in ('', 'notebooks', 'compositions', 'export', 'cluster', 'test'):
        for each in requirements()[extra]:
            assert {'>=', '=='} & {part.operator for part in each.specifier}, each

HOLES = dict(pyarrow=['13.0', '14.0.0'], lightning=['2.6.2', '2.6.3'], requests=['2.32.3'],
             jinja2=['3.1.5'],
             tqdm=['4.66.2']) | {'lightning-fabric': ['2.6.2', '2.6.3']}

@pytest.mark.parametrize('each', requirements()[''], ids=lambda each: each.name)
def test_no_version_with_a_known_hole_is_allowed(each):
    assert not [version for version in HOLES.get(each.name, ()) if version in each.specifier]
