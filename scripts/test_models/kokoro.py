"""A network of Kokoro's kind: StyleTTS 2 with an iSTFTNet decoder.

tokens -> ALBERT -> duration encoder (LSTM, AdaLayerNorm) -> durations -> tokens repeated by a Loop -> F0 and energy (AdaIN)
tokens -> text encoder (Conv, LSTM) -> repeated likewise -> decoder (AdaIN) -> generator: harmonic source, its STFT, upsampling by
ConvTranspose, residual blocks with Snake, inverse STFT by ConvTranspose. One duration is 600 samples.
Only the sizes below differ from the real network, and what the sizes leave out (fewer layers and kernels).
"""
import numpy as np

from .layers import as_bool, as_float, conv, conv_transpose, count_up, expand, join, linear, pad, put, size, squeeze_or_keep
from .writer import BOOL, END, F32, I64, Graph

N_TOKEN = 178
EMB, HID, HEAD, FFN = 4, 12, 2, 16  # ALBERT
D, H = 12, 6  # encoders; LSTM units in each direction
STYLE = 8  # how much of each half of the style vector is used
BINS = 6  # a duration is the sum of so many sigmoids
DEC, ASR, GEN = 14, 4, 12  # decoder
N_FFT, HOP = 20, 5
HARMONICS = 9


def albert(g, ids, n_batch, n_token, mask):
    with g.at("/bert"):
        bias = as_float(g, g("Unsqueeze", g("Unsqueeze", g("Cast", g("Not", mask), to=6), [1]), [2]))
        bias = g("Mul", g("Sub", 1.0, bias), np.array(-3.4028234663852886e38, np.float32))
    with g.at("/bert/embeddings"):
        types = g("Slice", np.zeros((1, 512), np.int64), [0], g("Unsqueeze", n_token, [0]), [1], [1])
        types = expand(g, types, g("Reshape", join(g, n_batch, n_token), [-1]))
        place = g("Slice", g.stored("bert.embeddings.position_ids", np.arange(512, dtype=np.int64).reshape(1, 512)), [0],
                  g("Unsqueeze", n_token, [0]), [1], [1])
        x = g("Gather", g.weight("bert.embeddings.word", [N_TOKEN, EMB], 1.0), ids)
        x = g("Add", x, g("Gather", g.weight("bert.embeddings.type", [2, EMB], 0.1), types))
        x = g("Add", x, g("Gather", g.weight("bert.embeddings.position", [512, EMB], 0.3), place))
        x = g("LayerNormalization", x, g.weight("bert.embeddings.norm.w", [EMB], 0.1, 1), g.weight("bert.embeddings.norm.b", [EMB], 0.1),
              axis=-1, epsilon=1e-12)
    with g.at("/bert/encoder/map"):
        x = linear(g, x, "bert.map", EMB, HID)
    for _ in range(2):  # ALBERT's layers share their weights
        x = albert_layer(g, x, bias)
    with g.at("/bert_encoder"):
        return linear(g, x, "bert_encoder", HID, D)


