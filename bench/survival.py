"""What survives: a fault at each write, kills at any moment, files that may not grow, a full disk, two processes.

    python bench/survival.py                   (half an hour on two cores; the full disk needs root on Linux)

Every command that writes is done once in peace. Then it is disturbed, begun again until nothing disturbs it,
and what it leaves has to be what it left in peace, byte for byte. A moment is an event, such as the seventh opening
of a file for writing, and no time, so that a slow machine is disturbed at the same places as a quick one.
"""
import argparse
import errno
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from common import RESULTS, write
from hostile import at_event, die

import celae.report     # noqa: F401  what the jobs import, once for all of them
import celae.latent_files    # noqa: F401
from celae.cli import main
from celae.files import progress
from celae.corpora.builtin import builtin_music

FORK = get_context('fork')        # safe as long as this process itself computes nothing with threads
SOUND = 'folk/folk.00000.flac'
JOBS = dict(        # name -> arguments in a folder, and the files that count
    prepare=(lambda music, out: ['prepare', music, '--cache', out], ('*.npy', '*.parquet')),
    train=(lambda music, out: ['train', music, '--cache', music.parent/'cache', '--out', out, '--steps', 8,
                               '--resume'],
           ('model.safetensors', 'config.json', 'history.csv')),
    encode=(lambda music, out: ['encode', music, '--out', out, '--resume'], ('**/*.celae',)),
    decode=(lambda music, out: ['decode', music.parent/'song.celae', '-o', out/'song.flac', '--overwrite'],
            ('*.flac',)),
    edit=(lambda music, out: ['edit', music/SOUND, '-o', out/'song.flac', '--smooth', 4, '--overwrite'],
          ('*.flac',)),
    generate=(lambda music, out: ['generate', '--seconds', 2, '-o', out/'song.flac', '--overwrite'],
              ('*.flac',)),
    run=(lambda music, out: ['run', music, '--quick', '--cache', music.parent/'cache', '--out', out,
                             '--resume'],
         ('clips.parquet', 'models/*/model.safetensors', 'latents/*.npz', 'metrics/quality.json')))
SHORT = ('decode', 'edit', 'generate')    # that leave one file, and begin again from the start


def no_space(path): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def begin(job, music, out, log, event=None, act=no_space, everywhere=False, counted=None, limit=None):
    "Start a job in a process of its own; `act` happens at an event; `limit`: bytes that a file may have."
    def work():
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        os.dup2(1, 2)
        if limit:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)      # an error instead of a signal
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        sys.argv = ['celae', *map(str, JOBS[job][0](music, out))]
        if event is not None or counted is not None: at_event(event, act, None if everywhere else out,
                                                              counted)
        main()
    process = FORK.Process(target=work)
    process.start()
    return process


def left(job, out): return {str(f.relative_to(out)): f.read_bytes() for kind in JOBS[job][1]
                            for f in sorted(out.glob(kind))}


def go_on(job, music, out, log, peace):
    "Do the job undisturbed; is everything as it was in peace?"
    begin(job, music, out, log).join()
    return left(job, out) == peace


def said(log):
    "What a job that failed said at last; a traceback is no way to say it."
    text = log.read_text()
    if 'Traceback' in text: return 'a traceback'
    return text.strip().splitlines()[-1] if text.strip() else 'nothing'


def count_events(job, music, folder, everywhere=False):
    "The number of events of a job that nothing disturbs."
    counted = FORK.Value('q', 0)
    begin(job, music, folder/f'count-{everywhere}', folder/'log', -1, everywhere=everywhere,
          counted=counted).join()
    return counted.value


def faults(job, music, folder, peace):
    "A full disk at each write and each rename: after how many was the work the same, and the error one line?"
    log, total, same, clear = folder/'log', count_events(job, music, folder), 0, 0
    for n in progress(range(1, total + 1), f'{job}: faults'):
        out = folder/f'fault-{n}'
        begin(job, music, out, log, n).join()
        clear += 'No space left' in said(log)
        same += go_on(job, music, out, log, peace)
        shutil.rmtree(out)
    return dict(job=job, faults=total, same=same, clear=clear)


def limits(job, music, folder, peace):
    "Files that may not grow beyond some sizes: after how many was the work the same, and the error one line?"
    log, sizes, rows = folder/'log', [1 << k for k in range(8, 26, 2)], []
    for size in progress(sizes, f'{job}: limits'):
        out = folder/f'limit-{size}'
        process = begin(job, music, out, log, limit=size)
        process.join()
        rows.append((process.exitcode == 0 or said(log) != 'a traceback', go_on(job, music, out, log, peace)))
        shutil.rmtree(out)
    return dict(job=job, limits=len(sizes), clear=sum(clear for clear, _ in rows),
                same=sum(same for _, same in rows))


def moments(job, music, folder, n, seed=0):
    "Events at which to kill: before any work, then drawn from the writes and from all that a process does."
    rng, writes, all_events = random.Random(seed), count_events(job, music, folder), count_events(job, music,
            folder, True)
    drawn = [(rng.randint(1, writes), False) if i % 2 else (rng.randint(1, all_events), True)
             for i in range(n - 1)]
    return [(0, True), *drawn], writes, all_events


