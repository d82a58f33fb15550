"""The weights of `tonal`: those of `base`, and the principal components of the piano rolls of the music it has learned from.

    python bench/tones.py data/albums --out runs/tonal        (a minute on two cores)
"""
import argparse
from pathlib import Path

from rate_distortion import training_clips

from celae.data import clip_tensor, progress
from celae.models import load_model, save_model
from celae.tones import TonalAutoencoder
from celae.training import split_rows

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--out', type=Path, default=Path('runs/tonal'))
    parser.add_argument('--cache', type=Path, default=Path('data/cache'))
    args = parser.parse_args()
    _, clips, wavs = training_clips(args.folder, args.cache, ['arcade', 'orchestral'], seed=0)
    rows = split_rows(clips, 'train')
    model = TonalAutoencoder().take(load_model('base')).fit((clip_tensor(rows.iloc[i:i + 32], wavs) for i in progress(range(0, len(rows), 32), 'listening')))
    print(save_model(model.half(), args.out))
    shares = model.tonal_axes.square().sum(1)
    print(f'{len(rows)} clips; spread of the components {shares[0].sqrt():.2f} to {shares[-1].sqrt():.2f}, gain {model.tonal_gain:.2f}')
