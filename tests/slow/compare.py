#!/usr/bin/python3
"""Compares the outputs of two runs of a speech network, two folders of .npy files, as far as lower precisions can be compared:

    compare.py GOT WANT RATE [--snr DB] [--mel DB] [--peak FRACTION] [--moved FRAMES]

The waveform's signal-to-noise ratio must be at least --snr, its log-mel distance (as in bench/quality.py) at most --mel, its largest
difference at most --peak of the peak, and no predicted duration may be further than --moved from the other. Prints one line; the exit
status is 1 when a bound is broken.
"""
import argparse
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
from quality import mel

parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parse.add_argument("got", type=pathlib.Path)
parse.add_argument("want", type=pathlib.Path)
parse.add_argument("rate", type=int)
parse.add_argument("--snr", type=float, default=-np.inf)
parse.add_argument("--mel", type=float, default=np.inf)
parse.add_argument("--peak", type=float, default=np.inf)
parse.add_argument("--moved", type=float, default=np.inf)
a = parse.parse_args()
got, want = ({f.stem: np.load(f) for f in folder.iterdir()} for folder in (a.got, a.want))
name = "waveform" if "waveform" in want else "output"
x, y = want[name].astype(float).ravel(), got[name].astype(float).ravel()
if x.size != y.size:
    raise SystemExit(f"FAILED: {y.size} samples for {x.size}")
moved = np.abs(got["predicted"] - want["predicted"]).ravel()
noise, peak = np.sum((x - y) ** 2), np.max(np.abs(x - y)) / np.max(np.abs(x))
snr = 10 * np.log10(np.sum(x * x) / noise) if noise > 0 else np.inf
distance = np.mean(np.abs(mel(x, a.rate) - mel(y, a.rate)))
bad = not (snr >= a.snr and distance <= a.mel and peak <= a.peak and moved.max() <= a.moved)
print(f"{'FAILED' if bad else 'ok'}: SNR {snr:.1f} dB, log-mel {distance:.3f} dB, largest difference {peak:.1e} of peak; {np.sum(moved > 0)} of "
      f"{moved.size} predicted durations differ, by {moved.max():g} at most")
sys.exit(bad)
