/* SPDX-License-Identifier: Apache-2.0 */
/*
 * padme: PADMÉ, the size that a sealed body is padded to (Nikitin et al., "Reducing Metadata Leakage from Encrypted
 * Files and Communication with PURBs", PETS 2019, algorithm 1). Costs at most 12 %, less for larger bodies; leaks O(log
 * log n) bits.
 */
#ifndef COFFER_CRYPTO_PADME_H
#define COFFER_CRYPTO_PADME_H

#include <stddef.h>

/* The least size >= len of the PADMÉ series. len below 2 is itself; defined up to 2^40. */
size_t padme_size(size_t len);

#endif
