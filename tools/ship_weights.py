"""Put trained weights into the package, in half precision, each with a card (`python bench/all.py weights`).

    python tools/ship_weights.py autoencoder runs/autoencoder
    python tools/ship_weights.py prior-albums runs/prior-albums         (prior-builtin likewise)

`autoencoder` is the model with all its sizes, the priors are generative models over its latents at size
`musical`. They come after it: rounding to half precision changes the hash, which a prior remembers.
"""
import json
from pathlib import Path

import typer

from celae.autoencoder import SIZES, load_model
from celae.generation import load_prior
from celae.models import model_hash, save_model

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT/'celae'/'weights'
ALBUMS = dict(ambient='Singularity', arcade='SuperTux', cartoon='Hedgewars', folk='Widelands',
              industrial='Warzone 2100', orchestral='The Battle for Wesnoth', space='Naev',
              storybook='Planet Blupi')
CARD = """# {name}

{what}

- Learned from: {music}.
- Training: {training}, seed 0.
- {scores}
- Limits: {limits}
- Licence: the weights are Apache-2.0 like the code. What you make with them is yours, as far as the music
  that you put in allows it.
"""
GAMES = 'the soundtracks of free games, which their authors license freely (GPL, CC BY-SA and the like): '
UNLIKE = 'it has learned from game music; voices and noises that are unlike it come out worse.'

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
    form = ('`{codec}`, {values_per_clip} values: chroma {chroma:.3f}, onset {onset:.3f}, '
            'Zimtohrli {zimtohrli:.2f}, MR-STFT {stft:.2f}')
    scores = '; '.join(form.format(**row) for row in found['table'] if row['codec'] in SIZES)
    games = ' and '.join(ALBUMS[label] for label in found['test'])
    ship(load_model(folder), name,
         music=f'{GAMES}{games_but(found["test"])}; and built-in music; 220 tracks in all',
         what='Tones, energies, timbre, stereo width and air in one latent, from 7 to 78 channels every '
              '93 ms, with or without sparse MDCT coefficients: all sizes with the same weights. At sizes '
              '`stereo` and `compact_stereo` two channels at 44 100 Hz, at the others one at 22 050 Hz.',
         training='8 000 batches of 24 crops of 4.5 s for the energies, 11 000 of 16 for the tones, and '
                  '4 400 of 8 crops of 3 s for what is left, each coder alone (`bench/autoencoder.py`)',
         scores=f'On {found["n_clips"]} clips of {games}, which it has not learned from: {scores}.')

def ship_prior(folder, name):
    "A generative model."
    prior, facts = load_prior(folder), json.loads((folder/'prior.json').read_text())
    music = GAMES + ', '.join(ALBUMS.get(label, label) for label in prior.labels)
    if name == 'prior-builtin': music = f'{facts["tracks"]:,} tracks that celae.corpora.builtin has rendered'
    prior.config |= dict(codec_hash=model_hash(load_model()))   # of the same latents
    ship(prior, name, music=f'{music}; {facts["windows"]["train"]:,} windows of 15 s',
         limits='one channel at 22 050 Hz' + ('.' if name == 'prior-builtin' else f'; {UNLIKE}'),
         what=f'A generative model over the latents of size `musical`, by label: {", ".join(prior.labels)}.',
         training=f'{facts["steps"]:,} batches of 12 windows by `bench/prior.py`',
         scores=f'Flow-matching loss on validation tracks: {facts["valid_loss"]:.3f}; more in its study.')

def main(name: str, folder: Path): (ship_prior if name.startswith('prior')
                                    else ship_autoencoder)(folder, name)

if __name__ == '__main__': typer.run(main)
