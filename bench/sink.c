/* Where HAProxy's access log goes, which writes no files itself: what arrives on a TCP connection is
 * appended to a file as it is. One connection after another; the sender reconnects when one ends. */
#include "tool.h"

#define READ_BYTES (1u << 20)

int main(int argc, char **argv)
{
    static char bytes[READ_BYTES];
    uint64_t port = 0, seconds = 3600;
    const char *path = "sink.log";
    const struct flag flags[] = {
        { "--port", "port on 127.0.0.1", &port, 1, 65535, NULL },
        { "--file", "where bytes go; emptied first", NULL, 0, 0, &path },
        { "--seconds", "ends by itself after this time", &seconds, 1, 86400, NULL },
    };
    read_flags(argc, argv, "sink: appends what it receives over TCP to a file.", flags,
               sizeof flags / sizeof *flags);
    if (port == 0)
        die("--port is needed");
    alarm((unsigned)seconds); /* nothing to tidy: the default action ends us */

    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file == -1)
        die("%s: %s", path, strerror(errno));
    int listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = loopback(1, (uint16_t)port);
    if (listen_fd == -1 || bind(listen_fd, (struct sockaddr *)&address, sizeof address) == -1
        || listen(listen_fd, 16) == -1)
        die("listen on 127.0.0.1:%llu: %s", (unsigned long long)port, strerror(errno));
    for (;;) {
        int fd = accept(listen_fd, NULL, NULL);
        if (fd == -1)
            continue;
        for (ssize_t count; (count = recv(fd, bytes, sizeof bytes, 0)) > 0;)
            for (ssize_t at = 0, wrote; at < count; at += wrote)
                if ((wrote = write(file, bytes + at, (size_t)(count - at))) == -1)
                    die("%s: %s", path, strerror(errno));
        close(fd);
    }
}
