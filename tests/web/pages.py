#!/usr/bin/env python3
"""The studio and the dashboard in a real browser (Debian's chromium, driven by chromedriver), served by the real server with the built-in
voice. Exit status 77 (skipped) where there is no browser. With a folder as argument, screenshots are left there."""
import base64, json, os, pathlib, shutil, subprocess, sys, tempfile, time, urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from ports import free_port

KOE = os.environ.get('KOE_BIN') or str(pathlib.Path(__file__).resolve().parents[2] / 'build/koe')


def call(url, body=None, method=None):
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {'Content-Type': 'application/json'}, method=method or ('POST' if body is not None else 'GET'))
    with urllib.request.urlopen(request, timeout=180) as answer:
        return json.load(answer)


def until(what, question):
    """Waits longer than anything takes on a machine that has little time for us."""
    end = time.monotonic() + 100
    while time.monotonic() < end:
        try:
            got = question()
        except OSError:
            got = None
        if got:
            return got
        time.sleep(0.1)
    raise SystemExit(f'FAIL: {what} did not come')


class Browser:
    def __init__(self, port, profile):
        self.root = f'http://127.0.0.1:{port}'
        until('chromedriver', lambda: call(self.root + '/status')['value']['ready'])
        options = {'args': ['--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--window-size=1200,1400', '--mute-audio',
                            f'--user-data-dir={profile}']}
        session = call(self.root + '/session', {'capabilities': {'alwaysMatch': {'browserName': 'chrome', 'goog:chromeOptions': options,
                                                                               'goog:loggingPrefs': {'browser': 'ALL'}}}})
        self.at = f"{self.root}/session/{session['value']['sessionId']}"

    def go(self, url):
        call(self.at + '/url', {'url': url})

    def run(self, script, *args):
        return call(self.at + '/execute/sync', {'script': script, 'args': list(args)})['value']

    def click(self, css):
        found = call(self.at + '/element', {'using': 'css selector', 'value': css})['value']
        call(f'{self.at}/element/{list(found.values())[0]}/click', {})

    def picture(self, path):
        pathlib.Path(path).write_bytes(base64.b64decode(call(self.at + '/screenshot')['value']))

    def complaints(self):
        return [e['message'] for e in call(self.at + '/se/log', {'type': 'browser'})['value'] if e['level'] == 'SEVERE']

    def close(self):
        call(self.at, method='DELETE')


def check(truth, what):
    if not truth:
        raise SystemExit(f'FAIL: {what}')


def studio(b, url, pictures):
    b.go(url + '/')
    until('the list of voices', lambda: b.run('return document.body.dataset.ready'))
    check(b.run("return document.getElementById('voice').options.length") > 20, 'too few voices are offered')
    b.run("const t = document.getElementById('text'); t.value = 'Déjà vu 🎉 costs $5, says Ann.'; t.dispatchEvent(new Event('input', { bubbles: true }))")
    b.click('#speak')
    spoken = until('speech', lambda: b.run("return document.body.dataset.spoken || document.querySelector('#state.bad')?.textContent"))
    check(float(spoken) > 0.5, f'spoken: {spoken}')
    check(b.run("return document.getElementById('read').textContent") == 'Déjà vu 🎉 costs $5, says Ann.', 'the text is not shown as it was written')
    words = b.run("return [...document.querySelectorAll('#read span')].map(s => s.textContent.trim())")
    check('Ann.' in words or 'Ann' in words, f'words: {words}')
    until('a marked word', lambda: b.run("return document.querySelector('#read mark') || document.getElementById('stop').disabled"))
    b.click('#phonemes')
    until('phonemes', lambda: b.run("return document.getElementById('sounds').textContent.length > 5"))
    b.click('#keep')
    until('a kept file', lambda: b.run("return document.querySelector('#history audio')?.duration > 0.5"))
    b.run("document.getElementById('text').value = ''")
    b.click('#speak')
    until('what is wrong', lambda: b.run("return document.querySelector('#state.bad')?.textContent"))
    if pictures:
        b.picture(f'{pictures}/studio.png')


def dashboard(b, url, pictures):
    b.go(url + '/dashboard')
    until('figures', lambda: b.run("return document.querySelectorAll('#figures .figure').length >= 10"))
    until('two looks', lambda: b.run("return document.querySelector('#streams path').getAttribute('d').includes('L')"))
    rows = b.run("return [...document.querySelectorAll('#by-status tr')].map(r => r.textContent)")
    check(any(r.startswith('200') for r in rows), f'answers by status: {rows}')
    check(b.run("return document.getElementById('problem').hidden"), 'the dashboard complains: ' + b.run("return document.getElementById('problem').textContent"))
    check(b.run("return !document.getElementById('ask').offsetHeight"), 'it asks for a key that nobody needs')
    if pictures:
        b.picture(f'{pictures}/dashboard.png')


def locked(b, url):
    b.go(url + '/dashboard')
    until('the question for a key', lambda: not b.run("return document.getElementById('ask').hidden"))
    b.run("document.getElementById('key').value = 'open-sesame'")
    b.click('#ask button')
    until('figures behind the key', lambda: b.run("return document.querySelectorAll('#figures .figure').length >= 10"))


def served(port):
    return urllib.request.urlopen(f'http://127.0.0.1:{port}/health', timeout=5).status == 200


def main():
    pictures = sys.argv[1] if len(sys.argv) > 1 else None
    if not shutil.which('chromedriver') or not (shutil.which('chromium') or shutil.which('google-chrome')):
        print('SKIP: no chromium with chromedriver here')
        return 77
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        ports = [free_port() for _ in range(3)]
        common = ['--home', folder, '--access-log', 'off', '--log-level', 'error']
        started = [subprocess.Popen([KOE, 'serve', '--port', str(ports[0]), *common]),
                   subprocess.Popen([KOE, 'serve', '--port', str(ports[1]), *common, '--api-key', 'open-sesame']),
                   subprocess.Popen(['chromedriver', f'--port={ports[2]}', '--silent'])]
        try:
            for port in ports[:2]:
                until('the server', lambda: served(port))
            b = Browser(ports[2], folder + '/profile')
            try:
                studio(b, f'http://127.0.0.1:{ports[0]}', pictures)
                dashboard(b, f'http://127.0.0.1:{ports[0]}', pictures)
                complaints = [c for c in b.complaints() if '400 (Bad Request)' not in c] # the empty text
                check(not complaints, f'the browser complains: {complaints}')
                locked(b, f'http://127.0.0.1:{ports[1]}')
            finally:
                b.close()
        finally:
            for p in started:
                p.terminate()
            for p in started:
                p.wait(60)
    print('studio and dashboard work')
    return 0


sys.exit(main())
