"""The HTML report on a run: what was done, what came out, and what it is not good for."""
