"Tables and folders as people have them: rows find their files, splits are what they are called, odd ones are named."
import os

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from celae.beats import describe_clips
from celae.data import GTZAN_LABELS, clip_table, find_audio, list_clips, load_clips
from celae.files import AudioError
from celae.report import split_findings
from celae.run import Settings, begin_run, read_clips, read_music
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


# ---------------------------------------------------------------- rows and files

FORMS = {'as it is': str, 'backslashes': lambda t: t.replace('/', '\\'), 'dot': lambda t: f'./{t}',
         'slash': lambda t: f'/{t}', 'twice': lambda t: t.replace('/', '//'), 'blanks': lambda t: f' {t} ',
         'capitals': str.upper, 'no ending': lambda t: t[:-4], 'other ending': lambda t: f'{t[:-4]}.mp3',
         'detour': lambda t: f'x/../{t}'}

@pytest.mark.parametrize('form', [*FORMS, 'absolute', 'absolute with backslashes'])
def test_rows_find_their_files(music, form):
    def name(track):
        whole = f'{music}/{track}'
        return {'absolute': whole, 'absolute with backslashes': whole.replace('/', '\\')}.get(form) or FORMS[form](track)
    rows = [f'"{name(track)}",{i}' for i, track in enumerate(TRACKS)]
    (music/'factors.csv').write_text('\n'.join(['path,bpm', *rows]))
    assert clip_table(music).set_index('track').bpm[TRACKS].tolist() == [*range(6)]
    rows = [f'"{name(track)}",{split}' for track, split in zip(TRACKS, 2 * ['test', 'train', 'valid'])]
    (music/'splits.csv').write_text('\n'.join(['track,split', *rows]))
    assert clip_table(music).set_index('track').split[TRACKS].tolist() == 2 * ['test', 'train', 'valid']


@pytest.mark.parametrize('on_disk, listed', [('caf\u00e9', 'cafe\u0301'), ('cafe\u0301', 'caf\u00e9')])
def test_composed_and_decomposed_letters(tmp_path, on_disk, listed):
    write(tmp_path/f'{on_disk}.wav')
    (tmp_path/'factors.csv').write_text(f'path,bpm\n{listed}.wav,90\n', 'utf-8')
    assert clip_table(tmp_path).bpm.tolist() == [90]


def test_rows_without_a_file_are_said(music, caplog):
    caplog.set_level('INFO')
    rows = [*TRACKS[1:], 'x.wav', 'low', 'y/0.wav', '0', 'z.wav']
    (music/'factors.csv').write_text('path,bpm\n' + ''.join(f'{row},1\n' for row in rows))
    clip_table(music)
    assert '5 of 10 rows match a track, not x.wav, low, y/0.wav ..; 1 tracks have no row' in caplog.text


SPLITS = {'no match': ('x,train\ny,test', 'for training'), 'only test': ('high/0.wav,test', 'for training'),
          'odd': ('high/0.wav,fold 1', "split is 'fold 1'"), 'empty': ('high/0.wav,', 'not train, valid or test'),
          'leak': ('high/0.wav,train\n./HIGH/0,test', 'more than one split')}

@pytest.mark.parametrize('name', SPLITS)
def test_splits_that_cannot_be(music, name):
    rows, says = SPLITS[name]
    (music/'splits.csv').write_text(f'track,split\n{rows}\n')
    with pytest.raises(ValueError, match=says) as e: clip_table(music)
    assert '\n' not in str(e.value)


# ---------------------------------------------------------------- splits

FOLDERS = {'train test': (['train', 'test'], ''), 'labels': (['train/a', 'train/b', 'test/a'], 'ab'),
           'all': (['Train/a', 'Validation/b', 'TEST/a'], 'ab'), 'train only': (['train/a', 'train/b'], 'ab'),
           'dev eval': (['train/a', 'dev/a', 'eval/b'], 'ab')}

