"""A local web server that misbehaves on request, for tests of downloads."""

import hashlib
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

HTML = b"<!DOCTYPE html>\n<html><body>Sign in to continue</body></html>"


@dataclass(frozen=True)
class Fault:
    """How one request is answered; the defaults are a well-behaved answer.

    `cut` ends the body at so many bytes of the file, though the length given is the whole; `ranges`
    False ignores Range; `etag` and `length` False leave that header out.
    """

    status: int = 200
    cut: int | None = None
    ranges: bool = True
    body: bytes | None = None
    location: str = ""
    length: bool = True
    etag: bool = True
    retry_after: str = ""


@dataclass
class Site:
    """What the server holds (`files`, by path), how it fails (`faults`), and what it was asked."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def ranges(self, path: str) -> list[str | None]:
        """Return the Range header of each request for `path`, in order."""
        return [asked for name, asked in self.requests if name == path]


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(self.path)
        asked = self.headers.get("Range")
        self.site.requests.append((path, asked))
        faults = self.site.faults[path]
        fault = faults.pop(0) if faults else Fault()
        body = fault.body if fault.body is not None else self.site.files.get(path)
        if fault.location:
            self.send_response(302)
            self.send_header("Location", fault.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if fault.status != 200 or body is None:
            self.send_response(fault.status if fault.status != 200 else 404)
            if fault.retry_after:
                self.send_header("Retry-After", fault.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        start = 0
        current = self.headers.get("If-Range") in (None, etag)
        if asked and fault.ranges and current:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if fault.etag:
            self.send_header("ETag", etag)
        if fault.length:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = len(body) if fault.cut is None else min(fault.cut, len(body))
        self.wfile.write(body[start:end])
        self.close_connection = True


@contextmanager
def serve() -> Iterator[Site]:
    """Run the server on a free local port."""
    site = Site("")
    handler = type("Handler", (_Handler,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
