"""How good the hybrid model is after so many minutes of training, each with a schedule of its own.

    python bench/minutes.py data/albums --out runs/minutes                 (an hour on two cores)

Steps are given and minutes are measured, so that a run can be repeated; nothing else should run beside it. Test clips and scores are
those of bench/rate_distortion.py.
"""
import argparse
import logging
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path

from common import write
from rate_distortion import begin, score, train, training_clips

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--out', type=Path, default=Path('runs/minutes'))
    parser.add_argument('--cache', type=Path, default=Path('data/cache'))
    parser.add_argument('--test', nargs='+', default=['arcade', 'orchestral'], help='albums that are only listened to')
    parser.add_argument('--steps', type=int, nargs='+', default=[150, 500, 1_700, 5_000])
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format='%(message)s')

    albums, clips, wavs = training_clips(args.folder, args.cache, args.test, args.seed)
    test = albums[albums.split == 'test'].groupby('label').sample(16, random_state=args.seed).reset_index(drop=True)
    heard = wavs[test['row']]
    test['row'], rows = range(len(test)), []
    for steps in args.steps:
        model, minutes = train(args.out/str(steps), clips, wavs, steps, args.seed)
        with ProcessPoolExecutor(cpu_count(), get_context('spawn'), begin, [heard]) as pool:
            jobs = {size: pool.submit(score, size, model.at(size), test, 0, args.out/str(steps)) for size in ('base', 'quarter')}
            rows += [dict(size=size, steps=steps, minutes=minutes, **job.result()[0]) for size, job in jobs.items()]
        print(rows[-2:], flush=True)
    write('minutes', seed=args.seed, test=list(args.test), n_clips=len(test), table=rows)
