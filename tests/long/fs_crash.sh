#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# As tests/integration/fs_crash.sh, 100 times.
# timeout: 300
. tests/lib/crash.sh
crash_rounds 100
