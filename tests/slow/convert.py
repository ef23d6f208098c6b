#!/usr/bin/python3
"""The forms in which people publish a float32 ONNX model, made from one:

    convert.py FORM IN.onnx OUT.onnx [RANGES]           needs Debian's python3-onnx and python3-numpy

    float          unchanged
    fp16           as onnxconverter-common's float16 module with keep_io_types: weights, constants and arithmetic in float16, inputs and
                   outputs float32 behind Casts, operators of its block list in float32 between Casts
    fp16-weights   weights stored in float16, each with a Cast to float32 behind it; the arithmetic stays float32
    rounded        float32 weights that have passed through float16: what fp16-weights must compute, told without a Cast
    int8           as onnxruntime.quantization.quantize_dynamic: MatMul, Gemm and Conv by constant weights become MatMulInteger and
                   ConvInteger behind DynamicQuantizeLinear, LSTM becomes DynamicQuantizeLSTM, embeddings are dequantised after the Gather
    int8-weights   weights of MatMul, Gemm and Conv in int8, one scale for each output channel, each with a DequantizeLinear behind it
    ranges         float, and smallest and largest value of each input and output of MatMul, Gemm and Conv as outputs: for
    qdq            static quantisation: a QuantizeLinear and a DequantizeLinear, uint8, around those operators, with the ranges that a run of
                   `ranges` has left in the folder RANGES; weights as int8-weights
    q4             MatMul and Gemm by constant weights become MatMulNBits of 4 bits, blocks of 32, with zero points

In all of them the rounded durations (float32, the only Ceil or Round of the graph) become an input, `durations`, and what the network
would have chosen an output, `predicted`: a rounding edge that falls to the other side moves everything behind it, and no two
implementations of 8-bit or 16-bit arithmetic agree on those (ONNX Runtime does not with its own optimisations off).
"""
import os
import sys

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper, shape_inference

F32, F16 = TensorProto.FLOAT, TensorProto.FLOAT16
# onnxconverter-common's list, as far as speech networks have the operators.
BLOCKED = ("CumSum", "Max", "Min", "RandomNormalLike", "RandomUniformLike", "Range", "Resize", "TopK", "Upsample")


def subgraphs(node):
    return [a.g for a in node.attribute if a.type == AttributeProto.GRAPH]


def graphs(graph):
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from graphs(inner)


def rename(graph, names):
    """The readers of some names read others, in subgraphs too."""
    for inner in graphs(graph):
        for node in inner.node:
            for k, name in enumerate(node.input):
                node.input[k] = names.get(name, name)


def store(graph, name, value):
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
    return name


def replace_nodes(graph, nodes):
    del graph.node[:]
    graph.node.extend(nodes)


def pin_durations(model):
    node = next(n for n in model.graph.node if n.op_type in ("Ceil", "Round"))
    rename(model.graph, {node.output[0]: "durations"})
    node.output[0] = "predicted"
    model.graph.input.append(helper.make_tensor_value_info("durations", F32, None))
    model.graph.output.append(helper.make_tensor_value_info("predicted", F32, None))


# ---- float16 ------------------------------------------------------------------------------------------------------------------


def half(a):
    """float16 as that converter rounds: tiny values do not become 0, huge ones stay finite."""
    a = np.where((np.abs(a) < 1e-7) & (a != 0), np.copysign(np.float32(1e-7), a), a)
    return np.where(np.isfinite(a), np.clip(a, -1e4, 1e4), a).astype(np.float16)


def halve_tensor(tensor):
    if tensor.data_type == F32:
        tensor.CopyFrom(numpy_helper.from_array(half(numpy_helper.to_array(tensor)), tensor.name))


def halve_type(value):
    kind = value.type.sequence_type.elem_type if value.type.HasField("sequence_type") else value.type
    if kind.tensor_type.elem_type == F32:
        kind.tensor_type.elem_type = F16


