"""Where the classifiers look."""
