"Gradients of sounds and latents are finite, and those that differences give."
from dataclasses import replace

import pytest
import torch

from celae import sinusoids
from celae.autoencoder import SIZES, load_model
from celae.metrics import METRICS, stft_distance
from celae.models import CELAutoencoderLeakyReLU, CELAutoencoderSiLU, Resampling
from celae.corpora.builtin import render_track
from celae.references import NoiseVocoder, PCACodec, SparseMDCT, StandingNoise
from celae.training import music_loss, perceptual_loss

N = 16_384

def sounds():
    music = torch.as_tensor(render_track('folk', 1, 1.)[0])[..., :N].float().reshape(1, 1, -1)
    noise = .1 * torch.randn(1, 1, N, generator=torch.Generator().manual_seed(0))
    half = noise * (torch.arange(N) > N // 2)                          # digital silence, then sound
    return dict(silence=torch.zeros(1, 1, N), music=music, noise=noise, half=half)

SOUNDS = sounds()
SMOOTH = 'music', 'noise'     # where a sample is 0, the powers of all bins end a range, and a root turns
CODECS = dict(silu=lambda: CELAutoencoderSiLU(2205).eval(),
              leakyrelu=lambda: CELAutoencoderLeakyReLU(2205).eval(), sparse=lambda: SparseMDCT(3457),
              pca=PCACodec, vocoder=NoiseVocoder, standing=StandingNoise)

def values(latent):
    "All numbers of a latent that can have a gradient, as one vector."
    parts = [latent.z, latent.level, latent.detail and latent.detail.values]
    return torch.cat([part.flatten() for part in parts if part is not None])

def check(function, x, tolerance=1e-4, step=1e-6, differences=True):
    "The gradient is finite; along a direction it is the difference."
    rng = torch.Generator().manual_seed(1)
    y = function(x)
    weights = torch.randn(y.shape, generator=rng).to(y)
    x = x.clone().requires_grad_()
    slope, = torch.autograd.grad((function(x) * weights).sum(), x)
    assert slope.isfinite().all()
    if not differences: return slope
    direction = (torch.randn(x.shape, generator=rng) * x.detach().std()).to(x)
    with torch.no_grad():
        there, back = [(function(x + sign * step * direction) * weights).sum() for sign in (1, -1)]
    wanted, found = float((there - back) / (2 * step)), float((slope * direction).sum())
    size = abs(found) + float((slope * direction).norm())
    assert abs(found - wanted) <= tolerance * size, (found, wanted)
    return slope

@pytest.fixture
def held(monkeypatch):
    "Gradients reach amplitudes, not frequencies: for differences these are held, too."
    real, first = sinusoids.tone_frequencies, {}
    def hold(*args): return first.setdefault(args[0].shape, real(*args).detach())
    monkeypatch.setattr(sinusoids, 'tone_frequencies', hold)

@pytest.mark.parametrize('name', SOUNDS)
@pytest.mark.parametrize('size', SIZES)
def test_autoencoder(size, name, held):
    net, x = load_model(size).double(), SOUNDS[name].double()
    if net.channels > 1: x = torch.cat([x, .5 * x.roll(99, 2)], 1)     # of equal channels the width is 0
    smooth = name in SMOOTH
    slope = check(lambda x: values(net.encode(x)), x, differences=smooth)
    assert slope.any() == (name != 'silence')
    latent = net.encode(x)
    turns = net.channels == 1 or smooth
    decoded = lambda z: net.decode(replace(latent, z=z), N)
    assert check(decoded, latent.z.detach(), differences=turns).any()
    check(net.reconstruct, x, differences=smooth)

@pytest.mark.parametrize('size', ['base', 'musical'])
def test_float32(size):
    net = load_model(size)
    for x in SOUNDS.values(): check(net.reconstruct, x, differences=False)

@pytest.mark.parametrize('name', SOUNDS)
@pytest.mark.parametrize('kind', CODECS)
def test_other_codecs(kind, name):
    codec, x = CODECS[kind](), SOUNDS[name].double()
    if isinstance(codec, torch.nn.Module): codec.double()
    check(lambda x: values(codec.encode(x)), x, step=1e-8, differences=name in SMOOTH)
    check(codec.reconstruct, x, step=1e-8, differences=name in SMOOTH)

def test_resampling_has_none():
    assert not Resampling(11_025).reconstruct(SOUNDS['music'].clone().requires_grad_()).requires_grad

FUNCTIONS = {name: metric.function for name, metric in METRICS.items() if metric.quick}
FUNCTIONS |= dict(perceptual=perceptual_loss, three_windows=stft_distance)

@pytest.mark.parametrize('name', FUNCTIONS)
def test_losses(name):
    function = FUNCTIONS[name]
    for a in SOUNDS.values():
        for b in SOUNDS.values():
            check(lambda a, b=b: function(a, b), a, differences=False)
    check(lambda a: function(a, SOUNDS['music']), SOUNDS['noise'], tolerance=.05, step=1e-3)     # float32

def test_training_on_silence():
    net = load_model('musical').train()
    music_loss(net, (torch.zeros(2, 1, 65_536),)).backward()
    assert all(part.grad is None or part.grad.isfinite().all() for part in net.parameters())
