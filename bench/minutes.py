"""How good the autoencoder is after so many minutes of training, each with a schedule of its own, and what it costs that one training serves all sizes.

    python bench/minutes.py data/albums --out runs/minutes                 (half an hour on two cores)

Steps are given and minutes are measured, so that a run can be repeated; nothing else should run beside it. Test clips and scores are
those of bench/rate_distortion.py.
"""
import argparse
import logging
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path

from common import write
from rate_distortion import begin, in_memory, of_each_label, score, training_clips

from celae.autoencoder import MusicAutoencoder
from celae.training import fit_codec, new_model


class Alone(MusicAutoencoder):
    "Learns only the size that it has."
    def draw_size(self): return self.size


def trained(out, clips, steps, seed, alone):
    "A model after so many steps, and the minutes that they took; `alone`: the only size that it learns."
    model, config = new_model('autoencoder', steps=steps, patience=steps, seed=seed)
    if alone: model = Alone(alone)
    start = time.time()
    fit_codec(model, clips, config, out, title=out.name)
    return model, (time.time() - start) / 60


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--out', type=Path, default=Path('runs/minutes'))
    parser.add_argument('--cache', type=Path, default=Path('data/cache'))
    parser.add_argument('--test', nargs='+', default=['arcade', 'orchestral'], help='albums that nothing learns from')
    parser.add_argument('--steps', type=int, nargs='+', default=[450, 1_350, 4_500])
    parser.add_argument('--alone', type=int, default=1_350, help='steps of the models that learn one size only')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format='%(message)s')

    albums, clips = training_clips(args.folder, args.cache, args.test, args.seed)
    test, rows = in_memory(of_each_label(albums.split('test'), 16, args.seed)), []
    every = range(len(test))
    for steps, alone in [(steps, None) for steps in args.steps] + [(args.alone, 'musical'), (args.alone, 'base')]:
        out = args.out/(f'{steps} {alone} alone' if alone else str(steps))
        model, minutes = trained(out, clips, steps, args.seed, alone)
        with ProcessPoolExecutor(cpu_count(), get_context('spawn'), begin, [test]) as pool:
            jobs = {size: pool.submit(score, size, model.with_size(size), every, 0, out) for size in ([alone] if alone else ('musical', 'base'))}
            rows += [dict(size=size, alone=bool(alone), steps=steps, minutes=minutes, **job.result()[0]) for size, job in jobs.items()]
        print({key: rows[-1][key] for key in ('size', 'steps', 'minutes', 'chroma', 'onset', 'zimtohrli', 'stft')}, flush=True)
    write('minutes', seed=args.seed, test=list(args.test), n_clips=len(test), table=rows)
