/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/labelled.h"

#include <stdlib.h>

int labelled_init(struct labelled *l, const char *label, struct bytes message)
{
	size_t n = strlen(label);

	l->memory = NULL;
	l->p = l->small;
	l->len = n + message.len;
	if (l->len > sizeof l->small) {
		l->memory = malloc(l->len);
		if (!l->memory)
			return ERR_NOMEM;
		l->p = l->memory;
	}
	memcpy(l->p, label, n);
	if (message.len > 0)
		memcpy(l->p + n, message.p, message.len);
	return 0;
}

void labelled_release(struct labelled *l)
{
	free(l->memory);
	l->memory = NULL;
}
