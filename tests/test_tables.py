"Tables and folders as people have them: rows find their files, and splits are what they are called."
import numpy as np
import pytest
import soundfile as sf

from celae.data import GTZAN_LABELS, clip_table, list_clips, load_clips
from celae.files import AudioError
TRACKS = [f'{label}/{i}.wav' for label in ('high', 'low') for i in range(3)]


def write(path, hz=220., secs=5.):
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, .3 * np.sin(2 * np.pi * hz * np.arange(int(22_050 * secs)) / 22_050), 22_050)


@pytest.fixture
def music(tmp_path):
    "A folder with two labels of three tracks."
    for i, track in enumerate(TRACKS): write(tmp_path/'music'/track, 110. * (i + 2))
    return tmp_path/'music'


FORMS = {'as it is': str, 'backslashes': lambda t: t.replace('/', '\\'), 'dot': lambda t: f'./{t}',
         'slash': lambda t: f'/{t}', 'twice': lambda t: t.replace('/', '//'), 'blanks': lambda t: f' {t} ',
         'capitals': str.upper, 'no ending': lambda t: t[:-4], 'other ending': lambda t: f'{t[:-4]}.mp3',
         'detour': lambda t: f'x/../{t}', 'absolute': '{}/{}'.format, 'mixed': '{}\\{}'.format}

@pytest.mark.parametrize('form', FORMS)
def test_rows_find_their_files(music, form):
    names = [FORMS[form](*[music] * (form in ('absolute', 'mixed')), track) for track in TRACKS]
    facts = [f'"{name}",{i}\n' for i, name in enumerate(names)]
    (music/'factors.csv').write_text('path,bpm\n' + ''.join(facts))
    splits = [f'"{name}",{split}\n' for name, split in zip(names, 2 * ['test', 'train', 'valid'])]
    (music/'splits.csv').write_text('\ufefftrack,Split\n' + ''.join(splits), 'utf-8')
    table = clip_table(music).set_index('track').loc[TRACKS]
    assert table.bpm.tolist() == [*range(6)] and table.split.tolist() == 2 * ['test', 'train', 'valid']


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


SPLITS = {'x,train\ny,test': 'for training', 'low/0.wav,test': 'for training', 'low/0.wav,fold 1': "'fold 1'",
          'low/0.wav,': 'not train, valid or test', 'low/0.wav,train\nLOW\\0.WAV,test': 'more than one split'}

@pytest.mark.parametrize('rows', SPLITS)
def test_splits_that_cannot_be(music, rows):
    (music/'splits.csv').write_text(f'track,split\n{rows}\n')
    with pytest.raises(ValueError, match=SPLITS[rows]) as e: clip_table(music)
    assert '\n' not in str(e.value)


FOLDERS = {'train test': '', 'train/a train/b test/a': 'ab', 'Train/a Validation/b TEST/a': 'ab',
           'train/a train/b': 'ab', 'train/a dev/a eval/b': 'ab',                              # are a split
           'train car bus': None, 'test/a test/b': None, 'train test more': None, 'a/train b/test': None}

@pytest.mark.parametrize('folders', FOLDERS)
def test_folders_that_are_a_split_and_others(tmp_path, folders, caplog):
    caplog.set_level('INFO')
    for i, folder in enumerate(4 * folders.split()): write(tmp_path/folder/f'{i}.wav', 110 + 20. * i)
    tops, labels = {each.split('/')[0] for each in folders.split()}, FOLDERS[folders]
    table = clip_table(tmp_path)
    assert set(table.split) == {'train', 'valid', 'test'}
    assert set(table.label) == (tops if labels is None else set(labels or ['']))
    assert ('--folders-are-labels' in caplog.text) == (labels is not None)
    if labels is None: return
    short = dict(t='test', v='valid', d='valid', e='test')
    drawn = {'valid'} if len(tops) > 1 else {'valid', 'test'}
    for top, split in zip(table.track.str.split('/').str[0].str.lower(), table.split):
        assert split in ({'train', *drawn} if top == 'train' else [short[top[0]]])
    assert set(clip_table(tmp_path, split_folders=False).label) == tops


def test_no_split_stands_for_another(tmp_path):
    for i in range(9): write(tmp_path/f'{i}.wav', 110. * (i + 1), 10.)
    (tmp_path/'splits.csv').write_text('track,split\n' + ''.join(f'{i}.wav,train\n' for i in range(9)))
    clips = load_clips(tmp_path, tmp_path/'cache')
    parts = [set(clips.split(name).tracks) for name in ('train', 'valid', 'test')]
    assert [len(part) for part in parts] == [7, 1, 1] and len(set.union(*parts)) == 9


FACTS = {'label,label_factor': 'a,b', 'start,row,n_samples,split,left_out': '1,2,3,x,y', 'track': '7',
         'class,_x,my col,,a,a': '1,2,3,4,5,6', 'v': '12345678901234567890123', 'Index,index,group': '1,2,3'}

@pytest.mark.parametrize('columns', FACTS)
def test_columns_are_never_taken_for_others(music, columns):
    rows = ''.join(f'{track},{FACTS[columns]}\n' for track in TRACKS[1:])
    (music/'factors.csv').write_text(f'path,{columns}\n{rows}')
    table, plain = load_clips(clip_table(music), music.parent/'cache').table, list_clips(music)
    assert table[[*plain]].astype(str).equals(plain.astype(str))
    assert set(table.split) == {'train', 'valid', 'test'}


@pytest.mark.parametrize('inner', ['', 'genres'])
def test_ten_names_do_not_make_gtzan(tmp_path, inner):
    for i, label in enumerate(GTZAN_LABELS): write(tmp_path/inner/label/'my song.wav', 110. + 30 * i)
    table = clip_table(tmp_path)
    assert table.track.nunique() == 10 and set(table.split) == {'train', 'valid', 'test'}


def test_many_files_with_one_fault_are_one_line(music, caplog):
    for i in range(60): write(music/'low'/f'short {i}.wav', 110., .2)
    for i in range(30): sf.write(music/'low'/f'silent {i}.wav', np.zeros(120_000), 22_050)
    clips = load_clips(music, music.parent/'cache')
    assert len(clips) == 6 and len(caplog.records) == 2
    said = '57 more): left out; shorter than', '27 more): left out; it is silent'
    assert all(words in caplog.text for words in said)
    with pytest.raises(AudioError, match='no audio in this folder'): clip_table(music.parent/'cache')


def test_labels_that_are_missing(music):
    table = clip_table(music)
    table['label'] = table.label.where(table.label == 'low')
    assert set(load_clips(table, music.parent/'cache').labels) == {'', 'low'}
