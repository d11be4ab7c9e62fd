"""The one exception of this package."""


class ModelError(Exception):
    """A network, a weight file or a value given to one is not what it must be.

    The message names the file or the value, says what was found and what is allowed.
    """
