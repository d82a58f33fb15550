"""Fetch freely licensed music: eight albums of free games, about 200 tracks, about 17 hours, from Debian's
packages.

    python bench/fetch_albums.py            (data/albums/<album>/<track>; 1.5 GB)

Needs `apt-get` and `dpkg`, and no rights. An album is a label, not a genre; its licence lies beside it in
COPYRIGHT.
"""
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import typer
from common import ALBUMS

PACKAGES = dict(orchestral='wesnoth-1.16-music', industrial='warzone2100-music',
                storybook='planetblupi-music-ogg', ambient='singularity-music', arcade='supertux-data',
                folk='widelands-data', cartoon='hedgewars-data', space='naev-data')
ENDINGS, LEAST = ('.ogg', '.opus', '.mp3'), 300_000      # smaller files are effects

def is_music(path):
    effect = any(part.startswith(('sounds', 'voice')) for part in path.parts)
    return path.suffix.lower() in ENDINGS and path.stat().st_size > LEAST and not effect

def fetch(package, folder):
    "Unpack the tracks of a package into a folder."
    with TemporaryDirectory() as temp:
        subprocess.run(['apt-get', 'download', '-qq', package], cwd=temp, check=True)
        subprocess.run(['dpkg', '-x', *Path(temp).glob('*.deb'), 'all'], cwd=temp, check=True)
        found = [path for path in sorted(Path(temp, 'all').rglob('*')) if path.is_file() and (
            is_music(path) or path.name == 'copyright')]
        (part := Path(temp)/'part').mkdir()
        for path in found: shutil.copy(path, part/('COPYRIGHT' if path.name == 'copyright' else path.name))
        shutil.move(part, folder)

def main(out: Path = ALBUMS):
    out.mkdir(parents=True, exist_ok=True)
    for album, package in PACKAGES.items():
        if not (out/album).exists(): fetch(package, out/album)
        print(f'{album}: {len(list((out/album).iterdir())) - 1} tracks of {package}')

if __name__ == '__main__': typer.run(main)
