"""The codecs component's one error."""


class CodecError(Exception):
    """An array cannot be encoded, or bytes are not a frame that we accept.

    Attributes:
        code: short machine-readable reason, used as the counter's label.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)
