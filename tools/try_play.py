"""Use the playground as a person would, in a page of Voila and in JupyterLab, while it plays.

    python tools/try_play.py [--picture NAME] [--chromium PATH] [--python PATH]

Every slider, presets, A/B, a new clip, files, saving, at 1280 and 390 pixels. No request may leave the
machine, and the console stays silent. In Voila it is also attacked, as other pages in the same browser and
other users of the machine might: without the token, by another host's name, from another origin; then its
kernels have to end with the page.
"""
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
import typer
from look import check
from playwright.sync_api import sync_playwright

import celae

NOTEBOOK = Path(celae.__file__).parent/'play.ipynb'
FLAGS = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu',
         '--autoplay-policy=no-user-gesture-required']
PLAY = "document.querySelector('.celae-play').celae"
STATE = """() => ['original', 'decoded', 'edited'].map(name => {
    const {pcm, picture} = %s.model.get(name)
    const bytes = d => new Uint8Array(d.buffer, d.byteOffset, d.byteLength)
    return [pcm, picture].map(d => bytes(d).reduce((a, b) => (31 * a + b) %% 1000003, 7)).join()})""" % PLAY
# Levels of what is heard, 20 ms apart, from here on
METER = """() => {
    const play = %s, {context, out} = play.player
    const meter = new AnalyserNode(context, {fftSize: 1024}), wave = new Float32Array(1024)
    out.connect(meter)
    play.levels = []
    const heard = () => { meter.getFloatTimeDomainData(wave); return Math.max(...wave.map(Math.abs)) }
    play.meter = setInterval(() => play.levels.push(heard()), 20)}""" % PLAY
