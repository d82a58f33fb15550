"What every benchmark says about where it ran, and how it writes its figures."
import json
import pickle
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from celae.files import atomic_write

RESULTS = Path(__file__).parent/'results'


def machine():
    "Processor, threads and versions: a figure without them means little."
    cpu = next((line.split(':')[1].strip() for line in open('/proc/cpuinfo') if line.startswith('model name')), platform.processor())
    return dict(cpu=cpu, threads=torch.get_num_threads(), cuda=torch.cuda.is_available(), python=platform.python_version(),
                **{name: version(name) for name in ('torch', 'lightning-fabric', 'numpy', 'scikit-learn', 'librosa')})


def write(name, **results):
    "Write `bench/results/<name>.json`, with the command and the machine beside the results."
    out = RESULTS/f'{name}.json'
    RESULTS.mkdir(exist_ok=True)
    command = f'python bench/{Path(sys.argv[0]).name} ' + ' '.join(sys.argv[1:])
    out.write_text(json.dumps(dict(command=command.strip(), machine=machine(), **results), indent=1, default=float) + '\n')
    print(out)


def made_once(path, make):
    "What `make` returns, kept in a file of this benchmark."
    if not path.exists():
        made = make()
        with atomic_write(path) as part: part.write_bytes(pickle.dumps(made))
    return pickle.loads(path.read_bytes())