def halve_attributes(node):
    for a in node.attribute:
        if a.type == AttributeProto.TENSOR:
            halve_tensor(a.t)
        elif a.name in ("to", "dtype") and a.i == F32 and node.op_type not in BLOCKED:
            a.i = F16


def float_names(model):
    """Every name that is a float32 tensor."""
    found = set()
    for graph in graphs(shape_inference.infer_shapes(model).graph):
        values = (*graph.value_info, *graph.input, *graph.output)
        found |= {v.name for v in values if v.type.tensor_type.elem_type == F32}
        found |= {t.name for t in graph.initializer if t.data_type == F32}
    return found


def block(node, floats, kept):
    """A node of the block list between its Casts."""
    before, after = [], []
    for k, name in enumerate(node.input):
        if name in floats and name not in kept:
            node.input[k] = f"{node.output[0]}_input_cast_{k}"
            before.append(helper.make_node("Cast", [name], [node.input[k]], to=F32))
    for k, name in enumerate(node.output):
        if name in floats:
            node.output[k] = f"{name}_output_cast"
            after.append(helper.make_node("Cast", [node.output[k]], [name], to=F16))
    return [*before, node, *after]


def to_half(model):
    floats = float_names(model)
    readers = {}
    for graph in graphs(model.graph):
        for node in graph.node:
            for name in node.input:
                readers.setdefault(name, set()).add(node.op_type)
    kept = {t.name for t in model.graph.initializer if readers.get(t.name, {""}) <= set(BLOCKED)}
    top = model.graph
    names = {i.name: f"graph_input_cast_{k}" for k, i in enumerate(top.input) if i.name in floats}
    first = [helper.make_node("Cast", [name], [inner], to=F16) for name, inner in names.items()]
    rename(top, names)
    floats |= set(names.values())
    outputs = {o.name: f"graph_output_cast_{k}" for k, o in enumerate(top.output) if o.name in floats}
    rename(top, outputs)
    for node in top.node:
        for k, name in enumerate(node.output):
            node.output[k] = outputs.get(name, name)
    last = [helper.make_node("Cast", [inner], [name], to=F32) for name, inner in outputs.items()]
    floats |= set(outputs.values())
    for graph in reversed(list(graphs(top))):  # inner ones first: an outer graph takes copies of its nodes
        for tensor in graph.initializer:
            if tensor.name not in kept:
                halve_tensor(tensor)
        nodes = []
        for node in graph.node:
            halve_attributes(node)
            nodes += block(node, floats, kept) if node.op_type in BLOCKED else [node]
        if graph is top:
            nodes = [*first, *nodes, *last]
        else:
            for value in (*graph.input, *graph.output):
                halve_type(value)
        replace_nodes(graph, nodes)
        del graph.value_info[:]


def to_half_weights(model):
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == F32:
            name, tensor.name = tensor.name, f"{tensor.name}_fp16"
            halve_tensor(tensor)
            casts.append(helper.make_node("Cast", [tensor.name], [name], to=F32))
    replace_nodes(model.graph, [*casts, *model.graph.node])


def to_rounded(model):
    for tensor in model.graph.initializer:
        if tensor.data_type == F32:
            tensor.CopyFrom(numpy_helper.from_array(half(numpy_helper.to_array(tensor)).astype(np.float32), tensor.name))


# ---- dynamic int8 -------------------------------------------------------------------------------------------------------------


def quantise(a, signed, axes=None):
    """8 bits with one scale, or one for each index of the axes that are left; zero point 0 when signed."""
    low = np.minimum(np.min(a, axis=axes, keepdims=True), 0)
    high = np.maximum(np.max(a, axis=axes, keepdims=True), 0)
    if signed:
        scale = np.maximum(np.maximum(-low, high), 1e-30).astype(np.float32) / np.float32(127)
        return np.clip(np.rint(a / scale), -127, 127).astype(np.int8), scale, np.zeros_like(scale, np.int8)
    scale = np.maximum(high - low, 1e-30).astype(np.float32) / np.float32(255)
    zero = np.rint(-low / scale)
    return np.clip(np.rint(a / scale) + zero, 0, 255).astype(np.uint8), scale, zero.astype(np.uint8)


