"""SHELL: the faust app, its agent and table, batched fetches, checkpoints, dead letters."""
