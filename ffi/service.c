/* service.c: what a service manager is told and asks for, as systemd has it. Only the control plane calls, and a pointer
 * is to memory that TypeScript made. */
#include "room.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/un.h>

#define GROUPS_MAX 65536 /* NGROUPS_MAX */

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

static int set_capabilities(uint32_t kept)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2] = { { .effective = kept, .permitted = kept, .inheritable = kept } };
    return (int)syscall(SYS_capset, &header, data);
}

/* Makes the process the user <uid> with the group <gid> and the <count> numbers of further groups at <groups>, for good:
 * in every thread there is, since libc's setgroups(2), setresgid(2) and setresuid(2) go through all of them. Of the
 * capabilities (bits of <keep>, by their numbers in capabilities(7), all below 32) those that we have stay with the
 * calling thread, with the threads that it starts from here on, and with programs that it runs (ambient); all others
 * have none. Returns which stayed. -EPERM: this user may not; -EINVAL: a number that this user namespace does not have.
 * What failed midway is not undone: the caller ends the process. */
int32_t sl_become(uint32_t uid, uint32_t gid, const uint8_t *groups, int32_t count, uint32_t keep)
{
    CHECK(count >= 0 && count <= GROUPS_MAX && uid != (uint32_t)-1 && gid != (uint32_t)-1 && keep < 1u << 31);
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct have[2] = { { 0 } };
    if (syscall(SYS_capget, &header, have) == -1)
        return -errno;
    uint32_t kept = keep & have[0].permitted;
    if (prctl(PR_SET_KEEPCAPS, 1L, 0L, 0L, 0L) == -1 || setgroups((size_t)count, (const gid_t *)(const void *)groups) == -1 ||
        setresgid(gid, gid, gid) == -1 || setresuid(uid, uid, uid) == -1 || set_capabilities(kept) == -1 ||
        prctl(PR_SET_KEEPCAPS, 0L, 0L, 0L, 0L) == -1)
        return -errno;
    for (long number = 0; number < 32; number++)
        if (kept >> number & 1u && prctl(PR_CAP_AMBIENT, (long)PR_CAP_AMBIENT_RAISE, number, 0L, 0L) == -1)
            return -errno;
    return (int32_t)kept;
}

/* Whether a user with that group and those further groups could open a file to read it, or to append to it (<write> 1):
 * tried, in this thread alone, which has its own rights again afterwards. <path> ends with a NUL. Returns 0, or -errno
 * as open(2) has it: -EACCES, -ENOENT, ... Only root may ask: -EPERM. */
int32_t sl_may_open(const uint8_t *path, int32_t write, uint32_t uid, uint32_t gid, const uint8_t *groups, int32_t count)
{
    static gid_t before[GROUPS_MAX];
    CHECK(count >= 0 && count <= GROUPS_MAX);
    if (geteuid() != 0)
        return -EPERM;
    int had = getgroups(GROUPS_MAX, before), result = 0;
    if (had == -1 || syscall(SYS_setgroups, (size_t)count, groups) == -1) /* past libc's, which does all threads */
        return -errno;
    setfsgid(gid); /* the kernel takes CAP_DAC_OVERRIDE and its like away with the second, and gives it back */
    setfsuid(uid);
    int fd = open((const char *)path, (write ? O_WRONLY | O_APPEND : O_RDONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd == -1)
        result = -errno;
    else
        close(fd);
    setfsuid(0);
    setfsgid(getegid());
    if (syscall(SYS_setgroups, (size_t)had, before) == -1)
        return -errno;
    return result;
}
