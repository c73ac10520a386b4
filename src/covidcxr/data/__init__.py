"""Raw collections to a checked manifest, a split and an array of images."""
