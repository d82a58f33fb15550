"""Open a map of clips in a browser and use it as a person would: wide, narrow, light, dark, offline.

    python tools/try_map.py RUN/map.html [--picture PNG] [--chromium PATH]

Hover, click, keys, fingers, search, colours, legend, lasso, playlist and table. Prints what it measured;
ends with an error where something is not as it should be.
"""
import json
import shutil
from itertools import product
from pathlib import Path

import typer
from look import check, opened

from playwright.sync_api import sync_playwright

FLAGS = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu',
         '--autoplay-policy=user-gesture-required']

# what plays: clip, kind, whether the sound is that of the clip, and whether it runs
PLAYING = """() => new Promise(done => setTimeout(() => { const {clip, kind} = player.dataset
    if (!clip) return done({clip: null})
    const sound = clips[clip][kind === 'original' ? 'sound' : 'copy']
    done({clip: +clip, kind, runs: !player.paused || player.ended, secs: player.duration,
        right: player.src === 'data:' + data.kind + ';base64,' + sound}) }, 300))"""
# a clip that nothing covers
ALONE = """() => { const box = document.getElementById('map').getBoundingClientRect()
    return clips.findIndex((c, i) => { const [x, y] = at(i)
        const on = document.elementFromPoint(box.x + x, box.y + y)
        return nearest(x, y, 14) === i && on?.id === 'map' }) }"""
# times of 120 frames while everything moves
FRAMES = """() => new Promise(done => { const times = [], draws = [], plain = draw; let last = null
    draw = () => { draws.push(plain()) }
    const quantile = (all, share) => all.sort((a, b) => a - b)[Math.floor(share * all.length)]
    const step = now => {
        if (last !== null) times.push(now - last)
        last = now; view.x += 2 / view.scale; zoom(times.length % 2 ? 1.01 : .99)
        if (times.length < 120) return requestAnimationFrame(step)
        draw = plain
        done({median: quantile(times, .5), p95: quantile(times, .95), draw_p95: quantile(draws, .95)}) }
    requestAnimationFrame(step) })"""

def playing(page): return page.evaluate(PLAYING)

def place(page, i):
    "Where a clip lies in the window."
    x, y = page.evaluate(f'at({i})')
    box = page.locator('#map').bounding_box()
    return box['x'] + x, box['y'] + y

def drag(page, points):
    "Draw a line with the mouse."
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]: page.mouse.move(*point, steps=4)
    page.mouse.up()

def saved(page, button):
    "The text of the file that a button gives."
    with page.expect_download() as wait: page.click(button)
    return Path(wait.value.path()).read_bytes().decode()

def choose(page, n):
    "Legend, lasso, playlist and table."
    if page.locator('#legend button').count() > 1:
        page.locator('#legend button').first.click()
        alone = page.evaluate('lit().length')
        check('the legend shows one kind alone',
              0 < alone < n and page.locator('#legend [aria-pressed=true]').count() == 1, alone)
        page.locator('#legend button').nth(1).click(modifiers=['Shift'])
        check('and adds one', page.evaluate('lit().length') > alone)
        page.click('#reset')
    check('all is shown again', page.evaluate('lit().length') == n)
    box = page.locator('#map').bounding_box()
    left, top, width, height = [box[k] for k in ('x', 'y', 'width', 'height')]
    page.click('#lasso')
    drag(page, [(left + a * width, top + b * height) for a, b in ((.02, .1), (.5, .1), (.5, .98), (.02, .98),
                                                            (.02, .1))])
    inside = page.evaluate('lit().length')
    check('the lasso chooses', n < 8 or 0 < inside < n, inside)
    tracks = page.evaluate('lit().map(i => oneLine(clips[i].track))')
    lines = saved(page, '#m3u').splitlines()
    check('a playlist', lines[0] == '#EXTM3U' and [line[2:] for line in lines[1:] if line.startswith('./')]
          == tracks, lines[:5])
    check('nothing else in it', len(lines) == 1 + 4 * inside)
    check('a table', saved(page, '#csv').count('\r\n') == 1 + inside)
    page.click('#reset')

def bounded(page):
    "Neither zoom nor drag loses the clips."
    for key in '+-':
        for _ in range(80): page.keyboard.press(key)
        ratio = page.evaluate('view.scale / whole()')
        check('zoom is bounded', .6 < ratio < 61, ratio)
    for _ in range(12): page.evaluate("view.x += 1e3, bound()")
    check('so is the drag', page.evaluate('view.x <= X1'))
    page.click('#reset')
    check('reset shows all', page.evaluate('Math.abs(view.scale / whole() - 1) < 1e-6'))

