"""Why the way out failed: the text is one line for the network's admin, without any secret."""


class OutboundFailed(Exception):
    """The network's own proxy did not connect."""


class OutboundLoginFailed(OutboundFailed):
    """It takes no such login, or wants one that can't be given: to try again soon would lock an account."""
