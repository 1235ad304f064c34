"""Load a classifier, preprocess crops for it and run it on CPU or CUDA."""
