"Odd collections in commands, runs and reports: too few tracks, odd facts, files that cannot be used."
import json
import os

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from celae.beats import describe_clips
from celae.data import clip_table, find_audio, load_clips
from celae.report import split_findings
from celae.run import Run, Settings, begin_run, open_run, read_music
from celae.sound_map import _facts, _json
from celae.training import check_size

TRACKS = [f'{label}/{i}.wav' for label in ('high', 'low') for i in range(3)]


def write(path, hz=220., secs=5.):
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, .3 * np.sin(2 * np.pi * hz * np.arange(int(22_050 * secs)) / 22_050), 22_050)


@pytest.fixture
def music(tmp_path):
    "A folder with two labels of three tracks."
    for i, track in enumerate(TRACKS): write(tmp_path/'music'/track, 110. * (i + 2))
    return tmp_path/'music'


def test_the_command_says_what_it_takes_as_split(tmp_path, celae):
    for i in range(8): write(tmp_path/'m'/('test' if i > 5 else 'train')/f'{i}.wav', 110 + 20. * i)
    done = celae('prepare', 'm', '--cache', 'c')
    assert done.returncode == 0 and '--folders-are-labels' in done.stderr
    assert 'taken as the split' not in celae('prepare', 'm', '--cache', 'c', '--folders-are-labels').stderr


@pytest.mark.parametrize('n_tracks, split', [(1, 'test'), (2, 'valid')])
def test_too_few_tracks_are_refused_before_they_are_decoded(tmp_path, n_tracks, split):
    for i in range(n_tracks): write(tmp_path/'m'/f'{i}.wav', 110. * (i + 1), 70.)
    settings = Settings(folder=str(tmp_path/'m'))
    with pytest.raises(ValueError, match='tracks'): read_music(settings, tmp_path/'cache')
    assert not (tmp_path/'cache').exists()
    check_size(load_clips(tmp_path/'m', tmp_path/'cache'), n_test=0)     # a model may be trained on them


def test_the_report_says_which_clips_were_trained_on(music):
    table = clip_table(music)
    cases = {'a': (table.split, '2 tracks that they were not trained on'),
             'b': ('train', 'None was kept back')}
    for name, (splits, says) in cases.items():
        begin_run(Settings(), music.parent/name, table.assign(split=splits))
        assert says in split_findings(music.parent/name)[0]


FACTS = {'tune': 'song', 'tune,genre,collection,composer,metre,tempo_bpm,octaves': 'a,b,c,d,4/4,120,0',
         'drums_pattern': 'four', 'drums_pattern,metre,tempo_bpm': 'four,5/8,fast', 'key,mode': '7,1',
         'label': '',
         'drums_pattern,metre,key': ',,', 'label,label_factor': 'a,b',
         'start,row,n_samples,split,left_out': '1,2,3,x,y',
         'class,_x,my col,,a,a': '1,2,3,4,5,6', 'v': '12345678901234567890123', 'Index,index,group': '1,2,3'}

@pytest.mark.parametrize('columns', FACTS)
def test_columns_are_never_taken_for_others(music, columns):
    rows = ''.join(f'{track},{FACTS[columns]}\n' for track in TRACKS[1:])
    (music/'factors.csv').write_text(f'path,{columns}\n{rows}')
    clips = load_clips(clip_table(music), music.parent/'cache')
    begin_run(Settings(), music.parent/'run', clips.table)
    assert len(_json(_facts(Run(music.parent/'run').clips).to_dict('records')))
    beats, keys = describe_clips(clips[:2])
    assert len(beats) == len(keys) == 2


def test_many_labels_with_one_track_are_one_short_line(caplog):
    from celae.latent_analysis import usable_clips
    labels = [f'label {i}' for i in range(200)] + ['a', 'a', 'b', 'b']
    assert len(usable_clips(labels, range(204))) == 4
    assert len(caplog.text) < 300 and '(and 195 more): left out of the classifier' in caplog.text


def test_one_bad_file_does_not_stop_a_folder(tmp_path, celae):
    names = ['a', 'x' * 250, 'z']
    for name in names: write(tmp_path/'m'/f'{name}.wav', 220., 1.)
    (tmp_path/'m'/'empty.wav').touch(), (tmp_path/'m'/'bad.mp3').write_text('no music')
    done = celae('encode', 'm', '-o', 'out')
    assert done.returncode == 0 and 'x.celae: left out; the name is too long' in done.stderr
    assert sorted(os.listdir(tmp_path/'out')) == ['a.celae', 'z.celae'] and len(find_audio(tmp_path/'m')) == 5


def test_a_file_that_may_not_be_read_does_not_stop_a_folder(tmp_path):
    from celae.cli import each_file
    def work(file, result):
        if file == 'b': raise PermissionError(13, 'Permission denied', file)
        return result
    each_file(dict(a='1', b='2', c='3'), work)
    def full(file, result): raise OSError(28, 'No space left', file)
    with pytest.raises(OSError, match='No space'): each_file(dict(a='1', b='2'), full)


def test_a_table_of_the_first_version_goes_on(music):
    "A run that was begun before a setting was there has its default."
    out = music.parent/'run'
    begin_run(Settings(), out, clip_table(music))
    file = out/'settings.json'
    old = json.loads(file.read_text())
    del old['split_folders']
    file.write_text(json.dumps(old))
    assert open_run(out, Settings(), resume=True) == out
    with pytest.raises(ValueError, match='split_folders'):
        open_run(out, Settings(split_folders=False), resume=True)
    assert len(pd.read_parquet(out/'clips.parquet')) == 6
