"Trainings: settings out of range, a loss that is NaN, one clip, the learning rate, what is recorded, several processes."
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile as sf
import torch

from celae.autoencoder import MusicAutoencoder
from celae.data import ClipDataset, load_clips
from celae.models import CELAutoencoderSiLU, Latent
from celae.training import TrainConfig, fit, fit_codec, mse_loss, new_model
from celae.files import training_folder

SR = 22_050
BAD = dict(steps=(0, -1, 1.5, True, '9'), bs=(0, -3, 2.), lr=(0, -1, 11, float('nan'), float('inf'), None),
           warmup=(7, -.1, float('nan')), weight_decay=(-1, float('nan')), clip_norm=(0, -1, float('nan')),
           crop=(-5, 0, 10, 1e5, 110_251), rolls=(-1, 101, float('nan')), average=(-.1, 1.1), patience=(0, .5),
           seed=(-1, 2**32, .5), loss=('loudness', None),
           loss_weights=(dict(stft=float('nan')), dict(mel=-1), dict(loudness=1.)))


@pytest.mark.parametrize('name, value', [(name, value) for name in BAD for value in BAD[name]], ids=repr)
def test_out_of_range(name, value):
    with pytest.raises(ValueError) as e: TrainConfig(**dict(loss='music') | {name: value})
    assert '\n' not in str(e.value) and str(value if name != 'loss_weights' else [*value][0]) in str(e.value)


def test_in_range():
    for how in (dict(warmup=0, average=0, rolls=0), dict(warmup=1, crop=None), dict(lr=np.float64(.1), steps=np.int64(3))):
        TrainConfig(**how)
    TrainConfig(loss='music', loss_weights=dict(energy=1, onset=0.))


@pytest.fixture
def clips(tmp_path):
    rng = np.random.default_rng(0)
    def make(n):
        folder = tmp_path/f'music {n}'
        folder.mkdir()
        for i in range(n): sf.write(folder/f'{i}.wav', .1 * rng.standard_normal(5 * SR), SR)
        return load_clips(folder, tmp_path/'cache')
    return make


def small(): return CELAutoencoderSiLU(865)


def tiny(): return MusicAutoencoder(width=16, encoder_depth=1, decoder_depth=1, roll_width=16)


@pytest.mark.parametrize('warmup, steps', [(0, 1), (0, 3), (1, 3), (1, 1)])
def test_ends_of_ranges(clips, tmp_path, warmup, steps):
    data = ClipDataset(clips(2)),
    assert fit(small(), mse_loss, data * 2, TrainConfig(steps=steps, warmup=warmup), tmp_path/'m', 'cpu').step.max() == steps


@pytest.mark.parametrize('at', ['training', 'validation', 'gradient'])
def test_nan(clips, tmp_path, at):
    "One line says so, and the checkpoint is that of the last epoch that was well."
    calls, folder = [], tmp_path/'model'
    def loss(model, batch):
        calls.append(model.training)
        value = mse_loss(model, batch)
        if sum(calls) > 2 and model.training == (at != 'validation'):
            if at == 'gradient': return value + 0 * next(model.parameters()).sub(next(model.parameters()).detach()).abs().sum().sqrt()
            return value * float('nan')
        return value
    data = (ClipDataset(clips(2)),) * 2
    with pytest.raises(ValueError, match='model: the loss is NaN or Inf after .* steps') as e:
        fit(small(), loss, data, TrainConfig(steps=9, bs=1), folder, 'cpu')
    assert '\n' not in str(e.value) and 'checkpoint.pt holds the first 2' in str(e.value)
    saved = torch.load(folder/'checkpoint.pt', weights_only=True)
    assert saved['step'] == 2 and all(part.isfinite().all() for part in saved['model'].values())
    assert not (folder/'model.safetensors').exists()


@pytest.mark.parametrize('make, how', [(small, {}), (tiny, dict(loss='music', crop=2048)), (tiny, dict(loss='music', rolls=.5)),
                                       (tiny, dict(loss='music', crop=65_536, average=.9))])
def test_one_clip(clips, tmp_path, make, how):
    for bs in (1, 8):
        history = fit_codec(make(), clips(1) if bs == 1 else load_clips(tmp_path/'music 1', tmp_path/'cache'),
                            TrainConfig(steps=2, bs=bs, **how), tmp_path/f'model {bs}', device='cpu')
        assert np.isfinite(history.valid_loss).all()


def test_prior_of_one_clip(clips, tmp_path):
    from celae.generation import fit_prior
    latent = Latent(torch.randn(1, 64, 55, generator=torch.Generator().manual_seed(0)), torch.zeros(1))
    one = clips(1)
    one = replace(one, table=one.table.assign(split='train'))
    prior, history = fit_prior(latent, one, tmp_path/'prior', n_steps=2, bs=1, width=12, depth=1, device='cpu',
                               described=([None], ['C major']))
    assert np.isfinite(history.valid_loss).all() and prior.sample(n_frames=4).z.isfinite().all()
    with pytest.raises(ValueError, match='lr is nan'): fit_prior(latent, one, tmp_path/'prior', lr=float('nan'))


