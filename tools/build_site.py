"""Render the notebooks that nbdev has processed as a site that needs no network.

    python tools/build_site.py FOLDER

FOLDER is nbdev's `_proc`; the site goes to the output folder that its nbdev.yml names. smalldocs renders
the pages; around it, this script names pages and links as Quarto would, so that both renderers serve the
same sources, folds tests away behind the word "tests", shows the imports that the cells of a page need,
describes pictures to those who cannot see them, puts KaTeX beside the pages, and leaves out the theme's
font from the network: readers see their own sans-serif. It ends with an error when there is a broken link
or anything smalldocs could not read.
"""
import ast
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

import yaml
from smalldocs.layout import KATEX
from smalldocs.site import build

HERE = Path(__file__).resolve().parent
CHECK = re.compile(r'\b(assert|assert_close|expect_fail|test_close|test_eq|test_fail)\b')
FOLDED = '#| code-fold: true\n#| code-summary: "tests"\n'
OUTPUT_FILE = re.compile(r'(?m)^output-file: *(\S+)\.html\n')

def rename(path):
    "Give the notebook at `path` the name of the page it asks to be (00_data.ipynb -> data.ipynb)."
    nb = json.loads(path.read_text())
    front = nb['cells'][0]
    source = ''.join(front['source'])
    if not (asked := OUTPUT_FILE.search(source)): return path
    front['source'] = source.replace(asked[0], '')
    path.unlink()
    page = path.with_name(f'{asked[1]}.ipynb')
    page.write_text(json.dumps(nb))
    return page

def unlink(markdown):
    "Take the links out of code: in the comments of signatures they are just noise."
    return re.sub(r'(?ms)^```.*?^```', lambda code: re.sub(r'\[(`[^`]+`)\]\(http[^)]*\)', r'\1', code[0]),
                  markdown)

def settle_links(path, names):
    "Turn the links in a notebook's prose to the new names, and take those in its signatures away."
    nb = json.loads(path.read_text())
    for cell in nb['cells']:
        for output in cell.get('outputs', []):
            data = output.get('data', {})
            if 'text/markdown' in data: data['text/markdown'] = unlink(''.join(data['text/markdown']))
        if cell['cell_type'] != 'markdown': continue
        cell['source'] = re.sub(r'(\]\((?:[^)\s]*/)?)(\w+\.ipynb)', lambda link: link[1]
                                + names.get(link[2], link[2]), ''.join(cell['source']))
    path.write_text(json.dumps(nb))

def parse(cell):
    "The code of a cell, without magics."
    try: return ast.parse(re.sub(r'(?m)^\s*[%!].*$', '', ''.join(cell['source'])))
    except SyntaxError: return ast.Module([], [])

def imports_only(cell):
    body = parse(cell).body
    return bool(body) and all(isinstance(node, ast.Import | ast.ImportFrom) for node in body)

def is_test(cell):
    "Is it a cell that checks something and shows nothing?"
    source = ''.join(cell['source'])
    return (cell['cell_type'] == 'code' and not cell['outputs'] and '#|' not in source
            and bool(CHECK.search(source)) and not imports_only(cell))

def fold_tests(nb):
    "Put tests that follow each other into one cell, folded."
    cells = []
    for cell in nb['cells']:
        if not is_test(cell): cells.append(cell)
        elif cells and ''.join(cells[-1]['source']).startswith(FOLDED):
            cells[-1]['source'] = ''.join(cells[-1]['source']) + '\n\n' + ''.join(cell['source'])
        else: cells.append(cell | dict(source=FOLDED + ''.join(cell['source'])))
    nb['cells'] = cells

def documented():
    "Page -> the module that it documents; nbdev's index says nothing of a notebook with `auto` in its name."
    index = ast.parse((HERE.parent/'celae'/'_modidx.py').read_text('utf-8')).body[-1].value
    pages = {f'{path.stem}.html': path.stem for path in (HERE.parent/'celae').glob('[!_]*.py')}
    return pages | {page.partition('#')[0]: '.'.join(Path(path).with_suffix('').parts[1:])
                    for symbols in ast.literal_eval(index)['syms'].values()
                    for page, path in symbols.values()}

