"""LeakyReLU or SiLU? Both models of 2024 at 55 125 values per clip, on real music, three seeds each.

    python bench/activations.py            (an hour on two cores)

The seed decides weights, order of batches and the split by track, so that the standard deviation covers all
three. Nothing is chosen by the test clips: both models have the same steps and the same learning rate.
"""
import tempfile
from pathlib import Path

import typer
from common import ALBUMS, write

from celae.data import clip_table, load_clips
from celae.evaluation import evaluate
from celae.training import fit_codec, new_model

def main(folder: Path = ALBUMS, clips: int = 400, steps: int = 100, lr: float = .01, seeds: int = 3):
    histories, scores = [], []
    for seed in range(seeds):
        some = load_clips(clip_table(folder, clips, seed=seed))
        for preset in ('leakyrelu', 'silu'):
            model, config = new_model(preset, steps=steps, lr=lr, seed=seed)
            name = model.family
            history = fit_codec(model, some, config, tempfile.mkdtemp(), title=f'{name}, seed {seed}')
            test = evaluate(model, some.split('test'))
            histories += history.assign(model=name, seed=seed).to_dict('records')
            means = {metric: test[metric].mean() for metric in ('mse', 'snr', 'stft')}
            scores.append(dict(model=name, seed=seed, n_test=len(test), **means,
                               valid_loss=history.valid_loss.min(), train_loss=history.train_loss.iloc[-1]))
    write('activations', folder='8 albums of freely licensed music', clips=clips, steps=steps, lr=lr,
          scores=scores, history=histories)

if __name__ == '__main__': typer.run(main)
