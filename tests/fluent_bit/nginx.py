"""A real nginx and a real logrotate, with the format and the rotation that this project hands out."""

import asyncio
import contextlib
import grp
import os
import pwd
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from kpi_app.local.ports import free_port
from tests.cli.programs import PATIENCE_S, descendants, until
from tests.installed import installed

FILES = Path(__file__).parents[2] / "fluent-bit"
LOG_FORMAT = FILES / "nginx-log-format.conf"
LOGROTATE = FILES / "nginx.logrotate"

_CONFIG = """
daemon off;
worker_processes 2;
pid {directory}/nginx.pid;
{user}
events {{ worker_connections 256; }}
http {{
    include {log_format};
    access_log {log} {name};
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 1000000;
    upstream backend {{ server unix:{directory}/nobody; server 127.0.0.1:{backend} backup; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "hello\\n"; }}
        location /behind/ {{ proxy_pass http://backend; }}
    }}
    server {{
        listen 127.0.0.1:{backend};
        access_log off;
        location / {{ return 200 "from behind\\n"; }}
    }}
}}
"""


#: Some 1,000 requests a second from all visitors: enough to be in every rotation's way, and other tests have room.
_LOOKS_AT_A_PAGE_S = 0.003


class Nginx:
    """A running nginx that writes `log`; `/behind/…` is answered by the second of two upstreams."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory, self.log_format = directory, name
        self.log = directory / "logs" / "access.log"
        self.log.parent.mkdir(parents=True)
        self.port, backend = free_port(), free_port()
        config = directory / "nginx.conf"
        config.write_text(
            _CONFIG.format(
                directory=directory,
                # its workers would else be nobody's, who may not enter a test's directory
                user="user root;" if os.geteuid() == 0 else "",
                log_format=LOG_FORMAT,
                log=self.log,
                name=name,
                port=self.port,
                backend=backend,
            )
        )
        program, errors = installed("nginx", "nginx-light"), directory / "error.log"
        with (directory / "nginx.out").open("wb") as out:
            self._process = subprocess.Popen(
                [program, "-p", directory, "-c", config, "-e", errors], stdout=out, stderr=out
            )
        until(lambda: self._answers() or self._process.poll() is not None)
        assert self._process.poll() is None, (directory / "nginx.out").read_text()
        until(lambda: self.lines == 1)  # it logs after it has answered

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(self.ask(b"GET /up HTTP/1.0\r\n\r\n"))
        return False

    @property
    def lines(self) -> int:
        """How many lines its log has."""
        return self.log.read_bytes().count(b"\n")

    def ask(self, request: bytes) -> bytes:
        """The answer to a request after which the connection ends."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65_536), b""))

    def has_reopened(self) -> bool:
        """Whether no process of it writes to a renamed log any more."""
        logs = str(self.log.parent)
        opened = (os.readlink(fd) for pid in descendants(self._process.pid) for fd in Path(f"/proc/{pid}/fd").iterdir())
        return {file for file in opened if file.startswith(logs)} == {str(self.log)}

    def stop(self) -> None:
        """End it in order: every request that was answered is in its log."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(60)


@contextlib.contextmanager
def nginx(directory: Path, name: str = "kpi") -> Iterator[Nginx]:
    """An nginx that logs in one of our formats."""
    server = Nginx(directory, name)
    try:
        yield server
    finally:
        server.stop()


class Logrotate:
    """Our rotation, for the log of a test's nginx; `compress_at_once` is not ours: without `delaycompress`."""

    def __init__(self, server: Nginx, compress_at_once: bool = False) -> None:
        self._program = installed("logrotate", "logrotate")
        self._server = server
        text = LOGROTATE.read_text()
        for ours, theirs in (
            ("/var/log/nginx/*.log", str(server.log)),
            ("/run/nginx.pid", str(server.directory / "nginx.pid")),
            ("www-data adm", f"{pwd.getpwuid(os.geteuid()).pw_name} {grp.getgrgid(os.getegid()).gr_name}"),
            *([("\tdelaycompress\n", self._at_once())] if compress_at_once else []),
        ):
            assert ours in text
            text = text.replace(ours, theirs)
        self._config = server.directory / "logrotate.conf"
        self._config.write_text(text)
        self._config.chmod(0o644)

    def _at_once(self) -> str:
        """Compress by a gzip whose warning (status 2) is none: nginx, which has yet to reopen its log, still writes."""
        program = self._server.directory / "compress"
        program.write_text('#!/bin/sh\ngzip --quiet "$@"\nstatus=$?\ntest $status -eq 2 || exit $status\n')
        program.chmod(0o755)
        return f"\tcompresscmd {program}\n\tcompressext .gz\n"

    def rotate(self) -> None:
        """Rotate now, as the night would; returns when nginx has gone on with the new file."""
        state = self._server.directory / "logrotate.state"
        command = [self._program, "--force", "--state", str(state), str(self._config)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        until(self._server.has_reopened)


class Load:
    """Visitors who ask for one page after the other, each page once; `answered` are those they got."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._pages = iter(range(10**9))
        self.answered: list[int] = []
        self._more = asyncio.Event()

    async def until_more(self, count: int) -> None:
        """Return when so many more pages were answered."""
        goal = len(self.answered) + count
        async with asyncio.timeout(PATIENCE_S):
            while len(self.answered) < goal:
                self._more.clear()
                await self._more.wait()

    @contextlib.asynccontextmanager
    async def running(self, visitors: int = 4) -> AsyncIterator[None]:
        """Visitors, until the block is left; then none of their requests is under way any more."""
        over = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(visitors):
                tasks.create_task(self._visit(over))
            try:
                yield
            finally:
                over.set()

    async def _visit(self, over: asyncio.Event) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        for page in self._pages:
            writer.write(b"GET /page/%d HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: test\r\n\r\n" % page)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            await reader.readexactly(len(b"hello\n"))
            self.answered.append(page)
            self._more.set()
            if over.is_set():
                break
            await asyncio.sleep(_LOOKS_AT_A_PAGE_S)
        writer.close()
        await writer.wait_closed()
