"""A signal that asks a loop to stop: it ends between two steps, when its state is saved."""

import contextlib
import signal


class StopRequest:
    """Set by the first SIGINT or SIGTERM; the loop looks at it between steps."""

    def __init__(self):
        """Nothing asked yet."""
        self.asked = False

    def __call__(self, *_):
        """The signal handler; a second signal interrupts at once."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextlib.contextmanager
def stop_request():
    """Within this context the first SIGINT or SIGTERM only marks the yielded `StopRequest`."""
    request = StopRequest()
    previous = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
