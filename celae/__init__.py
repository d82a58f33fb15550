"""A compact latent space of music, learned on an ordinary machine, opened for study, and played back changed.

>>> import celae
>>> latent = celae.encode('song.mp3')                       # all that celae keeps of the sound
>>> wav = celae.decode(latent)                              # and back: a tensor (b, c, t) at 44 100 Hz
>>> lower = celae.edit('song.mp3', transpose=-3, smooth=.4) # an array (c, t)

`embed` gives vectors for scikit-learn, `similar` finds the nearest songs of a library, `generate` makes new music,
`edits` holds all edits. The modules behind these names, one a page of the documentation, are imported when they
are first needed: `import celae` itself costs nothing.
"""
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import edits as edits
    from .api import decode as decode
    from .api import edit as edit
    from .api import embed as embed
    from .api import encode as encode
    from .api import generate as generate
    from .api import similar as similar
    from .audio import read_audio as read_audio
    from .autoencoder import load_model as load_model
    from .latent_files import load_latent as load_latent
    from .latent_files import save_latent as save_latent
    from .library import index_library as index_library
    __version__: str

_HOMES = dict(load_model='autoencoder', read_audio='audio', save_latent='latent_files', load_latent='latent_files',
              encode='api', decode='api', embed='api', similar='api', edit='api', generate='api',
              index_library='library')
__all__ = ['__version__', 'edits', *_HOMES]


def __getattr__(name):
    "Import what is asked for (PEP 562)."
    if name == 'edits': return import_module('.edits', __name__)
    if name == '__version__':
        from importlib.metadata import version
        value = version(__name__)
    elif name in _HOMES: value = getattr(import_module(f'.{_HOMES[name]}', __name__), name)
    else: raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return globals().setdefault(name, value)


def __dir__(): return sorted(__all__)
