#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 of the file system at 20 random moments of a stream of operations: what was acknowledged is there.
# timeout: 120
. tests/lib/crash.sh
crash_rounds 20
