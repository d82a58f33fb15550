"No sound of anybody's other files gets into a page, whatever a run or a folder of music says."
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch
from celae.cli import find_latents
from celae.data import GTZAN_LABELS, clip_table, find_audio
from celae.models import Latent, model_folder
from celae.report import write_report
from celae.run import Run, Settings, analyze, begin_run, load_run, write_map

watched = []
sys.addaudithook(lambda event, args: watched and event == 'open' and isinstance(args[0], (str, bytes))
                 and watched.append(os.fsdecode(args[0])))


def music_file(path, hz=220., secs=5.):
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, .3 * np.sin(2 * np.pi * hz * np.arange(int(22_050 * secs)) / 22_050), 22_050)
    return str(path)


@pytest.fixture
def stranger(tmp_path):
    "A run whose settings name the whole disk, and whose table names a private recording."
    run, facts = Run(tmp_path/'run'), dict(label='', split='train', start=0, n_samples=110_250)
    facts['path'] = music_file(tmp_path/'home'/'secret.wav', 440.)
    begin_run(Settings(folder='/'), run, pd.DataFrame([dict(track=f'{i}.wav') | facts for i in range(6)]))
    run.write_latents('musical', Latent(torch.randn(6, 4, 54), torch.zeros(6)))
    sweep = [dict(latent='musical', k=k, inertia=9. / k, silhouette=.1) for k in (2, 3, 4)]
    run.write_table('clusters', sweep)
    run.write_table('edits', [dict(track='../../home/secret.wav', file='../../home/secret.wav')])
    shutil.copytree(model_folder('autoencoder'), run.path/'models'/'autoencoder')
    return run


def keep_sounds(run, rows):
    media = pd.DataFrame([dict(row=row, picture='a', sound='b', copy='c') for row in rows])
    run.write('audio/map.parquet', media.to_parquet())


@pytest.mark.parametrize('make', [write_map, write_report, analyze])
@pytest.mark.parametrize('kept', [(), range(6), (0, 1, 2, 99)])
def test_a_page_reads_only_its_run(stranger, tmp_path, make, kept):
    if kept: keep_sounds(stranger, kept)
    watched[:] = ['']
    try: made = make(stranger.path)
    except ValueError as e: made = str(e)
    finally: opened, watched[:] = watched[1:], []
    assert not [path for path in opened if path.startswith(str(tmp_path/'home'))]
    if make is write_map: assert Path(made).is_file() if kept else '--resume adds them' in made
    pages = ''.join(page.read_text() for page in stranger.path.glob('*.html'))
    assert len(pages) < 200_000 and 'a secret' not in pages and '\n' not in str(made)


BAD = dict(settings=('settings.json', '{"format": "celae run 1", "sizes": []}'),
           clips=('clips.parquet', 'no table'),
           tables=('metrics/clusters.json', '{}'), latents=('latents/musical.safetensors', 'x' * 99))

@pytest.mark.parametrize('name', BAD)
def test_damaged_files_are_named_in_one_line(stranger, name):
    file, text = BAD[name]
    keep_sounds(stranger, range(6))
    (stranger.path/file).write_text(text)
    with pytest.raises(ValueError, match=Path(file).name) as e: write_map(stranger.path)
    assert '\n' not in str(e.value)


def test_nothing_in_a_run_leads_out(stranger, tmp_path):
    (stranger.path/'audio').mkdir(exist_ok=True)
    targets = {'metrics/x.json': tmp_path/'home'/'secret.wav', 'audio/up': tmp_path, 'loop': 'loop'}
    for name, target in targets.items():
        (stranger.path/name).symlink_to(target)
        with pytest.raises(ValueError, match='leads out|no plain file'): load_run(stranger.path)
        (stranger.path/name).unlink()
    names = ['../home/secret.wav', str(tmp_path/'home'), 7, 'a\0b', 'audio']
    (stranger.path/'files.json').write_text(json.dumps(names))
    assert stranger.files() == []


LINKS = {'a file': ('a/in.wav', 'private/0.wav'), 'a folder': ('b', 'private'), 'a folder below': ('a/c', ''),
         'up': ('up', '..'), 'a latent': ('theirs.celae', 'private/x.celae'),
         'factors': ('factors.csv', 'list.csv')}

@pytest.mark.parametrize('name', LINKS)
def test_links_are_followed_only_inside(tmp_path, name, caplog):
    (music, home), (link, target) = (tmp_path/'music', tmp_path/'home'), LINKS[name]
    for i in range(4): music_file(music/'a'/f'{i}.wav', 110. * (1 + i))
    music_file(home/'private'/'0.wav'), (home/'private'/'x.celae').touch()
    (home/'list.csv').write_text('track,diagnosis\na/0.wav,secret\na/1.wav,well\n')
    (music/link).symlink_to(home/target), (music/'a'/'same.wav').symlink_to(music/'a'/'0.wav')
    assert len(find_audio(music)) == 5 and find_latents(music) == []
    table = clip_table(music)
    assert Path(link).name in caplog.text and 'diagnosis' not in table
    assert not table.path.str.contains('private').any()


def test_a_linked_gtzan_is_not_entered(tmp_path):
    for label in GTZAN_LABELS: music_file(tmp_path/'home'/label/f'{label}.00000.wav', secs=3.)
    (tmp_path/'music').mkdir(), (tmp_path/'music'/'genres').symlink_to(tmp_path/'home')
    with pytest.raises(ValueError): clip_table(tmp_path/'music')
