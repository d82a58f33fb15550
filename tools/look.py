"""Open every page of a built site in a browser, wide and narrow, and say what is wrong with it.

    python tools/look.py _docs PICTURES [--chromium PATH]

Writes a picture of each whole page to PICTURES, and ends with an error when a page scrolls sideways, hides
part of an output, misses a picture, a sound or a file, leaves a formula undrawn, or complains in the
console.
"""
import shutil
import sys
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import typer
from playwright.sync_api import sync_playwright

WIDTHS = (1280, 390)
FLAGS = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
         '--disable-component-update']

# Runs in the page and returns a list of findings. Sound is loaded first, since players may wait for a click.
INSPECT = r'''async () => {
  const found = [], width = document.scrollingElement.scrollWidth;
  const main = document.querySelector('main') || document.body;
  const name = node => node.tagName.toLowerCase() + ' "' + node.textContent.trim().slice(0, 40) + '"';

  if (width > innerWidth) {
    const out = node => node.getBoundingClientRect().right > innerWidth + 1;
    const wide = [...document.querySelectorAll('body *')].filter(out);
    found.push(`the page is ${width} wide; see ${wide.slice(0, 3).map(name).join(', ')}`);
  }
  for (const node of main.querySelectorAll('*')) {
    const { overflowX } = getComputedStyle(node);
    const clips = ['hidden', 'clip'].includes(overflowX) && node.clientWidth > 1;
    if (clips && node.scrollWidth > node.clientWidth + 1) found.push('clipped: ' + name(node));
  }
  for (const image of document.images)
    if (image.hasAttribute('src') && (!image.complete || !image.naturalWidth))
      found.push('broken picture: ' + image.src.slice(0, 80));

  const ready = audio => new Promise(done => {
    if (audio.readyState >= 1) return done(true);
    audio.addEventListener('loadedmetadata', () => done(true));
    setTimeout(() => done(false), 10000);
    audio.load();
  });
  const players = [...document.querySelectorAll('audio[controls]')];
  const playing = await Promise.all(players.map(ready));
  players.forEach((audio, i) => {
    const box = audio.getBoundingClientRect();
    if (!playing[i] || !audio.duration) found.push(`player ${i + 1} has no sound`);
    if (!box.width || !box.height) found.push(`player ${i + 1} cannot be seen`);
  });

  const texts = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    if (text.parentElement.closest('pre, code, script, style, annotation')) continue;
    const formula = text.data.match(/\\[([].*?\\[)\]]|\$\S[^$]*\S\$|\$\$/);
    if (formula) found.push('undrawn formula: ' + formula[0].slice(0, 60));
  }
  const overfull = node => innerWidth > 1000 && node.scrollWidth > node.clientWidth + 1;
  for (const node of main.querySelectorAll('.math.display'))
    if (overfull(node)) found.push('formula wider than the text: ' + name(node));
  for (const node of main.querySelectorAll('.katex-error')) found.push('wrong formula: ' + name(node));
  return found;
}'''

def check(what, ok, found=''):
    if not ok: raise SystemExit(f'{what}: not so ({str(found)[:1000]})')

@contextmanager
def opened(browser, path, width=1280, scheme='light', touch=False):
    "A page from disk, without network; what is said in the console, asked of others, or cut off is an error."
    size = dict(width=width, height=844)
    context = browser.new_context(viewport=size, color_scheme=scheme, offline=True, has_touch=touch)
    page, wrong = context.new_page(), []
    def said(message): wrong.extend([message.text] * (message.type in ('error', 'warning')))
    def asked(request):
        if not request.url.startswith(('file:', 'data:', 'blob:')): wrong.append(request.url)
    page.on('console', said), page.on('request', asked), page.on('pageerror',
                                                            lambda error: wrong.append(str(error)))
    page.goto(path.resolve().as_uri())
    wrong += page.evaluate(INSPECT)
    yield page
    check(f'{path.name} at {width}, {scheme}', not (wrong := wrong + page.evaluate(INSPECT)), wrong)
    context.close()

class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args): pass

def serve(site):
    "Serve the folder `site` on this machine alone; return its address."
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=site))
    Thread(target=server.serve_forever, daemon=True).start()
    return f'http://127.0.0.1:{server.server_port}'

def look(page, url, picture):
    "Open `url`, keep a picture of it, and return what is wrong."
    found = []
    watch = {
        'console': lambda message: message.type == 'error' and found.append(f'console: {message.text}'),
        'pageerror': lambda error: found.append(f'script: {error}'),
        'requestfailed': lambda request: found.append(f'not loaded: {request.url[:100]}'),
        'response': lambda response: response.status >= 400
        and found.append(f'{response.status}: {response.url[:100]}'),
    }
    for event, listener in watch.items(): page.on(event, listener)
    page.goto(url, wait_until='load')
    page.wait_for_timeout(300)   # formulas are drawn after the page has loaded
    found += page.evaluate(INSPECT)
    page.screenshot(path=picture, full_page=True)
    for event, listener in watch.items(): page.remove_listener(event, listener)
    return found

def main(site: Path, pictures: Path, chromium: str = shutil.which('chromium')):
    pictures.mkdir(parents=True, exist_ok=True)
    address, wrong = serve(site), 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for width in WIDTHS:
            page = browser.new_page(viewport={'width': width, 'height': 900})
            for path in sorted(site.rglob('*.html')):
                name = path.relative_to(site).as_posix()
                picture = pictures/f"{name.removesuffix('.html').replace('/', '-')}-{width}.png"
                found = look(page, f'{address}/{name}', picture)
                wrong += len(found)
                print(f'{name} at {width}:', 'good' if not found else '\n  ' + '\n  '.join(found), flush=True)
        browser.close()
    sys.exit(f'{wrong} things are wrong' if wrong else None)

if __name__ == '__main__': typer.run(main)
