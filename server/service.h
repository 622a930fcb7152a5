/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service: what the relay tells the service manager that started it (sd_notify(3)): datagrams to $NOTIFY_SOCKET, and
 * how often it wants a sign of life. Nothing happens if nobody asked. From one thread.
 */
#ifndef COFFER_SERVER_SERVICE_H
#define COFFER_SERVER_SERVICE_H

#include <stdint.h>

/* "READY=1", "STOPPING=1", "RELOADING=1\nMONOTONIC_USEC=...", "STATUS=...", "WATCHDOG=1" */
void service_notify(const char *state);
/* Half of the time after which systemd takes a silent service for dead, in ns; 0: no watchdog. */
int64_t service_watchdog_ns(void);

#endif
