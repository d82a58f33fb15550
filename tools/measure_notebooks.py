"""Measure the pages: how long cells and lines are, which public names are shown at work, what is stored.

    python tools/measure_notebooks.py            every page below nbs/, and the sum
    python tools/measure_notebooks.py --worst 5  also the longest cells, lines, classes and functions

A cell is exported, a test (its last statement is an assertion) or a demonstration. Prints a table; never fails.
"""
import argparse
import ast
import json
import re
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent


def cells_of(path):
    "Source, kind and outputs of each code cell of a notebook."
    for cell in json.loads(path.read_text())['cells']:
        if cell['cell_type'] != 'code': continue
        source = ''.join(cell['source'])
        marks = {m.strip().split(':')[0] for m in re.findall(r'(?m)^#\s*\|(.+)$', source)}
        code = re.sub(r'(?m)^#\s*\|.*\n?', '', source).strip('\n')
        yield code, marks, cell.get('outputs', [])


def kind_of(code, marks):
    "export, hidden, test or demo."
    if marks & {'export', 'exporti', 'exports'}: return 'export'
    if 'hide' in marks: return 'hidden'
    if re.search(r'(?m)^\s*(assert|test_\w+\(|torch\.testing|np\.testing|with expect_fail)', code): return 'test'
    return 'demo'


def parse(code):
    try: return ast.parse(re.sub(r'(?m)^[%!].*$', 'pass', code))
    except SyntaxError: return ast.Module([], [])


def measure(path):
    "What one page measures."
    row = dict(page=path.stem, export=[], test=[], demo=[], hidden=[], wide=[], stderr=0, eval_false=0, definitions=[], lines=0)
    public, used = set(), set()
    for code, marks, outputs in cells_of(path):
        kind, lines, tree = kind_of(code, marks), code.splitlines(), parse(code)
        row[kind].append((len(lines), lines[0] if lines else ''))
        row['stderr'] += sum(out.get('name') == 'stderr' for out in outputs)
        row['eval_false'] += 'eval' in marks
        if kind == 'export':
            row['wide'] += [line for line in lines if len(line) > 110]
            row['lines'] += len(lines)
            for node in tree.body:
                names = [node.name] if hasattr(node, 'name') else [t.id for t in getattr(node, 'targets', []) if isinstance(t, ast.Name)]
                public |= {name for name in names if not name.startswith('_')}
            row['definitions'] += [(node.end_lineno - node.lineno + 1, type(node).__name__, node.name) for node in ast.walk(tree)
                                   if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        elif kind != 'hidden': used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return row | dict(public=public, unused=public - used)


def quantile(values, share): return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0


def table_row(name, rows):
    "One line of the table."
    sizes = [n for row in rows for n, _ in row['export']]
    tests = [n for row in rows for n, _ in row['test']]
    public, unused = [sum(len(row[key]) for row in rows) for key in ('public', 'unused')]
    definitions = [d for row in rows for d in row['definitions']]
    return dict(page=name, exported=f'{median(sizes) if sizes else 0:.0f}/{quantile(sizes, .9)}/{max(sizes, default=0)}',
                test=f'{median(tests) if tests else 0:.0f}/{quantile(tests, .9)}/{max(tests, default=0)}',
                over_110=sum(len(row['wide']) for row in rows), used=f'{1 - unused / public:.0%}' if public else '',
                classes_over_60=sum(n > 60 and kind == 'ClassDef' for n, kind, _ in definitions),
                functions_over_30=sum(n > 30 and kind == 'FunctionDef' for n, kind, _ in definitions),
                stderr=sum(row['stderr'] for row in rows), eval_false=sum(row['eval_false'] for row in rows), lines=sum(row['lines'] for row in rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--worst', type=int, default=0, help='how many of the longest to name')
    args = parser.parse_args()
    pages = sorted(path for path in (ROOT/'nbs').rglob('*.ipynb') if not any(part.startswith(('.', '_')) for part in path.relative_to(ROOT).parts))
    rows = [measure(path) for path in pages]
    table = [table_row(row['page'], [row]) for row in rows] + [table_row('all', rows)]
    widths = {key: max(len(key), *(len(str(row[key])) for row in table)) for key in table[0]}
    for row in [{key: key for key in table[0]}, *table]: print('  '.join(str(row[key]).ljust(width) for key, width in widths.items()))
    modules = [path for path in (ROOT/'celae').glob('*.py') if path.name != '_modidx.py']
    print(f'{sum(len(path.read_text().splitlines()) for path in modules):,} lines in {len(modules)} modules, without the index')
    if args.worst:
        for name, found in dict(cell=[(n, row['page'], first) for row in rows for n, first in row['export']],
                                definition=[(n, row['page'], label) for row in rows for n, _, label in row['definitions']],
                                line=[(len(line), row['page'], line.strip()[:60]) for row in rows for line in row['wide']]).items():
            for size, page, what in sorted(found, reverse=True)[:args.worst]: print(f'{name:10} {size:4} {page:20} {what}')
        for row in rows:
            if row['unused']: print('not shown at work:', row['page'], ', '.join(sorted(row['unused'])))


if __name__ == '__main__': main()
