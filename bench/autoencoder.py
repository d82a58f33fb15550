"""The autoencoder that ships with celae: trained on whole tracks of six albums and on built-in music.

    python bench/autoencoder.py            (two hours of one core with bf16; goes on where it stopped)

Energies first, then tones, then what is left; each stage leaves the coders of the others as they are. Crops
may begin anywhere in a track, and are as loud as the crop, or as the track, or between. About one track of
twelve is kept for validation, and nothing learns from the test albums. What is drawn of a track, its sound
at 22 050 Hz and its tones, is found once. (The
weights that ship learned a little differently: two sounds were mixed before their energies were measured,
here the energies are, as in `celae train`; and the last stage compared spectra of 2 048, 1 024, 512 and 128
samples, not of 1 024, 512 and 256.)
"""
import json
import os
import time
import zlib
from pathlib import Path

import numpy as np
import torch
import typer
from common import ALBUMS, TEST

from celae.audio import read_audio
from celae.autoencoder import MusicAutoencoder
from celae.bands import LOWER, full_stft, log_energies, mix
from celae.corpora.builtin import builtin_music
from celae.data import find_audio
from celae.files import atomic_write, progress
from celae.models import ConvNeXtBlock, save_model
from celae.sinusoids import HOP, N_PEAKS, N_TONES, find_sinusoids, istft, stft
from celae.training import LEARNS, LOSSES

FRAME, CHUNK = 2048, 600 * 2048          # samples of a frame of `z`; of a piece in which tones are looked for
MOST_SECS, LOUD = 600, 16_000            # of a track; int16 of full scale, which leaves room for 6 dB
STAGES = dict(energies=(8000, 24, 49, 1e-3), rolls=(11_000, 16, 49, 2e-3), music=(4500, 8, 33, 1e-3))

# ---- what is drawn of a track ----

