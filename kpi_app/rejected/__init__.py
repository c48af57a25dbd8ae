"""SHELL: dead letters, listed by reason and sent through again; what `kpi rejected` does."""