def kills(job, music, folder, peace, n=10):
    "Kills at events: what lies there is whole, the music as it was, and the next one goes on to the same end."
    log, killed, finished, same, whole, before = folder/'log', 0, 0, 0, 0, music_hash(music)
    drawn, writes, all_events = moments(job, music, folder, n)
    out = folder/'kill-0'
    for event, everywhere in progress(drawn, f'{job}: kills'):
        process = begin(job, music, out, log, event, die, everywhere)
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        whole += all(peace.get(name) == data for name, data in left(job, out).items()) if job in ('encode',
                *SHORT) else 1
        if process.exitcode == 0 or job in SHORT:          # done before the event: look, and begin another
            same, finished = same + go_on(job, music, out, log, peace), finished + 1
            out = folder/f'kill-{finished}'
    same += go_on(job, music, out, log, peace)
    return dict(job=job, kills=killed, whole=whole, finished=finished + 1, same=same,
                music_same=before == music_hash(music),
                writes=writes, events=all_events)


def music_hash(music): return hashlib.sha256(b''.join(f.read_bytes() for f in sorted(music.rglob('*'))
                                                      if f.is_file())).hexdigest()


def full_disk(music, folder, peace, megabytes):
    "Training on a disk that is too small: what is said, does the last checkpoint load, does it go on with more room?"
    disk, log = folder/'disk', folder/'log'
    disk.mkdir()
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={megabytes}m', 'tmpfs', disk],
                      capture_output=True).returncode:
        return dict(skipped='no right to mount a small disk')
    try:
        out = disk/'model'
        begin('train', music, out, log).join()
        words, loads = said(log).replace(str(disk), '...'), []
        for ckpt in sorted(out.glob('checkpoint.pt')):
            step = subprocess.run([sys.executable, '-c',
                                   'import sys, torch; print(torch.load(sys.argv[1], weights_only=True)["step"])', ckpt], capture_output=True, text=True)
            if step.returncode == 0: loads.append((ckpt.name, int(step.stdout)))
        found = dict(megabytes=megabytes, said=words, checkpoints=len(list(out.glob('checkpoint.pt'))),
                     loads=loads)
        subprocess.run(['mount', '-o', 'remount,size=1g', disk], check=True)
        found['same'] = go_on('train', music, out, log, peace)
        shutil.rmtree(out)
        subprocess.run(['mount', '-o', 'remount,size=2m', disk], check=True)
        begin('prepare', music, disk/'cache', log).join()
        return found | dict(prepare=said(log).replace(str(disk), '...'))
    finally: subprocess.run(['umount', disk], check=True)


def two_processes(music, folder, steps):
    "The same training, in which nothing is left to chance, by one process and by two with half the batch: losses."
    script = ('import sys; from celae.data import load_clips; from celae.training import fit_codec, new_model\n'
              'music, out, devices, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])\n'
              "clips = load_clips(music, out + '-cache')\n"
              "model, config = new_model('silu', 11_025, steps=steps, bs=16 // devices)\n"
              'fit_codec(model, clips, config, out, devices=devices)\n')
    program, histories = folder/'two.py', []
    program.write_text(script)                         # Lightning starts it again for the second process
    for devices in (1, 2):
        start = time.time()
        subprocess.run([sys.executable, program, music, folder/str(devices), str(devices), str(steps)],
                       check=True, capture_output=True)
        histories.append(pd.read_csv(folder/str(devices)/'history.csv').assign(processes=devices,
                secs=time.time() - start))
    return pd.concat(histories).to_dict('records')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--jobs', nargs='+', choices=list(JOBS), default=list(JOBS))
    parser.add_argument('--kills', type=int, default=10, help='of each command')
    parser.add_argument('--only-kills', action='store_true', help='leave the rest as it is')
    args = parser.parse_args()
    found, old = dict(faults=[], kills=[], limits=[]), RESULTS/'survival.json'
    with TemporaryDirectory() as temp:
        temp = Path(temp)
        music = temp/'music'
        builtin_music(music, tracks_per_style=3)
        begin('prepare', music, temp/'cache', temp/'log').join()
        begin('encode', music, temp/'latents', temp/'log').join()
        shutil.copy((temp/'latents'/SOUND).with_suffix('.celae'), temp/'song.celae')
        for job in args.jobs:
            start = time.time()
            begin(job, music, temp/job, temp/'log').join()
            secs, peace = time.time() - start, left(job, temp/job)
            if not peace: sys.exit(f'{job}: left nothing: {said(temp/"log")}')
            print(f'{job}: {len(peace)} files in {secs:.1f} s', flush=True)
            for what, how in dict(faults=faults, limits=limits).items():
                if job == 'run' or args.only_kills: continue      # a run has hundreds of writes
                found[what].append(how(job, music, temp, peace))
                print(found[what][-1], flush=True)
            found['kills'].append(kills(job, music, temp, peace, 4 if job == 'run' else args.kills))
            print(found['kills'][-1], flush=True)
        if args.only_kills:                         # beside what is known of the rest
            rest = {k: v for k, v in json.loads(old.read_text()).items() if k not in ('command', 'machine')}
            write('survival', **rest | dict(kills=found['kills']))
            sys.exit()
        if 'train' in args.jobs: found['full_disk'] = full_disk(music, temp, left('train', temp/'train'), 50)
        print(found.get('full_disk'), flush=True)
        found['two_processes'] = two_processes(music, temp, 60)
    write('survival', **found)
