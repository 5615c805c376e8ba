/* socket_options.c: what the sockets of another process are made with, asked of the kernel: pidfd_getfd(2) and
 * getsockopt(2). One line of JSON for each socket of TCP or MPTCP. Takes root. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int option(int fd, int level, int name)
{
    int value = 0;
    socklen_t length = sizeof value;
    return getsockopt(fd, level, name, &value, &length) == -1 ? -errno : value;
}

static int port(const struct sockaddr_storage *address)
{
    return ntohs(address->ss_family == AF_INET6 ? ((struct sockaddr_in6 *)address)->sin6_port
                                                : ((struct sockaddr_in *)address)->sin_port);
}

static void tell(int fd)
{
    struct sockaddr_storage own, peer = { 0 };
    socklen_t length = sizeof own;
    if (getsockname(fd, (struct sockaddr *)&own, &length) == -1)
        return;
    if (own.ss_family != AF_INET && own.ss_family != AF_INET6)
        return;
    length = sizeof peer;
    int connected = getpeername(fd, (struct sockaddr *)&peer, &length) == 0;
    char device[64] = "";
    length = sizeof device;
    getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, &length);
    int six = own.ss_family == AF_INET6;
    printf("{\"port\":%d,\"peer\":%d,\"listens\":%d,\"protocol\":%d,\"nodelay\":%d,\"keep_alive\":%d,\"idle\":%d,"
           "\"interval\":%d,\"count\":%d,\"user_timeout\":%d,\"sndbuf\":%d,\"rcvbuf\":%d,\"defer_accept\":%d,"
           "\"fast_open\":%d,\"transparent\":%d,\"v6only\":%d,\"device\":\"%s\"}\n",
           port(&own), connected ? port(&peer) : 0, option(fd, SOL_SOCKET, SO_ACCEPTCONN),
           option(fd, SOL_SOCKET, SO_PROTOCOL), option(fd, IPPROTO_TCP, TCP_NODELAY),
           option(fd, SOL_SOCKET, SO_KEEPALIVE), option(fd, IPPROTO_TCP, TCP_KEEPIDLE),
           option(fd, IPPROTO_TCP, TCP_KEEPINTVL), option(fd, IPPROTO_TCP, TCP_KEEPCNT),
           option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), option(fd, SOL_SOCKET, SO_SNDBUF),
           option(fd, SOL_SOCKET, SO_RCVBUF), option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT),
           option(fd, IPPROTO_TCP, TCP_FASTOPEN),
           six ? option(fd, SOL_IPV6, 75 /* IPV6_TRANSPARENT */) : option(fd, SOL_IP, 19 /* IP_TRANSPARENT */),
           six ? option(fd, SOL_IPV6, IPV6_V6ONLY) : -1, device);
}

int main(int count, char **words)
{
    char path[64];
    int pid = count > 1 ? atoi(words[1]) : 0, pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *all = opendir(path);
    if (pidfd == -1 || all == NULL) {
        perror("socket_options");
        return 1;
    }
    for (struct dirent *entry; (entry = readdir(all)) != NULL;) {
        int fd = (int)syscall(SYS_pidfd_getfd, pidfd, atoi(entry->d_name), 0);
        if (entry->d_name[0] == '.' || fd == -1)
            continue;
        tell(fd);
        close(fd);
    }
    return 0;
}
