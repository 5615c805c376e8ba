/* A router that knows no way: it takes what is sent through the tun device <name> and answers each SYN for
 * 10.77.CODE.x by ICMP "destination unreachable" with that code (RFC 792; 0 network, 1 host, 3 port, 13
 * prohibited), or not at all if CODE is 255. A kernel's own routing tells only a few of many. */
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SILENT 255
/* What is quoted: the header and the first 8 bytes behind it. */
#define QUOTED 28
#define LIFE_S 90

static uint16_t checksum(const void *from, size_t bytes)
{
    uint32_t sum = 0;
    for (size_t at = 0; at < bytes; at += 2) {
        uint16_t word;
        memcpy(&word, (const uint8_t *)from + at, 2);
        sum += word;
    }
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

int main(int argc, char **argv)
{
    struct ifreq device = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    strncpy(device.ifr_name, argc > 1 ? argv[1] : "", IFNAMSIZ - 1);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &device) != 0) return perror("tun"), 1;
    alarm(LIFE_S);
    puts("ready");
    fflush(stdout);
    for (;;) {
        uint8_t packet[2048];
        struct ip came;
        struct tcphdr segment;
        ssize_t bytes = read(fd, packet, sizeof packet);
        if (bytes < (ssize_t)(sizeof came + sizeof segment)) continue;
        memcpy(&came, packet, sizeof came);
        memcpy(&segment, packet + sizeof came, sizeof segment);
        uint8_t code = (uint8_t)(ntohl(came.ip_dst.s_addr) >> 8);
        if (came.ip_v != 4 || came.ip_hl != 5 || came.ip_p != IPPROTO_TCP || !segment.syn || code == SILENT) continue;

        struct ip ip = {.ip_v = 4, .ip_hl = 5, .ip_ttl = 64, .ip_p = IPPROTO_ICMP, .ip_src = came.ip_dst,
                        .ip_dst = came.ip_src};
        struct icmphdr icmp = {.type = ICMP_DEST_UNREACH, .code = code};
        uint8_t answer[sizeof ip + sizeof icmp + QUOTED];
        ip.ip_len = htons(sizeof answer);
        ip.ip_sum = checksum(&ip, sizeof ip);
        memcpy(answer, &ip, sizeof ip);
        memcpy(answer + sizeof ip, &icmp, sizeof icmp);
        memcpy(answer + sizeof ip + sizeof icmp, packet, QUOTED);
        icmp.checksum = checksum(answer + sizeof ip, sizeof icmp + QUOTED);
        memcpy(answer + sizeof ip, &icmp, sizeof icmp);
        if (write(fd, answer, sizeof answer) < 0) perror("write");
    }
}
