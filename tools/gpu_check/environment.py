"""Where the checks run: the machine, the versions, and the devices that TensorFlow sees."""

import importlib.metadata
from typing import Any, NamedTuple

from bayesnas_tf.config import provenance
from tools import machine


class Environment(NamedTuple):
    """Where the checks run."""

    machine: dict[str, Any]  # `tools.machine.facts`
    made_by: dict[str, Any]  # versions, commit, variables of the environment that change numbers
    build: dict[str, str]  # CUDA and cuDNN that TensorFlow was built for
    packages: dict[str, str]  # NVIDIA's, as installed
    devices: list[str]  # all that TensorFlow sees
    gpus: list[dict[str, Any]]  # name, compute capability


def environment() -> Environment:
    """What TensorFlow sees; to be called in a new process, for it may take a part of the GPU's memory."""
    import tensorflow as tf  # late: the command line is read without it

    gpus = tf.config.list_physical_devices("GPU")
    names = (distribution.metadata["Name"] or "" for distribution in importlib.metadata.distributions())
    nvidia = sorted({name for name in names if name.startswith("nvidia-")})
    build = {key: str(value) for key, value in tf.sysconfig.get_build_info().items()}
    return Environment(
        machine=machine.facts(),
        made_by=provenance.made_by(),
        build={key: build[key] for key in ("cuda_version", "cudnn_version") if key in build},
        packages={name: importlib.metadata.version(name) for name in nvidia},
        devices=[device.name for device in tf.config.list_physical_devices()],
        gpus=[tf.config.experimental.get_device_details(gpu) for gpu in gpus],
    )
