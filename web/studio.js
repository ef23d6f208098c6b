// studio.js - speaks what is written: sound is played while it arrives, and the word being said is marked in the text.
'use strict';
const at = id => document.getElementById(id);
const RATE = 24000; // of pcm
let abort = null; // of the request in work
let player = null;

function headers() {
  const key = at('key').value.trim();
  return { 'Content-Type': 'application/json', ...(key && { Authorization: `Bearer ${key}` }) };
}

async function failure(answer) {
  try { return (await answer.json()).error.message; } catch { return `the server says ${answer.status}`; }
}

function voice() {
  const share = +at('share').value, second = at('second').value;
  return second ? `${at('voice').value}(${share / 100})+${second}(${(100 - share) / 100})` : at('voice').value;
}

function request(format) {
  const body = { model: 'kokoro', input: at('text').value, voice: voice(), response_format: format, speed: +at('speed').value };
  const chosen = at('voice').selectedOptions[0];
  if (chosen && chosen.dataset.engine !== 'kokoro') delete body.model;
  if (at('lang').value) body.lang = at('lang').value;
  if (at('ssml').checked) body.ssml = true;
  if (!at('normalize').checked) body.normalize = false;
  return body;
}

// Plays 16-bit sound as it comes, one piece after the other.
class Player {
  constructor() {
    this.audio = new AudioContext({ sampleRate: RATE });
    this.pieces = [];
    this.start = 0; // on the audio clock, of the first sample
    this.end = 0;
  }
  add(bytes) {
    const samples = new Int16Array(bytes.buffer, 0, bytes.length >> 1);
    if (!samples.length) return;
    const buffer = this.audio.createBuffer(1, samples.length, RATE), channel = buffer.getChannelData(0);
    for (let i = 0; i < samples.length; i++) channel[i] = samples[i] / 32768;
    const node = this.audio.createBufferSource();
    node.buffer = buffer;
    node.connect(this.audio.destination);
    const now = this.audio.currentTime + 0.02;
    if (!this.pieces.length) this.start = this.end = now;
    if (this.end < now) { this.start += now - this.end; this.end = now; } // it came too late: what follows is later by as much
    node.start(this.end);
    this.end += buffer.duration;
    this.pieces.push(node);
  }
  get time() { return this.audio.currentTime - this.start; }
  get length() { return this.end - this.start; }
  stop() { this.audio.close(); }
}

function bytesOf(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length + (text.length & 1));
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

async function* lines(stream) {
  const decoder = new TextDecoder(), reader = stream.getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
    const whole = rest.split('\n');
    rest = done ? '' : whole.pop();
    yield* whole.filter(line => line.trim());
    if (done) return;
  }
}

// The text, cut where words are said; offsets count characters, not UTF-16 units.
function showText(text, words) {
  const read = at('read'), characters = Array.from(text);
  read.textContent = '';
  let from = 0;
  for (const word of words) {
    const n = Array.from(word.word).length;
    if (word.offset < from) continue;
    read.append(characters.slice(from, word.offset).join(''));
    word.node = document.createElement('span');
    word.node.textContent = characters.slice(word.offset, word.offset + n).join('');
    read.append(word.node);
    from = word.offset + n;
  }
  read.append(characters.slice(from).join(''));
}

function follow(words, mine) {
  let marked = null;
  const step = () => {
    if (mine !== player) return;
    const word = words.find(w => w.node && mine.time >= w.start_time && mine.time < w.end_time);
    if (word && word !== marked) {
      if (marked) marked.node.replaceChildren(marked.node.textContent);
      const mark = document.createElement('mark');
      mark.textContent = word.node.textContent;
      word.node.replaceChildren(mark);
      marked = word;
    }
    if (abort || mine.time < mine.length) requestAnimationFrame(step);
    else { if (marked) marked.node.replaceChildren(marked.node.textContent); at('stop').disabled = true; }
  };
  requestAnimationFrame(step);
}

function state(text, bad) {
  at('state').textContent = text;
  at('state').classList.toggle('bad', !!bad);
}

function stop() {
  if (abort) abort.abort();
  if (player) player.stop();
  abort = player = null;
  at('stop').disabled = true;
}

