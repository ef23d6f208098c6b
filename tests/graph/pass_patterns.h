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
