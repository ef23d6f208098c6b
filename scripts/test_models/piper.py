"""A network of Piper's kind: VITS.

phonemes -> text encoder with relative attention -> stochastic duration predictor (a flow of rational-quadratic splines, run backwards)
-> prior stretched to frames -> flow backwards -> HiFi-GAN. One duration is 256 samples. Only the sizes differ from the real network, and
what the sizes leave out (fewer layers and kernels).
"""
import numpy as np

from .layers import as_bool, as_float, conv, conv_transpose, count_up, join, pad, put, size
from .writer import END, F32, I64, Graph

N_SYMBOL = 64
HID, HEAD, FFN, WINDOW = 12, 2, 16, 4
DP, BINS, LIMIT = 8, 4, 5.0  # duration predictor: channels, bins of a spline, half its width
N_LAYER, FLOW_LAYERS = 1, 2
UPS = ((8, 16), (8, 16), (4, 8))  # HiFi-GAN: stride, kernel
GEN = 12
SPEAKERS, SPEAKER_DIM = 3, 8


def layer_norm(g, x, name, n):
    """Over the channels of [1, n, t], spelled out: opset 15 has no LayerNormalization."""
    with g.at("/" + name):
        x = g("Transpose", x, perm=[0, 2, 1])
        x = g("Sub", x, g("ReduceMean", x, axes=[-1]))
        spread = g("Sqrt", g("Add", g("ReduceMean", g("Pow", x, 2.0), axes=[-1]), 1e-5))
        x = g("Mul", g("Div", x, spread), g.weight(f"{name}.gamma", [n], 0.1, 1))
        return g("Transpose", g("Add", x, g.weight(f"{name}.beta", [n], 0.1)), perm=[0, 2, 1])


