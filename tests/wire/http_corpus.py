"""Heads that other programs read in different ways, and what each is answered with (row C7)."""

CONNECT = b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n"
GET = b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n"
POST = b"POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\n"

BROKEN: dict[str, tuple[bytes, int]] = {
    "connect with both lengths": (CONNECT + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello", 400),
    "connect with a body": (CONNECT + b"Content-Length: 5\r\n\r\nhello", 400),
    "connect with chunks": (CONNECT + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "both lengths": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "both lengths, disguised": (POST + b"Content-Length: 5\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    "two lengths": (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400),
    "the same length twice": (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    "a list of lengths": (POST + b"Content-Length: 5, 6\r\n\r\nhello", 400),
    "a length with a sign": (POST + b"Content-Length: +5\r\n\r\nhello", 400),
    "a length in hexadecimal": (POST + b"Content-Length: 0x5\r\n\r\nhello", 400),
    "chunks of HTTP/1.0": (POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "another encoding": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "chunks in a list": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501),
    "bare line feeds": (b"CONNECT a.example:443 HTTP/1.1\nHost: a.example\n\n", 400),
    "one bare line feed": (GET + b"X: y\nZ: w\r\n\r\n", 400),
    "a bare carriage return": (GET + b"X: y\rZ: w\r\n\r\n", 400),
    "a nul": (GET + b"X: y\0z\r\n\r\n", 400),
    "a folded header": (GET + b"X: y\r\n z\r\n\r\n", 400),
    "a fold before all": (b"GET http://a.example/ HTTP/1.1\r\n X: y\r\nHost: a.example\r\n\r\n", 400),
    "a space before the colon": (GET + b"X : y\r\n\r\n", 400),
    "a header without a colon": (GET + b"nonsense\r\n\r\n", 400),
    "two hosts": (GET + b"Host: b.example\r\n\r\n", 400),
    "no host": (b"GET http://a.example/ HTTP/1.1\r\n\r\n", 400),
    "no version": (b"GET http://a.example/\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "a head of 1 MiB": (GET + b"X: " + b"y" * 1024 * 1024 + b"\r\n\r\n", 431),
    "a request line of 1 MiB": (b"GET http://a.example/" + b"y" * 1024 * 1024, 431),
    "many headers": (GET + b"X: y\r\n" * 4096 + b"\r\n", 431),
}
