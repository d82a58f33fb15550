"""The whole job of `celae run` on real music or on the built-in music, gathered into one JSON for the study
pages.

    python bench/whole_run.py albums          (an hour and a half on two cores)
    python bench/whole_run.py builtin         (about ten minutes)
    python bench/whole_run.py gtzan data/gtzan    (for those who have it: docs, studies/report_2024)

It goes on where it was interrupted. The autoencoder begins with fresh weights: those that ship have learned
from the albums. Of the albums, figures and the first seconds of its sounds are kept too.
"""
import json
import logging
import shutil
from pathlib import Path

import pandas as pd
from common import ALBUMS, RESULTS, write
import typer

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

def main(name: str, folder: Path = None, epochs: int = 3, steps: int = 3000, prior: int = 800):
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    out, folder = Path('runs')/name, folder or (ALBUMS if name == 'albums' else None)
    settings = Settings() if name == 'builtin' else Settings(
        str(folder.resolve()), epochs_2024=epochs, start='', steps=steps, steps_prior=prior)
    run(settings, out, resume=out.exists())
    write(name, **gather(out), **(dict(sounds=keep_excerpts(out, RESULTS/name)) if name == 'albums' else {}))

if __name__ == '__main__': typer.run(main)
