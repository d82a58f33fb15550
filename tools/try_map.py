"""Open a map of clips from disk in a browser and use it as a person would: hover, click, keys, fingers, search, colours.

    python tools/try_map.py RUN/map.html [--picture PNG] [--chromium PATH]

Prints what it measured as JSON; ends with an error where something is not as it should be. Needs playwright and Chromium.
"""
import argparse
import json
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

FLAGS = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--autoplay-policy=user-gesture-required']


def playing(page):
    "What plays: clip, kind, whether the sound is that of the clip, and whether it runs."
    return page.evaluate("""() => new Promise(done => setTimeout(() => done({
        clip: +player.dataset.clip, kind: player.dataset.kind, runs: !player.paused || player.ended,
        right: player.src === 'data:audio/mpeg;base64,' + clips[player.dataset.clip][player.dataset.kind === 'original' ? 'sound' : 'copy'],
        secs: player.duration}), 300))""")


def place(page, i):
    "Where a clip lies in the window."
    x, y = page.evaluate(f'at({i})')
    box = page.locator('#map').bounding_box()
    return box['x'] + x, box['y'] + y


def check(what, ok, found=''):
    if not ok: raise SystemExit(f'{what}: not so ({found})')


def use(page, touch):
    "Everything that one can do with a map, checked."
    n = page.evaluate('clips.length')
    page.evaluate("document.getElementById('map').focus()")
    alone = page.evaluate('clips.findIndex((c, i) => nearest(...at(i), 14) === i)')         # a clip that no other covers
    if touch: page.touchscreen.tap(*place(page, alone))
    else: page.mouse.click(*place(page, alone))
    heard = playing(page)
    check('a click plays the original of its clip', heard['clip'] == alone and heard['kind'] == 'original' and heard['right'] and heard['runs'], heard)
    check('the name is shown', page.evaluate(f'title({alone})') == page.locator('#name').inner_text())
    check('five neighbours', page.locator('#near button').count() == min(5, n - 1))
    if touch: return dict(clips=n)
    page.mouse.move(*place(page, alone))
    check('a name and a picture under the mouse', page.locator('#tip').is_visible() and page.evaluate("document.querySelector('#tip img').naturalWidth > 0"))
    page.keyboard.down('Shift')
    page.mouse.click(*place(page, alone))
    page.keyboard.up('Shift')
    heard = playing(page)
    check('a click with Shift plays the reconstruction', heard['clip'] == alone and heard['kind'] == 'reconstruction' and heard['right'] and heard['runs'], heard)
    for key in ('ArrowRight', 'ArrowDown', 'ArrowDown'): page.keyboard.press(key)
    page.keyboard.press('Enter')
    check('an arrow goes to another clip, and Enter plays it', playing(page)['clip'] != alone or n == 1, playing(page))
    page.locator('#near button').first.click()
    check('a neighbour plays', playing(page)['clip'] == page.evaluate('chosen') and playing(page)['right'])
    before = page.evaluate('paint.map(p => p.color).join()')
    for by in page.evaluate('data.by')[1:]:
        page.select_option('#by', by)
        check(f'colours by {by}', page.locator('#legend span').count() > 0)
    check('colours switch', n < 3 or len(page.evaluate('data.by')) < 2 or page.evaluate('paint.map(p => p.color).join()') != before)
    page.fill('#search', page.evaluate('clips[0].track'))
    check('the search finds', 0 < page.evaluate('found.size') < n or n == 1 or page.evaluate('new Set(clips.map(c => c.track)).size') == 1)
    page.press('#search', 'Escape')
    scale = page.evaluate('view.scale')
    page.mouse.move(*place(page, alone))
    page.mouse.wheel(0, -400)
    check('the wheel zooms', page.evaluate('view.scale') > scale)
    frames = page.evaluate("""() => new Promise(done => {                    // a minute's worth of frames while everything moves
        const times = []; let last = null
        const step = now => { if (last !== null) times.push(now - last); last = now; view.x += 2 / view.scale; zoom(times.length % 2 ? 1.01 : .99)
            if (times.length < 120) requestAnimationFrame(step); else { times.sort((a, b) => a - b); done({median: times[60], p95: times[114], draw: draw()}) } }
        requestAnimationFrame(step) })""")
    check('frames under 33 ms', frames['p95'] < 34, frames)
    page.keyboard.press('Escape')
    page.evaluate('fit(), draw()')
    return dict(clips=n, frame_ms=frames, megabytes=page.evaluate('document.documentElement.outerHTML.length / 1e6'))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('page', type=Path)
    parser.add_argument('--picture', type=Path, help='PNG of what is seen at the end; another of a telephone beside it')
    parser.add_argument('--chromium', default=shutil.which('chromium'), help="playwright's own when none is installed")
    args = parser.parse_args()
    with sync_playwright() as playwright:
        browser, found = playwright.chromium.launch(executable_path=args.chromium, args=FLAGS), {}
        for name, size, touch in (('desk', (1280, 800), False), ('telephone', (390, 844), True)):
            page = browser.new_context(viewport=dict(zip(('width', 'height'), size)), has_touch=touch, offline=True).new_page()
            errors = []
            page.on('console', lambda message, errors=errors: errors.append(message.text) if message.type == 'error' else None)
            page.on('pageerror', lambda error, errors=errors: errors.append(str(error)))
            page.goto(args.page.resolve().as_uri())
            found[name] = use(page, touch)
            check('no name of a clip has run as a script', page.evaluate("typeof ran === 'undefined' && document.scripts.length === 2 && !document.querySelector('[onerror]')"))
            check('no error in the console', not errors, errors)
            if args.picture: page.screenshot(path=args.picture.with_stem(f'{args.picture.stem}-{name}'))
        browser.close()
    print(json.dumps(found))
