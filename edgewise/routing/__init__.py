"""From a decision to an answer: the Tier protocol, the runner that owns a stream, and the modes. No sockets, no SQL."""
