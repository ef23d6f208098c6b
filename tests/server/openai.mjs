// The official OpenAI client against koe serve. Skipped (77) where the package is not installed: npm install in tests/server
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

let OpenAI
try {
  OpenAI = createRequire(import.meta.url)('openai').default
} catch {
  console.log('the openai package is not installed')
  process.exit(77)
}

const home = mkdtempSync(join(tmpdir(), 'koe-openai-'))
const options = ['--api-key', 'sesame', '--rate-requests', '60', '--access-log', 'off']
const server = spawn(process.env.KOE_BIN, ['serve', '--port', '0', '--home', home, ...options], { stdio: ['ignore', 'pipe', 'inherit'] })
const port = await new Promise((resolve, reject) => {
  server.stdout.on('data', text => resolve(/:(\d+)\s*$/.exec(String(text))[1]))
  server.on('exit', () => reject(new Error('koe serve did not start')))
})

const client = (apiKey, path = '/v1') => new OpenAI({ apiKey, baseURL: `http://127.0.0.1:${port}${path}`, maxRetries: 0 })
const koe = client('sesame')
const ask = more => ({ model: 'tts-1', voice: 'alloy', input: 'Hello from the client.', ...more })

try {
  for (const response_format of ['mp3', 'opus', 'aac', 'flac', 'wav', 'pcm']) {
    const reply = await koe.audio.speech.create(ask({ response_format }))
    assert.equal(reply.status, 200)
    assert.ok((await reply.arrayBuffer()).byteLength > 1000, response_format)
  }
  // without /v1, and as a stream
  const reply = await client('sesame', '').audio.speech.create(ask({ response_format: 'pcm', input: 'One. Two. Three. '.repeat(20) }))
  let bytes = 0
  for await (const chunk of reply.body) bytes += chunk.length
  assert.ok(bytes > 200000)
  // events
  const events = await koe.audio.speech.create(ask({ response_format: 'pcm', stream_format: 'sse' }))
  const last = (await events.text()).trim().split('\n\n').at(-1)
  assert.equal(JSON.parse(last.slice('data: '.length)).type, 'speech.audio.done')
  const ids = (await koe.models.list()).data.map(m => m.id)
  assert.ok(ids.includes('tts-1'))
  assert.equal((await koe.models.retrieve('tts-1')).id, 'tts-1')
  // errors of the right class
  const fails = (more, type, check = {}, who = koe) =>
    assert.rejects(who.audio.speech.create(ask(more)), error => {
      assert.ok(error instanceof type, `${error}`)
      for (const [key, value] of Object.entries(check)) assert.equal(error[key], value)
      return true
    })
  await fails({ voice: 'nobody' }, OpenAI.BadRequestError, { code: 'voice_not_found', param: 'voice' })
  await fails({ speed: 9 }, OpenAI.BadRequestError, { param: 'speed', type: 'invalid_request_error' })
  await fails({ input: '' }, OpenAI.BadRequestError, { param: 'input' })
  await fails({ model: 'whisper-1' }, OpenAI.NotFoundError, { code: 'model_not_found' })
  await fails({}, OpenAI.AuthenticationError, { code: 'invalid_api_key' }, client('wrong'))
  // more than the limit at once: one after the other they might not be faster than it, on a slow machine
  const once = () => koe.audio.speech.create(ask({ response_format: 'pcm' })).then(r => r.arrayBuffer()).then(() => null, error => error)
  const ends = await Promise.all(Array.from({ length: 90 }, once))
  const limited = ends.find(error => error instanceof OpenAI.RateLimitError)
  assert.ok(limited, `${ends}`)
  assert.ok(Number(limited.headers.get('retry-after')) > 0)
  console.log('all right')
} finally {
  server.removeAllListeners('exit')
  const ended = new Promise(resolve => server.on('exit', resolve))
  server.kill('SIGTERM')
  assert.equal(await ended, 0)
  rmSync(home, { recursive: true })
}
