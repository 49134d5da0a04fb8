"""`python -m fibromorph`."""

import sys

from fibromorph.cli import main

sys.exit(main())
