"""`python -m fibromorph.cli`."""

import sys

from fibromorph.cli import main

sys.exit(main())
