"""A web server on this machine that behaves as others do on bad days."""

import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Behaviour = Callable[["Handler", bytes], None]


class StandIn(ThreadingHTTPServer):
    """Serves `files` by the last part of their path, each request in the way that `plan` says, then as `usual` does.

    `asked` lists the requests: the file's name and the first byte that was asked for.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.plan: list[Behaviour] = []
        self.usual: Behaviour = well
        self.asked: list[tuple[str, int]] = []
        self.over = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def stop(self) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: StandIn
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        self.begin = int(found[1]) if found else 0
        name = re.split("[/=]", self.path)[-1]
        self.server.asked.append((name, self.begin))
        behave = self.server.plan.pop(0) if self.server.plan else self.server.usual
        try:
            if name in self.server.files:
                behave(self, self.server.files[name])
            else:
                status(404)(self, b"")
        except OSError:  # the other side has left
            pass

    def head(self, number: int, **headers: object) -> None:
        self.send_response(number)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def begin(handler: Handler, content: bytes) -> bytes:
    """Sends the headers, and gives the part that was asked for."""
    if not handler.begin:
        handler.head(200, Content_Length=len(content))
    elif handler.begin < len(content):
        last, part = f"{len(content) - 1}/{len(content)}", len(content) - handler.begin
        handler.head(206, Content_Length=part, Content_Range=f"bytes {handler.begin}-{last}")
    else:
        handler.head(416, Content_Length=0, Content_Range=f"bytes */{len(content)}")
    return content[handler.begin :]


def well(handler: Handler, content: bytes) -> None:
    handler.wfile.write(begin(handler, content))


def without_parts(behave: Behaviour) -> Behaviour:
    """Knows no ranges: always begins at the first byte."""

    def from_the_first_byte(handler: Handler, content: bytes) -> None:
        handler.begin = 0
        behave(handler, content)

    return from_the_first_byte


def cut(count: int) -> Behaviour:
    """Ends the connection after so many bytes."""
    return lambda handler, content: handler.wfile.write(begin(handler, content)[:count])


def silent(handler: Handler, content: bytes) -> None:
    handler.server.over.wait(30)


def silent_after(count: int) -> Behaviour:
    def send_and_wait(handler: Handler, content: bytes) -> None:
        cut(count)(handler, content)
        handler.server.over.wait(30)

    return send_and_wait


def dripping(handler: Handler, content: bytes) -> None:
    """Sends a byte now and then, so that no single wait is long."""
    for byte in begin(handler, content):
        handler.wfile.write(bytes([byte]))
        if handler.server.over.wait(0.02):
            return


def chunked(count: int | None = None) -> Behaviour:
    """Does not say how long the file is; with `count`, ends the connection after so many bytes."""

    def send(handler: Handler, content: bytes) -> None:
        handler.head(200, Transfer_Encoding="chunked")
        half = content[: len(content) if count is None else count]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(half), half) + (b"0\r\n\r\n" if count is None else b"40\r\n"))

    return send


def status(number: int, **headers: object) -> Behaviour:
    return lambda handler, content: handler.head(number, Content_Length=0, **headers)


def page(text: bytes, number: int = 200) -> Behaviour:
    def send(handler: Handler, content: bytes) -> None:
        handler.head(number, Content_Type="text/html; charset=utf-8", Content_Length=len(text))
        handler.wfile.write(text)

    return send


def garbage(handler: Handler, content: bytes) -> None:
    handler.wfile.write(b"\x15\x03\x01 proxy says no\r\n\r\n")


def sending(other: bytes) -> Behaviour:
    """Has another file of that name."""
    return lambda handler, content: handler.wfile.write(begin(handler, other))


def wrong_part(handler: Handler, content: bytes) -> None:
    """Answers with a part from the beginning, whatever is asked for."""
    handler.head(206, Content_Length=len(content), Content_Range=f"bytes 0-{len(content) - 1}/{len(content)}")
    handler.wfile.write(content)
