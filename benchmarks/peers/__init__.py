"""Peers: each runs in an environment of its own, started by ../peer_sb3.py or ../peer_mbrl.py,, and prints JSON."""
