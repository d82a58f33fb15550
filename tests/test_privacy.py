"No sound of anybody's other files gets into a page, whatever a run or a folder of music says."
import os
import shutil
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch
from celae.cli import find_latents
from celae.data import clip_table, find_audio
from celae.models import Latent, model_folder
from celae.report import write_report
from celae.run import Settings, analyze, save_latents, write_json, write_map

N = 6
watched = []
sys.addaudithook(lambda event, args: watched and event == 'open' and isinstance(args[0], (str, bytes))
                 and watched.append(os.fsdecode(args[0])))


def music_file(path, hz=220., secs=5.):
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, .3 * np.sin(2 * np.pi * hz * np.arange(int(22_050 * secs)) / 22_050), 22_050)
    return path


@pytest.fixture
def stranger(tmp_path):
    "A run whose settings name the whole disk, and whose table names a private recording."
    secret, run = music_file(tmp_path/'home'/'secret.wav', 440.), tmp_path/'run'
    write_json(run/'settings.json', asdict(Settings(folder='/')) | dict(format='celae run 1'))
    rows = [dict(path=str(secret), track=f'{i}.wav', label='', split='train', start=0, n_samples=110_250)
            for i in range(N)]
    pd.DataFrame(rows).to_parquet(run/'clips.parquet')
    save_latents(run, 'musical', Latent(torch.randn(N, 4, 54), torch.zeros(N)))
    write_json(run/'metrics'/'kmeans-musical.json',
               [dict(k=k, inertia=9. / k, silhouette=.1) for k in (2, 3, 4)])
    shutil.copytree(model_folder('autoencoder'), run/'models'/'autoencoder')
    return run


def kept_sounds(run, *rows):
    (run/'audio').mkdir(exist_ok=True)
    with zipfile.ZipFile(run/'audio'/'map.zip', 'w') as f:
        for row in rows: [f.writestr(f'{row}/{name}', f'bytes of {name}') for name in ('picture', 'sound', 'copy')]


@pytest.mark.parametrize('make', [write_map, write_report, analyze])
@pytest.mark.parametrize('kept', [(), range(N), (0, 1, 2, 99)])
def test_a_page_reads_only_its_run(stranger, tmp_path, make, kept):
    if kept: kept_sounds(stranger, *kept)
    watched[:] = ['']
    try: make(stranger)
    except ValueError as e: assert '\n' not in str(e)
    finally: opened, watched[:] = watched[1:], []
    assert not [path for path in opened if path.startswith(str(tmp_path/'home'))]
    pages = ''.join(page.read_text() for page in stranger.glob('*.html'))
    assert len(pages) < 200_000 and 'secret.wav' not in pages      # six sounds of 3 s are more


def test_a_run_without_sounds_says_the_way_out(stranger):
    with pytest.raises(ValueError, match='--resume adds them'): write_map(stranger)
    kept_sounds(stranger, *range(N))
    assert write_map(stranger).stat().st_size < 200_000


@pytest.fixture
def shelf(tmp_path):
    "A folder of music, and private files beside it."
    for i in range(4): music_file(tmp_path/'music'/'a'/f'{i}.wav', 110. * (1 + i))
    for i in range(3): music_file(tmp_path/'home'/'private'/f'{i}.wav')
    (tmp_path/'home'/'private'/'x.celae').touch()
    return tmp_path/'music', tmp_path/'home'


LINKS = {'a file': ('a/in.wav', 'private/0.wav'), 'a folder': ('b', 'private'), 'a folder below': ('a/c', ''),
         'a folder called as a file': ('b.wav', 'private'), 'up': ('up', '..')}

@pytest.mark.parametrize('name', LINKS)
def test_links_are_followed_only_inside(shelf, name, caplog):
    (music, home), (link, target) = shelf, LINKS[name]
    (music/link).symlink_to(home/target)
    assert [f.name for f in find_audio(music)] == ['0.wav', '1.wav', '2.wav', '3.wav']
    assert Path(link).name in caplog.text and 'a link out of this folder' in caplog.text
    assert not clip_table(music).path.str.contains('private').any()
    assert find_latents(music) == []


def test_links_inside_and_a_root_that_is_a_link(shelf, tmp_path):
    music, home = shelf
    (music/'a'/'same.wav').symlink_to(music/'a'/'0.wav')
    (tmp_path/'link').symlink_to(music)
    assert len(find_audio(music)) == len(find_audio(tmp_path/'link')) == 5


def test_a_linked_latent_is_left_out(shelf, caplog):
    music, home = shelf
    (music/'mine.celae').touch(), (music/'theirs.celae').symlink_to(home/'private'/'x.celae')
    assert [f.name for f in find_latents(music)] == ['mine.celae'] and 'theirs.celae' in caplog.text


@pytest.mark.parametrize('name', ['factors.csv', 'splits.csv'])
def test_linked_tables_are_not_read(shelf, name, caplog):
    music, home = shelf
    (home/'list.csv').write_text('track,split,diagnosis\na/0.wav,train,secret\na/1.wav,test,secret\n')
    (music/name).symlink_to(home/'list.csv')
    assert 'diagnosis' not in clip_table(music) and name in caplog.text


def test_a_linked_gtzan_is_not_entered(tmp_path):
    from celae.data import GTZAN_LABELS
    for label in GTZAN_LABELS: music_file(tmp_path/'home'/label/f'{label}.00000.wav', secs=3.)
    (tmp_path/'music').mkdir(), (tmp_path/'music'/'genres').symlink_to(tmp_path/'home')
    with pytest.raises(ValueError): clip_table(tmp_path/'music')
