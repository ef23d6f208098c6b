"""What PyTorch's exporter makes of the operations that both families of networks use."""
import numpy as np

from .writer import BOOL, END, F32, I64


def size(g, x, axis):
    return g("Gather", g("Shape", x), axis, axis=0)


def join(g, *sizes):
    """A shape from scalars (names) and numbers."""
    return g("Concat", *[[s] if isinstance(s, int) else g("Unsqueeze", s, [0]) for s in sizes], axis=0)


def expand(g, x, shape):
    """Tensor.expand: -1 in the shape keeps the size."""
    ones = g("ConstantOfShape", g("Shape", shape), value=np.array([1]))
    kept = g("Equal", shape, g("Mul", ones, -1))
    return g("Expand", x, g("Where", kept, ones, shape))


def count_up(g, x, axis):
    return g("Range", 0, g("Cast", size(g, x, axis), to=I64), 1)


def put(g, data, index, values):
    """data[index[0], index[1], ...] = values, where the index tensors broadcast against each other."""
    total = index[0]
    for i in index[1:]:
        total = g("Add", total, i)
    shape = g("Shape", total)
    where = g("Concat", *[g("Unsqueeze", expand(g, i, shape), [-1]) for i in index], axis=-1)
    rest = g("Slice", g("Shape", data), [len(index)], [END], [0])
    return g("ScatterND", data, where, g("Reshape", values, g("Concat", shape, rest, axis=0)))


def pad(g, x, amounts, n_dim, mode="constant", fill=None):
    """torch.nn.functional.pad: pairs from the last dimension on, brought into ONNX's order by the exporter's arithmetic."""
    if isinstance(amounts, list):
        missing = [2 * n_dim - len(amounts)]
    else:
        missing = g("Sub", 2 * n_dim, g("Gather", g("Shape", amounts), [0], axis=0))
    zeros = g("ConstantOfShape", missing, value=np.array([0]))
    pairs = g("Reshape", g("Concat", amounts, zeros, axis=0), [-1, 2])
    pairs = g("Transpose", g("Slice", pairs, [-1], [-END - 1], [0], [-1]), perm=[1, 0])
    amounts = g("Cast", g("Reshape", pairs, [-1]), to=I64)
    return g("Pad", x, amounts, *([fill] if fill is not None else []), mode=mode)


def conv(g, x, name, shape, stride=1, dilation=1, group=1, pads=None, bias=True, std=None, mean=0.0, bias_mean=0.0):
    k = shape[2]
    p = (k - 1) * dilation // 2 if pads is None else pads
    inputs = [x, g.weight(f"{name}.weight", shape, std, mean)]
    if bias:
        inputs.append(g.weight(f"{name}.bias", [shape[0]], 0.1, bias_mean))
    with g.at("/" + name.replace("kmodel.", "").replace("predictor.", "").replace(".", "/")):
        return g("Conv", *inputs, dilations=[dilation], group=group, kernel_shape=[k], pads=[p, p], strides=[stride])


def conv_transpose(g, x, name, shape, stride, pads, group=1, output_padding=None, std=None):
    """shape is [in, out / group, k]"""
    extra = {"output_padding": [output_padding]} if output_padding else {}
    std = std if std is not None else 1 / np.sqrt(shape[0] / group * shape[2] / stride)
    weight = g.weight(f"{name}.weight", shape, std)
    bias = g.weight(f"{name}.bias", [shape[1] * group], 0.1)
    with g.at("/" + name.replace("kmodel.", "").replace("predictor.", "").replace(".", "/")):
        return g("ConvTranspose", x, weight, bias, dilations=[1], group=group, kernel_shape=[shape[2]], pads=[pads, pads],
                 strides=[stride], **extra)


def linear(g, x, name, n_in, n_out, bias_mean=0.0, std=None):
    """A Linear over the last dimension of a sequence; the exporter stores its weight transposed."""
    y = g("MatMul", x, g.weight(f"{name}.weight_t", [n_in, n_out], std or 1 / np.sqrt(n_in)))
    return g("Add", g.weight(f"{name}.bias", [n_out], 0.1, bias_mean), y)


def squeeze_or_keep(g, x, sub):
    """x.squeeze(1) where the exporter does not know that the dimension is 1: an If."""
    one = g("Equal", g("Gather", g("Shape", x), [1], axis=0), [1])
    axes = g.constant([1])
    then, other = sub("then"), sub("else")
    then.output(then("Squeeze", x, axes), "float32", None)
    other.output(other("Identity", x), "float32", None)
    return g("If", one, then_branch=then, else_branch=other)


def as_float(g, x):
    return g("Cast", x, to=F32)


def as_bool(g, x):
    return g("Cast", x, to=BOOL)
