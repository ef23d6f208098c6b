#!/usr/bin/env python3
"""Writes fuzz/corpus/{npz,pt,json,wav}: small files in every spelling, the seeds of the fuzzers and the cases of test_pack.c.
In every voice pack, row r holds r + c / 256 in column c, for as many rows as the name says. Run from the project's root."""
import collections, io, json, pickle, struct, sys, types, zipfile

import numpy as np

np_rows = lambda n: (np.arange(n)[:, None] + np.arange(256)[None, :] / 256).astype(np.float32)


def npz(name, arrays, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(f"fuzz/corpus/npz/{name}", "w", method) as z:
        for key, a in arrays.items():
            b = io.BytesIO()
            np.save(b, a)
            z.writestr(zipfile.ZipInfo(key + ".npy"), b.getvalue(), method)


npz("stored.npz", {"af_two": np_rows(2)[:, None, :], "bm_three": np_rows(3)[:, None, :]})
npz("deflated.npz", {"af_two": np_rows(2)[:, None, :]}, zipfile.ZIP_DEFLATED)
npz("half.npz", {"af_two": np_rows(2).astype(np.float16)[:, None, :]})
npz("double.npz", {"af_two": np_rows(2).astype(np.float64)})
npz("bad_shape.npz", {"af_two": np_rows(2).T.copy()})

# What torch.save() writes, without torch: stand-ins with its names, reduced in its way.
torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
sys.modules.update({"torch": torch, "torch._utils": utils})
for storage in "FloatStorage", "HalfStorage", "DoubleStorage", "BFloat16Storage", "LongStorage":
    setattr(torch, storage, type(storage, (), {"__module__": "torch"}))
exec("def _rebuild_tensor_v2(*a): pass", utils.__dict__)
utils._rebuild_tensor_v2.__module__ = "torch._utils"


class Storage:
    def __init__(self, kind, key, n):
        self.pid = ("storage", getattr(torch, kind), key, "cpu", n)


class Tensor:
    def __init__(self, storage, offset, size, stride):
        self.args = (storage, offset, size, stride, False, collections.OrderedDict())

    def __reduce_ex__(self, protocol):
        return utils._rebuild_tensor_v2, self.args


class Pickler(pickle._Pickler):
    def persistent_id(self, o):
        return o.pid if isinstance(o, Storage) else None


def pt(name, obj, data, prefix="archive", byteorder="little"):
    b = io.BytesIO()
    Pickler(b, 2).dump(obj)
    open(f"fuzz/corpus/pt/{name}.pkl", "wb").write(b.getvalue())
    with zipfile.ZipFile(f"fuzz/corpus/pt/{name}", "w") as z:
        z.writestr(zipfile.ZipInfo(f"{prefix}/data.pkl"), b.getvalue())
        if byteorder:
            z.writestr(zipfile.ZipInfo(f"{prefix}/byteorder"), byteorder)
        z.writestr(zipfile.ZipInfo(f"{prefix}/data/0"), data)
        z.writestr(zipfile.ZipInfo(f"{prefix}/version"), "3\n")


f32 = lambda n: np_rows(n).tobytes()
whole = lambda kind, n: Tensor(Storage(kind, "0", 256 * n), 0, (n, 1, 256), (256, 256, 1))
pt("af_two.pt", whole("FloatStorage", 2), f32(2))
pt("named.pt", whole("FloatStorage", 2), f32(2), prefix="af_heart", byteorder=None)
pt("half.pt", whole("HalfStorage", 2), np_rows(2).astype(np.float16).tobytes())
pt("double.pt", whole("DoubleStorage", 2), np_rows(2).astype(np.float64).tobytes())
pt("bfloat.pt", whole("BFloat16Storage", 2), (np_rows(2).view(np.uint32) >> 16).astype(np.uint16).tobytes())
pt("dict.pt", {"voice": whole("FloatStorage", 2)}, f32(2))
pt("ordered.pt", collections.OrderedDict(voice=whole("FloatStorage", 2), note="two rows"), f32(2))
pt("strided.pt", Tensor(Storage("FloatStorage", "0", 600), 5, (2, 1, 256), (1, 7, 2)),
   np.concatenate([np.zeros(5), np_rows(2).T.reshape(-1), np.zeros(83)]).astype(np.float32).tobytes())
pt("bad_two.pt", {"a": whole("FloatStorage", 2), "b": whole("FloatStorage", 2)}, f32(2))
pt("bad_reach.pt", Tensor(Storage("FloatStorage", "0", 512), 1, (2, 1, 256), (256, 256, 1)), f32(2))
pt("bad_stride.pt", Tensor(Storage("FloatStorage", "0", 512), 0, (2, 1, 256), (1 << 62, 256, 1)), f32(2))
pt("bad_short.pt", whole("FloatStorage", 2), f32(1))
pt("bad_type.pt", whole("LongStorage", 2), f32(4))
pt("bad_endian.pt", whole("FloatStorage", 2), f32(2), byteorder="big")


class Evil:
    def __reduce_ex__(self, protocol):
        import os
        return os.system, ("echo owned",)


pt("bad_call.pt", Evil(), b"")

rows = lambda n, deep: [[r] if deep else r for r in np_rows(n).tolist()]
write = lambda name, o: open(f"fuzz/corpus/json/{name}", "w").write(json.dumps(o))
write("voices.json", {"af_two": rows(2, True), "bm_one": rows(1, False)})
write("bad_row.json", {"af": [[[1, 2, 3]]]})
write("bad_number.json", {"af": [["x"] * 256]})
write("config.json", {"n_token": 178, "vocab": {";": 1, "a": 43, "\u0303": 17, "ˈ": 156}})
write("piper.json", {"audio": {"sample_rate": 22050}, "espeak": {"voice": "en-us"}, "num_speakers": 2, "phoneme_type": "espeak",
      "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8}, "speaker_id_map": {"a": 0, "b": 1},
      "phoneme_id_map": {"_": [0], "^": [1], "$": [2], "a": [14, 15]}})


def wav(name, kind, bits, channels, data, extensible=False, size=None):
    fmt = struct.pack("<HHIIHH", 0xFFFE if extensible else kind, channels, 24000, 3000 * channels * bits, channels * bits // 8, bits)
    if extensible:
        fmt += struct.pack("<HHIH", 22, bits, 4, kind) + bytes.fromhex("000000001000800000aa00389b71")
    chunks = b"fmt " + struct.pack("<I", len(fmt)) + fmt + b"LIST" + struct.pack("<I", 3) + b"abc\0"
    chunks += b"data" + struct.pack("<I", len(data) if size is None else size) + data
    open(f"fuzz/corpus/wav/{name}.wav", "wb").write(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)


wav("pcm8", 1, 8, 1, b"\x80\xc0\x40")
wav("pcm16_stereo", 1, 16, 2, b"\1\2\3\4\5\6\7\x80")
wav("pcm24", 1, 24, 1, b"abcdef")
wav("pcm32", 1, 32, 1, b"abcdefgh")
wav("float32", 3, 32, 1, struct.pack("<2f", 0.5, -1))
wav("float64", 3, 64, 1, struct.pack("<2d", 0.5, -1))
wav("extensible", 1, 16, 1, b"abcd", extensible=True)
wav("streamed", 1, 16, 1, b"abcde", size=0xFFFFFFFF)
