"""Put trained weights into the package, in half precision, each with a card.

    python bench/rate_distortion.py data/albums --out runs/rate-distortion
    python tools/ship_weights.py autoencoder runs/rate-distortion/autoencoder
    python bench/prior.py data/albums --out runs/prior-albums
    python tools/ship_weights.py prior-albums runs/prior-albums              (prior-builtin likewise, see bench/prior.py)

`autoencoder` is the model with all its sizes, `prior-albums` and `prior-builtin` are generative models over its latents at size `musical`. The priors
come after it: rounding to half precision changes the hash, which a prior remembers.
"""
import argparse
import json
from pathlib import Path

from celae.autoencoder import load_model
from celae.generation import load_prior
from celae.models import save_model

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT/'celae'/'weights'
ALBUMS = dict(ambient='Singularity', arcade='SuperTux', cartoon='Hedgewars', folk='Widelands', industrial='Warzone 2100', orchestral='The Battle for Wesnoth',
              space='Naev', storybook='Planet Blupi')
CARD = """# {name}

{what}

- Learned from: {music}.
- Training: {training}, seed 0.
- {scores}
- Limits: 22 050 Hz, one channel at a time.{limits}
- Licence: the weights are Apache-2.0 like the code. What you make with them is yours, as far as the music that you put in allows it.
"""
GAMES = 'the soundtracks of free games, which their authors license freely (GPL, CC BY-SA and the like): '
UNLIKE = ' It has learned from game music; voices and noises that are unlike it come out worse.'


def ship(model, name, limits=UNLIKE, **facts):
    "Save `model` in half precision, with its card."
    folder = save_model(model.half(), WEIGHTS/name)
    (folder/'README.md').write_text(CARD.format(name=name, limits=limits, **facts))
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f'{name}: {size / 1e6:.1f} MB')


def games_but(labels):
    "The games of all albums but some."
    return ', '.join(game for label, game in ALBUMS.items() if label not in labels)


def ship_autoencoder(folder, name):
    "The autoencoder, with the scores of the study if there are any."
    found = json.loads((ROOT/'bench'/'results'/'rate_distortion.json').read_text())
    rows = [row for row in found['table'] if row['codec'].split()[0] in ('autoencoder', 'hybrid')]     # 'hybrid' in results of 0.1
    def size(row): return row.get('values_per_clip', row.get('latent_size'))
    scores = '; '.join(f'{size(row)} values: chroma {row["chroma"]:.3f}, onset {row["onset"]:.3f}, Zimtohrli {row["zimtohrli"]:.2f}, '
                       f'MR-STFT {row["stft"]:.2f}, SNR {row["snr"]:.1f} dB' for row in rows)
    model = load_model(folder)
    norm, part = model.encoder.z_norm, model.encoder.to_z      # what is normalised afterwards may have any scale; this one fits into half precision
    scale = 1 / norm.running_var.mean().sqrt()
    for values in (part.weight, part.bias, norm.running_mean): values.data *= scale
    norm.running_var *= scale**2
    ship(model, name, what='Sinusoids plus a learned residual: 864, 1 728, 3 455 or 6 910 values for 5 s of sound, or 2 641 without detail, all with the same weights.',
         music=f'{GAMES}{games_but(found["test"])}; and 96 tracks of built-in music; {found["n_train"]} clips of 5 s in all',
         training=f'{found["steps"]} batches of 8 crops of 3 s by `bench/rate_distortion.py`, {found["minutes"]:.0f} minutes on two cores',
         scores=f'On {found["n_clips"]} clips of {" and ".join(ALBUMS[label] for label in found["test"])}, which it has not learned from: {scores}.')


def ship_prior(folder, name):
    "A generative model."
    prior, facts = load_prior(folder), json.loads((folder/'prior.json').read_text())
    learned = dict(music=GAMES + ', '.join(ALBUMS[label] for label in prior.labels)) if name == 'prior-albums' else dict(music='2 400 tracks that celae.music has rendered', limits='')
    learned['music'] += f'; {facts["clips"]["train"]} clips of 5 s'
    ship(prior, name, **learned, what=f'A generative model over the latents of size `musical`, by label: {", ".join(prior.labels)}.',
         training=f'{facts["steps"]} batches of 32 clips by `bench/prior.py`, {facts["minutes"]:.0f} minutes on two busy cores',
         scores=f'Flow-matching loss on validation tracks: {facts["valid_loss"]:.3f}; more in the study of generation.')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name', choices=('autoencoder', 'prior-builtin', 'prior-albums'))
    parser.add_argument('folder', type=Path)
    args = parser.parse_args()
    (ship_prior if args.name.startswith('prior') else ship_autoencoder)(args.folder, args.name)
