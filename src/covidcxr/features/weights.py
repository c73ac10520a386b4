"""ImageNet weights of Keras' backbones, without their classifier."""

from pathlib import Path
from typing import Any

import keras
from keras.src.utils import file_utils

from covidcxr.data.download import HDF5, Checksum, fetch, fetch_from_mirror
from covidcxr.errors import InputError
from covidcxr.files import atomic, file_digest
from covidcxr.logs import log


class _AddressError(Exception):
    """Carries what Keras was about to fetch out of its constructor."""


def address(backbone: str) -> tuple[str, str | None]:
    """Return address and MD5 of a network's no-top weights, as the installed Keras has them.

    Keras has no table of them: each constructor asks `get_file` for its own, which here fetches
    nothing.

    Raises
    ------
    InputError
        Keras has no such network, or no ImageNet weights of it.
    """

    def asked(_: str, origin: str, *__: Any, file_hash: str | None = None, **___: Any) -> None:
        raise _AddressError(origin, file_hash)

    fetching = file_utils.get_file
    file_utils.get_file = asked
    try:
        getattr(keras.applications, backbone)(include_top=False, weights="imagenet")
    except _AddressError as found:
        origin, md5 = found.args
        return origin, md5
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"Keras has no ImageNet weights of a network {backbone}: {error}"
        ) from error
    finally:
        file_utils.get_file = fetching
    raise InputError(
        f"Keras has no address of ImageNet weights of {backbone}; give the path of its no-top .h5 "
        f"file as `weights: {backbone}` in the config"
    )


def weight_file(backbone: str) -> str:
    """Return the file name of a backbone's weights, as Keras' server and a mirror call it."""
    return address(backbone)[0].rpartition("/")[2]


def run(weights: str | Path, *, backbone: str, mirror: str | None) -> None:
    """Fetch a backbone's no-top ImageNet weights, held against Keras' MD5, or take a mirror's.

    The SHA-256 of what came first is recorded in `<weights>.sha256` (the format of `sha256sum`) and
    held against what comes later.

    Parameters
    ----------
    weights
        File to write.
    mirror
        Folder or address with the file under its own name, in `weights/` or directly.

    Raises
    ------
    InputError
        If the backbone is unknown, the file cannot be had, or differs from the one recorded.
    """
    url, md5 = address(backbone)
    name = url.rpartition("/")[2]
    output = Path(weights)
    record = output.with_name(output.name + ".sha256")
    arriving = output.with_name(output.name + ".new")
    if mirror is not None:
        fetch_from_mirror(mirror, [("weights", name), (name,)], arriving, expect=HDF5)
    else:
        fetch(url, arriving, check=Checksum("md5", md5) if md5 else None, expect=HDF5)
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