def test_learning_rate():
    assert new_model('autoencoder')[1].lr == 1e-3
    assert new_model('autoencoder', start='base')[1].lr == 2e-4
    assert new_model('autoencoder', start='base', lr=.003)[1].lr == .003
    assert new_model('autoencoder', start='base', rolls=.5)[1].rolls == .5


def test_recorded_and_resumed(clips, tmp_path):
    data, config, folder = (ClipDataset(clips(2)),) * 2, TrainConfig(steps=2, lr=.002), tmp_path/'model'
    fit(small(), mse_loss, data, config, folder, 'cpu', precision='32-true')
    said = json.loads((folder/'train.json').read_text())
    assert (said['precision'], said['lr']) == ('32-true', .002)
    fit(small(), mse_loss, data, config, folder, 'cpu', precision='bf16-mixed', resume=True)       # another machine
    assert json.loads((folder/'train.json').read_text())['precision'] == 'bf16-mixed'
    with pytest.raises(ValueError, match=r'different lr \(0.002, not 0.001\)'):
        fit(small(), mse_loss, data, replace(config, lr=.001), folder, 'cpu', resume=True)


def test_program_around(clips, tmp_path):
    "A training in a program that has its own ideas is the same, and leaves them as they are."
    data, made = (ClipDataset(clips(2)),) * 2, []
    def train(name):
        model, config = new_model('silu', 865, steps=2, bs=2)
        fit(model, mse_loss, data, config, tmp_path/name, 'cpu', precision='32-true')
        made.append(next(model.parameters()).detach().clone())
    before = torch.get_rng_state()
    train('usual')
    with torch.no_grad(): train('no grad')
    with torch.inference_mode(): train('inference')
    with torch.device('meta'): train('device')
    torch.set_default_dtype(torch.float64)
    try: train('float64')
    finally: torch.set_default_dtype(torch.float32)
    for each in made[1:]: torch.testing.assert_close(each, made[0], atol=1e-6, rtol=0)
    assert torch.equal(before, torch.get_rng_state())


def test_name_that_ships(tmp_path, monkeypatch, clips):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match='choose another, such as my-base'): training_folder('base')
    with pytest.raises(ValueError, match='choose another, such as my-autoencoder'):
        fit(small(), mse_loss, (), TrainConfig(), 'autoencoder')
    assert not (tmp_path/'autoencoder').exists()


def test_command(celae, tmp_path):
    for args, said in ((['--lr', 'nan'], "'--lr'"), (['--lr', '0'], "'--lr'"), (['--lr', '99'], "'--lr'")):
        done = celae('train', 'nothing', *args)
        assert done.returncode == 2 and said in done.stderr
    done = celae('train', 'nothing', '--out', 'base')
    assert done.returncode == 1 and 'such as my-base' in done.stderr


SCRIPT = """
import torch
from celae.data import ClipDataset, load_clips
from celae.models import CELAutoencoderSiLU, model_hash
from celae.training import TrainConfig, fit, mse_loss
if __name__ == '__main__':
    def loss(model, batch):
        if model.training: print('batch', round(float(batch[0].square().sum()), 2), 'noise', float(torch.rand(())), flush=True)
        return mse_loss(model, batch)
    model, clips = CELAutoencoderSiLU(865), ClipDataset(load_clips({music!r}, {cache!r}))
    history = fit(model, loss, (clips, clips), TrainConfig(steps=3, bs=1), {folder!r}, 'cpu', devices=2, precision='32-true')
    print('model', model_hash(model), history.to_dict('list'), flush=True)
"""


@pytest.mark.slow
def test_two_processes(clips, tmp_path):
    "Each has its own clips and noise; weights and losses are the same."
    clips(6)
    script = SCRIPT.format(music=str(tmp_path/'music 6'), cache=str(tmp_path/'cache'), folder=str(tmp_path/'model'))
    (tmp_path/'two.py').write_text(script)
    done = subprocess.run([sys.executable, tmp_path/'two.py'], capture_output=True, text=True, timeout=400)
    lines = [line.split(' ', 1) for line in done.stdout.splitlines()]
    batches = [said.split(' noise ') for kind, said in lines if kind == 'batch']
    models = [said for kind, said in lines if kind == 'model']
    assert done.returncode == 0, done.stderr
    assert len(models) == 2 and len({*models}) == 1, models
    assert len(batches) == 6 and all(len({*each}) == 6 for each in zip(*batches)), batches
