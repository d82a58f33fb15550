"""The tonal components of a trained autoencoder, found anew on the music that it has learned from.

    python bench/tones.py data/albums runs/rate-distortion/autoencoder --out runs/autoencoder        (a minute on two cores)

bench/rate_distortion.py does the same before it trains; this is for a model that was trained in another way, such as by `celae train`.
"""
import argparse
from pathlib import Path

from rate_distortion import training_clips

from celae.autoencoder import load_model
from celae.models import save_model

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help='a collection of music, a folder a label')
    parser.add_argument('model', help='model folder, or the name of the one that ships: autoencoder')
    parser.add_argument('--out', type=Path, default=Path('runs/autoencoder'))
    parser.add_argument('--cache', type=Path, default=Path('data/cache'))
    args = parser.parse_args()
    _, clips = training_clips(args.folder, args.cache, ['arcade', 'orchestral'], seed=0)
    train = clips.split('train')
    model = load_model(args.model).fit_tones(train.batches(32, 'finding tonal components'))
    print(save_model(model, args.out))
    shares = model.tonal.axes.square().sum(1)
    print(f'{len(train)} clips; standard deviations {shares[0].sqrt():.2f} to {shares[-1].sqrt():.2f}, gain {model.tonal.gain:.2f}')
