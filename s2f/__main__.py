"""`python -m s2f …` is `s2f …`: launchers such as torchrun start modules."""

import sys

from s2f.cli import main

if __name__ == "__main__":
    sys.exit(main())
