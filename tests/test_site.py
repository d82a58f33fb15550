"The site and the pages that celae writes: what eyes, ears, screen readers and clipboards meet."
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT/'tools'))
NOTEBOOKS = [path for path in sorted((ROOT/'nbs').rglob('*.ipynb')) if '.ipynb_checkpoints' not in path.parts]
FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
         '--disable-background-networking', '--disable-component-update', '--disable-sync']

def cells(path): return json.loads(path.read_text('utf-8'))['cells']

def page_of(name): return next(path for path in NOTEBOOKS if path.name == name)

def outputs(path, kind='text/html'):
    return [''.join(out['data'][kind]) for cell in cells(path) for out in cell.get('outputs', ())
            if kind in out.get('data', {})]

@pytest.fixture
def check(tmp_path):
    "Says what is wrong with a page of a site: check(html, other='<p>') -> list."
    def found(html, **others):
        for name, text in dict(page=html,
                               **others).items(): (tmp_path/f'{name}.html').write_text(text, 'utf-8')
        return pytest.importorskip('check_site').check(tmp_path)['page.html']
    return found

AUDIO = '<audio aria-label="{}" src="data:1"></audio>'

@pytest.mark.parametrize('html, what', [
    ('<p>[<a href="other.html"><code>probe</code></a>](../latent_analysis.ipynb) does</p>', 'raw Markdown'),
    ('<p>**bold** words</p>', 'raw Markdown'), ('<a href="gone.html">x</a>', 'leads nowhere'),
    ('<a href="other.html#gone">x</a>', 'anchor is dead'), ('<a href="#gone">x</a>', 'anchor is dead'),
    ('<img src="x.png">', 'no alternative text'), ('<svg></svg>', 'no alternative text'),
    ('<div style="display:flex;flex-wrap:wrap"><audio controls src="data:a"></audio></div>', 'no label'),
    ('<div style="flex-wrap:wrap">' + AUDIO.format('a') + AUDIO.format('b') + '</div>', 'sound the same'),
    ('<pre class="sourceCode python"><code>players(wav)</code></pre>', 'copied code lacks: players, wav'),
    ('<a href="cli.html#train"><code>train</code></a>', 'leads to a command')])
def test_a_fault_of_a_page_is_found(check, html, what):
    assert any(what in each for each in check(html, other='<p id="here">', cli='<p id="train">')), what

def test_a_good_page_passes(check):
    html = """<p id="top">Words and <code>**kwargs</code>.</p><a href="other.html#here">x</a>
        <img alt="a" src="x.png"><svg aria-hidden="true"></svg>
        <audio aria-label="original" src="data:1"></audio>
        <pre class="sourceCode python"><code>from celae.display import *
players({'a': 1})</code></pre>"""
    assert check(html, other='<p id="here">') == []

def test_imports_are_shown_and_tests_folded():
    build_site = pytest.importorskip('build_site')
    imports = dict(cell_type='code', outputs=[],
                   source='import time\nfrom fastcore.test import expect_fail, test_eq')
    shown = dict(cell_type='code', outputs=[], source='wav = np.zeros(SR)\nplayers({1: wav})')
    test = dict(cell_type='code', outputs=[], source='test_eq(wav.shape, (SR,))')
    nb = dict(cells=[imports, shown, test])
    build_site.show_imports(nb, 'display')
    build_site.fold_tests(nb)
    first, _, last = [cell['source'] for cell in nb['cells']]
    assert first.startswith('import numpy as np\n') and first.endswith(imports['source'])
    assert 'from celae.display import *' in first
    assert last.startswith(build_site.FOLDED)

def test_pictures_are_described_by_the_words_above_them():
    build_site = pytest.importorskip('build_site')
    picture = dict(cell_type='code', outputs=[dict(data={'image/png': ''})], source='plot()')
    nb = dict(cells=[dict(cell_type='markdown',
                          source='## Tones\n\nFirst. The [lower](x.html) tone `a` fades:'), picture])
    build_site.describe_pictures(nb)
    assert picture['source'] == '#| fig-alt: "Figure. Tones: The lower tone a fades"\nplot()'

