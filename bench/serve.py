#!/usr/bin/env python3
"""Measures koe serve with the filled full-size Kokoro, server and load generator together on this machine; prints one table.

    bench/serve.py [--json] [--precision auto] [--only WORD]

first    time to the first byte of sound of a 12-word sentence, server idle, sentence new
cached   the same sentence again, over one kept connection
rate     cached small answers a second and their 99th percentile, by wrk (Debian's package) from one thread with 16 connections
streams  N streams of about half a minute each begin together: how many were admitted, how many underran - a player that starts at
         the first byte had nothing to play at some moment -, and how soon the others were refused
idle     memory that 2,000 idle connections cost

Needs the model graph and voices of $KOE_SHARED (default: shared/ beside the project). Run it on a quiet machine."""
import argparse, asyncio, json, os, pathlib, random, shutil, socket, statistics, subprocess, sys, tempfile, time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from run import ROOT, SHARED, fill

BYTES_A_SECOND = 48000 # pcm: 24 kHz, 16 bits
WORDS = """the river carries small boats past quiet villages where people sell bread and apples near an old stone bridge while children watch
birds circle above green hills and farmers talk about rain that should come before harvest because summer was long warm bright""".split()


def sentence(n, seed):
    """n words that no other seed gives."""
    words = random.Random(seed).sample(WORDS, n)
    return ' '.join(words).capitalize() + '.'


def home(folder):
    kokoro = pathlib.Path(folder) / 'kokoro'
    kokoro.mkdir()
    os.symlink(fill('kokoro'), kokoro / 'model.onnx')
    for name in ('config.json', 'voices'):
        os.symlink(SHARED / 'kokoro' / name, kokoro / name)
    os.symlink(SHARED / 'lexicon', pathlib.Path(folder) / 'lexicon')
    return folder


class Server:
    def __init__(self, folder, options):
        began = time.monotonic()
        self.p = subprocess.Popen([ROOT / 'build/koe', 'serve', '--port', '0', '--home', folder, '--access-log', 'off', '--log-level', 'error', *options],
                                  stdout=subprocess.PIPE, text=True)
        self.port = int(self.p.stdout.readline().rsplit(':', 1)[1])
        while b'"ready"' not in self.get('/health/ready'):
            time.sleep(0.005)
        self.ready_ms = 1000 * (time.monotonic() - began)

    def get(self, path):
        with socket.create_connection(('127.0.0.1', self.port), timeout=30) as s:
            s.sendall(f'GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'.encode())
            data = b''
            while piece := s.recv(65536):
                data += piece
        return data

    def rss_mb(self):
        with open(f'/proc/{self.p.pid}/status') as f:
            return next(int(line.split()[1]) for line in f if line.startswith('VmRSS')) / 1024

    def stop(self):
        self.p.terminate()
        self.p.wait(60)


def post(text, **more):
    body = json.dumps({'input': text, 'voice': 'af_heart', 'response_format': 'pcm', **more}).encode()
    return b'POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' % (len(body), body)


async def speak(port, request, connection=None):
    """One answer: status, ms to the head, ms to the first byte of sound, ms to the end, seconds of sound, the longest gap in s."""
    reader, writer = connection or await asyncio.open_connection('127.0.0.1', port)
    began = time.monotonic()
    writer.write(request)
    head = await reader.readuntil(b'\r\n\r\n')
    head_at = time.monotonic()
    status = int(head.split()[1])
    lower = head.lower()
    first, got, late = None, 0, 0.0
    if b'transfer-encoding: chunked' in lower:
        while n := int(await reader.readline(), 16):
            left = n
            while left: # as it comes, not by the chunk
                piece = await reader.read(left)
                now = time.monotonic()
                if not piece:
                    raise ConnectionError('cut off')
                first = first or now
                late = max(late, now - first - got / BYTES_A_SECOND)
                left -= len(piece)
                got += len(piece)
            await reader.readexactly(2)
        await reader.readexactly(2)
    else:
        length = int(lower.split(b'content-length:')[1].split()[0])
        await reader.readexactly(length)
        first, got = head_at, length
    end = time.monotonic()
    if not connection:
        writer.close()
    return {'status': status, 'head_ms': 1000 * (head_at - began), 'first_ms': 1000 * ((first or end) - began), 'end_ms': 1000 * (end - began),
            'audio_s': got / BYTES_A_SECOND, 'late_s': late}


async def first_bytes(s, rows):
    for kind in ({}, {'response_format': 'mp3'}):
        got = []
        for i in range(12):
            got.append((await speak(s.port, post(sentence(12, 1000 + i + 100 * len(rows)), **kind)))['first_ms'])
            await asyncio.sleep(0.15)
        got = got[2:]
        rows.append((f"first byte, 12 words, {kind.get('response_format', 'pcm')}", f'p50 {statistics.median(got):.0f} ms, most {max(got):.0f} ms',
                     {'p50_ms': statistics.median(got), 'max_ms': max(got)}))


