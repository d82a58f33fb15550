"""Make the data of a study again, or the weights that ship; fetch the music that they need.

    python bench/all.py                 the names
    python bench/all.py generation      what the page studies/generation.ipynb reads
    python bench/all.py weights         trains all that ships, from nothing, and puts it into the package
"""
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STUDIES = {      # page -> commands, in this order; music: those that need the albums
    'activations': ['bench/activations.py'],
    'albums': ['bench/whole_run.py albums', 'bench/activations.py'],
    'report_2024': ['bench/whole_run.py builtin', 'bench/whole_run.py albums'],
    'rate_distortion': ['bench/rate_distortion.py', 'bench/bitrate.py', 'bench/ablation.py'],
    'knowledge': ['bench/knowledge.py', 'bench/track_axes.py'], 'compositions': ['bench/compositions.py'],
    'edits': ['bench/edits.py'],
    'generation': ['bench/generation.py', 'bench/judges.py', 'bench/control.py', 'bench/prior_ablation.py'],
    'hostile_input': ['-m pytest tests/test_hostile.py --hostile -s', '-m pytest tests/test_kills.py --slow'],
    'scale': ['bench/loading.py', '-m pytest tests/test_kills.py --slow'], 'speed': ['bench/speed.py'],
    'weights': ['bench/autoencoder.py', 'tools/ship_weights.py autoencoder runs/autoencoder',
                'bench/prior.py albums', 'tools/ship_weights.py prior-albums runs/prior-albums',
                'bench/prior.py builtin', 'tools/ship_weights.py prior-builtin runs/prior-builtin']}
NO_MUSIC = ('compositions', 'hostile_input', 'speed')

def main(names):
    if not names or set(names) - set(STUDIES): sys.exit(f'{__doc__}\n{", ".join(STUDIES)}')
    needed = any(name not in NO_MUSIC for name in names)
    for command in ['bench/fetch_albums.py'] * needed + [each for name in names for each in STUDIES[name]]:
        print(f'python {command}', flush=True)
        subprocess.run([sys.executable, *command.split()], cwd=ROOT, check=True)

if __name__ == '__main__': main(sys.argv[1:])
