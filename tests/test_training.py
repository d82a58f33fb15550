"Trainings: settings out of range, a loss that is NaN, one clip, what is recorded, several processes."
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
from celae.files import training_folder
from celae.models import CELAutoencoderSiLU
from celae.training import TrainConfig, fit, fit_codec, mse_loss, new_model

SR, NAN = 22_050, float('nan')
BAD = dict(steps=(0, 1.5, True, '9'), bs=(0, 2.), lr=(0, 11, NAN, float('inf'), None), warmup=(7, -.1, NAN),
           weight_decay=(-1, NAN), clip_norm=(0, NAN), crop=(-5, 10, 1e5, 110_251),
           pretraining=(-1, 101, NAN),
           average=(-.1, 1.1), patience=(0, .5), seed=(-1, 2**32, .5), loss=('loudness', None))


@pytest.mark.parametrize('name, value', [(name, value) for name in BAD for value in BAD[name]], ids=repr)
def test_out_of_range(name, value):
    with pytest.raises(ValueError) as e: TrainConfig(**{name: value})
    assert '\n' not in str(e.value) and f'{name} is {value!r}' in str(e.value)


@pytest.fixture
def clips(tmp_path):
    "Makes a collection of noise of 5 s each."
    def make(n):
        (folder := tmp_path/f'music {n}').mkdir()
        noise = np.random.default_rng(0).standard_normal((n, 5 * SR)) / 10
        for i, wav in enumerate(noise): sf.write(folder/f'{i}.wav', wav, SR)
        return load_clips(folder, tmp_path/'cache')
    return make


def small(): return CELAutoencoderSiLU(865)


@pytest.mark.parametrize('warmup, steps', [(0, 1), (0, 3), (1, 3), (1, 1)])
def test_ends_of_ranges(clips, tmp_path, warmup, steps):
    data, config = (ClipDataset(clips(2)),) * 2, TrainConfig(steps=steps, warmup=warmup)
    assert fit(small(), mse_loss, data, config, tmp_path/'m', 'cpu').step.max() == steps


@pytest.mark.parametrize('at', ['training', 'validation', 'gradient'])
def test_nan(clips, tmp_path, at):
    "One line says so, and the checkpoint is that of the last epoch that was well."
    calls, folder, data = [], tmp_path/'model', (ClipDataset(clips(2)),) * 2
    def loss(model, batch):
        calls.append(model.training)
        value, weights = mse_loss(model, batch), next(model.parameters())
        if sum(calls) <= 2 or model.training == (at == 'validation'): return value
        if at == 'gradient': return value + 0 * (weights - weights.detach()).abs().sum().sqrt()
        return value * NAN
    with pytest.raises(ValueError, match='model: the loss is NaN or Inf after .* holds the first 2$'):
        fit(small(), loss, data, TrainConfig(steps=9, bs=1), folder, 'cpu')
    saved = torch.load(folder/'checkpoint.pt', weights_only=True)
    assert saved['step'] == 2 and all(part.isfinite().all() for part in saved['model'].values())
    assert not (folder/'model.safetensors').exists()


@pytest.mark.parametrize('bs', [1, 8])
@pytest.mark.parametrize('how', [{}, dict(crop=2048), dict(pretraining=.5),
                                 dict(crop=65_536, average=.9)], ids=str)
def test_one_clip(clips, tmp_path, how, bs):
    model = MusicAutoencoder('musical', 16, 16, 16) if how else small()
    config = TrainConfig(steps=2, bs=bs, loss='music' if how else 'mse', **how)
    assert np.isfinite(fit_codec(model, clips(1), config, tmp_path/'model', device='cpu').valid_loss).all()


def test_recorded_and_resumed(clips, tmp_path):
    data, config, folder = (ClipDataset(clips(2)),) * 2, TrainConfig(steps=2, lr=.002), tmp_path/'model'
    def recorded(): return json.loads((folder/'train.json').read_text())
    fit(small(), mse_loss, data, config, folder, 'cpu', precision='32-true')
    assert (recorded()['precision'], recorded()['lr']) == ('32-true', .002)
    fit(small(), mse_loss, data, config, folder, 'cpu', precision='bf16-mixed', resume=True)
    assert recorded()['precision'] == 'bf16-mixed'
    with pytest.raises(ValueError, match=r'different lr \(0.002, not 0.001\)'):
        fit(small(), mse_loss, data, replace(config, lr=.001), folder, 'cpu', resume=True)


def test_program_around(clips, tmp_path):
    "A training in a program that has set other defaults is the same, and leaves them as they are."
    data, made, before = (ClipDataset(clips(2)),) * 2, [], torch.get_rng_state()
    programs = torch.enable_grad(), torch.no_grad(), torch.inference_mode(), torch.device('meta')
    for i, around in enumerate(programs):
        with around:
            model, config = new_model('silu', 865, steps=2, bs=2)
            fit(model, mse_loss, data, config, tmp_path/str(i), 'cpu', precision='32-true')
        made.append(next(model.parameters()).detach().clone())
    for each in made[1:]: torch.testing.assert_close(each, made[0], atol=1e-6, rtol=0)
    assert torch.equal(before, torch.get_rng_state())


def test_folders(tmp_path, monkeypatch, celae):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match='choose another, such as my-base'): training_folder('base')
    with pytest.raises(ValueError, match='such as my-autoencoder'):
        fit(small(), mse_loss, (), TrainConfig(), 'autoencoder')
    assert not (tmp_path/'autoencoder').exists()
    done = celae('train', 'nothing', '--lr', 'nan')
    assert done.returncode == 2 and "'--lr'" in done.stderr


SCRIPT = """
import torch
from celae.data import ClipDataset, load_clips
from celae.models import CELAutoencoderSiLU, model_hash
from celae.training import TrainConfig, fit, mse_loss
if __name__ == '__main__':
    def loss(model, batch):
        if model.training: print('batch', float(batch[0].square().sum()), float(torch.rand(())), flush=True)
        return mse_loss(model, batch)
    model, clips = CELAutoencoderSiLU(865), ClipDataset(load_clips({music!r}, {cache!r}))
    config = TrainConfig(steps=3, bs=1)
    fit(model, loss, (clips, clips), config, {folder!r}, 'cpu', devices=2, precision='32-true')
    print('model', model_hash(model), flush=True)
"""


@pytest.mark.slow
def test_two_processes(clips, tmp_path):
    "Each has its own clips and noise; weights are the same."
    clips(6)
    music, cache, folder = [str(tmp_path/name) for name in ('music 6', 'cache', 'model')]
    (tmp_path/'two.py').write_text(SCRIPT.format(music=music, cache=cache, folder=folder))
    done = subprocess.run([sys.executable, tmp_path/'two.py'], capture_output=True, text=True, timeout=400)
    lines = [line.split() for line in done.stdout.splitlines()]
    models, batches = [[said for kind, *said in lines if kind == name] for name in ('model', 'batch')]
    assert done.returncode == 0, done.stderr
    assert len(models) == 2 and models[0] == models[1]
    assert len(batches) == 6 and all(len({*each}) == 6 for each in zip(*batches)), batches