def albert_layer(g, x, bias):
    def heads(y):
        return g("Reshape", y, join(g, size(g, y, 0), size(g, y, 1), HEAD, HID // HEAD))

    def norm(y, name):
        return g("LayerNormalization", y, g.weight(f"bert.{name}.w", [HID], 0.1, 1), g.weight(f"bert.{name}.b", [HID], 0.1), axis=-1,
                 epsilon=1e-12)

    with g.at("/bert/encoder/attention"):
        q = g("Transpose", heads(linear(g, x, "bert.query", HID, HID)), perm=[0, 2, 1, 3])
        k = heads(linear(g, x, "bert.key", HID, HID))
        v = g("Transpose", heads(linear(g, x, "bert.value", HID, HID)), perm=[0, 2, 1, 3])
        score = g("Div", g("MatMul", q, g("Transpose", k, perm=[0, 2, 3, 1])), float(np.sqrt(HID // HEAD)))
        y = g("MatMul", g("Softmax", g("Add", score, bias), axis=-1), v)
        y = g("Transpose", y, perm=[0, 2, 1, 3])
        y = g("Reshape", y, g("Concat", g("Slice", g("Shape", y), [0], [-2], [0]), [HID], axis=0))
        x = norm(g("Add", x, linear(g, y, "bert.dense", HID, HID)), "attention_norm")
    with g.at("/bert/encoder/ffn"):
        y = linear(g, x, "bert.ffn", HID, FFN)
        half = g("Mul", y, 0.5)  # GELU, as tanh
        y = g("Add", y, g("Mul", g("Pow", y, 3.0), 0.04471499845385551))
        y = g("Mul", half, g("Add", g("Tanh", g("Mul", y, 0.7978845834732056)), 1.0))
        return norm(g("Add", linear(g, y, "bert.ffn_output", FFN, HID), x), "full_norm")


def lstm(g, x, name, n_in, lengths=None):
    """x [t, 1, n_in] -> [t, 1, 2 H]; with lengths as torch's packed sequence, else plain."""
    w = g.weight(f"{name}.w", [2, 4 * H, n_in], 2 / np.sqrt(n_in))
    r = g.weight(f"{name}.r", [2, 4 * H, H], 1 / np.sqrt(H))
    b = g.weight(f"{name}.b", [2, 8 * H], 0.1)
    if lengths:
        start = [g("Expand", np.zeros((2, 1, H), np.float32), join(g, 2, g("Gather", g("Shape", x), 1), H)) for _ in range(2)]
    else:
        start = [g("ConstantOfShape", join(g, 2, size(g, x, 1), H), value=np.zeros(1, np.float32))] * 2
    y = g("LSTM", x, w, r, b, lengths, *start, n=3, direction="bidirectional", hidden_size=H)[0]
    return g("Reshape", g("Transpose", y, perm=[0, 2, 1, 3]), [0, 0, -1])


def packed_lstm(g, x, name, n_in, lengths, n_frame):
    """pack_padded_sequence, LSTM, pad_packed_sequence: x [1, t, n_in] -> [1, 2 H, t], sorted by length and back, then put into zeros."""
    lengths = g("Cast", lengths, to=I64)
    sorted_lengths, order = g("TopK", lengths, g("Gather", g("Shape", lengths), [-1]), n=2, axis=-1, largest=1)
    order = g("Cast", order, to=I64)
    packed = g("Transpose", g("Gather", x, order, axis=0), perm=[1, 0, 2])
    total = g("Cast", g("ReduceProd", g("Shape", order), keepdims=0), to=I64)
    back = g("ScatterElements", g("ConstantOfShape", g("Shape", order), value=np.array([0])), order, g("Range", 0, total, 1), axis=0)
    y = lstm(g, packed, name, n_in, g("Cast", sorted_lengths, to=6))
    y = g("Transpose", g("Gather", g("Transpose", y, perm=[1, 0, 2]), back, axis=0), perm=[0, 2, 1])
    zeros = g("ConstantOfShape", join(g, size(g, y, 0), size(g, y, 1), n_frame), value=np.zeros(1, np.float32))
    n = g("Unsqueeze", size(g, y, 2), [0])
    y = g("Expand", y, g("Shape", g("Slice", zeros, [0], n, [2], [1])))
    third = g("Slice", count_up(g, zeros, 2), [0], n, [0], [1])
    first, second = g("Reshape", count_up(g, zeros, 0), [-1, 1, 1]), g("Reshape", count_up(g, zeros, 1), [-1, 1])
    return put(g, zeros, [first, second, third], y)


def style_pair(g, style, name, n):
    """gamma and beta [1, n, 1] from the style, split by the exporter's chunk arithmetic."""
    with g.at(f"{g.path}/fc"):
        y = g("Gemm", style, g.weight(f"{name}.fc.w", [2 * n, STYLE], 0.3), g.weight(f"{name}.fc.b", [2 * n], 0.2), alpha=1.0, beta=1.0,
              transB=1)
    y = g("Reshape", y, [1, 2 * n, 1])
    half = g("Div", g("Add", g("Gather", g("Shape", y), [1], axis=0), [1]), [2])
    one, two = g("Mul", half, [1]), g("Mul", half, [2])
    return g("Slice", y, [0], one, [1]), g("Slice", y, one, two, [1])


def adain(g, x, style, name, n):
    with g.at("/" + name.replace(".norm", "/norm").replace(".adain", "/adain")):
        gamma, beta = style_pair(g, style, name, n)
        gamma = g("Add", gamma, 1.0)
        with g.at(g.path + "/norm"):
            y = g("InstanceNormalization", x, g.weight(f"{name}.w", [n], 0.1, 1), g.weight(f"{name}.b", [n], 0.1), epsilon=1e-5)
        return g("Add", g("Mul", gamma, y), beta)


def duration_encoder(g, x, style, mask, lengths, n_token):
    """x [1, t, D] -> [1, D + STYLE, t]"""
    with g.at("/text_encoder"):
        x = g("Transpose", x, perm=[1, 0, 2])
        style_row = g("Expand", style, expand_shape(g, join(g, size(g, x, 0), size(g, x, 1), -1)))
        gap = g("Unsqueeze", mask, [-1])
        x = g("Where", as_bool(g, g("Transpose", gap, perm=[1, 0, 2])), 0.0, g("Concat", x, style_row, axis=-1))
        x = g("Transpose", x, perm=[1, 0, 2])
        gap, style_col = g("Transpose", gap, perm=[0, 2, 1]), g("Transpose", style_row, perm=[1, 2, 0])
    for i in (0,):  # and 2, 4 in the real one
        with g.at(f"/text_encoder/lstms.{i}"):
            y = packed_lstm(g, x, f"predictor.lstms.{i}", D + STYLE, lengths, n_token)
        with g.at(f"/text_encoder/lstms.{i + 1}"):  # AdaLayerNorm
            y = g("Transpose", y, perm=[0, 2, 1])
            gamma, beta = style_pair(g, style, f"predictor.lstms.{i + 1}", 2 * H)
            gamma, beta = g("Transpose", gamma, perm=[0, 2, 1]), g("Transpose", beta, perm=[0, 2, 1])
            y = g("LayerNormalization", y, np.ones(2 * H, np.float32), np.zeros(2 * H, np.float32), axis=-1, epsilon=1e-5)
            y = g("Transpose", g("Add", g("Mul", g("Add", gamma, 1.0), y), beta), perm=[0, 2, 1])
            y = g("Where", as_bool(g, gap), 0.0, g("Concat", y, style_col, axis=1))
            x = g("Transpose", y, perm=[0, 2, 1])
    return y


def expand_shape(g, shape):
    ones = g("ConstantOfShape", g("Shape", shape), value=np.array([1]))
    return g("Where", g("Equal", shape, g("Mul", ones, -1)), ones, shape)


def durations(g, encoded, speed, speed_type, duration):
    """encoded [1, D + STYLE, t] -> int64 [t]; an LSTM, a row of sigmoids, their sum over the speed, rounded, at least 1."""
    with g.at("/lstm"):
        y = lstm(g, g("Transpose", encoded, perm=[2, 0, 1]), "predictor.lstm", D + STYLE)
        y = g("Transpose", y, perm=[1, 0, 2])
    with g.at("/duration_proj/linear_layer"):
        y = linear(g, y, "predictor.duration_proj", 2 * H, BINS, bias_mean=-1.2, std=3.0)
    y = g("ReduceSum", g("Sigmoid", y), [-1], keepdims=0)
    y = g("Div", y, speed if speed_type == "float32" else as_float(g, speed))
    y = g("Clip", g("Round", y), 1.0, None)
    return g("Squeeze", g("Cast", y, to=I64), out=duration)


def repeat_matrix(g, n_token, duration, sub):
    """repeat_interleave as the exporter writes it, a Loop that grows a sequence; then ones [1, t, frames] where a frame meets its token."""
    index = g("Reshape", g("Range", 0, g("Cast", n_token, to=I64), 1), [-1])
    n = g("Unsqueeze", g("Gather", g("Shape", index), 0, axis=0), [0])
    single = g("Equal", g("Gather", g("Shape", duration), [0], axis=0), [1])
    each = g("Where", single, g("Expand", duration, n), duration)
    ones = g("ConstantOfShape", g("Shape", each), value=np.array([1]))
    counts, tokens = g("SplitToSequence", each, ones, axis=0), g("SplitToSequence", index, ones, axis=0)
    empty, true = g("SequenceEmpty", dtype=I64), g.constant(True)
    body = sub("body")
    i, again, grown = body.input("i", "int64", []), body.input("again", "bool", []), body.input("grown", "int64 sequence", None)
    row = body("Unsqueeze", body("SequenceAt", tokens, i), [1])
    shape = body("Concat", [1], body("SequenceAt", counts, i), np.zeros(0, np.int64), axis=0)
    row = body("Reshape", expand(body, row, shape), [-1])
    body.output(body("Cast", true, to=BOOL), "bool", [])
    body.output(body("SequenceInsert", grown, row), "int64 sequence", None)
    owner = g("ConcatFromSequence", g("Loop", n, true, empty, body=body), axis=0)  # the token of each frame
    n_frame = g("Gather", g("Shape", owner), 0, axis=0)
    zeros = g("ConstantOfShape", join(g, n_token, n_frame), value=np.zeros(1, np.float32))
    frame = g("Range", 0, g("Cast", n_frame, to=I64), 1)
    total = g("Shape", g("Add", owner, frame))
    where = g("Concat", *[g("Unsqueeze", expand(g, x, total), [-1]) for x in (owner, frame)], axis=-1)
    shape = g("Concat", total, g("Slice", g("Shape", zeros), [2], [END], [0]), axis=0)
    matrix = g("ScatterND", zeros, where, g("Reshape", expand(g, 1.0, shape), shape))
    return as_float(g, g("Unsqueeze", matrix, [0]))


def style_block(g, x, style, name, n_in, n_out, upsample=False):
    """AdainResBlk1d: x [1, n_in, t] -> [1, n_out, t or 2 t]"""
    y = adain(g, x, style, f"{name}.norm1", n_in)
    with g.at("/" + name):
        y = g("LeakyRelu", y, alpha=0.2)
    if upsample:
        y = conv_transpose(g, y, f"{name}.pool", [n_in, 1, 3], 2, 1, group=n_in, output_padding=1)
    y = conv(g, y, f"{name}.conv1", [n_out, n_in, 3])
    y = adain(g, y, style, f"{name}.norm2", n_out)
    with g.at("/" + name):
        y = g("LeakyRelu", y, alpha=0.2)
    y = conv(g, y, f"{name}.conv2", [n_out, n_out, 3])
    with g.at("/" + name):
        if upsample:
            x = g("Resize", x, None, [1.0, 1.0, 2.0], coordinate_transformation_mode="asymmetric", mode="nearest", nearest_mode="floor")
        if n_in != n_out:
            x = conv(g, x, f"{name}.conv1x1", [n_out, n_in, 1], bias=False)
        return g("Mul", g("Add", y, x), float(np.sqrt(0.5)))


def prosody(g, x, style):
    """F0 and energy, [1, 1, 2 frames] each."""
    curves = []
    for name, mean, std in (("F0", 140.0, 25.0), ("N", -2.0, 1.0)):
        y = x
        for i, (n_in, n_out) in enumerate(((2 * H, 2 * H), (2 * H, 8), (8, 8)) if name == "F0" else ((2 * H, 8),)):
            y = style_block(g, y, style, f"{name}.{i}", n_in, n_out, upsample=n_in != n_out)
        weight, bias = g.weight(f"{name}_proj.w", [1, 8, 1], std / np.sqrt(8)), g.stored(f"{name}_proj.b", np.array([mean], np.float32))
        with g.at(f"/{name}_proj"):
            curves.append(g("Conv", y, weight, bias, dilations=[1], group=1, kernel_shape=[1], pads=[0, 0], strides=[1]))
    return curves


def text_encoder(g, ids, mask, lengths):
    with g.at("/text_encoder_1"):
        x = g("Transpose", g("Gather", g.weight("text_encoder.embedding", [N_TOKEN, D], 1.0), ids), perm=[0, 2, 1])
        gap = g("Unsqueeze", mask, [1])
        x = g("Where", as_bool(g, gap), 0.0, x)
    for i in range(2):
        x = conv(g, x, f"text_encoder.cnn.{i}", [D, D, 5])
        with g.at(f"/text_encoder/cnn.{i}/norm"):
            x = g("LayerNormalization", g("Transpose", x, perm=[0, 2, 1]), g.weight(f"text_encoder.norm.{i}.w", [D], 0.1, 1),
                  g.weight(f"text_encoder.norm.{i}.b", [D], 0.1), axis=-1, epsilon=1e-5)
            x = g("LeakyRelu", g("Transpose", x, perm=[0, 2, 1]), alpha=0.2)
            x = g("Where", as_bool(g, gap), 0.0, x)
    with g.at("/text_encoder/lstm"):
        x = packed_lstm(g, g("Transpose", x, perm=[0, 2, 1]), "text_encoder.lstm", D, lengths, size(g, gap, 2))
        return g("Where", as_bool(g, gap), 0.0, x)


def basis():
    """Kernels of the windowed DFT of N_FFT samples, [bins, 1, N_FFT]: forward real, forward imaginary, inverse real, inverse imaginary."""
    k, t = np.arange(N_FFT // 2 + 1)[:, None], np.arange(N_FFT)[None, :]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * t / N_FFT)
    angle = 2 * np.pi * k * t / N_FFT
    twice = np.where((k == 0) | (k == N_FFT // 2), 1, 2) / N_FFT
    overlap = np.sum(window**2) / HOP
    pairs = np.cos(angle) * window, -np.sin(angle) * window, twice * np.cos(angle) * window / overlap, twice * np.sin(angle) * window / overlap
    return [x[:, None, :].astype(np.float32) for x in pairs]


def harmonic_source(g, f0, sub):
    """F0 [1, 2 frames] -> source [1, 1, samples]: nine sines whose phase is the running sum of the frequency, and noise."""
    with g.at("/decoder/generator"):
        f0 = g("Resize", g("Unsqueeze", f0, [1]), None, [1.0, 1.0, 300.0], coordinate_transformation_mode="asymmetric", mode="nearest",
               nearest_mode="floor")
        f0 = g("Transpose", f0, perm=[0, 2, 1])
    with g.at("/decoder/generator/m_source/l_sin_gen"):
        f = g("Mul", f0, np.arange(1, HARMONICS + 1, dtype=np.float32).reshape(1, 1, HARMONICS))
        turns = g("Div", f, 24000.0)
        rad = g("Sub", turns, g("Mul", g("Floor", g("Div", turns, 1.0)), 1.0))
        start = g("RandomUniformLike", g("ConstantOfShape", join(g, size(g, f, 0), size(g, f, 2)), value=np.zeros(1, np.float32)), dtype=F32)
        first = g("Gather", start, 0, axis=1)  # the fundamental starts at 0
        zero = g("Expand", g("ConstantOfShape", g("Shape", first), value=np.zeros(1, np.float32)), g("Shape", first))
        start = put(g, start, [g("Reshape", count_up(g, start, 0), [-1, 1]), g.constant([0])], zero)
        first = g("Expand", g("Add", g("Gather", rad, 0, axis=1), start), g("Shape", g("Gather", rad, 0, axis=1)))
        rad = put(g, rad, [g("Reshape", count_up(g, rad, 0), [-1, 1, 1]), g.constant(np.zeros((1, 1), np.int64)), count_up(g, rad, 2)], first)
        linear_mode = {"coordinate_transformation_mode": "half_pixel", "mode": "linear", "nearest_mode": "floor"}
        rad = g("Resize", g("Transpose", rad, perm=[0, 2, 1]), None, [1.0, 1.0, 1 / 300], **linear_mode)
        phase = g("CumSum", g("Transpose", rad, perm=[0, 2, 1]), 1)
        phase = g("Transpose", g("Mul", g("Mul", phase, 2.0), float(np.pi)), perm=[0, 2, 1])
        phase = g("Resize", g("Mul", phase, 300.0), None, [1.0, 1.0, 300.0], **linear_mode)
        sines = g("Mul", g("Sin", g("Transpose", phase, perm=[0, 2, 1])), 0.1)
        voiced = as_float(g, g("Greater", f0, 10.0))
        level = g("Add", g("Mul", voiced, 0.003), g("Div", g("Mul", g("Sub", 1.0, voiced), 0.1), 3.0))
        noise = g("Mul", level, g("RandomNormalLike", sines, dtype=F32))
        sines = g("Add", g("Mul", sines, voiced), noise)
    with g.at("/decoder/generator/m_source"):
        y = g("MatMul", sines, g.weight("m_source.l_linear.w", [HARMONICS, 1], 0.3, 0.5))
        y = g("Tanh", g("Add", g.stored("m_source.l_linear.b", np.array([0.01], np.float32)), y))
    with g.at("/decoder/generator"):
        return squeeze_or_keep(g, g("Transpose", y, perm=[0, 2, 1]), sub)


def stft(g, source):
    """[1, samples] -> [1, 22, samples / HOP + 1]: magnitudes, phases (atan2 spelled out)."""
    real, imaginary, _, _ = basis()
    shape = {"dilations": [1], "group": 1, "kernel_shape": [N_FFT], "pads": [0, 0], "strides": [HOP]}
    with g.at("/decoder/generator"):
        x = g("Unsqueeze", pad(g, source, [N_FFT // 2, N_FFT // 2], 2, "edge"), [1])
        re, im = g("Conv", x, g.stored("stft.real", real), **shape), g("Conv", x, g.stored("stft.imaginary", imaginary), **shape)
        magnitude = g("Sqrt", g("Add", g("Add", g("Pow", re, 2.0), g("Pow", im, 2.0)), 1e-14))
        on_axis = g("And", g("Equal", im, 0.0), g("Less", re, 0.0))
        angle = g("Atan", g("Div", im, re))
        turned = g("Where", g("Greater", im, 0.0), g("Add", angle, float(np.pi)), g("Sub", angle, float(np.pi)))
        angle = g("Where", as_bool(g, on_axis), float(np.pi), g("Where", g("Less", re, 0.0), turned, angle))
        return g("Concat", magnitude, angle, axis=1)


def residual(g, x, style, name, n, k, dilations=(1,)):
    """AdaINResBlock1 with Snake: x + sin^2(alpha x) / alpha before every convolution."""
    path = "/" + name.replace("generator.", "decoder/generator/")
    for i, dilation in enumerate(dilations):
        y = x
        for step, d in ((1, dilation), (2, 1)):
            y = adain(g, y, style, f"{name}.adain{step}.{i}", n)
            with g.at(path):
                alpha = g.weight(f"{name}.alpha{step}.{i}", [1, n, 1], 0.1, 1)
                wave = g("Pow", g("Sin", g("Mul", alpha, y)), 2.0)
                y = g("Add", y, g("Mul", g("Reciprocal", alpha), wave))
            y = conv(g, y, f"{name}.convs{step}.{i}", [n, n, k], dilation=d)
        with g.at(path):
            x = g("Add", y, x)
    return x


def noise_conv(g, har, name, n_out, k, stride, pads):
    """The phases' half of the weights is zero: a phase flips by 2 pi where a bin is near zero, and then no two engines would agree."""
    full = g.weight(f"{name}.weight", [n_out, N_FFT + 2, k], 0.3)
    g.root.weights[full][:, N_FFT // 2 + 1 :, :] = 0
    return conv(g, har, name, [n_out, N_FFT + 2, k], stride=stride, pads=pads)


def generator(g, x, style, har):
    n = GEN
    for stage, (stride, k) in enumerate(((10, 20), (6, 12))):
        with g.at("/decoder/generator"):
            x = g("LeakyRelu", x, alpha=0.1)
        if stage == 0:
            extra = noise_conv(g, har, "generator.noise_convs.0", n // 2, 12, 6, 3)
        else:
            extra = noise_conv(g, har, "generator.noise_convs.1", n // 2, 1, 1, 0)
        extra = residual(g, extra, style, f"generator.noise_res.{stage}", n // 2, 5)
        x = conv_transpose(g, x, f"generator.ups.{stage}", [n, n // 2, k], stride, (k - stride) // 2)
        n //= 2
        with g.at("/decoder/generator"):
            if stage == 1:
                x = pad(g, x, [1, 0], 3, "reflect")
            x = g("Add", x, extra)
        if stage == 0:
            x = residual(g, x, style, "generator.resblocks.0", n, 3, (1, 3))
        else:
            blocks = [residual(g, x, style, f"generator.resblocks.{j}", n, k) for j, k in ((1, 3), (2, 7))]
            with g.at("/decoder/generator"):
                x = g("Div", g("Add", *blocks), 2.0)
    with g.at("/decoder/generator"):
        x = g("LeakyRelu", x, alpha=0.01)
    spectrum = conv(g, x, "generator.conv_post", [N_FFT + 2, n, 7], std=0.05, bias_mean=-2.0)
    _, _, real, imaginary = basis()
    shape = {"dilations": [1], "group": 1, "kernel_shape": [N_FFT], "pads": [0, 0], "strides": [HOP]}
    with g.at("/decoder/generator"):
        half = N_FFT // 2 + 1
        magnitude = g("Exp", g("Slice", spectrum, [0], [half], [1], [1]))
        phase = g("Sin", g("Slice", spectrum, [half], [END], [1], [1]))
        re = g("ConvTranspose", g("Mul", magnitude, g("Cos", phase)), g.stored("istft.real", real), **shape)
        im = g("ConvTranspose", g("Mul", magnitude, g("Sin", phase)), g.stored("istft.imaginary", imaginary), **shape)
        return g("Slice", g("Sub", re, im), [N_FFT // 2], [-(N_FFT // 2)], [2], [1])


def decoder(g, asr, f0, energy, style, har):
    with g.at("/decoder"):
        half = [conv(g, g("Unsqueeze", c, [1]), f"decoder.{n}_conv", [1, 1, 3], stride=2, std=s) for n, c, s in
                (("F0", f0, 0.01), ("N", energy, 0.5))]
        x = g("Concat", asr, *half, axis=1)
    x = style_block(g, x, style, "decoder/encode", D + 2, DEC)
    res = conv(g, asr, "decoder.asr_res", [ASR, D, 1])
    n = DEC + ASR + 2
    for i in range(2):
        with g.at("/decoder"):
            x = g("Concat", x, res, *half, axis=1)
        x = style_block(g, x, style, f"decoder/decode.{i}", n, GEN if i else DEC, upsample=i == 1)
    return generator(g, x, style, har)


def build(name, ids="input_ids", speed_type="int32", has_duration=True, takes_har=False):
    g = Graph(name)

    def sub(name):
        return Graph(name, g)

    g.input(ids, "int64", [1, "n_token"])
    g.input("style", "float32", [1, 256])
    g.input("speed", speed_type, [1])
    if takes_har:
        g.input("har", "float32", [1, N_FFT + 2, "n_har"])
    n_batch, n_token = size(g, ids, 0), size(g, ids, 1)
    lengths = g("Add", g("ConstantOfShape", g("Concat", g("Unsqueeze", n_batch, [0]), axis=0), value=np.array([0])), n_token)
    places = g("Unsqueeze", g("Range", 0, g("Cast", g("ReduceMax", lengths, keepdims=0), to=I64), 1), [0])
    places = expand(g, places, g("Reshape", join(g, size(g, lengths, 0), -1), [-1]))
    mask = as_bool(g, g("Greater", g("Add", places, 1), g("Unsqueeze", lengths, [1])))

    hidden = albert(g, ids, n_batch, n_token, mask)
    prosody_style = g("Slice", "style", [128], [128 + STYLE], [1], [1])
    encoded = duration_encoder(g, hidden, prosody_style, mask, lengths, n_token)
    duration = durations(g, encoded, "speed", speed_type, "duration" if has_duration else None)
    repeat = repeat_matrix(g, n_token, duration, sub)
    with g.at("/shared"):
        x = lstm(g, g("Transpose", g("MatMul", encoded, repeat), perm=[2, 0, 1]), "predictor.shared", D + STYLE)
        x = g("Transpose", x, perm=[1, 2, 0])
    f0, energy = [squeeze_or_keep(g, c, sub) for c in prosody(g, x, prosody_style)]
    asr = g("MatMul", text_encoder(g, ids, mask, lengths), repeat)
    style = g("Slice", "style", [0], [STYLE], [1], [1])
    har = "har" if takes_har else stft(g, harmonic_source(g, f0, sub))
    wave = decoder(g, asr, f0, energy, style, har)
    g("Squeeze", wave, out="waveform")
    g.output("waveform", "float32", ["n_sample"])
    if has_duration:
        g.output("duration", "int64", ["n_duration"])
    return g
