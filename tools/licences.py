"""List the licence of every package that celae installs, as the package itself tells it.

    python tools/licences.py            compare LICENCES.md with what is installed; says what differs
    python tools/licences.py --write    write LICENCES.md anew

Run it where celae is installed with its extras notebooks, compositions, export and cluster. Packages differ
between systems and releases: it fails where a requirement of celae, or a package that is not under a
permissive licence, is missing in the list or stands there with another licence, and only names the others.
"""
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PAGE = Path(__file__).resolve().parent.parent/'LICENCES.md'
EXTRAS = ('', 'notebooks', 'compositions', 'export', 'cluster')
FAMILIES = {'GPL': r'(?<!L)GPL|(?<!Lesser )General Public', 'LGPL': 'LGPL|Lesser General',
            'MPL-2.0': 'MPL|Mozilla', 'Apache-2.0': 'Apache', 'BSD': r'BSD|Redistribution and use in source',
            'MIT': r'\bMIT\b|Permission is hereby granted, free', 'ISC': r'\bISC\b',
            'PSF-2.0': r'\bPSF|Python Software|matplotlib versions', 'Zlib': 'Zlib', 'CC0-1.0': 'CC0',
            'NVIDIA proprietary': '(?i)nvidia'}

PERMISSIVE = {'Apache-2.0', 'BSD', 'MIT', 'MPL-2.0', 'ISC', 'PSF-2.0', 'Zlib', 'CC0-1.0', '0BSD', 'Unlicense'}

# What the wheels of these hold beside their own code: metadata does not say it
INSIDE = {
    'av': 'FFmpeg with x264 and x265, which are GPL-2.0-or-later; FFmpeg calls itself '
          'LGPL-3.0-or-later, in older wheels GPL-3.0-or-later',
    'soundfile': 'libsndfile, mpg123 and LAME: LGPL',
    'numpy': 'libgfortran and libquadmath: GPL-3.0 with the exception for linked programs, LGPL',
    'scipy': 'libgfortran and libquadmath: GPL-3.0 with the exception for linked programs, LGPL',
    'scikit-learn': 'libgomp: GPL-3.0 with the exception for linked programs',
    'music21': 'scores, each with terms of its own',
    'cuda-toolkit': 'a name for the packages of NVIDIA',
    'torch': 'on Linux, unless its CPU build is installed, it brings the packages of NVIDIA below',
}
HEAD = """# Licences

celae is under Apache-2.0. What it installs is under the licences below, as the packages themselves tell
them, by family; `python tools/licences.py --write` makes this page and CI checks it. Two kinds ask
something of who ships celae *together with* what it installs, in a program, an image or an appliance:

- **GPL**: mutagen, and x264 and x265 inside PyAV's wheels. What is shipped as one work with them has to be
  under the GPL too, with its source. Who does not want that leaves these packages to be installed by the
  users, or builds PyAV with an FFmpeg without x264 and x265, and does without tags.
- **LGPL**: soxr, libsndfile and FFmpeg. They may be shipped beside any program, with their licence texts,
  as long as a user can replace them, which holds for Python packages.

NVIDIA's libraries come with torch's default build for Linux and have terms of their own. Nothing here is
legal advice.

| package | licence | installed by | its wheel also holds |
| --- | --- | --- | --- |
"""

def families(text): return [name for name, words in FAMILIES.items() if re.search(words, text)]

def licence(package):
    "Families of the licence of a package: by its metadata, else by the texts that it ships."
    data = package.metadata
    if expression := data.get('License-Expression'): return families(expression) or [expression]
    classified = ' '.join(line for line in data.get_all('Classifier', []) if line.startswith('License ::'))
    found = families(f"{(data.get('License') or '')[:300]} {classified}")
    if found: return found
    texts = [file for file in package.files or () if re.search(r'(?i)(licen[cs]e|copying)[^/]*$', str(file))
             and '.dist-info' in str(file)]
    return families(' '.join(file.read_text()[:300] for file in texts)) or ['not told']

def closure(extra):
    "Names of all packages that celae[extra] installs here, celae without them."
    seen, todo = set(), [('celae', frozenset({extra}))]
    while todo:
        name, extras = todo.pop()
        if (name, extras) in seen: continue
        seen.add((name, extras))
        try: asked = distribution(name).requires or ()
        except PackageNotFoundError: continue                # of another system
        for requirement in map(Requirement, asked):
            if any(requirement.marker is None or requirement.marker.evaluate({'extra': each})
                   for each in extras or ('',)):
                todo.append((canonicalize_name(requirement.name), frozenset(requirement.extras) | {''}))
    return {name for name, _ in seen} - {'celae'}

def rows():
    "Package -> the cells of its row."
    base, found = closure(''), {}
    for extra in EXTRAS:
        for name in closure(extra) - (base if extra else set()):
            try: package = distribution(name)
            except PackageNotFoundError: continue
            by = f'celae[{extra}]' if extra else 'celae'
            if name in found: by = f'{found[name][1]}, {by}'
            found[name] = ', '.join(licence(package)), by, INSIDE.get(name, '')
    return dict(sorted(found.items()))

def listed():
    "The same of the page."
    lines = [line.strip('| \n').split(' | ') for line in PAGE.read_text('utf-8').splitlines()
             if line.startswith('| ')]
    return {cells[0]: cells[1] for cells in lines[2:]}

def main(write: bool = False):
    found = rows()
    if write:
        PAGE.write_text(HEAD + ''.join(f'| {name} | {" | ".join(cells)} |\n'
                                       for name, cells in found.items()), 'utf-8')
        return
    page = listed()
    own = {canonicalize_name(Requirement(each).name) for each in distribution('celae').requires}
    differ = {name: f'{name}: {cells[0]}, in the list: {page.get(name, "missing")}'
              for name, cells in found.items() if page.get(name) != cells[0]}
    print(f'{len(found)} packages, {len(page)} in the list', *differ.values(), sep='\n')
    wrong = [name for name in differ if name in own or not PERMISSIVE.issuperset(found[name][0].split(', '))]
    sys.exit(f'run python tools/licences.py --write: {", ".join(wrong)}' if wrong else None)

if __name__ == '__main__': typer.run(main)
