"""Print `config/README.md` for the schema given (`make docs`)."""

import sys

from covidcxr.config import read_schema, readme

print(readme(read_schema(sys.argv[1])), end="")
