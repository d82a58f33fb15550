"""LeakyReLU or SiLU? Both models of 2024 at 55 125 values per clip, on real music, three seeds each.

    python bench/activations.py data/albums --clips 400 --steps 100

The seed decides weights, order of batches and the split by track, so that the standard deviation covers all three.
Nothing is chosen by the test clips: both models have the same steps and the same learning rate.
"""
import argparse
import tempfile

from common import write

from celae.data import clip_table, load_clips
from celae.evaluation import evaluate
from celae.training import fit_codec, new_model

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument('folder', help='a collection of music, a folder a label')
parser.add_argument('--clips', type=int, default=400)
parser.add_argument('--steps', type=int, default=100, help='batches of 16 clips')
parser.add_argument('--lr', type=float, default=.01)
parser.add_argument('--seeds', type=int, default=3)
args = parser.parse_args()

histories, scores = [], []
for seed in range(args.seeds):
    clips = load_clips(clip_table(args.folder, args.clips, seed=seed))
    for preset in ('leakyrelu', 'silu'):
        model, config = new_model(preset, steps=args.steps, lr=args.lr, seed=seed)
        name = model.family
        history = fit_codec(model, clips, config, tempfile.mkdtemp(), title=f'{name}, seed {seed}')
        test = evaluate(model, clips.split('test'))
        histories += history.assign(model=name, seed=seed).to_dict('records')
        scores.append(dict(model=name, seed=seed, n_test=len(test), mse=test.mse.mean(), snr=test.snr.mean(),
                           stft=test.stft.mean(), valid_loss=history.valid_loss.min(),
                           train_loss=history.train_loss.iloc[-1]))
        print(scores[-1], flush=True)
write('activations', folder='8 albums of freely licensed music', clips=args.clips, steps=args.steps,
      lr=args.lr, scores=scores, history=histories)
