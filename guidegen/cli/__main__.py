"""`python -m guidegen.cli`."""

import sys

from guidegen.cli.start import main

sys.exit(main())
