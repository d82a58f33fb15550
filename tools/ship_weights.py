"""Put the models of a finished run into the package, in half precision, with a card.

    python bench/albums.py data/albums --out runs/albums
    python tools/ship_weights.py runs/albums

`base` is the run's spectral model, `prior` its generative model. Both were trained on the training tracks only, so
that the scores of the run's test tracks hold for them.
"""
import argparse
import json
from pathlib import Path

import pandas as pd

from celae.generation import load_prior
from celae.models import load_model, model_hash, save_model

WEIGHTS = Path(__file__).resolve().parent.parent/'celae'/'weights'
CARD = """# {name}

{what}

- Trained on: {clips} clips of 5 s from {tracks} tracks of 8 soundtracks of free games (Battle for Wesnoth, Warzone 2100, Planet
  Blupi, Singularity, SuperTux, Widelands, Hedgewars, Naev), which their authors license freely (GPL, CC BY-SA and the like).
- Steps: {steps}, on two cores, by `bench/albums.py`; seed 0.
- Scores on {test} test tracks that it has not seen: {scores}.
- Limits: a first, small model. Pitch is blurred, and what sounds unlike game music comes out more like it.
- The weights are Apache-2.0 like the code; what you make with them is yours, as far as the music you put in allows it.
"""


def ship(model, name, **facts):
    "Save `model` in half precision, with its card."
    folder = save_model(model.half(), WEIGHTS/name)
    (folder/'README.md').write_text(CARD.format(name=name, **facts))
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f'{name}: {size / 1e6:.1f} MB')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path)
    args = parser.parse_args()
    clips, quality = pd.read_parquet(args.run/'clips.parquet'), json.loads((args.run/'metrics'/'quality.json').read_text())
    row = next(row for row in quality if row['codec'].startswith('spectral'))
    train, test = [clips[clips.split == split].track.nunique() for split in ('train', 'test')]
    facts = dict(clips=int((clips.split == 'train').sum()), tracks=train, test=test)
    settings = json.loads((args.run/'settings.json').read_text())
    ship(load_model(args.run/'models'/'spectral-3457'), 'base', steps=f'{settings["steps_spectral"]} batches of 16 crops of 1.5 s',
         what='A spectral autoencoder: 16 numbers for each 23 ms of sound at 22 050 Hz, 3 457 for 5 s.',
         scores=f'mel distance {row["mel"]:.1f} dB, STFT distance {row["stft"]:.2f}, SNR {row["snr"]:.1f} dB', **facts)
    prior, history = load_prior(args.run/'models'/'prior'), pd.read_csv(args.run/'models'/'prior'/'history.csv')
    prior._hub_mixin_config['codec_hash'] = model_hash(load_model('base'))  # rounding to half precision changed it
    ship(prior, 'prior', what=f'A generative model over the latents of `base`, by label: {", ".join(prior.labels)}.',
         steps=f'{history.step.max()} batches of 32 clips', scores=f'flow-matching loss on validation tracks {history.valid_loss.min():.3f}', **facts)
