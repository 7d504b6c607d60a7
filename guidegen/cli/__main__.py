"""`python -m guidegen.cli`."""

import sys

from guidegen.cli.main import main

sys.exit(main())
