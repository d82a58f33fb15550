"Every model works where it is, and neither breaks nor changes the program around it."
import contextlib
import tempfile

import numpy as np
import pytest
import torch
from torch.utils import backend_registration
from torch.utils._pytree import tree_map

import celae
from celae import api, autoencoder, metrics, references, sinusoids
from celae.autoencoder import SIZES, load_model
from celae.edits import Chain, Freeze, Noise, Shuffle, Smooth, Towards, Transpose, interpolate, stretch
from celae.evaluation import evaluate
from celae.generation import continue_clip, generate, load_prior
from celae.latent_analysis import encode_clips, untrained
from celae.models import CELAutoencoderSiLU, save_model
from celae.references import NoiseVocoder, PCACodec, SparseMDCT, StandingNoise
from celae.latent_files import decode_blocks, encode_file
from celae.training import perceptual_loss

SR = 22_050
aten = torch.ops.aten

class Module(backend_registration._DummyBackendModule):
    "What torch asks of a kind of device."
    def get_amp_supported_dtype(self): return [torch.float16]

backend_registration._setup_privateuseone_for_python_backend('elsewhere', Module())

class Elsewhere(torch.Tensor):
    "Says it is elsewhere, and refuses tensors of the CPU and, as a Mac's GPU does, float64."
    @staticmethod
    def __new__(cls, inner, requires_grad=False):
        if inner.dtype in (torch.float64, torch.complex128): raise TypeError('there is no float64 here')
        about = dict(strides=inner.stride(), dtype=inner.dtype, requires_grad=requires_grad)
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, device='elsewhere', **about)

    def __init__(self, inner, requires_grad=False): self.stored = inner.detach()

    def numpy(self): raise TypeError('not on the CPU')

    def tolist(self): return self.stored.tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        kwargs, found = dict(kwargs or {}), []
        def unwrap(x):
            if isinstance(x, torch.Tensor): found.append(x)
            return x.stored if isinstance(x, cls) else x
        plain, named = tree_map(unwrap, (args, kwargs))
        moves = func in (aten._to_copy.default, aten.copy_.default, aten.index.Tensor)
        if not moves and any(x.dim() and not isinstance(x, cls) for x in found):
            raise RuntimeError(f'{func}: a tensor of the CPU met one from elsewhere')
        wanted = named.get('device')
        if wanted is not None: named['device'] = torch.device('cpu')
        out = func(*plain, **named)
        if func in (aten._local_scalar_dense.default, aten.is_same_size.default): return out
        if wanted is not None and torch.device(wanted).type == 'cpu': return out
        if func is aten.copy_.default or func._schema.is_mutable: return args[0]
        return tree_map(lambda x: cls(x) if isinstance(x, torch.Tensor) else x, out)

def _empty(*args, device=None, **kwargs):
    "Memory there, where torch asks for it itself, such as for an index that is a list."
    kwargs = {k: v for k, v in kwargs.items() if k == 'dtype'}
    return Elsewhere(torch.empty_strided(*args, device='cpu', **kwargs))

def _copy(x, to, non_blocking=False):
    to.stored.copy_(getattr(x, 'stored', x))
    return to

library = torch.library.Library('aten', 'IMPL')
library.impl('empty_strided', _empty, 'PrivateUse1')
library.impl('_copy_from', _copy, 'PrivateUse1')

class Here(torch.utils._python_dispatch.TorchDispatchMode):
    "Puts what is asked for there, where no tensor of it is given."
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        there = torch.device(kwargs.get('device') or 'cpu').type == 'elsewhere'
        if Elsewhere in types or not there: return func(*args, **kwargs)
        return Elsewhere(func(*args, **kwargs | dict(device=torch.device('cpu'))))

def elsewhere(model):
    "A model whose weights are there."
    for part in model.modules():
        for name, x in part._parameters.items():
            there = None if x is None else torch.nn.Parameter(Elsewhere(x.data), requires_grad=False)
            part._parameters[name] = there
        for name, x in part._buffers.items():
            if x is not None: part._buffers[name] = Elsewhere(x)
    return model

DEVICES = ['fake', *(['cuda'] if torch.cuda.is_available() else []),
           *(['mps'] if torch.backends.mps.is_available() else [])]

def forget():
    "Drop all tensors that were made once."
    for module in (api, autoencoder, metrics, references, sinusoids):
        for each in vars(module).values():
            if hasattr(each, 'cache_clear'): each.cache_clear()

@pytest.fixture(params=DEVICES)
def to(request, monkeypatch):
    "Moves a model to a device; of the fake one each mixture with the CPU is an error."
    if request.param != 'fake': yield lambda model: model.to(request.param)
    else:
        monkeypatch.setattr(sinusoids, '_NO_FLOAT64', ['elsewhere'])
        forget()
        with Here(): yield elsewhere
        forget()

