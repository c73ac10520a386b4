"""Training of the classifiers and the ensemble of their folds."""
