/* SPDX-License-Identifier: Apache-2.0 */
/* subscribe: the second half of the method, on the network thread. */
#ifndef COFFER_SERVER_SUBSCRIBE_H
#define COFFER_SERVER_SUBSCRIBE_H

#include "server/job.h"

/* After the job's watches were registered: adds the result with the cursors as they are now. Does nothing if the job
 * has answered already. */
int subscribe_result(struct job *j) MUST_CHECK;

#endif
