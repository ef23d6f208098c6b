"""koe behind a real nginx with packaging/nginx.conf, in which only ports and certificate are replaced: TLS, sound that passes as it is made, the
WebSocket, addresses, what is closed to the outside, and errors that clients can read. Skips (77) without nginx.
    KOE_BIN=build/koe /usr/bin/python3 tests/slow/nginx.py packaging/nginx.conf"""
import base64, json, os, pathlib, re, shutil, signal, socket, ssl, subprocess, sys, tempfile, time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from ports import free_port

nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
if not nginx:
    print("skipped: there is no nginx (apt-get install nginx-light)")
    sys.exit(77)

tmp = pathlib.Path(tempfile.mkdtemp(prefix="koe-nginx-"))
LONG = "This sentence is one of very many that follow each other. " * 1500


def start_koe(port):
    home = tmp / "home"
    home.mkdir(exist_ok=True)
    p = subprocess.Popen([os.environ["KOE_BIN"], "serve", "--port", str(port), "--home", home, "--trusted-proxies", "127.0.0.1", "--rate-requests", "20",
                          "--cache-memory", "0", "--access-log", "off"], stdout=subprocess.PIPE, text=True)
    return p, int(re.search(r":(\d+)$", p.stdout.readline()).group(1))


def start_nginx(koe_port):
    port = free_port()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=speech.example.com", "-days", "2", "-keyout", tmp / "key.pem",
                    "-out", tmp / "cert.pem"], check=True, capture_output=True)
    text = pathlib.Path(sys.argv[1]).read_text()
    for old, new in (("127.0.0.1:8880", f"127.0.0.1:{koe_port}"), ("listen 443 ", f"listen 127.0.0.1:{port} "),
                     ("/etc/letsencrypt/live/speech.example.com/fullchain.pem", f"{tmp}/cert.pem"),
                     ("/etc/letsencrypt/live/speech.example.com/privkey.pem", f"{tmp}/key.pem")):
        assert old in text, old
        text = text.replace(old, new)
    temporary = "".join(f"{what}_temp_path {tmp}/{what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (tmp / "nginx.conf").write_text(f"daemon off; master_process off; pid {tmp}/pid; error_log stderr error; events {{}}\n"
                                    f"http {{ access_log off; {temporary}\n{text}}}\n")
    p = subprocess.Popen([nginx, "-p", tmp, "-c", tmp / "nginx.conf"], stderr=open(tmp / "nginx.log", "w"))
    for _ in range(3000):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return p, port
        except OSError:
            time.sleep(0.02)
    sys.exit("nginx does not start: " + (tmp / "nginx.log").read_text())


class Reply:
    """Sends a request through nginx; reads the head, and with read() the rest."""

    def __init__(self, method, path, body=None, headers=(), raw_port=None):
        self.start = time.monotonic()
        s = socket.create_connection(("127.0.0.1", raw_port or web_port), source_address=("127.0.0.1" if raw_port else "127.0.0.2", 0))
        s.settimeout(120)
        if not raw_port:
            context = ssl.create_default_context(cafile=tmp / "cert.pem")
            context.set_alpn_protocols(["http/1.1"])
            s = context.wrap_socket(s, server_hostname="speech.example.com")
        self.socket = s
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        lines = [f"{method} {path} HTTP/1.1", "Host: speech.example.com", *headers]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
        try:
            s.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        except OSError:
            pass  # refused before the end
        self.file = s.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        while (line := self.file.readline().strip()):
            name, _, value = line.decode().partition(":")
            self.headers[name.lower()] = value.strip()
        self.first_s = time.monotonic() - self.start

    def blocks(self):
        """The body as it comes. Sets whole at an end that was promised."""
        self.whole = False
        if "content-length" in self.headers:
            data = self.file.read(int(self.headers["content-length"]))
            self.whole = len(data) == int(self.headers["content-length"])
            yield data
            return
        while (line := self.file.readline()):
            n = int(line, 16)
            data = self.file.read(n + 2)
            if n == 0:
                self.whole = True
                return
            yield data[:-2]

    def read(self):
        data = b"".join(self.blocks())
        self.all_s = time.monotonic() - self.start
        self.socket.close()
        return data

    def problem(self):
        return json.loads(self.read())["error"]["code"]


def speak(text="Hello.", headers=(), raw_port=None, **more):
    return Reply("POST", "/v1/audio/speech", {"input": text, "response_format": "pcm", **more}, headers, raw_port)


