"""An ONNX graph under construction, and the bytes of its file.

Names follow PyTorch's exporter where programs look for them: a node made under the path "/F0_proj" with operator Conv puts out
"/F0_proj/Conv_output_0", the next one "/F0_proj/Conv_1_output_0". Under other paths they are short numbers, to keep the files small.
Numbers and lists among a node's inputs become Constant nodes (one for each value). Weights are drawn from a generator seeded with their
name, so that two networks that name a weight alike share it.
"""
import contextlib
import struct
import zlib

import numpy as np

TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "float16": 10}
F32, I64, BOOL, F16 = 1, 7, 9, 10  # what Cast's `to` takes
NAMED_PATHS = ("", "/F0_proj", "/N_proj", "/duration_proj/linear_layer")
END = 9223372036854775807  # "to the end" in a Slice


class Node:
    def __init__(self, op, inputs, outputs, attrs, domain=""):
        self.op, self.inputs, self.outputs, self.attrs, self.domain = op, list(inputs), list(outputs), attrs, domain


class Graph:
    """Called like a function, g("Add", x, 1.0) appends a node and returns the name of its output (a tuple of n names for n > 1)."""

    def __init__(self, name, parent=None):
        self.name, self.root = name, parent.root if parent else self
        self.nodes, self.inputs, self.outputs, self.weights = [], [], [], {}
        self.path, self.used, self.constants = parent.path if parent else "", {}, {}

    @contextlib.contextmanager
    def at(self, path):
        outer, self.path = self.path, path
        yield
        self.path = outer

    def input(self, name, dtype, dims):
        self.inputs.append((name, dtype, dims))
        return name

    def output(self, name, dtype, dims):
        self.outputs.append((name, dtype, dims))

    def fresh(self, op):
        used = self.root.used
        if self.path not in NAMED_PATHS:
            k = used["short"] = used.get("short", 0) + 1
            return f"{k:x}"
        k = used[self.path, op] = used.get((self.path, op), -1) + 1
        return f"{self.path}/{op}{f'_{k}' if k else ''}_output_0"

    def constant(self, value):
        root = self.root
        if not isinstance(value, np.ndarray):
            kind = value[0] if isinstance(value, list) and value else value
            value = np.array(value, np.float32 if isinstance(kind, float) else bool if isinstance(kind, bool) else np.int64)
        key = (str(value.dtype), value.shape, value.tobytes())
        if key not in root.constants:
            root.constants[key] = f"k{len(root.constants):x}"
            root.nodes.append(Node("Constant", [], [root.constants[key]], {"value": value}))
        return root.constants[key]

    def __call__(self, op, *inputs, n=1, out=None, domain="", **attrs):
        inputs = ["" if x is None else x if isinstance(x, str) else self.constant(x) for x in inputs]
        outputs = [out or self.fresh(op)]
        outputs += [f"{outputs[0]}_{k}" for k in range(1, n)]
        self.nodes.append(Node(op, inputs, outputs, attrs, domain))
        return outputs[0] if n == 1 else tuple(outputs)

    def weight(self, name, shape, std=None, mean=0.0):
        """std defaults to that of a layer which keeps the variance: 1 / sqrt(fan in)."""
        if name not in self.root.weights:
            std = 1 / np.sqrt(np.prod(shape[1:])) if std is None else std
            x = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape) * std + mean
            self.root.weights[name] = x.astype(np.float32)
        return name

    def stored(self, name, value):
        self.root.weights[name] = np.ascontiguousarray(value)
        return name


# ---- protobuf: a message is bytes -------------------------------------------------------------------------------------------


def varint(v):
    v &= (1 << 64) - 1
    out = b""
    while v > 127:
        out += bytes([v & 127 | 128])
        v >>= 7
    return out + bytes([v])


def integer(field, v):
    return varint(field << 3) + varint(int(v))


def text(field, payload):
    payload = payload.encode() if isinstance(payload, str) else payload
    return varint(field << 3 | 2) + varint(len(payload)) + payload


def tensor(a, name=""):
    a = np.asarray(a)
    dims = b"".join(integer(1, d) for d in a.shape)
    return dims + integer(2, TYPES[str(a.dtype)]) + (text(8, name) if name else b"") + text(9, a.tobytes())


def attribute(name, v):
    if isinstance(v, Graph):
        body = text(6, graph(v)) + integer(20, 5)
    elif isinstance(v, np.ndarray):
        body = text(5, tensor(v)) + integer(20, 4)
    elif isinstance(v, str):
        body = text(4, v) + integer(20, 3)
    elif isinstance(v, float):
        body = varint(2 << 3 | 5) + struct.pack("<f", v) + integer(20, 1)
    elif isinstance(v, int):
        body = integer(3, v) + integer(20, 2)
    else:
        body = b"".join(integer(8, i) for i in v) + integer(20, 7)
    return text(1, name) + body


def node(n):
    out = b"".join(text(1, i) for i in n.inputs) + b"".join(text(2, o) for o in n.outputs) + text(4, n.op)
    out += b"".join(text(5, attribute(k, v)) for k, v in n.attrs.items())
    return out + (text(7, n.domain) if n.domain else b"")


def value(name, dtype, dims):
    """A declared input or output; dims None: any shape; dtype "int64 sequence": a sequence of tensors."""
    if dtype.endswith(" sequence"):
        return text(1, name) + text(2, text(4, text(1, text(1, integer(1, TYPES[dtype.split()[0]])))))
    shape = b"".join(text(1, text(2, d) if isinstance(d, str) else integer(1, d)) for d in dims or [])
    kind = integer(1, TYPES[dtype]) + (text(2, shape) if dims is not None else b"")
    return text(1, name) + text(2, text(1, kind))


def graph(g):
    out = b"".join(text(1, node(n)) for n in g.nodes) + text(2, g.name)
    out += b"".join(text(5, tensor(a, name)) for name, a in g.weights.items())
    out += b"".join(text(11, value(*v)) for v in g.inputs)
    return out + b"".join(text(12, value(*v)) for v in g.outputs)


def model(g, opset, metadata=None):
    out = integer(1, 8) + text(2, "koe make-test-models") + text(7, graph(g)) + text(8, text(1, "") + integer(2, opset))
    if any(n.domain == "com.microsoft" for n in g.nodes):
        out += text(8, text(1, "com.microsoft") + integer(2, 1))
    return out + b"".join(text(14, text(1, k) + text(2, v)) for k, v in (metadata or {}).items())
