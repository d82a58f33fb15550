"""Run notebooks in place and keep what they show.

    python tools/run_notebooks.py                      every notebook below nbs/
    python tools/run_notebooks.py nbs/00_data.ipynb    just these
    python tools/run_notebooks.py --skip slow cuda     leave slow cells with the outputs they have

A second run leaves no difference: no times, no counts, no paths of this machine, no widgets (they need a
kernel, so a page shows a picture of them). A notebook that fails is left as it was and named at the end.
"""
import argparse
import base64
import hashlib
import io
import os
import re
import sys
import time
from pathlib import Path

import nbformat
import PIL.Image
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbdev.clean import nbdev_clean

ROOT = Path(__file__).resolve().parent.parent
WIDGET = 'application/vnd.jupyter.widget-view+json'

def directives(source):
    "The words after `#|` in a cell, such as `export`, `slow` or `eval: false`."
    return {' '.join(words.split()) for words in re.findall(r'(?m)^\s*#\s*\|(.+)$', source)}

class Runner(NotebookClient):
    "A client that leaves alone the cells nobody should run here."
    skip = frozenset()

    async def async_execute_cell(self, cell, cell_index, **kwargs):
        left_alone = directives(cell.source) & (self.skip | {'eval: false'})
        if left_alone or 'nbdev_export(' in cell.source: return cell
        return await super().async_execute_cell(cell, cell_index, **kwargs)

def scrub(text):
    "Take from `text` what differs from one run, or one machine, to the next."
    text = re.sub(r'\S*/ipykernel_\d+/\d+\.py', '<cell>', text)
    return text.replace(f'{sys.prefix}/', '').replace(f'{ROOT}/', '')

def steady_names(html):
    "Name the tables that pandas has styled by what they hold; it names them at random."
    for name in set(re.findall(r'(?<=<table id=")T_[0-9a-f]{5}\b', html)):
        digest = hashlib.md5(html.replace(name, '').encode()).hexdigest()
        html = html.replace(name, f'T_{digest[:5]}')
    return html

def fewer_colours(png):
    "A picture in base64 with 64 colours at most, which is half as large and looks the same."
    picture = PIL.Image.open(io.BytesIO(base64.b64decode(png))).convert('RGB')
    picture.quantize(64, dither=PIL.Image.Dither.NONE).save(small := io.BytesIO(), 'png', optimize=True)
    return min(png, base64.b64encode(small.getvalue()).decode(), key=len)

def tidy(output):
    "Scrub one output, and say whether it is worth keeping."
    if 'text' in output: output.text = scrub(output.text)
    data = output.get('data', {})
    for kind in ('text/plain', 'text/html', 'text/markdown'):
        if kind in data: data[kind] = steady_names(scrub(data[kind]))
    if 'image/png' in data: data['image/png'] = fewer_colours(data['image/png'])
    return WIDGET not in data and data.get('text/plain') != ''   # as a finished progress bar leaves

def run(path, skip, timeout):
    "Run the notebook at `path` in its own folder and write it back."
    nb = nbformat.read(path, 4)
    runner = Runner(nb, timeout=timeout, kernel_name='python3', record_timing=False,
                    extra_arguments=['--log-level=ERROR'], resources={'metadata': {'path': str(path.parent)}})
    runner.skip = frozenset(skip)
    runner.execute()
    nb.metadata.pop('widgets', None)
    for cell in nb.cells:
        if cell.cell_type == 'code': cell.outputs = [output for output in cell.outputs if tidy(output)]
    nbformat.write(nb, path)
    nbdev_clean.__wrapped__(fname=str(path))

def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('notebooks', nargs='*', type=Path, help='all below nbs/ when none is named')
    parser.add_argument('--skip', nargs='*', default=['cuda'], metavar='FLAG',
                        help='leave cells with these flags as they are (cuda)')
    parser.add_argument('--timeout', type=int, help='seconds for one cell; no limit when not given')
    args = parser.parse_args()

    os.environ.pop('MPLBACKEND', None)          # a kernel draws into its page, whatever the shell says
    failed = []
    for path in args.notebooks or sorted((ROOT/'nbs').rglob('[!_.]*.ipynb')):
        path, start = path.resolve(), time.time()
        try: run(path, args.skip, args.timeout)
        except (CellExecutionError, TimeoutError, RuntimeError) as error:
            failed.append(path.name)
            print(f'{path.name}: FAILED', re.sub(r'\x1b\[[0-9;]*m', '', str(error)), sep='\n', flush=True)
        else:
            print(f'{path.name}: {time.time() - start:.0f} s, {path.stat().st_size / 1000:.0f} KB',
                  flush=True)
    if failed: sys.exit('failed: ' + ', '.join(failed))

if __name__ == '__main__': main()