def use(page, touch):
    "Everything that one can do with a map, checked."
    n = page.evaluate('clips.length')
    page.evaluate("document.getElementById('map').focus()")
    alone = page.evaluate(ALONE)
    check('a clip can be reached', alone >= 0)
    if touch: page.touchscreen.tap(*place(page, alone))
    else: page.mouse.click(*place(page, alone))
    heard = playing(page)
    check('a click plays the original of its clip', heard['clip'] == alone and heard['kind'] == 'original'
          and heard['right'] and heard['runs'], heard)
    check('the name is shown', page.evaluate(f'title({alone})') == page.locator('#name').inner_text())
    check('five neighbours', page.locator('#near button').count() == min(5, n - 1))
    check('its facts are a table', page.locator('#facts tr').count()
          == page.evaluate(f'Object.values(clips[{alone}].facts).filter(v => v !== null).length'))
    if touch: return dict(clips=n)
    page.mouse.move(*place(page, alone))
    check('a name and a picture under the mouse', page.locator('#tip').is_visible()
          and page.evaluate("document.querySelector('#tip img').naturalWidth > 0"))
    page.mouse.move(5, 400)
    page.check('#listen')
    page.mouse.move(*place(page, alone))
    page.wait_for_timeout(200)
    check('hover plays when it is switched on', playing(page)['clip'] == alone)
    page.uncheck('#listen')
    page.keyboard.down('Shift')
    page.mouse.click(*place(page, alone))
    page.keyboard.up('Shift')
    heard = playing(page)
    check('a click with Shift plays the reconstruction', heard['clip'] == alone and heard['kind']
          == 'reconstruction' and heard['right'] and heard['runs'], heard)
    for key in ('ArrowRight', 'ArrowDown', 'ArrowLeft',
                'ArrowUp'):                 # not every clip has another on its right
        page.keyboard.press(key)
        if page.evaluate('chosen') != alone: break
    page.keyboard.press('Enter')
    check('an arrow goes to another clip, and Enter plays it', playing(page)['clip'] != alone or n == 1,
          playing(page))
    page.locator('#near button').first.click()
    check('a neighbour plays', playing(page)['clip'] == page.evaluate('chosen') and playing(page)['right'])
    before = page.evaluate('paint.map(p => p.color).join()')
    for by in page.evaluate('data.by')[1:]:
        page.select_option('#by', by)
        check(f'colours by {by}', page.locator('#legend span').count() > 0)
    check('colours switch', n < 3 or len(page.evaluate('data.by')) < 2
          or page.evaluate('paint.map(p => p.color).join()') != before)
    page.fill('#search', page.evaluate('clips[0].track'))
    check('the search finds', 0 < page.evaluate('found.size') < n or n == 1
          or page.evaluate('new Set(clips.map(c => c.track)).size') == 1)
    page.press('#search', 'Escape')
    scale = page.evaluate('view.scale')
    page.mouse.move(*place(page, alone))
    page.mouse.wheel(0, -400)
    check('the wheel zooms', page.evaluate('view.scale') > scale)
    page.evaluate("document.getElementById('map').focus()")
    bounded(page)
    choose(page, n)
    frames = page.evaluate(FRAMES)
    page.keyboard.press('Escape')
    page.evaluate('fit(), draw()')
    return dict(clips=n, frame_ms=frames,
                megabytes=page.evaluate('document.documentElement.outerHTML.length / 1e6'))

SAFE = "typeof ran === 'undefined' && document.scripts.length === 2 && !document.querySelector('[onerror]')"

def main(page: Path, picture: Path = None, chromium: str = shutil.which('chromium')):
    found = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for width, scheme in product((1280, 390), ('light', 'dark')):
            with opened(browser, page, width, scheme, width < 1000) as shown:
                found[f'{width} {scheme}'] = use(shown, width < 1000)
                check('no name of a clip has run as a script', shown.evaluate(SAFE))
                if picture: shown.screenshot(path=picture.with_stem(f'{picture.stem}-{width}-{scheme}'))
        browser.close()
    print(json.dumps(found))

if __name__ == '__main__': typer.run(main)
