"""Run one block with onnxruntime; needs no torch."""

from collections.abc import Mapping

import onnxruntime

from tierline_models.arrays import Array
from tierline_models.errors import BundleError
from tierline_models.onnx.check import WEIGHT


class OnnxBlock:
    """A session of onnxruntime on one thread, as torch has one: nodes compute one sample at a time."""

    def __init__(self, data: bytes, weights: Mapping[str, Array], where: str) -> None:
        """Prepare a checked model.

        Args:
            data: the model, which `check_model` has let pass.
            weights: all that it uses, by name, contiguous; onnxruntime copies them and reads no file.
            where: the file's name, to be told.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is raised
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")  # no slack
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(one) for one in weights.values()]
        options.add_external_initializers([f"{WEIGHT}{name}" for name in weights], values)
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has an error of its own for each reason, under none of ours
            raise BundleError(f"onnxruntime cannot run {where}: {error!s:.200}") from error
        self.inputs = tuple(one.name for one in self._session.get_inputs())

    def __call__(self, *values: Array) -> tuple[Array, ...]:
        """What the block makes of these, in the order in which they travel."""
        return tuple(self._session.run(None, dict(zip(self.inputs, values, strict=True))))
