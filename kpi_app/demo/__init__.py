"""SHELL: `kpi demo`, which puts every room together on one machine, and what commands show in a terminal."""
