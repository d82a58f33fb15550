"""The whole job of `celae run` on a folder of real music or on the built-in music, gathered into one JSON for the study pages.

    python bench/whole_run.py albums data/albums --excerpts   (an hour and a half on two cores)
    python bench/whole_run.py builtin                         (about ten minutes)
    python bench/whole_run.py gtzan data/gtzan                (for those who have it: docs, studies/report_2024)
    python bench/whole_run.py albums data/albums --excerpts --collect    only gather what that run has found
"""
import argparse
import json
import logging
import shutil
from pathlib import Path

import pandas as pd
from common import RESULTS, write

from celae.audio import SR, read_audio
from celae.display import mp3_bytes
from celae.run import Settings, run


def gather(out):
    "Everything the study shows, from the files of the run."
    metrics = {f.stem: json.loads(f.read_text()) for f in sorted((out/'metrics').glob('*.json'))
               if f.stem != 'sounds'}
    histories = {f.parent.name: pd.read_csv(f).round(6).to_dict('records')
                 for f in sorted(out.glob('models/*/history.csv'))}
    clips = pd.read_parquet(out/'clips.parquet')
    counts = clips.groupby(['label', 'split']).agg(tracks=('track', 'nunique'),
                                                   clips=('track', 'size')).reset_index().to_dict('records')
    settings = json.loads((out/'settings.json').read_text())
    settings['folder'] = Path(settings['folder']).name
    return dict(settings=settings, counts=counts, histories=histories, **metrics)


def keep_excerpts(out, folder, secs=3):
    "Figures of the run, and the first seconds of its sounds: short enough to be quoted."
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for figure in (out/'figures').glob('*.*g'): shutil.copy(figure, folder)        # png and svg
    sounds = json.loads((out/'metrics'/'sounds.json').read_text())
    for section, rows in sounds.items():
        for i, files in enumerate(rows.values()):
            for caption, file in files.items():
                path = folder/f'{section}-{i}-{len(list(folder.glob(f"{section}-{i}-*.mp3")))}.mp3'
                path.write_bytes(mp3_bytes(read_audio(out/file, n_samples=secs * SR)))
                files[caption] = path.name
    return sounds


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name', help='of the results')
    parser.add_argument('folder', type=Path, nargs='?', help='of music; none: the built-in music')
    parser.add_argument('--out', type=Path, help='folder of the run; none: runs/NAME')
    parser.add_argument('--epochs', type=int, default=3,
                        help='passes over the training clips, for each 2024 model')
    parser.add_argument('--steps', type=int, default=3000,
                        help='of the autoencoder, from fresh weights: those that ship have learned from the albums')
    parser.add_argument('--prior', type=int, default=800, help='steps of the generative model')
    parser.add_argument('--excerpts', action='store_true',
                        help='keep figures and the first seconds of its sounds beside the results')
    parser.add_argument('--collect', action='store_true', help='do not run, only gather')
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    out = args.out or Path('runs')/args.name
    settings = Settings(str(args.folder.resolve()), epochs_2024=args.epochs, start='', steps=args.steps,
                        steps_prior=args.prior) if args.folder else Settings()
    if not args.collect: run(settings, out, resume=out.exists())
    write(args.name, **gather(out), **(dict(sounds=keep_excerpts(out, RESULTS/args.name)) if args.excerpts
                                       else {}))
