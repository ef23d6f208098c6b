// dashboard.js - /metrics and /status every two seconds: figures, how they went in the last minutes, and what was asked for.
'use strict';
const at = id => document.getElementById(id);
const EVERY_MS = 2000, KEPT = 150;
const history = new Map(); // figure -> its last values
let before = null;

// Prometheus' text: name{labels} value -> Map of name to [{labels, value}].
function parse(text) {
  const all = new Map();
  for (const line of text.split('\n')) {
    const m = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!m) continue;
    const labels = {};
    for (const [, name, value] of (m[2] || '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[name] = value.replace(/\\(.)/g, '$1');
    if (!all.has(m[1])) all.set(m[1], []);
    all.get(m[1]).push({ labels, value: +m[3] });
  }
  return all;
}

const sum = (m, name) => (m.get(name) || []).reduce((s, x) => s + x.value, 0);

// A quantile of what a histogram counted between two looks; NaN when nothing was.
function quantile(now, then, name, q) {
  const counted = m => (m && m.get(`${name}_bucket`)) || [], old = new Map(counted(then).map(x => [x.labels.le, x.value]));
  const buckets = counted(now).map(x => ({ le: x.labels.le === '+Inf' ? Infinity : +x.labels.le, n: x.value - (old.get(x.labels.le) || 0) }));
  if (!buckets.length || !buckets[buckets.length - 1].n) return NaN;
  const want = q * buckets[buckets.length - 1].n;
  let low = 0, below = 0;
  for (const b of buckets) {
    if (b.n >= want) return b.le === Infinity ? low : low + (b.le - low) * (want - below) / Math.max(1e-9, b.n - below);
    low = b.le;
    below = b.n;
  }
  return low;
}

const ms = s => Number.isNaN(s) ? '–' : s < 1 ? `${(s * 1000).toFixed(s < 0.01 ? 1 : 0)} ms` : `${s.toFixed(2)} s`;
const bytes = b => b < 1e6 ? `${(b / 1e3).toFixed(0)} kB` : b < 1e9 ? `${(b / 1e6).toFixed(0)} MB` : `${(b / 1e9).toFixed(2)} GB`;
const number = x => x === null || Number.isNaN(x) ? '–' : x.toLocaleString('en', { maximumFractionDigits: x < 10 ? 2 : 0 });
const share = x => Number.isNaN(x) ? '–' : `${(100 * x).toFixed(0)} %`;

function card(parent, id, title) {
  let c = at(id);
  if (!c) {
    c = document.createElement('section');
    c.className = 'card';
    c.id = id;
    c.append(Object.assign(document.createElement('h2'), { textContent: title }));
    at(parent).append(c);
  }
  return c;
}

function figure(id, title, value, shown) {
  const c = card('figures', id, title);
  if (c.children.length === 1) {
    c.append(Object.assign(document.createElement('div'), { className: 'figure' }));
    c.insertAdjacentHTML('beforeend', '<svg viewBox="0 0 100 30" preserveAspectRatio="none" aria-hidden="true"><path/></svg>');
  }
  const kept = history.get(id) || history.set(id, []).get(id);
  kept.push(value);
  if (kept.length > KEPT) kept.shift();
  c.querySelector('.figure').textContent = shown(value);
  const most = Math.max(...kept.filter(x => !Number.isNaN(x)), 1e-9);
  let path = '', pen = 'M';
  kept.forEach((x, i) => {
    if (Number.isNaN(x)) { pen = 'M'; return; }
    path += `${pen}${(100 * (i + KEPT - kept.length) / (KEPT - 1)).toFixed(2)} ${(29 - 28 * x / most).toFixed(2)}`;
    pen = 'L';
  });
  c.querySelector('path').setAttribute('d', path);
}

function table(id, title, rows) {
  if (!rows.length) return at(id)?.remove();
  const c = card('tables', id, title), t = document.createElement('table');
  for (const [name, value] of rows) {
    const row = t.insertRow();
    row.insertCell().textContent = name;
    row.insertCell().textContent = value;
  }
  c.querySelector('table')?.remove();
  c.append(t);
}

const counted = (m, name, label) => (m.get(name) || []).map(x => [x.labels[label], x.value]).sort((a, b) => b[1] - a[1]).slice(0, 12).map(([n, v]) => [n, number(v)]);

function show(status, m, seconds) {
  const then = before, rate = name => then ? Math.max(0, sum(m, name) - sum(then, name)) / seconds : NaN;
  figure('requests', 'Requests a second', rate('koe_requests_total'), number);
  figure('first', 'First byte, median', quantile(m, then, 'koe_time_to_first_byte_seconds', 0.5), ms);
  figure('slow', 'First byte, 95 %', quantile(m, then, 'koe_time_to_first_byte_seconds', 0.95), ms);
  figure('audio', 'Seconds of speech a second', rate('koe_audio_seconds_total'), number);
  figure('factor', 'Real-time factor, median', quantile(m, then, 'koe_real_time_factor', 0.5), number);
  figure('streams', 'Streams', status.queue.streams, number);
  figure('waiting', 'Waiting jobs', status.queue.waiting, number);
  figure('connections', 'Connections', status.connections, number);
  const hits = (m.get('koe_cache_requests_total') || []).filter(x => x.labels.result === 'hit').reduce((s, x) => s + x.value, 0);
  figure('cache', 'Answers from the cache', sum(m, 'koe_cache_requests_total') ? hits / sum(m, 'koe_cache_requests_total') : NaN, share);
  figure('memory', 'Memory', status.machine.resident_bytes, bytes);
  table('by-status', 'By status', counted(m, 'koe_requests_total', 'status'));
  table('by-voice', 'By voice', counted(m, 'koe_speech_requests_total', 'voice'));
  table('by-format', 'By format', counted(m, 'koe_speech_formats_total', 'format'));
  table('refused', 'Refused', counted(m, 'koe_refused_total', 'reason'));
  table('cache-tiers', 'Cache', Object.entries(status.cache).flatMap(([name, x]) => typeof x === 'object' && x
    ? Object.entries(x).map(([k, v]) => [`${name}, ${k}`, k === 'bytes' ? bytes(v) : number(v)]) : [[name.replaceAll('_', ' '), number(x)]]));
  table('machine', 'Machine', [['koe', status.version], ['up', `${(status.uptime_seconds / 3600).toFixed(2)} h`], ['processor', status.machine.processor],
    ['cores', status.machine.cores], ['speech made', ms(status.audio_seconds)], ...Object.entries(status.voices).map(([k, v]) => [`${k} voices`, number(v)])]);
  at('server').textContent = status.draining ? 'draining' : 'running';
}

function problem(text) {
  at('problem').hidden = !text;
  at('problem').textContent = text || '';
}

async function look() {
  const key = sessionStorage.getItem('key'), headers = key ? { Authorization: `Bearer ${key}` } : {};
  try {
    const [status, metrics] = await Promise.all(['status', 'metrics'].map(path => fetch(path, { headers, cache: 'no-store' })));
    if (status.status === 401 || status.status === 403) {
      at('ask').hidden = false;
      throw new Error('the server asks for an API key');
    }
    if (!status.ok || !metrics.ok) throw new Error(`the server says ${status.status}`);
    const m = parse(await metrics.text());
    at('ask').hidden = true;
    problem();
    show(await status.json(), m, EVERY_MS / 1000);
    before = m;
  } catch (e) {
    problem(e instanceof TypeError ? 'the server does not answer' : e.message);
  }
  setTimeout(look, EVERY_MS);
}

at('ask').addEventListener('submit', e => { e.preventDefault(); sessionStorage.setItem('key', at('key').value.trim()); });
look();