def relative_embedding(g, name, n):
    """The 2 n - 1 relative positions out of a table of 2 WINDOW + 1, which is padded with zeros when n is long and cut when it is short.
    (The exporter keeps only the side that its example needed: like the real files, this needs n > WINDOW.)"""
    table = g.weight(name, [1, 2 * WINDOW + 1, HID // HEAD], 0.3)
    extra = g("Sub", n, WINDOW + 1)
    table = pad(g, table, join_vector(g, 0, 0, extra, extra, 0, 0), 3)
    rows = g("Sub", g("Mul", n, 2), 1)
    return g("Unsqueeze", g("Slice", table, [0], g("Unsqueeze", rows, [0]), [1], [1]), [0])


def join_vector(g, *sizes):
    return g("Concat", *[[s] if isinstance(s, int) else g("Unsqueeze", s, [0]) for s in sizes], axis=0)


def attention(g, x, mask, name):
    q, k, v = (conv(g, x, f"{name}.conv_{c}", [HID, HID, 1]) for c in "qkv")
    with g.at("/" + name.replace(".", "/")):
        batch, width, n = size(g, k, 0), size(g, k, 1), size(g, k, 2)
        n_query = size(g, q, 2)
        q = g("Transpose", g("Reshape", q, join(g, batch, HEAD, HID // HEAD, n_query)), perm=[0, 1, 3, 2])
        k = g("Reshape", k, join(g, batch, HEAD, HID // HEAD, n))
        v = g("Transpose", g("Reshape", v, join(g, batch, HEAD, HID // HEAD, n)), perm=[0, 1, 3, 2])
        q = g("Div", q, float(np.sqrt(HID // HEAD)))
        score = g("MatMul", q, k)
        near = g("MatMul", q, g("Transpose", relative_embedding(g, f"{name}.emb_rel_k", n), perm=[0, 1, 3, 2]))
        score = g("Add", score, relative_to_absolute(g, near))
        score = g("Where", as_bool(g, g("Equal", mask, 0.0)), -10000.0, score)
        p = g("Softmax", score, axis=-1)
        y = g("Add", g("MatMul", p, v), g("MatMul", absolute_to_relative(g, p), relative_embedding(g, f"{name}.emb_rel_v", n)))
        y = g("Reshape", g("Transpose", y, perm=[0, 1, 3, 2]), join(g, batch, width, n_query))
    return conv(g, y, f"{name}.conv_o", [HID, HID, 1])


def relative_to_absolute(g, x):
    """[b, h, n, 2 n - 1] -> [b, h, n, n] by padding and reshaping, so that each row slides by one."""
    b, h, n = (size(g, x, i) for i in range(3))
    x = pad(g, x, [0, 1, 0, 0, 0, 0, 0, 0], 4)
    twice = g("Mul", n, 2)
    x = g("Reshape", x, join(g, b, h, g("Mul", twice, n)))
    less = g("Sub", n, 1)
    x = pad(g, x, join_vector(g, 0, less, 0, 0, 0, 0), 3)
    x = g("Reshape", x, join(g, b, h, g("Add", n, 1), g("Sub", twice, 1)))
    x = g("Slice", x, [0], g("Unsqueeze", n, [0]), [2], [1])
    return g("Slice", x, g("Unsqueeze", less, [0]), [END], [3], [1])


def absolute_to_relative(g, x):
    """[b, h, n, n] -> [b, h, n, 2 n - 1]: the inverse."""
    b, h, n = (size(g, x, i) for i in range(3))
    less = g("Sub", n, 1)
    x = pad(g, x, join_vector(g, 0, less, 0, 0, 0, 0, 0, 0), 4)
    x = g("Reshape", x, join(g, b, h, g("Add", g("Mul", n, n), g("Mul", n, less))))
    x = pad(g, x, join_vector(g, n, 0, 0, 0, 0, 0), 3)
    x = g("Reshape", x, join(g, b, h, n, g("Mul", n, 2)))
    return g("Slice", x, [1], [END], [3], [1])


def text_encoder(g, ids, lengths):
    """-> hidden [1, HID, t], mean, log deviation, mask [1, 1, t]"""
    with g.at("/enc_p"):
        x = g("Mul", g("Gather", g.weight("enc_p.emb", [N_SYMBOL, HID], 1 / np.sqrt(HID)), ids), float(np.sqrt(HID)))
        x = g("Transpose", x, perm=[0, 2, 1])
        mask = g("Less", g("Unsqueeze", count_up(g, x, 2), [0]), g("Unsqueeze", lengths, [1]))
        mask = as_float(g, g("Unsqueeze", mask, [1]))
        x = g("Mul", x, mask)
    with g.at("/enc_p/encoder"):
        column = g("Unsqueeze", mask, [2])
        square = g("Mul", column, g("Unsqueeze", mask, [-1]))
        x = g("Mul", x, mask)
        for i in range(N_LAYER):
            x = g("Add", x, attention(g, x, square, f"enc_p.encoder.attn_layers.{i}"))
            x = layer_norm(g, x, f"enc_p/encoder/norm_layers_1.{i}", HID)
            y = conv(g, pad(g, g("Mul", x, mask), [1, 1, 0, 0, 0, 0], 3), f"enc_p.ffn.{i}.conv_1", [FFN, HID, 3], pads=0)
            y = g("Mul", g("Relu", y), mask)
            y = conv(g, pad(g, y, [1, 1, 0, 0, 0, 0], 3), f"enc_p.ffn.{i}.conv_2", [HID, FFN, 3], pads=0)
            x = layer_norm(g, g("Add", x, g("Mul", y, mask)), f"enc_p/encoder/norm_layers_2.{i}", HID)
        x = g("Mul", x, mask)
    stats = g("Mul", conv(g, x, "enc_p.proj", [2 * HID, HID, 1], std=0.15), mask)
    mean, log_deviation = g("Split", stats, [HID, HID], n=2, axis=1)
    return x, mean, log_deviation, mask, column


def separable(g, x, mask, name):
    """DDSConv: depthwise dilated convolutions, layer norms, GELU by Erf."""

    def gelu(y):
        return g("Mul", g("Mul", y, g("Add", g("Erf", g("Div", y, 1.4142135381698608)), 1.0)), 0.5)

    with g.at("/" + name):
        for i in range(2):
            y = conv(g, g("Mul", x, mask), f"{name}.convs_sep.{i}", [DP, 1, 3], dilation=3**i, group=DP)
            y = gelu(layer_norm(g, y, f"{name}/norms_1.{i}", DP))
            y = conv(g, y, f"{name}.convs_1x1.{i}", [DP, DP, 1])
            x = g("Add", x, gelu(layer_norm(g, y, f"{name}/norms_2.{i}", DP)))
        return g("Mul", x, mask)


def set_column(g, x, column, fill, n_dim):
    """x[..., column] = fill, for the first (0) or last column, as the exporter scatters it."""
    if column:
        last = g("Squeeze", g("Slice", g("Shape", x), [-1], [END], [0]), [0])
        column = g("Sub", last, 1)
        where = g("Unsqueeze", column, [0])
    else:
        where = g.constant([0])
    old = g("Gather", x, column, axis=n_dim - 1)
    if isinstance(fill, float):
        new = g("ConstantOfShape", g("Shape", old), value=np.array([fill], np.float32))
    else:
        new = g("Add", old, fill[0])
    new = g("Expand", new, g("Shape", old))
    index = [g("Reshape", count_up(g, x, i), [-1] + [1] * (n_dim - 1 - i)) for i in range(n_dim - 1)]
    return put(g, x, index + [where], new)


def knots(g, raw):
    """Widths or heights of the bins [m, BINS] -> their edges [m, BINS + 1] from -LIMIT to LIMIT, and the widths between these."""
    n = g("Cast", g("Gather", g("Shape", raw), 1, axis=0), to=F32)
    share = g("Sub", 1.0, g("Mul", n, 0.001))
    edges = g("CumSum", g("Add", g("Mul", share, g("Softmax", raw, axis=-1)), 0.001), -1)
    edges = g("Add", g("Mul", pad(g, edges, [1, 0], 2, fill=0.0), 2 * LIMIT), -LIMIT)
    edges = set_column(g, set_column(g, edges, 0, -LIMIT, 2), 1, LIMIT, 2)
    width = g("Sub", g("Slice", edges, [1], [END], [1], [1]), g("Slice", edges, [0], [-1], [1], [1]))
    return edges, width


def spline(g, x, h):
    """The inverse rational-quadratic spline (Durkan et al. 2019) with linear tails: x [1, 1, t], h [1, 1, t, 3 BINS - 1] its parameters."""
    scale = float(np.sqrt(DP))
    widths = g("Div", g("Slice", h, [0], [BINS], [3], [1]), scale)
    heights = g("Div", g("Slice", h, [BINS], [2 * BINS], [3], [1]), scale)
    slopes = g("Slice", h, [2 * BINS], [END], [3], [1])
    inside = g("And", g("GreaterOrEqual", x, -LIMIT), g("LessOrEqual", x, LIMIT))
    outside = g("Not", inside)
    edge = float(np.log(np.exp(1 - 0.001) - 1))
    slopes = set_column(g, set_column(g, pad(g, slopes, [1, 1], 4), 0, edge, 4), 1, edge, 4)

    def pick(y, where):
        return g("GatherND", y, g("Transpose", g("NonZero", where), perm=[1, 0]))

    tails = pick(x, outside)
    result = g("ConstantOfShape", g("Shape", x), value=np.zeros(1, np.float32))
    y, widths, heights, slopes = (pick(v, inside) for v in (x, widths, heights, slopes))
    x_edge, x_width = knots(g, widths)
    y_edge, y_width = knots(g, heights)
    slopes = g("Add", g("Softplus", slopes), 0.001)
    y_search = set_column(g, y_edge, 1, (1e-6,), 2)
    bin_ = g("Cast", g("GreaterOrEqual", g("Unsqueeze", y, [1]), y_search), to=I64)
    bin_ = g("Unsqueeze", g("Sub", g("ReduceSum", bin_, [-1], keepdims=0), 1), [1])

    def at_bin(v):
        return g("Gather", g("GatherElements", v, bin_, axis=-1), 0, axis=1)

    x0, w, y0 = at_bin(x_edge), at_bin(x_width), at_bin(y_edge)
    delta, d0 = at_bin(g("Div", y_width, x_width)), at_bin(slopes)
    d1, tall = at_bin(g("Slice", slopes, [1], [END], [1], [1])), at_bin(y_width)
    rise = g("Sub", y, y0)
    bend = g("Mul", rise, g("Sub", g("Add", d0, d1), g("Mul", delta, 2.0)))
    a = g("Add", bend, g("Mul", tall, g("Sub", delta, d0)))
    b = g("Sub", g("Mul", tall, d0), bend)
    c = g("Mul", g("Neg", delta), rise)
    root = g("Sqrt", g("Sub", g("Pow", b, 2.0), g("Mul", g("Mul", a, 4.0), c)))
    root = g("Div", g("Mul", c, 2.0), g("Sub", g("Neg", b), root))
    inverse = g("Add", g("Mul", root, w), x0)

    def store(into, where, values):
        place = g("Transpose", g("NonZero", g("Expand", where, g("Shape", into))), perm=[1, 0])
        count = g("Unsqueeze", g("Gather", g("Shape", place), 0, axis=0), [0])
        return g("ScatterND", into, place, g("Slice", g("Reshape", values, [-1]), [0], count, [0]))

    return store(store(result, outside, tails), inside, inverse)


def flip(g, x):
    return g("Slice", x, [-1], [-END - 1], [1], [-1])


def duration_predictor(g, x, mask, speaker, noise_w):
    """-> log durations [1, 1, t]"""
    x = conv(g, x, "dp.pre", [DP, HID, 1])
    if speaker:
        x = g("Add", x, conv(g, speaker, "dp.cond", [DP, SPEAKER_DIM, 1], std=0.3))
    x = separable(g, x, mask, "dp/convs")
    with g.at("/dp"):
        x = g("Mul", conv(g, x, "dp.proj", [DP, DP, 1]), mask)
        z = g("ConstantOfShape", join(g, size(g, x, 0), 2, size(g, x, 2)), value=np.zeros(1, np.float32))
        z = g("Mul", g("RandomNormalLike", z, dtype=F32), noise_w)
    for i in (7, 5):
        with g.at(f"/dp/flows.{i}"):
            z0, z1 = g("Split", flip(g, z), [1, 1], n=2, axis=1)
            y = g("Add", conv(g, z0, f"dp.flows.{i}.pre", [DP, 1, 1]), x)
            y = separable(g, y, mask, f"dp/flows.{i}/convs")
            h = g("Mul", conv(g, y, f"dp.flows.{i}.proj", [3 * BINS - 1, DP, 1], std=0.2), mask)
            h = g("Transpose", g("Reshape", h, join(g, size(g, z0, 0), size(g, z0, 1), -1, size(g, z0, 2))), perm=[0, 1, 3, 2])
            z = g("Mul", g("Concat", z0, spline(g, z1, h), axis=1), mask)
    with g.at("/dp/flows.0"):  # an affine flow
        z = g("Sub", flip(g, z), g.stored("dp.flows.0.m", np.array([[-0.4], [0.1]], np.float32)))
        z = g("Mul", g("Mul", z, g("Exp", g.stored("dp.flows.0.logs", np.array([[-0.2], [-0.3]], np.float32)))), mask)
    return g("Split", z, [1, 1], n=2, axis=1)[0]


def coupling(g, x, mask, speaker, name):
    """A residual coupling layer backwards: half of the channels is shifted by what WaveNet makes of the other half."""
    with g.at("/" + name.replace(".", "/")):
        x0, x1 = g("Split", flip(g, x), [HID // 2, HID // 2], n=2, axis=1)
        h = g("Mul", conv(g, x0, f"{name}.pre", [HID, HID // 2, 1]), mask)
        total = g("ConstantOfShape", g("Shape", h), value=np.zeros(1, np.float32))
        if speaker:
            cond = conv(g, speaker, f"{name}.cond_layer", [2 * HID * FLOW_LAYERS, SPEAKER_DIM, 1], std=0.2)
        for i in range(FLOW_LAYERS):
            y = conv(g, h, f"{name}.in_layers.{i}", [2 * HID, HID, 5])
            if speaker:
                y = g("Add", y, g("Slice", cond, [2 * HID * i], [2 * HID * (i + 1)], [1], [1]))
            else:
                y = g("Add", y, g("ConstantOfShape", g("Shape", y), value=np.zeros(1, np.float32)))
            y = g("Mul", g("Tanh", g("Slice", y, [0], [HID], [1], [1])), g("Sigmoid", g("Slice", y, [HID], [END], [1], [1])))
            last = i == FLOW_LAYERS - 1
            y = conv(g, y, f"{name}.res_skip_layers.{i}", [HID if last else 2 * HID, HID, 1])
            if last:
                total = g("Add", total, y)
            else:
                h = g("Mul", g("Add", h, g("Slice", y, [0], [HID], [1], [1])), mask)
                total = g("Add", total, g("Slice", y, [HID], [END], [1], [1]))
        shift = g("Mul", conv(g, g("Mul", total, mask), f"{name}.post", [HID // 2, HID, 1], std=0.15), mask)
        scale = g("Exp", g("Neg", g("ConstantOfShape", g("Shape", shift), value=np.zeros(1, np.float32))))
        return g("Concat", x0, g("Mul", g("Mul", g("Sub", x1, shift), scale), mask), axis=1)


def hifi_gan(g, x, speaker):
    x = conv(g, x, "dec.conv_pre", [GEN, HID, 7])
    if speaker:
        x = g("Add", x, conv(g, speaker, "dec.cond", [GEN, SPEAKER_DIM, 1], std=0.3))
    n = GEN
    with g.at("/dec"):
        for stage, (stride, k) in enumerate(UPS):
            out = max(n // 2, 4)
            x = conv_transpose(g, g("LeakyRelu", x, alpha=0.1), f"dec.ups.{stage}", [n, out, k], stride, (k - stride) // 2)
            n = out
            start, blocks = g("LeakyRelu", x, alpha=0.1), []
            for j, (kernel, dilations) in enumerate(((3, (1, 2)), (5, (2, 6)))):
                y = x
                for i, d in enumerate(dilations):
                    z = start if i == 0 else g("LeakyRelu", y, alpha=0.1)
                    y = g("Add", conv(g, z, f"dec.resblocks.{2 * stage + j}.convs.{i}", [n, n, kernel], dilation=d), y)
                blocks.append(y)
            x = g("Div", g("Add", *blocks), 2.0)
        x = conv(g, g("LeakyRelu", x, alpha=0.01), "dec.conv_post", [1, n, 7], bias=False, std=0.2)
        return g("Tanh", x)


def build(name, multi=False):
    g = Graph(name)
    g.input("input", "int64", ["batch_size", "phonemes"])
    g.input("input_lengths", "int64", ["batch_size"])
    g.input("scales", "float32", [3])
    speaker = None
    noise, length, noise_w = (g("Gather", "scales", i, axis=0) for i in range(3))
    x, mean, log_deviation, mask, column = text_encoder(g, "input", "input_lengths")
    if multi:
        g.input("sid", "int64", ["batch_size"])
        with g.at("/emb_g"):
            speaker = g("Unsqueeze", g("Gather", g.weight("emb_g", [SPEAKERS, SPEAKER_DIM], 1.0), "sid"), [-1])
    log_w = duration_predictor(g, x, mask, speaker, noise_w)
    w = g("Ceil", g("Mul", g("Mul", g("Exp", log_w), mask), length))
    n_frame = g("Cast", g("Clip", g("ReduceSum", w, [1, 2], keepdims=0), 1.0, None), to=I64)
    frame = g("Unsqueeze", g("Range", 0, g("Cast", g("ReduceMax", n_frame, keepdims=0), to=I64), 1), [0])
    y_mask = as_float(g, g("Unsqueeze", g("Less", frame, g("Unsqueeze", n_frame, [1])), [1]))
    both = g("Mul", column, g("Unsqueeze", y_mask, [-1]))
    b, t_y, t_x = size(g, both, 0), size(g, both, 2), size(g, both, 3)
    ends = g("Reshape", g("CumSum", w, -1), g("Concat", g("Unsqueeze", g("Mul", b, t_x), [0]), axis=0))
    frames = g("Unsqueeze", g("Range", 0.0, g("Cast", t_y, to=F32), 1.0), [0])
    path = as_float(g, g("Less", frames, g("Unsqueeze", ends, [1])))
    path = g("Reshape", path, join(g, b, t_x, t_y))
    before = g("Slice", pad(g, path, [0, 0, 1, 0, 0, 0], 3), [0], [-1], [1], [1])
    path = g("Transpose", g("Unsqueeze", g("Sub", path, before), [1]), perm=[0, 1, 3, 2])
    path = g("Squeeze", g("Mul", path, both), [1])
    mean, log_deviation = (g("Transpose", g("MatMul", path, g("Transpose", v, perm=[0, 2, 1])), perm=[0, 2, 1])
                           for v in (mean, log_deviation))
    noise = g("Mul", g("Mul", g("RandomNormalLike", mean, dtype=F32), g("Exp", log_deviation)), noise)
    z = g("Add", mean, noise)
    for i in (2, 0):
        z = coupling(g, z, y_mask, speaker, f"flow.flows.{i}")
    wave = hifi_gan(g, g("Mul", z, y_mask), speaker)
    g("Unsqueeze", wave, [1], out="output")
    g.output("output", "float32", ["batch_size", "time", 1, "n_sample"])
    return g


SYMBOLS = "_^$ !'(),-.:;?abcdefhijklmnoprstuvwxzæðŋɐɑɔəɚɛɜɡɪɹɾʃʊʌʒˈˌːθᵻ"  # Piper's first three are pad, begin and end


def config(multi):
    return {
        "audio": {"sample_rate": 22050, "quality": "tiny"},
        "espeak": {"voice": "en-us"},
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_type": "espeak",
        "phoneme_map": {},
        "phoneme_id_map": {s: [i] for i, s in enumerate(SYMBOLS)},
        "num_symbols": N_SYMBOL,
        "num_speakers": SPEAKERS if multi else 1,
        "speaker_id_map": {f"speaker{i}": i for i in range(SPEAKERS)} if multi else {},
    }
