# SPDX-License-Identifier: Apache-2.0
"""The figures, a module for each group; importing one registers its measurements in its order."""