def test_players_have_labels():
    import numpy as np
    from celae.display import players
    assert 'aria-label="left &amp; right"' in players({'left & right': np.zeros(100)}).data

def test_no_player_of_listen_sounds_like_another():
    sounds = re.findall(r'<audio[^>]* src="([^"]+)"', ''.join(outputs(page_of('listen.ipynb'))))
    assert len(sounds) > 30 and len(set(sounds)) == len(sounds)

@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_no_table_of_a_page_holds_elements_that_a_name_brought(path):
    tables = [html for html in outputs(path) if '<table' in html]
    assert not [each for html in tables for each in ('<script', '<img src=x', '<b>bold') if each in html]

@pytest.fixture(scope='module')
def browser():
    playwright = pytest.importorskip('playwright.sync_api')
    if not (chromium := shutil.which('chromium')): pytest.skip('there is no Chromium')
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()

SCRIPT = """<button id="all"></button><details id="é"><summary>part</summary><p id="inside">text</p></details>
    <script>{}</script>"""

@pytest.mark.parametrize('address, opened', [('', 0), ('#inside', 1), ('#%C3%A9', 1), ('#%E0', 0), ('#%', 0),
                                             ('#gone', 0)])
def test_no_address_stops_the_script_of_a_report(browser, tmp_path, address, opened):
    import celae
    script = (Path(celae.__file__).parent/'templates'/'report.js').read_text('utf-8')
    (tmp_path/'report.html').write_text('<meta charset="utf-8">' + SCRIPT.format(script), 'utf-8')
    page, wrong = browser.new_page(), []
    page.on('pageerror', lambda error: wrong.append(str(error)))
    page.goto((tmp_path/'report.html').as_uri() + address)
    assert not wrong and page.locator('details[open]').count() == opened
    page.click('#all')
    assert page.locator('details[open]').count() == 1 - opened
    page.close()

@pytest.mark.parametrize('scheme, theme', [('light', 'cosmo'), ('dark', 'darkly')])
def test_results_of_a_search_can_be_read(browser, scheme, theme):
    smalldocs = pytest.importorskip('smalldocs')
    pages = Path(smalldocs.__file__).parent
    css = [path for name in (f'{theme}.min.css', 'smalldocs.css') for path in pages.rglob(name)]
    assert len(css) == 2
    page = browser.new_page(color_scheme=scheme)
    parts = ('title', 'section', 'text')
    results = ''.join(f'<div class="search-result-{name}">text</div>' for name in parts)
    page.set_content(f"""<html data-bs-theme="{scheme}"><nav class="navbar" data-bs-theme="dark">
        <div class="smalldocs-search" id="quarto-search"><input>
        <div class="smalldocs-search-results dropdown-menu show"><a class="search-result">{results}</a>
        <div class="search-none">none</div></div></div></nav>""")
    for path in [*css, ROOT/'nbs'/'styles.css']:
        page.add_style_tag(content=re.sub(r'@import url\([^)]*\);', '', path.read_text('utf-8')))
    for name in parts: assert contrast(page, f'.search-result-{name}',
                                                            '.dropdown-menu') > 4.5, name
    assert contrast(page, '.search-none', '.dropdown-menu') > 4.5
    page.close()

def contrast(page, front, back):
    "Contrast of a text against the panel it is on, as WCAG has it."
    colours = page.evaluate("""([front, back]) => {
        const style = name => getComputedStyle(document.querySelector(name))
        return [style(front).color, style(back).backgroundColor, style(front).opacity] }""", [front, back])
    ink, paper = [[float(x) for x in colour[colour.index('(') + 1:-1].split(',')[:3]]
                  for colour in colours[:2]]
    ink = [float(colours[2]) * a + (1 - float(colours[2])) * b for a, b in zip(ink, paper)]
    def light(colour):
        linear = [x / 12.92 if (x := c / 255) <= .04 else ((x + .055) / 1.055)**2.4 for c in colour]
        return sum(w * x for w, x in zip((.2126, .7152, .0722), linear)) + .05
    return max(light(ink), light(paper)) / min(light(ink), light(paper))
