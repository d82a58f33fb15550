"""Measure the house: lines, cells, functions, which public names are shown at work, who imports whom.

    python tools/measure_notebooks.py              the figures
    python tools/measure_notebooks.py --worst 5    also what is furthest from them, and each page
    python tools/measure_notebooks.py --check      fail on long lines and on imports that lead back up

Reads every cell of every page (exported, test, hidden, text), the modules, bench, tests and tools.
"""
import ast
import configparser
import json
import re
import sys
from pathlib import Path
from statistics import median, quantiles

import typer

ROOT = Path(__file__).resolve().parent.parent
COLUMNS, EXPORTED = 110, {'export', 'exporti', 'exports'}

def lines_of(*folders):
    "Path -> lines of the Python files and scripts of some folders."
    paths = [path for folder in folders for path in sorted((ROOT/folder).rglob('*')) if path.is_file()]
    texts = {path: path.read_text('utf-8').splitlines() for path in paths if '__pycache__' not in path.parts
             and (path.suffix == '.py' or path.parent.name in ('.ci', 'bin'))}
    return {path: lines for path, lines in texts.items() if path.name != '_modidx.py'}

def cells_of(path):
    "Kind (export, hidden, test, demo, markdown) and source of each cell, directives taken out."
    for cell in json.loads(path.read_text('utf-8'))['cells']:
        source = ''.join(cell['source'])
        marks = {mark.split(':')[0].strip() for mark in re.findall(r'(?m)^#\s*\|(.+)$', source)}
        code = re.sub(r'(?m)^#\s*\|.*\n?', '', source).strip('\n')
        kind = 'markdown' if cell['cell_type'] != 'code' else 'export' if marks & EXPORTED else (
            'hidden' if 'hide' in marks else 'test' if re.search(r'(?m)^\s*(assert|test_\w+\()|assert_close',
                                                            code) else 'demo')
        yield kind, code

def parse(code):
    try: return ast.parse(re.sub(r'(?m)^[%!].*$', 'pass', code))
    except SyntaxError: return ast.Module([], [])

def defined(code):
    "Public names that a cell defines."
    for node in parse(code).body:
        names = [node.name] if hasattr(node, 'name') else [
            target.id for target in getattr(node, 'targets', []) if isinstance(target, ast.Name)]
        yield from (name for name in names if not name.startswith('_'))

def used(code):
    nodes = list(ast.walk(parse(code)))
    return {node.id for node in nodes if isinstance(node, ast.Name)} | {
        node.attr for node in nodes if isinstance(node, ast.Attribute)}

def page(path):
    "What one page measures."
    cells = list(cells_of(path))
    exported = [code for kind, code in cells if kind == 'export']
    public = {name for code in exported for name in defined(code)}
    shown = set().union(*(used(code) for kind, code in cells if kind in ('demo', 'test')))
    if 'cli' in path.stem: shown |= {word.replace('-', '_') for word in re.findall(r"'([\w-]+)", str(cells))}
    wide = [line for kind, code in cells for line in code.splitlines() if len(line) > COLUMNS
            and not (kind == 'markdown' and line.startswith('|')) and '://' not in line]
    definitions = [(node.end_lineno - node.lineno + 1, type(node).__name__, node.name) for code in exported
                   for node in ast.walk(parse(code)) if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    sizes = [len(code.splitlines()) for code in exported]
    return dict(name=path.relative_to(ROOT/'nbs').as_posix(), exported=sizes, public=public,
                unused=public - shown, wide=wide, definitions=definitions, cells=cells)

def first_cell(row, pattern):
    "Cells before the first that is shown and fits."
    return next((i for i, (kind, code) in enumerate(row['cells']) if kind in ('demo', 'test')
                 and re.search(pattern, code)), None)

def order():
    "Modules in the order of their pages; corpora after the core, which they import, the command last."
    found = {}
    for path in sorted((ROOT/'nbs').rglob('*.ipynb'),
                       key=lambda path: path.as_posix().replace('/00_', '/00z_')):
        name = re.search(r'(?m)^#\s*\|\s*default_exp\s+(\S+)', ''.join(code for code in sources(path)))
        if name: found[name[1]] = len(found)
    return found

def sources(path): return (''.join(cell['source']) + '\n'
                           for cell in json.loads(path.read_text('utf-8'))['cells'])

def arrows():
    "Imports between modules: module -> modules."
    found = {}
    for path in lines_of('celae'):
        here = path.relative_to(ROOT/'celae').with_suffix('').parts
        tree = ast.parse(path.read_text('utf-8'))
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom): continue
            base = here[:len(here) - node.level] if node.level else ()
            name = '.'.join((*base, *(node.module or '').split('.'))).strip('.').removeprefix('celae.')
            if node.level or (node.module
                              or '').startswith('celae'): found.setdefault('.'.join(here), set()).add(name)
    return found

