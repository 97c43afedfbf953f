"""Which connections are answered, where more are open than may be."""

# Key of the extensions of an ASGI scope, on a connection that is one too many.
SURPLUS = "kerasbnn.surplus"


class Admission:
    """Places for connections: who came first is answered, however many come later.

    To refuse whatever request comes while too many connections are open would refuse
    nearly all of them, and each refusal takes time from an answer.

    Args:
        most: Number of places.

    Example:
        >>> from kerasbnn.serve.admission import Admission
        >>> admission = Admission(1)
        >>> admission.enter(), admission.enter()
        (True, False)
        >>> admission.leave()
        >>> admission.enter()
        True
    """

    def __init__(self, most: int):
        self.most = most
        self._taken = 0

    def enter(self) -> bool:
        """Take a place, and return whether there was one."""
        if self._taken >= self.most:
            return False
        self._taken += 1
        return True

    def leave(self):
        """Give a place back that was taken."""
        self._taken -= 1
