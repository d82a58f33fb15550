"Servers that answer with something else, and downloads that are interrupted."
import contextlib
import gzip
import os
import threading
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from celae.corpora.published import DownloadError, fetch

ARCHIVE = gzip.compress(b'an archive' * 999)
KNOWN = 'sha256:' + sha256(ARCHIVE).hexdigest()


class Server(BaseHTTPRequestHandler):
    "The good one has the archive; the others answer with something else, by the name in their address."
    def log_message(self, *args): pass
    def do_GET(self):
        with contextlib.suppress(OSError): getattr(self, self.path.split('/')[1])()

    def answer(self, body, code=200, length=None, **headers):
        self.send_response(code)
        for name, value in {'Content-Length': str(length or len(body)), **headers}.items():
            self.send_header(name.replace('_', '-'), value)
        self.end_headers()
        self.wfile.write(body)

    def send(self, start, chunk, secs=0):
        self.wfile.write(start)
        for _ in range(100 if secs else 10**6):
            self.wfile.write(chunk)
            threading.Event().wait(secs)

    def good(self): self.answer(ARCHIVE)
    def page(self): self.answer(b'<html>This file has moved</html>')
    def garbage(self): self.answer(os.urandom(9999))
    def empty(self): self.answer(b'')
    def short(self): self.answer(ARCHIVE[:9], length=len(ARCHIVE))
    def part(self): self.answer(ARCHIVE[:20], 206, Content_Range=f'bytes 0-19/{len(ARCHIVE)}')
    def ended(self): self.answer(b'', 416)
    def digits(self): self.answer(b'x', length='9' * 6000)
    def brackets(self): self.answer(b'', 302, Location='http://[::1')
    def letters(self): self.answer(b'', 302, Location='http://\xc4\xb1\xcc\x87..\xe2\x98\x83/')
    def packed(self): self.answer(gzip.compress(bytes(10**7)), Content_Encoding='gzip')
    def circle(self): self.answer(b'', 302, Location='/circle')
    def local(self): self.answer(b'', 302, Location='file:///etc/hostname')
    def chunks(self): self.answer(b'ZZ\r\nxx', Transfer_Encoding='chunked')
    def hangs(self): self.send(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx', b'', 30)
    def drips(self): self.send(b'HTTP/1.1 200 OK\r\n\r\n', b'x', .05)
    def header(self): self.send(b'HTTP/1.1 200 OK\r\n', b'H', .05)
    def endless(self): self.send(b'HTTP/1.1 200 OK\r\n\r\n', bytes(1 << 16))
    def liar(self): self.send(b'HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000\r\n\r\n', bytes(1 << 16))


@pytest.fixture(scope='module')
def server():
    server = ThreadingHTTPServer(('127.0.0.1', 0), Server)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()


PLAIN = 'good', 'answer', 'send', 'do_GET', 'log_message'
HOSTILE = [name for name in vars(Server) if name not in PLAIN and name[0] != '_']

@pytest.mark.parametrize('name', HOSTILE)
def test_a_hostile_answer_moves_on_to_the_next_source(tmp_path, server, name):
    sources = [f'{server}/{name}/a.gz', f'{server}/good/a.gz']
    path = fetch(sources, tmp_path/'a.gz', KNOWN, tries=1, patience=1, most=1e6)
    assert path.read_bytes() == ARCHIVE
    assert [f.name for f in tmp_path.iterdir() if f.name[0] != '.'] == ['a.gz']
    assert all(f.stat().st_size <= 1e6 for f in tmp_path.iterdir())


def test_two_processes_do_not_mix_a_download(tmp_path, server, monkeypatch):
    from celae.corpora.published import _Part
    part = tmp_path/f'.{sha256(f"{server}/good/a.gz".encode()).hexdigest()[:8]}-a.gz'
    def also(self, answer, **_): part.write_bytes(b'of the other')
    monkeypatch.setattr(_Part, 'begin', also)
    with pytest.raises(DownloadError, match='another process'):
        fetch([f'{server}/good/a.gz'], tmp_path/'a.gz', KNOWN, tries=1)
