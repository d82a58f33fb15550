"What every benchmark says about where it ran, and how it writes its figures."
import json
import pickle
import platform
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from celae.data import Clips, clip_table, load_clips
from celae.files import atomic_write

RESULTS = Path(__file__).parent/'results'
ALBUMS, CACHE = Path('data/albums'), Path('data/cache')   # made by fetch_albums.py; decoded clips
SILU_SIZES = (11_025, 27_563, 55_125)                           # of the models of 2024
TEST = ('arcade', 'orchestral')                                # albums that nothing learns from

def machine():
    "Processor, threads and versions: a figure without them means little."
    cpu = next((line.split(':')[1].strip() for line in open('/proc/cpuinfo')
                if line.startswith('model name')), platform.processor())
    return dict(cpu=cpu, threads=torch.get_num_threads(), cuda=torch.cuda.is_available(),
                python=platform.python_version(),
                **{name: version(name) for name in ('torch', 'numpy', 'scipy', 'scikit-learn')})

def write(name, **results):
    "Write `bench/results/<name>.json`, with the command and the machine beside the results."
    out = RESULTS/f'{name}.json'
    RESULTS.mkdir(exist_ok=True)
    command = f'python bench/{Path(sys.argv[0]).name} ' + ' '.join(sys.argv[1:])
    out.write_text(json.dumps(dict(command=command.strip(), machine=machine(), **results), indent=1,
                              default=float) + '\n')
    print(out)

def recorded(name): return json.loads((RESULTS/f'{name}.json').read_text())

def made_once(path, make):
    "What `make` returns, kept in a file of this benchmark."
    if not path.exists():
        made = make()
        with atomic_write(path) as part: part.write_bytes(pickle.dumps(made))
    return pickle.loads(path.read_bytes())

def split_by_album(clips, test=TEST, n_valid=48, seed=0):
    "Albums of the test; of the others, the tracks that were valid stay so, thinned to `n_valid` clips."
    table = clips.table
    split = table.split.where(table.split == 'valid', 'train').mask(table.label.isin(test), 'test')
    valid = table[split == 'valid'].sample(min(n_valid, int((split == 'valid').sum())),
                                           random_state=seed).index
    return replace(clips, table=table.assign(split=split))[(split != 'valid') | table.index.isin(valid)]

def of_each_label(clips, n, seed):
    "As many clips of each label."
    return clips[clips.table.groupby('label').sample(n, random_state=seed).index]

def in_memory(clips):
    "The clips with their own sound alone, to be sent to a different process."
    return Clips(clips.table.assign(row=range(len(clips))),
                 np.stack([clips.wavs[row] for row in clips.table.row]))

def clips_of_albums(folder, cache, seed=0, most=2000):
    "Clips of the albums; those of two are the test."
    return in_memory(split_by_album(load_clips(clip_table(folder, most, seed=0), cache), seed=seed))
