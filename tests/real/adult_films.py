"""How the study's VGG16 models call adult films that no one of theirs is among (`../shared`).

Usage: python tests/real/adult_films.py results/real ../shared/data/nih_adult
"""

import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from covidcxr.data.decode import decode_gray
from covidcxr.data.images import resize

run, films = Path(sys.argv[1]), Path(sys.argv[2])
table = pd.read_csv(films / "adult.csv")
models = [keras.models.load_model(path) for path in sorted(run.glob("models/VGG16/v1/fold*.keras"))]
size = models[0].input_shape[1]
images = np.stack([resize(decode_gray(films / path), size) for path in table["path"]])[..., None]
# The folds share the frozen backbone, so its part is computed once.
backbone = keras.Model(models[0].input, models[0].get_layer("pooled").output)
pooled = backbone.predict(images, verbose=0)
probabilities = 0
for model in models:
    after = [layer.name for layer in model.layers].index("pooled") + 1
    probabilities += keras.Sequential(model.layers[after:]).predict(pooled, verbose=0)
classes = pd.read_csv(run / "predictions/VGG16/v1/ensemble.csv").filter(like="p_").columns
called = pd.Series(classes[probabilities.argmax(axis=1)].str.removeprefix("p_"), name="called")
print(pd.crosstab(table["label"], called, margins=True))