@torch.no_grad()
def describe(path):
    "Sound of a track in one channel, int16 at 22 050 Hz; and of each frame tones, amplitudes and offsets."
    wav = np.ascontiguousarray(read_audio(path, 44_100, stereo=True)[:, :44_100 * MOST_SECS])
    wav = torch.from_numpy(wav)
    both = mix(*[full_stft(wav[None, i:i + 1 or None]) for i in (0, -1)])
    lower, found = istft(both[..., :LOWER], (wav.shape[1] + 1) // 2), []
    for at in range(0, lower.shape[-1], CHUNK):
        begin = max(0, at - 4 * FRAME)
        amplitude, offset = [x[0, :, (at - begin) // HOP:][:, :CHUNK // HOP]
                             for x in find_sinusoids(lower[..., begin:at + CHUNK + 4 * FRAME])]
        best = amplitude.topk(N_PEAKS, 0)
        found.append((best.indices.T.byte(), best.values.T, offset.gather(0, best.indices).T.half()))
    tones = dict(zip(('tone', 'amplitude', 'offset'), (torch.cat(x).numpy() for x in zip(*found))))
    return (lower[0, 0].clamp(-1.99, 1.99) * LOUD).short().numpy(), tones

def describe_all(folder, out):
    "Describe the tracks of all albums but those of the test, and built-in music; `train-` or `valid-` files."
    out.mkdir(parents=True, exist_ok=True)
    music = [path for path in find_audio(folder) if Path(path).parent.name not in TEST]
    music += find_audio(builtin_music(tracks_per_style=10, secs=20., seed=5000))
    for path in progress(sorted(map(Path, music)), 'finding tones'):
        split = 'valid' if zlib.crc32(path.name.encode()) % 12 == 0 else 'train'
        file = out/f'{split}-{path.parent.name}-{zlib.crc32(str(path).encode()):08x}'
        if file.with_suffix('.npz').exists(): continue
        wav, tones = describe(path)
        np.save(file.with_suffix('.wav.npy'), wav)
        np.savez(file.with_suffix('.npz'), **tones)

class Tracks:
    "Tracks of a split, of which crops are drawn, long ones more often."
    def __init__(self, folder, split, least=65_536 + 4096):
        files = sorted(folder.glob(f'{split}-*.npz'))
        waves = [np.load(file.with_suffix('.wav.npy'), mmap_mode='r') for file in files]
        self.tracks = [(wav, dict(np.load(file)), self.level(wav[::7])) for wav, file in zip(waves, files)
                       if len(wav) > least]
        lengths = np.array([len(wav) for wav, *_ in self.tracks], float)
        self.shares = lengths / lengths.sum()

    def level(self, wav): return float(np.sqrt(np.mean(np.square(wav.astype(np.float32) / LOUD))) + 1e-5)

    def crop(self, frames, rng):
        "Sound (1, t), amplitudes and offsets of its tones (105, n); None where it is silent or short."
        wav, tones, loud = self.tracks[rng.choice(len(self.tracks), p=self.shares)]
        t, n = (frames - 1) * FRAME, 4 * (frames - 1) + 1
        at = int(rng.integers(0, max(1, (len(wav) - t) // FRAME + 1)))
        x = torch.from_numpy(wav[at * FRAME:at * FRAME + t].astype(np.float32) / LOUD)
        level = float(x.square().mean().sqrt())
        if len(x) < t or level < 3e-4: return None
        if rng.random() < .5: level = float(np.exp(np.log(level) + rng.random() * np.log(loud / level)))
        def part(name):
            rows = torch.from_numpy(tones[name][4 * at:4 * at + n].astype(np.float32))
            return torch.nn.functional.pad(rows, (0, 0, 0, n - len(rows)))
        def whole(x): return torch.zeros(n, N_TONES).scatter(1, part('tone').long(), x).T
        return x[None] / level, whole(part('amplitude') / level), whole(part('offset'))

    def batch(self, bs, frames, rng):
        "Sounds (bs, 1, t), and amplitudes and offsets of their tones (bs, 105, n)."
        crops = []
        while len(crops) < bs:
            if (crop := self.crop(frames, rng)) is not None: crops.append(crop)
        return [torch.stack(x) for x in zip(*crops)]

# ---- training ----

def in_bf16(model):
    "Let dense layers and blocks multiply in bf16, and everything else as it is."
    def rounded(forward):
        def run(x):
            with torch.autocast('cpu', torch.bfloat16): return forward(x).float()
        return run
    for part in model.modules():
        if isinstance(part, (torch.nn.Linear, ConvNeXtBlock)): part.forward = rounded(part.forward)
    return model

def what_is_learned(stage, batch):
    "The batch that the loss of a stage is given."
    wav, amplitude, offset = batch
    if stage == 'music': return (wav,)
    energies = log_energies(stft(wav))
    return (energies,) if stage == 'energies' else (energies, amplitude, offset)

def learn(model, stage, tracks, out):
    "One stage; its weights, and the mean of the latest, are kept in `out`."
    steps, bs, frames, lr = STAGES[stage]
    coder, file = getattr(model, LEARNS[stage]), out/f'{stage}.pt'
    for part in model.children(): part.requires_grad_(part is coder)
    optimizer = torch.optim.AdamW(coder.parameters(), lr, weight_decay=.01, betas=(.9, .98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, steps + 1, pct_start=.1)
    def towards(mean, new, n): return mean.lerp(new, max(.001, 1 / (n + 10)))
    mean = torch.optim.swa_utils.AveragedModel(coder, avg_fn=towards, use_buffers=True)
    parts, done = dict(coder=coder, mean=mean, optimizer=optimizer, schedule=schedule), 0
    if file.exists():
        state = torch.load(file, weights_only=True)
        for name, part in parts.items(): part.load_state_dict(state[name])
        done = state['step']
    rng = np.random.default_rng(done)
    torch.manual_seed(done)
    for step in progress(range(done + 1, steps + 1), f'learning {stage}'):
        loss = LOSSES[stage](model.train(), what_is_learned(stage, tracks.batch(bs, frames, rng)))
        optimizer.zero_grad()
        loss.backward()
        if torch.isfinite(torch.nn.utils.clip_grad_norm_(coder.parameters(), 1.)): optimizer.step()
        schedule.step()
        mean.update_parameters(coder)
        if step % 500 == 0 or step == steps:
            state = {name: part.state_dict() for name, part in parts.items()} | dict(step=step)
            with atomic_write(file) as part: torch.save(state, part)
    coder.load_state_dict(mean.module.state_dict())

def main(folder: Path = ALBUMS, out: Path = Path('runs/autoencoder')):
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', 1)))
    describe_all(folder, out/'tracks')
    tracks, rng, began = Tracks(out/'tracks', 'train'), np.random.default_rng(1), time.time()
    torch.manual_seed(0)
    model = MusicAutoencoder()
    rows = [log_energies(stft(tracks.batch(16, 33, rng)[0]))[:, :128] for _ in range(100)]
    model.energy.fit_components(torch.cat(rows))
    in_bf16(model)
    for stage in STAGES: learn(model, stage, tracks, out)
    facts = dict(minutes=(time.time() - began) / 60, threads=torch.get_num_threads(),
                 tracks=len(tracks.tracks), stages=STAGES)
    (out/'training.json').write_text(json.dumps(facts, indent=1))
    plain = MusicAutoencoder()
    plain.load_state_dict(model.state_dict())
    save_model(plain.half(), out)

if __name__ == '__main__': typer.run(main)