async def cached(s, rows):
    connection = await asyncio.open_connection('127.0.0.1', s.port)
    request = post(sentence(12, 5))
    await speak(s.port, request, connection)
    await asyncio.sleep(0.2)
    got = sorted([(await speak(s.port, request, connection))['end_ms'] for _ in range(500)])
    connection[1].close()
    rows.append(('cached, whole answer', f'p50 {got[250]:.2f} ms, p99 {got[495]:.2f} ms', {'p50_ms': got[250], 'p99_ms': got[495]}))


def rate(s, rows):
    if not shutil.which('wrk'):
        rows.append(('cached answers a second', 'not measured: wrk is not installed', {}))
        return
    body = json.dumps({'input': 'Yes.', 'voice': 'af_heart', 'response_format': 'mp3'})
    with tempfile.NamedTemporaryFile('w', suffix='.lua') as script:
        script.write(f"wrk.method = 'POST'\nwrk.body = [[{body}]]\nwrk.headers['Content-Type'] = 'application/json'\n")
        script.flush()
        wrk = ['wrk', '-t1', '-c16', '--latency', '-s', script.name, f'http://127.0.0.1:{s.port}/v1/audio/speech']
        subprocess.run([*wrk, '-d1'], capture_output=True, check=True)
        out = subprocess.run([*wrk, '-d5'], capture_output=True, text=True, check=True).stdout
    unit = {'us': 0.001, 'ms': 1, 's': 1000}
    word = next(line.split()[1] for line in out.splitlines() if line.split()[:1] == ['99%'])
    number = word.rstrip('mus')
    p99, a_second = float(number) * unit[word[len(number):]], float(out.split('Requests/sec:')[1].split()[0])
    failed = 'Non-2xx' in out
    rows.append(('cached answers a second', f"{a_second:.0f}/s, p99 {p99:.2f} ms{', WITH FAILURES' if failed else ''}",
                 {'per_second': a_second, 'p99_ms': p99, 'failures': failed}))


async def streams(s, n, rows):
    texts = [' '.join(sentence(11 + (i + k) % 5, 10000 * n + 100 * i + k) for k in range(8)) for i in range(n)]
    got = await asyncio.gather(*(speak(s.port, post(t)) for t in texts))
    admitted, refused = [g for g in got if g['status'] == 200], [g for g in got if g['status'] in (429, 503)]
    others = len(got) - len(admitted) - len(refused)
    under = [g for g in admitted if g['late_s'] > 0.02]
    slowest = max((g['head_ms'] for g in refused), default=0)
    rows.append((f'{n} streams', f"{len(admitted)} admitted, {len(under)} underran (most {max([g['late_s'] for g in admitted], default=0):.2f} s), {len(refused)} refused "
                 f"within {slowest:.1f} ms; first byte p50 {statistics.median([g['first_ms'] for g in admitted] or [0]):.0f} ms{f', {others} FAILED' if others else ''}",
                 {'admitted': len(admitted), 'underran': len(under), 'refused': len(refused), 'refused_ms': slowest, 'failed': others}))


def idle(s, rows):
    before, open_ones = s.rss_mb(), []
    for _ in range(2000):
        c = socket.create_connection(('127.0.0.1', s.port))
        c.sendall(b'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n')
        c.recv(4096)
        open_ones.append(c)
    cost = s.rss_mb() - before
    for c in open_ones:
        c.close()
    rows.append(('2,000 idle connections', f'{cost:.0f} MB', {'mb': cost}))


def main():
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument('--json', action='store_true')
    parse.add_argument('--precision', default='auto')
    parse.add_argument('--only', default='')
    a = parse.parse_args()
    if not (SHARED / 'models').is_dir():
        print(f'bench: no models: {SHARED} is missing (set KOE_SHARED)')
        return
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        options = ['--precision', a.precision]
        Server(home(folder), options).stop() # writes the packed weights
        s = Server(folder, options)
        rows.append(('ready after start', f'{s.ready_ms:.0f} ms, {s.rss_mb():.0f} MB', {'ms': s.ready_ms, 'rss_mb': s.rss_mb()}))
        try:
            asyncio.run(speak(s.port, post('One two three.')))
            tests = [('first', lambda: asyncio.run(first_bytes(s, rows))), ('cached', lambda: asyncio.run(cached(s, rows))), ('rate', lambda: rate(s, rows)),
                     *[(f'streams', lambda n=n: asyncio.run(streams(s, n, rows))) for n in (4, 8, 16)], ('idle', lambda: idle(s, rows))]
            for name, test in tests:
                if a.only in name:
                    test()
            rows.append(('memory after all', f'{s.rss_mb():.0f} MB', {'rss_mb': s.rss_mb()}))
        finally:
            s.stop()
    if a.json:
        print(json.dumps([{'what': what, **numbers} for what, _, numbers in rows], indent=1))
    else:
        for what, text, _ in rows:
            print(f'{what:32} {text}')


if __name__ == '__main__':
    main()
