/* Counts the packets of a capture with libpcap: the floor under every reader built on it. */

#include <pcap/pcap.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    char reason[PCAP_ERRBUF_SIZE];
    struct pcap_pkthdr *header;
    const unsigned char *frame;
    unsigned long packets = 0, bytes = 0;
    pcap_t *capture;
    int status;

    if (argc != 2) {
        fprintf(stderr, "usage: count CAPTURE\n");
        return 2;
    }
    capture = pcap_open_offline(argv[1], reason);
    if (capture == NULL) {
        fprintf(stderr, "count: %s\n", reason);
        return 3;
    }
    while ((status = pcap_next_ex(capture, &header, &frame)) == 1) {
        packets++;
        bytes += header->len;
    }
    if (status == PCAP_ERROR)
        fprintf(stderr, "count: %s\n", pcap_geterr(capture));
    pcap_close(capture);
    printf("%lu packets, %lu bytes\n", packets, bytes);
    return status == PCAP_ERROR_BREAK ? 0 : 3;
}
