"""Read every page of a built site and say what is wrong with it; needs no browser.

    python tools/check_site.py _docs

Links and anchors that lead nowhere, Markdown that stands raw, pictures without alternative text, players
without a label, two players of one row (or of Listen) with the same sound, words that lead to a command of
the same name, and code that would not run if it were copied from its page, for want of names that neither a
cell nor an import defines. Ends with an error when something is found.
"""
import ast
import builtins
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
RAW = re.compile(r'\]\([^)\s]+\)|\*\*\w[^*]*\*\*|(?<!\w)```|^#{1,4} \w|^:::')
CODE = {'code', 'pre', 'script', 'style', 'annotation', 'head'}     # Markdown means nothing there
COMMANDS = ('train', 'valid', 'test', 'play', 'info', 'clear', 'main')   # also words of other things

class Page(HTMLParser):
    "Links, ids, pictures, players, prose and code of a page."
    def __init__(self, html):
        super().__init__()
        self.ids, self.links, self.pictures, self.rows, self.prose, self.code = set(), [], [], [], [], []
        self.open, self.source = [], None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids |= {attrs[key] for key in ('id', 'name') if attrs.get(key)}
        if tag == 'a' and 'href' in attrs: self.links.append(attrs['href'])
        if tag in ('img', 'svg') and 'hidden' not in attrs: self.pictures.append(attrs)
        if tag == 'div' and 'flex-wrap' in attrs.get('style', ''): self.rows.append([])
        if tag == 'audio':
            if not self.rows: self.rows.append([])
            self.rows[-1].append((attrs.get('aria-label'), attrs.get('src')))
        if tag == 'pre' and 'python' in attrs.get('class', ''): self.source = ''
        if tag in CODE: self.open.append(tag)

    def handle_endtag(self, tag):
        if tag == 'pre' and self.source is not None: self.code, self.source = self.code + [self.source], None
        if tag in self.open: self.open.remove(tag)

    def handle_data(self, data):
        if self.source is not None: self.source += data
        if not self.open: self.prose.append(data)

def dead_links(name, pages, site):
    for link in pages[name].links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc: continue
        target = ((site/name).parent/unquote(parts.path)).resolve() if parts.path else (site/name).resolve()
        if target.is_dir(): target /= 'index.html'
        inside = target.is_relative_to(site.resolve())
        page = pages.get(target.relative_to(site.resolve()).as_posix()) if inside else None
        if not target.exists(): yield f'a link leads nowhere: {link}'
        elif page and parts.fragment and unquote(parts.fragment) not in page.ids:
            yield f'an anchor is dead: {link}'

def unlabelled(page):
    for attrs in page.pictures:
        words = attrs.get('alt') or attrs.get('aria-label')
        if not words and attrs.get('aria-hidden') != 'true':
            yield f'a picture has no alternative text: {str(attrs)[:80]}'
    for row in page.rows:
        for label, source in row:
            if source and not label: yield 'a player has no label'

def twins(name, page):
    "Players that should differ and do not."
    rows = [sum(page.rows, [])] if name == 'listen.html' else page.rows
    for row in rows:
        sounds = [source for _, source in row if source]
        twice = [label for label, source in row if sounds.count(source) > 1]
        if twice: yield f'players sound the same: {twice}'

def starred(module):
    "Names that `from module import *` gives, of celae and of fastcore.test."
    if module == 'fastcore.test': return {'expect_fail', 'test_eq', 'test_close', 'test_fail', 'test_is',
                                          'test_ne'}
    source = (ROOT/f'{module.replace(".", "/")}.py').read_text('utf-8')
    return set(ast.literal_eval(re.search(r'__all__ = (\[.*?\])', source, re.S)[1]))

def undefined(page):
    "Global names of the code on a page that nothing on the page defines."
    bound, used = {*dir(builtins), 'get_ipython', 'display', '__file__'}, {}
    for source in page.code:
        try: tree = ast.parse(re.sub(r'(?m)^\s*[%!].*$', '', source))
        except SyntaxError: continue                     # a signature or a part of a program
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for each in node.names:
                    name = (each.asname or each.name).split('.')[0]
                    bound |= starred(node.module) if name == '*' else {name}
            elif isinstance(node, ast.FunctionDef | ast.ClassDef): bound.add(node.name)
            elif isinstance(node, ast.arg): bound.add(node.arg)
            elif isinstance(node, ast.ExceptHandler) and node.name: bound.add(node.name)
            elif isinstance(node, ast.Name):
                if isinstance(node.ctx, ast.Load): used.setdefault(node.id, source.strip().splitlines()[0])
                else: bound.add(node.id)
    missing = sorted(used.keys() - bound)
    if missing: yield f'names that copied code lacks: {", ".join(missing)}'

def check(site):
    "Page -> what is wrong with it."
    site = Path(site)
    pages = {path.relative_to(site).as_posix(): Page(path.read_text('utf-8'))
             for path in sorted(site.rglob('*.html'))}
    found = {}
    for name, page in pages.items():
        raw = [f'raw Markdown: {text.strip()[:80]}' for text in page.prose if RAW.search(text.strip())]
        words = [] if name in ('cli.html', 'index.html') else [
            f'a word leads to a command: {link}' for link in page.links for word in COMMANDS
            if link.endswith(f'cli.html#{word}')]
        found[name] = [*dead_links(name, pages, site), *raw, *words, *unlabelled(page), *twins(name, page),
                       *(() if name.startswith('studies/')
                         else undefined(page))]      # studies hide their code
    return found

if __name__ == '__main__':
    found = check(sys.argv[1])
    for name, wrong in found.items():
        for each in dict.fromkeys(wrong): print(f'{name}: {each}')
    n = sum(map(len, found.values()))
    sys.exit(f'{n} things are wrong on {len(found)} pages' if n else not found and 'no pages')
