/* pass_patterns.h - the cases of test_passes.c: pass, count, name, model. */
{ "shape", 5, "a reshape of heads",
  "in x 1 ? 12\nout y\nint zero 0\nint one 1\nints at 0\nints heads 3 4\n"
  "Shape x -> s\nGather s zero -> b axis=0\nGather s one -> t axis=0\n"
  "Unsqueeze b at -> b1\nUnsqueeze t at -> t1\nConcat b1 t1 heads -> to axis=0\nReshape x to -> h\nTranspose h -> y perm=0,2,1,3\n"
  "Shape x -> s2\nGather s2 one -> t2 axis=0\nUnsqueeze t2 at -> t3\nConcat heads t3 -> odd axis=0\n"
  "Transpose x -> xt\nReshape xt odd -> z\nout z\n" },
{ "shape", 9, "pads from the number of dimensions",
  "in x 1 3 ?\nout y\nints two 2 2\nint rank 3\nint twice 2\nints at 0\n"
  "Shape x -> s\nShape s -> r\nMul r twice -> n\nints given 2\nSub n given -> missing\nConstantOfShape missing -> zeros_f\n"
  "Cast zeros_f -> zeros to=7\nConcat zeros two -> short axis=0\nReshape short pairs -> p\nints pairs 3 2\n"
  "Transpose p -> q perm=1,0\nints flat -1\nReshape q flat -> pads\nPad x pads - -> y mode=constant\n" },
{ "shape", 2, "reshape and expand that change nothing",
  "in x 1 ? 8\nout y\nShape x -> s\nReshape x s -> a\nExpand a s -> b\nRelu b -> y\n" },
{ "fold", 6, "half-precision weights that the graph widens: packed, read as they are, folded again, put out",
  "in x 2 100\nout y\nout z\nout v\nrandom w 100 100\nrandom u 100 96\nCast w -> h to=10\nCast h -> v to=1\nCast u -> g to=10\nCast g -> f to=1\n"
  "MatMul x f -> y\nTranspose v -> vt perm=1,0\nMatMul x vt -> p\nints at 0\nGather v at -> row axis=0\nAdd p row -> z\n" },
{ "cse", 3, "the same work twice",
  "in x 2 5\nout y\nscalar a 2\nscalar b 2\nMul x a -> p\nMul x b -> q\nTanh p -> r\nTanh q -> s\nSin r -> t\nSin s -> u\nAdd t u -> y\n" },
{ "conv", 7, "a LeakyRelu that two convolutions read, and a second addend",
  "in x 1 8 37\nout y\nrandom a 8 8 3\nrandom b 8 8 5\nrandom c 8\nscalar three 3.0\nLeakyRelu x -> l alpha=0.1\nConv l a c -> p pads=1,1\nAdd p x -> q\n"
  "Conv l b -> r pads=2,2\nAdd r x -> s\nAdd q s -> t\nDiv t three -> u\nConv u a -> v pads=1,1\nTanh v -> y\n" },
{ "chain", 1, "two residual blocks of a stage, and their mean",
  "in x 1 32 2500\nout y\nrandom a 32 32 3\nrandom b 32 32 5\nrandom c 32\nrandom d 32 32 7\nscalar half 0.5\n"
  "LeakyRelu x -> l alpha=0.1\n"
  "Conv l a c -> p0 pads=1,1\nAdd p0 x -> p\nLeakyRelu p -> pl alpha=0.1\nConv pl b -> q0 pads=4,4 dilations=[2]\nAdd q0 p -> q\n"
  "Conv l d c -> r0 pads=9,9 dilations=[3]\nAdd r0 x -> r\nLeakyRelu r -> rl alpha=0.1\nConv rl d -> s0 pads=36,36 dilations=[12]\nAdd s0 r -> s\n"
  "Add q s -> t\nMul t half -> y\n" },
{ "chain", 1, "convolutions in a row, of an even length and with uneven pads, in two batch entries",
  "in x 2 40 1700\nout y\nrandom a 40 40 4\nrandom b 40 40 2\nConv x a -> p pads=0,3\nConv p b -> y pads=1,0\n" },
{ "chain", 0, "an inner value that others read, a stride, and channels that change",
  "in x 1 16 300\nout y\nout z\nrandom a 16 16 3\nrandom b 16 16 4\nrandom c 8 16 3\nConv x a -> p pads=1,1\nRelu p -> z\n"
  "Conv p b -> q pads=1,1 strides=[2]\nConv q c -> y pads=1,1\n" },
