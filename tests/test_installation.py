"What a plain installation gets: a kernel that starts, modules that hide nothing, requirements with a lower bound."
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

import pytest

import celae as package

PACKAGE = Path(package.__file__).parent


def test_no_module_bears_a_name_of_the_standard_library():
    names = {path.stem for path in PACKAGE.rglob('*.py')} | {path.name for path in PACKAGE.rglob('*') if path.is_dir()}
    assert not names & set(sys.stdlib_module_names), names & set(sys.stdlib_module_names)


@pytest.fixture
def playground(tmp_path):
    "Starts `celae play` from a copy of the package that has modules which stop any Python started beside them."
    pytest.importorskip('voila')
    shutil.copytree(PACKAGE, tmp_path/'site'/'celae', ignore=shutil.ignore_patterns('__pycache__', 'gtzan'))
    for name in ('collections', 'types', 'torch'): (tmp_path/'site'/'celae'/f'{name}.py').write_text('raise SystemExit')
    env = os.environ | dict(PYTHONPATH=str(tmp_path/'site'), OMP_NUM_THREADS='1')
    env.pop('JUPYTER_TOKEN', None)
    with (tmp_path/'log').open('w') as log, socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
        free.close()
        server = subprocess.Popen([sys.executable, '-P', '-m', 'celae', 'play', 'saved', '--no-browser', '--port', str(port)],
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
    assert 'application/vnd.jupyter.widget-view+json' in page, log.read_text()   # what a kernel made, not the notebook
    assert 'Traceback' not in page
