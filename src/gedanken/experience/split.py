"""Which episodes are held out: never trained on, so that a model can be stopped early and calibrated on them."""

from __future__ import annotations

import hashlib


def is_held_out(episode_id: str, *, position: int, held_out: float, seed: int) -> bool:
    """Whether an episode is held out. The answer never changes, whatever is collected later.

    The first episode is trained on and the second held out, so that both sides have one as soon as that is possible;
    from then on a hash of the id decides, which does not depend on the order.

    Args:
        episode_id: the episode.
        position: how many episodes had their first step before it (of those that are split at all).
        held_out: the share to hold out, between 0 and 1.
        seed: makes another split of the same episodes.
    """
    if position < 2:
        return position == 1
    text = f"{seed}:{episode_id}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return int.from_bytes(digest, "little") < held_out * 2**64
