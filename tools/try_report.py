"""Open the report of a run, and the map beside it, in a browser: wide, narrow, light, dark, offline.

    python tools/try_report.py RUN/report.html [--pictures FOLDER] [--chromium PATH]

Plays, switches between original and decoded sound, seeks, unfolds all sections and prints to paper. Ends
with an error on anything in the console, any request, and content that is cut off or scrolls sideways.
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

# how far the figures are scaled down: their letters must stay readable
SMALLEST = """() => [...document.querySelectorAll('.figure img')]
    .filter(i => i.offsetWidth && i.src.includes('svg')).map(i => i.clientWidth / i.naturalWidth)
    .reduce((a, b) => Math.min(a, b), 1)"""
STATE = """i => { const p = players[i]; return {runs: !!p.sources, at: p.position(), now: p.now, secs: p.secs,
    gains: p.gains ? p.gains.map(g => g.gain.value) : [], clock: context ? context.currentTime : -1} }"""
SHOWN = '''players.map((p, i) => [i, p]).filter(([, p]) => p.screen.offsetParent)
    .map(([i, p]) => [i, p.choices.length])'''
WIDE = """() => [...document.querySelectorAll('.figure .wide')]
    .filter(w => w.scrollWidth > w.clientWidth + 1).length"""

def wait(page, condition):
    "Wait up to ten seconds; the policy of the page keeps the browser from waiting itself."
    for _ in range(200):
        if page.evaluate(condition): return
        page.wait_for_timeout(50)
    check(condition, False)

def state(page, i): return page.evaluate(STATE, i)

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
    moved, passed = after['at'] - before['at'], after['clock'] - before['clock']
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
    shown = page.evaluate(SHOWN)
    many, alone = [i for i, n in shown if n], [i for i, n in shown if not n]
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
    wait(page, "document.querySelector('details').open")
    check('a link opens its section', page.evaluate("document.querySelector('details').open"))
    page.click('#all')
    check('all sections are open', page.evaluate('parts.every(p => p.open)'))
    wide = page.evaluate(WIDE)
    paper = page.pdf(format='A4')
    check('it prints', paper.startswith(b'%PDF') and len(paper) > 20_000, len(paper))
    return dict(figure_scale=page.evaluate(SMALLEST), figures_that_scroll=wide,
                tall=page.evaluate('document.body.scrollHeight'))

def use(page): return listen(page) | unfold(page) | listen(page)

def main(report: Path, pictures: Path = None, chromium: str = shutil.which('chromium')):
    found = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for path in (path for path in (report, report.with_name('map.html')) if path.exists()):
            for width, scheme in product((1280, 390), ('light', 'dark')):
                with opened(browser, path, width, scheme) as page:
                    if path == report: found[f'{width} {scheme}'] = use(page)
                    name = f'{path.stem}-{width}-{scheme}.png'
                    if pictures: page.screenshot(path=pictures/name, full_page=True)
        browser.close()
    print(json.dumps(found, indent=1))

if __name__ == '__main__': typer.run(main)
