"""The types of sources: a module each, see `covidcxr.data.source`."""
