/* activate: starts a command as a service manager with socket activation does (sd_listen_fds(3)).
 *
 *   activate [--pid N] [--names A:B] SOCKET... -- COMMAND...
 *
 * The sockets become fds 3, 4, ...; LISTEN_PID is the command's own, or N. Each SOCKET is one of
 *   tcp:PORT shared:PORT udp:PORT     bound to 127.0.0.1; shared: with SO_REUSEPORT
 *   unix:PATH datagrams:PATH          a stream that listens; unix datagrams
 *   idle:                             a stream that does not listen
 *   file:PATH                         no socket
 *   from:PID:FD                       the very socket that another process has, as pidfd_getfd(2) gives it
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static void need(int good, const char *what)
{
    if (!good) {
        perror(what);
        exit(1);
    }
}

static int ip(const char *port, int type, int shared)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, type, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    need(bind(fd, (struct sockaddr *)&address, sizeof address) == 0, port);
    if (type == SOCK_STREAM)
        need(listen(fd, 128) == 0, port);
    return fd;
}

static int path(const char *where, int type)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%s", where);
    int fd = socket(AF_UNIX, type, 0);
    need(bind(fd, (struct sockaddr *)&address, sizeof address) == 0, where);
    if (type == SOCK_STREAM)
        need(listen(fd, 128) == 0, where);
    return fd;
}

static int of_another(const char *pid)
{
    int process = (int)syscall(SYS_pidfd_open, atoi(pid), 0);
    return (int)syscall(SYS_pidfd_getfd, process, atoi(strchr(pid, ':') + 1), 0);
}

static int make(const char *text)
{
    const char *rest = strchr(text, ':');
    need(rest++ != NULL, text);
    size_t length = (size_t)(rest - text);
#define IS(scheme) (strncmp(text, scheme, length) == 0)
    return IS("tcp:") ? ip(rest, SOCK_STREAM, 0) : IS("shared:") ? ip(rest, SOCK_STREAM, 1)
         : IS("udp:") ? ip(rest, SOCK_DGRAM, 0) : IS("unix:") ? path(rest, SOCK_STREAM)
         : IS("datagrams:") ? path(rest, SOCK_DGRAM) : IS("idle:") ? socket(AF_INET, SOCK_STREAM, 0)
         : IS("file:") ? open(rest, O_RDONLY) : IS("from:") ? of_another(rest) : -1;
}

int main(int argc, char **argv)
{
    char text[32], *whose = NULL;
    int made[64], count = 0, at = 1;
    for (; at < argc && strcmp(argv[at], "--") != 0; at++) {
        if (strcmp(argv[at], "--pid") == 0)
            whose = argv[++at];
        else if (strcmp(argv[at], "--names") == 0)
            setenv("LISTEN_FDNAMES", argv[++at], 1);
        else {
            int fd = make(argv[at]);
            need(fd != -1, argv[at]);
            made[count++] = fcntl(fd, F_DUPFD_CLOEXEC, 100); /* out of the way of those to come */
            close(fd);
        }
    }
    for (int fd = 3; fd < 100; fd++)
        close(fd);
    for (int index = 0; index < count; index++)
        need(dup2(made[index], 3 + index) == 3 + index, "dup2"); /* without FD_CLOEXEC */
    snprintf(text, sizeof text, "%d", count);
    setenv("LISTEN_FDS", text, 1);
    snprintf(text, sizeof text, "%d", getpid());
    setenv("LISTEN_PID", whose == NULL ? text : whose, 1);
    need(at + 1 < argc, "no command");
    execvp(argv[at + 1], argv + at + 1);
    need(0, argv[at + 1]);
}