def sound(n=30_000):
    return .1 * torch.randn(1, 1, n, generator=torch.Generator().manual_seed(0)).cumsum(-1).sin()

def same(a, b, tolerance=1e-5):
    a, b = [x.cpu() if isinstance(x, torch.Tensor) else torch.as_tensor(x) for x in (a, b)]
    torch.testing.assert_close(a, b, atol=tolerance, rtol=0)

@pytest.mark.parametrize('size', SIZES)
def test_sizes(to, size):
    here, wav = load_model(size), sound()
    there, latent = to(load_model(size)), here.encode(wav)
    assert there.encode(wav).z.device.type != 'cpu'
    same(there.encode(wav).z, latent.z, 1e-4)
    same(there.decode(latent, 30_000), here.decode(latent, 30_000))           # a latent of the CPU
    same(there.reconstruct(wav), here.reconstruct(wav), 1e-4)
    same(there.next_phase(latent, 3), here.next_phase(latent, 3))

def test_models_of_2024(to):
    net, wav = CELAutoencoderSiLU(2205).eval(), sound()
    with torch.no_grad(): wanted = net.reconstruct(wav)
    same(to(net).reconstruct(wav), wanted)

REFERENCES = [SparseMDCT(3457), PCACodec(), NoiseVocoder(), StandingNoise()]

@pytest.mark.parametrize('codec', REFERENCES, ids=lambda x: x.family)
def test_references_follow_the_sound(to, codec):
    wav = sound()
    there = to(torch.nn.ParameterList([wav]))[0]
    x = codec.reconstruct(there)
    assert x.device == there.device
    same(x, codec.reconstruct(wav))
    same(perceptual_loss(x, there), perceptual_loss(codec.reconstruct(wav), wav))

def test_front_door(to, song):
    here, there, x = load_model('musical'), to(load_model('musical')), sound()[0].numpy()
    def doors(net):
        yield celae.encode(x, SR, model=net, size='base').detail.to_dense()
        yield celae.encode(str(song), model=net, stereo=True).z
        yield celae.decode(celae.encode(x, SR, size='musical'), 30_000, net)
        yield celae.decode(celae.encode(x, SR, model=net), 30_000, net)
        yield celae.embed(x, SR, model=net)
        yield celae.edit(x, SR, model=net, transpose=-3, smooth=.4, noise=.3, freeze=.5, freeze_loop=.2)
        latent, n = encode_file(net, song)
        yield np.concatenate(list(decode_blocks(net, latent, n, .5)), 1)
    for a, b in zip(doors(there), doors(here)): same(a, b, 1e-4)

def test_edits(to):
    here, there = load_model('musical'), to(load_model('musical'))
    latent, other = here.encode(sound()), here.encode(sound(40_000) / 2)
    towards = Towards(other, torch.linspace(.2, .8, latent.z.shape[2]))
    edits = Noise(.3), Smooth(3), Transpose(2), Shuffle(2), Freeze(3, 2), towards
    far = there.encode(sound())
    same(Chain(edits)(far, there).z, Chain(edits)(latent, here).z, 1e-4)
    same(there.transpose(latent.z, 2), here.transpose(latent.z, 2), 1e-4)
    steps = np.linspace(0, 1, latent.z.shape[2])
    for change in (lambda a: interpolate(a, other, steps), lambda a: stretch(a, 9)):
        same(change(far).z, change(latent).z, 1e-4)

def test_generation(to):
    here, there, net = load_prior('prior-builtin'), to(load_prior('prior-builtin')), load_model('musical')
    how = dict(label='house', secs=2., seed=3, tempo=120, key='A minor')
    made = generate(here, net, **how)
    same(generate(there, to(load_model('musical')), **how), made, 1e-3)
    same(generate(there, net, **how), made, 1e-3)
    clip = net.encode(sound())
    same(continue_clip(there, clip, 70, n_steps=1).z, continue_clip(here, clip, 70, n_steps=1).z, 1e-3)

def test_scores(to, clips):
    here, there = load_model('base'), to(load_model('base'))
    scores = [evaluate(net, clips)[['snr', 'mel']] for net in (there, here)]
    np.testing.assert_allclose(*scores, atol=.01)
    same(encode_clips(there, clips).z, encode_clips(here, clips).z, 1e-3)
    assert there.device.type != 'cpu'

def test_meta():
    "Shapes can be found without any numbers."
    for net in (load_model('base').to('meta'), CELAutoencoderSiLU(2205).to('meta')):
        latent = net.encode(sound())
        assert latent.z.is_meta and latent.z.shape[1:] == net.latent_shape(30_000)
        assert net.decode(latent, 30_000).shape == (1, 1, 30_000)

