"""Measure how many pictures a second the classifier names, against birder's own module and others, in one run.

Needs torch, torchvision, birder, numpy, pillow and safetensors, and nothing else of what the daemon needs.
"""
