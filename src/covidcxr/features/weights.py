"""ImageNet weights of Keras' backbones, without their classifier."""

import logging
from pathlib import Path

from covidcxr.data.download import HDF5, Checksum, fetch, fetch_from_mirror
from covidcxr.errors import InputError
from covidcxr.files import atomic, file_digest

log = logging.getLogger("covidcxr")

_APPLICATIONS = "https://storage.googleapis.com/tensorflow/keras-applications"
_EFFICIENTNET = "https://storage.googleapis.com/keras-applications"

# As they stand in keras/src/applications/{vgg16,resnet,efficientnet}.py of the
# installed Keras, which a test holds them against.
WEIGHTS = {
    "VGG16": (
        f"{_APPLICATIONS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "6d6bbae143d832006294945121d1f1fc",
    ),
    "ResNet50": (
        f"{_APPLICATIONS}/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "4d473c1dd8becc155b73f8504c6f6626",
    ),
    "EfficientNetB0": (
        f"{_EFFICIENTNET}/efficientnetb0_notop.h5",
        "50bc09e76180e00e4465e1a485ddc09d",
    ),
}
"""Address and MD5 of each backbone's file. Keras publishes no SHA-256."""


def weight_file(backbone: str) -> str:
    """Return the file name of a backbone's weights, as Keras and a mirror call it."""
    return _entry(backbone)[0].rpartition("/")[2]


def _entry(backbone: str) -> tuple[str, str]:
    if backbone not in WEIGHTS:
        raise InputError(
            f"no address of ImageNet weights is known but for {', '.join(WEIGHTS)}; for {backbone} "
            f"give `weights: {{{backbone}: <path of its no-top .h5 file>}}` in the config"
        )
    return WEIGHTS[backbone]


def fetch_weights(backbone: str, output: str | Path, *, mirror: str | None = None) -> None:
    """Fetch a backbone's no-top ImageNet weights, held against Keras' MD5, or take a mirror's.

    The SHA-256 of what came first is recorded in `<output>.sha256` (the format of `sha256sum`) and
    held against what comes later.

    Parameters
    ----------
    mirror
        Folder or address with the file under its own name, in `weights/` or directly.

    Raises
    ------
    InputError
        If the backbone is unknown, the file cannot be had, or differs from the one recorded.
    """
    url, md5 = _entry(backbone)
    name = weight_file(backbone)
    output = Path(output)
    record = output.with_name(output.name + ".sha256")
    arriving = output.with_name(output.name + ".new")
    if mirror is not None:
        fetch_from_mirror(mirror, [("weights", name), (name,)], arriving, expect=HDF5)
    else:
        fetch(url, arriving, check=Checksum("md5", md5), expect=HDF5)
    found = file_digest(arriving)
    if not record.exists():
        with atomic(record) as new:
            new.write_text(f"{found}  {output.name}\n")
        log.info("%s: SHA-256 %s recorded in %s", backbone, found, record)
    elif (known := record.read_text().split()[0]) != found:
        arriving.unlink()
        raise InputError(
            f"the {backbone} weights have SHA-256 {found}, but {record} recorded {known} when they "
            "were first used; delete that file if the change is meant"
        )
    arriving.replace(output)
