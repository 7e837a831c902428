# SPDX-License-Identifier: Apache-2.0
"""Hearth's python3 runtime; run as `python3 -I bootstrap.py`. See hearth-runtime(7)."""

import os
import sys

# Multiprocessing runs this file again in its workers, under another name.
if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, here)
    from hearth_runtime import life

    sys.path.remove(here)
    life.run()
