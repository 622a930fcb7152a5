#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 3600
#
# The power goes after every single write, sync and change of a name of the store, and unsynced writes stay, go, or leave some sectors.
set -euo pipefail
POWER_LOSS=all "$BUILD/tests/test_power_loss"
