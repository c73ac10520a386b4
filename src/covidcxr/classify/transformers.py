"""What is done to pooled features before a classifier sees them."""

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin

from covidcxr.array_types import Floats
from covidcxr.features.bank import standardisation


class Standardise(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Features [n, channels] of mean 0 and spread 1, as the network head standardises them.

    The floor under the variance is what scikit-learn's scaler has not.
    """

    def fit(self, features: Floats, _: object = None) -> "Standardise":
        """Measure mean and spread of each feature."""
        self.mean_, variance = standardisation(features)
        self.spread_ = np.sqrt(variance)
        return self

    def transform(self, features: Floats) -> Floats:
        """Standardise by what `fit` measured."""
        scaled: Floats = (features - self.mean_) / self.spread_
        return scaled


def signed_root(features: Floats) -> Floats:
    """Return the signed square root."""
    root: Floats = np.sign(features) * np.sqrt(np.abs(features))
    return root
