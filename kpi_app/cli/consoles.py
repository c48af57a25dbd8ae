"""The two consoles of all commands: what was asked for goes to `out`, what is said about it to `err`."""

from kpi_app.demo.terminal import console

out = console()
err = console(stderr=True)
