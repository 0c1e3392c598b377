"""A TCP relay that holds every byte back for a while: ``-m benchmarks.pipeline_delay``.

Arguments: the port to listen on, the port to connect to, the delay of either direction in ms.
Bandwidth is not limited.
"""

import asyncio
import sys

_CHUNK_BYTES = 1 << 20


async def relay(listen_port: int, peer_port: int, delay_s: float) -> None:
    """Serves one connection after another for ever."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", peer_port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_held(reader, far_writer, delay_s), _held(far_reader, writer, delay_s))

    server = await asyncio.start_server(serve, "127.0.0.1", listen_port, limit=_CHUNK_BYTES)
    await server.serve_forever()


async def _held(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    loop = asyncio.get_running_loop()
    try:
        while chunk := await reader.read(_CHUNK_BYTES):
            loop.call_later(delay_s, writer.write, chunk)
    except OSError:
        pass
    loop.call_later(delay_s, writer.close)


if __name__ == "__main__":
    asyncio.run(relay(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1e3))
