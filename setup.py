"Installation, told by settings.ini alone."
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
ini = ConfigParser(delimiters=['='])
ini.read(here/'settings.ini', encoding='utf-8')
cfg = ini['DEFAULT']
name = cfg['lib_path']


def words(key): return cfg.get(key, '').split()


extras = {extra: words(f'{extra}_requirements') for extra in ('notebooks', 'compositions', 'export', 'cluster', 'test')}

setup(
    name=cfg['lib_name'],
    version=cfg['version'],
    description=cfg['description'],
    long_description=(here/'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author=cfg['author'],
    author_email=cfg['author_email'],
    license='Apache-2.0',
    url=cfg['git_url'],
    keywords=words('keywords'),
    packages=find_packages(include=[name, f'{name}.*']),
    package_data={name: words('package_data')},
    python_requires=f">={cfg['min_python']}",
    install_requires=words('requirements'),
    extras_require=extras | {'dev': sum(extras.values(), words('dev_requirements'))},
    # nbdev finds the documented names of installed packages through the second group
    entry_points={'console_scripts': words('console_scripts'), 'nbdev': [f'{name}={name}._modidx:d']},
    zip_safe=False,
)
