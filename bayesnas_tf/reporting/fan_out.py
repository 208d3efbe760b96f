"""One listener made of several."""

from bayesnas_tf.training.records import Callbacks


class FanOut(Callbacks):
    """Tells every listener, in the order given."""

    def __init__(self, *listeners: Callbacks):
        """`listeners` in the order in which they are to hear."""
        for name in (name for name in dir(Callbacks) if name.startswith("on_")):
            setattr(self, name, _each([getattr(listener, name) for listener in listeners]))


def _each(methods):
    """A function that calls all methods with its arguments."""

    def call(*arguments):
        for method in methods:
            method(*arguments)

    return call
