"""Agents: whoever acts. One file an agent."""
