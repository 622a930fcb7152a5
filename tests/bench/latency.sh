#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# How long an edit takes until it is readable at the other device: tests/bench/latency.sh [-n ROUNDS]
exec "$(dirname "$0")/sync.sh" -o edit "$@"
