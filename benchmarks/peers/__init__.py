"""Peers: each file runs in an environment of its own (see peer_sb3.py, peer_mbrl.py) and prints JSON lines."""
