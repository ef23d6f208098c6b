// ort.mjs - runs a model with ONNX Runtime, the peer that koe's speed and results are compared with.
//   node ort.mjs MODEL.onnx --in NAME=FILE.npy ... [--threads N] [--runs N] [--out DIR] [--unoptimised]
// Prints one JSON object with the keys of `koe model bench`. With --out, writes DIR/OUTPUT.npy ('/' becomes '_').
import fs from 'node:fs';
import { createRequire } from 'node:module';
const ort = createRequire(import.meta.url)('onnxruntime-node');

const TYPES = {
  '<f4': ['float32', Float32Array], '<i8': ['int64', BigInt64Array], '<i4': ['int32', Int32Array], '<f8': ['float64', Float64Array],
  '|i1': ['int8', Int8Array], '|u1': ['uint8', Uint8Array], '|b1': ['bool', Uint8Array], '<f2': ['float16', Uint16Array],
};

function readNpy(path) {
  const b = fs.readFileSync(path), v1 = b[6] === 1, n = v1 ? b.readUInt16LE(8) : b.readUInt32LE(8), at = (v1 ? 10 : 12) + n;
  const header = b.toString('latin1', v1 ? 10 : 12, at);
  const descr = /'descr':\s*'([^']+)'/.exec(header)[1], shape = /'shape':\s*\(([^)]*)\)/.exec(header)[1];
  const [type, Array] = TYPES[descr];
  const dims = shape.split(',').map(s => s.trim()).filter(Boolean).map(Number);
  const bytes = b.buffer.slice(b.byteOffset + at, b.byteOffset + b.length);
  return new ort.Tensor(type, new Array(bytes), dims);
}

function writeNpy(path, t) {
  const descr = Object.keys(TYPES).find(k => TYPES[k][0] === t.type);
  const shape = t.dims.length === 1 ? `${t.dims[0]},` : t.dims.join(', ');
  let header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape}), }`;
  header = header.padEnd(Math.ceil((header.length + 11) / 64) * 64 - 11) + '\n';
  const head = Buffer.alloc(10 + header.length);
  head.write('\x93NUMPY\x01\x00', 'latin1');
  head.writeUInt16LE(header.length, 8);
  head.write(header, 10, 'latin1');
  fs.writeFileSync(path, Buffer.concat([head, Buffer.from(t.data.buffer, t.data.byteOffset, t.data.byteLength)]));
}

const args = process.argv.slice(2), feeds = {};
let model, threads = 1, runs = 5, out, graphOptimizationLevel = 'all';
for (let i = 0; i < args.length; i++) {
  if (args[i] === '--in') {
    const [name, ...file] = args[++i].split('=');
    feeds[name] = readNpy(file.join('='));
  } else if (args[i] === '--threads') threads = Number(args[++i]);
  else if (args[i] === '--runs') runs = Number(args[++i]);
  else if (args[i] === '--out') out = args[++i];
  else if (args[i] === '--unoptimised') graphOptimizationLevel = 'disabled'; // every operator by itself, as the file has it
  else model = args[i];
}
const now = () => Number(process.hrtime.bigint()) / 1e6;
let t = now();
const session = await ort.InferenceSession.create(model, { intraOpNumThreads: threads, interOpNumThreads: 1, logSeverityLevel: 3,
  graphOptimizationLevel });
const load_ms = now() - t;
t = now();
let result = await session.run(feeds);
const first_ms = now() - t, times = [];
for (let i = 0; i < runs; i++) {
  t = now();
  result = await session.run(feeds);
  times.push(now() - t);
}
times.sort((a, b) => a - b);
const status = fs.readFileSync('/proc/self/status', 'utf8');
console.log(JSON.stringify({ load_ms, first_ms, median_ms: times[times.length >> 1] ?? first_ms, min_ms: times[0] ?? first_ms,
  max_ms: times.at(-1) ?? first_ms, peak_rss_mb: Number(/VmHWM:\s*(\d+)/.exec(status)[1]) / 1024, threads, precision: 'f32', runs,
  engine: 'onnxruntime ' + ort.env.versions.node }));
if (out) {
  fs.mkdirSync(out, { recursive: true });
  for (const [name, tensor] of Object.entries(result)) writeNpy(`${out}/${name.replaceAll('/', '_')}.npy`, tensor);
}