class Quantiser:
    """Rewrites one graph; self.nodes is what it becomes."""

    def __init__(self, graph):
        self.graph, self.nodes, self.activations, self.stored = graph, [], {}, {}
        self.weights = {t.name: t for t in graph.initializer if t.data_type == F32}
        same = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "Identity" and n.input[0] in self.weights}
        rename(graph, same)  # layers that share their weights, as onnxruntime's own preprocessing leaves them

    def emit(self, op, inputs, outputs, domain="", **attributes):
        self.nodes.append(helper.make_node(op, inputs, outputs, f"{outputs[0]}_{op}", domain=domain, **attributes))
        return outputs[0]

    def value(self, name):
        return numpy_helper.to_array(self.weights[name])

    def weight(self, name, signed, transpose=False):
        if name not in self.stored:
            a = self.value(name)
            parts = quantise(a.T if transpose else a, signed)
            words = ("quantized", "scale", "zero_point")
            self.stored[name] = [store(self.graph, f"{name}_{w}", p if w == "quantized" else p.reshape(())) for w, p in zip(words, parts)]
        return self.stored[name]

    def activation(self, name):
        if name not in self.activations:
            self.activations[name] = [f"{name}_{word}" for word in ("quantized", "scale", "zero_point")]
            self.emit("DynamicQuantizeLinear", [name], self.activations[name])
        return self.activations[name]

    def product(self, op, x, weight, y, attributes=()):
        """y = x · weight by integers; weight is (quantised, scale, zero point)."""
        xq, x_scale, x_zero = self.activation(x)
        wq, w_scale, w_zero = weight
        self.emit(op, [xq, wq, x_zero, w_zero], [f"{y}_output_quantized"])
        self.nodes[-1].attribute.extend(attributes)
        self.emit("Cast", [f"{y}_output_quantized"], [f"{y}_output_quantized_cast"], to=F32)
        self.emit("Mul", [x_scale, w_scale], [f"{y}_quant_scales"])
        self.emit("Mul", [f"{y}_output_quantized_cast", f"{y}_quant_scales"], [y])

    def matmul(self, n):
        self.product("MatMulInteger", n.input[0], self.weight(n.input[1], True), n.output[0])

    def gemm(self, n):
        attributes = {a.name: helper.get_attribute_value(a) for a in n.attribute}
        if attributes.get("transA", 0) or attributes.get("alpha", 1) != 1 or attributes.get("beta", 1) != 1:
            self.nodes.append(n)
            return
        y, biased = n.output[0], len(n.input) > 2
        weight = self.weight(n.input[1], True, bool(attributes.get("transB", 0)))
        self.product("MatMulInteger", n.input[0], weight, f"{y}_MatMul" if biased else y)
        if biased:
            self.emit("Add", [f"{y}_MatMul", n.input[2]], [y])

    def conv(self, n):
        y, biased = n.output[0], len(n.input) > 2
        rank = len(self.weights[n.input[1]].dims)
        weight = self.weight(n.input[1], False)
        self.product("ConvInteger", n.input[0], weight, f"{y}_unbiased" if biased else y, n.attribute)
        if biased:
            shape = store(self.graph, f"{y}_bias_shape", np.array([1, -1] + [1] * (rank - 2), np.int64))
            column = self.emit("Reshape", [n.input[2], shape], [f"{y}_bias_reshaped"])
            self.emit("Add", [f"{y}_unbiased", column], [y])

    def lstm(self, n):
        x, w, r = n.input[:3]
        parts = []
        for name in (w, r):
            q, scale, zero = quantise(self.value(name), True, (1, 2))
            parts.append((store(self.graph, f"{name}_quantized", q.transpose(0, 2, 1)), store(self.graph, f"{name}_scale", scale.reshape(-1)),
                          store(self.graph, f"{name}_zero_point", zero.reshape(-1))))
        rest = (list(n.input[3:]) + [""] * 5)[:5]
        self.emit("DynamicQuantizeLSTM", [x, parts[0][0], parts[1][0], *rest, *parts[0][1:], *parts[1][1:]], n.output, "com.microsoft")
        self.nodes[-1].attribute.extend(n.attribute)

    def embedding(self, n):
        q, scale, zero = self.weight(n.input[0], False)
        y = self.emit("Gather", [q, n.input[1]], [f"{n.output[0]}_quantized"])
        self.nodes[-1].attribute.extend(n.attribute)
        self.emit("DequantizeLinear", [y, scale, zero], [n.output[0]])

    def rewrite(self):
        table = {"MatMul": (1, self.matmul), "Gemm": (1, self.gemm), "Conv": (1, self.conv), "LSTM": (1, self.lstm),
                 "Gather": (0, self.embedding)}
        for n in self.graph.node:
            k, write = table.get(n.op_type, (0, None))
            if write and n.input[k] in self.weights:
                write(n)
            else:
                self.nodes.append(n)
        replace_nodes(self.graph, self.nodes)


    def linear(self, n):
        """(name of the weights, transposed, name of the bias or None) of a MatMul or a plain Gemm, else None."""
        attributes = {a.name: helper.get_attribute_value(a) for a in n.attribute}
        if n.input[1] not in self.weights or len(self.weights[n.input[1]].dims) != 2:
            return None
        if attributes.get("transA", 0) or attributes.get("alpha", 1) != 1 or attributes.get("beta", 1) != 1:
            return None
        return n.input[1], bool(attributes.get("transB", 0)), n.input[2] if len(n.input) > 2 else None

    def dequantised(self, name, axis):
        """The weights, read from int8."""
        key = (name, axis)
        if key not in self.stored:
            a = self.value(name)
            q, scale, _ = quantise(a, True, tuple(k for k in range(a.ndim) if k != axis))
            inputs = [store(self.graph, f"{name}_{axis}_quantized", q), store(self.graph, f"{name}_{axis}_scale", scale.reshape(-1))]
            self.stored[key] = self.emit("DequantizeLinear", inputs, [f"{name}_{axis}_dequantized"], axis=axis)
        return self.stored[key]

    def columns(self, n):
        """The axis of the weights that counts the outputs of a MatMul, Gemm or Conv, else None."""
        if n.op_type in ("MatMul", "Gemm") and self.linear(n):
            return 0 if self.linear(n)[1] else 1
        return 0 if n.op_type == "Conv" and n.input[1] in self.weights else None

    def measure(self):
        for n in list(self.graph.node):
            if self.columns(n) is not None:
                for name in {n.input[0], n.output[0]} - {o.name[:-4] for o in self.graph.output}:
                    for word, op in (("_min", "ReduceMin"), ("_max", "ReduceMax")):
                        self.graph.node.append(helper.make_node(op, [name], [name + word], keepdims=0))
                        self.graph.output.append(helper.make_tensor_value_info(name + word, F32, []))

    def rounded(self, name, ranges):
        """The activation behind its pair."""
        if name not in self.activations:
            low, high = (float(np.load(os.path.join(ranges, f"{name}_{word}.npy".replace("/", "_")))) for word in ("min", "max"))
            low, high = min(low, 0.0), max(high, 0.0)
            scale = np.float32(max(high - low, 1e-30) / 255)
            steps = [store(self.graph, f"{name}_q_scale", scale), store(self.graph, f"{name}_q_zero", np.uint8(np.rint(-low / scale)))]
            self.emit("QuantizeLinear", [name, *steps], [f"{name}_q"])
            self.activations[name] = self.emit("DequantizeLinear", [f"{name}_q", *steps], [f"{name}_dq"])
        return self.activations[name]

    def rewrite_static(self, ranges):
        behind = {}
        for n in self.graph.node:
            for inner in subgraphs(n):
                rename(inner, behind)
            for k, name in enumerate(n.input):
                n.input[k] = behind.get(name, name)
            axis = self.columns(n)
            if axis is not None:
                if n.input[0] not in behind.values():
                    n.input[0] = self.rounded(n.input[0], ranges)
                n.input[1] = self.dequantised(n.input[1], axis)
            self.nodes.append(n)
            if axis is not None and n.output[0] not in [o.name for o in self.graph.output]:
                behind[n.output[0]] = self.rounded(n.output[0], ranges)
        replace_nodes(self.graph, self.nodes)

    def rewrite_weights(self):
        for n in self.graph.node:
            axis = self.columns(n)
            if axis is not None:
                n.input[1] = self.dequantised(n.input[1], axis)
            self.nodes.append(n)
        replace_nodes(self.graph, self.nodes)

    def nibbles(self, name, transposed, block=32):
        """MatMulNBits' inputs B, scales and zero_points."""
        key = (name, transposed, "nibbles")
        if key not in self.stored:
            a = self.value(name)
            a = a if transposed else a.T  # [n, k]
            a = np.pad(a, ((0, 0), (0, -a.shape[1] % block))).reshape(a.shape[0], -1, block)
            low, high = np.minimum(a.min(2), 0), np.maximum(a.max(2), 0)
            scale = np.maximum(high - low, 1e-30).astype(np.float32) / np.float32(15)
            zero = np.rint(-low / scale)
            q = np.clip(np.rint(a / scale[..., None]) + zero[..., None], 0, 15).astype(np.uint8)
            zero = np.pad(zero.astype(np.uint8), ((0, 0), (0, zero.shape[1] % 2)))
            self.stored[key] = [store(self.graph, f"{name}_Q4", q[..., ::2] | q[..., 1::2] << 4), store(self.graph, f"{name}_scales", scale.reshape(-1)),
                                store(self.graph, f"{name}_zero_points", (zero[:, ::2] | zero[:, 1::2] << 4).reshape(-1))]
        return self.stored[key]

    def rewrite_nibbles(self):
        for n in self.graph.node:
            linear = self.linear(n) if n.op_type in ("MatMul", "Gemm") else None
            if not linear:
                self.nodes.append(n)
                continue
            name, transposed, bias = linear
            k, columns = self.weights[name].dims[::-1] if transposed else self.weights[name].dims
            y = f"{n.output[0]}_unbiased" if bias else n.output[0]
            self.emit("MatMulNBits", [n.input[0], *self.nibbles(name, transposed)], [y], "com.microsoft", K=k, N=columns, bits=4, block_size=32)
            if bias:
                self.emit("Add", [y, bias], [n.output[0]])
        replace_nodes(self.graph, self.nodes)


