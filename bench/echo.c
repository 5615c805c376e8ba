/* A server that says back what it is told. What a client does not take at once waits in a buffer of its
 * own, and the client is not read until it has gone. */
#include "tool.h"

#define EVENTS_MAX 256
#define ACCEPTS_PER_TURN 64
#define READ_BYTES 65536

struct client {
    char *unsent; /* or NULL */
    size_t unsent_bytes;
};

static struct client *clients; /* by fd */
static uint64_t client_limit, accepted;
static int poll_fd;

static void end_client(int fd)
{
    free(clients[fd].unsent);
    clients[fd] = (struct client){ 0 };
    close(fd);
}

static void take_clients(int listen_fd)
{
    for (int turn = 0; turn < ACCEPTS_PER_TURN; turn++) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd == -1)
            return; /* EAGAIN, or out of files: the listener stays readable */
        if ((uint64_t)fd >= client_limit) {
            close(fd);
            continue;
        }
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        watch(poll_fd, EPOLL_CTL_ADD, fd, EPOLLIN, (uint64_t)fd);
        accepted++;
    }
}

/* Sends, and keeps what was not taken. Returns false when the connection has ended. */
static bool say(int fd, const char *bytes, size_t count)
{
    ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
    if (sent == -1 && errno != EAGAIN)
        return false;
    size_t taken = sent == -1 ? 0 : (size_t)sent, left = count - taken;
    char *unsent = left == 0 ? NULL : malloc(left);
    if (left > 0 && unsent == NULL)
        return false;
    if (left > 0)
        memcpy(unsent, bytes + taken, left);
    bool waited = clients[fd].unsent != NULL;
    free(clients[fd].unsent);
    clients[fd] = (struct client){ unsent, left };
    if (waited != (left > 0))
        watch(poll_fd, EPOLL_CTL_MOD, fd, left > 0 ? EPOLLOUT : EPOLLIN, (uint64_t)fd);
    return true;
}

static void step(int fd)
{
    static char bytes[READ_BYTES];
    if (clients[fd].unsent != NULL) {
        if (!say(fd, clients[fd].unsent, clients[fd].unsent_bytes))
            end_client(fd);
        return;
    }
    ssize_t count = recv(fd, bytes, sizeof bytes, 0);
    if (count == -1 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0 || !say(fd, bytes, (size_t)count))
        end_client(fd);
}

int main(int argc, char **argv)
{
    uint64_t port = 0, seconds = 3600;
    const struct flag flags[] = {
        { "--port", "port on 127.0.0.1", &port, 1, 65535, NULL },
        { "--seconds", "ends by itself after this time", &seconds, 1, 86400, NULL },
    };
    read_flags(argc, argv, "echo: says back what it is told.", flags, sizeof flags / sizeof *flags);
    if (port == 0)
        die("--port is needed");
    client_limit = raise_nofile();
    clients = calloc(client_limit, sizeof *clients);
    if (clients == NULL)
        die("out of memory");
    alarm((unsigned)seconds); /* nothing to tidy: the default action ends us */
    int listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = loopback(1, (uint16_t)port);
    if (listen_fd == -1 || bind(listen_fd, (struct sockaddr *)&address, sizeof address) == -1
        || listen(listen_fd, 65535) == -1)
        die("listen on 127.0.0.1:%llu: %s", (unsigned long long)port, strerror(errno));
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    watch(poll_fd, EPOLL_CTL_ADD, listen_fd, EPOLLIN, (uint64_t)listen_fd);

    struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int count = epoll_wait(poll_fd, events, EVENTS_MAX, -1);
        for (int event = 0; event < count; event++) {
            int fd = (int)events[event].data.u64;
            if (fd == listen_fd)
                take_clients(fd);
            else
                step(fd);
        }
    }
}
