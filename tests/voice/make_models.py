#!/usr/bin/env python3
"""Writes tests/data/voice/*.onnx: the smallest networks with the inputs, outputs and duration arithmetic of Kokoro and Piper, which say a
tone as long as their durations. Needs python3-onnx and python3-numpy. Run from the project's root."""
import json

import numpy as np
import onnx
from onnx import TensorProto as T, helper as h, numpy_helper as nh

FOLDER = "tests/data/voice/"
rng = np.random.default_rng(2)


def save(name, nodes, inputs, outputs, weights, opset):
    init = [nh.from_array(np.asarray(v), k) for k, v in weights.items()]
    g = h.make_graph(nodes, name, [h.make_tensor_value_info(*i) for i in inputs], [h.make_tensor_value_info(*o) for o in outputs], init)
    m = h.make_model(g, opset_imports=[h.make_opsetid("", opset)], ir_version=8, producer_name="koe")
    onnx.checker.check_model(m)
    onnx.save(m, FOLDER + name + ".onnx")


def tone(total, hop, out, shape=None):
    """A sine of hop samples for each frame; `total` is int64, a scalar."""
    nodes = [h.make_node("Mul", [total, "hop"], ["n"]), h.make_node("Range", ["zero", "n", "one"], ["at"]),
             h.make_node("Cast", ["at"], ["at_f"], to=T.FLOAT), h.make_node("Mul", ["at_f", "step"], ["phase"]),
             h.make_node("Sin", ["phase"], ["sin"]), h.make_node("Mul", ["sin", "level"], ["wave" if shape else out])]
    weights = {"hop": np.int64(hop), "zero": np.int64(0), "one": np.int64(1), "step": np.float32(0.06), "level": np.float32(0.5)}
    if shape:
        nodes.append(h.make_node("Reshape", ["wave", "shape"], [out]))
        weights["shape"] = np.array(shape, np.int64)
    return nodes, weights


def kokoro(name, tokens, speed_type, with_duration):
    t, w = tone("frames", 600, "waveform")
    divisor = "speed" if speed_type == T.FLOAT else "speed_f"
    nodes = [h.make_node("Gather", ["embedding", tokens], ["e"]), h.make_node("Slice", ["style", "from", "to", "axis"], ["s"]),
             h.make_node("Add", ["e", "s"], ["x"]), h.make_node("Sigmoid", ["x"], ["p"]),
             h.make_node("ReduceSum", ["p", "last"], ["d"], keepdims=0)]
    if speed_type != T.FLOAT:
        nodes.append(h.make_node("Cast", ["speed"], ["speed_f"], to=T.FLOAT))
    nodes += [h.make_node("Div", ["d", divisor], ["q"]), h.make_node("Round", ["q"], ["r"]), h.make_node("Clip", ["r", "least"], ["c"]),
              h.make_node("Cast", ["c"], ["i"], to=T.INT64), h.make_node("Squeeze", ["i", "first"], ["duration"]),
              h.make_node("ReduceSum", ["duration"], ["frames"], keepdims=0)]
    w |= {"embedding": (np.random.default_rng(2).standard_normal((178, 8)) * 1.5).astype(np.float32), "from": np.array([0]), "to": np.array([8]), "axis": np.array([1]),
          "last": np.array([-1]), "first": np.array([0]), "least": np.float32(1)}
    outputs = [("waveform", T.FLOAT, ["samples"])] + ([("duration", T.INT64, ["n"])] if with_duration else [])
    save(name, nodes + t, [(tokens, T.INT64, [1, "n"]), ("style", T.FLOAT, [1, 256]), ("speed", speed_type, [1])], outputs, w, 17)


kokoro("kokoro_int", "input_ids", T.INT32, True)
kokoro("kokoro_float", "tokens", T.FLOAT, False)


