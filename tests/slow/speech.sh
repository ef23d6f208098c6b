#!/bin/sh
# Long texts through the full-size Kokoro (seeded weights, so it speaks noise) and Piper: `koe say` finishes in bounded memory, every word
# of the text has a time, and the times fit the audio to the sample. Skips (77) where the models are not at hand.
#     KOE_BIN=build/koe KOE_SHARED=../shared tests/slow/speech.sh [FOLDER for the filled models; default build/models]
set -u
# shellcheck source-path=SCRIPTDIR source=networks.sh
. "$(dirname "$0")/networks.sh"
[ -d "$shared/texts" ] || { echo "skipped: there is no $shared/texts"; exit 77; }
home=$(mktemp -d) || exit 1
trap 'rm -rf "$home"' EXIT
mkdir "$home/kokoro" "$home/piper"
for model in kokoro piper-medium; do
  fill $model || exit 1
done
ln -s "$cache/kokoro.onnx" "$home/kokoro/model.onnx"
ln -s "$shared/kokoro/config.json" "$shared/kokoro/voices" "$home/kokoro"
ln -s "$cache/piper-medium.onnx" "$home/piper/medium.onnx"
ln -s "$shared/models/piper-medium.onnx.json" "$home/piper/medium.onnx.json"
KOE_HOME=$home /usr/bin/python3 - "$KOE_BIN" "$home" "$shared"/texts/*.txt <<'EOF'
import json, resource, subprocess, sys, wave

koe, home, texts = sys.argv[1], sys.argv[2], [t for t in sys.argv[3:]]
failed = False
for text in texts:
    data = open(text, "rb").read()
    for voice in "medium", "af_heart+bm_george(2)":
        subprocess.run([koe, "say", "-v", voice, "-o", home + "/x.wav", "--timings", home + "/x.json", text], check=True)
        w, t = wave.open(home + "/x.wav"), json.load(open(home + "/x.json"))
        words, n, rate = t["words"], w.getnframes(), w.getframerate()
        covered = bytearray(len(data))
        for x in words:
            covered[x["at"]:x["at"] + x["bytes"]] = b"\1" * x["bytes"]
        left = [i for i, b in enumerate(data) if not chr(b).isspace() and not covered[i]]
        samples = memoryview(w.readframes(n)).cast("h")
        bad = []
        if t["samples"] != n or abs(t["duration"] - n / rate) > 1e-6: bad.append(f"{t['samples']} samples in the timings, {n} in the file")
        if left: bad.append(f"byte {left[0]} of the text is in no word")
        if any(b["start"] < a["end"] - 1e-4 for a, b in zip(words, words[1:])): bad.append("words overlap")
        if not 0 <= words[0]["start"] or not words[-1]["end"] <= n / rate: bad.append("a word outside the audio")
        if not any(samples): bad.append("silence")
        print(f"{text}, {voice}: {n / rate:.1f} s, {len(words)} words", *bad, sep="; ", flush=True)
        failed |= bool(bad)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(f"most memory: {peak:.0f} MB")
sys.exit(failed or peak > 2500)
EOF
