"""How fast: ours, the model of 2024, EnCodec and SNAC, encoding and decoding, one clip and a batch, float32
and bf16.

    pip install encodec snac
    python bench/speed.py                                     (ten minutes on two cores)

Weights are random, which makes no difference to the time. Codecs take turns, so that a busy machine slows
all of them; figures are medians over the turns, as seconds of sound per second. Memory is what the resident
set of a process that does nothing else grows by at most.
"""
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import typer
from common import write

from celae.autoencoder import MusicAutoencoder
from celae.data import CLIP_SAMPLES, ClipDataset, Clips
from celae.audio import SR
from celae.models import CELAutoencoderSiLU
from celae.references import SparseMDCT
from celae.training import LOSSES, best_precision, new_model

SECS = CLIP_SAMPLES / SR

def ours(model):
    "Encode and decode of a codec of celae, at 22 050 Hz."
    def encode(x): return model.encode(x)
    def decode(latent): return model.decode(latent, CLIP_SAMPLES)
    return encode, decode, SR

def encodec():
    "EnCodec 24 kHz at 6 kbit/s."
    from encodec import EncodecModel
    model = EncodecModel.encodec_model_24khz(pretrained=False).eval()
    model.set_target_bandwidth(6.)
    return model.encode, model.decode, 24_000

def snac():
    "SNAC 24 kHz, as its authors configure it."
    from snac import SNAC
    model = SNAC(sampling_rate=24_000, encoder_dim=48, encoder_rates=[2, 4, 8, 8], decoder_dim=1024,
                 decoder_rates=[8, 8, 4, 2], attn_window_size=None, codebook_size=4096, codebook_dim=8,
                 vq_strides=[4, 2, 1], noise=True, depthwise=True).eval()
    return model.encode, model.decode, 24_000

CODECS = {'celae musical': lambda: ours(MusicAutoencoder('musical').eval()),
          'celae base': lambda: ours(MusicAutoencoder().eval()),
          'celae quarter': lambda: ours(MusicAutoencoder('quarter').eval()),
          'celae sparse MDCT 11025': lambda: ours(SparseMDCT(11_025)),
          '2024 SiLU 11025': lambda: ours(CELAutoencoderSiLU(11_025).eval()), 'EnCodec 24 kHz': encodec,
          'SNAC 24 kHz': snac}

def resident(which):
    "Memory of this process in MB: 'VmRSS' now, 'VmHWM' at most."
    return int(next(line for line in Path('/proc/self/status').read_text().splitlines()
                    if line.startswith(which)).split()[1]) / 1024

def timed(f, *args, bf16=False):
    "Result of a call and its seconds."
    with torch.inference_mode(), torch.autocast('cpu', torch.bfloat16, enabled=bf16):
        start = time.perf_counter()
        result = f(*args)
        return result, time.perf_counter() - start

def once(codec, bs, bf16):
    "Seconds that encoding and decoding take."
    encode, decode, sr = codec
    x = .1 * torch.randn(bs, 1, round(SECS * sr), generator=torch.Generator().manual_seed(0))
    latent, first = timed(encode, x, bf16=bf16)
    return first, timed(decode, latent, bf16=bf16)[1]

def training(preset, steps):
    "Clips of 5 s that training takes in a second, with bf16 where there is: all of a step."
    model, config = new_model(preset)
    optimizer, bs = torch.optim.AdamW(model.train().parameters()), config.bs
    wavs = np.random.default_rng(0).integers(-3000, 3000, (bs * steps, CLIP_SAMPLES), dtype=np.int16)
    ds = ClipDataset(Clips(pd.DataFrame(dict(row=range(len(wavs)), label='')), wavs), config.crop)
    times, start = [], time.perf_counter()
    for batch in torch.utils.data.DataLoader(ds, bs, shuffle=True):
        with torch.autocast('cpu', torch.bfloat16,
                            enabled=best_precision() != '32-true'): loss = LOSSES[config.loss](model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.)
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - start)
        start = time.perf_counter()
    rates = [bs * batch[0].shape[-1] / CLIP_SAMPLES / t for t in times[2:]]
    return dict(rate=statistics.median(rates), low=float(np.percentile(rates, 10)),
                high=float(np.percentile(rates, 90)))

def memory_of(name):
    "Memory that a codec takes, in a process of its own."
    said = subprocess.run([sys.executable, __file__, '--memory', name], capture_output=True, text=True,
                          check=True).stdout
    return json.loads(said.splitlines()[-1])

def main(turns: int = 7, memory: str = None):
    if memory:                       # what the script asks of itself
        before = resident('VmRSS')
        Path('/proc/self/clear_refs').write_text('5')            # forget the peak of the imports
        once(CODECS[memory](), 1, False)
        return print(json.dumps(resident('VmHWM') - before))
    codecs, rows = {name: make() for name, make in CODECS.items()}, []
    for kind, bs, bf16 in (('one clip, float32', 1, False), ('batch of 16, float32', 16, False),
                           ('batch of 16, bf16', 16, True)):
        took = {name: [] for name in codecs}
        for turn in range(turns if bs == 1 else max(3, turns // 2)):
            for name, codec in codecs.items():
                secs = once(codec, bs, bf16)
                if turn: took[name].append(secs)       # the first turn warms up
        for name, secs in took.items():
            rates = np.array([[bs * SECS / s for s in (encode, decode, encode + decode)]
                              for encode, decode in secs])
            medians = dict(zip(('encode', 'decode', 'both'), np.median(rates, 0)))
            rows.append(dict(codec=name, kind=kind, **medians, both_low=rates[:, 2].min(),
                             both_high=rates[:, 2].max()))
    trained = {'celae, all sizes': training('autoencoder', 40), '2024 SiLU 55125': training('silu', 8)}
    write('speed', turns=turns, rows=rows, memory_mb={name: memory_of(name) for name in CODECS},
          training_clips_a_second=trained)

if __name__ == '__main__': typer.run(main)
