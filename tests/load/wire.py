"""HTTP as the abuse test needs it: raw bytes in, an answer or the way it failed out; nothing is repaired on the way."""
import asyncio
import json
import socket
import struct

HEAD_BYTES_MAX = 1 << 16
BODY_BYTES_MAX = 1 << 26


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Closed(Exception):
    """The server closed the connection without a whole answer."""


def post(path, body, key=None, extra=()):
    """The bytes of a request. The body: bytes as they are, anything else as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: abuse", "Content-Type: application/json", f"Content-Length: {len(data)}", *extra]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def get(path, key=None):
    auth = f"Authorization: Bearer {key}\r\n" if key else ""
    return f"GET {path} HTTP/1.1\r\nHost: abuse\r\n{auth}\r\n".encode()


async def connect(place):
    try:
        return await asyncio.open_connection(*place, limit=HEAD_BYTES_MAX)
    except OSError as error:
        raise Closed(f"no connection: {error}") from None


async def read_head(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}
    return int(first.split()[1]), headers


async def read_body(reader, headers):
    if "chunked" in headers.get("transfer-encoding", ""):
        body = bytearray()
        while True:
            size = int((await reader.readline()).split(b";")[0], 16)
            body += await reader.readexactly(size)
            await reader.readexactly(2)
            if size == 0:
                return bytes(body)
            if len(body) > BODY_BYTES_MAX:
                raise Closed("an answer without end")
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    return await reader.read(BODY_BYTES_MAX)


async def read_answer(reader):
    try:
        status, headers = await read_head(reader)
        while status == 100:
            status, headers = await read_head(reader)
        return Answer(status, headers, await read_body(reader, headers))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, ValueError, IndexError) as error:
        raise Closed(f"{type(error).__name__}: {error}") from None


async def send(writer, data):
    try:
        writer.write(data)
        await writer.drain()
    except OSError:
        pass    # what the server answered before it closed may still be read


async def ask(place, data):
    """One request on a connection of its own."""
    reader, writer = await connect(place)
    try:
        await send(writer, data)
        return await read_answer(reader)
    finally:
        writer.close()


def slam(writer):
    """Closes with a reset, as a process that dies does."""
    try:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    writer.transport.abort()
