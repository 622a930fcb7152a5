#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Random operations on a mount and on a plain directory give the same results, with kills and restarts in between.
# timeout: 120
. tests/lib/tree_ops.sh
tree_ops_rounds 9 3000
