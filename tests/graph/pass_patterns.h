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
{ "chain", 0, "a dilation that ConvChain does not take",
  "in x 1 2 1900\nout y\nrandom a 2 2 2\nrandom b 2 2 3\nConv x a -> p pads=600,0 dilations=[600]\nConv p b -> y pads=1,1\n" },
{ "pairs", 6, "three residual blocks whose mean is taken; not what comes before or behind",
  "in x 1 100 37\nout y\nrandom a 100 100 3\nrandom b 100 100 5\nscalar third 0.33333333\nLeakyRelu x -> xl\nConv xl a -> m pads=1,1\nAdd m x -> h\nLeakyRelu h -> l alpha=0.1\n"
  "Conv l a -> p0 pads=1,1\nLeakyRelu p0 -> p1\nConv p1 a -> p2 pads=1,1\nAdd p2 h -> p\n"
  "Conv l b -> q0 pads=2,2\nLeakyRelu q0 -> q1\nConv q1 b -> q2 pads=2,2\nAdd q2 h -> q\nAdd p q -> pq\n"
  "Conv l b -> r0 pads=4,4 dilations=[2]\nLeakyRelu r0 -> r1\nConv r1 a -> r2 pads=1,1\nAdd r2 h -> r\nAdd pq r -> s\nMul s third -> t\n"
  "LeakyRelu t -> u\nConv u a -> v pads=1,1\nAdd v t -> y\n" },
{ "pairs", 0, "a sum that is not scaled down",
  "in x 1 100 37\nout y\nrandom a 100 100 3\nscalar most 0.9\nLeakyRelu x -> l\nConv l a -> p pads=1,1\nAdd p x -> q\nConv l a -> r pads=1,1\n"
  "Add r x -> s\nAdd q s -> t\nMul t most -> y\n" },
{ "norm", 1, "layer norm written out",
  "in x 2 ? 8\nout y\nscalar two 2\nscalar eps 0.00001\nrandom g 8\nrandom b 8\nReduceMean x -> m axes=[-1]\nSub x m -> d\nPow d two -> q\n"
  "ReduceMean q -> v axes=[-1]\nAdd v eps -> ve\nSqrt ve -> s\nDiv d s -> n\nMul n g -> ng\nAdd ng b -> y\n" },
{ "norm", 2, "layer norm over channels",
  "in x 2 70 ?\nout y\nscalar two 2\nscalar eps 0.001\nrandom g 70\nrandom b 70\nTranspose x -> t perm=0,2,1\nReduceMean t -> m axes=[-1]\nSub t m -> d\n"
  "Mul d d -> q\nReduceMean q -> v axes=[-1]\nAdd eps v -> ve\nSqrt ve -> s\nDiv d s -> n\nMul g n -> ng\nAdd b ng -> l\nTranspose l -> y perm=0,2,1\n" },
{ "norm", 0, "no layer norm: the mean is of something else",
  "in x 2 ? 8\nin z 2 ? 8\nout y\nscalar two 2\nscalar eps 0.00001\nrandom g 8\nrandom b 8\nReduceMean z -> m axes=[-1]\nSub x m -> d\nPow d two -> q\n"
  "ReduceMean q -> v axes=[-1]\nAdd v eps -> ve\nSqrt ve -> s\nDiv d s -> n\nMul n g -> ng\nAdd ng b -> y\n" },
{ "norm", 1, "instance norm in reshapes",
  "in x 1 6 4 ?\nout y\nints rows 0 6 -1\nrandom w 6\nrandom b 6\nShape x -> s\nReshape x rows -> r\nInstanceNormalization r w b -> n epsilon=0.001\n"
  "Reshape n s -> y\n" },
{ "activation", 1, "gelu by erf",
  "in x 3 7\nout y\nscalar root 1.41421356\nscalar one 1\nscalar half 0.5\nDiv x root -> u\nErf u -> e\nAdd e one -> p\nMul x p -> q\nMul q half -> y\n" },
{ "activation", 1, "gelu by tanh",
  "in x 300 70\nout y\nscalar c 0.7978845608\nscalar k 0.044715\nscalar three 3\nscalar one 1\nscalar half 0.5\nMul x half -> h\nPow x three -> x3\n"
  "Mul x3 k -> kx\nAdd x kx -> a\nMul a c -> u\nTanh u -> t\nAdd t one -> p\nMul h p -> y\n" },
{ "activation", 1, "gelu by tanh, the other way",
  "in x 30 7\nout y\nscalar c 0.7978845608\nscalar k 0.044715\nscalar one 1\nscalar half 0.5\nMul x half -> h\nMul x c -> cx\nMul k x -> kx\nMul kx x -> kxx\n"
  "Add one kxx -> a\nMul cx a -> u\nTanh u -> t\nAdd t one -> p\nMul h p -> y\n" },
{ "activation", 3, "silu, quick gelu, mish",
  "in x 30 7\nout y\nout z\nout w\nscalar k 1.702\nSigmoid x -> s\nMul x s -> y\nMul x k -> kx\nSigmoid kx -> t\nMul t x -> z\nSoftplus x -> p\n"
  "Tanh p -> q\nMul x q -> w\n" },
{ "activation", 2, "gates",
  "in x 2 6 ?\nout y\nout z\nints at 1\nints zero 0\nints half 3\nints all 6\nSlice x zero half at -> a\nSlice x half all at -> b\nTanh a -> ta\n"
  "Sigmoid b -> sb\nMul ta sb -> y\nTanh x -> tx\nSin x -> sx\nSigmoid sx -> ss\nMul ss tx -> z\n" },
{ "activation", 0, "an inner value that is read elsewhere",
  "in x 3 7\nout y\nout s\nSigmoid x -> s\nMul x s -> y\n" },
{ "pad", 1, "zeros around a convolution",
  "in x 1 4 ?\nout y\nints pads 0 0 2 0 0 1\nrandom w 5 4 3\nrandom b 5\nPad x pads - -> p mode=constant\nConv p w b -> y pads=1,1 strides=[2] kernel_shape=[3]\n" },
{ "pad", 0, "edges are no zeros",
  "in x 1 4 ?\nout y\nints pads 0 0 2 0 0 1\nrandom w 5 4 3\nPad x pads - -> p mode=edge\nConv p w -> y kernel_shape=[3]\n" },
{ "matmul", 3, "product, bias, residual, activation",
  "in x 2 ? 70\nout y\nrandom w 70 100\nrandom v 70 100\nrandom b 100\nMatMul x v -> z\nMatMul x w -> p\nAdd b p -> q\nAdd z q -> r\nRelu r -> y\n" },
{ "matmul", 3, "product, bias, gelu, scale",
  "in x 2 ? 70\nout y\nrandom w 70 100\nrandom b 100\nscalar root 1.41421356\nscalar one 1\nscalar half 0.5\nscalar k 3\nMatMul x w -> p\nAdd p b -> v\nDiv v root -> u\n"
  "Erf u -> e\nAdd e one -> f\nMul v f -> g\nMul g half -> a\nDiv a k -> y\n" },
{ "matmul", 1, "a sum that broadcasts is no residual",
  "in x 2 ? 70\nin z 1 1 100\nout y\nrandom w 70 100\nrandom b 100\nMatMul x w -> p\nAdd b p -> q\nAdd z q -> y\n" },
{ "elementwise", 1, "a chain with inputs that broadcast",
  "in x 2 6 ?\nout y\nrandom g 1 6 1\nrandom h 6 1\nscalar two 2\nscalar one 1\nSin x -> a\nAdd a g -> b\nSub one b -> c\nMul c c -> d\nDiv two d -> e\nTanh e -> f\n"
  "Mul f h -> i\nMax i x -> y\n" },
{ "elementwise", 1, "comparisons inside",
  "in x 2 6 700\nin z 2 6 700\nout y\nscalar zero 0\nscalar pi 3.14159\nGreater x zero -> g\nLess z zero -> l\nAnd g l -> b\nAdd x pi -> p\nSub x pi -> m\nWhere b p m -> w\n"
  "Cast l -> c to=1\nMul w c -> y\n" },
{ "elementwise", 1, "a truth from outside stays outside",
  "in x 2 6 70\nout y\nout t\nscalar zero 0\nGreater x zero -> g\nCast g -> t to=1\nNot g -> n\nNeg x -> m\nWhere n x m -> w\nSin w -> s\nAbs s -> y\n" },
{ "elementwise", 0, "an inner value of another shape",
  "in x 1 6 ?\nrandom g 1 6 1\nin s 1 6 1\nout y\nTanh s -> a\nMul x a -> y\n" },
{ "elementwise", 2, "more steps than a program holds",
  "in x 3 1000\nout y\nscalar k 0.9\nSin x -> a0\nMul a0 k -> a1\nAdd a1 x -> a2\nSin a2 -> a3\nMul a3 k -> a4\nAdd a4 x -> a5\nSin a5 -> a6\nMul a6 k -> a7\nAdd a7 x -> a8\n"
  "Sin a8 -> a9\nMul a9 k -> b0\nAdd b0 x -> b1\nSin b1 -> b2\nMul b2 k -> b3\nAdd b3 x -> b4\nSin b4 -> b5\nMul b5 k -> b6\nAdd b6 x -> b7\nSin b7 -> b8\nMul b8 k -> b9\n"
  "Add b9 x -> c0\nSin c0 -> c1\nMul c1 k -> c2\nAdd c2 x -> c3\nSin c3 -> c4\nMul c4 k -> c5\nAdd c5 x -> y\n" },
{ "attention", 1, "heads with a mask",
  "in x 1 ? 24\nin m 1 1 1 ?\nout y\nrandom wq 24 24\nrandom wk 24 24\nrandom wv 24 24\nints split 0 -1 3 8\nints join 0 -1 24\nscalar s 2.828427\n"
  "MatMul x wq -> q\nMatMul x wk -> k\nMatMul x wv -> v\nReshape q split -> q4\nReshape k split -> k4\nReshape v split -> v4\n"
  "Transpose q4 -> qt perm=0,2,1,3\nTranspose k4 -> kt perm=0,2,3,1\nTranspose v4 -> vt perm=0,2,1,3\nMatMul qt kt -> p\nDiv p s -> ps\n"
  "Sin x -> sx\nReduceMean sx -> mean axes=[-1]\nTranspose mean -> mt perm=0,2,1\nUnsqueeze mt one -> mask\nints one 1\nAdd ps mask -> pm\nSoftmax pm -> w axis=-1\nMatMul w vt -> o\nTranspose o -> ot perm=0,2,1,3\nReshape ot join -> y\n" },
{ "attention", 1, "heads, scaled before the product",
  "in x 2 ? 24\nout y\nints split 0 0 3 8\nints join 0 0 -1\nscalar s 0.35\nReshape x split -> q4\nReshape x split -> k4\nSin x -> v\nReshape v split -> v4\n"
  "Transpose q4 -> qt perm=0,2,1,3\nMul qt s -> qs\nCos k4 -> k5\nTranspose k4 -> kt perm=0,2,3,1\nTranspose v4 -> vt perm=0,2,1,3\nMatMul qs kt -> p\n"
  "Softmax p -> w axis=-1\nMatMul w vt -> o\nTranspose o -> ot perm=0,2,1,3\nReshape ot join -> y\n" },
{ "attention", 0, "a mask of unknown length",
  "in x 1 ? 24\nin m 1 1 1 ?\nout y\nints split 0 -1 3 8\nints join 0 -1 24\nSin x -> q\nCos x -> k\nTanh x -> v\nReshape q split -> q4\nReshape k split -> k4\nReshape v split -> v4\n"
  "Transpose q4 -> qt perm=0,2,1,3\nTranspose k4 -> kt perm=0,2,3,1\nTranspose v4 -> vt perm=0,2,1,3\nMatMul qt kt -> p\nAdd p m -> pm\nSoftmax pm -> w axis=-1\n"
  "MatMul w vt -> o\nTranspose o -> ot perm=0,2,1,3\nReshape ot join -> y\n" },
{ "transpose", 3, "transposes in a row, back again, and of a dimension of one",
  "in x 3 ? 5\nin z 1 ? 1 6\nout y\nout w\nout v\nTranspose x -> a perm=1,2,0\nTranspose a -> b perm=2,0,1\nSin b -> y\nTranspose a -> c perm=1,0,2\nCos c -> w\n"
  "Transpose z -> d perm=1,2,0,3\nTanh d -> v\n" },
{ "upsample", 1, "a shortcut: repetition, then one tap, then a sum",
  "in x 2 24 ?\nin z 2 16 22\nout y\nfloats r 1 1 2\nrandom w 16 24 1\nrandom b 16\nscalar k 0.7\nResize x - r -> u mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor\nConv u w b -> c\nAdd z c -> s\nMul s k -> y\n" },
{ "upsample", 3, "activations change places with it, half pixels, groups",
  "in x 1 4 ?\nout y\nfloats r 1 1 3\nrandom w 6 2 1\nResize x - r -> u mode=nearest\nLeakyRelu u -> l alpha=0.2\nConv l w -> c group=2\nTanh c -> y\n" },
{ "upsample", 0, "numbers of double precision, whole numbers",
  "in x 1 4 ?\nout y\nout z\nfloats r 1 1 2\nCast x -> d to=11\nResize d - r -> u mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor\nTanh u -> t\nCast t -> y to=1\n"
  "Cast x -> i to=6\nResize i - r -> v mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor\nRelu v -> w\nCast w -> z to=1\n" },
{ "upsample", 3, "half precision behind it",
  "in x 1 4 ?\nout y\nfloats r 1 1 2\nrandom w 5 4 1\nCast w -> wh to=10\nResize x - r -> u mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor\nCast u -> h to=10\nConv h wh -> c\nCast c -> y to=1\n" },
{ "upsample", 1, "three taps, even and uneven pads",
  "in x 2 5 ?\nout y\nfloats r 1 1 2\nrandom w 7 5 3\nrandom b 7\nResize x - r -> u mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor\nConv u w b -> y pads=1,1\n" },
{ "upsample", 1, "seven taps, eight times, no pads",
  "in x 1 40 ?\nout y\nfloats r 1 1 8\nrandom w 33 40 7\nResize x - r -> u mode=nearest coordinate_transformation_mode=pytorch_half_pixel nearest_mode=round_prefer_ceil\n"
  "Conv u w -> c\nLeakyRelu c -> y\n" },
{ "upsample", 1, "eleven taps, three times, uneven pads, sizes",
  "in x 1 3 11\nout y\nints n 1 3 33\nrandom w 4 3 11\nResize x - - n -> u mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor\nConv u w -> y pads=8,2\n" },
{ "upsample", 1, "one element of input",
  "in x 1 3 1\nout y\nfloats r 1 1 4\nrandom w 4 3 5\nResize x - r -> u mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor\nConv u w -> y pads=2,2\n" },
{ "upsample", 1, "Upsample with its scales as an input",
  "opset 9\nin x 1 3 ?\nout y\nfloats r 1 1 4\nrandom w 4 3 5\nUpsample x r -> u\nConv u w -> y pads=2,2\n" },
{ "upsample", 1, "Resize of opset 10",
  "opset 10\nin x 1 3 ?\nout y\nfloats r 1 1 4\nrandom w 4 3 1\nResize x r -> u\nConv u w -> y\n" },
{ "upsample", 1, "repeated as a column that is flattened",
  "in x 1 3 ?\nout y\nints last -1\nints to 1 1 1 2\nrandom w 4 3 3\nints flat 0 3 -1\nUnsqueeze x last -> c\nExpand c to -> e\nReshape e flat -> u\nConv u w -> y pads=1,1\n" },
{ "upsample", 1, "the same by Tile",
  "in x 2 3 ?\nout y\nints last 3\nints to 1 1 1 5\nrandom w 4 3 1\nints flat 2 3 -1\nUnsqueeze x last -> c\nTile c to -> e\nReshape e flat -> u\nConv u w -> y\n" },
{ "upsample", 0, "repeated as a whole, not by element",
  "in x 2 3 ?\nout y\nints at 2\nints to 1 1 5 1\nrandom w 4 3 1\nints flat 2 3 -1\nUnsqueeze x at -> c\nTile c to -> e\nReshape e flat -> u\nConv u w -> y\n" },
{ "upsample", 0, "another reader",
  "in x 1 3 ?\nout y\nout v\nfloats r 1 1 2\nrandom w 4 3 3\nResize x - r -> u mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor\nConv u w -> y pads=1,1\nSin u -> v\n" },
{ "upsample", 0, "an output of the graph",
  "in x 1 3 ?\nout y\nout u\nfloats r 1 1 2\nrandom w 4 3 1\nResize x - r -> u mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor\nConv u w -> y\n" },
{ "upsample", 0, "lines between the elements",
  "in x 1 3 ?\nout y\nfloats r 1 1 2\nrandom w 4 3 3\nResize x - r -> u mode=linear\nConv u w -> y pads=1,1\n" },
{ "upsample", 0, "half a step aside",
  "in x 1 3 ?\nout y\nfloats r 1 1 2\nrandom w 4 3 3\nResize x - r -> u mode=nearest coordinate_transformation_mode=half_pixel nearest_mode=ceil\nConv u w -> y pads=1,1\n" },
{ "upsample", 0, "no whole number",
  "in x 1 3 ?\nout y\nfloats r 1 1 2.5\nrandom w 4 3 3\nResize x - r -> u mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor\nConv u w -> y pads=1,1\n" },
{ "upsample", 0, "channels too",
  "in x 1 3 ?\nout y\nfloats r 1 2 2\nrandom w 4 6 3\nResize x - r -> u mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor\nConv u w -> y pads=1,1\n" },
{ "upsample", 0, "two taps gain nothing; a stride, wide pads, groups",
  "in a 1 4 ?\nin b 1 4 ?\nin c 1 4 ?\nin d 1 4 ?\nout y\nout z\nout v\nout t\nfloats r 1 1 2\nrandom two 4 4 2\nrandom three 4 4 3\nrandom g 4 2 3\n"
  "Resize a - r -> ua mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor\nConv ua two -> y\nResize b - r -> ub mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor\nConv ub three -> z strides=[2]\n"
  "Resize c - r -> uc mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor\nConv uc three -> v pads=2,1\nResize d - r -> ud mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor\nConv ud g -> t group=2\n" },
{ "upsample", 0, "a dilation, weights that are no constant",
  "in a 1 4 ?\nin b 1 4 ?\nin w 4 4 3\nout y\nout z\nfloats r 1 1 2\nrandom three 4 4 3\n"
  "Resize a - r -> ua mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor\nConv ua three -> y dilations=[2]\nResize b - r -> ub mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor\nConv ub w -> z\n" },
{ "upsample", 0, "padding where a single tap has nothing to read",
  "in x 1 3 ?\nout y\nfloats r 1 1 2\nrandom w 4 3 1\nResize x - r -> u mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor\nConv u w -> y pads=1,0\n" },
{ "istft", 1, "as Kokoro's exporter writes it: one value of both halves, trimmed",
  "in x 1 22 ?\nout y\nints c0 0\nints c11 11\nints end 9223372036854775807\nints one 1\nints two 2\nints ten 10\nints minus -10\nrandom wr 11 1 20\nrandom wi 11 1 20\nSlice x c0 c11 one one -> a\nSlice x c11 end one one -> b\nExp a -> m\nSin b -> p\nCos p -> c\nSin p -> s\nMul m c -> re\nMul m s -> im\nConvTranspose re wr -> yr strides=[5]\nConvTranspose im wi -> yi strides=[5]\nSub yr yi -> d\nSlice d ten minus two one -> y\n" },
{ "istft", 1, "the same in two batch entries, in many pieces",
  "in x 2 22 1500\nout y\nints c0 0\nints c11 11\nints end 9223372036854775807\nints one 1\nints two 2\nints ten 10\nints minus -10\nrandom wr 11 1 20\nrandom wi 11 1 20\nSlice x c0 c11 one one -> a\nSlice x c11 end one one -> b\nExp a -> m\nSin b -> p\nCos p -> c\nSin p -> s\nMul m c -> re\nMul m s -> im\nConvTranspose re wr -> yr strides=[5]\nConvTranspose im wi -> yi strides=[5]\nSub yr yi -> d\nSlice d ten minus two one -> y\n" },
{ "istft", 1, "one frame, of which the trimming leaves nothing",
  "in x 1 22 1\nout y\nints c0 0\nints c11 11\nints end 9223372036854775807\nints one 1\nints two 2\nints ten 10\nints minus -10\nrandom wr 11 1 20\nrandom wi 11 1 20\nSlice x c0 c11 one one -> a\nSlice x c11 end one one -> b\nExp a -> m\nSin b -> p\nCos p -> c\nSin p -> s\nMul m c -> re\nMul m s -> im\nConvTranspose re wr -> yr strides=[5]\nConvTranspose im wi -> yi strides=[5]\nSub yr yi -> d\nSlice d ten minus two one -> y\n" },
{ "istft", 1, "magnitude and phase as two values, factors the other way round, a sum, pads",
  "in a 1 6 37\nin b 1 6 37\nout y\nrandom wr 6 1 8\nrandom wi 6 1 8\nRelu a -> m\nCos b -> c\nSin b -> s\nMul c m -> re\nMul m s -> im\n"
  "ConvTranspose re wr -> yr strides=[2] pads=3,2 kernel_shape=[8]\nConvTranspose im wi -> yi strides=[2] pads=3,2\nAdd yr yi -> y\n" },
{ "istft", 1, "real and imaginary part as they are, a stride that does not divide the frame, longer than a tile has rows",
  "in re 2 5 90\nin im 2 5 90\nout y\nrandom wr 5 1 71\nrandom wi 5 1 71\nConvTranspose re wr -> yr strides=[23]\nConvTranspose im wi -> yi strides=[23]\nSub yr yi -> y\n" },
{ "istft", 1, "two halves, stride 1",
  "in x 1 22 ?\nout y\nints c0 0\nints c11 11\nints end 9223372036854775807\nints one 1\nints two 2\nints ten 10\nints minus -10\nrandom wr 11 1 20\nrandom wi 11 1 20\nSlice x c0 c11 one one -> a\nSlice x c11 end one one -> b\nConvTranspose a wr -> yr\nConvTranspose b wi -> yi\nSub yr yi -> y\n" },
{ "istft", 1, "magnitude and phase that others read too",
  "in x 1 22 ?\nout y\nout m\nout v\nints c0 0\nints c11 11\nints end 9223372036854775807\nints one 1\nints two 2\nints ten 10\nints minus -10\nrandom wr 11 1 20\nrandom wi 11 1 20\nSlice x c0 c11 one one -> a\nSlice x c11 end one one -> b\nExp a -> m\nSin b -> p\nCos p -> c\nSin p -> s\nMul m c -> re\nMul m s -> im\nConvTranspose re wr -> yr strides=[5]\nConvTranspose im wi -> yi strides=[5]\nSub yr yi -> y\nTanh p -> v\n" },
{ "istft", 1, "cosine and sine of different phases: parts, not magnitude and phase",
  "in a 1 11 9\nin b 1 11 9\nin q 1 11 9\nout y\nints c0 0\nints c11 11\nints end 9223372036854775807\nints one 1\nints two 2\nints ten 10\nints minus -10\nrandom wr 11 1 20\nrandom wi 11 1 20\nCos b -> c\nSin q -> s\nMul a c -> re\nMul a s -> im\nConvTranspose re wr -> yr strides=[5]\nConvTranspose im wi -> yi strides=[5]\nSub yr yi -> y\n" },
{ "istft", 0, "another reader of a part, a bias, different strides",
  "in re 1 11 9\nin im 1 11 9\nout y\nout v\nout z\nout t\nints c0 0\nints c11 11\nints end 9223372036854775807\nints one 1\nints two 2\nints ten 10\nints minus -10\nrandom wr 11 1 20\nrandom wi 11 1 20\nrandom bias 1\nConvTranspose re wr -> yr strides=[5]\nConvTranspose im wi -> yi strides=[5]\nSub yr yi -> y\nSin yr -> v\n"
  "ConvTranspose im wr bias -> zr strides=[5]\nConvTranspose re wi -> zi strides=[5]\nSub zr zi -> z\n"
  "ConvTranspose im wr -> tr strides=[4] output_padding=[3]\nConvTranspose re wi -> ti strides=[4] output_padding=[3]\nSub tr ti -> t\n" },
{ "istft", 0, "several outputs, groups, shapes that broadcast, weights that are no constant",
  "in re 1 4 9\nin im 1 4 9\nin big 3 4 9\nin w 4 1 8\nout y\nout v\nout z\nrandom wr 4 2 8\nrandom wi 4 2 8\nrandom ur 4 1 8\nrandom ui 4 1 8\n"
  "ConvTranspose re wr -> yr strides=[2]\nConvTranspose im wi -> yi strides=[2]\nSub yr yi -> y\n"
  "ConvTranspose big ur -> vr strides=[2]\nConvTranspose im ui -> vi strides=[2]\nSub vr vi -> v\n"
  "ConvTranspose re w -> zr strides=[2]\nConvTranspose im ui -> zi strides=[4] output_padding=[2]\nSlice zr one seven two two -> zs\nints one 1\nints two 2\nints seven 7\nReduceMean zi -> zm axes=[-1]\n"
  "Sub zs zm -> z\n" },
{ "istft", 0, "two lengths that nothing says are equal",
  "in re 1 4 ?\nin im 1 4 ?\nout y\nrandom wr 4 1 8\nrandom wi 4 1 8\nConvTranspose re wr -> yr strides=[2]\nConvTranspose im wi -> yi strides=[2]\nSub yr yi -> y\n" },
{ "lstm", 1, "forwards and reverse, joined by feature",
  "in x ? 2 5\nout y\nrandom w 1 24 5\nrandom r 1 24 6\nrandom b 1 48\nrandom v 1 24 5\nrandom q 1 24 6\nrandom d 1 48\nints one 1\nints zero 0\nLSTM x w r b -> f hidden_size=6\nLSTM x v q d -> g hidden_size=6 direction=reverse\nSqueeze f one -> fs\nSqueeze g one -> gs\nConcat fs gs -> y axis=2\n" },
{ "lstm", 1, "with lengths, initial states, last states joined, batch first behind",
  "in x ? 2 5\nin h 1 2 6\nin c 1 2 6\nout y\nout yh\nout yc\nrandom w 1 24 5\nrandom r 1 24 6\nrandom b 1 48\nrandom v 1 24 5\nrandom q 1 24 6\nrandom d 1 48\nints one 1\nints zero 0\nints long 7 11\nCast long -> len to=6\nrandom h0 1 2 6\nSin h -> h1\n"
  "LSTM x w r b len h c -> f fh fc hidden_size=6\nTanh c -> c1\nLSTM x v q d len h1 c1 -> g gh gc hidden_size=6 direction=reverse\n"
  "Squeeze f one -> fs\nSqueeze g one -> gs\nTranspose fs -> ft perm=1,0,2\nTranspose gs -> gt perm=1,0,2\nConcat fh gh -> yh axis=0\nConcat ft gt -> y axis=-1\n"
  "Squeeze fc zero -> fcs\nSqueeze gc zero -> gcs\nConcat fcs gcs -> yc axis=1\n" },
{ "lstm", 1, "between two reversals by Slice, transposed after them, constant initial states",
  "in x 2 ? 5\nout y\nrandom w 1 24 5\nrandom r 1 24 6\nrandom b 1 48\nrandom v 1 24 5\nrandom q 1 24 6\nrandom d 1 48\nints one 1\nints zero 0\nints back -1\nints end -9223372036854775808\nrandom h 1 2 6\nrandom c 1 2 6\nTranspose x -> xt perm=1,0,2\nSlice x back end one back -> z\nTranspose z -> zt perm=1,0,2\n"
  "LSTM xt w r - - h c -> f hidden_size=6\nLSTM zt v q - - c h -> g hidden_size=6\nSqueeze f one -> fs\nTranspose fs -> ft perm=1,0,2\n"
  "Squeeze g one -> gs\nTranspose gs -> gt perm=1,0,2\nSlice gt back end one back -> gr\nConcat ft gr -> y axis=2\n" },
{ "lstm", 1, "between two reversals by ReverseSequence, with lengths",
  "in x ? 2 5\nout y\nout yh\nrandom w 1 24 5\nrandom r 1 24 6\nrandom b 1 48\nrandom v 1 24 5\nrandom q 1 24 6\nrandom d 1 48\nints one 1\nints zero 0\nints long 7 11\nCast long -> len to=6\nReverseSequence x long -> z time_axis=0 batch_axis=1\nLSTM x w r b len -> f fh hidden_size=6\n"
  "LSTM z v q d len -> g gh hidden_size=6\nSqueeze f one -> fs\nSqueeze g one -> gs\nReverseSequence gs long -> gr time_axis=0 batch_axis=1\nConcat fs gr -> y axis=2\n"
  "Concat fh gh -> yh axis=0\n" },
{ "lstm", 1, "between two reversals by ReverseSequence, as long as the input",
  "in x ? 2 5\nout y\nrandom w 1 24 5\nrandom r 1 24 6\nrandom b 1 48\nrandom v 1 24 5\nrandom q 1 24 6\nrandom d 1 48\nints one 1\nints zero 0\nints two 2\nShape x -> s\nGather s zero -> t\nTile t two -> len\nReverseSequence x len -> z time_axis=0 batch_axis=1\nLSTM x w r b -> f hidden_size=6\n"
  "LSTM z v q d -> g hidden_size=6\nSqueeze f one -> fs\nSqueeze g one -> gs\nReverseSequence gs len -> gr time_axis=0 batch_axis=1\nConcat fs gr -> y axis=2\n" },
{ "lstm", 0, "reversed by other lengths",
  "in x ? 2 5\nout y\nrandom w 1 24 5\nrandom r 1 24 6\nrandom b 1 48\nrandom v 1 24 5\nrandom q 1 24 6\nrandom d 1 48\nints one 1\nints zero 0\nints long 7 11\nints other 11 7\nCast long -> len to=6\nReverseSequence x other -> z time_axis=0 batch_axis=1\nLSTM x w r b len -> f hidden_size=6\n"
  "LSTM z v q d len -> g hidden_size=6\nSqueeze f one -> fs\nSqueeze g one -> gs\nReverseSequence gs long -> gr time_axis=0 batch_axis=1\nConcat fs gr -> y axis=2\n" },
{ "lstm", 1, "batch first in the operator, joined by direction",
  "in x 2 ? 5\nout y\nout yh\nrandom w 1 24 5\nrandom r 1 24 6\nrandom b 1 48\nrandom v 1 24 5\nrandom q 1 24 6\nrandom d 1 48\nints one 1\nints zero 0\nLSTM x w r b -> f fh hidden_size=6 layout=1\nLSTM x v q d -> g gh hidden_size=6 direction=reverse layout=1\nConcat f g -> y axis=2\n"
  "Concat fh gh -> yh axis=1\n" },
{ "lstm", 1, "batch first in the operator, joined by feature",
  "in x 2 ? 5\nout y\nrandom w 1 24 5\nrandom r 1 24 6\nrandom b 1 48\nrandom v 1 24 5\nrandom q 1 24 6\nrandom d 1 48\nints one 1\nints zero 0\nints two 2\nLSTM x w r b -> f hidden_size=6 layout=1\nLSTM x v q d -> g hidden_size=6 direction=reverse layout=1\nSqueeze f two -> fs\nSqueeze g two -> gs\n"
  "Concat fs gs -> y axis=2\n" },
{ "lstm", 1, "activations that are named, the usual ones and others",
  "in x ? 2 5\nout y\nout z\nrandom w 1 24 5\nrandom r 1 24 6\nrandom b 1 48\nrandom v 1 24 5\nrandom q 1 24 6\nrandom d 1 48\nints one 1\nLSTM x w r b -> f hidden_size=6 activations=Sigmoid,Tanh,Tanh\nLSTM x v q d -> g hidden_size=6 direction=reverse\nSqueeze f one -> fs\nSqueeze g one -> gs\n"
  "Concat fs gs -> y axis=2\nLSTM x v r b -> f1 hidden_size=6 activations=Sigmoid,Relu,Tanh\nLSTM x w q d -> g1 hidden_size=6 direction=reverse\nSqueeze f1 one -> fs1\nSqueeze g1 one -> gs1\n"
  "Concat fs1 gs1 -> z axis=2\n" },
{ "lstm", 2, "GRUs, one pair behind the other",
  "in x ? 2 5\nout y\nrandom w 1 18 5\nrandom r 1 18 6\nrandom b 1 36\nrandom v 1 18 5\nrandom q 1 18 6\nrandom d 1 36\nints one 1\nrandom w2 1 18 12\nrandom v2 1 18 12\nGRU x w r b -> f hidden_size=6 linear_before_reset=1\nGRU x v q d -> g hidden_size=6 direction=reverse linear_before_reset=1\n"
  "Squeeze f one -> fs\nSqueeze g one -> gs\nConcat fs gs -> m axis=2\nGRU m w2 r -> f2 hidden_size=6\nGRU m v2 q -> g2 hidden_size=6 direction=reverse\n"
  "Squeeze f2 one -> fs2\nSqueeze g2 one -> gs2\nConcat fs2 gs2 -> y axis=-1\n" },
{ "lstm", 0, "one way twice, backwards first, one reversal missing",
  "in x ? 2 5\nout y\nout z\nout t\nrandom w 1 24 5\nrandom r 1 24 6\nrandom b 1 48\nrandom v 1 24 5\nrandom q 1 24 6\nrandom d 1 48\nints one 1\nints zero 0\nints back -1\nints end -9223372036854775808\nLSTM x w r b -> f hidden_size=6\nLSTM x v q d -> g hidden_size=6\nSqueeze f one -> fs\nSqueeze g one -> gs\nConcat fs gs -> y axis=2\n"
  "LSTM x v r b -> f1 hidden_size=6 direction=reverse\nLSTM x w q d -> g1 hidden_size=6\nSqueeze f1 one -> fs1\nSqueeze g1 one -> gs1\nConcat fs1 gs1 -> z axis=2\n"
  "Slice x back end zero back -> xr\nLSTM x v r - -> f2 hidden_size=6\nLSTM xr w q - -> g2 hidden_size=6\nSqueeze f2 one -> fs2\nSqueeze g2 one -> gs2\nConcat fs2 gs2 -> t axis=2\n" },
{ "lstm", 0, "a value or a last state that others read",
  "in x ? 2 5\nout y\nout z\nout t\nout s\nrandom w 1 24 5\nrandom r 1 24 6\nrandom b 1 48\nrandom v 1 24 5\nrandom q 1 24 6\nrandom d 1 48\nints one 1\nints zero 0\nLSTM x w r b -> f hidden_size=6\nLSTM x v q d -> g hidden_size=6 direction=reverse\nSqueeze f one -> fs\nSqueeze g one -> gs\nConcat fs gs -> y axis=2\n"
  "Sin fs -> z\nLSTM x v r b -> f1 f1h hidden_size=6\nLSTM x w q d -> g1 hidden_size=6 direction=reverse\nSqueeze f1 one -> fs1\nSqueeze g1 one -> gs1\nConcat fs1 gs1 -> t axis=2\nSin f1h -> s\n" },
{ "lstm", 0, "other inputs, sizes, lengths, and an axis that is not the feature's",
  "in x ? 2 5\nin u ? 2 5\nout y\nout z\nout t\nout s\nrandom w 1 24 5\nrandom r 1 24 6\nrandom b 1 48\nrandom v 1 24 5\nrandom q 1 24 6\nrandom d 1 48\nints one 1\nints zero 0\nrandom v4 1 16 5\nrandom q4 1 16 4\nints long 7 11\nCast long -> len to=6\n"
  "LSTM x w r b -> f hidden_size=6\nLSTM u v q d -> g hidden_size=6 direction=reverse\nSqueeze f one -> fs\nSqueeze g one -> gs\nShape fs -> shape\nReshape gs shape -> gq\nConcat fs gq -> y axis=2\n"
  "LSTM x w r -> f1 hidden_size=6\nLSTM x v4 q4 -> g1 hidden_size=4 direction=reverse\nSqueeze f1 one -> fs1\nSqueeze g1 one -> gs1\nConcat fs1 gs1 -> z axis=2\n"
  "LSTM x v q - len -> f2 hidden_size=6\nLSTM x w r - -> g2 hidden_size=6 direction=reverse\nSqueeze f2 one -> fs2\nSqueeze g2 one -> gs2\nConcat fs2 gs2 -> t axis=2\n"
  "LSTM x v r -> f3 hidden_size=6\nLSTM x w q -> g3 hidden_size=6 direction=reverse\nSqueeze f3 one -> fs3\nSqueeze g3 one -> gs3\nConcat fs3 gs3 -> s axis=0\n" },
{ "lstm", 0, "a whole reversal where only the lengths count, a clip on one side",
  "in x ? 2 5\nout y\nout z\nrandom w 1 24 5\nrandom r 1 24 6\nrandom b 1 48\nrandom v 1 24 5\nrandom q 1 24 6\nrandom d 1 48\nints one 1\nints zero 0\nints back -1\nints end -9223372036854775808\nints long 7 11\nCast long -> len to=6\nSlice x back end zero back -> xr\nLSTM x w r b len -> f hidden_size=6\nLSTM xr v q d len -> g hidden_size=6\n"
  "Squeeze f one -> fs\nSqueeze g one -> gs\nSlice gs back end zero back -> gr\nConcat fs gr -> y axis=2\n"
  "LSTM x v r b -> f1 hidden_size=6 clip=1.5\nLSTM x w q d -> g1 hidden_size=6 direction=reverse\nSqueeze f1 one -> fs1\nSqueeze g1 one -> gs1\nConcat fs1 gs1 -> z axis=2\n" },
