"""Load a classifier, prepare crops for it and run it on CPU or CUDA."""
