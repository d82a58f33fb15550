"""Open a map of clips from disk in a browser and use it as a person would: hover, click, keys, fingers,
search, colours, legend, lasso, playlist and table; on a wide and a narrow screen, in light and in dark,
with the network cut off.

    python tools/try_map.py RUN/map.html [--picture PNG] [--chromium PATH]

Prints what it measured as JSON; ends with an error where something is not as it should be. Needs playwright
and Chromium.
"""
import argparse
import json
import shutil
from pathlib import Path

from look import INSPECT

from playwright.sync_api import sync_playwright

SCREENS = dict(desk=((1280, 800), False, 'light'), telephone=((390, 844), True, 'light'),
               night=((1280, 800), False, 'dark'), pocket=((390, 844), True, 'dark'))
FLAGS = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu',
         '--autoplay-policy=user-gesture-required']

def playing(page):
    "What plays: clip, kind, whether the sound is that of the clip, and whether it runs."
    return page.evaluate("""() => new Promise(done => setTimeout(() => done(!player.dataset.clip ? {clip: null} : {
        clip: +player.dataset.clip, kind: player.dataset.kind, runs: !player.paused || player.ended,
        right: player.src === 'data:' + data.kind + ';base64,' + clips[player.dataset.clip][player.dataset.kind === 'original' ? 'sound' : 'copy'],
        secs: player.duration}), 300))""")

def place(page, i):
    "Where a clip lies in the window."
    x, y = page.evaluate(f'at({i})')
    box = page.locator('#map').bounding_box()
    return box['x'] + x, box['y'] + y

def check(what, ok, found=''):
    if not ok: raise SystemExit(f'{what}: not so ({found})')

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
    alone = page.evaluate("""() => { const box = document.getElementById('map').getBoundingClientRect()      // a clip that nothing covers
        return clips.findIndex((c, i) => { const [x, y] = at(i)
            return nearest(x, y, 14) === i && document.elementFromPoint(box.x + x, box.y + y)?.id === 'map' }) }""")
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
    frames = page.evaluate("""() => new Promise(done => {                    // 120 frames while everything moves
        const times = [], draws = [], plain = draw; let last = null
        draw = () => { draws.push(plain()) }
        const step = now => { if (last !== null) times.push(now - last); last = now; view.x += 2 / view.scale; zoom(times.length % 2 ? 1.01 : .99)
            if (times.length < 120) return requestAnimationFrame(step)
            draw = plain
            for (const t of [times, draws]) t.sort((a, b) => a - b)
            done({median: times[60], p95: times[114], draw_median: draws[draws.length >> 1], draw_p95: draws[Math.floor(.95 * draws.length)]}) }
        requestAnimationFrame(step) })""")
    page.keyboard.press('Escape')
    page.evaluate('fit(), draw()')
    return dict(clips=n, frame_ms=frames,
                megabytes=page.evaluate('document.documentElement.outerHTML.length / 1e6'))

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('page', type=Path)
    parser.add_argument('--picture', type=Path, help='PNG of what is seen at the end, one for each screen')
    parser.add_argument('--chromium', default=shutil.which('chromium'),
                        help="playwright's own when none is installed")
    args = parser.parse_args()
    with sync_playwright() as playwright:
        browser, found = playwright.chromium.launch(executable_path=args.chromium, args=FLAGS), {}
        for name, (size, touch, scheme) in SCREENS.items():
            page = browser.new_context(viewport=dict(zip(('width', 'height'), size)), has_touch=touch,
                                       offline=True, color_scheme=scheme).new_page()
            errors = []
            page.on('console', lambda message, errors=errors: errors.append(message.text)
                    if message.type in ('error', 'warning') else None)
            page.on('pageerror', lambda error, errors=errors: errors.append(str(error)))
            page.on('request', lambda request, errors=errors: None
                    if request.url.startswith(('file:', 'data:', 'blob:')) else errors.append(request.url))
            page.goto(args.page.resolve().as_uri())
            found[name] = use(page, touch)
            check('no name of a clip has run as a script',
                  page.evaluate("typeof ran === 'undefined' && document.scripts.length === 2 && !document.querySelector('[onerror]')"))
            check('nothing is cut off', not (wrong := page.evaluate(INSPECT)), wrong)
            check('no error in the console, no request', not errors, errors)
            if args.picture: page.screenshot(path=args.picture.with_stem(f'{args.picture.stem}-{name}'))
        browser.close()
    print(json.dumps(found))
