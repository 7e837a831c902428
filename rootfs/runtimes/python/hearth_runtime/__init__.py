# SPDX-License-Identifier: Apache-2.0
"""What runs around a python function inside its sandbox. `life` is where to start reading."""
