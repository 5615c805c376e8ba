/* Preloaded into Sluice: a kernel that says it does TLS's records (kTLS), and then does none of any connection's:
 * what a kernel does that lacks the cipher which was agreed on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static int asked;

int setsockopt(int fd, int level, int name, const void *value, socklen_t bytes)
{
    if (level == IPPROTO_TCP && name == TCP_ULP) {
        /* The first one to ask has no connection yet: the answer of a kernel that has it. */
        errno = __atomic_fetch_add(&asked, 1, __ATOMIC_RELAXED) == 0 ? ENOTCONN : ENOENT;
        return -1;
    }
    int (*real)(int, int, int, const void *, socklen_t) = dlsym(RTLD_NEXT, "setsockopt");
    return real(fd, level, name, value, bytes);
}
