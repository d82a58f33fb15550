"""Use the playground as a person would, in a page of Voila and in JupyterLab: every slider, a new clip, a good, a large and a bad file, saving.
In Voila it is also attacked, as other pages in the same browser and other users of the machine might: without the token, by another host's name, from another origin.
Then the page is loaded again and closed, and its kernels have to end.

    python tools/try_play.py [--picture PNG] [--chromium PATH]

Prints what it measured as JSON; ends with an error where something is not as it should be. Needs playwright, Chromium, voila and jupyterlab.
Servers listen on this machine only.
"""
import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import ProxyHandler, build_opener

import numpy as np
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


def use(page, folder, bad, good, large):
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
    chosen = page.locator('.widget-dropdown select').first.input_value
    wait_for('a good file is chosen', lambda: chosen() == Path(good).name)
    sent = time.time()
    if large: upload(large)
    if large: wait_for('a large file is chosen', lambda: chosen() == Path(large).name)
    sent = time.time() - sent
    page.get_by_role('button', name='make a new clip').click()
    wait_for('a new clip', lambda: page.locator('.widget-dropdown select').first.input_value().startswith('new 1'))
    page.get_by_role('button', name='save', exact=True).click()
    wait_for('a sound is saved', lambda: (folder/'001'/'settings.json').exists())
    return dict(large_upload=round(sent, 1), slowest_move=round(max(moves.values()), 2), median_move=round(sorted(moves.values())[len(moves) // 2], 2))


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def kernel_of(page): return page.evaluate("JSON.parse(document.getElementById('jupyter-config-data').textContent).kernelId")


def processes(server):
    "Kernels that a server has now."
    found = subprocess.run(['pgrep', '-P', str(server.pid), '-f', 'ipykernel'], capture_output=True, text=True)
    return len(found.stdout.split())


def attack(port, token, kernel):
    "What strangers get from the address of the panel, and who is let in."
    def ask(path, method='GET', **headers):
        connection = HTTPConnection('127.0.0.1', port, timeout=60)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader('Location', '').partition('?')[0]
    key, api, login = dict(Authorization=f'token {token}'), f'/api/kernels/{kernel}', (302, '/login')
    socket_key = dict(Upgrade='websocket', Connection='Upgrade', **{'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA=='})
    def channels(**headers): return ask(f'{api}/channels', **socket_key, **headers)[0]
    expected = {
        'the page without the token': (ask('/'), login), 'a wrong token': (ask('/?token=' + '0' * 48), login), 'a kernel without the token': (ask(api), (403, '')),
        'another host, with the token': (ask(f'/?token={token}', Host=f'evil.example:{port}'), (403, '')),
        'a kernel with the token': (ask(api, **key)[0], 200), 'a kernel by another host': (ask(api, Host='evil.example', **key)[0], 403),
        'ending a kernel without the token': (ask(f'/voila/api/shutdown/{kernel}', 'POST')[0], 403),
        'channels without the token': (channels(), 403), 'channels by another host': (channels(Host='evil.example', **key), 403),
        'channels by another origin': (channels(Origin='http://evil.example'), 403), 'channels with the token': (channels(**key), 101)}
    for what, (found, right) in expected.items(): check(what, found == right, found)


def reload_and_close(page, server, port, token):
    "A page that is loaded again or closed leaves no kernel behind; neither does one that was only fetched."
    check('one kernel', processes(server) == 1, processes(server))
    first = kernel_of(page)
    origin = page.context.cookies()
    connection = HTTPConnection('127.0.0.1', port, timeout=60)                         # another page in the browser has its cookies, and is of another origin
    connection.request('GET', f'/api/kernels/{first}/channels', headers={
        'Cookie': '; '.join(f'{c["name"]}={c["value"]}' for c in origin), 'Origin': 'http://evil.example', 'Upgrade': 'websocket', 'Connection': 'Upgrade',
        'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA=='})
    status = connection.getresponse().status
    check('channels with the cookies, by another origin', status == 403, status)
    page.reload(timeout=180_000)
    page.locator('audio').first.wait_for(timeout=180_000)
    check('another kernel', kernel_of(page) != first)
    ended = wait_for('the old kernel is gone', lambda: processes(server) == 1)
    page.goto('about:blank')
    wait_for('no kernel when the page is left', lambda: processes(server) == 0)
    fetched = HTTPConnection('127.0.0.1', port, timeout=180)
    fetched.request('GET', f'/?token={token}')
    fetched.getresponse().read()
    check('a kernel of a page that nothing connects to', processes(server) == 1, processes(server))
    return dict(kernel_ended_after=round(ended, 1), unconnected_ended_after=round(wait_for('it ends', lambda: processes(server) == 0), 1))


def serve(kind, folder):
    "Start a server; gives the process, its port, and the address of the panel."
    port = free_port()
    if kind == 'voila': command, path = [sys.executable, '-c', f'from celae.playground import serve; serve({str(folder/"saved")!r}, {port}, False, idle=20)'], ''
    else:
        shutil.copy(NOTEBOOK, folder)
        command = [sys.executable, '-m', 'jupyterlab', '--no-browser', '--ip=127.0.0.1', f'--port={port}', '--IdentityProvider.token=', '--ServerApp.disable_check_xsrf=True',
                   f'--ServerApp.root_dir={folder}', '--allow-root', '--LabApp.news_url=None', '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate']
        path = '/lab/tree/play.ipynb'
    env = os.environ | dict(CELAE_SAVED=str(folder/'saved'))
    env.pop('JUPYTER_TOKEN', None)
    server = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=open(folder/'log', 'w'), start_new_session=True)
    ask = build_opener(ProxyHandler({})).open
    if kind == 'lab': wait_for('lab answers', lambda: ask(f'http://127.0.0.1:{port}{path}', timeout=60).status == 200, 90)
    else:
        wait_for('the address with its token', lambda: re.search(r'http://127\.0\.0\.1:\d+/\?token=(\w+)', (folder/'log').read_text()), 400)
        path = '/?token=' + re.search(r'token=(\w+)', (folder/'log').read_text())[1]
    return server, port, f'http://127.0.0.1:{port}{path}'


def try_in(kind, browser, good, bad, large, picture):
    with TemporaryDirectory() as folder:
        server, port, address = serve(kind, Path(folder))
        try:
            page = browser.new_context(viewport=dict(width=1500, height=900)).new_page()
            page.goto(address, timeout=180_000)
            if kind == 'lab':
                page.locator('.jp-CodeCell').first.wait_for(timeout=120_000)
                page.get_by_text('| Idle').wait_for(timeout=120_000)
                page.get_by_role('menuitem', name='Run', exact=True).click()
                page.get_by_text('Run All Cells', exact=True).click()
            found = use(page, Path(folder)/'saved', bad, good, large if kind == 'voila' else '')     # JupyterLab has its own limit
            if picture: page.screenshot(path=f'{picture}-{kind}.png')
            if kind == 'voila':
                token = address.partition('token=')[2]
                attack(port, token, kernel_of(page))
                found |= reload_and_close(page, server, port, token)
            return found
        finally: os.killpg(server.pid, signal.SIGTERM)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--picture', help='beginning of the names of screenshots')
    parser.add_argument('--chromium', default=shutil.which('chromium') or shutil.which('chromium-browser'), help='the browser; that of playwright if there is none')
    parser.add_argument('--kinds', nargs='+', default=['voila', 'lab'], choices=['voila', 'lab'], help='where it is tried')
    args = parser.parse_args()
    with TemporaryDirectory() as d, sync_playwright() as p:
        from celae.data import write_audio
        from celae.music import render_track
        good, bad = write_audio(Path(d)/'mine.wav', render_track('folk', 7, 3.)[0]), Path(d)/'letter.wav'
        bad.write_text('Dear Sir or Madam')
        large = write_audio(Path(d)/'large.wav', np.tile(render_track('folk', 8, 3.)[0], 91))    # 12 MB
        browser = p.chromium.launch(executable_path=args.chromium, args=FLAGS)
        print(json.dumps({kind: try_in(kind, browser, str(good), str(bad), str(large), args.picture) for kind in args.kinds}, indent=1))
