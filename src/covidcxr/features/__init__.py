"""Backbones, augmented views and the bank of cached features."""
