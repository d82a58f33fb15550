"""LeakyReLU or SiLU? Both models of 2024 at 55 125 numbers a clip, on real music, three seeds each.

    python bench/activations.py data/albums --clips 400 --steps 100

The seed decides weights, order of batches and the split by track, so that the spread covers all three.
Nothing is chosen by the test clips: both models have the same steps and the same learning rate.
"""
import argparse
import tempfile

import torch
from common import write

from celae.data import cache_clips, clip_table
from celae.models import CELAutoencoderLeakyReLU, CELAutoencoderSiLU
from celae.training import AutoencoderModule, ClipData, evaluate, fit, split_rows

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument('folder', help='a collection of music, a folder a label')
parser.add_argument('--clips', type=int, default=400)
parser.add_argument('--steps', type=int, default=100, help='batches of 16 clips')
parser.add_argument('--lr', type=float, default=.01)
parser.add_argument('--seeds', type=int, default=3)
args = parser.parse_args()

histories, scores = [], []
for seed in range(args.seeds):
    clips, wavs = cache_clips(clip_table(args.folder, args.clips, seed=seed))
    for model_class in (CELAutoencoderLeakyReLU, CELAutoencoderSiLU):
        torch.manual_seed(seed)
        model, name = model_class(55_125), model_class.__name__.removeprefix('CELAutoencoder')
        history = fit(AutoencoderModule(model, 'mse', args.lr), ClipData(clips, wavs), tempfile.mkdtemp(), args.steps, seed=seed, title=f'{name}, seed {seed}')
        test = evaluate(model, split_rows(clips, 'test'), wavs)
        histories += history.assign(model=name, seed=seed).to_dict('records')
        scores.append(dict(model=name, seed=seed, n_test=len(test), mse=test.mse.mean(), snr=test.snr.mean(), stft=test.stft.mean(),
                           valid_loss=history.valid_loss.min(), train_loss=history.train_loss.iloc[-1]))
        print(scores[-1], flush=True)
write('activations', folder='8 albums of freely licensed music', clips=args.clips, steps=args.steps, lr=args.lr, scores=scores, history=histories)
