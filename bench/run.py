#!/usr/bin/env python3
"""Times koe and ONNX Runtime on the same model, inputs and thread counts, alternately, in one run; prints one table.

    bench/run.py [--json] [--rounds N] [--runs N] [--threads 1,2] [--precision f32,bf16,int8] [--only WORD]

Needs the model graphs and cases of $KOE_SHARED (default: shared/ beside the project), which are filled into build/models once (Debian's
python3-onnx, python3-numpy), and node with onnxruntime-node in bench/peer (npm install --ignore-scripts there; without it koe is timed
alone). kokoro-int8 is Kokoro as a file with dynamic quantisation (tests/slow/convert.py), its durations
given so that both speak as long. "at once": how much more two runs side by side on one thread each get done than one.

Every number is the median over the rounds of a process's own median, so that a slow moment of the machine hits both sides; the
spread is (largest - smallest) / median. koe starts from the packed file, as the engine does; KOE_PACK=off measures its load without one, and the
memory of weights that are packed at every start. Run it on a quiet machine.
"""
import argparse, json, os, pathlib, statistics, subprocess, sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED = pathlib.Path(os.environ.get("KOE_SHARED") or ROOT.parent / "shared")
MODELS = ROOT / "build" / "models"

# model, case folder, output seconds by (samples, rate) of the case
CASES = [
    ("kokoro", "kokoro-cases/short"), ("kokoro", "kokoro-cases/medium"), ("kokoro", "kokoro-cases/long"),
    ("piper-medium", "piper-cases/medium/medium"), ("piper-medium", "piper-cases/medium/long"),
    ("kokoro-int8", "kokoro-cases/medium"),
]


def seconds(model, folder):
    import numpy as np
    if model.startswith("kokoro"):
        return float(np.load(folder / "duration.npy").sum()) * 600 / 24000
    return np.load(folder / "output.npy").size / 22050


def fill(model):
    out = MODELS / f"{model}.onnx"
    if not out.exists() and model.endswith("-int8"):
        subprocess.run([sys.executable, ROOT / "tests/slow/convert.py", "int8", fill(model.removesuffix("-int8")), out], check=True)
    elif not out.exists():
        MODELS.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, SHARED / "models/fill.py", SHARED / f"models/{model}.graph.onnx", out], check=True)
    return out


def feeds(model, folder):
    names = ["input_ids", "style", "speed"] if model.startswith("kokoro") else ["input", "input_lengths", "scales", "sid"]
    words = []
    for name in names:
        if (folder / f"{name}.npy").exists():
            words += ["--in", f"{name}={folder / name}.npy"]
    if model.endswith("-int8"):
        import numpy as np
        durations = MODELS / f"durations-{folder.name}.npy"
        np.save(durations, np.load(folder / "duration.npy").astype(np.float32))
        words += ["--in", f"durations={durations}"]
    return words


def run(words):
    p = subprocess.run([str(w) for w in words], capture_output=True, text=True)
    if p.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, words))}\n{p.stderr}")
    return json.loads(p.stdout.strip().splitlines()[-1])


def at_once(model, folder, precision, a):
    """Two runs at once against one, a thread each: the row."""
    got = [run([ROOT / "build/koe", "model", "bench", fill(model), "--precision", precision, *feeds(model, folder), "--threads", 1, "--runs", a.runs,
                "--pack", "--at-once", 2]) for _ in range(a.rounds)]
    throughput = sorted(r["throughput"] for r in got)
    row = {"model": model, "case": folder.name, "threads": 1, "engine": f"koe {precision}", "at_once": 2,
           "throughput": round(statistics.median(throughput), 2), "spread": round(throughput[-1] - throughput[0], 2),
           "machine": round(statistics.median(r["machine_throughput"] for r in got), 2)}
    if not a.json:
        print(f"{model:13} {folder.name:7} two at once, koe {precision}: {row['throughput']:.2f} times the work of one "
              f"(spread {row['spread']:.2f}); multiply-adds alone {row['machine']:.2f}", flush=True)
    return row


def main():
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("--json", action="store_true")
    parse.add_argument("--rounds", type=int, default=3)
    parse.add_argument("--runs", type=int, default=3)
    parse.add_argument("--threads", default="1,2")
    parse.add_argument("--precision", default="f32,bf16,int8")
    parse.add_argument("--only", default="")
    a = parse.parse_args()
    if not (SHARED / "models").is_dir():
        print(f"bench: no models: {SHARED} is missing (set KOE_SHARED)")
        return
    peer = (ROOT / "bench/peer/node_modules/onnxruntime-node").exists()
    if not peer:
        print("bench: without ONNX Runtime: run `npm install --ignore-scripts` in bench/peer to measure it too", file=sys.stderr)
    rows = []
    for model, case in CASES:
        folder = SHARED / "models" / case
        if a.only not in f"{model} {case}":
            continue
        onnx, audio = fill(model), seconds(model, folder)
        for threads in a.threads.split(","):
            sides = {}
            if peer:
                sides["onnxruntime"] = ["node", ROOT / "bench/peer/ort.mjs", onnx]
            for precision in a.precision.split(","):
                sides[f"koe {precision}"] = [ROOT / "build/koe", "model", "bench", onnx, "--pack", "--precision", precision]
            got = {side: [] for side in sides}
            for _ in range(a.rounds):
                for side, words in sides.items():
                    got[side].append(run(words + feeds(model, folder) + ["--threads", threads, "--runs", a.runs]))
            base = statistics.median(r["median_ms"] for r in got["onnxruntime"]) if peer else None
            for side, results in got.items():
                times = [r["median_ms"] for r in results]
                mid = statistics.median(times)
                rows.append({
                    "model": model, "case": os.path.basename(case), "audio_s": round(audio, 3), "threads": int(threads), "engine": side,
                    "median_ms": round(mid, 1), "spread": round((max(times) - min(times)) / mid, 3), "rtf": round(mid / 1000 / audio, 4),
                    "ratio": round(base / mid, 2) if base else None,
                    "load_ms": round(statistics.median(r["load_ms"] for r in results), 1),
                    "first_ms": round(statistics.median(r["first_ms"] for r in results), 1),
                    "peak_rss_mb": round(max(r["peak_rss_mb"] for r in results), 0)})
                if not a.json:
                    if len(rows) == 1:
                        print(f"{'model':13} {'case':7} {'audio':>6} {'thr':>3} {'engine':16} {'median':>9} {'spread':>6} {'RTF':>7} "
                              f"{'ratio':>6} {'load':>8} {'first':>9} {'peak RSS':>9}")
                    r = rows[-1]
                    print(f"{r['model']:13} {r['case']:7} {r['audio_s']:5.1f}s {r['threads']:3} {r['engine']:16} {r['median_ms']:7.0f}ms "
                          f"{100 * r['spread']:5.0f}% {r['rtf']:7.4f} {r['ratio'] or '':>6} {r['load_ms']:6.0f}ms {r['first_ms']:7.0f}ms "
                          f"{r['peak_rss_mb']:6.0f} MB", flush=True)
        if os.cpu_count() > 1 and "1" in a.threads.split(","):
            rows += [at_once(model, folder, precision, a) for precision in a.precision.split(",")]
    if a.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