def back_up():
    "Imports of a page that comes later, and of corpora by the core (the command may)."
    place, wrong = order(), []
    for module, others in arrows().items():
        for other in others & set(place):
            core = not module.startswith('corpora') and other.startswith('corpora')
            if module in place and (core and module != 'cli' or not module.startswith('corpora') and not core
                                    and place[other] > place[module]): wrong.append(f'{module} -> {other}')
    return wrong

def circles():
    "Modules that import each other, by way of others too."
    graph = arrows()
    def reach(start):
        seen, todo = set(), [start]
        while todo:
            for other in graph.get(todo.pop(), ()):
                if other not in seen: seen.add(other), todo.append(other)
        return seen
    return sorted(module for module in graph if module in reach(module))

def refusing(path):
    "Lines of statements that refuse: `if` with `raise` in it, `raise`, `assert`."
    rows = set()
    for node in ast.walk(ast.parse(path.read_text('utf-8'))):
        ends = isinstance(node, ast.If) and not node.orelse and any(isinstance(each, ast.Raise)
                                                            for each in ast.walk(node))
        if ends or isinstance(node,
                              ast.Raise | ast.Assert): rows |= set(range(node.lineno, node.end_lineno + 1))
    return len(rows)

def main(worst: int = 0, check: bool = False):
    paths = [path for path in sorted((ROOT/'nbs').rglob('*.ipynb'))
             if not any(part.startswith(('.', '_')) for part in path.relative_to(ROOT).parts)]
    pages, files = [page(path) for path in paths], lines_of('celae', 'bench', 'tests', 'tools', '.ci')
    wide = [f'{row["name"]}: {line.strip()[:70]}' for row in pages for line in row['wide']]
    wide += [f'{path.relative_to(ROOT)}:{i}' for path, lines in files.items()
             for i, line in enumerate(lines, 1)
             if len(line) > COLUMNS and path.parts[-2:-1] != ('celae',) and 'corpora' not in path.parts]
    if check:
        print(*wide, *back_up(), sep='\n')
        sys.exit(f'{len(wide)} lines over {COLUMNS} columns, {len(back_up())} imports back up' if wide
                 or back_up() else 0)
    count = {name: sum(map(len, lines_of(*folders).values())) for name, folders in dict(
        celae=['celae'], bench=['bench'], tools=['tools'], tests=['tests']).items()}
    cells = [n for row in pages for n in row['exported']]
    public, unused = [sum(len(row[key]) for row in pages) for key in ('public', 'unused')]
    sizes = [each for row in pages for each in row['definitions']]
    config = configparser.ConfigParser(delimiters='=')
    config.read(ROOT/'settings.ini')
    data = next(row for row in pages if row['name'].startswith('00_data'))
    clip, split = [first_cell(data, pattern) for pattern in (r'read_audio\(|load_clips\(',
                                                            r'split_clips\(')]
    for what, value in {
            'lines of the package, index apart': count['celae'],
            'of which refuse': sum(refusing(path) for path in lines_of('celae')),
            'lines of bench and tools': f'{count["bench"]} + {count["tools"]}',
            'lines of tests': count['tests'],
            'exported cell: median, 90 %, longest': [median(cells), quantiles(cells, n=10)[-1], max(cells)],
            'classes over 60 lines': sum(n > 60 and kind == 'ClassDef' for n, kind, _ in sizes),
            'functions over 30 lines': sum(n > 30 and kind == 'FunctionDef' for n, kind, _ in sizes),
            f'lines over {COLUMNS} columns, all files': len(wide),
            'public names used in a visible cell': f'{1 - unused / public:.1%} of {public}',
            'hard dependencies': len([line for line in config['DEFAULT']['requirements'].split('\n')
                                      if line.strip() and line.strip()[0] != '#']),
            'imports back up; circles': f'{len(back_up())}; {len(circles())}',
            'cells of 00_data before the first clip, the first split': f'{clip}, {split}'}.items():
        print(f'{what:58} {value}')
    if not worst: return
    print(*back_up(), *circles(), *wide[:worst], sep='\n')
    for row in pages:
        if not row['exported']: continue
        print(f'{row["name"]:28} {median(row["exported"]):4.0f} {max(row["exported"]):4}  not shown:',
              *sorted(row['unused']))
    longest = sorted((n, row['name'], name) for row in pages for n, _, name in row['definitions'])
    for n, name, what in longest[-worst:]: print(f'{n:4} {name:28} {what}')

if __name__ == '__main__': typer.run(main)
