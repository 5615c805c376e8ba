/* address.c: addresses as they cross (see sluice.h), to and from the kernel's form. */
#include "room.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

/* Reads an address record; returns the length for the kernel, 0 if the family is none of ours. */
socklen_t sl_address_read(const uint8_t *record, struct sockaddr_storage *address)
{
    memset(address, 0, sizeof *address);
    if (record[0] == 4) {
        struct sockaddr_in *in = (struct sockaddr_in *)address;
        in->sin_family = AF_INET;
        memcpy(&in->sin_port, record + 2, 2);
        memcpy(&in->sin_addr, record + 4, 4);
        return sizeof *in;
    }
    if (record[0] == 6) {
        struct sockaddr_in6 *in = (struct sockaddr_in6 *)address;
        in->sin6_family = AF_INET6;
        memcpy(&in->sin6_port, record + 2, 2);
        memcpy(&in->sin6_addr, record + 4, 16);
        memcpy(&in->sin6_scope_id, record + 20, 4);
        return sizeof *in;
    }
    if (record[0] == 1 && record[1] > 0 && record[1] < sizeof ((struct sockaddr_un *)0)->sun_path) {
        struct sockaddr_un *un = (struct sockaddr_un *)address;
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, record + 4, record[1]);
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + record[1] + 1);
    }
    return 0;
}

/* Writes an address as a record of <bytes> (SL_PEER_BYTES: without a unix path). An IPv4 address
 * mapped into IPv6 becomes plain IPv4: a dual-stack listener's clients are what they are. */
void sl_address_write(const struct sockaddr_storage *address, socklen_t length, uint8_t *record, int32_t bytes)
{
    memset(record, 0, (size_t)bytes);
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        record[0] = 4;
        memcpy(record + 2, &in->sin_port, 2);
        memcpy(record + 4, &in->sin_addr, 4);
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)address;
        int mapped = IN6_IS_ADDR_V4MAPPED(&in->sin6_addr);
        record[0] = mapped ? 4 : 6;
        memcpy(record + 2, &in->sin6_port, 2);
        memcpy(record + 4, in->sin6_addr.s6_addr + (mapped ? 12 : 0), mapped ? 4 : 16);
        if (!mapped)
            memcpy(record + 20, &in->sin6_scope_id, 4);
    } else if (address->ss_family == AF_UNIX) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)address;
        record[0] = 1;
        if (bytes >= SL_ADDRESS_BYTES && length > offsetof(struct sockaddr_un, sun_path)) {
            record[1] = (uint8_t)strnlen(un->sun_path, sizeof un->sun_path - 1);
            memcpy(record + 4, un->sun_path, record[1]);
        }
    }
}
