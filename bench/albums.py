"""The whole job of `celae run` on a folder of real music, gathered into one JSON for the study page.

    python bench/albums.py data/albums --out runs/albums          (about half an hour on two cores)
    python bench/albums.py data/albums --out runs/albums --collect   only gather what that run has found
"""
import argparse
import json
import logging
import shutil
from pathlib import Path

import pandas as pd
from common import RESULTS, write

from celae.app import Settings, run
from celae.data import SR, mp3_bytes, read_audio


def gather(out):
    "Everything the study shows, from the files of the run."
    metrics = {f.stem: json.loads(f.read_text()) for f in sorted((out/'metrics').glob('*.json')) if f.stem != 'sounds'}
    histories = {f.parent.name: pd.read_csv(f).round(6).to_dict('records') for f in sorted(out.glob('models/*/history.csv'))}
    clips = pd.read_parquet(out/'clips.parquet')
    counts = clips.groupby(['label', 'split']).agg(tracks=('track', 'nunique'), clips=('track', 'size')).reset_index().to_dict('records')
    settings = json.loads((out/'settings.json').read_text()) | dict(folder='8 albums of freely licensed music')
    return dict(settings=settings, counts=counts, histories=histories, **metrics)


def keep_excerpts(out, folder, secs=3):
    "Figures of the run, and the first seconds of its sounds: short enough to be quoted."
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for figure in (out/'figures').glob('*.png'): shutil.copy(figure, folder)
    sounds = json.loads((out/'metrics'/'sounds.json').read_text())
    for section, rows in sounds.items():
        for i, files in enumerate(rows.values()):
            for caption, file in files.items():
                path = folder/f'{section}-{i}-{len(list(folder.glob(f"{section}-{i}-*.mp3")))}.mp3'
                path.write_bytes(mp3_bytes(read_audio(out/file, n_samples=secs * SR)))
                files[caption] = path.name
    return sounds


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--out', type=Path, default=Path('runs/albums'))
    parser.add_argument('--epochs', type=int, default=3, help='passes over the training clips, for each 2024 model')
    parser.add_argument('--steps', type=int, default=3000, help='of the hybrid model, from fresh weights: those that ship have heard the test tracks')
    parser.add_argument('--prior', type=int, default=800, help='steps of the generative model')
    parser.add_argument('--collect', action='store_true', help='do not run, only gather')
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    settings = Settings(str(args.folder.resolve()), epochs_2024=args.epochs, start='', steps_hybrid=args.steps, steps_prior=args.prior)
    if not args.collect: run(settings, args.out, resume=args.out.exists())
    write('albums', **gather(args.out), sounds=keep_excerpts(args.out, RESULTS/'albums'))
