#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A million random operations on a mount and on a plain directory, with kills and restarts in between.
# timeout: 1800
. tests/lib/tree_ops.sh
tree_ops_rounds 100 10000
