/* notified: a service manager's ear (sd_notify(3)). Binds a unix datagram socket at PATH, or at an abstract name after
 * '@', and prints each message as one line: the sender's process, a space, and the message with its line ends as '|'. */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(int argc, char **argv)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0), on = 1;
    if (argc != 2 || strlen(argv[1]) >= sizeof address.sun_path)
        return 2;
    strcpy(address.sun_path, argv[1]);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(argv[1]));
    if (argv[1][0] == '@')
        address.sun_path[0] = '\0';
    if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&address, argv[1][0] == '@' ? length : length + 1) != 0)
        return 1;
    puts("listening");
    fflush(stdout);
    for (;;) {
        char text[4096];
        union { struct cmsghdr align; char bytes[CMSG_SPACE(sizeof(struct ucred))]; } control;
        struct iovec one = { text, sizeof text };
        struct msghdr message = { .msg_iov = &one, .msg_iovlen = 1, .msg_control = &control,
                                  .msg_controllen = sizeof control };
        ssize_t bytes = recvmsg(fd, &message, 0);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        if (bytes < 0)
            return 1;
        for (ssize_t at = 0; at < bytes; at++)
            if (text[at] == '\n')
                text[at] = '|';
        struct ucred who = { 0 };
        if (header != NULL && header->cmsg_type == SCM_CREDENTIALS)
            memcpy(&who, CMSG_DATA(header), sizeof who);
        printf("%d %.*s\n", who.pid, (int)bytes, text);
        fflush(stdout);
    }
}
