"""A worker as a user starts it: `faust -A kpi_app worker`, in a process of its own."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiokafka import AIOKafkaProducer

#: Only ever spent by a test that fails.
PATIENCE_S = 90.0


@dataclass
class Asked:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Running:
    """A running worker and its pages at `url`."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, url: str, web: aiohttp.ClientSession) -> None:
        self.process = process
        self.log = log
        self.url = url
        self._web = web

    async def get(self, path: str, url: str | None = None) -> Asked | None:
        """Ask for a page; None when nobody listens there."""
        try:
            async with self._web.get((url or self.url) + path) as answer:
                return Asked(answer.status, answer.headers, await answer.read())
        except aiohttp.ClientConnectorError:
            return None

    async def until(self, path: str, wanted: Callable[[Asked], bool]) -> Asked:
        """Ask until the answer is as wanted, and return it."""
        last: Asked | None = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                while last is None or not wanted(last):
                    assert self.process.returncode is None, self.log.read_text()[-3_000:]
                    await asyncio.sleep(0.05)
                    last = await self.get(path)
        except TimeoutError:
            raise AssertionError(f"{path}: {last}\n{self.log.read_text()[-3_000:]}") from None
        return last

    async def ready(self) -> Asked:
        """Wait until the worker is ready."""
        return await self.until("/readyz", lambda answer: answer.status == 200)


@asynccontextmanager
async def running_worker(
    brokers: str, dsn: str, topic: str, directory: Path, port: int, *options: str, url: str | None = None
) -> AsyncIterator[Running]:
    """Start a worker with `KPI_WEB_PORT=port` and more options; end it afterwards."""
    env = {
        **os.environ,
        "KPI_BROKERS": brokers,
        "KPI_DATABASE_URL": dsn,
        "KPI_TOPIC": topic,
        "KPI_DATA_DIR": str(directory / "data"),
        "KPI_WEB_PORT": str(port),
    }
    log = directory / "worker.log"
    with log.open("wb") as output:
        command = (sys.executable, "-m", "faust", "-A", "kpi_app", "worker", "-l", "info", *options)
        process = await asyncio.create_subprocess_exec(*command, env=env, stdout=output, stderr=output)
        try:
            async with aiohttp.ClientSession() as web:
                yield Running(process, log, url or f"http://127.0.0.1:{port}", web)
        finally:
            if process.returncode is None:
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 20)
            except TimeoutError:
                process.kill()
                await process.wait()


async def send(brokers: str, topic: str, lines: Mapping[int, list[bytes]]) -> None:
    """Send lines, by partition."""
    async with AIOKafkaProducer(bootstrap_servers=brokers) as producer:
        sent = [
            await producer.send(topic, line, partition=partition) for partition, some in lines.items() for line in some
        ]
        await asyncio.gather(*sent)


class Gate:
    """A way to a server that can be shut and opened again."""

    def __init__(self, dsn: str) -> None:
        to = urlsplit(dsn)
        self._to = (to.hostname, to.port)
        self._server: asyncio.Server | None = None
        self._ways: set[asyncio.StreamWriter] = set()
        self._passing: set[asyncio.Task[Any]] = set()
        self._dsn = to
        self.port = 0

    @property
    def dsn(self) -> str:
        """The server's URL, through the gate."""
        password = f":{self._dsn.password}" if self._dsn.password else ""
        return self._dsn._replace(netloc=f"{self._dsn.username}{password}@127.0.0.1:{self.port}").geturl()

    async def open(self) -> None:
        """Let connections through, at the same port as before."""
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Cut every connection and take no more."""
        if self._server is not None:
            self._server.close()
        for way in self._ways:
            way.transport.abort()
        await asyncio.gather(*self._passing)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._to)
        self._ways |= {writer, there_writer}
        task = asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))
        self._passing.add(task)
        await task
        self._passing.discard(task)
        self._ways -= {writer, there_writer}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while some := await reader.read(65_536):
            writer.write(some)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
