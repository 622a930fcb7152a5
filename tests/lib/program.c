/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/program.h"

#include <stdlib.h>

void program_init(void)
{
	setenv("CMOCKA_TEST_ABORT", "1", 1);
}
