"""Severity: readers' scores of how much of the lungs is affected, learned from images."""