SERVE = 'from celae.playground import serve; serve({!r}, {}, False, idle=20)'
WIDER = """() => [...document.querySelectorAll('.celae-play, .celae-play *')].filter(e => {
    const box = e.getBoundingClientRect()
    return box.width && (box.right > innerWidth + 1 || box.left < -1)
        || (e.matches('button') && e.scrollWidth > e.clientWidth + 1)}).map(e => e.outerHTML.slice(0, 90))"""

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
    def ask(words): return page.evaluate(f'{PLAY}.{words}')
    def idle(): return ask('sent.size') == 0
    def press(slider, key, times=1):
        slider.focus()
        for _ in range(times): page.keyboard.press(key)
    def button(name): return page.locator('.celae-play').get_by_role('button', name=name, exact=True)
    def choose(name, value): page.locator(f'.celae-play select[data-name="{name}"]').select_option(value)
    def chosen(): return ask('state.clip')
    def upload(path):
        with page.expect_file_chooser() as chooser: button('your own file').click()
        chooser.value.set_files(path)
    wait_for('the panel', lambda: all(state()), 180)
    button('▶ play').click()
    wait_for('it plays', lambda: ask('player.position()') > .2)
    page.evaluate(METER)
    time.sleep(6)                                       # once round
    quiet, moves = sum(level < 1e-4 for level in ask('levels')) / len(ask('levels')), {}
    page.evaluate(f'{PLAY}.levels = []')
    plain, took = state(), []
    for slider in page.locator('.celae-play input[type=range]').all():
        name = slider.get_attribute('data-name')
        if name == 'width': continue                    # the song has one channel
        start = state()
        if name == 'freeze-loop':                       # is only heard when something is frozen
            press(page.locator('.celae-play input[data-name=freeze]'), 'ArrowRight', 16)
            wait_for('frozen', lambda: idle() and state() != plain)
        before = state()
        page.evaluate(f'{PLAY}.took = []')
        press(slider, 'ArrowLeft' if name == 'gain' else 'ArrowRight', 3)
        moves[name] = wait_for(f'{name}: another sound and another picture', lambda before=before: idle()
                               and state()[2] != before[2])
        took += ask('took')
        check(f'{name}: original and decoded stay', state()[:2] == before[:2])
        check(f'{name}: it plays on', ask('player.playing'))
        slider.dblclick()                               # back to its default
        if name == 'freeze-loop': page.locator('.celae-play input[data-name=freeze]').dblclick()
        wait_for(f'{name}: back again', lambda start=start: idle() and state() == start)
    check('all sliders', len(moves) == 15, moves)
    levels = ask('levels')
    check('no silence through all moves', sum(level < 1e-4 for level in levels) / len(levels) < quiet + .03,
          (quiet, sorted(levels)[:9]))
    for name in ask("model.get('presets')"):
        button(name).click()
        wait_for(f'preset {name}', lambda: idle() and state()[2] != plain[2])
    at = ask('player.position()')
    page.locator('.celae-play').focus()
    for key, name in dict(a='original', c='decoded', b='edited').items():
        page.keyboard.press(key)
        check(f'key {key}', ask('player.heard') == name and ask('player.playing'), name)
    check('the place is kept', (ask('player.position()') - at) % ask('player.secs') < 2)
    page.keyboard.press('l')
    check('no loop', not ask('player.loop'))
    wait_for('the end', lambda: not ask('player.playing'), 10)
    page.keyboard.press('l')
    page.keyboard.press(' ')
    wait_for('it plays again', lambda: ask('player.playing'))
    with page.expect_download() as download: button('download').click()
    kept = Path(download.value.path()).read_bytes()
    check('the download is what is heard', kept[:4] == b'RIFF' and len(kept) == 44
          + ask("model.get('edited').pcm.byteLength"), len(kept))
    button('reset').click()
    wait_for('reset', lambda: idle() and state() == plain)
    # pressed while busy: a new clip, moves, a choice and saving, all at once
    page.evaluate(f"""() => {{ const play = {PLAY}
        play.set({{label: play.inputs.label.c.options[0], seed: 5}}); play.ask('make')
        for (let i = 0; i < 30; i++) play.set({{gain: 1 + i / 40}})
        play.set({{transpose: 3}}); play.ask('save'); play.set({{mask: 4}}) }}""")
    check('the busy sign', page.locator('.celae-play.is-busy').count() == 1)
    wait_for('a sound is saved', lambda: (folder/'001'/'settings.json').exists())
    wait_for('all is done', idle)
    check('the new clip is chosen', chosen().startswith('new: ') and chosen().endswith('seed 5'), chosen())
    last = ask('state')
    check('no move is lost', (last['gain'], last['transpose'], last['mask'], last['seed'])
          == (1.725, 3, 4, 6), last)
    saved = json.loads((folder/'001'/'settings.json').read_text())
    check('what is saved is of its moment', (saved['settings']['gain'], saved['settings']['mask'],
                                             saved['clip']) == (1.725, 0, chosen()), saved)
    before = state()
    choose('clip', 'house')
    wait_for('another clip: all three change', lambda: idle() and all(a != b
                                                            for a, b in zip(state(), before, strict=True)))
    check('it plays on', ask('player.playing'))
    upload(bad)
    wait_for('a message about a bad file',
             lambda: Path(bad).name in page.locator('.celae-play .message.bad').inner_text())
    upload(good)
    wait_for('a good file is chosen', lambda: chosen() == Path(good).name)
    sent = time.time()
    if large: upload(large)
    if large: wait_for('a large file is chosen', lambda: chosen() == Path(large).name)
    sent = time.time() - sent
    button('make a new clip').click()
    wait_for('a new clip', lambda: chosen().startswith('new: ') and chosen().endswith('seed 6'))
    helps = page.locator('.celae-play .control').evaluate_all('all => all.map(e => e.dataset.help)')
    check('tooltips', all(helps))
    if page.locator('.jp-NotebookPanel').count(): check('keys are not those of the notebook',
                                                        page.locator('.jp-CodeCell').count() == 1)
    took = sorted(took)
    return dict(large_upload_s=round(sent, 1), moves=len(took), median_move_ms=round(took[len(took) // 2]),
                slowest_move_ms=round(took[-1]))

def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]

def kernel_of(page):
    config = "document.getElementById('jupyter-config-data').textContent"
    return page.evaluate(f'JSON.parse({config}).kernelId')

def processes(server):
    "Kernels that a server has now."
    found = subprocess.run(['pgrep', '-P', str(server.pid), '-f', 'ipykernel'], capture_output=True,
                           text=True)
    return len(found.stdout.split())

def attack(port, token, kernel):
    "What strangers get from the address of the panel, and who is let in."
    def ask(path, method='GET', **headers):
        connection = HTTPConnection('127.0.0.1', port, timeout=60)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader('Location', '').partition('?')[0]
    key, api, login = dict(Authorization=f'token {token}'), f'/api/kernels/{kernel}', (302, '/login')
    socket_key = dict(Upgrade='websocket', Connection='Upgrade', **{'Sec-WebSocket-Version': '13',
                                                            'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA=='})
    def channels(**headers): return ask(f'{api}/channels', **socket_key, **headers)[0]
    expected = {
        'the page without the token': (ask('/'), login), 'a wrong token': (ask('/?token=' + '0' * 48), login),
        'a kernel without the token': (ask(api), (403, '')),
        'another host, with the token': (ask(f'/?token={token}', Host=f'evil.example:{port}'), (403, '')),
        'a kernel with the token': (ask(api, **key)[0], 200),
        'a kernel by another host': (ask(api, Host='evil.example', **key)[0], 403),
        'ending a kernel without the token': (ask(f'/voila/api/shutdown/{kernel}', 'POST')[0], 403),
        'channels without the token': (channels(), 403),
        'channels by another host': (channels(Host='evil.example', **key), 403),
        'channels by another origin': (channels(Origin='http://evil.example'), 403),
        'channels with the token': (channels(**key), 101)}
    for what, (found, right) in expected.items(): check(what, found == right, found)

def reload_and_close(page, server, port, token):
    "A page that is loaded again or closed leaves no kernel behind; neither does one that was only fetched."
    check('one kernel', processes(server) == 1, processes(server))
    first = kernel_of(page)
    origin = page.context.cookies()
    connection = HTTPConnection('127.0.0.1', port,
                                timeout=60)
    connection.request('GET', f'/api/kernels/{first}/channels', headers={
        'Cookie': '; '.join(f'{c["name"]}={c["value"]}' for c in origin), 'Origin': 'http://evil.example',
        'Upgrade': 'websocket', 'Connection': 'Upgrade', 'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA=='})
    status = connection.getresponse().status
    check('channels with the cookies, by another origin', status == 403, status)
    page.reload(timeout=180_000)
    page.locator('.celae-play').wait_for(timeout=180_000)
    check('another kernel', kernel_of(page) != first)
    ended = wait_for('the old kernel is gone', lambda: processes(server) == 1)
    page.goto('about:blank')
    wait_for('no kernel when the page is left', lambda: processes(server) == 0)
    fetched = HTTPConnection('127.0.0.1', port, timeout=180)
    fetched.request('GET', f'/?token={token}')
    fetched.getresponse().read()
    check('a kernel of a page that nothing connects to', processes(server) == 1, processes(server))
    return dict(kernel_ended_after=round(ended, 1),
                unconnected_ended_after=round(wait_for('it ends', lambda: processes(server) == 0), 1))

def serve(kind, folder, python):
    "Start a server; gives the process, its port, and the address of the panel."
    port = free_port()
    if kind == 'voila': command, path = [python, '-P', '-c',
                                         SERVE.format(str(folder/'saved'), port)], ''
    else:
        shutil.copy(NOTEBOOK, folder)
        command = [python, '-m', 'jupyterlab', '--no-browser', '--ip=127.0.0.1', f'--port={port}',
                   '--IdentityProvider.token=', '--ServerApp.disable_check_xsrf=True',
                   f'--ServerApp.root_dir={folder}', '--allow-root', '--LabApp.news_url=None',
                   '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate']
        path = '/lab/tree/play.ipynb'
    env = os.environ | dict(CELAE_SAVED=str(folder/'saved'))
    env.pop('JUPYTER_TOKEN', None)
    server = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL,
                              stderr=open(folder/'log', 'w'), start_new_session=True)
    ask = build_opener(ProxyHandler({})).open
    if kind == 'lab': wait_for('lab answers', lambda: ask(f'http://127.0.0.1:{port}{path}', timeout=60).status
                               == 200, 90)
    else:
        wait_for('the address with its token', lambda: re.search(r'http://127\.0\.0\.1:\d+/\?token=(\w+)',
                                                            (folder/'log').read_text()), 400)
        path = '/?token=' + re.search(r'token=(\w+)', (folder/'log').read_text())[1]
    return server, port, f'http://127.0.0.1:{port}{path}'