def kokoro_pieces(name):
    """The same with what makes pieces possible: every frame has features, a pitch and an energy, joined before they become sound. What
    follows looks one frame to each side."""
    unit = lambda n, *shape: (np.random.default_rng(n).standard_normal(shape) * 0.5).astype(np.float32)
    w = {"embedding": unit(2, 178, 8) * 3, "last": np.array([-1]), "least": np.float32(1), "first": np.array([0]), "zero": np.int64(0),
         "one": np.int64(1), "hop": np.int64(600), "step": np.float32(0.06), "half": np.float32(0.5), "column": np.array([1]),
         "f0_w": unit(3, 1, 8, 1), "n_w": unit(4, 1, 8, 1), "f0_conv_w": unit(5, 2, 1, 1), "n_conv_w": unit(6, 2, 1, 1), "out_w": unit(7, 1, 12, 3),
         "scales": np.array([1, 1, 600], np.float32), "flat": np.array([-1]), "tiny": np.float32(1e-3)}
    n = h.make_node
    nodes = [n("Gather", ["embedding", "tokens"], ["e"]), n("Sigmoid", ["e"], ["p"]), n("ReduceSum", ["p", "last"], ["d"], keepdims=0),
             n("Div", ["d", "speed"], ["q"]), n("Round", ["q"], ["r"]), n("Clip", ["r", "least"], ["c"]), n("Cast", ["c"], ["i"], to=T.INT64),
             n("Squeeze", ["i", "first"], ["duration"]), n("ReduceSum", ["duration"], ["frames"], keepdims=0),
             n("CumSum", ["duration", "zero"], ["ends"]), n("Sub", ["ends", "duration"], ["begins"]), n("Range", ["zero", "frames", "one"], ["frame"]),
             n("Unsqueeze", ["ends", "column"], ["ends_c"]), n("Unsqueeze", ["begins", "column"], ["begins_c"]),
             n("Less", ["frame", "ends_c"], ["before"]), n("GreaterOrEqual", ["frame", "begins_c"], ["after"]), n("And", ["before", "after"], ["is"]),
             n("Cast", ["is"], ["alignment"], to=T.FLOAT), n("Transpose", ["e"], ["et"], perm=[0, 2, 1]), n("MatMul", ["et", "alignment"], ["features"]),
             n("Identity", ["features"], ["seen"]), n("Conv", ["seen", "f0_w"], ["f0"]), n("Conv", ["seen", "n_w"], ["energy"]),
             n("Squeeze", ["f0", "column"], ["f0_s"]), n("Unsqueeze", ["f0_s", "column"], ["f0_u"]), n("Conv", ["f0_u", "f0_conv_w"], ["f0_c"]),
             n("Squeeze", ["energy", "column"], ["n_s"]), n("Unsqueeze", ["n_s", "column"], ["n_u"]), n("Conv", ["n_u", "n_conv_w"], ["n_c"]),
             n("MatMul", ["et", "alignment"], ["asr"]), n("Concat", ["asr", "f0_c", "n_c"], ["joined"], axis=1),
             n("Conv", ["joined", "out_w"], ["amp"], pads=[1, 1]), n("Resize", ["amp", "", "scales"], ["amp_up"], mode="nearest"),
             n("Resize", ["f0_u", "", "scales"], ["f0_up"], mode="nearest"), n("Sigmoid", ["amp_up"], ["level"]), n("Mul", ["f0_up", "tiny"], ["hum"]),
             n("Add", ["level", "hum"], ["loud"]), n("Reshape", ["loud", "flat"], ["loud_f"]), n("Shape", ["loud_f"], ["count_1"]),
             n("Squeeze", ["count_1", "first"], ["count"]), n("Range", ["zero", "count", "one"], ["at"]), n("Cast", ["at"], ["at_f"], to=T.FLOAT),
             n("Mul", ["at_f", "step"], ["phase"]), n("Sin", ["phase"], ["sin"]), n("Mul", ["sin", "loud_f"], ["wave"]), n("Mul", ["wave", "half"], ["waveform"])]
    save(name, nodes, [("tokens", T.INT64, [1, "n"]), ("style", T.FLOAT, [1, 256]), ("speed", T.FLOAT, [1])],
         [("waveform", T.FLOAT, ["samples"]), ("duration", T.INT64, ["n"])], w, 17)


kokoro_pieces("kokoro_pieces")


def piper(name, speakers):
    t, w = tone("frames", 256, "output", [1, 1, 1, -1])
    nodes = [h.make_node("Gather", ["embedding", "input"], ["e"]), h.make_node("Gather", ["scales", "one"], ["length"])]
    if speakers > 1:
        nodes += [h.make_node("Gather", ["tempo", "sid"], ["pace"]), h.make_node("Mul", ["e", "pace"], ["paced"])]
    nodes += [h.make_node("Mul", ["paced" if speakers > 1 else "e", "length"], ["w"]), h.make_node("Ceil", ["w"], ["w_ceil"]),
              h.make_node("CumSum", ["w_ceil", "axis"], ["ends"]), h.make_node("ReduceMax", ["ends"], ["end"], keepdims=0),
              h.make_node("Cast", ["end"], ["frames"], to=T.INT64)]
    w |= {"embedding": (0.2 + 3 * rng.random(256)).astype(np.float32), "axis": np.int64(1)}
    inputs = [("input", T.INT64, ["b", "n"]), ("input_lengths", T.INT64, ["b"]), ("scales", T.FLOAT, [3])]
    if speakers > 1:
        w["tempo"] = np.linspace(1, 2, speakers).astype(np.float32)
        inputs.append(("sid", T.INT64, ["b"]))
    save(name, nodes + t, inputs, [("output", T.FLOAT, ["b", 1, 1, "samples"])], w, 15)
    symbols = "_^$ !',-.:;?abcdefhijklmnopqrstuvwxyzæçðøħŋœǀǁǂǃɐɑɒɓɔɕɖɗɘəɚɛɜɞɟɠɡɢɣɤɥɦɧɨɪɫɬɭɮɯɰɱɲɳɴɵɶɸɹɺɻɽɾʀʁʂʃʄʈʉʊʋʌʍʎʏʐʑʒʔʕʘʙʛʜʝʟʡʢˈˌːˑ˞"
    config = {"audio": {"sample_rate": 22050}, "espeak": {"voice": "en-us"}, "phoneme_type": "espeak", "num_speakers": speakers,
              "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8}, "phoneme_id_map": {c: [i] for i, c in enumerate(symbols)} | {"æ": [14, 18]},
              "speaker_id_map": {f"spk{i}": i for i in range(speakers)} if speakers > 1 else {}}
    json.dump(config, open(FOLDER + name + ".onnx.json", "w"), ensure_ascii=False)


piper("piper_one", 1)
piper("piper_three", 3)
