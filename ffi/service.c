/* service.c: what a service manager is told and asks for, as systemd has it. Only the control plane calls, and a pointer
 * is to memory that TypeScript made. */
#include "room.h"

#include <string.h>
#include <sys/un.h>

/* Sends the <bytes> at <text> as one datagram to the unix socket of a service manager: sd_notify(3). Its path has
 * <path_bytes> at <path>; one that begins with '@' is in the abstract namespace (unix(7)). Nothing is waited for, and no
 * fd stays open. Returns 0; -EAGAIN: its queue is full, again later; -EINVAL: no path of such a socket; -ENOENT,
 * -ECONNREFUSED: nobody is there; -EACCES, -EMSGSIZE, -EMFILE, ... */
int32_t sl_notify(const uint8_t *path, int32_t path_bytes, const uint8_t *text, int32_t bytes)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (path_bytes < 2 || path_bytes >= (int32_t)sizeof address.sun_path || (path[0] != '/' && path[0] != '@'))
        return -EINVAL;
    memcpy(address.sun_path, path, (size_t)path_bytes);
    int is_abstract = path[0] == '@';
    if (is_abstract)
        address.sun_path[0] = '\0'; /* the length says where the name ends */
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)path_bytes + !is_abstract);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd == -1)
        return -errno;
    ssize_t sent;
    do sent = sendto(fd, text, (size_t)bytes, MSG_NOSIGNAL, (struct sockaddr *)&address, length);
    while (sent == -1 && errno == EINTR);
    int error = errno;
    close(fd);
    return sent == -1 ? -error : 0;
}
