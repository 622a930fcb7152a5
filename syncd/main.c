/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer-syncd: carries requests between coffer-fs and one relay. Started by coffer-fs with their socket as descriptor 3; it
 * ends when that socket closes. It holds no content key and nothing on disk.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/allocator.h"
#include "base/log.h"
#include "syncd/carrier.h"
#include "syncd/sandbox.h"

#define IPC_FD 3

#ifdef __SANITIZE_ADDRESS__
/* The leak check at exit needs /proc and ptrace, which the sandbox has taken away by then. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

static int is_socket(int fd)
{
	int type;
	socklen_t len = sizeof type;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

int main(int argc, char **argv)
{
	struct carrier *c = NULL;
	int err;

	(void)argv;
	if (argc > 1 || !is_socket(IPC_FD)) {
		fputs("coffer-syncd is started by coffer-fs and takes no arguments; use coffer mount\n", stderr);
		return EXIT_FAILURE;
	}
	log_init("coffer-syncd", LOG_LEVEL_INFO);
	allocator_keep_blocks();
	/* The relay is reached directly; libraries must not pick up a proxy from the environment. */
	unsetenv("http_proxy");
	unsetenv("https_proxy");
	unsetenv("all_proxy");
	err = sandbox_enter();
	if (err == OK)
		err = carrier_new(env_system(), IPC_FD, &c);
	if (err == OK)
		err = carrier_run(c);
	carrier_free(c);
	if (err < 0)
		log_error("ends: %s", err_str(err));
	return err < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
