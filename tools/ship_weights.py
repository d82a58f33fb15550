"""Put trained weights into the package, in half precision, each with a card.

    python bench/rate_distortion.py data/albums --out runs/rate-distortion
    python tools/ship_weights.py base runs/rate-distortion/hybrid
    python bench/prior.py data/albums --out runs/prior
    python tools/ship_weights.py prior runs/prior

`base` is the hybrid model with all its sizes, `prior` a generative model over its latents without partials. The base comes
first: rounding to half precision changes its fingerprint, which the prior remembers.
"""
import argparse
import json
from pathlib import Path

import pandas as pd

from celae.generation import load_prior
from celae.models import load_model, save_model

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT/'celae'/'weights'
ALBUMS = dict(ambient='Singularity', arcade='SuperTux', cartoon='Hedgewars', folk='Widelands', industrial='Warzone 2100', orchestral='The Battle for Wesnoth',
              space='Naev', storybook='Planet Blupi')
CARD = """# {name}

{what}

- Learned from: the soundtracks of free games, which their authors license freely (GPL, CC BY-SA and the like): {albums}{more}.
- Training: {training}, seed 0.
- {scores}
- Limits: 22 050 Hz, one channel at a time. It has learned from game music; voices and noises that are unlike it come out worse.
- Licence: the weights are Apache-2.0 like the code. What you make with them is yours, as far as the music that you put in allows it.
"""


def ship(model, name, **facts):
    "Save `model` in half precision, with its card."
    folder = save_model(model.half(), WEIGHTS/name)
    (folder/'README.md').write_text(CARD.format(name=name, **facts))
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f'{name}: {size / 1e6:.1f} MB')


def ship_base(folder):
    "The hybrid model, with the scores of the study if there are any."
    found = json.loads((ROOT/'bench'/'results'/'rate_distortion.json').read_text())
    rows = [row for row in found['table'] if row['codec'].startswith('hybrid')]
    scores = '; '.join(f'{row["latent_size"]} numbers: chroma {row["chroma"]:.3f}, onset {row["onset"]:.3f}, Zimtohrli {row["zimtohrli"]:.2f}, '
                       f'MR-STFT {row["stft"]:.2f}, SNR {row["snr"]:.1f} dB' for row in rows)
    model = load_model(folder)
    norm, part = model.z_norm, model.to_z                      # what is normalised afterwards may have any scale; this one fits into half precision
    scale = 1 / norm.running_var.mean().sqrt()
    for values in (part.weight, part.bias, norm.running_mean): values.data *= scale
    norm.running_var *= scale**2
    ship(model, 'base', what='A hybrid autoencoder: 864, 1 728, 3 455 or 6 910 numbers for 5 s of sound, or 3 521 without partials, all with the same weights.',
         albums=', '.join(game for label, game in ALBUMS.items() if label not in found['test']), more=f'; and 96 tracks of built-in music; {found["n_train"]} clips of 5 s in all',
         training=f'{found["steps"]} batches of 8 crops of 3 s by `bench/rate_distortion.py`, {found["minutes"]:.0f} minutes on two cores',
         scores=f'On {found["n_clips"]} clips of {" and ".join(ALBUMS[label] for label in found["test"])}, of which it knows nothing: {scores}.')


def ship_prior(folder):
    "The generative model."
    prior, history = load_prior(folder), pd.read_csv(folder/'history.csv')
    facts = json.loads((folder/'prior.json').read_text())
    ship(prior, 'prior', what=f'A generative model over the latents of `base` without partials, by label: {", ".join(prior.labels)}.',
         albums=', '.join(ALBUMS[label] for label in prior.labels), more=f'; {facts["n_train"]} clips of 5 s',
         training=f'{history.step.max()} batches of 32 clips by `bench/prior.py`, {facts["minutes"]:.0f} minutes on two cores',
         scores=f'Flow-matching loss on validation tracks: {history.valid_loss.min():.3f}.')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name', choices=('base', 'prior'))
    parser.add_argument('folder', type=Path)
    args = parser.parse_args()
    dict(base=ship_base, prior=ship_prior)[args.name](args.folder)