def finish_quantised(model):
    used = {name for graph in graphs(model.graph) for node in graph.node for name in node.input}
    kept = [t for t in model.graph.initializer if t.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def to_int8(model):
    Quantiser(model.graph).rewrite()
    finish_quantised(model)


def to_int8_weights(model):
    Quantiser(model.graph).rewrite_weights()
    finish_quantised(model)


def to_ranges(model):
    Quantiser(model.graph).measure()


def to_static(model, ranges):
    Quantiser(model.graph).rewrite_static(ranges)
    finish_quantised(model)


def to_q4(model):
    Quantiser(model.graph).rewrite_nibbles()
    finish_quantised(model)


FORMS = {"float": lambda model: None, "fp16": to_half, "fp16-weights": to_half_weights, "rounded": to_rounded, "int8": to_int8,
         "int8-weights": to_int8_weights, "q4": to_q4, "ranges": to_ranges, "qdq": to_static}

if __name__ == "__main__":
    if len(sys.argv) != 4 + (sys.argv[1:2] == ["qdq"]) or sys.argv[1] not in FORMS:
        raise SystemExit(__doc__)
    loaded = onnx.load(sys.argv[2])
    pin_durations(loaded)
    FORMS[sys.argv[1]](loaded, *sys.argv[4:])
    onnx.save(loaded, sys.argv[3])
