"""The forms in which published models come: 16-bit floats, and ONNX Runtime's dynamic 8-bit quantisation. Each takes a network just built
and changes it in place."""
import numpy as np

from .writer import F16, F32, TYPES, Graph, Node

NUMPY = {v: k for k, v in TYPES.items()}


def types(g, known=None):
    """The element type of every name of a graph."""
    t = dict(known or {})
    t.update({name: dtype for name, dtype, _ in g.inputs if dtype})
    t.update({name: str(a.dtype) for name, a in g.weights.items()})
    for n in g.nodes:
        first = t.get(n.inputs[0]) if n.inputs else None
        if n.op in ("Constant", "ConstantOfShape"):
            out = str(n.attrs["value"].dtype)
        elif n.op in ("Shape", "NonZero"):
            out = "int64"
        elif n.op in ("Equal", "Less", "Greater", "GreaterOrEqual", "LessOrEqual", "And", "Not"):
            out = "bool"
        elif n.op == "Cast":
            out = NUMPY[n.attrs["to"]]
        elif n.op == "Where":
            out = t[n.inputs[1]]
        elif n.op == "SequenceEmpty":
            out = NUMPY[n.attrs["dtype"]]
        elif n.op == "Loop":
            out = t[n.inputs[2]]
        elif n.op == "If":
            branch = n.attrs["then_branch"]
            out = types(branch, t)[branch.outputs[0][0]]
        else:
            out = first
        for k, name in enumerate(n.outputs):
            t[name] = "int64" if n.op == "TopK" and k == 1 else out
    return t


def to_half(g):
    """What onnxconverter-common's float16 conversion makes: weights, constants and arithmetic in float16, inputs and outputs in float32
    behind Casts, and operators on its block list in float32 between Casts."""
    blocked = ("CumSum", "RandomNormalLike", "RandomUniformLike", "Range", "Resize", "TopK")
    t = types(g)
    constant = {n.outputs[0]: n.attrs["value"] for n in g.nodes if n.op == "Constant"}
    half = lambda a: np.asarray(np.clip(a, -65504, 65504), np.float16) if a.dtype == np.float32 else a
    nodes, renamed = [], {}
    for name, dtype, _ in g.inputs:
        if dtype == "float32":
            renamed[name] = f"{name}_half"
            nodes.append(Node("Cast", [name], [renamed[name]], {"to": F16}))
    final = {name for name, dtype, _ in g.outputs if dtype == "float32"}
    for n in g.nodes:
        n.inputs = [renamed.get(i, i) for i in n.inputs]
        if n.op in ("Constant", "ConstantOfShape"):
            n.attrs["value"] = half(n.attrs["value"])
        if n.op == "Cast" and n.attrs["to"] == F32:
            n.attrs["to"] = F16
        for a in n.attrs.values():
            for inner in a.nodes if isinstance(a, Graph) else []:
                inner.inputs = [renamed.get(i, i) for i in inner.inputs]
        for k, i in enumerate(n.inputs if n.op in blocked else []):
            if i in constant and constant[i].dtype == np.float32:
                n.inputs[k] = f"{n.outputs[0]}_float_{k}"
                nodes.append(Node("Constant", [], [n.inputs[k]], {"value": constant[i]}))
            elif t.get(i) == "float32" or i.endswith("_half"):
                n.inputs[k] = f"{n.outputs[0]}_float_{k}"
                nodes.append(Node("Cast", [i], [n.inputs[k]], {"to": F32}))
        nodes.append(n)
        for k, o in enumerate(n.outputs):
            narrow = n.op in blocked and t.get(o) == "float32"
            if narrow:
                n.outputs[k] = f"{o}_float"
                nodes.append(Node("Cast", [n.outputs[k]], [o], {"to": F16}))
            if o in final:
                n.outputs[k] = f"{o}_half"
                nodes.append(Node("Cast", [n.outputs[k]], [o], {"to": F32}))
    for n in g.nodes:
        for a in n.attrs.values():
            if isinstance(a, Graph):
                a.outputs = [(name, "float16" if dtype == "float32" else dtype, dims) for name, dtype, dims in a.outputs]
    g.nodes = nodes
    g.weights = {name: half(a) for name, a in g.weights.items()}
    return g