def streams():
    return json.loads(Reply("GET", "/status", raw_port=koe_port).read())["queue"]["streams"]


def check_streaming():
    r = speak(LONG)
    sound = r.read()
    assert r.status == 200 and r.whole and len(sound) > 1500 * 2 * 24000, (r.status, len(sound))
    assert r.first_s < r.all_s / 3, f"the first byte after {r.first_s:.2f} s of {r.all_s:.2f} s"
    r = speak("One. Two.", stream_format="sse")
    assert r.headers["content-type"] == "text/event-stream" and b"speech.audio.done" in r.read()
    whole = speak(stream=False, response_format="wav")
    assert whole.read()[:4] == b"RIFF" and "content-length" in whole.headers


def check_leaving():
    r = speak(LONG)
    next(r.blocks())
    r.socket.close()
    r.file.close()
    end = time.monotonic() + 60
    while streams():
        assert time.monotonic() < end, "still at work for a client that has left"
        time.sleep(0.05)


def frame(opcode, data):
    mask, size = b"\1\2\3\4", bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0x80 | 126]) + len(data).to_bytes(2, "big")
    return bytes([0x80 | opcode]) + size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data))


def check_socket():
    r = Reply("GET", "/v1/audio/speech/ws", headers=["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                                                     "Sec-WebSocket-Key: " + base64.b64encode(bytes(16)).decode()])
    assert r.status == 101, r.status
    for message in {"type": "start", "response_format": "pcm"}, {"type": "text", "text": "One sentence. "}, {"type": "text", "text": "And another."}, {"type": "end"}:
        r.socket.sendall(frame(1, json.dumps(message).encode()))
    sound, kinds = 0, []
    while "done" not in kinds:
        head = r.file.read(2)
        n = head[1]
        n = int.from_bytes(r.file.read(2), "big") if n == 126 else int.from_bytes(r.file.read(8), "big") if n == 127 else n
        data = r.file.read(n)
        if head[0] & 15 == 2:
            sound += n
        else:
            kinds.append(json.loads(data)["type"])
            assert kinds[-1] != "error", data
    assert sound > 24000, (sound, kinds)


def check_closed():
    for path in ("/metrics", "/status", "/cache", "/v1/metrics", "/v1/status", "/v1/v1/metrics", "//metrics", "/v1//status", "/%6detrics", "/v1%2Fmetrics", "/status/"):
        r = Reply("GET", path)
        assert r.status == 403, (path, r.status)
        r.read()
    assert Reply("DELETE", "/v1/cache").status == 403
    assert json.loads(Reply("GET", "/health/ready").read())["status"] == "ready"
    r = Reply("POST", "/v1/audio/speech", b"a" * (5 << 20))
    assert r.status == 413 and r.headers["content-type"] == "application/json" and r.problem() == "body_too_large"
    assert speak(voice="nobody").problem() == "voice_not_found"


def check_addresses():
    """What a client says of its address changes nothing: it runs into its limit."""
    for i in range(250):
        r = speak(headers=[f"X-Forwarded-For: 198.51.100.{i}"])
        if r.status == 429:
            assert int(r.headers["retry-after"]) >= 1 and r.problem() == "rate_limit_exceeded"
            break
        r.read()
    else:
        sys.exit("an address of its own choice for each request")
    # nginx itself is believed
    r = speak(headers=["X-Forwarded-For: 192.0.2.1"], raw_port=koe_port)
    assert r.status == 200 and r.read()


def check_end():
    """koe dies in mid-stream: what came does not look whole, and then clients hear that it is not there."""
    global koe
    koe.send_signal(signal.SIGTERM)
    assert koe.wait(60) == 0
    koe, _ = start_koe(koe_port)
    r = speak(LONG)
    blocks = r.blocks()
    next(blocks)
    koe.kill()
    koe.wait()
    for _ in blocks:
        pass
    assert not r.whole, "a truncated answer looks whole"
    r = speak()
    assert r.status == 503 and r.headers["retry-after"] and r.problem() == "unavailable"


koe, koe_port = start_koe(free_port())
web, web_port = start_nginx(koe_port)
try:
    for check in check_streaming, check_leaving, check_socket, check_closed, check_addresses, check_end:
        began = time.monotonic()
        check()
        print(f"{check.__name__}: {time.monotonic() - began:.1f} s", flush=True)
finally:
    for p in koe, web:
        p.kill()
    shutil.rmtree(tmp)
