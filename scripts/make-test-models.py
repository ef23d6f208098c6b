#!/usr/bin/python3
"""Writes tests/data/models: small networks of the Kokoro and Piper kind, with inputs and expected outputs.

    scripts/make-test-models.py                      the models, their configurations and inputs
    scripts/make-test-models.py --expect FOLDER      the expected outputs too; FOLDER/node_modules has onnxruntime-node
                                                     (npm install --ignore-scripts onnxruntime-node)

Needs Debian's python3-numpy, nothing else: scripts/test_models/writer.py writes the protobuf. The networks (kokoro.py, piper.py) are our own
writing of the published architectures, node by node as PyTorch's exporter spells them, with tiny sizes and weights seeded by their names;
a run on another machine gives the same files. The outputs are ONNX Runtime's, on the CPU, with zero noise.

    kokoro-tiny            input_ids, style, int32 speed -> waveform, duration
    kokoro-v0-tiny         the older export: tokens, float speed, waveform only
    kokoro-har-tiny        the harmonic spectrogram as an input: no random nodes
    kokoro-har-tiny-fp16   float16 weights and arithmetic        kokoro-har-tiny-int8   ONNX Runtime's dynamic quantisation
    piper-tiny, piper-multi-tiny (speaker input), piper-tiny-fp16, piper-tiny-int8

Each has case_K/input_NAME.npy and output_NAME.npy. Tests read them; nothing is generated when koe is built.
"""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_models import convert, kokoro, piper, writer

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "data", "models")
KOKORO_META = {"koe-test": "kokoro"}

# Reads a list of {model, inputs: {name: {type, dims, file}}, outputs: prefix} and writes prefix + NAME + .json and .bin.
RUNNER = """
const ort = require('onnxruntime-node'), fs = require('fs');
const arrays = {float32: Float32Array, int32: Int32Array, int64: BigInt64Array};
(async () => {
  for (const job of JSON.parse(fs.readFileSync(process.argv[2]))) {
    const session = await ort.InferenceSession.create(job.model, {logSeverityLevel: 3, intraOpNumThreads: 1});
    const feeds = {};
    for (const [name, i] of Object.entries(job.inputs)) {
      const b = fs.readFileSync(i.file);
      feeds[name] = new ort.Tensor(i.type, new arrays[i.type](b.buffer.slice(b.byteOffset, b.byteOffset + b.length)), i.dims);
    }
    for (const [name, t] of Object.entries(await session.run(feeds))) {
      fs.writeFileSync(job.outputs + name + '.json', JSON.stringify({type: t.type, dims: t.dims}));
      fs.writeFileSync(job.outputs + name + '.bin', Buffer.from(t.data.buffer, t.data.byteOffset, t.data.byteLength));
    }
  }
})().catch(e => { console.error(e); process.exit(1); });
"""


def kokoro_inputs(seed, ids_name, speed, n_token, har_frames=0):
    """The seeds used below give durations that are no closer than 0.1 to a rounding edge."""
    rng = np.random.RandomState(100 + seed)
    ids = np.concatenate([[0], rng.randint(1, kokoro.N_TOKEN, n_token - 2), [0]])
    inputs = {ids_name: ids.astype(np.int64)[None], "style": (rng.standard_normal((1, 256)) * 0.3).astype(np.float32),
              "speed": np.array([speed])}
    if har_frames:
        magnitude = np.abs(rng.standard_normal((1, 11, 120 * har_frames + 1))) * 0.3
        inputs["har"] = np.concatenate([magnitude, rng.uniform(-3, 3, magnitude.shape)], 1).astype(np.float32)
    return inputs


def piper_inputs(case, multi, n):
    rng = np.random.RandomState(200 + case)
    ids = np.zeros(2 * n + 3, np.int64)
    ids[0], ids[-1], ids[2:-1:2] = 1, 2, rng.randint(3, len(piper.SYMBOLS), n)
    inputs = {"input": ids[None], "input_lengths": np.array([len(ids)]), "scales": np.array([0, 1, 0], np.float32)}
    if multi:
        inputs["sid"] = np.array([case + 1])
    return inputs