def try_in(kind, browser, good, bad, large, picture, python):
    with TemporaryDirectory() as folder:
        server, port, address = serve(kind, Path(folder), python)
        try:
            page, wrong = browser.new_context(viewport=dict(width=1280, height=900)).new_page(), []
            page.on('console', lambda message: wrong.append(message.text) if message.type == 'error' and kind
                    == 'voila' else None)    # JupyterLab has its own
            page.on('pageerror', lambda error: wrong.append(str(error)))
            page.on('request', lambda request: None
                    if request.url.startswith((f'http://127.0.0.1:{port}/', 'data:', 'blob:'))
                    else wrong.append(request.url))
            page.goto(address, timeout=180_000)
            if kind == 'lab':
                page.locator('.jp-CodeCell').first.wait_for(timeout=120_000)
                page.get_by_text('| Idle').wait_for(timeout=120_000)
                if page.locator('.jp-DirListing').is_visible(): page.keyboard.press('Control+b')
                wait_for('room for the notebook',
                         lambda: page.locator('.jp-NotebookPanel').bounding_box()['width'] > 700)
                page.get_by_role('menuitem', name='Run', exact=True).click()
                page.get_by_text('Run All Cells', exact=True).click()
            found = use(page, Path(folder)/'saved', bad, good, large if kind == 'voila'
                        else '')     # JupyterLab has its own limit
            for width in (1280, 390):
                page.set_viewport_size(dict(width=width, height=844))
                time.sleep(.5)
                if picture: page.screenshot(path=f'{picture}-{kind}-{width}.png', full_page=True)
                if kind == 'voila': check(f'nothing is wider than {width} pixels',
                                          not (wide := page.evaluate(WIDER)), wide)
            check(f'{kind}: no errors, no requests to other machines', not wrong, wrong)
            if kind == 'voila':
                token = address.partition('token=')[2]
                attack(port, token, kernel_of(page))
                found |= reload_and_close(page, server, port, token)
            return found
        finally: os.killpg(server.pid, signal.SIGTERM)

def main(picture: str = None, chromium: str = shutil.which('chromium'), python: str = sys.executable,
         kinds: str = 'voila lab'):
    from celae.audio import write_audio
    from celae.corpora.builtin import render_track
    with TemporaryDirectory() as d, sync_playwright() as p:
        good, bad = write_audio(Path(d)/'mine.wav', render_track('folk', 7, 3.)[0]), Path(d)/'letter.wav'
        bad.write_text('Dear Sir or Madam')
        large = write_audio(Path(d)/'large.wav', np.tile(render_track('folk', 8, 3.)[0], 91))    # 12 MB
        browser = p.chromium.launch(executable_path=chromium, args=FLAGS)
        print(json.dumps({kind: try_in(kind, browser, str(good), str(bad), str(large), picture, python)
                          for kind in kinds.split()}, indent=1))

if __name__ == '__main__': typer.run(main)