# ---- the program around ----

@pytest.fixture
def clips(tmp_path, tone):
    import soundfile as sf
    from celae.data import load_clips
    for i in range(4): sf.write(tmp_path/f'{i}.wav', tone(220 * (i + 1), 5.).T, SR)
    return load_clips(tmp_path, tmp_path/'cache')

def settings():
    return (torch.get_default_dtype(), torch.get_default_device(),
            torch.are_deterministic_algorithms_enabled(), torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.get_num_threads(),
            torch.default_generator.get_state().tolist(), np.random.get_state()[1].tolist())

@contextlib.contextmanager
def changed(change, value, usual):
    change(value)
    try: yield
    finally: change(usual)

def dtype(value): return lambda: changed(torch.set_default_dtype, value, torch.float32)

AROUND = dict(float64=dtype(torch.float64), float16=dtype(torch.float16), no_grad=torch.no_grad,
              deterministic=lambda: changed(torch.use_deterministic_algorithms, True, False),
              inference=torch.inference_mode, device=lambda: torch.device('meta'))

def doors():
    x = sound()[0].numpy()
    for size in ('base', 'musical'): yield celae.decode(celae.encode(x, SR, size=size), 30_000)
    yield celae.embed(x, SR)
    yield celae.edit(x, SR, transpose=-3, smooth=.4, noise=.3, shuffle=.3)
    yield celae.generate('house', 2.)
    net = celae.load_model('half')
    yield net.reconstruct(sound())
    yield untrained(net).reconstruct(sound())
    yield save_and_load(net)
    for codec in REFERENCES: yield codec.reconstruct(sound())
    yield perceptual_loss(sound(), sound() / 2)

def save_and_load(net):
    with tempfile.TemporaryDirectory() as folder:
        return load_model(save_model(net, folder)).reconstruct(sound())

@pytest.fixture(scope='module')
def usual(): return [torch.as_tensor(x).detach() for x in doors()]

@pytest.mark.parametrize('name', AROUND)
def test_program_around(name, usual, monkeypatch):
    forget()
    x = sound()                                                          # under its own settings
    monkeypatch.setitem(globals(), 'sound', lambda n=30_000: x)
    with AROUND[name]():
        before = settings()
        made = list(doors())
        assert settings() == before
        net = load_model('half')
    for a, b in zip(made, usual): same(torch.as_tensor(a).detach().to(b.dtype), b, 1e-5)
    loss = perceptual_loss(net(x), x).sum()                # what was loaded there can be trained here
    torch.autograd.backward(loss)
    assert all(part.dtype == torch.float32 for part in net.parameters())
    forget()

def test_model_in_training(clips, song):
    "It stays in training, part by part, and is used in evaluation mode all the same."
    net = CELAutoencoderSiLU(2205)
    net.decoder[1].eval()
    def state(): return [part.training for part in net.modules()], [x.clone() for x in net.buffers()]
    (modes, buffers), x = state(), sound()[0].numpy()
    wanted = celae.decode(celae.encode(x, SR, model=net), 30_000, net)
    celae.embed(x, SR, model=net), celae.edit(x, SR, model=net, gain=2.)
    evaluate(net, clips), encode_clips(net, clips), list(decode_blocks(net, *encode_file(net, song)))
    assert state()[0] == modes and all(map(torch.equal, state()[1], buffers))
    same(wanted, net.eval().reconstruct(sound()).detach())

# ---- names, and the command ----

def test_names(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    mine, shipped = CELAutoencoderSiLU(2205), load_model()
    for name in ('autoencoder', 'base'):
        with pytest.raises(ValueError, match=f'{name}: is the name of a model that ships.*my-{name}'):
            save_model(mine, name)
        folder = save_model(mine, f'./{name}')
        for path in (folder, f'./{name}'): assert isinstance(load_model(path), CELAutoencoderSiLU)
        caplog.clear()
        assert type(load_model(name)) is type(shipped) and f'write ./{name}' in caplog.text
    assert load_model('half').size == SIZES['half']
    with pytest.raises(ValueError, match='has only one size'): load_model('./base', 'half')

@pytest.mark.parametrize('command', ['run nothing', 'encode {}', 'edit {} -o x.wav', 'generate -o x.wav'])
def test_missing_device(celae, song, command):
    for device, said in (('tpu', 'not one of auto, cuda, mps, cpu'), ('cuda:77', 'finds none')):
        done = celae(*command.format(song).split(), '--device', device)
        assert done.returncode == 1 and said in done.stderr and done.stderr.count('\n') == 1, done.stderr
