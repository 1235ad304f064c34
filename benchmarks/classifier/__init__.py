"""Measure how many crops per second the classifier takes, against birder's own module and others, in one run.

Needs torch, torchvision, birder, numpy, pillow and safetensors, and nothing else of what the daemon needs.
"""
