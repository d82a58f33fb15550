"""Use the playground as a person would, in a page of Voila and in JupyterLab: every slider, a new clip, a good and a bad file, saving.

    python tools/try_play.py [--picture PNG] [--chromium PATH]

Prints what it measured as JSON; ends with an error where something is not as it should be. Needs playwright, Chromium, voila and jupyterlab.
Servers listen on this machine only.
"""
import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import ProxyHandler, build_opener

from playwright.sync_api import sync_playwright

import celae

NOTEBOOK = Path(celae.__file__).parent/'play.ipynb'
FLAGS = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu']
STATE = """async () => {
    const columns = [...document.querySelectorAll('audio')].map(a => a.closest('.widget-vbox'))
    return Promise.all(columns.map(async c => {
        const picture = c.querySelector('img'), bytes = new Uint8Array(await (await fetch(picture.src)).arrayBuffer())
        return [c.querySelector('audio').src, picture.naturalWidth, bytes.reduce((a, b) => (31 * a + b) % 1000003, 7)].join()}))}"""


def check(what, ok, found=''):
    if not ok: raise SystemExit(f'{what}: not so ({str(found)[:300]})')


def wait_for(what, ask, secs=60.):
    "Ask again and again until the answer is true, and say how long it took."
    start, found = time.time(), None
    while time.time() < start + secs:
        try: found = ask()
        except Exception as e: found = e                # the page is being drawn anew
        if found and not isinstance(found, Exception): return time.time() - start
        time.sleep(.03)
    raise SystemExit(f'{what}: not within {secs:.0f} s ({str(found)[:300]})')


def use(page, folder, bad, good):
    "Everything that one can do with the panel, checked."
    def state(): return page.evaluate(STATE)
    def upload(path):
        with page.expect_file_chooser() as chooser: page.get_by_role('button', name='your own file').click()
        chooser.value.set_files(path)
    wait_for('three players with pictures', lambda: len(state()) == 3 and all(part.split(',')[-2] != '0' for part in state()), 180)
    moves = {}
    for slider in page.locator('.widget-hslider').all():
        name, handle, before = slider.locator('label').inner_text(), slider.locator('.noUi-handle'), state()
        handle.focus()
        for _ in range(3): page.keyboard.press('ArrowRight' if name != 'gain' else 'ArrowLeft')
        moves[name] = wait_for(f'{name}: another sound and another picture', lambda before=before: state()[2].rpartition(',')[0] != before[2].rpartition(',')[0] and state()[2][-6:] != before[2][-6:])
        check(f'{name}: original and reconstruction stay', state()[:2] == before[:2])
        for _ in range(3): page.keyboard.press('ArrowLeft' if name != 'gain' else 'ArrowRight')
        wait_for(f'{name}: back again', lambda before=before: state() == before)
    check('eleven sliders', len(moves) == 11, moves)
    before = state()
    page.locator('.widget-dropdown select').first.select_option('house')
    wait_for('another clip: all three change', lambda: all(a != b for a, b in zip(state(), before, strict=True)))
    upload(bad)
    wait_for('a message about a bad file', lambda: Path(bad).name in page.locator('.jupyter-widgets b').inner_text())
    upload(good)
    wait_for('a good file is chosen', lambda: page.locator('.widget-dropdown select').first.input_value() == Path(good).name)
    page.get_by_role('button', name='make a new clip').click()
    wait_for('a new clip', lambda: page.locator('.widget-dropdown select').first.input_value().startswith('new 1'))
    page.get_by_role('button', name='save', exact=True).click()
    wait_for('a sound is saved', lambda: (folder/'001'/'settings.json').exists())
    return dict(slowest_move=round(max(moves.values()), 2), median_move=round(sorted(moves.values())[len(moves) // 2], 2))


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def serve(kind, folder):
    "Start a server; gives the process and the address of the panel."
    port = free_port()
    if kind == 'voila': command, path = [sys.executable, '-c', 'from celae.cli import main; main()', 'play', str(folder/'saved'), '--no-browser', '--port', str(port)], ''
    else:
        shutil.copy(NOTEBOOK, folder)
        command = [sys.executable, '-m', 'jupyterlab', '--no-browser', '--ip=127.0.0.1', f'--port={port}', '--IdentityProvider.token=', '--ServerApp.disable_check_xsrf=True',
                   f'--ServerApp.root_dir={folder}', '--allow-root', '--LabApp.news_url=None', '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate']
        path = '/lab/tree/play.ipynb'
    env = os.environ | dict(CELAE_SAVED=str(folder/'saved'))
    server = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    ask = build_opener(ProxyHandler({})).open
    wait_for(f'{kind} answers', lambda: ask(f'http://127.0.0.1:{port}{path or "/voila/static/voila.js"}', timeout=60).status == 200 if kind == 'lab' else socket.create_connection(('127.0.0.1', port)), 90)
    return server, f'http://127.0.0.1:{port}{path}'


def try_in(kind, browser, good, bad, picture):
    with TemporaryDirectory() as folder:
        server, address = serve(kind, Path(folder))
        try:
            page = browser.new_page(viewport=dict(width=1500, height=900))
            page.goto(address, timeout=180_000)
            if kind == 'lab':
                page.locator('.jp-CodeCell').first.wait_for(timeout=120_000)
                page.get_by_text('| Idle').wait_for(timeout=120_000)
                page.get_by_role('menuitem', name='Run', exact=True).click()
                page.get_by_text('Run All Cells', exact=True).click()
            found = use(page, Path(folder)/'saved', bad, good)
            if picture: page.screenshot(path=f'{picture}-{kind}.png')
            return found
        finally: os.killpg(server.pid, signal.SIGTERM)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--picture', help='beginning of the names of screenshots')
    parser.add_argument('--chromium', default=shutil.which('chromium') or shutil.which('chromium-browser'), help='the browser; that of playwright if there is none')
    args = parser.parse_args()
    with TemporaryDirectory() as d, sync_playwright() as p:
        from celae.data import write_audio
        from celae.music import render_track
        good, bad = write_audio(Path(d)/'mine.wav', render_track('folk', 7, 3.)[0]), Path(d)/'letter.wav'
        bad.write_text('Dear Sir or Madam')
        browser = p.chromium.launch(executable_path=args.chromium, args=FLAGS)
        print(json.dumps({kind: try_in(kind, browser, str(good), str(bad), args.picture) for kind in ('voila', 'lab')}, indent=1))