def quantize(a, signed, axes=None):
    """float -> 8 bit with one scale (or one for each index of the first axis), zero point 0 when signed."""
    low, high = np.min(a, axis=axes, keepdims=True), np.max(a, axis=axes, keepdims=True)
    if signed:
        scale = np.maximum(np.maximum(-low, high), 1e-8) / 127
        zero = np.zeros_like(scale, np.int8)
        return np.clip(np.rint(a / scale), -127, 127).astype(np.int8), scale.astype(np.float32), zero
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    scale = np.maximum(high - low, 1e-8) / 255
    zero = np.clip(np.rint(-low / scale), 0, 255)
    return np.clip(np.rint(a / scale + zero), 0, 255).astype(np.uint8), scale.astype(np.float32), zero.astype(np.uint8)


def to_dynamic_int8(g):
    """What onnxruntime.quantization.quantize_dynamic makes: MatMul, Conv and LSTM by constant weights become integer products of
    activations that are quantised as they come; embeddings are stored in 8 bits."""
    nodes, quantized = [], {}
    old, g.nodes = g.nodes, []

    def emit(op, inputs, outputs, domain="", **attrs):
        nodes.append(Node(op, inputs, outputs, attrs, domain))
        return outputs[0]

    def store(name, suffix, value):
        g.weights[f"{name}_{suffix}"] = value
        return f"{name}_{suffix}"

    def weight(name, signed):
        q, scale, zero = quantize(g.weights[name], signed)
        return (store(name, "quantized", q), store(name, "scale", scale.reshape(())), store(name, "zero_point", zero.reshape(())))

    def activation(x):
        if x not in quantized:
            quantized[x] = [f"{x}_quantized", f"{x}_scale", f"{x}_zero_point"]
            emit("DynamicQuantizeLinear", [x], quantized[x])
        return quantized[x]

    def integer_product(n, op, x, signed):
        y = n.outputs[0]
        xq, x_scale, x_zero = activation(x)
        wq, w_scale, w_zero = weight(n.inputs[1], signed)
        total = emit(op, [xq, wq, x_zero, w_zero], [f"{y}_quantized"], **n.attrs)
        total = emit("Cast", [total], [f"{y}_quantized_cast"], to=F32)
        scale = emit("Mul", [x_scale, w_scale], [f"{y}_scales"])
        bias = len(n.inputs) > 2
        product = emit("Mul", [total, scale], [f"{y}_unbiased" if bias else y])
        if bias:
            shape = store(n.inputs[2], "shape", np.array([1, -1, 1], np.int64))
            column = emit("Reshape", [n.inputs[2], shape], [f"{y}_bias"])
            emit("Add", [product, column], [y])

    def lstm(n):
        x, w, r = n.inputs[:3]
        stored = []
        for name in (w, r):
            q, scale, zero = quantize(g.weights[name], True, (1, 2))
            stored.append((store(name, "quantized", np.ascontiguousarray(q.transpose(0, 2, 1))), store(name, "scale", scale.reshape(-1)),
                           store(name, "zero_point", zero.reshape(-1))))
        rest = (n.inputs[3:] + [""] * 5)[:5]
        emit("DynamicQuantizeLSTM", [x, stored[0][0], stored[1][0], *rest, *stored[0][1:], *stored[1][1:]], n.outputs, "com.microsoft",
             **n.attrs)

    for n in old:
        fixed = len(n.inputs) > 1 and n.inputs[1] in g.weights
        if n.op == "MatMul" and fixed:
            integer_product(n, "MatMulInteger", n.inputs[0], True)
        elif n.op == "Conv" and fixed:
            integer_product(n, "ConvInteger", n.inputs[0], False)
        elif n.op == "LSTM":
            lstm(n)
        elif n.op == "Gather" and n.inputs[0] in g.weights and g.weights[n.inputs[0]].dtype == np.float32:
            q = weight(n.inputs[0], False)
            emit("Gather", [q[0], n.inputs[1]], [f"{n.outputs[0]}_quantized"], **n.attrs)
            emit("DequantizeLinear", [f"{n.outputs[0]}_quantized", q[1], q[2]], n.outputs)
        else:
            nodes.append(n)
    g.nodes = nodes
    used = {i for n in nodes for i in n.inputs}
    g.weights = {name: a for name, a in g.weights.items() if name in used}
    return g


def without_noise(g):
    """Random nodes replaced by what koe's zero noise is: 0 for the normal distribution, the middle for the uniform one."""
    for n in g.nodes:
        if n.op in ("RandomNormalLike", "RandomUniformLike"):
            fill = 0.5 if n.op == "RandomUniformLike" else 0.0
            shape = f"{n.outputs[0]}_shape"
            k = g.nodes.index(n)
            g.nodes[k : k + 1] = [Node("Shape", n.inputs, [shape], {}),
                                  Node("ConstantOfShape", [shape], n.outputs, {"value": np.array([fill], np.float32)})]
    return g