@pytest.mark.parametrize('name', FOLDERS)
def test_folders_that_are_a_split(tmp_path, name, caplog):
    caplog.set_level('INFO')
    folders, labels = FOLDERS[name]
    for i in range(4 * len(folders)): write(tmp_path/folders[i // 4]/f'{i}.wav', 110 + 20. * i)
    table = clip_table(tmp_path)
    assert set(table.label) == set(labels or ['']) and 'taken as the split' in caplog.text
    short, tops = dict(t='test', v='valid', d='valid', e='test'), {folder.split('/')[0] for folder in folders}
    for track, split in zip(table.track, table.split):
        top = track.split('/')[0].lower()
        drawn = {'valid'} if len(tops) > 1 else {'valid', 'test'}
        assert split in ({'train', *drawn} if top == 'train' else [short[top[0]]])
    assert set(table.split) == {'train', 'valid', 'test'}
    assert set(clip_table(tmp_path, split_folders=False).label) == tops


@pytest.mark.parametrize('folders', [['train', 'car', 'bus'], ['test/a', 'test/b'], ['train', 'test', 'more'],
                                     ['rock/train', 'rock/test', 'jazz/train']])
def test_folders_that_are_no_split(tmp_path, folders):
    for i in range(3 * len(folders)): write(tmp_path/folders[i // 3]/f'{i}.wav', 110 + 20. * i)
    assert set(clip_table(tmp_path).label) == {folder.split('/')[0] for folder in folders}


def test_the_command_says_what_it_takes_as_split(tmp_path, celae):
    for i in range(8): write(tmp_path/'m'/('test' if i > 5 else 'train')/f'{i}.wav', 110 + 20. * i)
    done = celae('prepare', 'm', '--cache', 'c')
    assert done.returncode == 0 and '--folders-are-labels' in done.stderr
    assert 'taken as the split' not in celae('prepare', 'm', '--cache', 'c', '--folders-are-labels').stderr


def test_no_split_stands_for_another(tmp_path):
    for i in range(9): write(tmp_path/f'{i}.wav', 110. * (i + 1), 10.)
    (tmp_path/'splits.csv').write_text('track,split\n' + ''.join(f'{i}.wav,train\n' for i in range(9)))
    clips = load_clips(tmp_path, tmp_path/'cache')
    parts = [set(clips.split(name).tracks) for name in ('train', 'valid', 'test')]
    assert [len(part) for part in parts] == [7, 1, 1] and len(set.union(*parts)) == 9
    alone = clips[(clips.tracks == '0.wav').to_numpy()]
    for name in {'train', 'valid', 'test'} - {*alone.table.split}:
        with pytest.raises(ValueError, match=f'no {name} clips'): alone.split(name)


@pytest.mark.parametrize('n_tracks, split', [(1, 'test'), (2, 'valid')])
def test_too_few_tracks_are_refused_before_they_are_decoded(tmp_path, n_tracks, split):
    for i in range(n_tracks): write(tmp_path/'m'/f'{i}.wav', 110. * (i + 1), 70.)
    with pytest.raises(ValueError, match='tracks'): read_music(Settings(folder=str(tmp_path/'m')), tmp_path/'cache')
    assert not (tmp_path/'cache').exists()
    check_size(load_clips(tmp_path/'m', tmp_path/'cache'), n_test=0)     # a model may be trained on them


def test_the_report_says_which_clips_were_trained_on(music):
    table = clip_table(music)
    cases = {'a': (table.split, '2 tracks that they were not trained on'), 'b': ('train', 'None was kept back')}
    for name, (splits, says) in cases.items():
        begin_run(Settings(), music.parent/name, table.assign(split=splits))
        assert says in split_findings(music.parent/name)[0]


# ---------------------------------------------------------------- odd collections

FACTS = {'tune': 'song', 'tune,genre,collection,composer,metre,tempo_bpm,octaves': 'a,b,c,d,4/4,120,0',
         'drums_pattern': 'four', 'drums_pattern,metre,tempo_bpm': 'four,5/8,fast', 'drums_pattern,metre,key': ',,',
         'key,mode': '7,1', 'label': '', 'label,label_factor': 'a,b', 'start,row,n_samples,split,left_out': '1,2,3,x,y',
         'class,_x,my col,,a,a': '1,2,3,4,5,6', 'v': '12345678901234567890123', 'Index,index,group': '1,2,3'}

@pytest.mark.parametrize('columns', FACTS)
def test_columns_are_never_taken_for_others(music, columns):
    (music/'factors.csv').write_text(f'path,{columns}\n' + ''.join(f'{t},{FACTS[columns]}\n' for t in TRACKS[1:]))
    clips = load_clips(clip_table(music), music.parent/'cache')
    plain = list_clips(music)
    assert clips.table[['track', 'label', 'start']].astype(str).equals(plain[['track', 'label', 'start']].astype(str))
    begin_run(Settings(), music.parent/'run', clips.table)
    assert len(_json(_facts(read_clips(music.parent/'run')).to_dict('records')))
    beats, keys = describe_clips(clips[:2])
    assert len(beats) == len(keys) == 2


def test_labels_that_are_missing(music):
    table = clip_table(music)
    clips = load_clips(table.assign(label=table.label.where(table.label == 'low')), music.parent/'cache')
    assert set(clips.labels) == {'', 'low'}


@pytest.mark.parametrize('inner', ['', 'genres'])
def test_ten_names_do_not_make_gtzan(tmp_path, inner):
    for i, label in enumerate(GTZAN_LABELS): write(tmp_path/inner/label/'my song.wav', 110. + 30 * i)
    table = clip_table(tmp_path)
    assert table.track.nunique() == 10 and set(table.split) == {'train', 'valid', 'test'}


def test_many_short_files_are_one_line(tmp_path, caplog):
    for i in range(60): write(tmp_path/f'{i}.wav', 110., .2)
    with pytest.raises(AudioError, match='join short files'): clip_table(tmp_path)
    for i in range(40): (tmp_path/f'empty {i}.wav').touch()
    write(tmp_path/'long.wav')
    caplog.clear()
    assert len(clip_table(tmp_path)) == 1 and len(caplog.records) == 2
    assert '(and 57 more): left out; shorter than' in caplog.text


def test_many_labels_with_one_track_are_one_short_line(caplog):
    from celae.latent_analysis import usable_clips
    labels = [f'label {i}' for i in range(200)] + ['a', 'a', 'b', 'b']
    assert len(usable_clips(labels, range(204))) == 4
    assert len(caplog.text) < 300 and '(and 195 more): left out of the classifier' in caplog.text


def test_many_silent_files_are_one_line(music, caplog):
    for i in range(30): sf.write(music/'low'/f'silent {i}.wav', np.zeros(120_000), 22_050)
    assert len(load_clips(music, music.parent/'cache')) == 6
    assert [r.getMessage() for r in caplog.records if '(and 27 more): left out; it is silent' in r.getMessage()]
    assert len(caplog.records) == 1


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


def test_a_leak_between_two_forms_of_a_name(music):
    (music/'splits.csv').write_text('track,split\nhigh/0.wav,train\nHIGH\\0.WAV,test\n')
    with pytest.raises(ValueError, match="more than one split"): clip_table(music)


def test_a_table_of_the_first_version_goes_on(music):
    "A run that was begun before a setting was there has its default."
    import json

    from celae.run import open_run
    out = music.parent/'run'
    begin_run(Settings(), out, clip_table(music))
    file = out/'settings.json'
    old = json.loads(file.read_text())
    del old['split_folders']
    file.write_text(json.dumps(old))
    assert open_run(out, Settings(), resume=True) == out
    with pytest.raises(ValueError, match='split_folders'): open_run(out, Settings(split_folders=False), resume=True)
    assert len(pd.read_parquet(out/'clips.parquet')) == 6
