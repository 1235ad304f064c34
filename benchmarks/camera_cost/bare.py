"""Decode a file and do nothing with it: what any program that looks at the pictures must pay at least.

Run as a process of its own: `python -m benchmarks.camera_cost.bare FILE [--pace]`. Prints what it did as JSON.
"""

from __future__ import annotations

import json
import sys
import time

import av


def main() -> None:
    """Decode in one thread, as fast as possible or each picture when it is due."""
    path, paced = sys.argv[1], "--pace" in sys.argv[2:]
    frames, began, late, worst = 0, 0.0, 0.0, 0.0
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        stream.codec_context.thread_type = "NONE"
        rate = float(stream.average_rate)
        for packet in container.demux(stream):
            began = began or time.monotonic()
            if paced and packet.size:
                late = time.monotonic() - began - frames / rate
                worst = max(worst, late)
                time.sleep(max(0.0, -late))
            frames += len(packet.decode())
    print(json.dumps({"frames": frames, "late_s": max(0.0, late), "worst_s": worst}))


if __name__ == "__main__":
    main()