async function speak() {
  stop();
  const mine = player = new Player(), text = at('text').value, words = [], began = performance.now();
  abort = new AbortController();
  at('stop').disabled = false;
  state('…');
  showText(text, words);
  try {
    const answer = await fetch('dev/captioned_speech', { method: 'POST', headers: headers(), signal: abort.signal, body: JSON.stringify({ ...request('pcm'), stream: true }) });
    if (!answer.ok) throw new Error(await failure(answer));
    let first = 0;
    for await (const line of lines(answer.body)) {
      const piece = JSON.parse(line);
      if (piece.error) throw new Error(piece.error.message);
      if (!first) { first = performance.now() - began; follow(words, mine); }
      mine.add(bytesOf(piece.audio));
      words.push(...piece.timestamps);
      showText(text, words);
    }
    const all = performance.now() - began, warning = answer.headers.get('X-Koe-Warning');
    state(`${mine.length.toFixed(1)} s of speech by ${answer.headers.get('X-Koe-Engine') || 'koe'}; first sound after ${first.toFixed(0)} ms, all after ` +
          `${(all / 1000).toFixed(2)} s; cache: ${answer.headers.get('X-Koe-Cache') || '-'}${warning ? `; ${warning}` : ''}`);
    document.body.dataset.spoken = mine.length.toFixed(2);
  } catch (e) {
    if (e.name !== 'AbortError') { state(e.message, true); stop(); }
  }
  if (mine === player) abort = null;
}

async function keep() {
  const format = at('format').value, text = at('text').value;
  state('…');
  const answer = await fetch('v1/audio/speech', { method: 'POST', headers: headers(), body: JSON.stringify({ ...request(format), stream: false }) });
  if (!answer.ok) return state(await failure(answer), true);
  const blob = await answer.blob(), url = URL.createObjectURL(blob);
  const item = document.createElement('li'), link = document.createElement('a'), sound = document.createElement('audio');
  link.href = url;
  link.download = `speech.${format}`;
  link.textContent = `${voice()}, ${format}, ${(blob.size / 1000).toFixed(0)} kB: ${text.slice(0, 80)}`;
  sound.controls = true;
  sound.src = url;
  item.append(link, sound);
  at('history').prepend(item);
  link.click();
  state('');
}

async function phonemes() {
  const chosen = at('voice').selectedOptions[0], language = at('lang').value || (chosen && chosen.dataset.language) || 'en-us';
  const answer = await fetch('dev/phonemize', { method: 'POST', headers: headers(), body: JSON.stringify({ text: at('text').value.slice(0, 5000), language }) });
  if (!answer.ok) return state(await failure(answer), true);
  at('sounds').textContent = (await answer.json()).phonemes;
  at('sounds').hidden = false;
}

function changed() {
  at('count').textContent = `${Array.from(at('text').value).length} characters`;
  at('speed-shown').value = (+at('speed').value).toFixed(2);
  at('share-shown').value = `${at('share').value} %`;
  at('share').disabled = !at('second').value;
  const shown = request(at('format').value);
  if (shown.input.length > 200) shown.input = shown.input.slice(0, 200) + '…';
  const key = at('key').value ? " -H 'Authorization: Bearer …'" : '';
  at('curl').textContent = `curl ${new URL('v1/audio/speech', location)}${key} -H 'Content-Type: application/json' -o speech.${at('format').value} \\\n  -d '` +
    JSON.stringify(shown).replaceAll("'", "'\\''") + "'";
}

async function start() {
  const { voices } = await (await fetch('v1/audio/voices')).json(), groups = new Map();
  for (const v of voices) {
    const group = v.engine === 'builtin' ? 'built in' : v.language || 'blends';
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(v);
  }
  for (const [name, list] of [...groups].sort((a, b) => (a[0] === 'built in') - (b[0] === 'built in'))) {
    for (const select of [at('voice'), at('second')]) {
      const group = document.createElement('optgroup');
      group.label = name;
      for (const v of list) {
        if (select === at('second') && v.engine !== 'kokoro') continue;
        const option = new Option(v.grade ? `${v.name} (${v.grade})` : v.name, v.id);
        option.dataset.engine = v.engine;
        option.dataset.language = v.language;
        group.append(option);
      }
      if (group.children.length) select.append(group);
    }
  }
  for (const language of [...new Set(voices.map(v => v.language))].filter(Boolean).sort()) at('lang').append(new Option(language, language));
  const last = sessionStorage.getItem('voice');
  if (last && voices.some(v => v.id === last)) at('voice').value = last;
  at('key').value = sessionStorage.getItem('key') || '';
  at('server').textContent = `${voices.length} voices`;
  changed();
  document.body.dataset.ready = 'yes';
}

at('form').addEventListener('submit', e => { e.preventDefault(); speak(); });
at('stop').addEventListener('click', stop);
at('keep').addEventListener('click', () => keep().catch(e => state(e.message, true)));
at('phonemes').addEventListener('click', () => phonemes().catch(e => state(e.message, true)));
at('form').addEventListener('input', () => {
  sessionStorage.setItem('voice', at('voice').value);
  sessionStorage.setItem('key', at('key').value);
  changed();
});
start().catch(e => state(e.message, true));
