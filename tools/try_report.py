"""Open the report of a run, and the map beside it, from disk in a browser: wide and narrow, light and dark,
without network.

    python tools/try_report.py RUN/report.html [--pictures FOLDER] [--chromium PATH]

Plays, switches between original and decoded sound, seeks, unfolds all sections and prints to paper. Ends
with an error on anything in the console, any request, and content that is cut off or scrolls sideways.
Needs playwright and Chromium.
"""
import argparse
import json
import shutil
from pathlib import Path

from look import INSPECT
from playwright.sync_api import sync_playwright

WIDTHS, SCHEMES = (1280, 390), ('light', 'dark')
FLAGS = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu',
         '--autoplay-policy=user-gesture-required']

# letters smaller than this in a figure cannot be read
SMALLEST = """() => [...document.querySelectorAll('.figure img')].filter(i => i.offsetWidth && i.src.includes('svg'))
    .map(i => i.clientWidth / i.naturalWidth).reduce((a, b) => Math.min(a, b), 1)"""

def check(what, ok, found=''):
    if not ok: raise SystemExit(f'{what}: not so ({found})')

def wait(page, condition):
    "Wait up to ten seconds; the policy of the page lets no text become script, so that the browser cannot wait itself."
    for _ in range(200):
        if page.evaluate(condition): return
        page.wait_for_timeout(50)
    check(condition, False)

def state(page, i):
    return page.evaluate(f"""() => {{ const p = players[{i}]; return {{runs: !!p.sources, at: p.position(), now: p.now,
        gains: p.gains ? p.gains.map(g => g.gain.value) : [], secs: p.secs, clock: context ? context.currentTime : -1}} }}""")

def compare(page, i):
    "Play a player with several versions, and switch."
    figure = page.locator('figure.player').nth(i)
    figure.locator('.play').click()
    wait(page, f'!!players[{i}].sources && players[{i}].position() > .15')
    before = state(page, i)
    check('the first version is heard', before['now'] == 0 and before['gains'][0] == 1
          and not any(before['gains'][1:]), before)
    figure.locator('.bar button').nth(2).click()
    page.wait_for_timeout(120)
    after = state(page, i)
    moved, passed = after['at'] - before['at'], after['clock'] - before['clock']      # on a busy machine some rounds
    drift = (moved - passed) % after['secs']
    is_kept = min(drift, after['secs'] - drift) < .05
    check('a switch keeps the position', after['runs'] and after['now'] == 1 and is_kept, (before, after))
    check('the other version is heard', after['gains'][1] > .99 and after['gains'][0] < .01, after)
    check('its spectrogram is shown', figure.locator('.version:visible').count() == 1
          and figure.locator('.version').nth(1).is_visible())
    page.keyboard.press('a')
    check('the key A goes back', state(page, i)['now'] == 0)
    box = figure.locator('.screen').bounding_box()
    page.mouse.click(box['x'] + .6 * box['width'], box['y'] + box['height'] / 2)
    seek = state(page, i)
    check('a click on the spectrogram seeks', seek['runs'] and .55 < seek['at'] / seek['secs'] < .75, seek)
    return i

def listen(page):
    "Everything that sounds."
    many = page.evaluate('players.map((p, i) => [i, p]).filter(([, p]) => p.choices.length && p.screen.offsetParent).map(([i]) => i)')
    alone = page.evaluate('players.map((p, i) => [i, p]).filter(([, p]) => !p.choices.length && p.screen.offsetParent).map(([i]) => i)')
    last = compare(page, many[0]) if many else None
    if alone:
        page.locator('figure.player').nth(alone[0]).locator('.play').click()
        wait(page, f'!!players[{alone[0]}].sources')
        check('one player sounds at a time', last is None or not state(page, last)['runs'])
        page.locator('figure.player').nth(alone[0]).locator('.play').click()
        check('and stops', not state(page, alone[0])['runs'])
    return dict(switched=len(many), alone=len(alone),
                pictures=page.evaluate("[...document.images].every(i => i.naturalWidth > 0)"))

def unfold(page):
    "Links to sections open them, and the button opens all."
    page.evaluate("players.forEach(p => p.pause())")
    page.locator('nav a').first.click()
    wait(page, "document.querySelector('details').open")                    # the browser tells of a new address a little later
    check('a link opens its section', page.evaluate("document.querySelector('details').open"))
    page.click('#all')
    check('all sections are open', page.evaluate('parts.every(p => p.open)'))
    wide = page.evaluate("""() => [...document.querySelectorAll('.figure .wide')].filter(w => w.scrollWidth > w.clientWidth + 1).length""")
    paper = page.pdf(format='A4')
    check('it prints', paper.startswith(b'%PDF') and len(paper) > 20_000, len(paper))
    return dict(figure_scale=page.evaluate(SMALLEST), figures_that_scroll=wide,
                tall=page.evaluate('document.body.scrollHeight'))

def visit(browser, path, width, scheme, use, picture):
    "Open a page, use it, and fail on what it should not do."
    context = browser.new_context(viewport=dict(width=width, height=844), color_scheme=scheme, offline=True)
    page, wrong = context.new_page(), []
    page.on('console', lambda message: wrong.append(message.text) if message.type in ('error', 'warning')
            else None)
    page.on('pageerror', lambda error: wrong.append(str(error)))
    page.on('request', lambda request: None if request.url.startswith(('file:', 'data:', 'blob:'))
            else wrong.append(request.url))
    page.goto(path.resolve().as_uri())
    if picture: page.screenshot(path=picture.with_stem(f'{picture.stem}-top'))
    wrong += page.evaluate(INSPECT)
    found = use(page) if use else {}
    wrong += page.evaluate(INSPECT)
    if picture: page.screenshot(path=picture, full_page=True)
    check(f'{path.name} at {width}, {scheme}', not wrong, wrong)
    context.close()
    return found

def use_report(page): return listen(page) | unfold(page) | listen(page)

def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('report', type=Path)
    parser.add_argument('--pictures', type=Path, help='folder for pictures of what is seen')
    parser.add_argument('--chromium', default=shutil.which('chromium'),
                        help="playwright's own when none is installed")
    args, found = parser.parse_args(), {}
    pages = {args.report: use_report, args.report.with_name('map.html'): None}
    if args.pictures: args.pictures.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=args.chromium, args=FLAGS)
        for path, use in pages.items():
            for width, scheme in [(width, scheme) for width in WIDTHS for scheme in SCHEMES if path.exists()]:
                picture = args.pictures and args.pictures/f'{path.stem}-{width}-{scheme}.png'
                found[f'{path.name} {width} {scheme}'] = visit(browser, path, width, scheme, use, picture)
            if path.exists(): found[f'{path.name} MB'] = path.stat().st_size / 1e6
        browser.close()
    print(json.dumps(found, indent=1))

if __name__ == '__main__': main()
