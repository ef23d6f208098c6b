#!/usr/bin/env python3
"""What a lower precision costs: distance of koe's bf16 and int8 results to its own float32, for every model case at hand.

    bench/quality.py [--precision bf16,int8] [--groups] [--json]

For each case: waveform SNR in dB (kokoro-har and Piper with zero noise: no randomness and no phase unwrapping between the two), log-mel
distance in dB (mean absolute difference of 80-band log-mel spectra, floor -80 dB under the loudest), and how many durations differ.
The gate that `--precision auto` keeps to is written in docs/speed.md. Needs $KOE_SHARED as bench/run.py does.
"""
import argparse, json, pathlib, subprocess, sys, tempfile
import numpy as np
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from run import ROOT, SHARED, feeds, fill

CASES = [("kokoro-har", "kokoro-cases/short"), ("kokoro-har", "kokoro-cases/medium"), ("kokoro", "kokoro-cases/medium"), ("kokoro", "kokoro-cases/long"),
         ("piper-medium", "piper-cases/medium/short"), ("piper-medium", "piper-cases/medium/medium"),
         ("piper-medium", "piper-cases/medium/long"), ("piper-x_low", "piper-cases/x_low/medium"),
         ("piper-medium-multi", "piper-cases/medium-multi/*")]

# Layers by name, for --groups: only they are computed in the low precision, all others in float32. Nodes that durations or the phase depend on
# stay float32 in any case.
GROUPS = {
    "kokoro": [("ALBERT", "^/bert"), ("text encoder", "^/text_encoder/cnn"), ("decoder, encode", "^/decoder/(encode|asr_res|F0_conv|N_conv)"),
               ("decoder, decode", r"^/decoder/decode\."), ("noise_res", "^/decoder/generator/noise"),
               ("upsampling", r"^/decoder/generator/ups\."), ("generator stage 1", r"^/decoder/generator/resblocks\.[0-2]/"),
               ("generator stage 2", r"^/decoder/generator/resblocks\.[3-5]/"), ("conv_post", "^/decoder/generator/conv_post")],
    "piper": [("text encoder", "^/enc_p"), ("duration", "^/dp"), ("flow", "^/flow"), ("upsampling", r"^/dec/(conv_pre|ups\.)"),
              ("resblocks stage 1", r"^/dec/resblocks\.[0-2]/"), ("resblocks stage 2", r"^/dec/resblocks\.[3-5]/"),
              ("resblocks stage 3", r"^/dec/resblocks\.[6-8]/"), ("conv_post", "^/dec/conv_post")],
}
GROUP_CASES = [("kokoro-har", "kokoro-cases/short"), ("piper-medium", "piper-cases/medium/short")]


def mel(x, rate, n_fft=1024, hop=256, bands=80):
    x = np.pad(x.ravel(), n_fft)
    frames = np.lib.stride_tricks.sliding_window_view(x, n_fft)[::hop] * np.hanning(n_fft)
    power = np.abs(np.fft.rfft(frames)) ** 2
    to_mel, hz = (lambda f: 2595 * np.log10(1 + f / 700)), np.linspace(0, rate / 2, n_fft // 2 + 1)
    edges = np.linspace(0, to_mel(rate / 2), bands + 2)
    m = to_mel(hz)
    filters = np.maximum(0, np.minimum((m - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None],
                                       (edges[2:, None] - m) / (edges[2:] - edges[1:-1])[:, None]))
    energy = power @ filters.T
    return 10 * np.log10(np.maximum(energy, energy.max() * 1e-8))


def outputs(model, folder, precision, only=None):
    words = feeds(model, folder)
    if model == "kokoro-har":
        words += ["--in", f"har={folder / 'har.npy'}"]
    with tempfile.TemporaryDirectory() as out:
        command = [ROOT / "build/koe", "model", "run", fill(model), *words, "--noise", "zero", "--precision", precision, "--out", out]
        command += ["--precision-only", only] if only else []
        p = subprocess.run([str(w) for w in command], capture_output=True, text=True)
        if p.returncode:
            raise SystemExit(p.stderr)
        return {f.stem: np.load(f) for f in pathlib.Path(out).iterdir()}


def compare(model, case, precision, group, want, got):
    name = "waveform" if "waveform" in want else "output"
    x, y = want[name].astype(float).ravel(), got[name].astype(float).ravel()
    same = x.size == y.size
    noise = np.sum((x - y) ** 2) if same else np.inf
    rate = 24000 if model.startswith("kokoro") else 16000 if "x_low" in model else 22050
    return {"model": model, "case": case, "precision": precision, "group": group,
            "snr_db": round(10 * np.log10(np.sum(x * x) / noise), 1) if noise > 0 else None,
            "log_mel_db": round(float(np.mean(np.abs(mel(x, rate) - mel(y, rate)))), 3) if same else None,
            "durations_changed": int(np.sum(want["duration"] != got["duration"])) if "duration" in want else int(not same)}


def main():
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("--precision", default="bf16,int8")
    parse.add_argument("--groups", action="store_true", help="one group of layers at a time, on two cases")
    parse.add_argument("--json", action="store_true")
    a = parse.parse_args()
    if not (SHARED / "models").is_dir():
        print(f"quality: no models: {SHARED} is missing (set KOE_SHARED)")
        return
    rows = []
    for model, pattern in GROUP_CASES if a.groups else CASES:
        groups = GROUPS[model.split("-")[0]] if a.groups else [("all", None)]
        for folder in sorted((SHARED / "models").glob(pattern)):
            want = outputs(model, folder, "f32")
            for precision in a.precision.split(","):
                for group, only in groups:
                    r = compare(model, folder.name, precision, group, want, outputs(model, folder, precision, only))
                    rows.append(r)
                    if not a.json:
                        snr = "same samples" if r["snr_db"] is None else f"SNR {r['snr_db']} dB"
                        print(f"{r['model']:19} {r['case']:8} {r['precision']:5} {r['group']:18} {snr}, log-mel {r['log_mel_db']} dB, "
                              f"{r['durations_changed']} durations changed", flush=True)
    if a.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
