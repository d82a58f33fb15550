"`python -m celae` is the command `celae`."
from .cli import main

if __name__ == '__main__': main()