def save(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def expect(jobs, modules, work):
    """Runs ONNX Runtime over (model bytes, inputs, folder) and stores what it puts out."""
    listing = []
    for k, (data, inputs, folder) in enumerate(jobs):
        base = os.path.join(work, f"job{k}_")
        save(base + "model.onnx", data)
        entry = {"model": base + "model.onnx", "inputs": {}, "outputs": base + "out_"}
        for name, a in inputs.items():
            save(base + name, a.tobytes())
            entry["inputs"][name] = {"type": str(a.dtype), "dims": list(a.shape), "file": base + name}
        listing.append(entry)
    save(os.path.join(work, "jobs.json"), json.dumps(listing).encode())
    save(os.path.join(work, "run.js"), RUNNER.encode())
    env = dict(os.environ, NODE_PATH=os.path.join(os.path.abspath(modules), "node_modules"))
    subprocess.run(["node", os.path.join(work, "run.js"), os.path.join(work, "jobs.json")], check=True, env=env)
    for k, (_, _, folder) in enumerate(jobs):
        for f in sorted(os.listdir(work)):
            if f.startswith(f"job{k}_out_") and f.endswith(".json"):
                name = f[len(f"job{k}_out_") : -len(".json")]
                meta = json.load(open(os.path.join(work, f)))
                a = np.fromfile(os.path.join(work, f[:-5] + ".bin"), meta["type"]).reshape(meta["dims"])
                np.save(os.path.join(folder, f"output_{name}.npy"), a)
                print(f"{folder[len(ROOT) + 1:]}: {name} {a.dtype}{list(a.shape)}, peak {np.abs(a).max():.4g}")


def main():
    har = {"takes_har": True}
    old = {"ids": "tokens", "speed_type": "float32", "has_duration": False}
    same = lambda g: g
    short = kokoro_inputs(0, "input_ids", np.int32(2), 3, 4)  # 4 frames: the sum of its durations
    table = [  # name, network, conversion, cases
        ("kokoro-tiny", lambda: kokoro.build("kokoro"), same,
         [kokoro_inputs(0, "input_ids", np.int32(1), 3), kokoro_inputs(5, "input_ids", np.int32(1), 6)]),
        ("kokoro-v0-tiny", lambda: kokoro.build("kokoro-v0", **old), same, [kokoro_inputs(0, "tokens", np.float32(2), 3)]),
        ("kokoro-har-tiny", lambda: kokoro.build("kokoro-har", **har), same, [short]),
        ("kokoro-har-tiny-fp16", lambda: kokoro.build("kokoro-har", **har), convert.to_half, [short]),
        ("kokoro-har-tiny-int8", lambda: kokoro.build("kokoro-har", **har), convert.to_dynamic_int8, [short]),
        ("piper-tiny", lambda: piper.build("piper"), same, [piper_inputs(k, False, n) for k, n in enumerate((3, 8))]),
        ("piper-multi-tiny", lambda: piper.build("piper-multi", True), same, [piper_inputs(k, True, 4) for k in range(2)]),
        ("piper-tiny-fp16", lambda: piper.build("piper"), convert.to_half, [piper_inputs(0, False, 3)]),
        ("piper-tiny-int8", lambda: piper.build("piper"), convert.to_dynamic_int8, [piper_inputs(0, False, 3)]),
    ]
    jobs = []
    for name, build, conversion, cases in table:
        is_piper = name.startswith("piper")
        opset = 15 if is_piper else 17
        data = writer.model(conversion(build()), opset)
        silent = data if is_piper else writer.model(convert.without_noise(conversion(build())), opset)
        save(os.path.join(ROOT, f"{name}.onnx"), data)
        print(f"{name}.onnx: {len(data)} bytes")
        if is_piper:
            text = json.dumps(piper.config("multi" in name), indent=1, ensure_ascii=False)
            save(os.path.join(ROOT, f"{name}.onnx.json"), text.encode() + b"\n")
        for k, inputs in enumerate(cases):
            folder = os.path.join(ROOT, name, f"case_{k}")
            os.makedirs(folder, exist_ok=True)
            for i, a in inputs.items():
                np.save(os.path.join(folder, f"input_{i}.npy"), a)
            jobs.append((silent, inputs, folder))
    if len(sys.argv) == 3 and sys.argv[1] == "--expect":
        with tempfile.TemporaryDirectory() as work:
            expect(jobs, sys.argv[2], work)


if __name__ == "__main__":
    main()