def import_lines(module, used):
    "Imports that give the names `used` as they are inside of celae.`module`, which nbdev does not show."
    lines, own = [], set()
    for node in ast.parse((HERE.parent/'celae'/f'{module.replace(".", "/")}.py').read_text('utf-8')).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef): own.add(node.name)
        elif isinstance(node, ast.Assign): own |= {name.id for target in node.targets
                                                   for name in ast.walk(target) if isinstance(name, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [each for each in node.names if (each.asname or each.name.split('.')[0]) in used]
            if level := getattr(node, 'level', 0):
                package = ['celae', *module.split('.')][:-level]
                node.level, node.module = 0, '.'.join([*package, *filter(None, [node.module])])
            if node.names: lines.append(ast.unparse(node))
    private = sorted(name for name in own & used if name.startswith('_') and not name.startswith('__'))
    lines.append(f'from celae.{module} import *')
    return lines + [f'from celae.{module} import {", ".join(private)}'] * bool(private)

def show_imports(nb, module):
    "Complete the first import cell of a page, so that what is copied from the page runs."
    code = [cell for cell in nb['cells'] if cell['cell_type'] == 'code'
            and '#| echo: false' not in ''.join(cell['source'])]
    used = {node.id for cell in code for node in ast.walk(parse(cell)) if isinstance(node, ast.Name)}
    lines = '\n'.join(import_lines(module, used))
    first = next((cell for cell in code if imports_only(cell) and '#|' not in ''.join(cell['source'])), None)
    if first: first['source'] = lines + '\n' + ''.join(first['source'])
    elif code: nb['cells'].insert(nb['cells'].index(code[0]), dict(cell_type='code', metadata={}, outputs=[],
                                                            execution_count=None, source=lines))

def plain_words(markdown):
    "The last sentence of a text, without its marks."
    text = re.sub(r'(?s)```.*?```|\$\$.*?\$\$|<!--.*?-->|^:::.*?$', ' ', markdown)
    text = re.sub(r'!?\[([^\]]*)\]\([^)]*\)', r'\1', text)
    text = ' '.join(re.sub(r'[`*$#|]', '', text).split())
    return re.split(r'(?<=[.!?]) (?=[A-Z])', text)[-1].rstrip(':.')

def describe_pictures(nb):
    "Give pictures that have no alternative text the heading and the last sentence above them."
    heading = sentence = ''
    for cell in nb['cells']:
        source = ''.join(cell['source'])
        if cell['cell_type'] == 'markdown' and source.strip():
            if found := re.findall(r'(?m)^#+ +(.*)$', source): heading, sentence = plain_words(found[-1]), ''
            if prose := re.sub(r'(?m)^#+ .*$', '', source).strip(): sentence = plain_words(prose)
        pictures = any(kind.startswith('image/') for output in cell.get('outputs', [])
                       for kind in output.get('data', {}))
        if pictures and 'fig-alt:' not in source:
            words = ': '.join(filter(None, (heading, sentence)))[:250]
            cell['source'] = f'#| fig-alt: {json.dumps("Figure. " + words, ensure_ascii=False)}\n{source}'

def name_pages(proc):
    "Rename every notebook, and turn the sidebar and the links to the new names."
    names = {path.name: rename(path).name for path in sorted(proc.rglob('*.ipynb'))}
    modules = documented()
    for path in proc.rglob('*.ipynb'):
        settle_links(path, names)
        nb = json.loads(path.read_text())
        page = path.relative_to(proc).with_suffix('.html').as_posix()
        if module := modules.get(page): show_imports(nb, module)
        describe_pictures(nb)
        fold_tests(nb)
        path.write_text(json.dumps(nb))
    sidebar = proc/'sidebar.yml'
    sidebar.write_text(re.sub(r'\w+\.ipynb', lambda name: names.get(name[0], name[0]), sidebar.read_text()))

def finish(html, root, site_url):
    "Make the links of a page stay on this site; `root` leads from the page to the top of it."
    html = re.sub(rf'(<a\b[^>]*href="){re.escape(site_url)}/?', rf'\1{root}', html)
    html = html.replace('<svg alt="', '<svg role="img" aria-label="')     # as HTML has it
    html = html.replace(f'{KATEX}/contrib/', f'{root}site_libs/katex/')
    return html.replace(f'{KATEX}/', f'{root}site_libs/katex/')

def main(source):
    config = yaml.safe_load((source/'nbdev.yml').read_text())
    output, site_url = config['project']['output-dir'], config['website']['site-url'].rstrip('/')
    with tempfile.TemporaryDirectory() as tmp:
        proc = Path(tmp)/'site'   # smalldocs wants an output folder that is empty or its own
        shutil.copytree(source, proc, ignore=shutil.ignore_patterns(output, '.ipynb_checkpoints'))
        name_pages(proc)
        warnings = build(proc, quiet=True).warnings
        site = proc/output
        for page in site.rglob('*.html'):
            root = '../' * (len(page.relative_to(site).parts) - 1)
            page.write_text(finish(page.read_text(), root, site_url))
        for theme in (site/'site_libs').rglob('*.css'):
            theme.write_text(re.sub(r'@import url\(["\']?https:[^)]*\);', '', theme.read_text()))
        shutil.copytree(HERE/'katex', site/'site_libs'/'katex')
        shutil.rmtree(source/output, ignore_errors=True)
        shutil.move(site, source/output)
    sys.exit('\n'.join(warnings) or None)

if __name__ == '__main__': main(Path(sys.argv[1]).resolve())
